# Arguments and returned values.

LENGTH='{index: 0, type: fd}, {index: 1, type: int64}'
number() { on_call "number-$1" sys_ftruncate "{index: 0, type: fd}, {index: 1, type: ${4:-int64}}" \
	"{index: 0, operator: Equal, values: [$W/number-$1]}, {index: 1, operator: $2, values: [$3]}"; }
number equal Equal "'100', '0x1000'"
number not-equal NotEqual "'100', '0x1000'"
number greater GreaterThan "'150'"
number gt GT "'150'"
number less LessThan "'150'"
number lt LT "'150'"
number in-range InRange "'50:100', '4096:5000'"
number not-in-range NotInRange "'50:100', '4096:5000'"
number mask Mask "'0x1', '0x1000'"
number as-byte Equal "'100'" uint8
number as-size GreaterThan "'4000'" size_t
number as-int Equal "'356'" int32
number expression CelExpr "'arg1 > 100 && and(arg1, 1) == 0'"
number expression-as-byte CelExpr "'arg1 - 101 == 0xffffffff'" uint8
NUMBERS='equal not-equal greater gt less lt in-range not-in-range mask as-byte as-size as-int expression expression-as-byte'
numbers() {
	local name length
	for name in $NUMBERS; do
		for length in 100 149 356 4096; do truncate -s $length $W/number-$name; done
	done
}
workload numbers

text() { on_call "text-$1" sys_unlinkat '{index: 1, type: string}' \
	"{index: 1, operator: Prefix, values: [$W/s/]}, {index: 1, operator: $2, values: [$3]}" \
	'matchBinaries: [{operator: In, values: [/usr/bin/rm]}]'; }
text equal Equal "$W/s/one.txt"
text not-equal NotEqual "$W/s/one.txt"
text prefix Prefix "$W/s/one, /nowhere"
text not-prefix NotPrefix "$W/s/one, /nowhere"
text postfix Postfix ".txt, .none"
text not-postfix NotPostfix ".txt, .none"
text substring SubString "ne.t, wo.b, one.txtx"
text substring-any-case SubStringIgnCase "NE.B, UPPER"
# Of two numbers beside the text: AT_FDCWD and no flag.
on_call text-expression sys_unlinkat '{index: 0, type: int}, {index: 1, type: string}, {index: 2, type: int}' \
	"{index: 1, operator: Equal, values: [$W/s/one.txt]}, {args: [0, 2], operator: CelExpr, values: ['arg0 == -100 && arg0 < arg2 && !(arg2 > 0)']}" \
	'matchBinaries: [{operator: In, values: [/usr/bin/rm]}]'
texts() {
	local name
	for name in one.txt one.bak two.txt upper.x Upper.x; do
		echo x >$W/s/$name
		rm $W/s/$name
	done
}
workload texts

# Paths of each type of argument, by each kind of comparison.
policy path-and-dentry <<-END
	  kprobes:
	  - call: security_path_unlink
	    syscall: false
	    args: [{index: 0, type: path}, {index: 1, type: dentry, label: what goes}]
	    selectors:
	    - matchArgs:
	      - {index: 0, operator: Equal, values: [$W/d]}
	      - {index: 1, operator: Postfix, values: [gone]}
END
policy dentry-is-within-its-file-system <<-END
	  kprobes:
	  - call: security_path_unlink
	    syscall: false
	    args: [{index: 0, type: path}, {index: 1, type: dentry}]
	    selectors:
	    - matchArgs: [{index: 1, operator: Equal, values: [/w/d/gone]}]
END
policy path-not <<-END
	  kprobes:
	  - call: security_path_unlink
	    syscall: false
	    args: [{index: 0, type: path}, {index: 1, type: dentry}]
	    selectors:
	    - matchArgs:
	      - {index: 0, operator: Prefix, values: [$W/]}
	      - {index: 0, operator: NotPrefix, values: [$W/s]}
	      - {index: 1, operator: NotPostfix, values: [gone, done]}
END
paths() {
	local name
	for name in gone here; do
		echo x >$W/d/$name
		rm $W/d/$name
	done
}
workload paths

policy filename-equal <<-END
	  kprobes:
	  - call: filename_lookup
	    syscall: false
	    args: [{index: 1, type: filename}]
	    selectors:
	    - matchArgs: [{index: 1, operator: Equal, values: [../tmp/w/filename-equal]}]
	      matchBinaries: [{operator: In, values: [/usr/bin/ln]}]
