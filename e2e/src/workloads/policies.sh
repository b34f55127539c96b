# Policies are written here, each beside what is done about it. Every policy has a file of its own, $W/NAME, so that
# policies of one hook point do not report each other's workloads.
W=/tmp/w
mkdir -p $W/bin $W/more $W/s $W/d
NEW=$WORK/policies
mkdir -p "$NEW"

# A policy: `policy NAME <<SPEC`.
policy() {
	{
		printf 'apiVersion: lictor.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: %s\nspec:\n' "$1"
		cat
	} >"$NEW/$1.yaml"
	echo "$1" >>"$LAB_OUT/policies"
	echo "content" >"$W/$1"
}
# A policy about opening its file, with further members of its selector: `on_open NAME MEMBERS`. Asked before the file
# is opened.
on_open() {
	policy "$1" <<-END
		  lsmhooks:
		  - hook: file_open
		    args: [{index: 0, type: file}]
		    selectors:
		    - {matchArgs: [{index: 0, operator: Equal, values: [$W/$1]}], $2}
	END
}
# The same about a function that takes a file: `on_function NAME CALL INDEX MEMBERS`.
on_function() {
	policy "$1" <<-END
		  kprobes:
		  - call: $2
		    syscall: false
		    args: [{index: $3, type: file}]
		    selectors:
		    - {matchArgs: [{index: $3, operator: Equal, values: [$W/$1]}], $4}
	END
}
# A policy about a system call: `on_call NAME CALL ARGUMENTS FILTERS [MEMBERS]`.
on_call() {
	policy "$1" <<-END
		  kprobes:
		  - call: $2
		    syscall: true
		    args: [$3]
		    selectors:
		    - {matchArgs: [$4]${5:+, $5}}
	END
}
# What is done while the policies are live; run in the order in which it is named.
WORKLOADS=
workload() { WORKLOADS+=" $1"; }
