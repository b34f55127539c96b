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
			s->index = slot;
			if (i)
				count_stat(LICTOR_STAT_SECOND_SLOT);
			if (PATCHED(LICTOR_PATCH_COUNT_STATS))
				*(volatile __u32 *)&s->owner = bpf_get_current_pid_tgid();
			return s;
		}
	}
	count_site(LICTOR_SITE_SCRATCH_BUSY);
	return NULL;
}

/*
 * The same memory as a map value. Functions that are verified by themselves get `s` as memory of unknown origin, which
 * 6.1 does not take as a key of a map.
 */
static __always_inline struct scratch *scratch_as_map_value(const struct scratch *s)
{
	__u32 index = s->index;

	return bpf_map_lookup_elem(&scratches, &index);
}

static __always_inline void scratch_put(struct scratch *s)
{
	if (PATCHED(LICTOR_PATCH_COUNT_STATS) &&
	    *(volatile __u32 *)&s->owner != (__u32)bpf_get_current_pid_tgid())
		count_stat(LICTOR_STAT_SCRATCH_CORRUPT);
	*(volatile __u32 *)&s->busy = 0;
}

#endif
