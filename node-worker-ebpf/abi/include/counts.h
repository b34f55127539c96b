/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What programs count. A part of wire.h. */
#ifndef LICTOR_COUNTS_H
#define LICTOR_COUNTS_H

/* By `policy` of the rules. All are counted when they happen in the kernel, whether or not a record gets out. */
struct lictor_policy_counts {
	__u64 matched;
	__u64 posted;
	__u64 denied;
	__u64 signalled;
	__u64 monitored;
	__u64 limited;
	__u64 lost;
	__u64 unresolved;
};

/* By hook slot. produced = emitted + lost. */
struct lictor_hook_counts {
	__u64 matched;
	__u64 emitted;
	__u64 lost;
	__u64 unresolved;
};

/* Sites whose failures are counted, one u64 each. */
enum lictor_site {
	LICTOR_SITE_NONE,
	/* No scratch slot was free on this CPU: the event was judged as unresolved. */
	LICTOR_SITE_SCRATCH_BUSY,
	/* The path walk gave up: too long, too deep or unreadable. */
	LICTOR_SITE_PATH_WALK,
	/* A user or kernel address could not be read. */
	LICTOR_SITE_READ,
	/* bpf_send_signal failed. */
	LICTOR_SITE_SIGNAL,
	/* The tables of the live slot were not there, or not of this program's shape after a retry. */
	LICTOR_SITE_TABLES,
	/* The program array had no program for the live slot. */
	LICTOR_SITE_TAIL_CALL,
	/* More rules fired than a record can name. */
	LICTOR_SITE_FIRED_OVERFLOW,
	/* The rate limit table was full. */
	LICTOR_SITE_LIMIT_TABLE,
	/* A process record did not fit into the ring. */
	LICTOR_SITE_EXEC_LOST,
	LICTOR_SITE_EXIT_LOST,
	LICTOR_SITE_FORK_LOST,
	/* A record of a cgroup did not fit into the ring. */
	LICTOR_SITE_CGROUP_LOST,
	/* A cgroup could not be remembered: the table is full. Its pod is found by a walk. */
	LICTOR_SITE_CGROUP_TABLE,
	/* The table of images was full: the next node worker gives the process another exec id. */
	LICTOR_SITE_IMAGE_TABLE,
	/* The owner of a socket could not be remembered: the table is full. */
	LICTOR_SITE_SOCKETS,
	/* A stack could not be taken: the record tells so. */
	LICTOR_SITE_STACK,
	/* A piece of a long value did not fit into the ring: the event has what came before it. */
	LICTOR_SITE_DATA_LOST,
	/* A value could not be written into a program. */
	LICTOR_SITE_SET,
	/* A file's hash could not be asked for, or did not fit into the ring: the event has none. */
	LICTOR_SITE_HASH,
	/* Registers of a program could not be written: what is written could not be read. */
	LICTOR_SITE_REGISTERS,
	/* A notification is lost: there was no memory for it, or as many other policies as may have left theirs since. */
	LICTOR_SITE_NOTIFICATION,
	/* A notification took the place of one that was not carried out. */
	LICTOR_SITE_NOTIFICATION_REPLACED,
	/* Nothing was kept of what a function was called with that has ended: its arguments are unresolved. */
	LICTOR_SITE_CALLS,
	LICTOR_SITE_COUNT,
};

/* Not failures, but wanted by tests and by people who look for cost. */
enum lictor_stat {
	LICTOR_STAT_PATH_HOT,
	LICTOR_STAT_PATH_COLD,
	LICTOR_STAT_DIRECTORY_HIT,
	LICTOR_STAT_MEMO_HIT,
	LICTOR_STAT_SECOND_SLOT,
	LICTOR_STAT_FS_GENERATION,
	LICTOR_STAT_SHAPE_TAIL_CALL,
	LICTOR_STAT_SCRATCH_CORRUPT,
	/* A pod was found by a walk up the cgroups. */
	LICTOR_STAT_CGROUP_WALK,
	/* The path of a record was remembered. */
	LICTOR_STAT_PATH_STRING,
	LICTOR_STAT_COUNT,
};

#endif
