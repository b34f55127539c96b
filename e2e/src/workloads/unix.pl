# Listens at two paths and an abstract name, and connects to them by addresses of several forms. Prints the errno of each.
sub address { pack "S a*", 1, $_[0] }
my @open;
for my $place ("/run/lictor-x.sock", "/run/lictor-y.sock", "\0lictor-hidden") {
	unlink $place if $place =~ m{^/};
	socket(my $socket, 1, 1, 0) or die "socket: $!";
	bind($socket, address($place)) && listen($socket, 9) or die "listen: $!";
	push @open, $socket;
}
chdir "/";
my @results;
for my $place (
	# What is behind the next address on the kernel's stack: paths need no zero byte at the end.
	"/run/lictor-x.sock.of-another",
	"/run/lictor-x.sock",
	"/run/lictor-x.sock\0and more",
	"/run/lictor-y.sock",
	"\0lictor-hidden",
	# From where the program is.
	"run/lictor-x.sock",
) {
	socket(my $socket, 1, 1, 0) or die "socket: $!";
	push @results, connect($socket, address($place)) ? 0 : $! + 0;
}
# Another family.
socket(my $socket, 2, 1, 0) or die "socket: $!";
push @results, connect($socket, pack("S n a4 x8", 2, 81, "\x7f\0\0\1")) ? 0 : $! + 0;
print "@results\n";
