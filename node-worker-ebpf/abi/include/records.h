/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What programs tell user space. A part of wire.h. */
#ifndef LICTOR_RECORDS_H
#define LICTOR_RECORDS_H

enum lictor_record_kind {
	LICTOR_RECORD_NONE,
	LICTOR_RECORD_EXEC,
	LICTOR_RECORD_EXIT,
	LICTOR_RECORD_FORK,
	LICTOR_RECORD_HOOK,
	LICTOR_RECORD_CGROUP,
	LICTOR_RECORD_DATA,
	LICTOR_RECORD_HASH,
};

/* Begins every record. The process is (tgid, start_boot_ns); exec_id counts its execve calls. */
struct lictor_record {
	__u16 kind;
	__u16 pad;
	/* Bytes of the whole record. */
	__u32 length;
	/* CLOCK_BOOTTIME, nanoseconds. */
	__u64 boot_ns;
	__u32 tgid;
	__u32 tid;
	/* Start of the thread group leader, CLOCK_BOOTTIME, nanoseconds. */
	__u64 start_boot_ns;
	__u64 cgroup_id;
	/* task_struct.self_exec_id of the current task. */
	__u32 exec_id;
	/* Revision that judged the event; 0 for process records. */
	__u32 revision;
};

/* Value of `sockets`, by the address of the struct sock: who had it when it was tracked, as `struct lictor_record` has it. */
struct lictor_owner {
	__u32 tgid;
	__u32 tid;
	__u64 start_boot_ns;
	__u64 cgroup_id;
	__u32 exec_id;
	__u32 pad;
};

#define LICTOR_EXEC_ARGS_TRUNCATED 1
#define LICTOR_EXEC_ARGS_UNREADABLE 2
#define LICTOR_EXEC_CWD_ROOT 4
#define LICTOR_EXEC_CWD_UNREADABLE 8
#define LICTOR_EXEC_SETUID 16
#define LICTOR_EXEC_SETGID 32

/*
 * What is known of a process since its fork or its last execve. By the two times the next node worker names it as the
 * last one did.
 */
struct lictor_image {
	/* The process's own start; 0 = it began before the engine did. */
	__u64 start_boot_ns;
	/* head.boot_ns of the last record of its fork or execve; 0 = the same. */
	__u64 boot_ns;
	/* What it had at that time. */
	__u64 cap_effective, cap_permitted, cap_inheritable;
	__u32 namespaces[LICTOR_NAMESPACES];
	__u32 lineage_length;
	/* LICTOR_IMAGE_* */
	__u32 flags;
	/*
	 * The executables that it and those it descends from have run: SipHash-2-4 of their paths under the key of struct
	 * lictor_live, each once, the first ones that there were.
	 */
	__u64 lineage[LICTOR_MAX_LINEAGE];
};
/* Some executable is not among `lineage`: there were more, or its path could not be read. */
#define LICTOR_IMAGE_INCOMPLETE 1
/* It descends from a process that began before the engine did, and of which nobody has told yet. */
#define LICTOR_IMAGE_ORIGIN_UNKNOWN 2

/* Followed by file name, working directory and arguments (NUL-separated), of the lengths given, without padding. */
struct lictor_exec_record {
	struct lictor_record head;
	__u64 parent_start_boot_ns;
	__u32 parent_tgid;
	__u32 flags;
	__u32 uid, gid, euid, egid, suid, sgid, fsuid, fsgid;
	__u32 login_uid;
	__u32 secure_bits;
	__u64 cap_permitted, cap_effective, cap_inheritable;
	/* Inode numbers, in the order of LICTOR_FROM_NS_*. */
	__u32 namespaces[LICTOR_NAMESPACES];
	/* The executable: inode number and link count (0 = deleted or never linked). */
	__u64 inode;
	__u32 links;
	__u16 filename_length;
	__u16 cwd_length;
	__u16 args_length;
	/* exe_length bytes of the executable's own path come last. */
	__u16 exe_length;
	/* Process id in its own PID namespace. */
	__u32 namespace_pid;
};

