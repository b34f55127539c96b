# Registers of a program that are written. After the others: old kernels refuse such a policy.

# A policy with selectors about what lab_chosen() is called with.
chosen_policy() {
	cat >"$WORK/$1.yaml" <<-END
		apiVersion: lictor.io/v1alpha1
		kind: TracingPolicy
		metadata: {name: $1}
		spec:
		  mode: $2
		  uprobes:
		  - path: $W/bin/chosen
		    symbols: [lab_chosen]
		    args: [{index: 0, type: int}]
		    selectors: [$3]
	END
}
# A selector: `on_number NUMBER MEMBERS`.
on_number() {
	printf '%s' "{matchArgs: [{index: 0, operator: Equal, values: ['$1']}], matchActions: [{action: Override, $2}]}"
}
registers() {
	local other selectors
	cp /usr/bin/probed $W/bin/chosen
	chosen_policy elsewhere enforce '{}'
	sed -i 's/lab_chosen/lab_other/' "$WORK/elsewhere.yaml"
	other=$(lictor policy explain "$WORK/elsewhere.yaml" | sed -n 's/^uprobe.*chosen:\(0x[0-9a-f]*\):.*/\1/p')
	selectors=$(on_number 1 'argError: 7')
	selectors+=", $(on_number 2 'argRegs: [rdi=40]')"
	selectors+=", $(on_number 3 'argNewSymbol: lab_other')"
	selectors+=", $(on_number 4 'argRegs: [rax=-5, "rip=(%rsp)", "rsp=8%rsp"]')"
	selectors+=", $(on_number 5 "argNewOffset: $other, argRegs: ['edi=8%edi']")"
	selectors+=", $(on_number 6 'argRegs: [rsi=1, "rdi=(%rdi)"]')"
	chosen_policy chosen enforce "$selectors"
	chosen_policy watched monitor "$(on_number 8 'argError: 1')"
	case $(uname -r) in
	6.1.* | 6.12.*)
		lictor policy explain "$WORK/chosen.yaml" >"$WORK/refused" 2>&1
		check registers-are-refused grep "spec.uprobes\[0\]: found Override at a function of a program, on kernel $(uname -r)" "$WORK/refused"
		expect nothing-is-written 101 $W/bin/chosen chosen 1
		return
		;;
	esac
	rm -f "$POLICIES"/*
	cp "$WORK/chosen.yaml" "$WORK/watched.yaml" "$POLICIES/"
	check registers-are-live eventually 60 states_are "$(printf 'chosen.yaml live\nwatched.yaml live')"
	STEP=registers EVENTS_BEFORE=$(stat -c %s "$EVENTS")
	expect a-function-returns-at-once 7 $W/bin/chosen chosen 1
	expect an-argument-is-another-one 140 $W/bin/chosen chosen 2
	expect another-function-is-executed 203 $W/bin/chosen chosen 3
	expect several-registers-are-written -5 $W/bin/chosen chosen 4
	expect another-function-gets-another-argument 213 $W/bin/chosen chosen 5
	expect what-cannot-be-read-writes-nothing 106 $W/bin/chosen chosen 6
	expect other-calls-go-on 107 $W/bin/chosen chosen 7
	expect monitor-mode-writes-nothing 108 $W/bin/chosen chosen 8
	sh -c : "end-of-step-$STEP"
	check registers-are-told eventually 60 sentinel_came
	tail -c +$((EVENTS_BEFORE + 1)) "$EVENTS" | grep '^{"process_uprobe"' >"$WORK/chosen"
	# The argument is the one that the function was called with.
	check written-registers-are-told grep '"args":\[{"int_arg":2}\].*"action":"KPROBE_ACTION_OVERRIDE"' "$WORK/chosen"
	check monitored-registers-are-told grep '"args":\[{"int_arg":8}\].*"action":"KPROBE_ACTION_OVERRIDE".*"mode":"monitor"' "$WORK/chosen"
	expect each-call-is-told-once 7 grep -c . "$WORK/chosen"
	lictor node status >"$WORK/status"
	check what-could-not-be-read-is-counted grep 'registers 1' "$WORK/status"
	# A policy that only reports at the same place has a program of its own, and the registers are written all the same.
	sed 's/metadata: {name: elsewhere}/metadata: {name: reports}/; s/lab_other/lab_chosen/' "$WORK/elsewhere.yaml" >"$POLICIES/reports.yaml"
	check registers-are-live-beside-reports eventually 60 states_are "$(printf 'chosen.yaml live\nreports.yaml live\nwatched.yaml live')"
	expect a-function-returns-at-once-beside-reports 7 $W/bin/chosen chosen 1
}
