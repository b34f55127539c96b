/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Judges at a tracepoint: values stand at the offsets of its format file. */
#include "judge.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tracepoint/subsystem/event") int lictor_tracepoint(void *ctx)
{
	judge(ctx);
	return 0;
}
