scenarios=(
	rename_file rename_ancestor exchange hard_links recreate open_then_rename names deep bind_alias mount_move
	mount_reuse lazy_umount change_root overlay disk_mount reuse eviction disk_umount running
)
run_set() {
	local scenario begin=$EPOCHREALTIME end
	for scenario in "${scenarios[@]}"; do
		$scenario
		end=$EPOCHREALTIME
		times+="$scenario $(((${end/./} - ${begin/./}) / 1000)) ms, "
		begin=$end
	done
	if [ $SET = endings ]; then endings deny; else endings allow; fi
}
# Runs the set with these policies, then checks which way the engine took: `with SET POLICY...`.
with() {
	SET=$1
	shift
	local times= files=() hits memos hot begin=$SECONDS
	for policy in "$@"; do files+=(/run/$policy.yaml); done
	check $SET-applied lab apply "${files[@]}"
	hot=$(lab get stat path_hot) hits=$(lab get stat directory_hit) memos=$(lab get stat memo_hit)
	run_set
	hot=$(($(lab get stat path_hot) - hot))
	hits=$(($(lab get stat directory_hit) - hits))
	memos=$(($(lab get stat memo_hit) - memos))
	check $SET-remembered test $hot -gt 1000
	check $SET-remembered-outcomes test $memos -gt 200
	if [ $SET = endings ]; then
		# A directory does not tell what its files end with.
		check $SET-directories-unused test $hits = 0
	else
		check $SET-directories-remembered test $hits -gt 100
	fi
	echo "$SET: $hot hot, $hits by directory, $memos outcomes remembered, $((SECONDS - begin)) s: $times"
}

lab_start opened --stats
policies
with open file_open-paths file_open-binaries
with permission file_permission-paths file_permission-binaries
with endings file_open-paths file_open-binaries file_open-endings
told_set

SET=pathless
check $SET-applied lab apply /lab/policies/staleness/pathless.yaml
matched() { counted policy pathless.matched "$@"; }
piped() { echo x | dd of=/dev/null bs=1 count=1; }
expect $SET-pipe 1 matched piped
expect $SET-file 0 matched dd if=/etc/hostname of=/dev/null bs=1 count=1
(echo xy | busybox nc -l -p 4000 >/dev/null) &
connect() { exec 5<>/dev/tcp/127.0.0.1/4000; } 2>/dev/null
eventually 5 connect
socket() { dd of=/dev/null bs=1 count=1 <&5; }
expect $SET-socket 1 matched socket
exec 5<&-
contains $SET-event "(absent)" lab events pathless
check released lab release
lab_stop

# The same without the programs that tell of changes: what they are for must go wrong, or it was not tested.
lab_start bare-opened --stats --without-invalidation
SET=bare
check bare-applied lab apply /run/file_open-paths.yaml /run/file_open-binaries.yaml
MISSES=0
names
check bare-judges test $MISSES = 0
cp "$LAB_OUT/cases" /run/cases
for scenario in rename_ancestor mount_move mount_reuse; do
	MISSES=0
	$scenario
	cp /run/cases "$LAB_OUT/cases"
	check bare-$scenario-goes-wrong test $MISSES -gt 0
	cp "$LAB_OUT/cases" /run/cases
	echo "bare $scenario: $MISSES checks wrong"
done
check bare-released lab release
lab_stop
cat /run/lab.errors