/* The last thread of a process has ended. */
struct lictor_exit_record {
	struct lictor_record head;
	/* As wait(2) reports it. */
	__u32 status;
	__u32 pad;
};

/* A new process; `head` names the child. */
struct lictor_fork_record {
	struct lictor_record head;
	__u64 parent_start_boot_ns;
	__u32 parent_tgid;
	__u32 namespace_pid;
};

/* A cgroup was made or removed; `head` names who did it. Followed by name_length bytes of its name. */
struct lictor_cgroup_record {
	struct lictor_record head;
	__u64 cgroup_id;
	/* 0 = it has none. */
	__u64 parent_id;
	__u32 pod;
	/* 1 = removed. */
	__u16 removed;
	__u16 name_length;
};

/* A rule that fired, in a hook record. */
struct lictor_fired {
	/* Rule number within the hook point. */
	__u16 rule;
	/* LICTOR_FIRED_* */
	__u16 flags;
};
/* The rule wants a record and its rate limit allows it. */
#define LICTOR_FIRED_POST 1
/* Columns that could not be read made this rule match. */
#define LICTOR_FIRED_UNRESOLVED 2
/* Of the first rule: a hash record of the same thread follows. */
#define LICTOR_FIRED_HASH 4

/*
 * Followed by fired_count struct lictor_fired (padded to 8 bytes), the kernel's stack, the user stack, then field_count
 * fields. A stack is a list of addresses, the innermost first. Before the addresses of a user stack stands the process
 * whose it is: `head` may name another one.
 */
struct lictor_hook_record {
	struct lictor_record head;
	__u16 hook_slot;
	__u16 fired_count;
	__u16 field_count;
	/* What the program returned: 0 or a negative errno. */
	__s16 verdict;
	/* Signal sent, 0 = none. */
	__u32 signal;
	/* Bit i: column i could not be read. */
	__u32 unresolved_columns;
	/* Shape of the program that judged: tells how to read the fields. */
	__u32 shape_id;
	/* Bytes of each stack; 0 = no rule that fired wants it; a negative errno = it could not be taken. */
	__s16 kernel_stack;
	__s16 user_stack;
};

enum lictor_field_status {
	LICTOR_FIELD_OK,
	/* Longer than what was kept; `original_length` has its length. */
	LICTOR_FIELD_TRUNCATED,
	/* Could not be read: an address fault, a path too long or too deep. */
	LICTOR_FIELD_UNRESOLVED,
	/* There is no such thing: a NULL pointer, a file without a path (pipe, socket). */
	LICTOR_FIELD_ABSENT,
	/* Longer than what a hook record has room for: a struct lictor_data tells which data records have it. */
	LICTOR_FIELD_ELSEWHERE,
};

/*
 * A piece of a value that is too long for a hook record, followed by its bytes. The pieces of a value come in order, and
 * before the hook record.
 */
struct lictor_data_record {
	struct lictor_record head;
	/* With the field, which value it is of. */
	__u64 id;
	__u32 field;
	__u32 pad;
};

/* The longest digest that IMA knows (SHA-512). */
#define LICTOR_MAX_HASH 64
/* The hash of the file that the thread's last hook record with LICTOR_FIRED_HASH is about. */
struct lictor_hash_record {
	struct lictor_record head;
	/* `enum hash_algo` (include/uapi/linux/hash_info.h), or a negative errno. */
	__s32 algorithm;
	__u32 pad;
	__u8 digest[LICTOR_MAX_HASH];
};

/* Data of a field whose value is in data records. */
struct lictor_data {
	__u64 id;
	/* Bytes that were sent, up to one that could not be read or did not fit into the ring. */
	__u32 sent;
	__u32 pad;
};

/* Begins each field of a hook record; followed by `length` bytes, padded to a multiple of 8. */
struct lictor_field {
	__u8 kind;
	__u8 status;
	__u16 length;
	__u32 original_length;
};

#endif
