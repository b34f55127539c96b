# What a process comes from, and what it has changed.

cp /usr/bin/bash $W/bin/leader
# 40 programs, of which each runs the next one; the last one opens the file.
mkdir $W/chain
cp /usr/bin/perl $W/chain/1
for place in {2..40}; do ln $W/chain/1 $W/chain/$place; done
cat >$W/chain.pl <<'END'
my ($place, $last, $file) = @ARGV;
exec "$1/" . ($place + 1), $0, $place + 1, $last, $file if $place < $last and $^X =~ m{^(.*)/};
open my $opened, "<", $file;
END
# The first $1 of them.
chain() { $W/chain/1 $W/chain.pl 1 $1 $2; }

on_open line-in "matchBinaries: [{operator: In, values: [$W/bin/leader, /nowhere], followChildren: true}]"
on_open line-not-in "matchBinaries: [{operator: NotIn, values: [$W/bin/leader], followChildren: true}]"
on_open line-several "matchBinaries: [{operator: In, values: [$W/bin/leader], followChildren: true}, \
	{operator: NotIn, values: [/usr/bin/sh, /usr/bin/dash], followChildren: true}]"
on_open line-kill "matchBinaries: [{operator: In, values: [$W/bin/leader], followChildren: true}], matchActions: [{action: Sigkill}]"
on_open line-old "matchBinaries: [{operator: In, values: [$W/bin/oldshell], followChildren: true}]"
on_open line-long "matchBinaries: [{operator: In, values: [$W/chain/3], followChildren: true}]"
on_open line-too-long "matchBinaries: [{operator: In, values: [$W/chain/39], followChildren: true}]"
on_open line-too-long-kill "matchBinaries: [{operator: In, values: [$W/chain/39], followChildren: true}], matchActions: [{action: Sigkill}]"
lineage() {
	local name
	for name in line-in line-not-in; do
		# The program itself, a child of it, what it becomes, and a grandchild whose parents are gone.
		$W/bin/leader -c ": <$W/$name"
		$W/bin/leader -c "cat $W/$name; :"
		$W/bin/leader -c "exec cat $W/$name"
		$W/bin/leader -c "(sh -c 'sleep 0.3; cat $W/$name; echo >$W/$name.done' &)"
		check $name-grandchild-has-ended eventually 30 test -e $W/$name.done
		cat $W/$name
	done
	$W/bin/leader -c "cat $W/line-several; sh -c 'cat $W/line-several; :'"
	check line-kill test "$(status_of $W/bin/leader -c "exec sh -c 'exec cat $W/line-kill'")" = 137
	check line-kill-strangers-live test "$(status_of cat $W/line-kill)" = 0
	# Of one that ran before the node worker did: itself, a child, and a grandchild whose parents are gone.
	old ": <$W/line-old"
	old "cat $W/line-old"
	old "(sh -c 'sleep 0.3; cat $W/line-old; echo >$W/line-old.done' &)"
	check line-old-grandchild-has-ended eventually 30 test -e $W/line-old.done
	cat $W/line-old
	# Of more than can be remembered, the first ones are: what is found is certain, what is not found is not.
	chain 2 $W/line-long
	chain 40 $W/line-long
	chain 10 $W/line-too-long
	chain 40 $W/line-too-long
	check line-long-enough-lives test "$(status_of $W/chain/1 $W/chain.pl 1 10 $W/line-too-long-kill)" = 0
	check line-too-long-dies test "$(status_of $W/chain/1 $W/chain.pl 1 40 $W/line-too-long-kill)" = 137
} >/dev/null
workload lineage

# Perl, since it makes system calls and opens the file without running another program: `changing CALLS FILE`.
changing() { perl -e "$1"'; open my $opened, "<", $ARGV[0]' $2; }
new_mnt='syscall 272, 0x20000'
new_uts='syscall 272, 0x4000000'
on_function ns-change-in fd_install 1 "matchNamespaceChanges: [{operator: In, values: [Mnt, Net]}]"
on_function ns-change-not-in fd_install 1 "matchNamespaceChanges: [{operator: NotIn, values: [Uts]}]"
on_function ns-change-several fd_install 1 "matchNamespaceChanges: [{operator: In, values: [Mnt]}, {operator: In, values: [Uts]}]"
on_function ns-change-old fd_install 1 "matchNamespaceChanges: [{operator: In, values: [Mnt]}], matchBinaries: [{operator: In, values: [$W/bin/oldperl]}]"
on_function cap-change-in fd_install 1 "matchCapabilityChanges: [{type: Effective, operator: In, values: [CAP_SYS_ADMIN]}]"
on_function cap-change-permitted fd_install 1 "matchCapabilityChanges: [{type: Permitted, operator: In, values: [CAP_SYS_ADMIN]}]"
on_function cap-change-not-in fd_install 1 "matchCapabilityChanges: [{operator: NotIn, values: [CAP_SYS_ADMIN]}]"
on_function cap-change-namespace fd_install 1 "matchCapabilityChanges: [{operator: In, values: [CAP_SYS_ADMIN], isNamespaceCapability: true}]"
# One that begins before the node worker does, and changes when it is told to.
cp /usr/bin/perl $W/bin/oldperl
$W/bin/oldperl -e 'select undef, undef, undef, 0.1 until -e $ARGV[0]; '"$new_mnt"'; open my $opened, "<", $ARGV[1]' $W/change-now $W/ns-change-old &
OLDPERL=$!
changes() {
	changing "" $W/ns-change-in
	changing "$new_uts" $W/ns-change-in
	changing "$new_mnt" $W/ns-change-in
	# What runs after the change has begun with it.
	unshare -m cat $W/ns-change-in
	changing "$new_uts" $W/ns-change-not-in
	changing "$new_mnt; $new_uts" $W/ns-change-not-in
	changing "$new_mnt" $W/ns-change-several
	changing "$new_mnt; $new_uts" $W/ns-change-several
	echo >$W/change-now
	wait $OLDPERL
	# Another user id takes the effective capabilities of root; all ids, the permitted ones, too.
	changing "" $W/cap-change-in
	changing '$> = 1000' $W/cap-change-in
	changing '$> = 1000' $W/cap-change-permitted
	changing 'syscall 117, 1000, 1000, 1000' $W/cap-change-permitted
	changing '$> = 1000' $W/cap-change-not-in
	# All that root has but CAP_CHOWN: capset(2) with the header of version 3.
	changing 'my $h = pack "LL", 0x20080522, 0; my $d = pack "L6", 0xfffffffe, 0xffffffff, 0, 0x1ff, 0x1ff, 0; syscall 126, $h, $d' \
		$W/cap-change-not-in
	# A forked process began with what it had then.
	perl -e '$> = 1000; unless (fork) { open my $opened, "<", $ARGV[0]; exit } wait' $W/cap-change-in
	# A user namespace of its own: all capabilities, of a user that had none.
	$user perl -e 'open my $opened, "<", $ARGV[0]; syscall 272, 0x10000000; open $opened, "<", $ARGV[0]' $W/cap-change-namespace
}
workload changes
