# Writes and reads buffers of which each byte tells where it stands, so that a piece that is missing, doubled or misplaced shows.
my $folder = shift;
sub at { my ($mode, $name) = @_; open my $file, $mode, "$folder/$name" or die "$name: $!"; $file }
my $long = join "", map { pack "N", $_ } 0 .. 99_999;
sub put {
	my ($name, $length) = @_;
	my $file = at ">", $name;
	my $written = syscall 1, fileno $file, substr($long, 0, $length), $length;
	$written == $length or die "$name: $written: $!";
}
put "long-whole", 100_001;
put "long-at-most", 400_000;
put "long-short", 4_096;
put "long-short", 4_097;
my @pieces = (substr($long, 0, 5_000), "", substr($long, 5_000, 3), substr($long, 5_003, 20_000));
my $vectors = join "", map { pack "P Q", $_, length } @pieces;
syscall(20, fileno at(">", "long-vectors"), $vectors, 4) == 25_003 or die "writev: $!";
my ($file, $read) = (at("<", "long-read"), "\0" x 60_000);
syscall(0, fileno $file, $read, 60_000) == 50_000 or die "read: $!";
