# Paths that change after they were remembered. What is secret is denied by its path, now; nothing else is.
policies() {
	long=$(printf '/%s' $(yes 0123456789abcdef | head -n 15))
	for policy in /lab/policies/staleness/*.yaml; do
		for hook in file_open file_permission; do
			sed "s,@HOOK@,$hook,; s,@LONG@,/tmp$long,; s,@LONGER@,/tmp$long$long," "$policy" \
				>"/run/$hook-${policy##*/}"
		done
	done
	mkdir -p "/tmp$long$long"
	put "/tmp$long/xyz" "/tmp$long/yyy" "/tmp$long$long/file" "/tmp$long$long/file2" "/tmp$long$long/fil"
}
# Directories that are secret cannot be opened, so they cannot be emptied either: out of the way is good enough.
discard() {
	local one
	mkdir -p /tmp/discarded
	for one in "$@"; do
		[ ! -e "$one" ] || mv "$one" "/tmp/discarded/$((++discarded))"
	done
}
fresh() {
	discard /tmp/pub /tmp/secret
	mkdir /tmp/pub /tmp/secret
}

rename_file() {
	fresh
	put /tmp/pub/a
	same rename-file allow /tmp/pub/a
	mv /tmp/pub/a /tmp/secret/a
	same rename-file-in deny /tmp/secret/a
	mv /tmp/secret/a /tmp/pub/a
	same rename-file-out allow /tmp/pub/a
	mv /tmp/pub/a /tmp/pub/b
	mv /tmp/pub/b /tmp/secret/a
	same rename-file-over-other-name deny /tmp/secret/a
}
rename_ancestor() {
	fresh
	mkdir -p /tmp/pub/d/sub/deeper
	put /tmp/pub/d/sub/f /tmp/pub/d/sub/deeper/g
	same rename-ancestor allow /tmp/pub/d/sub/f /tmp/pub/d/sub/deeper/g
	mv /tmp/pub/d /tmp/secret/d
	same rename-ancestor-in deny /tmp/secret/d/sub/f /tmp/secret/d/sub/deeper/g
	mv /tmp/secret/d /tmp/pub/d
	same rename-ancestor-out allow /tmp/pub/d/sub/f /tmp/pub/d/sub/deeper/g
	mv /tmp/secret /tmp/was-secret
	put /tmp/was-secret/s
	same rename-ancestor-before allow /tmp/was-secret/s
	mv /tmp/was-secret /tmp/secret
	same rename-ancestor-itself deny /tmp/secret/s
}
exchange() {
	fresh
	mkdir /tmp/pub/d /tmp/secret/d
	put /tmp/pub/a /tmp/secret/b /tmp/pub/d/f /tmp/secret/d/f /tmp/pub/same /tmp/secret/same
	for round in 1 2 3; do
		same exchange-before-$round allow /tmp/pub/a /tmp/pub/d/f /tmp/pub/same
		same exchange-before-secret-$round deny /tmp/secret/b /tmp/secret/d/f /tmp/secret/same
		lictor-lab tool exchange /tmp/pub/a /tmp/secret/b
		lictor-lab tool exchange /tmp/pub/d /tmp/secret/d
		lictor-lab tool exchange /tmp/pub/same /tmp/secret/same
		same exchange-$round allow /tmp/pub/a /tmp/pub/d/f /tmp/pub/same
		same exchange-secret-$round deny /tmp/secret/b /tmp/secret/d/f /tmp/secret/same
	done
	mkdir /tmp/pub/whole
	put /tmp/pub/whole/f
	same exchange-whole-before allow /tmp/pub/whole/f
	lictor-lab tool exchange /tmp/pub/whole /tmp/secret
	same exchange-whole deny /tmp/secret/f
	same exchange-whole-out allow /tmp/pub/whole/b
}
hard_links() {
	fresh
	put /tmp/pub/h
	ln /tmp/pub/h /tmp/secret/h
	for round in 1 2 3; do
		same hard-link-$round allow /tmp/pub/h
		same hard-link-secret-$round deny /tmp/secret/h
	done
	rm /tmp/secret/h
	same hard-link-removed allow /tmp/pub/h
	ln /tmp/pub/h /tmp/secret/h2
	rm /tmp/pub/h
	same hard-link-left deny /tmp/secret/h2
	put /tmp/pub/one
	same hard-link-one allow /tmp/pub/one
	ln /tmp/pub/one /tmp/pub/two
	mv /tmp/pub/two /tmp/secret/two
	same hard-link-moved deny /tmp/secret/two
	same hard-link-stayed allow /tmp/pub/one
}
recreate() {
	local round wrong=
	fresh
	for round in $(seq 15); do
		put /tmp/pub/u
		for _ in 1 2; do probe /tmp/pub/u; [ $VERDICT = allow ] || wrong+="$round public $VERDICT; "; done
		rm /tmp/pub/u
		put /tmp/secret/u
		for _ in 1 2; do probe /tmp/secret/u; [ "$VERDICT" = deny ] || wrong+="$round secret $VERDICT; "; done
		rm /tmp/secret/u
	done
	[ -z "$wrong" ]
	lab_record $? "$SET-recreate" "$wrong"
}
open_then_rename() {
	fresh
	put /tmp/pub/x /tmp/pub/y
	exec 4</tmp/pub/x
	same open-descriptor allow /proc/self/fd/4
	mv /tmp/pub/x /tmp/secret/x
	# Opens the file anew, at the place that it has now.
	same open-descriptor-renamed deny /proc/self/fd/4
	read -r -N 1 -u 4 _ 2>/dev/null
	local read=$?
	if [ $SET = permission ]; then
		[ $read != 0 ]
		lab_record $? $SET-read-of-renamed "the file's new path was not looked at"
	else
		[ $read = 0 ]
		lab_record $? $SET-read-of-renamed "nothing asks at a read, and it failed"
	fi
	mv /tmp/secret/x /tmp/pub/x
	same open-descriptor-back allow /proc/self/fd/4
	exec 4<&-
	exec 4</tmp/pub/y
	rm /tmp/pub/y
	same open-descriptor-removed allow /proc/self/fd/4
	exec 4<&-
}
names() {
	fresh
	discard /tmp/eq /tmp/pre /tmp/secrets
	rm -rf /srv/app
	mkdir -p /tmp/eq /tmp/pre /tmp/secrets /srv/app
	put /tmp/eq/file /tmp/eq/file2 /tmp/eq/fil /tmp/pre/file /tmp/pre/fi /tmp/pre/foo /tmp/pre/f /tmp/secrets/s \
		/tmp/secret/s /srv/app/key /srv/app/key2 /srv/app/kex /srv/app/ke
	same equal deny /tmp/eq/file
	same not-equal allow /tmp/eq/file2 /tmp/eq/fil
	same prefix-in-name deny /tmp/pre/file /tmp/pre/fi
	same not-prefix-in-name allow /tmp/pre/foo /tmp/pre/f
	same not-the-directory allow /tmp/secrets/s
	same other-file-system deny /srv/app/key /srv/app/key2
	same other-file-system-not allow /srv/app/kex /srv/app/ke
	same long-prefix deny "/tmp$long/xyz"
	same long-not-prefix allow "/tmp$long/yyy"
	same longer-equal deny "/tmp$long$long/file"
	same longer-not-equal allow "/tmp$long$long/file2" "/tmp$long$long/fil"
	ln -s /tmp/secret/s /tmp/pub/link
	ln -s /tmp/secret /tmp/pub/directory
	same symbolic-link deny /tmp/pub/link /tmp/pub/directory/s
	same roundabout deny /proc/self/root/tmp/secret/s //tmp//pub/../secret/./s /proc/self/cwd/../tmp/secret/s
	(cd /tmp/secret && probe s && [ "$VERDICT" = deny ])
	lab_record $? $SET-relative "a relative name was allowed"
}
deep() {
	fresh
	mkdir /tmp/pub/deep /tmp/secret/deep
	local name
	name=$(printf 'n%.0s' $(seq 200))
	put /tmp/pub/deep/seed /tmp/secret/deep/seed
	expect $SET-hundred-components allow lictor-lab tool deep /tmp/pub/deep d 100 f
	expect $SET-hundred-components-secret deny lictor-lab tool deep /tmp/secret/deep d 100 f
	put /tmp/pub/deep/seed /tmp/secret/deep/seed
	expect $SET-long-components allow lictor-lab tool deep /tmp/pub/deep $name 15 f
	expect $SET-long-components-secret deny lictor-lab tool deep /tmp/secret/deep $name 15 f
	put /tmp/pub/deep/seed
	# Nobody can tell what its path begins with: a rule that denies takes it for its own.
	expect $SET-too-long deny lictor-lab tool deep /tmp/pub/deep $name 25 f
	lab_unresolved=$(lab get site path_walk)
	check $SET-too-long-counted test "$lab_unresolved" -gt 0
}
endings() {
	local wanted=$1
	fresh
	mkdir -p /tmp/pub/home/.ssh
	put /tmp/pub/home/other /tmp/pub/home/.bashrc /tmp/pub/home/.ssh/id_key /tmp/pub/home/.ssh/xid_key /tmp/pub/f
	same ending-not allow /tmp/pub/home/other /tmp/pub/home/.ssh/xid_key
	same ending $wanted /tmp/pub/home/.bashrc /tmp/pub/home/.ssh/id_key
	mv /tmp/pub/home/.bashrc /tmp/pub/home/bashrc
	same ending-renamed allow /tmp/pub/home/bashrc
	mv /tmp/pub/f /tmp/pub/home/a.bashrc
	same ending-new $wanted /tmp/pub/home/a.bashrc
	mv /tmp/pub/home/.ssh /tmp/pub/home/ssh
	same ending-directory-renamed allow /tmp/pub/home/ssh/id_key
	mv /tmp/pub/home/ssh /tmp/pub/home/.ssh
	same ending-directory-back $wanted /tmp/pub/home/.ssh/id_key
	same ending-and-beginning allow /tmp/pub/home/other
	mv /tmp/pub/home/other /tmp/secret/other
	same ending-and-beginning-secret deny /tmp/secret/other
}
