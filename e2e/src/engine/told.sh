# Paths in events, which are remembered beside their classes: whatever was opened is told by the path that it has now.

# A case that passes when each of three probes of a file is told by its path: `told NAME FILE [PATH]`.
told() {
	local name=$1 file=$2 path=${3:-$2} all
	lab clear >/dev/null
	probe "$file"
	probe "$file"
	probe "$file"
	# The path is the last word of an event's line.
	all=$(lab events told | sed 's/.* //' | sort | uniq -c | tr -s ' ')
	[ "$all" = " 3 $path" ]
	lab_record $? "$SET-$name" "told: $all; wanted 3 $path"
}
told_renames() {
	local round
	mkdir -p /tmp/told/d/sub
	put /tmp/told/a /tmp/told/d/sub/f /tmp/told/other
	told file /tmp/told/a
	mv /tmp/told/a /tmp/told/b
	told file-renamed /tmp/told/b
	mv /tmp/told/b /tmp/told/d/a
	told file-moved /tmp/told/d/a
	mv /tmp/told/d/a /tmp/told/a
	told file-back /tmp/told/a
	told ancestor /tmp/told/d/sub/f
	mv /tmp/told/d /tmp/told/e
	told ancestor-renamed /tmp/told/e/sub/f
	mv /tmp/told/e /tmp/told/d
	told ancestor-back /tmp/told/d/sub/f
	for round in 1 2 3; do
		lictor-lab tool exchange /tmp/told/a /tmp/told/d/sub/f
		told exchanged-$round /tmp/told/a
		told exchanged-other-$round /tmp/told/d/sub/f
	done
	mv /tmp/told/other /tmp/told/a
	told replaced /tmp/told/a
	exec 4</tmp/told/a
	told descriptor /proc/self/fd/4 /tmp/told/a
	mv /tmp/told/a /tmp/told/d/later
	told descriptor-renamed /proc/self/fd/4 /tmp/told/d/later
	exec 4<&-
}
told_links() {
	local round
	put /tmp/told/one
	mkdir -p /tmp/told/links
	ln /tmp/told/one /tmp/told/links/two
	for round in 1 2 3; do
		told link-$round /tmp/told/one
		told link-other-$round /tmp/told/links/two
	done
	rm /tmp/told/one
	told link-left /tmp/told/links/two
	for round in 1 2 3 4 5; do
		put /tmp/told/same-$round
		told recreated-$round /tmp/told/same-$round
		rm /tmp/told/same-$round
	done
}
told_mounts() {
	local round
	mkdir -p /tmp/told/real /tmp/told/alias /tmp/told/else
	put /tmp/told/real/f
	mount --bind /tmp/told/real /tmp/told/alias
	for round in 1 2; do
		told mounted-$round /tmp/told/real/f
		told mounted-alias-$round /tmp/told/alias/f
	done
	mount --make-private /tmp/told/alias
	mount --move /tmp/told/alias /tmp/told/else
	told mount-moved /tmp/told/else/f
	mv /tmp/told/else /tmp/told/elsewhere 2>/dev/null
	umount /tmp/told/else
	for round in 1 2 3; do
		mount --bind /tmp/told/real /tmp/told/alias
		told mounted-again-$round /tmp/told/alias/f
		umount /tmp/told/alias
	done
}
# More than is remembered of a path, and exactly as much: 192 bytes.
told_lengths() {
	local long=/tmp/told length name
	while [ ${#long} -lt 170 ]; do long+=/directory; done
	mkdir -p "$long"
	for length in 190 191 192 193 194 250; do
		name=$long/$(head -c $((length - ${#long} - 1)) /dev/zero | tr '\0' x)
		put "$name"
		told length-$length "$name"
	done
}
told_set() {
	SET=told
	check $SET-applied lab apply /run/file_open-told.yaml
	local known
	known=$(lab get stat path_string)
	told_renames
	told_links
	told_mounts
	told_lengths
	check $SET-remembered test $(($(lab get stat path_string) - known)) -gt 60
}
