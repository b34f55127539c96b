/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Scratch memory that is right under preemption: a program may be preempted on its CPU by a task that runs
 * the same program, and be resumed in any order, so slots are owned by a flag; a nesting counter would hand
 * out a slot twice.
 */
#ifndef LICTOR_SCRATCH_H
#define LICTOR_SCRATCH_H

#include "count.h"

static __always_inline struct scratch *scratch_get(void)
{
	struct scratch *s;
	__u32 first = bpf_get_smp_processor_id() * SCRATCH_SLOTS, slot;

#pragma unroll
	for (int i = 0; i < SCRATCH_SLOTS; i++) {
		slot = first + i;
		s = bpf_map_lookup_elem(&scratches, &slot);
		if (!s)
			return NULL;
		if (!__sync_val_compare_and_swap(&s->busy, 0, 1)) {
			if (i)
				count_stat(LICTOR_STAT_SECOND_SLOT);
			if (count_stats)
				*(volatile __u32 *)&s->owner = bpf_get_current_pid_tgid();
			return s;
		}
	}
	count_site(LICTOR_SITE_SCRATCH_BUSY);
	return NULL;
}

static __always_inline void scratch_put(struct scratch *s)
{
	if (count_stats && *(volatile __u32 *)&s->owner != (__u32)bpf_get_current_pid_tgid())
		count_stat(LICTOR_STAT_SCRATCH_CORRUPT);
	*(volatile __u32 *)&s->busy = 0;
}

#endif
