# Unix sockets. Each policy is about the program that is named after it; all of them connect to the same places.

# `on_socket NAME SECTION HOOK INDEX FILTERS [ACTION]`
on_socket() {
	policy "unix-$1" <<-END
		  $2:
		  - $3
		    args: [{index: $4, type: sockaddr_un}]
		    selectors:
		    - matchBinaries: [{operator: In, values: [$W/bin/unix-$1]}]
		      matchArgs: [$5]
		      ${6:-$REPORT}
	END
	cp /usr/bin/perl $W/bin/unix-$1
	SOCKETS+=" $1"
}
SOCKETS=
ASKED="call: security_socket_connect$FUNCTION"
on_socket equal kprobes "$ASKED" 1 '{index: 1, operator: Equal, values: [/run/lictor-x.sock]}'
on_socket not-equal kprobes "$ASKED" 1 '{index: 1, operator: NotEqual, values: [/run/lictor-x.sock]}'
on_socket prefix kprobes "$ASKED" 1 "{index: 1, operator: Prefix, values: ['@', /run/lictor-y]}"
on_socket part kprobes "$ASKED" 1 '{index: 1, operator: SubStringIgnCase, values: [LICTOR-H]}'
on_socket family kprobes "$ASKED" 1 \
	'{index: 1, operator: Family, values: [AF_UNIX]}, {index: 1, operator: NotPostfix, values: [.sock]}'
on_socket bind kprobes "call: unix_bind$FUNCTION" 1 '{index: 1, operator: NotPrefix, values: [/]}'
on_socket call kprobes "call: sys_connect" 1 '{index: 1, operator: Postfix, values: [/lictor-x.sock]}'
on_socket denied kprobes "$ASKED" 1 '{index: 1, operator: Equal, values: [/run/lictor-x.sock]}' \
	'matchActions: [{action: Override, argError: -13}]'
# Of addresses of one beginning, one is reported.
on_socket limit lsmhooks "hook: socket_connect" 1 '{index: 1, operator: Family, values: [AF_UNIX]}' \
	'matchActions: [{action: Post, rateLimit: 1m}]'
# Which socket it is, whatever the program wrote.
policy unix-itself <<-END
	  lsmhooks:
	  - hook: unix_stream_connect
	    args: [{index: 1, type: path, btfType: unix_sock, resolve: path}]
	    selectors:
	    - matchBinaries: [{operator: In, values: [$W/bin/unix-itself]}]
	      matchArgs: [{index: 1, operator: Equal, values: [/run/lictor-x.sock]}]
	      matchActions: [{action: Override, argError: -13}]
END
cp /usr/bin/perl $W/bin/unix-itself
sockets() {
	local name
	for name in $SOCKETS; do
		[ $name = denied ] || check unix-$name-connects test "$($W/bin/unix-$name /lab/unix.pl)" = '2 0 0 0 0 0 111'
	done
	check unix-one-is-denied-by-itself test "$($W/bin/unix-itself /lab/unix.pl)" = '2 13 13 0 0 13 111'
	check unix-one-is-denied test "$($W/bin/unix-denied /lab/unix.pl)" = '2 13 13 0 0 0 111'
}
workload sockets
