/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The contract between the BPF programs and the node worker: map keys and values, program constants and event
 * records. Rust bindings are generated from this file (`cargo xtask codegen`); nothing here is mirrored by hand.
 *
 * All integers are in host byte order. Every struct is padded explicitly, so that records can be copied as bytes.
 */
#ifndef LICTOR_WIRE_H
#define LICTOR_WIRE_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/* Changes whenever the meaning or the layout of anything below changes; part of the pin directory's name. */
#define LICTOR_ABI_VERSION 7

/* ---- limits ---------------------------------------------------------------------------------------------- */

/* Rules of one hook point, over all policies: 64 words of 64 bits, one summary word over them. */
#define LICTOR_MAX_RULES 4096
#define LICTOR_VECTOR_WORDS 64
/* Distinct argument extractions of one hook point, over all policies. */
#define LICTOR_MAX_FIELDS 8
/* Pointers that are followed from an argument to a value. */
#define LICTOR_MAX_STEPS 10
/* Distinct tables that one hook point consults. */
#define LICTOR_MAX_COLUMNS 16
/* Hook points live at one time. */
#define LICTOR_MAX_HOOKS 256
/* Hook slots below this have a bit in the "no rule can match this path class" word. */
#define LICTOR_EMPTY_HOOKS 64
/* Policies live at one time: size of the counter table. */
#define LICTOR_MAX_POLICIES 8192
/* Bytes of a path, the terminating NUL included (the kernel's PATH_MAX). */
#define LICTOR_PATH_MAX 4096
/* Bytes of string data in one key of the prefix trie; longer strings are chained through `next`. */
#define LICTOR_LPM_CHUNK 248
/* Longest value of a suffix predicate, bytes. */
#define LICTOR_SUFFIX_MAX 128
/* Longest value of a substring predicate, bytes: each takes an entry of the number table. */
#define LICTOR_SUBSTRING_MAX 128
/* Different expressions of one hook point, over all policies: each is computed by itself. */
#define LICTOR_MAX_EXPRESSIONS 64
/* Instructions of one expression. */
#define LICTOR_EXPRESSION_STEPS 64
/* Values that it can keep at a time. */
#define LICTOR_EXPRESSION_DEPTH 8
/* Rules that one record can name. */
#define LICTOR_MAX_FIRED 128
/* Longest record, bytes: eight fields of up to 4,096 bytes would not fit, the last ones are truncated. */
#define LICTOR_MAX_RECORD 24576
/* Ancestors that `followForks` looks at, the process itself included. */
#define LICTOR_MAX_ANCESTORS 32
/* Different executables that are remembered of a process and of those it descends from. */
#define LICTOR_MAX_LINEAGE 32
/* Bytes of arguments kept from one execve. */
#define LICTOR_MAX_EXEC_ARGS 4096
/* Threads whose event is judged and the file's hash not yet begun. Nothing sleeps between, so they are few per processor. */
#define LICTOR_MAX_HASHES 256
/* Pod numbers are below this: eight times the pods that a node has by Kubernetes' recommendation. */
#define LICTOR_MAX_PODS 4096
/* Cgroups whose pod is remembered; what is not among them is found by a walk to the root. */
#define LICTOR_MAX_CGROUPS 16384
/* Of these, cgroups that processes of pods have made themselves. */
#define LICTOR_MAX_NESTED_CGROUPS 8192
/* Bytes kept of a cgroup's name. */
#define LICTOR_MAX_CGROUP_NAME 128
/* Sockets whose owner is remembered. */
#define LICTOR_MAX_SOCKETS 16384
/* Notifications that are left for one thread, each of another policy. */
#define LICTOR_MAX_NOTIFICATIONS 8
/* Bytes kept of a string, a buffer or an I/O vector argument. */
#define LICTOR_MAX_BYTES 4096
/* The same of one that is wanted as long as it is: ten requests of 32 KiB, as users of the established language know it. */
#define LICTOR_MAX_DATA 327360
/* Frames kept of a stack, the innermost ones. */
#define LICTOR_MAX_FRAMES 32

