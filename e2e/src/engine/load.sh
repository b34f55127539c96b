# Many processes on a kernel that preempts everywhere.
contains fully-preemptible "(full)" cat /sys/kernel/debug/sched/preempt
unprobeable=$(sed -n 's/^0x[0-9a-f-]*\t\([a-z_]*\)$/\1/p' /sys/kernel/debug/kprobes/blacklist | head -n 1)
lab_start opened --stats --ring-bytes $((16 << 20)) --hide "$unprobeable"
set_of() {
	local one files=()
	for one in "$@"; do files+=("/lab/policies/load/$one.yaml"); done
	(IFS=, && echo "${files[*]}")
}

# 150,000 walks. Each process has a path of its own with one name over and over, so that a walk in somebody else's
# memory would be seen.
for process in 0 1 2 3 4 5; do
	deep=/tmp/walk/$process
	for _ in $(seq 9); do deep+=/$(printf "$process%.0s" $(seq 40)); done
	mkdir -p $deep
	echo x >$deep/secret
	echo x >$deep/public
	cp /usr/bin/uname /tmp/walk/$process/tool
	secrets+=", \"$deep/secret\""
done
sed "s|\"/tmp/hammer/secret\"|${secrets#, }|" /lab/policies/load/deny.yaml >/run/walk.yaml
check walk-applied lab apply /run/walk.yaml
cold=$(lab get stat path_cold) begin=$SECONDS
walked=$(lictor-lab tool walk --processes 6 --operations 25000 /tmp/walk)
expect walk "150000 50004 0" echo "$walked"
cold=$(($(lab get stat path_cold) - cold))
check walk-cold test $cold -ge 150000
check walk-nested test "$(lab get stat second_slot)" -gt 0
expect walk-uncorrupted 0 lab get stat scratch_corrupt
expect walk-room 0 lab get site scratch_busy
expect walk-slots-free 0 lab busy
expect walk-resolved 0 lab get site path_walk
echo "walk: $walked, $cold cold, $(lab get stat second_slot) in a second slot, $((SECONDS - begin)) s"

# A file that moves while it is being looked at must not be remembered at the place where it was, nor its directory by
# the path of the other one. Long paths make for long looks.
race=/tmp/race$(printf '/%s' $(yes abcdefgh | head -n 30))
mkdir -p $race/pub $race/secret
for file in pub/moving pub/staying secret/staying; do echo x >$race/$file; done
sed "s,Equal,Prefix,; s,/tmp/hammer/secret,$race/secret/," /lab/policies/load/deny.yaml >/run/race.yaml
check race-applied lab apply /run/race.yaml
begin=$SECONDS
raced=$(lictor-lab tool rename-race --processes 4 --rounds 6000 --public $race/pub --secret $race/secret --until /run/race)
expect race "72000 36000 0" echo "$raced"
echo "race: $raced, $((SECONDS - begin)) s"

# Nor must it be told by the path where it was. This process knows where the file is; the others remember it at the same
# time. What it opens in each round, in this order:
told=/tmp/told
mkdir -p $told/pub $told/secret
for file in pub/moving pub/staying secret/staying; do echo x >$told/$file; done
sed "s,Equal,Prefix,; s,/tmp/hammer/secret,$told/secret/," /lab/policies/load/deny.yaml >/run/told-deny.yaml
sed "s,@HOOK@,file_open,; s,/tmp/told/,$told/," /lab/policies/staleness/told.yaml >/run/told.yaml
check told-applied lab apply /run/told-deny.yaml /run/told.yaml
check told-clear lab clear
begin=$SECONDS known=$(lab get stat path_string)
lictor-lab tool rename-race --processes 2 --rounds 400 --public $told/pub --secret $told/secret --until /run/told >/run/raced &
told_pid=$!
wait $told_pid
expect told-verdicts "4800 2400 0" cat /run/raced
lab events told | awk -v pid=$told_pid -v told=$told '
	BEGIN { split("pub/moving pub/staying secret/staying pub/moving pub/staying secret/staying " \
		"secret/m pub/staying secret/staying secret/m pub/staying secret/staying", wanted, " ") }
	{ all++ }
	$2 == pid { if ($NF != told "/" wanted[own++ % 12 + 1]) { wrong++; print own, $0 >"/run/told.wrong" } }
	END { print own + 0, wrong + 0 >"/run/told.own"; print all }' >/run/told.all
