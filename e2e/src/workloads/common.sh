# What several tests do beside a node worker; after the functions of the tour.

# A shell that does what is written into its pipe: `shell_begin PROGRAM FILES` starts it, `shell_does FILES COMMAND` has it do
# something and waits for that. FILES begins the names of the files for it.
shell_begin() {
	mkfifo $2.pipe
	$1 -c 'while read -r line; do eval "$line"; echo done >'$2.done'; done <>'$2.pipe old &
}
shell_does() {
	rm -f $1.done
	echo "$2" >$1.pipe
	eventually 30 test -e $1.done || echo "the shell of $1 does not answer" >&2
}

# From here on, until `names_end`, the node worker's resolver asks a server of names that writes them to $WORK/names.
names_begin() {
	cp /etc/nsswitch.conf "$WORK/nsswitch.conf"
	echo 'hosts: files dns' >/etc/nsswitch.conf
	echo 'nameserver 127.0.0.1' >/etc/resolv.conf
	lictor-lab tool names "$WORK/names" &
	NAMES_SERVER=$!
	check names-are-served eventually 20 test -e "$WORK/names"
}
names_end() {
	kill $NAMES_SERVER
	cp "$WORK/nsswitch.conf" /etc/nsswitch.conf
}

# Runs a command as a user without rights.
user='setpriv --reuid 1000 --regid 1000 --clear-groups'
# Prints the exit status of a command: by a shell that waits for it and says nothing.
status_of() { sh -c '"$@" >/dev/null 2>&1; echo $?' sh "$@" 2>/dev/null; }