/* ---- the live revision ----------------------------------------------------------------------------------- */

/*
 * One element, mapped into user space. `revision_slot` holds the revision number (low 32 bits, 0 = judge nothing) and
 * the table slot (high 32 bits); user space changes it by one aligned 8-byte store, so an event sees one revision.
 * `fs_generation` is written only by the invalidation programs.
 */
struct lictor_live {
	__u64 revision_slot;
	__u32 fs_generation;
	__u32 flags;
	/*
	 * Key of the hashes of paths in struct lictor_image: random, and written before the first program is attached, so that
	 * nobody can choose a path that has another one's hash.
	 */
	__u64 path_key[2];
};

/* What is live in a table slot: read back for status, never consulted for a verdict but for the two path tables. */
struct lictor_revision {
	__u64 number;
	/* Word index of "empty" words by path prefix class, and how many; the same for suffix classes. */
	__u32 prefix_empty_base;
	__u32 prefix_classes;
	__u32 suffix_empty_base;
	__u32 suffix_classes;
	/* LICTOR_REVISION_* */
	__u32 flags;
	__u32 policy_count;
	__u64 applied_boot_ns;
	__u8 digest[32];
};
/* Some rule asks for a path suffix: directory entries alone do not tell a path's classes. */
#define LICTOR_REVISION_HAS_SUFFIX 1

/* ---- tables of a revision -------------------------------------------------------------------------------- */

/* A set of rules of one hook point. Bit w of `summary` is set when words[w] is not zero. */
struct lictor_vector {
	__u64 summary;
	__u64 words[LICTOR_VECTOR_WORDS];
};

/* The revision's data for one column of a hook point. */
struct lictor_column {
	/*
	 * NUMBER: word index of the intervals; MASK: of the 64 bit entries; PATH_*: of the class map; SUBSTRING*: of two words
	 * for each state; EXPRESSION: of the instructions; TEXT_*: root state.
	 */
	__u32 base;
	/* NUMBER: number of intervals; PATH_*: number of classes in the class map; EXPRESSION: number of words. */
	__u32 length;
	/* Vector for a value that no entry names. */
	__u32 default_vector;
	/* Vector for a value that could not be read. */
	__u32 unresolved_vector;
	/* NUMBER, ANCESTORS, LINEAGE, SUBSTRING*, NOTIFICATIONS: `column` of the keys in the number table; 0 = no exact values. */
	__u32 number_id;
	__u32 pad;
	/* MASK: bits that some rule asks for. */
	__u64 mask;
};

/* The revision's data for one hook point, by hook slot. shape_id 0 = the revision has no rule here. */
struct lictor_hook {
	__u32 shape_id;
	__u32 rule_count;
	/* Index of the first rule in the rule table. */
	__u32 rule_base;
	/* Vector with one bit for each rule of this hook point: where judging starts. */
	__u32 all_vector;
	/* Verdict when nothing at all can be read (no scratch memory): that of an event whose columns are all unresolved. */
	__s32 fallback_verdict;
	__u32 pad;
	struct lictor_column columns[LICTOR_MAX_COLUMNS];
};

/* LICTOR_RULE_*: what a rule does when it fires. */
#define LICTOR_RULE_RECORD 1
#define LICTOR_RULE_DENY 2
#define LICTOR_RULE_SIGNAL 4
/* Count and report what would be done, but do it not. */
#define LICTOR_RULE_MONITOR 8
#define LICTOR_RULE_LIMIT 16
/* Remember who has the socket of a field, or forget it. */
#define LICTOR_RULE_TRACK 32
#define LICTOR_RULE_UNTRACK 64
/* The record shows the kernel's stack, the program's. */
#define LICTOR_RULE_KERNEL_STACK 128
#define LICTOR_RULE_USER_STACK 256
/* Write `value` over the 4 bytes of a field. */
#define LICTOR_RULE_SET 512
/* The hash of the file that the hook is asked about follows the record, when the operation is not denied. */
#define LICTOR_RULE_HASH 1024
/* Write to the program's registers: `value` is the base of the assignments in the words. */
#define LICTOR_RULE_REGISTERS 2048
/* Leave the notification `value` for the thread, in place of what its policy left before. */
#define LICTOR_RULE_NOTIFY 4096
/* The rule carries out the notification `value`: it is taken away. */
#define LICTOR_RULE_CONSUME 8192
/* Take away whatever the policy of the notification `value` left. */
#define LICTOR_RULE_CLEANUP 16384
/* TRACK, UNTRACK, SET: the highest byte is the index of the field. */
#define LICTOR_RULE_FIELD_SHIFT 24

