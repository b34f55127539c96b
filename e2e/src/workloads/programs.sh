# Places in programs: $W/bin/probed is probed.c.
cp /usr/bin/probed $W/bin/probed
on_program() {
	policy "$1" <<-END
		  uprobes:
		  - path: $W/bin/probed
		    $2
		    selectors:
		    - {$3}
	END
}
ARGS='args: [{index: 0, type: int, label: number}, {index: 1, type: string}, {index: 2, type: size_t}]'
on_program uprobe-arguments "symbols: [lab_function]
    $ARGS
    message: a function
    tags: [one, two]" "matchArgs: [{index: 1, operator: Prefix, values: [up]}, {index: 0, operator: Equal, values: ['3']}]"
on_program uprobe-not "symbols: [lab_function]
    $ARGS" "matchArgs: [{index: 1, operator: NotPrefix, values: [up, die, over]}]"
on_program uprobe-returned "symbols: [lab_function]
    return: true
    returnArg: {index: 0, type: int, label: sum}" "matchReturnArgs: [{index: 0, operator: InRange, values: ['8:9']}]"
on_program uprobe-kill "symbols: [lab_function]
    args: [{index: 1, type: string}]" "matchArgs: [{index: 1, operator: Equal, values: [die]}], matchActions: [{action: Sigkill}]"
on_program uprobe-monitor "symbols: [lab_function]
    args: [{index: 1, type: string}]" "matchArgs: [{index: 1, operator: Equal, values: [monitored]}], matchActions: [{action: Sigkill}]"
sed -i '/^spec:/a\  mode: monitor' "$NEW/uprobe-monitor.yaml"
# Where a policy by symbol would attach, the same by numbers.
offset=$(lictor policy explain "$NEW/uprobe-kill.yaml" | sed -n 's/^uprobe.*probed:\(0x[0-9a-f]*\):.*/\1/p')
on_program uprobe-offset "offsets: [$offset]
    args: [{index: 1, type: string}]" "matchArgs: [{index: 1, operator: Equal, values: [up]}]"
policy uprobe-binaries <<-END
	  uprobes:
	  - path: /usr/lib/x86_64-linux-gnu/libc.so.6
	    symbols: [setlocale]
	    selectors:
	    - matchBinaries: [{operator: In, values: [$W/bin/local]}]
	      matchActions: [{action: Post, rateLimit: 1h}]
END
cp /usr/bin/bash $W/bin/local
cp /usr/bin/probed $W/bin/replaced
policy uprobe-replaced <<-END
	  uprobes:
	  - {path: $W/bin/replaced, symbols: [lab_function, no_such_function], ignore: {callNotFound: true}}
	  - {path: $W/bin/comes-later, symbols: [lab_function], ignore: {callNotFound: true}}
END
on_program uprobe-data "symbols: [lab_function]
    args: [{index: 2, type: size_t}]
    data:
    - {index: 0, type: string, source: current_task, resolve: comm, label: name}
    - {index: 1, type: string, source: pt_regs, resolve: rsi}
    - {index: 2, type: auto, source: pt_regs, resolve: edi}
    - {index: 3, type: uint8, source: pt_regs, resolve: dx}" \
	"matchData: [{index: 1, operator: Prefix, values: [up]}, {index: 2, operator: Equal, values: ['4']}, {index: 0, operator: Equal, values: [probed]}]"
on_program uprobe-data-returned "symbols: [lab_function]
    return: true
    returnArg: {index: 0, type: int}
    data: [{index: 0, type: int, source: pt_regs, resolve: rax}]" "matchData: [{index: 0, operator: Equal, values: ['9']}], matchBinaries: [{operator: In, values: [$W/bin/probed]}], matchActions: [{action: Post, rateLimit: 1h, rateLimitScope: global}]"
# What a function is called with, beside what it returns: by what it was called with, and what it has left in memory.
on_program uprobe-both "symbols: [lab_depth]
    return: true
    returnArg: {index: 0, type: int, label: sum}
    args: [{index: 0, type: int, label: number}, {index: 1, type: int}]" "matchArgs: [{index: 0, operator: InRange, values: ['2:3']}, {index: 1, operator: Equal, values: ['0']}], matchReturnArgs: [{index: 0, operator: GT, values: ['2']}]"
