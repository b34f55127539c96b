exit_code() { "$@" >/dev/null 2>&1; echo $?; }
expect check-good 0 exit_code lictor policy check /lab/examples/aa-good.yaml
for file in /lab/bad/*.yaml; do
	name=${file##*/} name=${name%.yaml}
	lictor policy check "$file" >"$WORK/checked" 2>"$LAB_OUT/check-$name"
	code=$?
	[[ $name == *same-name ]] || expect "check-exit-code-$name" 1 echo $code
done
expect check-all 1 exit_code lictor policy check /lab/bad /lab/examples/aa-good.yaml

denied() { cat /etc/shadow 2>&1 | grep -q 'Operation not permitted'; }
cp /lab/examples/aa-good.yaml "$POLICIES/"
node_start
check good-is-live eventually 30 states_are 'aa-good.yaml live'
check good-denies denied
cp /lab/bad/*.yaml "$POLICIES/"
all_seen() { [ "$(states | grep -c ' rejected$')" = "$(ls /lab/bad | wc -l)" ]; }
check all-are-rejected eventually 60 all_seen
expect good-stays 'aa-good.yaml live' grep aa-good <(states)
check good-still-denies denied
lictor node status -o json >"$LAB_OUT/status.json"
fetch /metrics >"$LAB_OUT/metrics"
cp "$LOG" "$LAB_OUT/log"

# A file that cannot be read, and what is no file.
ln -s /nowhere/policy.yaml "$POLICIES/dangling.yaml"
mkdir "$POLICIES/folder.yaml"
cannot_be_read() { [ "$(states | grep -c '^dangling.yaml rejected$')" = 1 ]; }
check unreadable-file-is-rejected eventually 30 cannot_be_read
contains unreadable-file-in-status 'dangling.yaml' grep 'No such file' <(lictor node status)
contains unreadable-file-in-log 'dangling.yaml' grep 'No such file' "$LOG"
contains unreadable-file-in-metrics 'state="rejected"' grep dangling.yaml <(fetch /metrics)
check good-outlives-it denied
rm "$POLICIES/dangling.yaml"
rmdir "$POLICIES/folder.yaml"

# The folder goes away, and comes back.
mv "$POLICIES" "$POLICIES.away"
problem() { lictor node status -o json | sed -n '/"problems"/,$p' | grep -q "policy folder $POLICIES cannot be read"; }
check unreadable-folder-is-said eventually 60 problem
contains unreadable-folder-on-the-log 'what is live stays live' grep "policy folder $POLICIES cannot be read" "$LOG"
check unreadable-folder-is-a-metric test "$(metric lictor_problems)" -ge 1
check good-outlives-the-folder denied
mv "$POLICIES.away" "$POLICIES"
solved() { ! problem; }
check folder-is-back eventually 60 solved
rm "$POLICIES"/*.yaml
cp /lab/examples/04-deny.yaml "$POLICIES/"
check folder-is-read-again eventually 60 states_are '04-deny.yaml live'
check other-policy-denies denied
kill $NODE
wait $NODE
lictor node release >/dev/null

# What begins without its folder.
NODE_POLICIES=$POLICIES POLICIES=/etc/lictor/nowhere
lictor-node --policy-dir "$POLICIES" --no-stdout 2>"$WORK/nowhere.log" &
NODE=$!
said() { grep -q "policy folder $POLICIES cannot be read" "$WORK/nowhere.log"; }
check missing-folder-is-said eventually 150 said
lictor node release >/dev/null
wait $NODE
POLICIES=$NODE_POLICIES

# A kernel that tells nothing of its types.
mount -t tmpfs tmpfs /sys/kernel/btf
timeout 150 lictor-node --policy-dir "$POLICIES" --no-stdout >"$WORK/out" 2>"$WORK/no-btf.log"
code=$?
refuse without-btf-it-does-not-start test $code = 0
refuse without-btf-it-does-not-hang test $code = 124
contains without-btf-it-says-why 'BTF' tail -n 1 "$WORK/no-btf.log"
contains without-btf-it-names-the-file '/sys/kernel/btf/vmlinux' cat "$WORK/no-btf.log"
cp "$WORK/no-btf.log" "$LAB_OUT/no-btf.log"
check nothing-is-enforced cat /etc/shadow
umount /sys/kernel/btf
node_start
check with-btf-it-denies eventually 150 denied
kill $NODE
wait $NODE