END
policy file-postfix <<-END
	  kprobes:
	  - call: security_file_open
	    syscall: false
	    args: [{index: 0, type: file}]
	    selectors:
	    - matchArgs:
	      - {index: 0, operator: Postfix, values: [.key, .pem]}
	      - {index: 0, operator: NotPostfix, values: [/public.key]}
	      - {index: 0, operator: NotEqual, values: [$W/more/other.key]}
END
# Anywhere in the path; the second rule narrows by the path's beginning as well.
policy file-substring <<-END
	  kprobes:
	  - call: security_file_open
	    syscall: false
	    args: [{index: 0, type: file}]
	    selectors:
	    - matchArgs: [{index: 0, operator: SubString, values: [ore/private, w/more/so, nothing]}]
	      matchBinaries: [{operator: In, values: [/usr/bin/cat]}]
	    - matchArgs:
	      - {index: 0, operator: Prefix, values: [$W/more/]}
	      - {index: 0, operator: SubStringIgnCase, values: [PUBLIC.]}
END
# Denied at each kind of path that has the word in it, and at no other.
policy substring-denied <<-END
	  lsmhooks:
	  - hook: path_unlink
	    args: [{index: 0, type: path}, {index: 1, type: dentry}]
	    selectors:
	    - matchArgs:
	      - {index: 0, operator: SubString, values: [/mor]}
	      - {index: 1, operator: SubStringIgnCase, values: [KeepMe]}
	      matchActions: [{action: Override, argError: -1}]
END
# No program may run with the rights of its owner or group.
policy expression-denied <<-END
	  lsmhooks:
	  - hook: path_chmod
	    args: [{index: 0, type: path}, {index: 1, type: uint16}]
	    selectors:
	    - matchArgs:
	      - {index: 0, operator: Prefix, values: [$W/more/]}
	      - {index: 1, operator: CelExpr, values: ['and(arg1, 0xc00) != 0 && and(arg1, 0x49) != 0']}
	      matchActions: [{action: Override, argError: -1}]
END
files() {
	# As the process wrote it, not as it is: ln(1) links the file that is named.
	(cd /usr && ln ../tmp/w/filename-equal $W/linked)
	local name
	for name in private.key public.key other.key some.pem; do
		echo x >$W/more/$name
		cat $W/more/$name
	done
	echo x >$W/more/a-keepme-b
	echo x >$W/keepme
	refuse substring-denied rm $W/more/a-keepme-b
	check substring-elsewhere rm $W/keepme
	echo x >$W/more/rights
	refuse expression-denied chmod 4755 $W/more/rights
	check expression-allowed chmod 755 $W/more/rights
} >/dev/null
workload files

policy program <<-END
	  lsmhooks:
	  - hook: bprm_check_security
	    args: [{index: 0, type: linux_binprm}]
	    selectors:
	    - matchArgs: [{index: 0, operator: Prefix, values: [$W/more/]}, {index: 0, operator: NotPostfix, values: [/reader]}]
END
cp /usr/bin/cat $W/more/program
printf '#!/usr/bin/cat\nscript\n' >$W/more/script
chmod +x $W/more/script
programs() {
	$W/more/reader /dev/null
	$W/more/program /dev/null
	$W/more/script
} >/dev/null
workload programs

policy capability <<-END
	  kprobes:
	  - call: security_capable
	    syscall: false
	    args: [{index: 2, type: capability}]
	    selectors:
	    - matchArgs: [{index: 2, operator: Equal, values: [CAP_SYS_CHROOT]}]
	      matchBinaries: [{operator: In, values: [/usr/bin/busybox]}]
END
asked() { check chroot-works /usr/bin/busybox chroot / /bin/true; }
workload asked

BUFFER='{index: 0, type: fd}, {index: 1, type: char_buf, sizeArgIndex: 3}, {index: 2, type: size_t}'
buffer() { on_call "buffer-$1" sys_write "$BUFFER" \
	"{index: 0, operator: Equal, values: [$W/buffer-$1]}, {index: 1, operator: $2, values: [$3]}"; }
