# Policies that select workloads, with real cgroups: names as the kubelet gives them, containers in them, processes that move.
CGROUPS=/sys/fs/cgroup
SHOP=11111111-1111-4111-8111-111111111111
BANK=22222222-2222-4222-8222-222222222222
LATE=33333333-3333-4333-8333-333333333333
STATIC=44444444444444444444444444444444
P=/lab/policies/scopes
SET="$P/namespace.yaml $P/labels.yaml $P/host.yaml $P/pods.yaml $P/everyone.yaml"
NAMES="namespace labels host pods everyone"

# What each policy answers to a process in CGROUP that has just begun: one letter each, d = denied, a = allowed.
verdicts() {
	(
		echo $BASHPID >"$1/cgroup.procs" || exit
		for name in $NAMES; do
			probe /tmp/$name/x
			printf %.1s "$VERDICT"
		done
	)
}
# A process that stays: `resident CGROUP`, then `asked` gives the same letters, and asks three times, since an answer may be remembered.
resident() {
	rm -f /run/resident.in /run/resident.out
	mkfifo /run/resident.in /run/resident.out
	(
		exec 10<&- 11>&-
		echo $BASHPID >"$1/cgroup.procs"
		while read -r _; do
			for round in 1 2 3; do
				for name in $NAMES; do
					probe /tmp/$name/x
					printf %.1s "$VERDICT"
				done
				printf ' '
			done
			echo
		done
	) </run/resident.in >/run/resident.out &
	resident_pid=$!
	exec 13>/run/resident.in 12</run/resident.out
}
asked() {
	local answer
	echo >&13
	read -r answer <&12
	echo $answer
}
thrice() { echo "$1 $1 $1"; }
move() { echo $resident_pid >"$1/cgroup.procs"; }
resident_end() {
	exec 12<&- 13>&-
	wait $resident_pid
}
revision() { lab live; }
programs() { lab verified | sort; }
tell() { lab pods "$@"; }

for name in $NAMES container selectors; do
	mkdir -p /tmp/$name
	echo x >/tmp/$name/x
done
mkdir -p $CGROUPS/system/unit $CGROUPS/kubepods/burstable
lab_start opened --stats
check root lab place $CGROUPS host
check system lab place $CGROUPS/system host
check kubepods lab place $CGROUPS/kubepods unknown
check burstable lab place $CGROUPS/kubepods/burstable unknown
contains told "2 pods" tell $SHOP:shop:app=web,tier=new $BANK:bank:app=api
contains applied "revision 1 " lab apply $SET
before=$(revision) loaded=$(programs)

# Whoever is outside all pods.
expect host aadad verdicts $CGROUPS
expect host-below aadad verdicts $CGROUPS/system/unit
mkdir $CGROUPS/system/later
expect host-made-later aadad verdicts $CGROUPS/system/later

# Pods by their names, and what is made in them later: nobody is asked in between.
pod=$CGROUPS/kubepods/burstable/pod$SHOP
mkdir -p $pod/container
expect pod ddadd verdicts $pod/container
mkdir -p $pod/container/nested/deeper
expect pod-nested ddadd verdicts $pod/container/nested/deeper
bank=$CGROUPS/kubepods/burstable/pod$BANK
mkdir -p $bank/container
expect other-pod aaadd verdicts $bank/container
late=$CGROUPS/kubepods/burstable/pod$LATE
mkdir -p $late/container
expect unknown-pod aaadd verdicts $late/container

