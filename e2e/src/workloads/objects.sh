# Modules, interfaces, BPF programs and maps, perf events.

# `by_maker NAME CALL INDEX TYPE`: what $W/bin/objects does.
by_maker() {
	policy "$1" <<-END
		  kprobes:
		  - call: $2
		    syscall: false
		    args: [{index: $3, type: $4}]
		    selectors:
		    - matchBinaries: [{operator: In, values: [$W/bin/objects]}]
	END
}
by_maker object-program bpf_check 1 bpf_attr
by_maker object-map security_bpf_map 0 bpf_map
by_maker object-event security_perf_event_alloc 0 perf_event
by_maker object-made-program security_bpf_prog 0 bpf_prog
policy command <<-END
	  lsmhooks:
	  - hook: bpf
	    args: [{index: 0, type: bpf_cmd}]
	    selectors:
	    - matchArgs: [{index: 0, operator: Equal, values: [BPF_PROG_LOAD]}]
	      matchBinaries: [{operator: In, values: [$W/bin/objects]}]
END
policy module-being-loaded <<-END
	  kprobes:
	  - call: layout_symtab
	    syscall: false
	    args: [{index: 1, type: load_info}]
END
# Sets of capabilities that capset(2) is asked for, beside what the process has.
policy capability-sets <<-END
	  lsmhooks:
	  - hook: capset
	    args:
	    - {index: 2, type: cap_effective}
	    - {index: 3, type: cap_inheritable}
	    - {index: 4, type: cap_permitted}
	    - {index: 0, type: kernel_cap_t, resolve: cap_bset, label: bounding}
	    selectors:
	    - matchArgs:
	      - {index: 2, operator: Mask, values: [CAP_NET_RAW, CAP_SYS_CHROOT]}
	      - {index: 3, operator: Equal, values: ['0x2000']}
	      matchBinaries: [{operator: In, values: [$W/bin/objects]}]
END
# A capability that was not effective before: CAP_KILL is, when it is taken up again.
policy capabilities-gained <<-END
	  kprobes:
	  - call: security_capset
	    syscall: false
	    args:
	    - {index: 1, type: cap_effective, resolve: cap_effective, label: before}
	    - {index: 2, type: cap_effective}
	    selectors:
	    - matchArgs: [{operator: CapabilitiesGained, args: [0, 1], values: [CAP_KILL, CAP_CHOWN]}]
	      matchBinaries: [{operator: In, values: [$W/bin/objects]}]
END
# What is written to a terminal, in one piece and in several.
policy terminal <<-END
	  kprobes:
	  - call: tty_write
	    syscall: false
	    args: [{index: 0, type: kiocb}, {index: 1, type: iov_iter}]
	    selectors:
	    - matchArgs: [{index: 0, operator: Postfix, values: [/ptmx]}]
END
# `by_module NAME OPERATOR`
by_module() {
	policy "$1" <<-END
		  kprobes:
		  - call: do_init_module
		    syscall: false
		    args: [{index: 0, type: module}]
		    selectors:
		    - matchArgs: [{index: 0, operator: $2}]
		  - call: free_module
		    syscall: false
		    args: [{index: 0, type: module}]
		    selectors:
		    - matchArgs: [{index: 0, operator: $2}]
	END
}
by_module module 'Equal, values: [dummy]'
by_module module-prefix 'Prefix, values: [dum]'
by_module module-other 'NotEqual, values: [dummy]'
cp /usr/bin/perl $W/bin/objects
objects() {
	check objects-are-made $W/bin/objects /lab/objects.pl
	check module-is-removed rmmod dummy
	check terminal-is-written $W/bin/objects /lab/terminal.pl
	check capabilities-are-set $W/bin/objects /lab/capset.pl
	check module-is-inserted insmod /lab/modules/00-dummy.ko
}
workload objects
# The limit is by the name of the interface: of all that the program sends, the first is reported.
LIMITED='matchActions: [{action: Post, rateLimit: 1m}]'
on_device() {
	by_program "$1" kprobes "call: dev_hard_start_xmit$FUNCTION" '{index: 1, type: net_device}' \
		"{index: 1, operator: $2}" "$LIMITED"
}
on_device device 'Equal, values: [lo]'
on_device device-postfix 'Postfix, values: [o]'
on_device device-other 'NotPrefix, values: [lo]'
