/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Judges at a function's trampoline: at its beginning, at its end, or in place of a security function's
 * result. */
#define LICTOR_TYPED_ARGUMENTS
#include "judge.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("fentry/function") int lictor_fentry(void *ctx)
{
	judge(ctx);
	return 0;
}

SEC("fexit/function") int lictor_fexit(void *ctx)
{
	judge(ctx);
	return 0;
}

/* Loaded as BPF_MODIFY_RETURN, which has no section name of its own in the object reader. */
SEC("fentry/security_function") int lictor_fmod_ret(void *ctx)
{
	return as_errno(judge(ctx));
}
