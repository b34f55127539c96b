# Everything that `on_...` has made, live at once; then what is done about it.
begin=$SECONDS
cp "$NEW"/*.yaml "$POLICIES/"
node_start
count=$(wc -l <"$LAB_OUT/policies")
all_live() { [ "$(states | grep -c ' live$')" = "$count" ]; }
check all-policies-are-live eventually 120 all_live
lictor node status >"$WORK/status"
states | grep -v " live$" && grep "\.yaml:" "$WORK/status"
echo "$count policies are live after $((SECONDS - begin)) s"
STEP=workloads EVENTS_BEFORE=0
for workload in $WORKLOADS; do
	begin=$SECONDS
	$workload
	echo "$workload: $((SECONDS - begin)) s"
done
sh -c : "end-of-step-$STEP"
check events-are-written eventually 60 sentinel_came
cp "$EVENTS" "$LAB_OUT/events"
lictor node status >"$WORK/status"
# The signal to a process that is gone, and a child that returned from a function that its parent had been called.
check only-what-has-to-failed grep -x 'Failures  calls 1, signal 1' "$WORK/status"
grep -A 3 Failures "$WORK/status"
echo "runs that the kernel has skipped:"
fetch /metrics | grep '^lictor_hook_missed_runs_total.* [1-9]'
loads
registers
hashes
modules
kill $OLD $APART $SERVER
lictor node release >/dev/null
wait $NODE
