/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Maps. All are shared by every program of the node worker (the loader creates each name once), but for
 * `programs`, which exists once per hook slot. Their sizes are the whole fixed kernel memory of the engine;
 * see each bound.
 */
#ifndef LICTOR_MAPS_H
#define LICTOR_MAPS_H

#include "kernel.h"
#include "wire.h"

/* A direct-mapped cache: 16,384 files, 136 bytes each (2.1 MiB). A conflict costs a path walk, nothing else.
 */
#define PATH_CACHE_BITS 14
/* 4,096 directories. */
#define DIRECTORY_CACHE_BITS 12
/* 4,096 paths for records, of up to PATH_STRING_BYTES (1.1 MiB). A longer one, or one in conflict, is walked again. */
#define PATH_STRING_BITS 12
#define PATH_STRING_BYTES 192
/* Slots of scratch memory per CPU: as many programs may preempt each other on one CPU. */
#define SCRATCH_SLOTS 4
/* Ring of records; the loader sets the size asked for. */
#define RING_BYTES (2 << 20)
/* Rate-limited keys remembered; the least recently used one is forgotten first (which lets one record too
 * many out). */
#define LIMIT_ENTRIES 4096
/* Half as many processes as the node worker keeps: the buckets alone take 16 bytes for each. */
#define IMAGE_ENTRIES 32768

/* A map of one element, which programs reach without a lookup. The loader shares the sections `.data.NAME` as maps NAME. */
volatile struct lictor_live live SEC(".data.live") = {};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct lictor_revision);
} revisions SEC(".maps");

/*
 * The tables of a revision. Each outer map has two slots, one of them live. Inner maps are made by the loader
 * with the exact size; the sizes here only tell the verifier the layout.
 */
struct inner_hooks {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LICTOR_MAX_HOOKS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct lictor_hook));
};

struct inner_vectors {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct lictor_vector));
};

struct inner_words {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u64));
};

struct inner_rules {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct lictor_rule));
};

struct inner_strings {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(struct lictor_lpm_key));
	__uint(value_size, sizeof(struct lictor_lpm_value));
};

struct inner_numbers {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct lictor_number_key));
	__uint(value_size, sizeof(__u64));
};

/* What a revision makes of pods: a scope class by pod number, and for each scoped hook point and class its rules. */
struct inner_classes {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LICTOR_MAX_PODS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
};

struct inner_scopes {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(struct lictor_scope_key));
	__uint(value_size, sizeof(struct lictor_scope));
};

#define OUTER_MAP(name, inner)                                                                               \
	struct {                                                                                             \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);                                                    \
		__uint(max_entries, 2);                                                                      \
		__type(key, __u32);                                                                          \
		__uint(value_size, sizeof(__u32));                                                           \
		__array(values, struct inner);                                                               \
	} name SEC(".maps")

OUTER_MAP(hooks, inner_hooks);
OUTER_MAP(vectors, inner_vectors);
OUTER_MAP(words, inner_words);
OUTER_MAP(rules, inner_rules);
OUTER_MAP(strings, inner_strings);
OUTER_MAP(numbers, inner_numbers);
OUTER_MAP(classes, inner_classes);
OUTER_MAP(scopes, inner_scopes);

/* Memory for those that are there alone, and 16 bytes of a bucket for each that there may be. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LICTOR_MAX_CGROUPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct lictor_cgroup);
} cgroups SEC(".maps");

/* The same. Numbers of the pods that are known, so that a pod's cgroup is told by its name. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LICTOR_MAX_PODS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lictor_pod_uid);
	__type(value, __u32);
} pods SEC(".maps");

/* Entries of `cgroups` with LICTOR_CGROUP_NESTED. */
volatile __u64 nested_cgroups SEC(".data.nested") = 0;

/* By thread: what the hook is asked about whose file's hash is wanted, the address of the hook's first argument. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LICTOR_MAX_HASHES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u64);
} hashes SEC(".maps");

/* The programs that judge this hook point in each slot, for a program that finds itself to be of an older
 * shape. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} programs SEC(".maps");

/*
 * A file, by everything that its path depends on. The parent's inode number and generation tell a directory
 * from another one that came to stand at the same address; renames of directories and changes of mounts are
 * told by fs_generation.
 */
