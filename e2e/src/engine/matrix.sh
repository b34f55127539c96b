# Every kind of program with every kind of argument and question: each must load and attach. What the verifier had to
# look at goes to $LAB_OUT/verifier, one line for each: `POLICY POINT INSTRUCTIONS`.
refusals() {
	lab apply "$@" | grep -v ^revision
}
load_each() {
	local label=$1 policy point shape instructions
	shift
	for policy in "$@"; do
		check $label-$policy-cleared lab apply
		expect $label-$policy-refusals "" refusals /lab/policies/matrix/$policy.yaml
		lab verified | while read -r point shape instructions; do
			# Where a function is in a program, and on which device that is, differs between machines.
			[ -z "$point" ] || echo "$policy ${point%%:0x*} $instructions" >>$LAB_OUT/verifier
		done
	done
}
lab_start opened
lab verified-base | sed 's/^/base /' >>$LAB_OUT/verifier
load_each plain lsm-paths lsm-process lsm-everything functions returns tracepoints scopes network credentials objects \
	members members-of-tracepoints stacks stacks-elsewhere substrings \
	substrings-of-tracepoints expressions expressions-elsewhere notifications \
	programs programs-at-the-end programs-calls programs-copies
check released lab release
lab_stop

lab_start hidden-opened --without-bpf-lsm --hide fd_install --hide __x64_sys_write --hide __x64_sys_writev \
	--hide __x64_sys_openat --hide filename_lookup --hide security_path_unlink --hide vfs_fsync_range \
	--hide tcp_connect --hide ip_output --hide __x64_sys_connect --hide commit_creds --hide cap_capable \
	--hide do_init_module --hide dev_hard_start_xmit --hide bpf_check --hide security_bpf_map \
	--hide security_perf_event_alloc --hide security_bpf_prog --hide layout_symtab --hide security_capset --hide tty_write \
	--hide vfs_llseek --hide __x64_sys_renameat2 --hide __x64_sys_umask
load_each hidden lsm-paths lsm-process lsm-everything functions network credentials objects members stacks substrings \
	expressions notifications
# The end of a function needs its type information: the policy is refused whole, with the reason.
contains hidden-scopes-refused "vfs_fsync_range is not in BTF" refusals /lab/policies/matrix/scopes.yaml
check hidden-released lab release
lab_stop
cat /run/lab.errors