cat /run/told.wrong 2>/dev/null | head -n 5
lost=$(lab get hook lsm/file_open.lost)
expect told-paths "4800 0" cat /run/told.own
expect told-lost 0 echo "$lost"
check told-remembered test $(($(lab get stat path_string) - known)) -gt 1000
echo "told: $(cat /run/told.own) own, $(cat /run/told.all) events, $((SECONDS - begin)) s"

# The file stays denied while the rules for it are replaced.
mkdir -p /tmp/hammer
echo x >/tmp/hammer/public
echo x >/tmp/put
mv /tmp/put /tmp/hammer/secret
hammer() {
	rm -f /run/stop
	lictor-lab tool hammer --until /run/stop --deny /tmp/hammer/secret --allow /tmp/hammer/public "$@" >/run/hammered &
	hammer_pid=$!
}
hammered() {
	touch /run/stop
	wait $hammer_pid
	read -r operations denied wrong </run/hammered
}
switches() {
	local name=$1 times=$2 pause=$3 begin=$SECONDS
	shift 3
	check $name-before lab apply $(tr , ' ' <<<"$1")
	hammer --processes 4
	check $name-switched lab switch $times $pause "$@"
	hammered
	expect $name-wrong 0 echo $wrong
	check $name-hammered test $operations -gt 1000
	expect $name-tables 0 lab get site tables
	expect $name-tail-calls 0 lab get site tail_call
	expect $name-slots-free 0 lab busy
	echo "$name: $operations operations, $denied denied, $wrong wrong, $((SECONDS - begin)) s"
}
switches rules 200 5 "$(set_of deny)" "$(set_of deny-otherwise)"
tail_calls=$(lab get stat shape_tail_call)
switches shapes 60 20 "$(set_of deny)" "$(set_of deny-otherwise shape)" "$(set_of deny shape)"
check shapes-handed-over test "$(lab get stat shape_tail_call)" -gt "$tail_calls"
switches hooks 40 20 "$(set_of deny)" "$(set_of deny second-hook)"

# What is reported is reported once, whichever revision judged it.
check report-before lab apply /lab/policies/load/report.yaml /lab/policies/load/deny.yaml
check report-clear lab clear
hammer --processes 3 --pause-us 500
check report-switched lab switch 60 20 "$(set_of report deny)" "$(set_of report deny-otherwise)" "$(set_of report deny shape)"
hammered
expect report-wrong 0 echo $wrong
read -r events duplicates disorder revisions <<<"$(lab order report)"
lost=$(lab get hook lsm/file_open.lost)
expect report-each-once $operations echo $((events + lost))
expect report-duplicates 0 echo $duplicates
expect report-order 0 echo $disorder
check report-revisions test $revisions -gt 30
expect report-all-read "" sh -c "echo '$(lab others)' | grep -o 'unknown\|broken\|failed'"
echo "report: $operations operations, $events events, $lost lost, $revisions revisions"

# A plan that the kernel refuses half-way changes nothing.
sed "s|@FUNCTION@|$unprobeable|" /lab/policies/load/broken.yaml >/run/broken.yaml
check refused-before lab apply /lab/policies/load/deny.yaml
live=$(lab live)
hammer --processes 2
refuse refused lab apply /lab/policies/load/deny-otherwise.yaml /run/broken.yaml
contains refused-reason "$unprobeable" lab apply /lab/policies/load/deny-otherwise.yaml /run/broken.yaml
hammered
expect refused-wrong 0 echo $wrong
expect refused-live "$live" lab live
expect refused-hooks 1 sh -c "echo '$(lab hooks)' | grep -c attached"
check refused-after lab apply /lab/policies/load/deny-otherwise.yaml
check released lab release
lab_stop
refuse released-pins test -e /sys/fs/bpf/lictor
check released-open cat /tmp/hammer/secret
cat /run/lab.errors
