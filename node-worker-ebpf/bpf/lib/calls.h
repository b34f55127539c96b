/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What functions of programs are called with, kept until they end: by then the registers hold other values.
 *
 * A call is found again by its thread and by where on the stack its return address stands. So calls within calls are told
 * apart, whatever number of them, and a call that never ends (a jump out of it, an exception, the end of the thread) takes
 * nothing from another one: the next call at its place has it replaced, and the table forgets what was not used for longest.
 */
#ifndef LICTOR_CALLS_H
#define LICTOR_CALLS_H

#include "count.h"

/* Calls of one hook point that have not ended; 0.7 MiB, which only a hook point has that asks for arguments at the end. */
#define CALL_ENTRIES 4096

struct call_key {
	/* Numbers of threads come again. */
	__u64 thread_start;
	/* Address of the return address. */
	__u64 stack;
	__u32 thread;
	__u32 pad;
};

/* The loader makes one for each hook point. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CALL_ENTRIES);
	__type(key, struct call_key);
	__type(value, struct call);
} calls SEC(".maps");

/* `behind`: bytes between the place of the return address and the stack pointer. */
static __always_inline void call_key_fill(struct call_key *key, const struct pt_regs *regs, __u32 behind)
{
	struct task_struct *task = bpf_get_current_task_btf();

	key->thread_start = task->start_time;
	key->stack = BPF_CORE_READ(regs, sp) - behind;
	key->thread = task->pid;
	key->pad = 0;
}

/* At the beginning of a function, whose return address is where the stack pointer points. */
static __always_inline void call_keep(const struct pt_regs *regs)
{
	struct call_key key;
	struct call call;

	call_key_fill(&key, regs, 0);
	call.words[0] = BPF_CORE_READ(regs, di);
	call.words[1] = BPF_CORE_READ(regs, si);
	call.words[2] = BPF_CORE_READ(regs, dx);
	call.words[3] = BPF_CORE_READ(regs, cx);
	call.words[4] = BPF_CORE_READ(regs, r8);
	call.words[5] = BPF_CORE_READ(regs, r9);
	/* What stands there for an earlier call is not this one's. Its end counts that nothing was kept. */
	if (bpf_map_update_elem(&calls, &key, &call, BPF_ANY))
		bpf_map_delete_elem(&calls, &key);
}

/* At the end of a function: the return address has been taken off the stack. False when nothing was kept of the call. */
static __always_inline bool call_take(const struct pt_regs *regs, struct call *to)
{
	struct call_key key;
	struct call *kept;

	call_key_fill(&key, regs, sizeof(__u64));
	kept = bpf_map_lookup_elem(&calls, &key);
	if (!kept) {
		count_site(LICTOR_SITE_CALLS);
		__builtin_memset(to, 0, sizeof(*to));
		return false;
	}
	*to = *kept;
	bpf_map_delete_elem(&calls, &key);
	return true;
}

#endif