on_program uprobe-both-computed "symbols: [lab_depth]
    return: true
    returnArg: {index: 0, type: int}
    args: [{index: 0, type: int}, {index: 1, type: int}]" "matchArgs: [{args: [0, 1], operator: CelExpr, values: [arg0 + arg1 == 1]}]"
on_program uprobe-filled "symbols: [lab_fill]
    args: [{index: 0, type: char_buf, sizeArgIndex: 2, returnCopy: true}, {index: 1, type: size_t}, {index: 2, type: string}]" "matchArgs: [{index: 0, operator: Prefix, values: [secret]}]"
on_program uprobe-killed-at-the-end "symbols: [lab_fill]
    return: true
    returnArg: {index: 0, type: int64}
    args: [{index: 1, type: size_t}]" "matchArgs: [{index: 1, operator: Equal, values: ['64']}], matchReturnArgs: [{index: 0, operator: Equal, values: ['4']}], matchReturnActions: [{action: Sigkill}]"
on_program uprobe-forked "symbols: [lab_fork]
    return: true
    returnArg: {index: 0, type: int}
    args: [{index: 0, type: int}]" "matchReturnArgs: [{index: 0, operator: InRange, values: ['-7:7']}]"
no_end_of_go() {
	cat >$WORK/go-end.yaml <<-END
		apiVersion: lictor.io/v1alpha1
		kind: TracingPolicy
		metadata: {name: go-end}
		spec: {uprobes: [{path: /usr/bin/watched, symbols: [main.watched], return: true, returnArg: {index: 0, type: int}}]}
	END
	lictor policy explain $WORK/go-end.yaml 2>&1 | grep 'found the end of `main.watched`, a Go function'
}
check the-end-of-a-go-function-is-refused-by-name no_end_of_go
# Members of the program's own structures, by a file that describes them.
TYPES='btfPath: /usr/lib/probed-types.o'
on_program uprobe-members "symbols: [lab_handle]
    $TYPES
    args: [{index: 0, resolve: code, label: code}, {index: 0, type: string, resolve: name}, {index: 0, resolve: peer.port}, {index: 0, type: string, resolve: peer.host}, {index: 0, resolve: 'sizes[1]'}, {index: 1, type: int}]" \
	"matchArgs: [{args: [3], operator: Prefix, values: [www.]}, {args: [0], operator: Equal, values: ['-7']}]"
on_program uprobe-members-at-the-end "symbols: [lab_handle]
    $TYPES
    return: true
    returnArg: {index: 0, resolve: port}
    args: [{index: 0, type: string, btfType: lab_request, resolve: name}]" "matchReturnArgs: [{index: 0, operator: Equal, values: ['8080']}]"
on_program uprobe-members-without-peer "symbols: [lab_handle]
    $TYPES
    args: [{index: 0, resolve: peer.port}, {index: 0, type: string, resolve: name}]" "matchArgs: [{args: [1], operator: Equal, values: [twelve-bytes]}]"
no_such_member() {
	cat >$WORK/no-member.yaml <<-END
		apiVersion: lictor.io/v1alpha1
		kind: TracingPolicy
		metadata: {name: no-member}
		spec: {uprobes: [{path: /usr/bin/probed, symbols: [lab_handle], $TYPES, args: [{index: 0, resolve: pere.port}]}]}
	END
	lictor policy check $WORK/no-member.yaml 2>&1 | grep 'the member pere of struct lab_request.*did you mean `peer`'
}
check a-member-that-a-program-has-not-is-refused no_such_member
ends_of_functions() {
	expect calls-within-calls 6 $W/bin/probed depth
	expect a-buffer-is-filled secret-text $W/bin/probed fill secret-text
	$W/bin/probed fill three
	$W/bin/probed fill over && echo alive
	$W/bin/probed fork
	$W/bin/probed handle GET www.example.org
	$W/bin/probed handle GET other.example.org
	$W/bin/probed handle twelve-bytes
}
workload ends_of_functions
places_in_programs() {
	$W/bin/probed up
	$W/bin/probed up two
	$W/bin/probed up two three
	$W/bin/probed over
	$W/bin/probed monitored
	$W/bin/probed die && echo alive
	$W/bin/local -c :
}
workload places_in_programs

