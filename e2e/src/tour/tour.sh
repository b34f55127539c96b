# Plays the tour. Lines on stdout that begin with `@` are for the player:
#
# @begin NUMBER NAME   a step begins
# @say TEXT            what a person would have typed and seen
# @fact NAME VALUE     something that the player wants to know
# @event JSON          an event of the step
# @show KIND PROGRAM [TEXT]  such events of the step are for a person to see, if they hold the text; KIND is a
#                            policy or `process_exit`
# @case TEXT           a line of the record of cases
# @end                 the step has ended
: "${POLICIES:=/etc/lictor/policies}" "${EXAMPLES:=/lab/examples}" "${WORK:=/tmp/tour}" "${HTTP:=127.0.0.1:2112}"
EVENTS=$WORK/events.json LOG=$WORK/node.log
mkdir -p "$POLICIES" "$WORK"

say() { printf '@say %s\n' "$*"; }
say_all() { sed 's/^/@say /; $a\' "$1"; }
show() { printf '@show %s\n' "$*"; }
fact() { printf '@fact %s %s\n' "$1" "$2"; }
# Prints what the node worker answers to a GET of a path; fails unless it says that all is well.
fetch() (
	exec 2>/dev/null 5<>"/dev/tcp/${HTTP%:*}/${HTTP#*:}" || exit 1
	printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&5
	read -r -t 20 _ code _ <&5
	sed '1,/^\r*$/d' <&5
	[ "$code" = 200 ]
)
ready() { fetch /readyz >/dev/null; }
ready_soon() { ready || { sleep 0.5; false; }; }

# Starts the node worker and waits until it is ready.
node_start() {
	# shellcheck disable=SC2086
	lictor-node --policy-dir "$POLICIES" --export-filename "$EVENTS" --export-file-max-size-mb 1000 --no-stdout \
		$NODE_OPTIONS 2>>"$LOG" &
	NODE=$!
	eventually 150 ready_soon || { say "the node worker does not start:"; tail -n 20 "$LOG" | sed 's/^/@say /'; }
}

# The policy files that the node worker knows, and their states.
states() { lictor node status | awk 'NF >= 10 && $NF ~ /\.yaml$/ { sub(".*/", "", $NF); print $NF, $2 }' | sort; }
states_are() { [ "$(states)" = "$1" ]; }

# Makes these examples the policies, and waits until they are live.
policies() {
	local file wanted=
	say "\$ cp $* $POLICIES/"
	for file in "$@"; do
		cp "$EXAMPLES/$file" "$POLICIES/.new" && mv "$POLICIES/.new" "$POLICIES/$file"
		wanted+="$file live"$'\n'
	done
	for file in "$POLICIES"/*; do
		[[ " $* " == *" ${file##*/} "* ]] || rm -f "$file"
	done
	wanted=$(printf %s "$wanted" | sort)
	check "policies-are-live" eventually 60 states_are "$wanted"
}

# Runs what a person would type; its output is in $WORK/stdout and $WORK/stderr, its exit status in STATUS.
person() {
	say "\$ $1"
	sh -c "$1" >"$WORK/stdout" 2>"$WORK/stderr"
	STATUS=$?
	say_all "$WORK/stdout"
	say_all "$WORK/stderr"
	[ $STATUS -le 128 ] || say "(ended by signal $((STATUS - 128)))"
}
status_is() { expect "$1" "$2" echo "$STATUS"; }
stdout_is() { expect "$1" "$2" cat "$WORK/stdout"; }
stderr_is() { expect "$1" "$2" cat "$WORK/stderr"; }

step_begin() {
	printf '@begin %s %s\n' "$1" "$2"
	STEP=$1
	EVENTS_BEFORE=$(stat -c %s "$EVENTS")
	CASES_BEFORE=$(cat "$LAB_OUT/cases" 2>/dev/null | wc -l)
}
sentinel_came() { tail -c +$((EVENTS_BEFORE + 1)) "$EVENTS" | grep -q "process_exit.*\"arguments\":\"-c : end-of-step-$STEP\""; }
# Hands over what the step brought, once the node worker has written all of it.
step_end() {
	sh -c : "end-of-step-$STEP"
	check "events-are-written" eventually 60 sentinel_came
	tail -c +$((EVENTS_BEFORE + 1)) "$EVENTS" | sed 's/^/@event /'
	tail -n +$((CASES_BEFORE + 1)) "$LAB_OUT/cases" | sed 's/^/@case /'
	echo @end
}

# A field of the live revision: `number` or `digest`.
revision() { lictor node status -o json | sed -n '/"revision": {/,/}/p' | sed -n "s/.*\"$1\": \"\?\([0-9a-f]*\).*/\1/p"; }
metric() { fetch /metrics | awk -v name="$1" '$1 == name { print $2 }'; }