buffer equal Equal "'secret one'"
buffer not-equal NotEqual "'secret one'"
buffer prefix Prefix secret
buffer not-prefix NotPrefix secret
buffer postfix Postfix one
buffer not-postfix NotPostfix one
buffer substring SubString "'et o', ret"
on_call buffer-long sys_write "$BUFFER" "{index: 0, operator: Equal, values: [$W/buffer-long]}"
# More than is compared: whether it is that text cannot be told.
on_call buffer-unresolved sys_write "$BUFFER" \
	"{index: 0, operator: Equal, values: [$W/buffer-unresolved]}, {index: 1, operator: Equal, values: [short]}"
sed -i 's/^spec:/spec:\n  onUnresolved: match/' "$NEW/buffer-unresolved.yaml"
on_call buffer-skipped sys_write "$BUFFER" \
	"{index: 0, operator: Equal, values: [$W/buffer-skipped]}, {index: 1, operator: NotEqual, values: [short]}"
on_call buffer-untyped sys_write '{index: 0, type: nop}, {index: 2, label: length}' \
	"{index: 2, operator: Equal, values: ['1234']}"
buffers() {
	local name
	for name in equal not-equal prefix not-prefix postfix not-postfix substring; do
		printf 'secret one' >$W/buffer-$name
		printf 'secret two' >$W/buffer-$name
		printf 'public one' >$W/buffer-$name
	done
	for name in long unresolved skipped; do dd if=/dev/zero bs=5000 count=1 | tr '\0' x >$W/more/x; done 2>/dev/null
	for name in long unresolved skipped; do dd if=$W/more/x of=$W/buffer-$name bs=5000 count=1 2>/dev/null; done
	dd if=$W/more/x of=$W/buffer-untyped bs=1234 count=1 2>/dev/null
}
workload buffers

on_call parts sys_writev '{index: 0, type: fd}, {index: 1, type: char_iovec, sizeArgIndex: 3}, {index: 2, type: int}' \
	"{index: 0, operator: Equal, values: [$W/parts]}"
parts() { lictor-lab tool write-parts $W/parts one, two, three; } >/dev/null
workload parts

# What a read brought, and what it returned.
READ='{index: 0, type: fd}, {index: 1, type: char_buf, returnCopy: true}, {index: 2, type: size_t}'
returned() {
	policy "return-$1" <<-END
		  kprobes:
		  - call: sys_read
		    syscall: true
		    return: true
		    args: [$READ]
		    returnArg: {index: 0, type: long}
		    selectors:
		    - matchArgs: [{index: 0, operator: Equal, values: [$W/return-$1]}]
		      matchReturnArgs: [{index: 0, operator: $2, values: [$3]}]
	END
	echo 7 bytes >$W/return-$1
}
returned equal Equal "'8', '-1'"
returned not-equal NotEqual "'8'"
returned greater GreaterThan "'0'"
returned less LessThan "'1'"
returned in-range InRange "'1:8'"
returned not-in-range NotInRange "'1:8'"
returned mask Mask "'8'"
returned expression CelExpr "'arg0 > 0 && arg0 + 1 < 10'"
policy return-content <<-END
	  kprobes:
	  - call: sys_read
	    syscall: true
	    return: true
	    args: [$READ]
	    returnArg: {index: 0, type: int}
	    selectors:
	    - matchArgs: [{index: 0, operator: Equal, values: [$W/return-content]}, {index: 1, operator: Prefix, values: [cont]}]
END
policy return-errno <<-END
	  kprobes:
	  - call: sys_openat
	    syscall: true
	    return: true
	    args: [{index: 1, type: string}]
	    returnArg: {index: 0, type: int}
	    selectors:
	    - matchArgs: [{index: 1, operator: Prefix, values: [$W/return-errno]}]
	      matchReturnArgs: [{index: 0, operator: LessThan, values: ["0"]}]
END
returns() {
	local name
	# Two reads: eight bytes, then the end of the file.
	for name in equal not-equal greater less in-range not-in-range mask expression; do
		dd if=$W/return-$name of=/dev/null bs=100 count=2
	done
	dd if=$W/return-content of=/dev/null bs=100 count=2
	cat $W/return-errno $W/return-errno-missing $W/return-errno/below >/dev/null
} 2>/dev/null
workload returns

