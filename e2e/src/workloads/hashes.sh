# Hashes of files, as the kernel's IMA computes them. Alone, as what is mapped: a file is opened for many reasons.

hashes_policy() { # NAME HOOK TYPE VALUE ACTIONS
	cat >"$POLICIES/$1.yaml" <<-END
		apiVersion: lictor.io/v1alpha1
		kind: TracingPolicy
		metadata: {name: $1}
		spec:
		  lsmhooks:
		  - hook: $2
		    args: [{index: 0, type: $3}]
		    selectors:
		    - matchArgs: [{index: 0, operator: Prefix, values: ["$4"]}]
		      matchActions: [$5]
	END
}
# The events of a policy that tell of a path.
hashed() { grep -F "\"path\":\"$2\"" "$WORK/hashes" | grep -F "\"policy_name\":\"$1\""; }
# The hash that such an event shows.
hash_of() { hashed "$1" "$2" | grep -o '"ima_hash":"[^"]*"'; }
wanted_hash() { echo "\"ima_hash\":\"sha256:$(sha256sum "$1" | cut -d ' ' -f 1)\""; }
map_file() { perl -e 'open F, "<", shift; exit(syscall(9, 0, 4096, 1, 2, fileno F, 0) == -1)' $1; }
hashes() {
	rm -f "$POLICIES"/*
	mkdir -p $W/hashed
	echo small >$W/hashed/small
	: >$W/hashed/empty
	perl -e 'print "0123456789" x 100_001' >$W/hashed/large
	echo denied >$W/hashed/denied
	cp /usr/bin/true $W/bin/hashed
	hashes_policy mapped mmap_file file $W/hashed/ '{action: Post, imaHash: true}'
	hashes_policy plain mmap_file file $W/hashed/ '{action: Post}'
	hashes_policy executed bprm_check_security linux_binprm $W/bin/hashed '{action: Post, imaHash: true}'
	hashes_policy denied mmap_file file $W/hashed/denied '{action: Post, imaHash: true}, {action: Override, argError: -1}'
	# Opened, where the kernel has a hook that is asked after the file can be read.
	local opened=0
	if grep -q bpf_lsm_file_post_open /proc/kallsyms; then
		hashes_policy opened file_post_open file $W/hashed/ '{action: Post, imaHash: true}'
		opened=1
	fi
	all_hashes_live() { [ "$(states | grep -c ' live$')" = $((4 + opened)) ]; }
	check hashes-are-live eventually 60 all_hashes_live
	STEP=hashes EVENTS_BEFORE=$(stat -c %s "$EVENTS")
	for file in small empty large; do
		map_file $W/hashed/$file
	done
	refuse hash-denies map_file $W/hashed/denied
	$W/bin/hashed
	sh -c : "end-of-step-$STEP"
	check hashes-are-written eventually 60 sentinel_came
	tail -c +$((EVENTS_BEFORE + 1)) "$EVENTS" | grep '^{"process_lsm"' >"$WORK/hashes"
	for file in small empty large; do
		expect hash-of-a-file-$file "$(wanted_hash $W/hashed/$file)" hash_of mapped $W/hashed/$file
		[ $opened = 0 ] ||
			expect hash-of-an-opened-file-$file "$(wanted_hash $W/hashed/$file)" hash_of opened $W/hashed/$file
		expect no-hash-unless-asked-$file "" hash_of plain $W/hashed/$file
	done
	check no-hash-still-tells hashed plain $W/hashed/small
	expect hash-of-a-program "$(wanted_hash $W/bin/hashed)" hash_of executed $W/bin/hashed
	check denied-is-told hashed denied $W/hashed/denied
	expect denied-has-no-hash "" hash_of denied $W/hashed/denied
	lictor node status --output json >"$WORK/status.json"
	check every-hash-came grep -E '"events_without_hash": ?0,' "$WORK/status.json"
	check no-hash-is-left grep -E '"hashes_alone": ?0[,}]?' "$WORK/status.json"
	expect hash-failures "" grep -o '"name": *"hash"' "$WORK/status.json"
	known_hashes
}
# A file that is being opened cannot be read yet: its hash is known where a policy of IMA had it computed at an earlier time.
known_hashes() {
	rm -f "$POLICIES"/*
	echo known >$W/hashed/known
	hashes_policy known file_open file $W/hashed/known '{action: Post, imaHash: true}'
	check known-hashes-are-live eventually 60 states_are 'known.yaml live'
	local magic
	magic=$(stat -f -c %t $W/hashed)
	echo "measure func=FILE_CHECK mask=^MAY_READ fsmagic=0x$magic" >/sys/kernel/security/ima/policy
	STEP=known EVENTS_BEFORE=$(stat -c %s "$EVENTS")
	cat $W/hashed/known $W/hashed/known >/dev/null
	sh -c : "end-of-step-$STEP"
	check known-hashes-are-written eventually 60 sentinel_came
	tail -c +$((EVENTS_BEFORE + 1)) "$EVENTS" | grep '^{"process_lsm"' >"$WORK/hashes"
	expect known-hash-is-told-once-it-is-known "2 1" echo "$(hashed known $W/hashed/known | wc -l)" \
		"$(hash_of known $W/hashed/known | wc -l)"
	expect known-hash "$(wanted_hash $W/hashed/known)" hash_of known $W/hashed/known
}