# A file that is one of those meant is hooked until it is written to; one that is not is passed over, or refuses its policy.
cp /usr/bin/probed $W/bin/versioned
digest_of() { "$1"sum <$2 | cut -d ' ' -f 1; }
VERSION=$(digest_of sha256 $W/bin/versioned)
policy uprobe-digest <<-END
	  uprobes:
	  - path: $W/bin/versioned
	    symbols: [lab_function, main]
	    args: [{index: 0, type: int}]
	    binaryDigests: [sha1:$(digest_of sha1 /bin/sh), sha512:$(digest_of sha512 $W/bin/versioned)]
	    ignore: {digestVerificationFailure: true}
	    selectors: [{matchActions: [{action: Post, rateLimit: 1h}]}]
	  - path: $W/bin/versioned
	    symbols: [lab_function]
	    binaryDigests: [sha256:$(digest_of sha256 /bin/sh), build-id:0123]
	    ignore: {digestVerificationFailure: true}
END
other_version() {
	cat >$WORK/other.yaml <<-END
		apiVersion: lictor.io/v1alpha1
		kind: TracingPolicy
		metadata: {name: other}
		spec: {uprobes: [{path: $W/bin/versioned, symbols: [main], binaryDigests: ["sha256:${VERSION%??}00"]}]}
	END
	lictor policy explain $WORK/other.yaml 2>&1 | grep "binaryDigests: found the file \`$W/bin/versioned\` with \`sha256:$VERSION\`"
}
check another-version-is-refused-by-name other_version

# Stacks: of them are compared the functions that every kernel has.
STACKS='matchActions: [{action: Post, kernelStackTrace: true, userStackTrace: true}]'
policy stacks <<-END
	  kprobes:
	  - call: security_path_unlink
	    syscall: false
	    selectors: [{matchBinaries: [{operator: In, values: [$W/bin/probed]}], $STACKS}]
END
policy stacks-at-the-end <<-END
	  kprobes:
	  - call: vfs_unlink
	    syscall: false
	    return: true
	    returnArg: {index: 0, type: int}
	    selectors: [{matchBinaries: [{operator: In, values: [$W/bin/probed]}], $STACKS}]
END
policy stacks-lsm <<-END
	  lsmhooks:
	  - hook: path_unlink
	    selectors: [{matchBinaries: [{operator: In, values: [$W/bin/probed]}], $STACKS}]
END
policy stacks-tracepoint <<-END
	  tracepoints:
	  - subsystem: syscalls
	    event: sys_enter_unlink
	    selectors: [{matchBinaries: [{operator: In, values: [$W/bin/probed]}], matchActions: [{action: Post, userStackTrace: true}]}]
END
policy stacks-raw-tracepoint <<-END
	  tracepoints:
	  - subsystem: raw_syscalls
	    event: sys_enter
	    raw: true
	    args: [{index: 1, type: int32}]
	    selectors: [{matchArgs: [{index: 1, operator: Equal, values: ['87']}], matchBinaries: [{operator: In, values: [$W/bin/probed]}], $STACKS}]
END
on_program stacks-uprobe "symbols: [lab_unlink]
    args: [{index: 0, type: string}]" "matchActions: [{action: Post, userStackTrace: true}]"
on_program stacks-suppressed "symbols: [lab_through]
    args: [{index: 0, type: string}]" "matchActions: [{action: Post, userStackTrace: true, rateLimit: 1h, rateLimitScope: global}]"
stacks() {
	touch $W/unlinked
	$W/bin/probed unlink $W/unlinked
	touch $W/unlinked
	$W/bin/probed unlink $W/unlinked
}
workload stacks

# Go programs without symbols keep the names of their functions. Go passes the first argument in `ax`.
for program in watched watched-anywhere; do
	cp /usr/bin/$program $W/bin/$program
	policy go-$program <<-END
		  uprobes:
		  - path: $W/bin/$program
		    symbols: [main.watched, main.(*counter).add]
		    data: [{index: 0, type: string, source: current_task, resolve: comm}]
		  - path: $W/bin/$program
		    symbols: [main.watched]
		    data: [{index: 0, type: int, source: pt_regs, resolve: rax}]
	END
