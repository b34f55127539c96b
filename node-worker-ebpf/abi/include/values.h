/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What records hold of values that are more than a number or a text. A part of wire.h. */
#ifndef LICTOR_VALUES_H
#define LICTOR_VALUES_H

/* Data of a FILE, FD, PATH, DENTRY or BINPRM field; the path follows, without NUL. NUMBER fields are one __u64. */
struct lictor_file {
	__u64 inode;
	__u32 device;
	/* struct inode.i_mode */
	__u32 mode;
	/* struct file.f_flags; 0 when there is no open file. */
	__u32 flags;
	__u32 links;
	/* FD: the descriptor. */
	__s64 fd;
};

/* Data of a USER_NAMESPACE field. Ids are those of the first user namespace. */
struct lictor_user_namespace {
	/* Inode number. */
	__u32 inode;
	/* How many user namespaces it is within. */
	__u32 level;
	/* Who made it. */
	__u32 owner;
	__u32 group;
};

/* Data of a CRED field. Ids are those of the first user namespace. */
struct lictor_credentials {
	__u32 uid, gid, euid, egid, suid, sgid, fsuid, fsgid;
	__u32 secure_bits;
	__u32 pad;
	__u64 cap_permitted, cap_effective, cap_inheritable;
	struct lictor_user_namespace user_namespace;
};

/* What of struct lictor_endpoints there is; what is not there is 0. */
#define LICTOR_ENDPOINTS_FAMILY 1
/* Both addresses; of a SOCKADDR there is only the source. Only in the families AF_INET and AF_INET6. */
#define LICTOR_ENDPOINTS_ADDRESSES 2
#define LICTOR_ENDPOINTS_PORTS 4
#define LICTOR_ENDPOINTS_PROTOCOL 8
#define LICTOR_ENDPOINTS_STATE 16

/* Data of a SOCK, SOCKET, SKB or SOCKADDR field. */
struct lictor_endpoints {
	/* In the order of the network; an IPv4 address is the first four bytes. */
	__u8 source[16];
	__u8 destination[16];
	__u16 source_port;
	__u16 destination_port;
	/* AF_* */
	__u16 family;
	/* IPPROTO_* */
	__u16 protocol;
	/* LICTOR_ENDPOINTS_* */
	__u16 flags;
	/* Sockets: SOCK_*. */
	__u16 type;
	/* Sockets: TCP_*. */
	__u32 state;
	__u32 mark;
	__u32 priority;
	/* Packets: hash of the flow, 0 = not computed; length in bytes. */
	__u32 hash;
	__u32 length;
	/* Sockets: the kernel's own number of the socket, 0 = nobody has asked for it. */
	__u64 cookie;
};

/* Most bytes of struct sockaddr_un.sun_path, which need not end with a NUL. */
#define LICTOR_MAX_UNIX_PATH 108

/* Data of a SOCKADDR_UN field; the path follows, without NUL, or "@" and the abstract name. Other families have none. */
struct lictor_unix_address {
	/* AF_* */
	__u32 family;
	__u32 pad;
};

/* Longest name that stands behind a structure, NUL included: a function's. */
#define LICTOR_MAX_NAME 128

/* `signature` of a struct lictor_module: whether a key that the kernel trusts has signed it. */
#define LICTOR_SIGNATURE_UNKNOWN 0
#define LICTOR_SIGNATURE_GOOD 1
#define LICTOR_SIGNATURE_BAD 2

/* Data of a MODULE field; the name follows, without NUL. */
struct lictor_module {
	/* struct module.taints: a bit for each way in which it taints the kernel. */
	__u64 taints;
	/* LICTOR_SIGNATURE_* */
	__u32 signature;
	__u32 pad;
};

/* Data of a BPF_ATTR field, as BPF_PROG_LOAD has it; the program's name follows, without NUL. */
struct lictor_bpf_attr {
	/* BPF_PROG_TYPE_* */
	__u32 program_type;
	/* How many instructions it has. */
	__u32 instructions;
};

/* Data of a BPF_MAP field; the name follows, without NUL. */
struct lictor_bpf_map {
	/* BPF_MAP_TYPE_* */
	__u32 map_type;
	__u32 key_size;
	__u32 value_size;
	__u32 max_entries;
};

/* First type of a perf event that is not one of PERF_TYPE_*: those of probes are beyond. */
#define LICTOR_PERF_TYPES 6

/* Data of a PERF_EVENT field; what it probes follows, without NUL: a function's name or a program's path. */
struct lictor_perf_event {
	/* PERF_TYPE_*, or the number of another source of events. */
	__u32 type;
	__u32 pad;
	__u64 config;
	/* Where behind the function's beginning it probes. */
	__u64 probe_offset;
};

#endif
