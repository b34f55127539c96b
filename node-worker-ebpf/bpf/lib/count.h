/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Counters: failures by site (always), statistics (only when asked for: they cost instructions on the hot
 * path). */
#ifndef LICTOR_COUNT_H
#define LICTOR_COUNT_H

#include "maps.h"

/* Set by tests and benchmarks that look into the caches. */
const volatile __u32 count_stats = 0;

static __always_inline void count_site(__u32 site)
{
	__u64 *count = bpf_map_lookup_elem(&site_counts, &site);

	if (count)
		__sync_fetch_and_add(count, 1);
}

static __always_inline void count_stat(__u32 stat)
{
	__u64 *count;

	if (!count_stats)
		return;
	count = bpf_map_lookup_elem(&stats, &stat);
	if (count)
		__sync_fetch_and_add(count, 1);
}

#endif
