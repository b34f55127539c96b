# Drives the engine: `lab_start NAME [OPTION...]` opens it, which is a case of that name, `lab COMMAND...` prints its answer, `lab_stop` ends its process
# and leaves in the kernel what is live. Descriptors 10 and 11 are its two pipes.
lab_start() {
	local name=$1
	shift
	mkfifo /run/lab.in /run/lab.out 2>/dev/null
	lictor-lab serve "$@" </run/lab.in >/run/lab.out 2>>/run/lab.errors &
	lab_pid=$!
	exec 11>/run/lab.in 10</run/lab.out
	lab_answer >/run/lab.opened
	lab_record $? "$name" "$(cat /run/lab.opened /run/lab.errors)"
}
lab_answer() {
	local line first=
	while IFS= read -r line <&10; do
		if [ "$line" = . ]; then
			[[ $first != error* ]]
			return
		fi
		first=${first:-$line}
		printf '%s\n' "$line"
	done
	echo "the engine is gone"
	return 1
}
lab() {
	printf '%s\n' "$*" >&11
	lab_answer
}
lab_stop() {
	printf 'quit\n' >&11
	lab_answer >/dev/null
	exec 10<&- 11>&-
	wait $lab_pid
}
# The difference that commands make to a counter: `counted KIND NAME COMMAND...`.
counted() {
	local kind=$1 name=$2 before
	shift 2
	before=$(lab get "$kind" "$name")
	"$@" >/dev/null 2>&1
	echo $(($(lab get "$kind" "$name") - before))
}

# Opens FILE in this shell and reads a byte of it: VERDICT is `allow`, `deny`, or the error.
probe() {
	if { read -r -N 1 _ <"$1"; } 2>/run/probe; then
		VERDICT=allow
	else
		read -r VERDICT </run/probe
		case $VERDICT in
		*'not permitted'*) VERDICT=deny ;;
		esac
	fi
}
# A case that passes when each of three probes of each file gives what is wanted: `same NAME WANTED FILE...`. The first
# probe may have to find the path out, the next ones find it in the cache. MISSES counts the probes that went wrong.
same() {
	local name=$1 wanted=$2 file misses=
	shift 2
	for file in "$@" "$@" "$@"; do
		probe "$file"
		[ "$VERDICT" = "$wanted" ] || misses+="$file: $VERDICT, wanted $wanted; "
	done
	[ -z "$misses" ] || MISSES=$((MISSES + 1))
	[ -z "$misses" ]
	lab_record $? "$SET-$name" "$misses"
}
# Puts a file at each place, by a rename within its file system; none of them is opened there.
put() {
	local file seed
	for file in "$@"; do
		case $file in
		/tmp/*) seed=/tmp/put ;;
		/srv/disk/*) seed=/srv/disk/put ;;
		*) seed=/put ;;
		esac
		echo x >$seed
		mv $seed "$file"
	done
}