/* Scope of a rate limit. */
#define LICTOR_LIMIT_THREAD 0
#define LICTOR_LIMIT_PROCESS 1
#define LICTOR_LIMIT_GLOBAL 2

struct lictor_rule {
	/* Rules of one group stand together; only the first one that matches fires (one group per hook of a policy). */
	__u32 group;
	/* Index into the policy counters. */
	__u32 policy;
	__u32 flags;
	/* DENY: a negative errno, -4095 to -1. */
	__s16 verdict;
	/* SIGNAL: signal number. */
	__u16 signal;
	/* LIMIT: at most one record in this time for the same key. */
	__u64 limit_interval_ns;
	__u32 limit_scope;
	/* Identifies the rule across revisions for rate limits (a hash of policy, hook and position). */
	__u32 limit_id;
	/* SET: what is written. REGISTERS: where that stands. NOTIFY, CONSUME, CLEANUP: the notification. */
	__u64 value;
};

/*
 * Notifications are numbers that tell policies apart: all those of one policy, as it is written now, are the same but for
 * these bits. No other policy has them, in any revision, and neither has the same policy with other notifications.
 */
#define LICTOR_NOTIFICATION_BITS 6

/* What was left for a thread, the latest last; 0 = nothing. */
struct lictor_notifications {
	__u64 numbers[LICTOR_MAX_NOTIFICATIONS];
};

/*
 * One register that a rule writes, as two words. Assignments of a rule stand behind each other and are carried out in order.
 * Registers are named by their offset in `struct pt_regs`, bytes.
 */
struct lictor_assignment {
	__u16 to;
	/* Bytes that are written: 8, 4 (the rest becomes zero), 2, 1. */
	__u8 to_width;
	/* LICTOR_ASSIGN_* */
	__u8 kind;
	__u16 from;
	/* Bytes of `from` that count. */
	__u8 from_width;
	/* 1 when another one follows. */
	__u8 more;
	/* NUMBER: the value; else what is added to the register. */
	__s64 number;
};
#define LICTOR_ASSIGN_NUMBER 0
#define LICTOR_ASSIGN_REGISTER 1
/* Eight bytes of the program's memory. */
#define LICTOR_ASSIGN_MEMORY 2
/* Each of the 16 registers and the address of the instruction once, rounded up to a power of two. */
#define LICTOR_MAX_ASSIGNMENTS 32

/* Key of the prefix trie. `prefix_length` counts bits of `state` (32) and of the bytes in use. */
struct lictor_lpm_key {
	__u32 prefix_length;
	__u32 state;
	__u8 bytes[LICTOR_LPM_CHUNK];
};
/* First states: the dictionary of all paths, and the one of reversed path endings. Text columns come after. */
#define LICTOR_STATE_PATH_PREFIX 1
#define LICTOR_STATE_PATH_SUFFIX 2
#define LICTOR_STATE_FIRST_FREE 3

struct lictor_lpm_value {
	/* Path dictionaries: path class; text columns: vector. */
	__u32 class_id;
	/* State for the bytes after a full chunk; 0 = none. */
	__u32 next;
	/* Bytes of this entry's string part. */
	__u32 length;
	/* 1 when a longer string of some rule begins with this entry's string. */
	__u32 extended;
};

