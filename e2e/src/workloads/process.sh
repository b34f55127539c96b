# Filters of the process.

# A shell that runs before the node worker does, and does what is written into its pipe.
cp /usr/bin/bash $W/bin/oldshell
cp /usr/bin/cat $W/bin/reader
cp /usr/bin/cat $W/bin/reader2
cp /usr/bin/cat $W/more/reader
shell_begin $W/bin/oldshell $W/old
OLD=$!
old() { shell_does $W/old "$1"; }

on_open pid-in "matchPIDs: [{operator: In, values: [$OLD, 4000000]}]"
on_open pid-not-in "matchPIDs: [{operator: NotIn, values: [$OLD]}]"
on_open pid-in-follow "matchPIDs: [{operator: In, values: [$OLD], followForks: true}]"
on_open pid-not-in-follow "matchPIDs: [{operator: NotIn, values: [$OLD], followForks: true}]"
on_open pid-namespace-in "matchPIDs: [{operator: In, values: [1], isNamespacePID: true}]"
on_open pid-namespace-not-in "matchPIDs: [{operator: NotIn, values: [1], isNamespacePID: true}]"
on_open pid-several "matchPIDs: [{operator: In, values: [$OLD], followForks: true}, {operator: NotIn, values: [$OLD]}]"
pids() {
	local name
	for name in pid-in pid-not-in pid-in-follow pid-not-in-follow pid-several; do
		old ": <$W/$name"
		old "cat $W/$name"
		old "sh -c 'cat $W/$name; :'"
		cat $W/$name
	done
	for name in pid-namespace-in pid-namespace-not-in; do
		cat $W/$name
		unshare -p -f cat $W/$name
	done
} >/dev/null
workload pids

# unshare(1) has no option for each of them; `unshare --time` changes both of its kinds, `--pid` without a fork one.
for namespace in Uts Ipc Mnt Pid PidForChildren Net Time TimeForChildren Cgroup User; do
	on_function ns-${namespace,,} security_file_open 0 \
		"matchNamespaces: [{namespace: $namespace, operator: NotIn, values: [host_ns]}]"
done
unshare -m sleep 1000 &
APART=$!
apart() { [ "$(readlink /proc/$APART/ns/mnt)" != "$(readlink /proc/self/ns/mnt)" ]; }
check a-mount-namespace-is-made eventually 30 apart
inode() { readlink /proc/$1/ns/mnt | tr -dc 0-9; }
on_function ns-host security_file_open 0 "matchNamespaces: [{namespace: Mnt, operator: In, values: [host_ns]}]"
on_function ns-by-inode security_file_open 0 \
	"matchNamespaces: [{namespace: Mnt, operator: In, values: ['$(inode $APART)', '7']}]"
on_function ns-not-by-inode security_file_open 0 \
	"matchNamespaces: [{namespace: Mnt, operator: NotIn, values: ['$(inode $APART)', host_ns]}]"
on_function ns-several security_file_open 0 \
	"matchNamespaces: [{namespace: Uts, operator: NotIn, values: [host_ns]}, {namespace: Ipc, operator: In, values: [host_ns]}]"