struct identity {
	__u64 dentry;
	__u64 mnt;
	__u64 parent;
	/* Hash and length of the last component. */
	__u32 name_hash;
	__u32 name_length;
	__u64 inode;
	__u64 parent_inode;
	__u32 parent_generation;
	/*
	 * Sequence of the dentry's cache entry, read before the rest: a rename raises it, so whoever finds it
	 * raised knows that what was read since may be of two places. Not part of what an entry is compared by.
	 */
	__u32 ticket;
};

/* Whose event it is, as far as rules can ask for it without ever asking again, and the number that went in. */
struct task_key {
	__u64 start;
	__u32 pid;
	__u32 exec_id;
	__u64 cgroup;
	__u64 number;
};

/* What was live when an event began. */
struct moment {
	__u32 revision;
	__u32 slot;
	__u32 fs_generation;
	__u32 pad;
};

/* What a function is called with, in the registers that carry arguments. */
struct call {
	__u64 words[LICTOR_SOURCE_RETURN];
};

enum path_status {
	/* The walk found the path. */
	PATH_OK,
	/* A pipe, a socket, an anonymous inode: the path is empty. */
	PATH_NONE,
	/* Too long, or not reachable from a root. */
	PATH_UNRESOLVED,
	/* The file below an overlay's file, which was judged by its own path already. */
	PATH_INNER,
};

struct path_classes {
	__u32 prefix_class;
	__u32 suffix_class;
	/* enum path_status */
	__u32 status;
	__u32 pad;
	/* Bit h: no rule of hook slot h can match. */
	__u64 empty;
};

/* What one event is judged by. */
struct event {
	struct moment at;
	/* The cached path field, its directory, and its classes. */
	struct identity id;
	struct identity directory;
	struct path_classes path;
	/* Another file that a column or a field asks about, and its classes; here because stacks are small. */
	struct identity other;
	struct path_classes found;
	struct task_key task;
	/* Raw values of the fields, and lengths of buffers; with LICTOR_SHAPE_SET, where a number behind a register is. */
	__u64 raw[LICTOR_MAX_FIELDS];
	__u64 size[LICTOR_MAX_FIELDS];
	/* Of the socket, packet or socket address that a column or a field asks about; its LICTOR_FIELD_* status. */
	struct lictor_endpoints endpoints;
	__u32 endpoints_status;
	/* Nothing was kept of the call that ends. */
	__u32 call_lost;
	/* At the end of a function of a program: what it was called with, where that is asked for. */
	struct call call;
	/* What the process has else than when it began, for the column that asks. */
	__u64 changes;
	/* Over the values, for rate limits; 0 = not computed. */
	__u64 values;
	/* Columns whose value could not be read. */
	__u32 unresolved;
	/* Fields with steps of which one led nowhere, and arguments that were not kept. Bits of other fields mean nothing. */
	__u32 unread;
};

/*
 * Begins every entry of a cache: what the entry is for, guarded by a sequence that is odd while it is being written, and
 * that every rename of a dentry which has its place here raises by two. Of an entry that is for nothing, the revision
 * is 0.
 */
struct remembered {
	__u32 sequence;
	__u32 revision;
	__u32 fs_generation;
	__u32 pad;
	struct identity id;
};

/* Path classes of a file or a directory. */
struct path_entry {
	struct remembered of;
	struct path_classes classes;
	/* For whom no rule matched last, at the hook point and by the arguments that memo_key stands for. */
	struct task_key memo;
	__u64 memo_key;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << PATH_CACHE_BITS);
	__type(key, __u32);
	__type(value, struct path_entry);
} path_cache SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << DIRECTORY_CACHE_BITS);
	__type(key, __u32);
	__type(value, struct path_entry);
} directory_cache SEC(".maps");

/* A path depends on no revision: this stands in the place of one. */
#define ANY_REVISION 1

/* The path of a file, without NUL. */
struct path_string {
	struct remembered of;
	__u64 length;
	__u64 text[PATH_STRING_BYTES / 8];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << PATH_STRING_BITS);
	__type(key, __u32);
	__type(value, struct path_string);
} path_strings SEC(".maps");

/*
 * What an event comes to. In memory that the verifier does not follow: counting in a loop would make it look at every
 * number of rules that can fire.
 */
struct outcome {
	/* Blocks and, in the current one, rules that are still to be looked at. */
	__u64 summary;
	__u64 word;
	__u32 block;
	__u32 rule_base;
	__u32 last_group;
	__s32 verdict;
	__u32 signal;
	__u32 fired_count;
	/* LICTOR_RULE_* of the rules that have a record. */
	__u32 flags;
	/* Where the assignments of the first rule stand that writes registers, and 1; 0 = none does. */
	__u32 assignments;
};

