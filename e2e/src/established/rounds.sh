# Runs the rounds of `triggers.txt`: the policies of one are live together while what should trigger them is done.
E=/tmp/e
mkdir -p $E

# What the policies name and a guest does not have.
rm /usr/sbin
mkdir /usr/sbin
cp /usr/bin/env /usr/sbin/sshd
cp "$(find /usr/lib /lib -name libm.so.6 | head -n 1)" $E/liblzma.so.5.6.1
cp /usr/bin/bash /usr/bin/curl
cp /usr/bin/id /usr/bin/sample-exec
ln -s /etc/hostname $E/link
echo text >/etc/motd
ip addr add 10.9.9.9/32 dev lo
nc -ll -p 8102 -e /usr/bin/cat &
# Without a program of some control group the kernel does not call the function that asks them about packets.
perl -e 'my ($code, $license) = (pack("C C s l C C s l", 0xb7, 0, 0, 1, 0x95, 0, 0, 0), "GPL\0");
	my ($at, $terms) = map { unpack "Q", pack "P", $_ } $code, $license;
	my $load = pack("L2 Q2 L2 Q L2 a16", 8, 2, $at, $terms, 0, 0, 0, 0, 0, "lictor_pass");
	my $program = syscall(321, 5, $load, length $load);
	sysopen my $group, "/sys/fs/cgroup", 0;
	for my $direction (0, 1) {
		my $attach = pack("L4", fileno $group, $program, $direction, 0);
		syscall(321, 8, $attach, length $attach) == 0 or die "attach: $!";
	}' || echo "no program of a control group" >&2

# Prints the exit status of a shell that has the number in the templates, after it has done this. Somebody else may begin a
# process just then and get the number.
matched_does() {
	local status=99 tries=20
	while [ $status = 99 ] && [ $((tries--)) -gt 0 ]; do
		echo $((MATCHED_PID - 1)) >/proc/sys/kernel/ns_last_pid
		([ $BASHPID = $MATCHED_PID ] || exit 99 && exec bash -c "$1") >/dev/null 2>&1 &
		wait $!
		status=$?
	done 2>/dev/null
	echo $status
}
# Has the kernel itself run a command, in a process that is not below the first one.
as_kernel() {
	printf '#!/usr/bin/sh\nPATH=/usr/bin %s\ntouch %s\n' "$*" $E/done >$E/helper
	chmod +x $E/helper
	rm -f $E/done
	echo $E/helper >/proc/sys/kernel/modprobe
	# The kernel looks for the module of a protocol that it does not have.
	perl -e 'syscall 41, 9, 2, 0'
	check kernel-runs-it eventually 20 test -e $E/done
	echo /sbin/modprobe >/proc/sys/kernel/modprobe
}
# Answers one request for a page, which is then in $WORK/page.
page_begin() { printf 'HTTP/1.0 200 OK\r\n\r\n' | nc -l -p 80 >"$WORK/page" & }

# Each policy is live, or rejected, and no other is known. Asking all the time would slow down what is waited for.
settled() {
	sleep 0.5
	states >"$WORK/states"
	[ "$(awk '$2 == "live" || $2 == "rejected" { print $1 }' "$WORK/states")" = "$(ls "$POLICIES")" ]
}
round_begin() {
	STEP=round-$1
	rm -f "$POLICIES"/*
	cp /lab/established/$1/* "$POLICIES/"
	[ "$NODE" ] || node_start
	check "$STEP-is-settled" eventually 120 settled
	{
		cat "$WORK/states"
		lictor node status | grep ': not live: '
	} >"$LAB_OUT/states-$1"
	EVENTS_BEFORE=$(stat -c %s "$EVENTS")
}
OWN='^{"process_[a-z]*":{"process":{[^{}]*"\(binary":"/usr/bin/lictor\|arguments":"/lab/command\)'
# Leaves what the node worker has written of policies and of ends by a signal, without the long lists of capabilities and
# without what the node worker and the shell of this script did. The policies go first: waiting would be told of, too.
round_end() {
	rm -f "$POLICIES"/*
	check "$STEP-is-over" eventually 60 settled
	sh -c : "end-of-step-$STEP"
	check "$STEP-is-written" eventually 60 sentinel_came
	# The round may have begun while a line was being written, whose end is of no use.
	tail -c +$((EVENTS_BEFORE + 1)) "$EVENTS" | grep '^{' | grep '"policy_name"\|"signal"' | grep -v "$OWN" |
		sed 's/"cap":{[^{}]*},//g' >"$LAB_OUT/events-$1"
	echo "$STEP: $(wc -l <"$LAB_OUT/events-$1") events of policies, $SECONDS s"
}

# The same for policies that select pods, without a node worker, whom nobody would tell of pods.
POD=/sys/fs/cgroup/kubepods/pod11111111-1111-4111-8111-111111111111
pods_begin() {
	lictor node release >/dev/null
	kill $NODE
	wait $NODE
	rmmod dummy
	mkdir -p /sys/fs/cgroup/kubepods
	lab_start engine-is-opened
	check all-pods-are-here lab place /sys/fs/cgroup/kubepods unknown
	check pod-is-told lab pods "${POD##*/pod}:shop:app=web"
	mkdir $POD
	contains pod-policies-are-live 'revision 1 ' lab apply /lab/established/$1/*
}
# Runs a command in a pod, in a PID namespace of its own.
in_pod() {
	(
		exec 10<&- 11>&-
		echo $BASHPID >$POD/cgroup.procs
		unshare -p -f "$@"
	)
}
pods_end() {
	local name
	for name in $(sed -n 's/^  name: "\(.*\)"/\1/p' /lab/established/$1/*); do lab events "$name"; done >"$LAB_OUT/events-$1"
	lab release >/dev/null
	lab_stop
}
