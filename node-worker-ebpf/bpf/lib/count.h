/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Counters: failures by site (always), statistics (only when asked for: they cost instructions on the hot
 * path). */
#ifndef LICTOR_COUNT_H
#define LICTOR_COUNT_H

#include "maps.h"

/* A number of enum lictor_patch. */
#define PATCHED(number) PATCHED_(number)
#define PATCHED_(number)                                                                                     \
	({                                                                                                   \
		__u64 value_;                                                                                \
		asm("%0 = %1 ll" : "=r"(value_) : "i"((__u64)LICTOR_PATCH << 32 | (number)));                \
		value_;                                                                                      \
	})

static __always_inline void count_site(__u32 site)
{
	__u64 *count = bpf_map_lookup_elem(&site_counts, &site);

	if (count)
		__sync_fetch_and_add(count, 1);
}

__noinline int add_stat(__u32 stat)
{
	__u64 *count = bpf_map_lookup_elem(&stats, &stat);

	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

static __always_inline void count_stat(__u32 stat)
{
	if (PATCHED(LICTOR_PATCH_COUNT_STATS))
		add_stat(stat);
}

#endif
