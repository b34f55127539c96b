# Traffic over the loopback interface. Each policy is about the program that is named after it; all of them do the same.

# A refused connection is one, too: nobody listens at the first three places.
cat >$W/traffic.sh <<-'END'
	for to in 127.0.0.1/81 127.0.0.1/8101 ::1/8101 127.0.0.1/8102; do
		exec 3<>/dev/tcp/$to
		exec 3>&-
	done
	echo question >/dev/udp/127.0.0.1/53
	echo question >/dev/udp/::1/8153
END
REPORT='matchActions: [{action: Post}]'
# `by_program NAME SECTION HOOK ARGUMENTS FILTERS [MEMBERS]`
by_program() {
	policy "net-$1" <<-END
		  $2:
		  - $3
		    args: [$4]
		    selectors:
		    - matchBinaries: [{operator: In, values: [$W/bin/net-$1]}]
		      matchArgs: [$5]
		      ${6:-$REPORT}
	END
	cp /usr/bin/bash $W/bin/net-$1
	NETWORK+=" $1"
}
FUNCTION='
    syscall: false'
on_connect() {
	by_program "$1" kprobes "call: tcp_connect$FUNCTION" '{index: 0, type: sock}' "{index: 0, operator: $2}"
}
NETWORK=
on_connect daddr 'DAddr, values: [127.0.0.1/8]'
on_connect daddr-six "DAddr, values: ['::1']"
on_connect not-daddr 'NotDAddr, values: [127.0.0.1, 10.0.0.0/8]'
on_connect saddr "SAddr, values: ['::/64']"
on_connect not-saddr "NotSAddr, values: ['::/0', 10.0.0.0/8]"
on_connect dport "DPort, values: ['81', '8102:8110']"
on_connect not-dport "NotDPort, values: ['81', '8102:8110']"
on_connect dport-priv DPortPriv
on_connect not-dport-priv NotDPortPriv
on_connect sport "SPort, values: ['1024:65535']"
on_connect not-sport "NotSPort, values: ['1024:65535']"
on_connect sport-priv SPortPriv
on_connect not-sport-priv NotSPortPriv
on_connect protocol 'Protocol, values: [IPPROTO_TCP]'
on_connect other-protocol 'Protocol, values: [IPPROTO_UDP]'
on_connect family 'Family, values: [AF_INET6]'
on_connect state 'State, values: [TCP_SYN_SENT, TCP_LISTEN]'
on_connect other-state 'State, values: [TCP_ESTABLISHED]'
by_program close kprobes "call: tcp_close$FUNCTION" '{index: 0, type: sock}' \
	'{index: 0, operator: State, values: [TCP_ESTABLISHED]}'
by_program packet kprobes "call: ip_output$FUNCTION" '{index: 2, type: skb}' \
	"{index: 2, operator: Protocol, values: [IPPROTO_UDP]}, {index: 2, operator: DPort, values: ['53']}"
by_program packet-six kprobes "call: ip6_output$FUNCTION" '{index: 2, type: skb}' \
	"{index: 2, operator: DAddr, values: ['::1']}, {index: 2, operator: DPort, values: ['8153']}"
by_program socket kprobes "call: security_socket_connect$FUNCTION" \
	'{index: 0, type: socket}, {index: 1, type: sockaddr}' \
	'{index: 0, operator: Protocol, values: [IPPROTO_UDP]}, {index: 0, operator: Family, values: [AF_INET6]}'
by_program sockaddr kprobes "call: sys_connect" '{index: 1, type: sockaddr}' \
	"{index: 1, operator: SPort, values: ['53', '8102']}"
by_program denied lsmhooks "hook: socket_connect" '{index: 1, type: sockaddr}' \
	"{index: 1, operator: Family, values: [AF_INET, AF_INET6]}, {index: 1, operator: NotSAddr, values: [127.0.0.0/8]}" \
	'matchActions: [{action: Override, argError: -13}]'
# An IPv4 address does not pass for another one by being written within IPv6.
by_program mapped lsmhooks "hook: socket_connect" '{index: 1, type: sockaddr}' \
	'{index: 1, operator: SAddr, values: [127.0.0.0/8]}' 'matchActions: [{action: Override, argError: -13}]'
network() {
	local name
	for name in $NETWORK; do
		[ $name = mapped ] || $W/bin/net-$name $W/traffic.sh 2>/dev/null
	done
	refuse net-denied-by-address $W/bin/net-denied -c 'exec 3<>/dev/tcp/::1/8102'
	check net-others-pass $W/bin/net-denied -c 'exec 3<>/dev/tcp/127.0.0.1/8102'
	refuse net-mapped-is-denied $W/bin/net-mapped -c 'exec 3<>/dev/tcp/::ffff:127.0.0.1/8102'
	check net-six-passes $W/bin/net-mapped -c 'exec 3<>/dev/tcp/::1/8102'
}
# Gives back what it gets, until the caller closes.
nc -ll -p 8102 -e /usr/bin/cat &
SERVER=$!
workload network

# Whose a packet is that arrives while somebody else runs: the one who has the socket.
cp /usr/bin/perl $W/bin/owner
cat >$W/owner.pl <<-'END2'
	socket my $socket, 2, 2, 17;
	bind $socket, pack("S n a4 x8", 2, 8163, "\x7f\0\0\1");
	open my $ready, ">", "/tmp/w/owner.ready";
	close $ready;
	recv $socket, my $data, 99, 0;
END2
policy sock-owner <<-END2
	  kprobes:
	  - call: sk_alloc
	    syscall: false
	    return: true
	    args: [{index: 1, type: int}]
	    returnArg: {index: 0, type: sock}
	    returnArgAction: TrackSock
	    selectors:
	    - matchArgs: [{index: 1, operator: Equal, values: ['2']}]
	      matchBinaries: [{operator: In, values: [$W/bin/owner]}]
	      matchActions: [{action: NoPost}]
	  - call: sk_free
	    syscall: false
	    args: [{index: 0, type: sock}]
	    selectors:
	    - matchBinaries: [{operator: In, values: [$W/bin/owner]}]
	      matchActions: [{action: UntrackSock, argSock: 0}, {action: NoPost}]
	  - call: sk_filter_trim_cap
	    syscall: false
	    args: [{index: 0, type: sock}, {index: 1, type: skb}]
	    selectors:
	    - matchArgs: [{index: 1, operator: DPort, values: ['8163']}]
END2
sockets_of_others() {
	$W/bin/owner $W/owner.pl &
	check owner-is-ready eventually 30 test -e $W/owner.ready
	bash -c 'echo question >/dev/udp/127.0.0.1/8163'
	wait $!
}
workload sockets_of_others