done
go_programs() {
	expect go-program-runs '9 9' $W/bin/watched
	expect go-program-runs-anywhere '9 9' $W/bin/watched-anywhere
}
workload go_programs

is_hooked() { lictor node status -o json | grep -q "/$1:"; }
versions_of_programs() {
	$W/bin/versioned one
	# The same file with another content: what a program does may be another thing now.
	printf 'x' >>$W/bin/versioned
	not_hooked() { ! is_hooked versioned; }
	check a-file-that-is-written-to-is-let-go eventually 30 not_hooked
	$W/bin/versioned two
}
workload versions_of_programs

# Another file of the same name is another program, and one that comes later is watched from then on.
replaced_programs() {
	$W/bin/replaced one
	cp /usr/bin/probed $W/bin/new
	mv $W/bin/new $W/bin/replaced
	cp /usr/bin/probed $W/bin/new
	mv $W/bin/new $W/bin/comes-later

	check programs-that-come-later-are-hooked eventually 30 is_hooked comes-later
	$W/bin/replaced two
	$W/bin/comes-later three
}
workload replaced_programs

# Probes of programs: in registers, in memory, constants; two places of one probe, and the program counts that it is watched.
usdt() {
	policy "$1" <<-END2
		  usdts:
		  - path: $W/bin/probed
		    provider: lab
		    name: $2
		    args: [$3]
		    selectors:
		    - {$4}
	END2
}
usdt usdt-arguments step '{index: 0, type: int32}, {index: 1, type: string, label: text}, {index: 2}, {index: 3, type: int64}, {index: 4, type: uint8}' \
	'matchArgs: [{index: 1, operator: Prefix, values: [probe]}]'
usdt usdt-numbers step '{index: 2, type: int64}, {index: 3, type: int64}' \
	"matchArgs: [{index: 2, operator: Equal, values: ['33']}, {index: 3, operator: Equal, values: ['33']}], matchBinaries: [{operator: In, values: [$W/bin/probed]}], matchActions: [{action: Post, rateLimit: 1h}]"
usdt usdt-constant plain '{index: 0, type: int8}' \
	"matchArgs: [{index: 0, operator: Equal, values: ['-3']}], matchActions: [{action: Post, rateLimit: 1h}]"
usdt usdt-kill step '{index: 1, type: string}' \
	'matchArgs: [{index: 1, operator: Equal, values: [doomed]}], matchActions: [{action: Sigkill}]'
usdt usdt-set answer '{index: 1, type: int32}, {index: 0, type: int32, label: answer}' \
	"matchArgs: [{index: 1, operator: Equal, values: ['3']}], matchActions: [{action: Set, argIndex: 1, argValue: 42}]"
usdt usdt-set-negative answer '{index: 0}, {index: 1, type: int32}' \
	"matchArgs: [{index: 1, operator: Equal, values: ['5']}], matchActions: [{action: Set, argValue: -1}, {action: NoPost}]"
usdt usdt-set-monitor answer '{index: 0, type: int32}, {index: 1, type: int32}' \
	"matchArgs: [{index: 1, operator: Equal, values: ['4']}], matchActions: [{action: Set, argValue: 42}]"
sed -i '/^spec:/a\  mode: monitor' "$NEW/usdt-set-monitor.yaml"
on_types() {
	usdt "$@"
	sed -i "s|^  - path: .*|&\n    $TYPES|" "$NEW/$1.yaml"
}
on_types usdt-members handled '{index: 0, btfType: lab_request, resolve: peer.port}, {index: 1, type: string, btfType: lab_request, resolve: name}, {index: 1, type: string, btfType: lab_request, resolve: peer.host}' \
	"matchArgs: [{args: [2], operator: Postfix, values: [.org]}]"
probes_in_programs() {
	expect answer-stands 20 $W/bin/probed answer 2
	expect answer-is-set 42 $W/bin/probed answer 3
	expect answer-is-only-watched 40 $W/bin/probed answer 4
	expect answer-is-negative -1 $W/bin/probed answer 5
	$W/bin/probed probe-one probe-two >$W/counted
	check probes-are-counted grep ' 2$' $W/counted
	$W/bin/probed doomed && echo alive
	$W/bin/probed handle PUT usdt.example.org
}
workload probes_in_programs