struct lictor_number_key {
	__u32 column;
	__u32 pad;
	__u64 value;
};
/*
 * Value of the number table, and a word of a MASK column: NUMBER: the vector; ANCESTORS, LINEAGE, NOTIFICATIONS and MASK:
 * low half the vector of rules that want this element, high half the vector of rules that must not have it (0 = none in
 * both halves).
 *
 * SUBSTRING*: the states of an automaton (Aho and Corasick, 1975) that begins in state 0. Key: state << 8 | byte; value:
 * low half the next state, high half whether anything has been found by then. The words of a state: where the same byte is
 * tried when no entry reads it; vectors of what has been found, as above.
 */

#include "machine.h"

/* ---- pods and scopes -------------------------------------------------------------------------------------- */

/*
 * Which pod a cgroup belongs to does not depend on policies and outlives revisions: `cgroups` maps a cgroup to the
 * number of its pod. What a pod's number means to the rules belongs to a revision: `classes` maps it to a scope class,
 * `scopes` maps hook point and class to the rules that hold.
 */

/* Number of processes outside all pods. A cgroup that nothing is known of, nor of any above it, has it too. */
#define LICTOR_POD_HOST 0
/* Number of pods that nobody has told of yet. */
#define LICTOR_POD_UNKNOWN 1
#define LICTOR_POD_FIRST 2

/* Value of `cgroups`, by cgroup id. */
struct lictor_cgroup {
	__u32 pod;
	/* LICTOR_CGROUP_* */
	__u32 flags;
};
/* Made below the cgroup of a pod; counted in `nested_cgroups`. */
#define LICTOR_CGROUP_NESTED 1

/* Key of `pods`: a pod's uid as cgroups are named by it, with dashes, padded with NUL. */
struct lictor_pod_uid {
	__u8 text[40];
};

struct lictor_scope_key {
	__u32 hook_slot;
	__u32 class_id;
};

struct lictor_scope {
	/* The rules of the hook point that hold for the class. */
	struct lictor_vector rules;
	/* As in struct lictor_hook, for the class. */
	__s32 fallback_verdict;
	__u32 pad;
};

/* ---- constants of one loaded program --------------------------------------------------------------------- */

enum lictor_attach {
	LICTOR_ATTACH_NONE,
	LICTOR_ATTACH_LSM,
	LICTOR_ATTACH_FMOD_RET,
	LICTOR_ATTACH_FENTRY,
	LICTOR_ATTACH_FEXIT,
	LICTOR_ATTACH_KPROBE,
	LICTOR_ATTACH_TRACEPOINT,
	LICTOR_ATTACH_RAW_TRACEPOINT,
	LICTOR_ATTACH_UPROBE,
	LICTOR_ATTACH_URETPROBE,
	/* An LSM program with one behind it that computes hashes. */
	LICTOR_ATTACH_LSM_HASH,
	LICTOR_ATTACH_UPROBE_REGISTERS,
	/* The end of a function of a program, with a program at its beginning that keeps what it is called with. */
	LICTOR_ATTACH_URETPROBE_ARGUMENTS = 13,
};

