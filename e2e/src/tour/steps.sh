step_1() {
	show shell-writes sh
	policies 01-write.yaml
	person "echo 'hello from the tour' >$WORK/note"
	cd "$WORK" || return
	person "exec setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'echo from a user >/tmp/tour-user-note'"
	cd - >/dev/null || return
	rm -f /tmp/tour-user-note
	fact shell $$
}

step_2() {
	show passwd-access cat '"path":"/etc/passwd"'
	show etc-access cat '"path":"/etc/lsb-release"'
	policies 02-passwd.yaml
	person 'cat /etc/passwd'
	person 'cat /etc/hostname'
	policies 02-etc.yaml
	[ -e /etc/lsb-release ] || ln -s os-release /etc/lsb-release
	person 'cat /etc/lsb-release'
}

step_3() {
	show kill-cat-passwd cat
	show process_exit cat SIGKILL
	policies 03-kill.yaml
	person 'cat /etc/passwd'
	status_is status-of-killed 137
	stdout_is not-one-byte ''
	person 'head -n 1 /etc/passwd'
	status_is others-read-it 0
	person 'cat /etc/hostname'
	status_is other-files-are-read 0
}

step_4() {
	show deny-shadow cat
	policies 04-deny.yaml
	person 'id -u; cat /etc/shadow'
	status_is cat-fails 1
	stdout_is nothing-but-the-user-id "$(id -u)"
	stderr_is message 'cat: /etc/shadow: Operation not permitted'
	person 'echo intruder::0:0::: >>/etc/shadow'
	refuse nobody-writes-either test "$STATUS" = 0
	person 'cat /etc/group'
	status_is other-files-are-read 0
	ln -s /etc/shadow "$WORK/link"
	person "cat $WORK/link"
	status_is link-does-not-help 1
	rm "$WORK/link"
}

