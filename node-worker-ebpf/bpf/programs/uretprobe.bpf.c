/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Judges at the end of a function of a program by what it was called with as well: one program keeps that at the
 * beginning, the other one takes it from there.
 */
#define LICTOR_KEPT_ARGUMENTS
#include "judge.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("kprobe/function") int lictor_uprobe_call(void *ctx)
{
	call_keep(ctx);
	return 0;
}

SEC("kprobe/function") int lictor_uretprobe(void *ctx)
{
	judge(ctx);
	return 0;
}
