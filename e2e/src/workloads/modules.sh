# Functions of a module that is loaded, removed and loaded again while policies name them. Alone: other policies hold it.

module_policy() { # NAME MORE
	cat >"$POLICIES/$1.yaml" <<-END
		apiVersion: lictor.io/v1alpha1
		kind: TracingPolicy
		metadata: {name: $1}
		spec:
		  kprobes:
		  - {syscall: false, args: [{index: 1, type: string}], $2}
	END
}
# The events of a policy since the step began.
of_module() { tail -c +$((EVENTS_BEFORE + 1)) "$EVENTS" | grep '^{"process_kprobe"' | grep -F "\"policy_name\":\"$1\""; }
hook_points() { lictor node status | grep -o '[a-z_]*/bridge:[a-z_]*' | sort -u | paste -s -d ' '; }
hook_points_are() { [ "$(hook_points)" = "$1" ]; }
insert_bridge() { insmod /lab/modules/*-bridge.ko; }
# `bridged NAME`: makes a bridge and takes it away again until a policy tells.
bridged() {
	brctl addbr lab-$1
	brctl delbr lab-$1
	sleep 0.5
	of_module "$1" | grep -qF "lab-$1"
}
modules() {
	local btf=/sys/kernel/btf
	rm -f "$POLICIES"/*
	STEP=modules EVENTS_BEFORE=$(stat -c %s "$EVENTS")
	# At its beginning: the module is free.
	module_policy begins 'call: br_add_bridge'
	module_policy waits 'call: br_add_bridge, ignore: {callNotFound: true}'
	check begins-is-live eventually 60 states_are "$(printf 'begins.yaml live\nwaits.yaml live')"
	check begins-is-a-kprobe hook_points_are kprobe/bridge:br_add_bridge
	check begins-tells eventually 20 bridged begins
	check the-module-is-free rmmod bridge
	check begins-is-refused eventually 30 states_are "$(printf 'begins.yaml rejected\nwaits.yaml live')"
	check nothing-is-attached-there hook_points_are ''
	contains the-reason-is-told 'function `br_add_bridge`; allowed: functions of this kernel, and of its modules that are loaded' \
		lictor node status
	check the-module-is-inserted insert_bridge
	check begins-is-live-again eventually 30 states_are "$(printf 'begins.yaml live\nwaits.yaml live')"
	check begins-tells-again eventually 20 bridged waits
	# Gone and back before anybody looks: its old breakpoint is gone for good, and nothing else has the policies compiled again.
	check the-module-is-loaded-anew eval 'rmmod bridge && insert_bridge'
	EVENTS_BEFORE=$(stat -c %s "$EVENTS")
	check begins-tells-of-the-new-one eventually 30 bridged begins
	rm "$POLICIES/waits.yaml"
	check waits-is-gone eventually 30 states_are 'begins.yaml live'
	# At its end: the module is held.
	module_policy ends 'call: br_del_bridge, return: true, returnArg: {index: 0, type: int}, selectors: [{matchReturnArgs: [{index: 0, operator: NotEqual, values: [0]}]}]'
	check ends-is-live eventually 60 states_are "$(printf 'begins.yaml live\nends.yaml live')"
	check ends-is-a-fexit hook_points_are 'fexit/bridge:br_del_bridge kprobe/bridge:br_add_bridge'
	refuse the-module-is-held rmmod bridge
	contains held-is-told 'the module cannot be removed' lictor node status
	contains held-is-explained 'fexit/bridge:br_del_bridge' lictor policy explain "$POLICIES/ends.yaml"
	contains held-is-checked 'the module cannot be removed as long as the policy is live' \
		lictor policy check --btf $btf/vmlinux --btf-module bridge=$btf/bridge "$POLICIES/ends.yaml"
	refuse there-is-no-such-bridge brctl delbr lab-none
	check another-bridge-is-made brctl addbr lab-one
	check another-bridge-is-removed brctl delbr lab-one
	sh -c : "end-of-step-$STEP"
	check ends-are-written eventually 60 sentinel_came
	contains what-was-returned-is-told '"args":[{"string_arg":"lab-none"}],"return":{"int_arg":-6}' of_module ends
	expect what-succeeded-is-not-told 1 eval 'of_module ends | grep -c .'
	rm "$POLICIES/ends.yaml"
	check ends-is-gone eventually 30 states_are 'begins.yaml live'
	check the-module-is-free-again eventually 20 rmmod bridge
	check begins-is-refused-again eventually 30 states_are 'begins.yaml rejected'
	check the-module-is-back insert_bridge
	check begins-is-back eventually 30 states_are 'begins.yaml live'
}
