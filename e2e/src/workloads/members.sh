# Members of the kernel's structures: behind arguments, behind what a function returned, of the current task; registers.
cp /usr/bin/cat $W/bin/members
cp /usr/bin/perl $W/bin/seeker
cp /usr/bin/cat $W/bin/exec-member

# The parent of the process that runs a program, by its name.
policy member-parent <<-END
	  lsmhooks:
	  - hook: bprm_check_security
	    args:
	    - {index: 0, type: string, resolve: mm.owner.real_parent.comm}
	    - {index: 0, type: path, resolve: file.f_path, label: program}
	    - {index: 0, type: linux_binprm}
	    selectors:
	    - matchArgs:
	      - {args: [0], operator: Equal, values: [sh]}
	      - {args: [1], operator: Equal, values: [$W/bin/members]}
END
# `on_member NAME FILTER`: what lies behind the file that is opened: a number, a text, an array of characters, a file.
on_member() {
	policy "$1" <<-END
		  lsmhooks:
		  - hook: file_open
		    args:
		    - {index: 0, type: file}
		    - {index: 0, type: auto, resolve: f_inode.i_size}
		    - {index: 0, type: string, resolve: f_path.dentry.d_name.name}
		    - {index: 0, type: auto, resolve: f_inode.i_sb.s_id}
		    - {index: 0, type: uint32, btfType: file, resolve: f_inode.i_uid.val}
		    selectors:
		    - matchArgs:
		      - {args: [0], operator: Equal, values: [$W/$1]}
		      - {$2}
	END
}
on_member member-number 'args: [1], operator: InRange, values: ["7:9"]'
on_member member-other-number 'args: [1], operator: NotEqual, values: [8]'
on_member member-text 'args: [2], operator: Postfix, values: [ber-text]'
on_member member-array 'args: [3], operator: NotPrefix, values: [ext4]'
# `on_data NAME FILTERS`
on_data() {
	policy "$1" <<-END
		  kprobes:
		  - call: fd_install
		    syscall: false
		    args: [{index: 1, type: file}]
		    data:
		    - {index: 0, type: string, source: current_task, resolve: comm}
		    - {index: 1, type: uint32, source: current_task, resolve: cred.uid.val, label: uid}
		    - {index: 2, type: file, source: current_task, resolve: mm.exe_file}
		    - {index: 3, type: int, source: current_task, resolve: pi_blocked_on.task.pid}
		    selectors:
		    - matchArgs: [{index: 1, operator: Equal, values: [$W/$1]}]
		      matchData: [$2]
	END
}
on_data data-comm '{index: 0, operator: Equal, values: [members]}, {index: 1, operator: Equal, values: [0]}'
on_data data-other-comm '{index: 0, operator: NotEqual, values: [members]}'
on_data data-file "{index: 2, operator: Equal, values: [$W/bin/members]}"
# `on_null NAME ON_UNRESOLVED`: a task that runs waits for nobody, so that the way ends at a NULL. At a function of their own,
# since events say whether any rule there asks for what cannot be read.
on_null() {
	policy "$1" <<-END
		  onUnresolved: $2
		  kprobes:
		  - call: vfs_open
		    syscall: false
		    args: [{index: 0, type: path}]
		    data: [{index: 0, type: int, source: current_task, resolve: pi_blocked_on.task.pid}]
		    selectors:
		    - matchArgs: [{index: 0, operator: Equal, values: [$W/$1]}]
		      matchData: [{index: 0, operator: NotEqual, values: [1]}]
	END
}
on_null data-skipped skip
on_null data-unresolved match
policy member-returned <<-END
	  kprobes:
	  - call: path_openat
	    syscall: false
	    return: true
	    args: [{index: 0, type: filename, resolve: name}]
	    returnArg: {index: 0, type: int64, resolve: f_inode.i_size}
	    selectors:
	    - matchArgs: [{index: 0, operator: Equal, values: [$W/member-returned]}]
	      matchReturnArgs: [{index: 0, operator: Equal, values: [8]}]
END
policy member-register <<-END
	  kprobes:
	  - call: sys_lseek
	    args: [{index: 1, type: int64}]
	    data:
	    - {index: 0, type: auto, source: pt_regs, resolve: orig_ax}
	    - {index: 0, type: int32, source: pt_regs, resolve: rsi}
	    selectors:
	    - matchArgs: [{index: 1, operator: Equal, values: [4242]}]
	      matchData: [{index: 0, operator: Equal, values: [8]}]
