# Mounts that come, go and move under paths that were remembered.
bind_alias() {
	fresh
	mkdir -p /tmp/bind
	put /tmp/secret/s
	mount --bind /tmp/secret /tmp/bind
	for round in 1 2 3; do
		same bind-$round deny /tmp/secret/s
		same bind-alias-$round allow /tmp/bind/s
	done
	umount /tmp/bind
	same bind-gone deny /tmp/secret/s
	# Single files, with names of all lengths over one of a single letter.
	put /tmp/secret/x
	for name in a ab abc abcd abcdef abcdefgh abcdefghijklmnop; do
		put /tmp/pub/$name
		mount --bind /tmp/pub/$name /tmp/secret/x
		same bind-of-$name deny /tmp/secret/x
		same bind-of-$name-source allow /tmp/pub/$name
		umount /tmp/secret/x
	done
	same bind-of-file-gone deny /tmp/secret/x
	put /tmp/secret/s2 /tmp/pub/short
	mount --bind /tmp/secret/s2 /tmp/pub/short
	same bind-of-secret-file allow /tmp/pub/short
	umount /tmp/pub/short
	mount --bind /tmp/pub /tmp/secret
	put /tmp/pub/p
	same bind-over deny /tmp/secret/p
	same bind-over-source allow /tmp/pub/p
	umount /tmp/secret
}
mount_move() {
	fresh
	mkdir -p /tmp/at /tmp/other /tmp/pub/inner
	mkdir /tmp/secret/m
	put /tmp/pub/x /tmp/other/f
	mount --bind /tmp/pub /tmp/at
	same mount-move-before allow /tmp/at/x
	mount --move /tmp/at /tmp/secret/m
	same mount-move deny /tmp/secret/m/x
	mount --move /tmp/secret/m /tmp/at
	same mount-move-back allow /tmp/at/x
	mount --bind /tmp/other /tmp/at/inner
	same mount-move-nested-before allow /tmp/at/inner/f
	mount --move /tmp/at /tmp/secret/m
	same mount-move-nested deny /tmp/secret/m/inner/f /tmp/secret/m/x
	mount --move /tmp/secret/m /tmp/at
	same mount-move-nested-back allow /tmp/at/inner/f /tmp/at/x
	umount /tmp/at/inner
	umount /tmp/at
}
mount_reuse() {
	local round wrong=
	fresh
	mkdir -p /tmp/at
	mkdir /tmp/secret/m
	put /tmp/pub/x
	for round in $(seq 15); do
		mount --bind /tmp/pub /tmp/at
		for _ in 1 2; do probe /tmp/at/x; [ $VERDICT = allow ] || wrong+="$round public $VERDICT; "; done
		umount /tmp/at
		sleep 0.05
		mount --bind /tmp/pub /tmp/secret/m
		for _ in 1 2; do
			probe /tmp/secret/m/x
			[ "$VERDICT" = deny ] || wrong+="$round secret $VERDICT; "
		done
		umount /tmp/secret/m
		sleep 0.05
	done
	[ -z "$wrong" ]
	lab_record $? "$SET-mount-reuse" "$wrong"
	[ -z "$wrong" ] || MISSES=$((MISSES + 1))
}
lazy_umount() {
	fresh
	mkdir -p /tmp/at
	mkdir /tmp/secret/m
	put /tmp/pub/x
	mount --bind /tmp/pub /tmp/secret/m
	cd /tmp/secret/m
	same lazy-before deny ./x
	umount -l /tmp/secret/m
	# Nothing is above it any more: its path begins at its own root.
	same lazy allow ./x
	cd /root
	mount -t tmpfs tmpfs /tmp/at
	mkdir -p /tmp/at/tmp/secret /tmp/at/tmp/pub
	echo x >/tmp/at/tmp/secret/s
	echo x >/tmp/at/tmp/pub/p
	cd /tmp/at
	same lazy-root-before allow ./tmp/secret/s ./tmp/pub/p
	umount -l /tmp/at
	same lazy-root deny ./tmp/secret/s
	same lazy-root-public allow ./tmp/pub/p
	cd /root
}
# What three opens of a file give in another program, as one word.
thrice='thrice() { for _ in 1 2 3; do if [ "$(cat "$1" 2>&1)" = x ]; then printf a; else printf d; fi; done; printf " "; }'
# A directory of programs that need nothing else.
applets() {
	mkdir -p $1
	cp /usr/bin/busybox $1/busybox
	for applet in sh cat cp mv; do ln -sf busybox $1/$applet; done
}
change_root() {
	fresh
	applets /tmp/bin
	put /tmp/secret/s /tmp/pub/x
	# The real path counts, not the one that the process believes in.
	expect $SET-chroot "ddd aaa " chroot /tmp /bin/busybox sh -c "PATH=/bin; $thrice; thrice /secret/s; thrice /pub/x"
	mkdir -p /tmp/pub/tmp/secret
	applets /tmp/pub/bin
	put /tmp/pub/tmp/secret/s
	expect $SET-chroot-lookalike "aaa " chroot /tmp/pub /bin/busybox sh -c "PATH=/bin; $thrice; thrice /tmp/secret/s"
	expect $SET-mount-namespace "ddd aaa ddd " unshare -m busybox sh -c "$thrice
		thrice /tmp/secret/s
		mkdir -p /tmp/bind
		mkdir /tmp/secret/m
		mount -o bind /tmp/secret /tmp/bind
		thrice /tmp/bind/s
		mount -o move /tmp/bind /tmp/secret/m
		thrice /tmp/secret/m/s"
	same mount-namespace-gone deny /tmp/secret/s
	mkdir -p /tmp/root
	expect $SET-pivot-root "aaa aaa ddd aaa aaa ddd " unshare -m busybox sh -c "$thrice
		mount -t tmpfs tmpfs /tmp/root
		mkdir -p /tmp/root/old /tmp/root/tmp/secret /tmp/root/tmp/pub
		cp -a /tmp/pub/bin /tmp/root/bin
		echo x >/tmp/root/tmp/secret/s
		echo x >/tmp/root/tmp/pub/p
		export PATH=/bin
		thrice /tmp/root/tmp/secret/s
		thrice /tmp/root/tmp/pub/p
		cd /tmp/root
		pivot_root . old
		thrice /tmp/secret/s
		thrice /tmp/pub/p
		thrice /old/tmp/secret/s
		cp /old/tmp/pub/x /tmp/x
		mv /tmp/x /tmp/secret/x
		thrice /tmp/secret/x"
	same pivot-root-outside deny /tmp/secret/s
	same pivot-root-outside-public allow /tmp/pub/x
	expect $SET-detached-tree "ddd " unshare -m busybox sh -c "$thrice; umount -l /tmp/at 2>/dev/null; thrice /tmp/secret/s"
}
overlay() {
	mkdir -p /ov /merged
	mount -t tmpfs tmpfs /ov
	mkdir -p /ov/l/secret /ov/l/pub /ov/u /ov/w
	for file in secret/f pub/f pub/g pub/tool; do echo x >/ov/l/$file; done
	mount -t overlay overlay -o lowerdir=/ov/l,upperdir=/ov/u,workdir=/ov/w /merged
	same overlay deny /merged/secret/f
	same overlay-public allow /merged/pub/f
	# The file below it is opened, too, and is no file of its own.
	same overlay-lower allow /ov/l/secret/f
	echo y >>/merged/pub/f
	same overlay-copy-up allow /merged/pub/f
	mv /merged/pub/f /merged/secret/g
	same overlay-rename deny /merged/secret/g
	same overlay-upper-alias allow /ov/u/secret/g
	mv /merged/secret/g /merged/pub/f
	same overlay-rename-back allow /merged/pub/f
	mkdir /merged/pub/d
	echo x >/merged/pub/d/f
	same overlay-directory allow /merged/pub/d/f
	mv /merged/pub/d /merged/secret/d
	same overlay-directory-in deny /merged/secret/d/f
	mv /merged/secret/d /merged/pub/d
	same overlay-directory-out allow /merged/pub/d/f
	echo 2 >/proc/sys/vm/drop_caches
	same overlay-dropped deny /merged/secret/f
	same overlay-dropped-public allow /merged/pub/f /merged/pub/d/f
	umount /merged
	umount /ov
}
