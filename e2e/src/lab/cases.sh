# Records cases in $LAB_OUT/cases: `ok NAME` or `not ok NAME`, the latter followed by lines that begin with `#`.
lab_record() {
	local passed=$1 name=$2
	if [ "$passed" = 0 ]; then
		echo "ok $name"
	else
		echo "not ok $name"
		printf '%s\n' "$3" | head -c 8192 | tr '\0' '?' | sed 's/^/# /; $a\'
	fi >>"$LAB_OUT/cases"
}
check() {
	local name=$1 output code
	shift
	output=$("$@" 2>&1)
	code=$?
	lab_record $code "$name" "command: $*
exit code: $code
output: $output"
}
refuse() {
	local name=$1 output code
	shift
	output=$("$@" 2>&1)
	code=$?
	lab_record $((code == 0)) "$name" "command should have failed: $*
output: $output"
}
expect() {
	local name=$1 wanted=$2 output
	shift 2
	output=$("$@" 2>&1)
	[ "$output" = "$wanted" ]
	lab_record $? "$name" "command: $*
wanted: $wanted
output: $output"
}
contains() {
	local name=$1 wanted=$2 output
	shift 2
	output=$("$@" 2>&1)
	[[ $output == *"$wanted"* ]]
	lab_record $? "$name" "command: $*
wanted within: $wanted
output: $output"
}
eventually() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}
