# Files that are mapped as code. After all others: a policy about them tells of every program.

# Prints the build id in a file, as events write it.
build_id_of() {
	perl -0777 -ne '/\x04\0\0\0(.)\0\0\0\x03\0\0\0GNU\0(.*)/s and print substr $2, 0, ord $1' "$1" | base64 -w 0
}
loads() {
	local libc
	libc=$(readlink -f "$(find /usr/lib /lib -name libc.so.6 | head -n 1)")
	rm -f "$POLICIES"/*
	printf 'apiVersion: lictor.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: loads\nspec:\n  loader: true\n' \
		>"$POLICIES/loads.yaml"
	check loader-is-live eventually 60 states_are 'loads.yaml live'
	cp /usr/bin/id $W/bin/loaded
	STEP=loads EVENTS_BEFORE=$(stat -c %s "$EVENTS")
	sh -c "$W/bin/loaded; :" >/dev/null
	# A file that is read, code without a file, and code in a file that is no program.
	perl -e 'open F, "<", "/etc/passwd"; syscall 9, 0, 4096, 1, 2, fileno F, 0'
	perl -e 'syscall 9, 0, 4096, 5, 0x22, -1, 0'
	perl -e 'open F, "<", "/etc/hosts"; syscall 9, 0, 4096, 5, 2, fileno F, 0'
	sh -c : "end-of-step-$STEP"
	check loads-are-written eventually 60 sentinel_came
	tail -c +$((EVENTS_BEFORE + 1)) "$EVENTS" | grep '^{"process_loader"' >"$WORK/loads"
	# What execve maps comes before its end: the process is still what it was.
	check loader-tells-of-the-program grep \
		"\"binary\":\"/usr/bin/sh\".*},\"path\":\"$W/bin/loaded\",\"buildid\":\"$(build_id_of $W/bin/loaded)\",\"parent\"" "$WORK/loads"
	check loader-tells-of-the-library grep \
		"\"binary\":\"$W/bin/loaded\".*},\"path\":\"$libc\",\"buildid\":\"$(build_id_of "$libc")\",\"parent\"" "$WORK/loads"
	check loader-tells-of-files-without-build-id grep \
		'"binary":"/usr/bin/perl".*},"path":"/etc/hosts","parent".*"lictor":{"policy_name":"loads","revision":[0-9]*,"rule":"spec.loader"}' "$WORK/loads"
	refuse loader-tells-of-code-alone grep '},"path":"/etc/passwd"' "$WORK/loads"
	refuse loader-tells-of-files-alone grep -v '},"path":"/' "$WORK/loads"
}
