/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Programs that do nothing: what attaching alone costs is measured with them. */
#include "kernel.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("lsm/hook") int lictor_empty_lsm(void *ctx)
{
	return 0;
}

SEC("fentry/function") int lictor_empty_fentry(void *ctx)
{
	return 0;
}

SEC("kprobe/function") int lictor_empty_kprobe(void *ctx)
{
	return 0;
}
