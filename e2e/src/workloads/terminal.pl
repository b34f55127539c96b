# Writes to a terminal: a text, and one in three pieces of which one is empty.
open my $terminal, "+<", "/dev/ptmx" or die "ptmx: $!";
syswrite $terminal, "typed\n" or die "write: $!";
my @pieces = ("in ", "", "pieces\n");
my $vectors = join "", map { pack "P Q", $_, length } @pieces;
syscall(20, fileno $terminal, $vectors, 3) == 10 or die "writev: $!";
