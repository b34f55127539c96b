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
# A map and a program of two instructions, which returns 0; an event that counts page faults, and one at a function.
cat >$W/objects.pl <<-'END'
	my ($bpf, $perf_event_open) = (321, 298);
	sub made { $_[0] >= 0 or die "$_[1]: $!" }
	my $map = pack("L7 a16", 2, 4, 8, 3, 0, 0, 0, "lictor_map");
	made(syscall($bpf, 0, $map, length $map), "map");
	my ($code, $license) = (pack("C C s l C C s l", 0xb7, 0, 0, 0, 0x95, 0, 0, 0), "GPL\0");
	my ($at, $terms) = map { unpack "Q", pack "P", $_ } $code, $license;
	my $program = pack("L2 Q2 L2 Q L2 a16", 1, 2, $at, $terms, 0, 0, 0, 0, 0, "lictor_prog");
	made(syscall($bpf, 5, $program, length $program), "program");
	sub event {
		my $attr = pack("L2 Q5 L2 Q2 x40", $_[0], 112, $_[1], 0, 0, 0, 0, 0, 0, $_[2], 0);
		made(syscall($perf_event_open, $attr, 0, -1, -1, 0), "event");
	}
	event(1, 2, 0);
	open my $file, "<", "/sys/bus/event_source/devices/kprobe/type" or die "kprobe: $!";
	my ($type, $function) = (<$file> + 0, "vfs_fsync_range\0");
	event($type, 0, unpack "Q", pack "P", $function);
END
objects() {
	check objects-are-made $W/bin/objects $W/objects.pl
	check module-is-removed rmmod dummy
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
