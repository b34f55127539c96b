# A file system whose directory entries can be evicted, and whose inode numbers come again.
disk_mount() {
	truncate -s 8M /srv/disk.ext4
	busybox mke2fs -F /srv/disk.ext4 >/dev/null
	mkdir -p /srv/disk
	mount -t ext4 -o loop /srv/disk.ext4 /srv/disk
	mkdir -p /srv/disk/pub /srv/disk/secret
}
disk_umount() {
	umount /srv/disk
	rm /srv/disk.ext4
}
evict() {
	echo 2 >/proc/sys/vm/drop_caches
}
reuse() {
	local round directory wrong= reused=0 before= now
	for round in $(seq 12); do
		directory=/srv/disk/pub/d
		mkdir $directory
		echo x >$directory/f
		now=$(stat -c %i $directory)
		[ "$now" != "$before" ] || reused=$((reused + 1))
		before=$now
		for _ in 1 2; do probe $directory/f; [ $VERDICT = allow ] || wrong+="$round public $VERDICT; "; done
		rm $directory/f
		rmdir $directory
		((round % 3)) || evict
		directory=/srv/disk/secret/d
		mkdir $directory
		put $directory/f
		now=$(stat -c %i $directory)
		[ "$now" != "$before" ] || reused=$((reused + 1))
		before=$now
		for _ in 1 2; do probe $directory/f; [ "$VERDICT" = deny ] || wrong+="$round secret $VERDICT; "; done
		rm $directory/f
		rmdir $directory
		((round % 4)) || evict
	done
	[ -z "$wrong" ]
	lab_record $? "$SET-inode-reuse" "$wrong"
	check "$SET-inode-reuse-happened" test $reused -gt 0
}
eviction() {
	local round number directory wrong=
	for number in $(seq 10); do
		for directory in pub/$number secret/$number; do mkdir /srv/disk/$directory /srv/disk/$directory/deep; done
		put /srv/disk/pub/$number/f /srv/disk/pub/$number/deep/f
		put /srv/disk/secret/$number/f /srv/disk/secret/$number/deep/f
	done
	for round in $(seq 6); do
		for number in $(shuf -i 1-10); do
			for file in $number/f $number/deep/f; do
				probe /srv/disk/pub/$file
				[ "$VERDICT" = allow ] || wrong+="$round $file public $VERDICT; "
				probe /srv/disk/secret/$file
				[ "$VERDICT" = deny ] || wrong+="$round $file secret $VERDICT; "
			done
		done
		# Everything trades places, half of it while nothing of it is in memory.
		((round % 2)) && evict
		if ((round % 3 == 0)); then
			for number in $(seq 10); do
				mv /srv/disk/pub/$number /srv/disk/secret/was-$number
				mv /srv/disk/secret/$number /srv/disk/pub/$number
				mv /srv/disk/secret/was-$number /srv/disk/secret/$number
			done
		fi
		evict
	done
	[ -z "$wrong" ]
	lab_record $? "$SET-eviction" "$wrong"
	rm -r /srv/disk/pub/*
	for round in $(seq 15); do
		mkdir -p /srv/disk/pub/a/b
		put /srv/disk/pub/a/b/f
		probe /srv/disk/pub/a/b/f
		[ "$VERDICT" = allow ] || wrong+="$round tree public $VERDICT; "
		mv /srv/disk/pub/a /srv/disk/secret/a
		evict
		probe /srv/disk/secret/a/b/f
		[ "$VERDICT" = deny ] || wrong+="$round tree secret $VERDICT; "
		rm /srv/disk/secret/a/b/f
		rmdir /srv/disk/secret/a/b /srv/disk/secret/a
		((round % 2)) && evict
	done
	[ -z "$wrong" ]
	lab_record $? "$SET-eviction-of-trees" "$wrong"
}