enum lictor_field_kind {
	LICTOR_FIELD_NONE,
	LICTOR_FIELD_NUMBER,
	LICTOR_FIELD_STRING,
	LICTOR_FIELD_CHAR_BUF,
	LICTOR_FIELD_CHAR_IOVEC,
	LICTOR_FIELD_FILE,
	LICTOR_FIELD_FD,
	LICTOR_FIELD_PATH,
	LICTOR_FIELD_DENTRY,
	LICTOR_FIELD_FILENAME,
	LICTOR_FIELD_BINPRM,
	LICTOR_FIELD_NOP,
	/* struct sock *, struct socket *, struct sk_buff *, struct sockaddr *: read as a struct lictor_endpoints. */
	LICTOR_FIELD_SOCK,
	LICTOR_FIELD_SOCKET,
	LICTOR_FIELD_SKB,
	LICTOR_FIELD_SOCKADDR,
	/* struct cred *: a struct lictor_credentials. */
	LICTOR_FIELD_CRED,
	/* struct user_namespace *: a struct lictor_user_namespace. */
	LICTOR_FIELD_USER_NAMESPACE,
	/* struct module *: a struct lictor_module and its name. It is compared by its name. */
	LICTOR_FIELD_MODULE,
	/* union bpf_attr * of a program that is loaded: a struct lictor_bpf_attr and the program's name. */
	LICTOR_FIELD_BPF_ATTR,
	/* struct bpf_map *: a struct lictor_bpf_map and its name. */
	LICTOR_FIELD_BPF_MAP,
	/* struct perf_event *: a struct lictor_perf_event and the function that it probes. */
	LICTOR_FIELD_PERF_EVENT,
	/* struct net_device *: its name. */
	LICTOR_FIELD_NET_DEVICE,
	/* struct bpf_prog *: a struct lictor_bpf_attr and the program's name. */
	LICTOR_FIELD_BPF_PROG,
	/* struct load_info *: a struct lictor_module and the module's name. */
	LICTOR_FIELD_LOAD_INFO,
	/* struct iov_iter *: the bytes that are left of it. */
	LICTOR_FIELD_IOV_ITER,
	/* struct sockaddr_un *: a struct lictor_unix_address and the path, or "@" and the abstract name. A text, with a family. */
	LICTOR_FIELD_SOCKADDR_UN,
};

/* `source` of a field: argument index 0..5, or the return value. Tracepoints read at `offset` instead. */
#define LICTOR_SOURCE_RETURN 6
/* Address of the current task's struct task_struct. */
#define LICTOR_SOURCE_TASK 7
/* Address of a struct pt_regs: of a kprobe's function, or of a system call. */
#define LICTOR_SOURCE_REGISTERS 8
/* The value is the first two of `steps`, the low half first. */
#define LICTOR_SOURCE_CONSTANT 9
#define LICTOR_SOURCE_NONE 255

/* Numbers of the system calls of 32-bit programs are others than those of 64-bit ones. */
#define LICTOR_SYSCALL_32 (1U << 31)

/* Flags of a field. */
#define LICTOR_FIELD_SIGNED 1
/* NUMBER: a system call; LICTOR_SYSCALL_32 is set where a 32-bit program makes it. */
#define LICTOR_FIELD_SYSCALL 4
/* The buffer's length is the function's return value, when that is smaller than its size argument. */
#define LICTOR_FIELD_RETURN_COPY 2
/* The last step reads nothing: the value is the address that it leads to (a structure or an array of characters). */
#define LICTOR_FIELD_ADDRESS 8
/* The last step reads no more than 32 bits: a register of a 32-bit program, whose upper half the kernel does not look at. */
#define LICTOR_FIELD_NARROW 64
/* Tracepoints: the value is 32 bits, of which the lower half tells where in the record a text begins. */
#define LICTOR_FIELD_DATA_LOC 32
/* After the first step the register at `offset` is added, shifted to the left by `size_offset` bits. */
#define LICTOR_FIELD_INDEXED 16

struct lictor_field_shape {
	__u8 kind;
	__u8 source;
	/* NUMBER: bytes of the value: 1, 2, 4 or 8. */
	__u8 width;
	__u8 flags;
	/* Tracepoints: offset of the value in the context, bytes. */
	__u16 offset;
	/*
	 * CHAR_BUF, CHAR_IOVEC and SOCKADDR_UN: `source` of the length (bytes, or number of vectors); LICTOR_SOURCE_NONE = up to NUL;
	 * LICTOR_SOURCE_CONSTANT = the buffer stands in a tracepoint's record itself, and has `size_offset` bytes.
	 */
	__u8 size_source;
	/* How many of `steps` there are; 0 = the source is the value. */
	__u8 step_count;
	/* Tracepoints: offset of the length value. */
	__u16 size_offset;
	__u16 pad2;
	/* Bytes kept at most: LICTOR_MAX_BYTES or less, or LICTOR_MAX_DATA of a buffer whose length is known. */
	__u32 max_length;
	/* From the source to the value: each is added to the address so far, and what stands there is the next one. */
	__s32 steps[LICTOR_MAX_STEPS];
};