policy tracepoint <<-END
	  tracepoints:
	  - subsystem: syscalls
	    event: sys_enter_ftruncate
	    message: a file is cut
	    args: [{index: 5, type: fd}, {index: 6, type: uint64}]
	    selectors:
	    - matchArgs: [{index: 5, operator: Equal, values: [$W/tracepoint]}, {index: 6, operator: GT, values: ['99']}]
	  - subsystem: syscalls
	    event: sys_enter_unlinkat
	    tags: [removal]
	    args: [{index: 6, type: string}]
	    selectors:
	    - matchArgs: [{index: 6, operator: Equal, values: [$W/tracepoint]}]
END
cp /usr/bin/true $W/bin/raw
policy raw-tracepoint <<-END
	  tracepoints:
	  - subsystem: sched
	    event: sched_process_exec
	    raw: true
	    args: [{index: 2, type: linux_binprm}]
	    selectors:
	    - matchArgs: [{index: 2, operator: Equal, values: [$W/bin/raw]}]
	  - subsystem: task
	    event: task_rename
	    raw: true
	    args: [{index: 1, type: string}]
	    selectors:
	    - matchArgs: [{index: 1, operator: Prefix, values: [raw]}]
END
cp /usr/bin/stat $W/bin/calls
# A 32-bit program (ELF, i386): getpid, exit.
{
	printf '\177ELF\1\1\1\0\0\0\0\0\0\0\0\0\2\0\3\0\1\0\0\0\124\200\4\10\64\0\0\0\0\0\0\0\0\0\0\0\64\0\40\0'
	printf '\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\200\4\10\0\200\4\10\144\0\0\0\144\0\0\0\5\0\0\0\0\20\0\0'
	printf '\270\24\0\0\0\315\200\270\1\0\0\0\61\333\315\200'
} >$W/bin/call32
chmod +x $W/bin/call32
policy system-call <<-END
	  lists: [{name: looks, type: syscalls, values: [sys_newfstatat, sys_statx, i386/sys_getpid]}]
	  tracepoints:
	  - subsystem: raw_syscalls
	    event: sys_enter
	    args: [{index: 4, type: syscall64}]
	    selectors:
	    - matchBinaries: [{operator: In, values: [$W/bin/calls, $W/bin/call32]}]
	      matchArgs: [{index: 4, operator: InMap, values: ['list:looks']}]
	      matchActions: [{action: Post, rateLimit: 1m}]
END
# The same for write(2, the program's own first 4 bytes) and dup2(1, 77); the upper half of a register is not looked at.
{
	printf '\177ELF\1\1\1\0\0\0\0\0\0\0\0\0\2\0\3\0\1\0\0\0\124\200\4\10\64\0\0\0\0\0\0\0\0\0\0\0\64\0\40\0'
	printf '\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\200\4\10\0\200\4\10\204\0\0\0\204\0\0\0\5\0\0\0\0\20\0\0'
	printf '\270\4\0\0\0\273\2\0\0\0\271\0\200\4\10\272\4\0\0\0\315\200'
	printf '\270\77\0\0\0\273\1\0\0\0\271\115\0\0\0\315\200'
	printf '\270\1\0\0\0\61\333\315\200'
} >$W/bin/write32
chmod +x $W/bin/write32
policy calls-of-32-bit <<-END
	  kprobes:
	  - call: i386/sys_write
	    args: [{index: 0, type: uint32}, {index: 1, type: char_buf, sizeArgIndex: 3}, {index: 2, type: size_t}]
	    selectors:
	    - matchArgs: [{index: 1, operator: Postfix, values: [ELF]}, {index: 0, operator: Equal, values: ['2']}]
	  - call: __ia32_sys_dup2
	    args: [{index: 0, type: int}, {index: 1, type: int}]
	    return: true
	    returnArg: {index: 0, type: int}
	    selectors:
	    - matchArgs: [{index: 1, operator: GreaterThan, values: ['76']}]