namespaces() {
	local name
	for name in uts:-u ipc:-i mnt:-m pid:-pf pidforchildren:-p net:-n time:-Tf timeforchildren:-Tf cgroup:-C user:-U; do
		cat $W/ns-${name%:*}
		unshare ${name#*:} cat $W/ns-${name%:*}
	done
	for name in ns-host ns-by-inode ns-not-by-inode; do
		cat $W/$name
		nsenter -t $APART -m cat $W/$name
		unshare -m cat $W/$name
	done
	unshare -u cat $W/ns-several
	unshare -i cat $W/ns-several
	unshare -ui cat $W/ns-several
} >/dev/null
workload namespaces

on_function cap-effective-in fd_install 1 "matchCapabilities: [{type: Effective, operator: In, values: [CAP_SYS_ADMIN, CAP_CHOWN]}]"
on_function cap-effective-not-in fd_install 1 "matchCapabilities: [{operator: NotIn, values: [CAP_SYS_ADMIN]}]"
on_function cap-permitted-in fd_install 1 "matchCapabilities: [{type: Permitted, operator: In, values: [CAP_NET_RAW]}]"
on_function cap-permitted-not-in fd_install 1 "matchCapabilities: [{type: Permitted, operator: NotIn, values: [CAP_NET_RAW]}]"
on_function cap-inheritable-in fd_install 1 "matchCapabilities: [{type: Inheritable, operator: In, values: [CAP_NET_RAW]}]"
on_function cap-inheritable-not-in fd_install 1 "matchCapabilities: [{type: Inheritable, operator: NotIn, values: [CAP_NET_RAW]}]"
on_function cap-namespace fd_install 1 \
	"matchCapabilities: [{type: Effective, operator: In, values: [CAP_SYS_ADMIN], isNamespaceCapability: true}]"
on_function cap-several fd_install 1 \
	"matchCapabilities: [{type: Effective, operator: In, values: [CAP_SYS_ADMIN]}, {type: Inheritable, operator: In, values: [CAP_NET_RAW]}]"
capabilities() {
	local name
	for name in effective-in effective-not-in permitted-in permitted-not-in; do
		cat $W/cap-$name
		$user cat $W/cap-$name
		setpriv --bounding-set -net_raw cat $W/cap-$name
	done
	for name in inheritable-in inheritable-not-in several; do
		cat $W/cap-$name
		setpriv --inh-caps +net_raw cat $W/cap-$name
	done
	cat $W/cap-namespace
	unshare -U cat $W/cap-namespace
	unshare -Ur cat $W/cap-namespace
} >/dev/null
workload capabilities

on_open binary-in "matchBinaries: [{operator: In, values: [$W/bin/reader, /nowhere]}]"
on_open binary-not-in "matchBinaries: [{operator: NotIn, values: [$W/bin/reader]}]"
on_open binary-prefix "matchBinaries: [{operator: Prefix, values: [$W/bin/]}]"
on_open binary-not-prefix "matchBinaries: [{operator: NotPrefix, values: [$W/bin/]}]"
on_open binary-postfix "matchBinaries: [{operator: Postfix, values: [/reader]}]"
on_open binary-not-postfix "matchBinaries: [{operator: NotPostfix, values: [/reader]}]"
on_open binary-several "matchBinaries: [{operator: Prefix, values: [$W/bin/]}, {operator: NotIn, values: [$W/bin/reader]}]"
on_open binary-old "matchBinaries: [{operator: In, values: [$W/bin/oldshell]}]"
binaries() {
	local name
	for name in in not-in prefix not-prefix postfix not-postfix several; do
		$W/bin/reader $W/binary-$name
		$W/bin/reader2 $W/binary-$name
		$W/more/reader $W/binary-$name
	done
	# One that ran before the node worker did, its fork, and a program that it runs.
	old ": <$W/binary-old"
	old "(: <$W/binary-old)"
	old "cat $W/binary-old"
} >/dev/null
workload binaries

# The program that the parent runs.
cp /usr/bin/bash $W/bin/parent
on_open parent-in "matchParentBinaries: [{operator: In, values: [$W/bin/parent, /nowhere]}]"
on_open parent-not-in "matchParentBinaries: [{operator: NotIn, values: [$W/bin/parent]}]"
on_open parent-prefix "matchParentBinaries: [{operator: Prefix, values: [$W/bin/]}]"
on_open parent-postfix "matchParentBinaries: [{operator: Postfix, values: [/parent]}]"
on_open parent-and-own "matchParentBinaries: [{operator: In, values: [$W/bin/parent]}], matchBinaries: [{operator: NotIn, values: [/usr/bin/cat]}]"
parents() {
	local name
	for name in in not-in prefix postfix and-own; do
		$W/bin/parent -c "cat $W/parent-$name; head -n 1 $W/parent-$name; :"
		# The parent itself has another parent.
		$W/bin/parent -c ": <$W/parent-$name"
		cat $W/parent-$name
	done
} >/dev/null
workload parents

# Credentials and user namespaces in events.
policy creds <<-END
	  kprobes:
	  - call: commit_creds
	    syscall: false
	    args: [{index: 0, type: cred}]
	    selectors:
	    - matchBinaries: [{operator: In, values: [$W/bin/creds]}]
END
policy user-namespace <<-END
	  kprobes:
	  - call: cap_capable
	    syscall: false
	    args: [{index: 1, type: user_namespace}, {index: 2, type: capability}]
	    selectors:
	    - matchBinaries: [{operator: In, values: [$W/bin/chroot]}]
	      matchArgs: [{index: 2, operator: Equal, values: [CAP_SYS_CHROOT]}]
END
cp /usr/bin/setpriv $W/bin/creds
cp /usr/bin/chroot $W/bin/chroot
credentials() {
	$W/bin/creds --reuid 1000 --regid 100 --clear-groups true
	$W/bin/creds --inh-caps +net_raw true
	$W/bin/chroot / true
	unshare -Ur $W/bin/chroot / true
}
workload credentials