enum lictor_column_kind {
	LICTOR_COLUMN_NONE,
	LICTOR_COLUMN_NUMBER,
	LICTOR_COLUMN_MASK,
	LICTOR_COLUMN_ANCESTORS,
	LICTOR_COLUMN_PATH_PREFIX,
	LICTOR_COLUMN_PATH_SUFFIX,
	LICTOR_COLUMN_TEXT_PREFIX,
	LICTOR_COLUMN_TEXT_SUFFIX,
	/* Which rules hold for the workload; always FROM_CGROUP. */
	LICTOR_COLUMN_SCOPE,
	/* Which executables the process and those it descends from have run; always FROM_LINEAGE. */
	LICTOR_COLUMN_LINEAGE,
	/* Which values stand anywhere in a text, or in the path of a file; always FROM_FIELD. */
	LICTOR_COLUMN_SUBSTRING,
	/* The same, with letters A to Z taken for a to z. */
	LICTOR_COLUMN_SUBSTRING_ANY_CASE,
	/* Which conditions over numbers hold; always FROM_FIELDS. */
	LICTOR_COLUMN_EXPRESSION,
	/* Which notifications are left for the thread; always FROM_NOTIFICATIONS. */
	LICTOR_COLUMN_NOTIFICATIONS,
};

enum lictor_column_source {
	LICTOR_FROM_FIELD,
	LICTOR_FROM_CGROUP,
	LICTOR_FROM_BINARY,
	LICTOR_FROM_PID,
	LICTOR_FROM_NAMESPACE_PID,
	LICTOR_FROM_CAP_EFFECTIVE,
	LICTOR_FROM_CAP_PERMITTED,
	LICTOR_FROM_CAP_INHERITABLE,
	LICTOR_FROM_NS_UTS,
	LICTOR_FROM_NS_IPC,
	LICTOR_FROM_NS_MNT,
	LICTOR_FROM_NS_PID,
	LICTOR_FROM_NS_PID_FOR_CHILDREN,
	LICTOR_FROM_NS_NET,
	LICTOR_FROM_NS_TIME,
	LICTOR_FROM_NS_TIME_FOR_CHILDREN,
	LICTOR_FROM_NS_CGROUP,
	LICTOR_FROM_NS_USER,
	/* PATH_PREFIX, PATH_SUFFIX: the executable of the parent as it is now. */
	LICTOR_FROM_PARENT_BINARY,
	/* NUMBER: type of the file behind the field: S_IFMT of its mode, shifted right by 12; 0 = no file. */
	LICTOR_FROM_FILE_TYPE,
	/* NUMBER: of the endpoints behind the field; LICTOR_NO_NUMBER where there is none. */
	LICTOR_FROM_SOURCE_PORT,
	LICTOR_FROM_DESTINATION_PORT,
	LICTOR_FROM_PROTOCOL,
	LICTOR_FROM_FAMILY,
	LICTOR_FROM_STATE,
	/* TEXT_PREFIX: of the endpoints behind the field, spelled in LICTOR_DIGIT_*; empty where there is none. */
	LICTOR_FROM_SOURCE_ADDRESS,
	LICTOR_FROM_DESTINATION_ADDRESS,
	LICTOR_FROM_LINEAGE,
	/* MASK: namespaces that are others than when the process began what it runs: bit n is LICTOR_FROM_NS_UTS + n. */
	LICTOR_FROM_NAMESPACE_CHANGES,
	/* MASK: capabilities that it had then and has not now, or the other way round. */
	LICTOR_FROM_CAP_EFFECTIVE_CHANGES,
	LICTOR_FROM_CAP_PERMITTED_CHANGES,
	LICTOR_FROM_CAP_INHERITABLE_CHANGES,
	/* EXPRESSION: whatever fields its instructions name. */
	LICTOR_FROM_FIELDS,
	LICTOR_FROM_NOTIFICATIONS,
};
#define LICTOR_NAMESPACES 10
/* What a number column of endpoints looks up where there is no value: no table names it. */
#define LICTOR_NO_NUMBER 0x100000000
/*
 * Addresses are compared as texts: each four bits, the highest first, become one byte, the sum of them and one of these.
 * So no beginning of an IPv4 address is one of an IPv6 address. An IPv4 address within IPv6 (::ffff:0:0/96) is spelled as
 * the IPv4 address that it is.
 */