END
# The same for 64 bits.
{
	printf '\177\105\114\106\2\1\1\0\0\0\0\0\0\0\0\0\2\0\76\0\1\0\0\0\170\0\100\0\0\0\0\0\100\0\0\0\0\0\0\0'
	printf '\0\0\0\0\0\0\0\0\0\0\0\0\100\0\70\0\1\0\0\0\0\0\0\0\1\0\0\0\5\0\0\0\0\0\0\0\0\0\0\0'
	printf '\0\0\100\0\0\0\0\0\0\0\100\0\0\0\0\0\210\0\0\0\0\0\0\0\210\0\0\0\0\0\0\0\0\20\0\0\0\0\0\0'
	printf '\270\47\0\0\0\17\5\270\74\0\0\0\61\377\17\5'
} >$W/bin/every64
cp $W/bin/call32 $W/bin/every32
chmod +x $W/bin/every64
policy every-system-call <<-END
	  lists: [{name: all, type: generated_syscalls}]
	  kprobes:
	  - call: list:all
	    data: [{index: 0, type: uint64, source: pt_regs, resolve: orig_ax}]
	    selectors:
	    - matchBinaries: [{operator: In, values: [$W/bin/every64, $W/bin/every32]}]
END
tracepoints() {
	$W/bin/every64
	$W/bin/every32
	$W/bin/write32 2>/dev/null
	$W/bin/calls $W/raw-tracepoint >/dev/null
	$W/bin/call32
	$W/bin/raw one
	truncate -s 99 $W/tracepoint
	truncate -s 100 $W/tracepoint
	rm $W/tracepoint
}
workload tracepoints

# Kinds of files.
mkdir -p $W/kinds/dir $W/kinds
echo x >$W/kinds/reg
mkfifo $W/kinds/fifo
mknod $W/kinds/chr c 1 3
kinds() {
	policy "kind-$1" <<-END
		  lsmhooks:
		  - hook: file_open
		    args: [{index: 0, type: file}]
		    selectors:
		    - matchBinaries: [{operator: In, values: [$W/bin/kind-$1]}]
		      matchArgs: [{index: 0, operator: Prefix, values: [$W/kinds/]}, {index: 0, operator: $2, values: [$3]}]
	END
	cp /usr/bin/bash $W/bin/kind-$1
}
kinds regular FileType reg
kinds special FileType 'pipe, char'
kinds not-regular NotFileType 'regular, dir'
opened_kinds() {
	local name
	for name in regular special not-regular; do
		$W/bin/kind-$name -c ": <$W/kinds/reg; : <>$W/kinds/fifo; : <$W/kinds/chr; : <$W/kinds/dir"
	done
}
workload opened_kinds

# Characters in the record of a tracepoint: of any length, and an array.
policy record-text <<-END
	  tracepoints:
	  - subsystem: sched
	    event: sched_process_exec
	    args: [{index: 4, type: data_loc}, {index: 4, type: auto, label: the same}]
	    selectors:
	    - matchArgs: [{index: 4, operator: Postfix, values: [/record-text-program]}]
END
policy record-array <<-END
	  tracepoints:
	  - subsystem: task
	    event: task_rename
	    args: [{index: 6, type: const_buf}, {index: 6, type: string}]
	    selectors:
	    - matchArgs: [{index: 6, operator: Equal, values: [record-text-pro]}]
END
cp /usr/bin/cat $W/bin/record-text-program
record_texts() { check record-text-program-runs $W/bin/record-text-program /dev/null; }
workload record_texts

# Buffers longer than a record: whole, cut at the greatest length, in pieces that are not whole ones, and as they came back.
WHOLE='{index: 0, type: fd}, {index: 1, type: char_buf, sizeArgIndex: 3, maxData: true}'
for name in whole at-most; do
	on_call long-$name sys_write "$WHOLE" "{index: 0, operator: Equal, values: [$W/long-$name]}"
done
on_call long-short sys_write "$WHOLE, {index: 1, type: char_buf, sizeArgIndex: 3}" \
	"{index: 0, operator: Equal, values: [$W/long-short]}"
on_call long-vectors sys_writev '{index: 0, type: fd}, {index: 1, type: char_iovec, sizeArgIndex: 3, maxData: true}' \
	"{index: 0, operator: Equal, values: [$W/long-vectors]}"
policy long-read <<-END
	  kprobes:
	  - call: sys_read
	    syscall: true
	    args: [{index: 0, type: fd}, {index: 1, type: char_buf, returnCopy: true, sizeArgIndex: 3, maxData: true}]
	    selectors:
	    - matchArgs: [{index: 0, operator: Equal, values: [$W/long-read]}]
	      matchBinaries: [{operator: In, values: [/usr/bin/perl]}]
END
long_buffers() {
	perl -e 'print map { pack "N", $_ } 0 .. 12_499' >$W/long-read
	check long-buffers-are-written perl /lab/long.pl $W
}
workload long_buffers
