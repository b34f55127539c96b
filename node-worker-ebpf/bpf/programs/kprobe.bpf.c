/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Judges at a probed function without type information, of the kernel or of a program, or at the end of one of a program;
 * cannot deny, but signal and report.
 */
#include "judge.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("kprobe/function") int lictor_kprobe(void *ctx)
{
	judge(ctx);
	return 0;
}