/*
 * Looking for values within a text. Here rather than on the stack: what is loaded from memory looks the same to the verifier
 * in each step.
 */
struct search {
	__u32 slot;
	__u32 base;
	__u32 number_id;
	__u32 state;
	/* Of the text: where it is read, and where it ends. */
	__u32 at;
	__u32 end;
	__u32 any_case;
	__u32 pad;
};

/* Expressions on their way. Here for the same reason. */
struct computation {
	__u32 slot;
	/* Words: the next one, and where they end. */
	__u32 at;
	__u32 end;
	/* Values on the stack. */
	__u32 depth;
	/* The rules that want the current one to hold. */
	__u32 wanted;
	/* Bit of the column. */
	__u32 unresolved;
	__u64 stack[LICTOR_EXPRESSION_DEPTH];
};

/*
 * SipHash-2-4 of a path on its way (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012). Here for the same
 * reason.
 */
struct path_hash {
	__u64 v0;
	__u64 v1;
	__u64 v2;
	__u64 v3;
	/* Of the text. */
	__u32 at;
	__u32 pad;
};

/* Where in the record the next field goes, and what is known of it so far. */
struct writer {
	__u32 at;
	__u32 length;
	__u32 original;
	__u32 status;
};

/* Bytes of a value that go into data records: at one address, or in vectors. */
struct pieces {
	/* What is left of the vector that is being sent. */
	__u64 at;
	__u64 room;
	/* Vectors behind it, and how many bytes to leave out of the first one. */
	__u64 vectors;
	__u64 count;
	__u64 skip;
	/* Bytes still to send. */
	__u32 left;
	__u32 sent;
};

/* The low half of a pointer: the verifier takes the result of a 32 bit move for a number, whatever was moved. */
static __always_inline __u32 as_number(__u32 low)
{
	__u32 number;

	asm("%0 = %1" : "=w"(number) : "w"(low));
	return number;
}

/* Where the caches hold what is known of a dentry: no arithmetic is allowed on a whole pointer with a type. */
static __always_inline __u32 cache_index(__u32 dentry_low, __u32 bits)
{
	return (as_number(dentry_low) * 0x9E3779B1u) >> (32 - bits);
}

struct scratch {
	__u32 busy;
	__u32 owner;
	/* Of this slot in the map. */
	__u32 index;
	__u32 pad;
	/* Rules that are left, and room to fold a set-valued column. */
	struct lictor_vector left;
	struct lictor_vector folded;
	struct lictor_lpm_key key;
	struct event event;
	struct writer writer;
	struct outcome outcome;
	struct search search;
	struct computation computation;
	struct path_hash hash;
	struct pieces pieces;
	struct lictor_fired fired[LICTOR_MAX_FIRED];
	/* A path grows leaf first towards the front of the first half; text is read into the front. */
	char text[LICTOR_PATH_MAX * 2];
	/* The record under construction, with room for one full field behind its limit. */
	__u8 record[LICTOR_MAX_RECORD + 2 * LICTOR_PATH_MAX];
};

/* SCRATCH_SLOTS for each possible CPU; the loader sets the number. Per-CPU arrays end at 32 KiB a value. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SCRATCH_SLOTS);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* By process id. Allocated as processes come: most machines run some hundred. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, IMAGE_ENTRIES);
	__type(key, __u32);
	__type(value, struct lictor_image);
} images SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
} ring SEC(".maps");

struct limit_key {
	__u32 limit_id;
	__u32 pad;
	/* Thread or process, 0 for all. */
	__u64 subject;
	/* Over the values read at the hook. */
	__u64 values;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, LIMIT_ENTRIES);
	__type(key, struct limit_key);
	__type(value, __u64);
} limits SEC(".maps");

/* Not allocated in advance: most machines track none. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, LICTOR_MAX_SOCKETS);
	__type(key, __u64);
	__type(value, struct lictor_owner);
} sockets SEC(".maps");

/* With the thread: its memory comes with the first notification and goes when the thread ends. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct lictor_notifications);
} notifications SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LICTOR_MAX_POLICIES);
	__type(key, __u32);
	__type(value, struct lictor_policy_counts);
} policy_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LICTOR_MAX_HOOKS);
	__type(key, __u32);
	__type(value, struct lictor_hook_counts);
} hook_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LICTOR_SITE_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} site_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LICTOR_STAT_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} stats SEC(".maps");

#endif
