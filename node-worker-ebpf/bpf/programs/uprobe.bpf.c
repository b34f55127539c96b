/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Judges at a place in a program where some rule writes the program's registers. Kernels from 6.18 on load it, and take no
 * other program for it in a prog array: it is attached beside those that only read.
 */
#define LICTOR_WRITES_REGISTERS
#include "judge.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("kprobe/function") int lictor_uprobe_registers(void *ctx)
{
	judge(ctx);
	return 0;
}
