/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Judges at a raw tracepoint, whose context holds the arguments as words. The one type that BPF_PROG_TEST_RUN
 * can run with arguments of one's own, so tests judge made-up events with it; the verdict is the test's
 * return value.
 */
#define LICTOR_RAW_ARGUMENTS
#include "judge.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("raw_tracepoint/event") int lictor_raw_tracepoint(void *ctx)
{
	return judge(ctx);
}