END
# Arguments and data in one condition.
policy member-expression <<-END
	  kprobes:
	  - call: sys_lseek
	    args: [{index: 1, type: int64}, {index: 2, type: int32}]
	    data: [{index: 0, type: auto, source: pt_regs, resolve: orig_ax}]
	    selectors:
	    - matchCEL: {expr: 'uint(arg0) == data0 + 4243u && arg1 == 1'}
END
policy member-raw <<-END
	  tracepoints:
	  - subsystem: sched
	    event: sched_process_exec
	    raw: true
	    args:
	    - {index: 0, type: string, resolve: comm}
	    - {index: 2, type: string, resolve: filename}
	    data: [{index: 0, type: string, source: current_task, resolve: comm}]
	    selectors:
	    - matchArgs: [{index: 0, operator: Equal, values: [exec-member]}]
	      matchData: [{index: 0, operator: Prefix, values: [exec-]}]
END
# What a module hands the kernel as a bare address is one of its own structures, which leads to the kernel's.
policy member-of-module <<-END
	  kprobes:
	  - call: netdev_rx_handler_register
	    syscall: false
	    args:
	    - {index: 2, type: string, btfType: net_bridge_port, btfTypeModule: bridge, resolve: br.dev.name}
	    - {index: 2, type: uint16, btfType: net_bridge_port, btfTypeModule: bridge, resolve: port_no}
	    selectors:
	    - matchArgs: [{args: [0], operator: Equal, values: [lab-bridge]}]
END
# A function of a module, whose own types tell what it is called with.
policy member-module-function <<-END
	  kprobes:
	  - call: br_add_if
	    syscall: false
	    args: [{index: 0, type: string, resolve: dev.name}, {index: 1, type: auto}]
	    selectors:
	    - matchArgs: [{index: 0, operator: Equal, values: [lab-bridge]}]
END
# The same at its end, with what it returned: the second time, the interface is in the bridge already (EBUSY).
policy member-module-returned <<-END
	  kprobes:
	  - call: br_add_if
	    syscall: false
	    return: true
	    returnArg: {index: 0, type: int}
	    args: [{index: 0, type: string, resolve: dev.name}, {index: 1, type: auto}]
	    selectors:
	    - matchArgs: [{index: 0, operator: Equal, values: [lab-bridge]}]
	      matchReturnArgs: [{index: 0, operator: Equal, values: ["-16"]}]
END
members() {
	local name
	for name in member-number member-other-number member-text member-array data-comm data-other-comm data-file \
		data-skipped data-unresolved member-returned; do
		check $name-is-read $W/bin/members $W/$name
	done
	check data-other-comm-is-read-by-another /usr/bin/cat $W/data-other-comm
	check member-parent-is-run sh -c "$W/bin/members $W/member-parent; :"
	check member-register-is-used $W/bin/seeker -e "open F, '<', '$W/member-register'; sysseek F, 4242, 0"
	local offset
	for offset in 4250 4251 4252; do
		check member-expression-$offset $W/bin/seeker -e "open F, '<', '$W/member-register'; sysseek F, $offset, 1"
	done
	check member-of-module-is-bridged brctl addbr lab-bridge
	check member-of-module-is-handed-over brctl addif lab-bridge dummy0
	refuse member-of-module-is-there-already brctl addif lab-bridge dummy0
	brctl delif lab-bridge dummy0
	brctl delbr lab-bridge
	local btf=/sys/kernel/btf policy=$NEW/member-of-module.yaml
	check module-types-of-a-file lictor policy check --btf $btf/vmlinux --btf-module bridge=$btf/bridge "$policy"
	contains module-types-are-asked-for --btf-module lictor policy check --btf $btf/vmlinux "$policy"
	sed 's/Module: bridge/Module: brigde/' "$policy" >"$WORK/no-module.yaml"
	contains module-is-not-loaded 'brigde, which is not loaded' lictor policy check --facts system "$WORK/no-module.yaml"
	check member-raw-is-run $W/bin/exec-member $W/member-raw
}
workload members