# The same by systemd's names.
slices=$CGROUPS/kubepods.slice
mkdir -p $slices
check slices lab place $slices unknown
slice=$slices/kubepods-besteffort.slice/kubepods-besteffort-pod${BANK//-/_}.slice
mkdir -p $slice/cri-containerd-0123.scope
expect pod-of-systemd aaadd verdicts $slice/cri-containerd-0123.scope
slice=$slices/kubepods-pod${SHOP//-/_}.slice
mkdir -p $slice/cri-containerd-4567.scope
expect guaranteed-pod-of-systemd ddadd verdicts $slice/cri-containerd-4567.scope

# A name does not make a pod where the kubelet makes none.
mkdir -p $bank/container/pod$SHOP $pod/container/pod$BANK $CGROUPS/system/pod$SHOP
expect name-within-other-pod aaadd verdicts $bank/container/pod$SHOP
expect name-within-pod ddadd verdicts $pod/container/pod$BANK
expect name-on-the-host aadad verdicts $CGROUPS/system/pod$SHOP
mkdir -p $CGROUPS/kubepods/burstable/xpo$SHOP $CGROUPS/kubepods/burstable/pod${SHOP}0
expect name-of-no-pod aaadd verdicts $CGROUPS/kubepods/burstable/xpo$SHOP
expect name-of-longer-uid aaadd verdicts $CGROUPS/kubepods/burstable/pod${SHOP}0

# A process is where it is, not where it was.
resident $pod/container
expect moves-at-first "$(thrice ddadd)" asked
move $bank/container
expect moves-to-other-pod "$(thrice aaadd)" asked
move $CGROUPS/system/unit
expect moves-to-host "$(thrice aadad)" asked
move $pod/container/nested
expect moves-back "$(thrice ddadd)" asked

# Labels change while it runs.
tell $SHOP:shop:app=web,tier=old $BANK:bank:app=api >/dev/null
expect relabelled "$(thrice daadd)" asked
tell $SHOP:shop:app=web $BANK:bank:app=web >/dev/null
expect relabelled-back "$(thrice ddadd)" asked
move $bank/container
expect other-pod-relabelled "$(thrice adadd)" asked

# A pod that is told of after its container began.
move $late/container
expect late-before "$(thrice aaadd)" asked
tell $SHOP:shop:app=web $BANK:bank:app=web $LATE:shop: $STATIC:shop:app=web >/dev/null
expect late-not-placed "$(thrice aaadd)" asked
lab place $late $LATE >/dev/null
lab place $late/container $LATE >/dev/null
expect late-placed "$(thrice daadd)" asked
mkdir $late/second
expect late-second-container daadd verdicts $late/second
mkdir -p $CGROUPS/kubepods/pod$STATIC/container
expect pod-by-file ddadd verdicts $CGROUPS/kubepods/pod$STATIC/container

# Nobody is told of it any more: it is a pod, but of no namespace.
tell $SHOP:shop:app=web $BANK:bank:app=web >/dev/null
expect forgotten "$(thrice aaadd)" asked
resident_end
expect no-new-revision "$before" revision
expect no-program-loaded "$loaded" programs

# Containers of a pod: judged as their pod until somebody has told which they are; then what they make is theirs.
CSET="$P/container.yaml $P/selectors.yaml"
NAMES="container selectors"
check containers-applied lab apply $CSET
mkdir -p $pod/main/below $pod/side
tell $SHOP:shop:app=web:main=docker.io/library/nginx,side=ghcr.io/shop/proxy $BANK:bank:app=web >/dev/null
expect container-not-told aa verdicts $pod/main/below
resident $pod/main
expect container-not-told-resident "$(thrice aa)" asked
lab place $pod $SHOP >/dev/null
lab place $pod/main $SHOP/main >/dev/null
lab place $pod/main/below $SHOP/main >/dev/null
lab place $pod/side $SHOP/side >/dev/null
expect container-of-a-pod "$(thrice dd)" asked
expect container-nested dd verdicts $pod/main/below
mkdir $pod/main/later
expect container-made-later dd verdicts $pod/main/later
expect other-container aa verdicts $pod/side
expect container-of-other-pod aa verdicts $bank/container
expect workloads-host ad verdicts $CGROUPS/system/unit
move $pod/side
expect moves-to-other-container "$(thrice aa)" asked
tell $SHOP:shop:app=web:main=docker.io/library/nginx,side=docker.io/library/nginx $BANK:bank:app=web >/dev/null
expect container-image-changed "$(thrice ad)" asked
tell $SHOP:shop:app=db:main=docker.io/library/nginx,side=docker.io/library/nginx $BANK:bank:app=web >/dev/null
expect container-pod-relabelled "$(thrice aa)" asked
tell $SHOP:shop:app=web $BANK:bank:app=web >/dev/null
expect containers-gone "$(thrice aa)" asked
resident_end
NAMES="namespace labels host pods everyone"

# A revision without workloads, and back.
check unscoped lab apply $P/everyone.yaml
expect unscoped-pod aaaad verdicts $pod/container
check scoped-again lab apply $SET
expect scoped-again-pod ddadd verdicts $pod/container
expect scoped-again-host aadad verdicts $CGROUPS
mkdir -p $pod/second
expect scoped-again-new-container ddadd verdicts $pod/second

# The next agent takes over what is there, before it knows a single pod.
lab_stop
mkdir -p $pod/without-agent
expect without-agent ddadd verdicts $pod/without-agent
lab_start reopened --stats
check adopted lab adopt $SET
expect adopted-pod ddadd verdicts $pod/without-agent
expect adopted-host aadad verdicts $CGROUPS
tell $BANK:bank:app=web $SHOP:shop:app=web >/dev/null
expect adopted-told ddadd verdicts $pod/container
expect adopted-other adadd verdicts $bank/container/pod$SHOP
tell $BANK:bank:app=web $SHOP:shop:app=web,tier=old >/dev/null
expect adopted-relabelled daadd verdicts $pod/container

# More cgroups than are remembered: found by a walk, and other pods keep their room.
nested() { lab scopes | grep -o 'nested .*'; }
full=$(lab get site cgroup_table)
mkdir $pod/flood
seq -f $pod/flood/%.0f 8300 | xargs mkdir
expect flood-counted yes sh -c "[ $(lab get site cgroup_table) -gt $full ] && echo yes"
walks=$(lab get stat cgroup_walk)
expect flood-last daadd verdicts $pod/flood/8300
expect flood-walked yes sh -c "[ $(lab get stat cgroup_walk) -gt $walks ] && echo yes"
mkdir -p $slices/kubepods-pod${BANK//-/_}.slice
expect flood-other-pod adadd verdicts $slices/kubepods-pod${BANK//-/_}.slice
seq -f $pod/flood/%.0f 8300 | xargs rmdir
rmdir $pod/flood
mkdir -p $bank/after
expect flood-over adadd verdicts $bank/after
contains records '"cgroup"' lab others
check released lab release
lab_stop
expect released-pod aaaaa verdicts $pod/container
cat /run/lab.errors
