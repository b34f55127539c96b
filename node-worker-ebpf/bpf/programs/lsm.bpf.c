/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Judges at an LSM hook: the verdict is the hook's return value. */
#define LICTOR_TYPED_ARGUMENTS
#include "judge.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("lsm/hook") int lictor_lsm(void *ctx)
{
	return as_errno(judge(ctx));
}
