# capset(2) with the header of version 3: effective CAP_NET_RAW (13) and CAP_KILL (5), inheritable CAP_NET_RAW, all permitted.
my ($header, $all) = (pack("L2", 0x20080522, 0), pack("L6", (0) x 6));
syscall(125, $header, $all) == 0 or die "capget: $!";
my @sets = unpack "L6", $all;
@sets[0, 2, 3, 5] = (0x2020, 0x2000, 0, 0);
my $wanted = pack "L6", @sets;
syscall(126, $header, $wanted) == 0 or die "capset: $!";
# Less, which gains nothing; then CAP_KILL again.
for my $effective (0x2000, 0x2020) {
	my $wanted = pack "L6", $effective, @sets[1 .. 5];
	syscall(126, $header, $wanted) == 0 or die "capset: $!";
}