step_5() {
	show decoy-opened cat
	mkdir -p /srv/decoy
	echo 12 words >/srv/decoy/wallet
	echo dear diary >/srv/decoy/diary
	mkdir -p "$WORK/www"
	mkdir -p "$WORK/www/cgi-bin"
	: >"$WORK/requests"
	cat >"$WORK/www/cgi-bin/alarm" <<-END
		#!/bin/sh
		echo "\$REQUEST_METHOD \$SCRIPT_NAME?\$QUERY_STRING (\$HTTP_USER_AGENT)" >>$WORK/requests
		printf 'Content-Type: text/plain\r\n\r\nthanks\n'
	END
	chmod +x "$WORK/www/cgi-bin/alarm"
	busybox httpd -f -p 127.0.0.1:8089 -h "$WORK/www" &
	local bin=$! begin took
	policies 05-call-url.yaml
	person 'cat /srv/decoy/wallet'
	status_is access-is-allowed 0
	stdout_is access-is-whole '12 words'
	check request-comes eventually 20 grep -q alarm "$WORK/requests"
	say "the request bin says:"
	say_all "$WORK/requests"
	contains request-is-the-one 'GET /cgi-bin/alarm?decoy=wallet' cat "$WORK/requests"
	check counted-as-called eventually 10 counted ok 1
	begin=$(date +%s%N)
	for _ in $(seq 10); do cat /srv/decoy/diary >/dev/null; done
	took=$((($(date +%s%N) - begin) / 1000000))
	say "\$ for i in \$(seq 10); do cat /srv/decoy/diary; done    # $took ms, though nobody answers at its URL"
	fact milliseconds $took
	check unreachable-is-given-up eventually 60 counted failed 10
	expect retries-are-bounded 30 metric lictor_get_url_retries_total
	expect nothing-waits-any-more 0 metric lictor_get_url_waiting
	kill $bin
	wait $bin 2>/dev/null
	rm -r /srv/decoy
}
counted() { [ "$(metric "lictor_get_url_total{result=\"$1\"}")" = "$2" ]; }

step_6() {
	show process_exit sleep /bin/sleep
	show process_exit sh '"status":3'
	show process_exit cat SIGKILL
	show process_exit sh SIGTERM
	policies 03-kill.yaml
	person 'cat /etc/group | sort -r | head -n 1; sleep 0.5; exit 3'
	status_is status-of-pipeline 3
	person 'cat /etc/passwd'
	status_is status-of-killed 137
	person 'kill -TERM $$'
	status_is status-of-ended 143
}

step_7() {
	show no-user-namespaces unshare
	show process_exit unshare
	local user='setpriv --reuid 1000 --regid 1000 --clear-groups'
	person "exec $user unshare -U echo inside"
	stdout_is possible-without-the-policy inside
	policies 07-user-namespace.yaml
	person "exec $user unshare -U echo inside"
	status_is user-is-killed 137
	stdout_is nothing-ran-for-the-user ''
	person 'unshare -U echo inside'
	stdout_is administrator-may inside
	person 'exec unshare -m unshare -U echo inside'
	status_is container-is-killed 137
	stdout_is nothing-ran-in-the-container ''
}

step_8() {
	show deny-shadow cat
	show kill-cat-passwd cat
	policies 08-deny-monitor.yaml 08-kill-monitor.yaml
	person 'cat /etc/shadow'
	status_is nothing-is-denied 0
	person 'cat /etc/passwd'
	status_is nobody-is-killed 0
	expect passed-on-whole "$(od -c </etc/passwd)" od -c "$WORK/stdout"
	expect counted-as-monitored 1 metric 'lictor_policy_monitored_total{policy="deny-shadow",mode="monitor"}'
	expect not-counted-as-denied 0 metric 'lictor_policy_denied_total{policy="deny-shadow",mode="monitor"}'
}

# Opens a file over and over, a hundred times a second at most, until $WORK/stop is there; writes how often it tried
# and how often it succeeded.
LOOP='tried=0 opened=0
until [ -e "$0/stop" ]; do
	if { : <"$1"; } 2>/dev/null; then opened=$((opened + 1)); fi
	tried=$((tried + 1))
	read -r -t 0.01 <>"$0/pause"
done
echo "$tried $opened" >"$0/loop"'
step_9() {
	show deny-shadow cat
	local loop before cycle tried opened
	policies 04-deny.yaml
	before="$(revision number) $(revision digest)"
	fact revision "${before% *}"
	rm -f "$WORK/stop"
	mkfifo "$WORK/pause"
	say '$ while true; do cat /etc/shadow; done &'
	bash -c "$LOOP" "$WORK" /etc/shadow &
	loop=$!
	sleep 1
	for cycle in 1 2 3; do
		say "\$ kill -9 \$(pidof lictor-node)"
		kill -9 $NODE
		wait $NODE 2>/dev/null
		if [ $cycle = 1 ]; then
			refuse nobody-answers lictor node status
			person 'cat /etc/shadow'
			stderr_is denied-without-the-node-worker 'cat: /etc/shadow: Operation not permitted'
		fi
		say "\$ lictor-node --policy-dir $POLICIES &"
		node_start
		sleep 0.5
	done
	touch "$WORK/stop"
	wait $loop
	read -r tried opened <"$WORK/loop"
	rm "$WORK/stop" "$WORK/pause"
	say "(the loop: $tried attempts, $opened successes)"
	fact loop $loop
	fact tried "$tried"
	expect zero-successes 0 echo "$opened"
	expect revision-is-the-same "$before" echo "$(revision number) $(revision digest)"
}

revision_is_past() { [ "$(revision number)" -gt "$1" ]; }
rejected_with() { lictor node status | grep -q "$1"; }
step_10() {
	local loop number version tried denied wrong file=$POLICIES/10-deny-quiet.yaml
	policies 10-deny-quiet.yaml
	rm -f "$WORK/stop"
	lictor-lab tool hammer --processes 2 --until "$WORK/stop" --deny /etc/shadow --allow /etc/hostname >"$WORK/loop" &
	loop=$!
	say '$ while true; do cat /etc/shadow; cat /etc/hostname; done &'
	for version in -more '' -more ''; do
		number=$(revision number)
		say "\$ cp 10-deny-quiet$version.yaml $file"
		if [ "$version" = '' ]; then
			cp "$EXAMPLES/10-deny-quiet.yaml" "$POLICIES/.new" && mv "$POLICIES/.new" "$file"
		else
			cat "$EXAMPLES/10-deny-quiet-more.yaml" >"$file"
		fi
		check new-version-is-live eventually 30 revision_is_past "$number"
	done
	number=$(revision number)
	say "\$ sed -i s/matchArgs/matchArg/ $file"
	sed s/matchArgs/matchArg/ "$EXAMPLES/10-deny-quiet.yaml" >"$POLICIES/.new" && mv "$POLICIES/.new" "$file"
	check broken-version-is-refused eventually 30 states_are '10-deny-quiet.yaml stale'
	lictor node status >"$WORK/status"
	grep 10-deny-quiet.yaml: "$WORK/status" | sed 's/^/@say /'
	contains status-says-why 'matchArgs' grep 'an earlier version is live: .*matchArg' "$WORK/status"
	contains log-says-why 'matchArgs' grep 'policy is not live: .*matchArg' "$LOG"
	expect metric-says-so 1 metric 'lictor_policy_files{state="stale"}'
	expect metric-names-it 1 metric \
		"lictor_policy_rejected{file=\"$file\",policy=\"deny-shadow-quietly\",state=\"stale\"}"
	expect old-version-is-live "$number" revision number
	person 'cat /etc/shadow'
	stderr_is still-denied 'cat: /etc/shadow: Operation not permitted'
	touch "$WORK/stop"
	wait $loop
	read -r tried denied wrong <"$WORK/loop"
	rm "$WORK/stop"
	say "(the loop: $tried attempts on two files, $denied denied, $wrong wrong)"
	fact tried "$tried"
	expect zero-wrong 0 echo "$wrong"
	expect half-are-denied "$tried" echo $((2 * denied))
}

# What belongs to no step: the node worker's end, the event stream of the socket, the release.
step_11() {
	policies 04-deny.yaml
	lictor events -o json >"$WORK/stream.json" 2>"$WORK/stream.err" &
	local json=$! lines
	lictor events >"$WORK/stream.txt" 2>>"$WORK/stream.err" &
	lines=$!
	check clients-are-there eventually 20 clients_are 2
	person 'cat /etc/shadow'
	check json-comes eventually 20 grep -q '"process_lsm".*deny-shadow' "$WORK/stream.json"
	check lines-come eventually 20 grep -q '/etc/shadow' "$WORK/stream.txt"
	grep /etc/shadow "$WORK/stream.txt" | sed 's/^/@say /'
	kill $json $lines
	wait $json $lines 2>/dev/null
	grep -m 1 deny-shadow "$WORK/stream.json" | sed 's/^/@fact streamed /'
	expect nothing-else-is-said '' cat "$WORK/stream.err"
	expect denied-is-counted 1 metric 'lictor_policy_denied_total{policy="deny-shadow",mode="enforce"}'
	say "\$ kill -TERM \$(pidof lictor-node)"
	kill -TERM $NODE
	wait $NODE
	expect ends-well 0 echo $?
	person 'cat /etc/shadow'
	stderr_is denied-after-the-end 'cat: /etc/shadow: Operation not permitted'
	node_start
	expect healthy ok fetch /healthz
}
clients_are() { [ "$(metric lictor_event_clients)" = "$1" ]; }

# The last act: nothing is left.
release() {
	printf '@begin 12 release\n'
	CASES_BEFORE=$(cat "$LAB_OUT/cases" | wc -l)
	person 'lictor node release'
	status_is released 0
	wait $NODE
	expect ends-well 0 echo $?
	person 'cat /etc/shadow'
	status_is nothing-is-denied 0
	refuse no-pins ls "$PINS"
	node_start
	person 'cat /etc/shadow'
	stderr_is the-folder-is-enforced-again 'cat: /etc/shadow: Operation not permitted'
	kill -9 $NODE
	wait $NODE 2>/dev/null
	person 'lictor node release'
	status_is released-without-a-node-worker 0
	person 'cat /etc/shadow'
	status_is nothing-is-denied-again 0
	contains nothing-failed 'Failures  none' cat "$WORK/last-status"
	tail -n +$((CASES_BEFORE + 1)) "$LAB_OUT/cases" | sed 's/^/@case /'
	echo @end
}
: "${PINS:=/sys/fs/bpf/lictor}"

play() {
	node_start
	local number names=(write selectors sigkill override get-url life-cycle privileges monitor restart change)
	for number in $(seq 10); do
		step_begin "$number" "${names[number - 1]}"
		"step_$number"
		step_end
	done
	if [ "$1" = whole ]; then
		step_begin 11 node
		step_11
		step_end
		lictor node status >"$WORK/last-status"
		release
	else
		lictor node release >/dev/null
		wait $NODE
	fi
}
