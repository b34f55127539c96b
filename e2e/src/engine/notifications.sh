# What rules leave for a thread's next call of their policy's enforcer: what becomes of it when policies change, and when nobody is
# there who could carry it out.
NOTIFYING=25 P=/run/policies X=/tmp/notified
mkdir -p $P
echo x >$X

# A policy that leaves its notification when a thread sets its umask to NOTIFYING: `notifies NAME CALL ARGUMENTS`.
notifies() {
	cat >$P/$1.yaml <<-END
		apiVersion: lictor.io/v1alpha1
		kind: TracingPolicy
		metadata: {name: ${1%%-*}}
		spec:
		  enforcers: [{calls: [$2]}]
		  kprobes:
		  - call: sys_umask
		    args: [{index: 0, type: int}]
		    selectors:
		    - matchArgs: [{index: 0, operator: Equal, values: [$NOTIFYING]}]
		      matchActions: [{action: NotifyEnforcer, $3}]
	END
}
notifies one security_file_open 'argError: -1'
notifies one-otherwise security_file_open 'argError: -13'
notifies one-extended security_file_open 'argError: -1'
cat >>$P/one-extended.yaml <<END
    - matchArgs: [{index: 0, operator: Equal, values: [511]}]
      matchActions: [{action: NotifyEnforcer, argError: -2}]
END
notifies two security_file_open 'argError: -1'
for number in 1 2 3 4 5 6 7 8; do notifies full$number security_path_mkdir 'argError: -1'; done
# Rules act in the order of their policies' names.
notifies early security_file_open 'argError: -1'
notifies late security_file_open 'argError: -1'
one=$P/one.yaml two=$P/two.yaml
full() { echo $P/full[$1].yaml; }

# Opens a file, and no other one, which the notification would be for.
open() { if read -rN 1 _ <$X; then echo allow; else echo deny; fi; }
# A shell that stays: `does notified` or `does open`.
notified() { umask 0031 && umask 0022 && echo so; }
mkfifo /run/resident.in /run/resident.out
(while read -r step; do $step; done) </run/resident.in >/run/resident.out 2>/dev/null &
resident_pid=$!
exec 13>/run/resident.in 12</run/resident.out
does() {
	local answer
	echo $1 >&13
	read -r answer <&12
	echo "$answer"
}
# What comes of the next file that a thread opens that was notified before COMMAND...
between() {
	does notified >/dev/null
	"$@" >/dev/null
	does open
}
twice() { does notified && does notified; }

lab_start opened
contains applied "revision 1 " lab apply $one
expect is-denied deny between :
expect is-denied-once allow does open
expect outlives-a-revision deny between lab apply $one $two
expect is-not-of-both allow does open
expect outlives-the-end-of-another-policy deny between lab apply $one
check two-again lab apply $two
expect each-policy-has-its-own deny does open
check one-again lab apply $one
expect is-for-no-other-policy allow between lab apply $two
check one-returns lab apply $one
expect is-still-there-when-its-policy-returns deny does open
expect is-void-when-the-errno-changes allow between lab apply $P/one-otherwise.yaml
check as-it-was lab apply $one
expect is-there-again deny does open
expect is-void-when-the-policy-can-leave-another allow between lab apply $P/one-extended.yaml
check as-it-was-again lab apply $one
expect is-there-once-more deny does open
expect replaced-is-counted 1 counted site notification_replaced twice
expect replaced-is-denied-once "deny allow" echo $(does open) $(does open)

# Without the process that loaded the programs, and with its successor.
does notified >/dev/null
lab_stop
expect without-a-node-worker deny does open
expect left-without-one deny between :
does notified >/dev/null
lab_start opened-again
contains adopted revision lab adopt $one
expect with-the-next-node-worker deny does open
expect once-with-the-next-one allow does open

# Eight notifications are kept of a thread. Each further one is in place of the oldest, and that is counted.
check eight lab apply $(full 2-8) $P/early.yaml
expect the-first-of-eight-is-there deny between :
check nine lab apply $(full 1-8) $P/early.yaml
expect the-first-of-nine-is-lost allow between :
expect what-is-lost-is-counted 9 counted site notification does notified
check another-nine lab apply $(full 1-8) $P/late.yaml
expect the-last-of-nine-is-there deny between :
exec 12<&- 13>&-
kill $resident_pid
wait $resident_pid

# Another way to deny.
check released lab release
lab_stop
lab_start hidden-opened --without-bpf-lsm
check applied-without-bpf-lsm lab apply $one
contains another-hook-point fmod_ret/security_file_open lab hooks
notified_and_opens() { { notified >&2 && open; } 2>/dev/null; }
expect without-bpf-lsm-is-denied deny notified_and_opens
check hidden-released lab release
lab_stop
cat /run/lab.errors