#define LICTOR_DIGIT_IPV4 0x40
#define LICTOR_DIGIT_IPV6 0x60

struct lictor_column_shape {
	__u8 kind;
	__u8 source;
	/* FROM_FIELD: index of the field. */
	__u8 field;
	__u8 pad;
};

/* Flags of a shape. */
/* The arguments stand in the struct pt_regs that the first argument points to. */
#define LICTOR_SHAPE_SYSCALL 1
/* A "no rule matched" result may be remembered: nothing but the path, the task and `memo_field` enters the verdict. */
#define LICTOR_SHAPE_MEMO 2
/* Some rule of the revision remembers who has sockets: a record with a socket or a packet tells of its owner. */
#define LICTOR_SHAPE_OWNERS 4
/* Some rule of the hook point wants a stack. */
#define LICTOR_SHAPE_STACKS 8
/* Some rule writes over a field. */
#define LICTOR_SHAPE_SET 16
/* Some field is the address of a Unix socket. */
#define LICTOR_SHAPE_UNIX 32
/* Some rule wants the file's hash, and the program that computes it stands behind this one. */
#define LICTOR_SHAPE_HASH 64
/* Some rule leaves, carries out or takes away notifications. */
#define LICTOR_SHAPE_NOTIFICATIONS 128

/* Set as `.rodata` before loading, so the verifier drops what the hook point does not use. */
struct lictor_shape {
	/* Not 0. Differs for each distinct shape of the same hook point. */
	__u32 id;
	__u16 hook_slot;
	__u8 attach;
	__u8 flags;
	__u8 field_count;
	__u8 column_count;
	/* Index of the FILE field whose class is cached, LICTOR_SOURCE_NONE = none. */
	__u8 path_field;
	/* Index of the one NUMBER field that enters the memo, LICTOR_SOURCE_NONE = none. */
	__u8 memo_field;
	/* Number of arguments of the function: where fexit and LSM contexts hold the return value. */
	__u8 argument_count;
	__u8 pad[3];
	/*
	 * Not 0. Tells apart what a "no rule matched" was found for: hook slot, arguments of path_field and memo_field,
	 * whether some rule asks for the cgroup.
	 */
	__u32 memo_key;
	struct lictor_field_shape fields[LICTOR_MAX_FIELDS];
	struct lictor_column_shape columns[LICTOR_MAX_COLUMNS];
};

/*
 * Numbers that the loader writes into the instructions: a wide load of LICTOR_PATCH << 32 | n becomes one of the value
 * that belongs to n. Other than a member of `shape`, such a number is not loaded from memory, and where it decides what
 * remains of a program it leaves nothing behind. For the way that nearly all events take.
 */
#define LICTOR_PATCH 0x4c694374
enum lictor_patch {
	/* Tests and benchmarks count which way events take. */
	LICTOR_PATCH_COUNT_STATS,
	/* `source` of the field that path_field names, LICTOR_SOURCE_NONE = there is none. */
	LICTOR_PATCH_PATH_SOURCE,
	/* This hook slot's bit in the "no rule can match" words, 0 = it has none. */
	LICTOR_PATCH_EMPTY_BIT,
	/* memo_key of the shape, 0 = nothing may be remembered. */
	LICTOR_PATCH_MEMO_KEY,
	/* `source` of the field that memo_field names, LICTOR_SOURCE_NONE = there is none. */
	LICTOR_PATCH_MEMO_SOURCE,
	/* Some rule asks for the cgroup, so that it enters the memo. */
	LICTOR_PATCH_MEMO_CGROUP,
	LICTOR_PATCH_NUMBERS,
};

#include "counts.h"

/* ---- records --------------------------------------------------------------------------------------------- */

#include "records.h"
#include "values.h"

#endif
