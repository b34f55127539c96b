# Sets alarms, then makes and removes directories, and prints what comes of it: `alarm.pl SECONDS[,SECONDS] [STEP...]`. A step
# is `mkdir:PATH` or `rmdir:PATH`; one that begins with `child-` is done by a child.
$| = 1;
$SIG{USR1} = sub { print "signal\n" };
syscall 37, $_ + 0 for split ",", shift;
for (@ARGV) {
	my ($who, $what, $path) = /^(child-)?(mkdir|rmdir):(.*)$/ or die "$_?\n";
	if ($who and my $child = fork) { waitpid $child, 0; next }
	my $done = $what eq "mkdir" ? mkdir $path : rmdir $path;
	print "$what: ", $done ? "done" : $!, "\n";
	exit if $who;
}
