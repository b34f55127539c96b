# A map and a program of two instructions, which returns 0; an event that counts page faults, and one at a function.
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
