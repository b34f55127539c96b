# Programs that run while their file changes its name. The policy denies what /tmp/tools/b/tool opens below /tmp.

# A process that answers a line with a name by what came of opening it: descriptors 12 and 13.
tool_start() {
	rm -f /run/tool.in /run/tool.out
	mkfifo /run/tool.in /run/tool.out
	(exec -a sh "$1" -c 'while read -r file; do
		if { read -r _; } 2>/dev/null <"$file"; then echo allow; else echo deny; fi
	done' </run/tool.in >/run/tool.out 10<&- 11>&-) &
	tool_pid=$!
	exec 13>/run/tool.in 12</run/tool.out
}
tool() {
	local answer answers=
	for _ in 1 2 3; do
		echo "$1" >&13
		read -r answer <&12
		answers+="$answer "
	done
	echo "$answers"
}
tool_stop() {
	exec 12<&- 13>&-
	wait $tool_pid
}
running() {
	local program=/usr/bin/busybox
	fresh
	mkdir -p /tmp/tools/a /tmp/tools/b
	put /tmp/pub/x /tmp/pub/y
	cp $program /tmp/tools/a/tool
	tool_start /tmp/tools/a/tool
	expect $SET-binary-other "allow allow allow " tool /tmp/pub/x
	mv /tmp/tools/a/tool /tmp/tools/b/tool
	expect $SET-binary-renamed "deny deny deny " tool /tmp/pub/x
	mv /tmp/tools/b /tmp/tools/c
	expect $SET-binary-directory-renamed "allow allow allow " tool /tmp/pub/x
	mv /tmp/tools/c /tmp/tools/b
	expect $SET-binary-directory-back "deny deny deny " tool /tmp/pub/y
	expect $SET-binary-not-below "allow allow allow " tool /etc/hostname
	mv /tmp/tools/b/tool /tmp/tools/b/toolbox
	expect $SET-binary-longer-name "allow allow allow " tool /tmp/pub/y
	mv /tmp/tools/b/toolbox /tmp/tools/b/tool
	rm /tmp/tools/b/tool
	expect $SET-binary-removed "deny deny deny " tool /tmp/pub/y
	tool_stop

	# One that may not be run any more still runs.
	cp $program /tmp/tools/a/tool
	tool_start /tmp/tools/a/tool
	expect $SET-binary-not-executable-before "allow allow allow " tool /tmp/pub/x
	chmod a-x /tmp/tools/a/tool
	mv /tmp/tools/a/tool /tmp/tools/b/tool
	expect $SET-binary-not-executable "deny deny deny " tool /tmp/pub/x
	mv /tmp/tools/b/tool /tmp/tools/a/tool
	expect $SET-binary-not-executable-back "allow allow allow " tool /tmp/pub/x
	tool_stop
	rm /tmp/tools/a/tool

	# Exchanged with a file that nobody runs.
	cp $program /tmp/tools/a/tool
	echo x >/tmp/tools/b/tool
	tool_start /tmp/tools/a/tool
	expect $SET-binary-exchange-before "allow allow allow " tool /tmp/pub/x
	lictor-lab tool exchange /tmp/tools/a/tool /tmp/tools/b/tool
	expect $SET-binary-exchange "deny deny deny " tool /tmp/pub/x
	tool_stop

	expect $SET-memfd-other x lictor-lab tool memfd other $program cat /tmp/pub/x
	refuse $SET-memfd lictor-lab tool memfd tool $program cat /tmp/pub/x
	expect $SET-memfd-not-below lab lictor-lab tool memfd tool $program cat /etc/hostname
	# A program starts as another one's child and becomes its own.
	cp $program /tmp/tools/b/busybox
	expect $SET-binary-name x /tmp/tools/b/busybox cat /tmp/pub/x
	rm -rf /tmp/tools
}
