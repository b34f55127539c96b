/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Notifications: what rules leave for the thread that they met, to be carried out when it comes to a call that their policy
 * names. Only the thread itself reads and writes its own.
 */
#ifndef LICTOR_NOTIFICATIONS_H
#define LICTOR_NOTIFICATIONS_H

#include "kernel.h"
#include "maps.h"

static __always_inline bool of_one_policy(__u64 one, __u64 other)
{
	return !((one ^ other) >> LICTOR_NOTIFICATION_BITS);
}

/* What is left for the current thread; NULL = nothing ever was. */
static __always_inline struct lictor_notifications *notifications_of_thread(__u64 flags)
{
	return bpf_task_storage_get(&notifications, bpf_get_current_task_btf(), NULL, flags);
}

/*
 * Leaves a notification: behind all others, which move up to the place of the one that it replaces, or to a free one. Without
 * such a place, the oldest is lost: it may well be one that no policy knows any more.
 */
__noinline int notification_leave(__u64 number)
{
	struct lictor_notifications *left = notifications_of_thread(BPF_LOCAL_STORAGE_GET_F_CREATE);
	__u64 moving = number, here;

	if (!left) {
		count_site(LICTOR_SITE_NOTIFICATION);
		return 0;
	}
#pragma unroll
	for (int i = LICTOR_MAX_NOTIFICATIONS - 1; i >= 0; i--) {
		here = left->numbers[i];
		left->numbers[i] = moving;
		if (!here)
			return 0;
		if (of_one_policy(here, number)) {
			count_site(LICTOR_SITE_NOTIFICATION_REPLACED);
			return 0;
		}
		moving = here;
	}
	count_site(LICTOR_SITE_NOTIFICATION);
	return 0;
}

/* Takes away what is the same as `number` but for the lowest `bits`. */
__noinline int notification_take(__u64 number, __u32 bits)
{
	struct lictor_notifications *left = notifications_of_thread(0);

	if (!left)
		return 0;
#pragma unroll
	for (int i = 0; i < LICTOR_MAX_NOTIFICATIONS; i++) {
		if (!((left->numbers[i] ^ number) >> (bits & 63)))
			left->numbers[i] = 0;
	}
	return 0;
}

/* What a rule does with notifications. */
static __always_inline void rule_notifies(__u32 flags, __u64 number)
{
	if (flags & LICTOR_RULE_CONSUME)
		notification_take(number, 0);
	if (flags & LICTOR_RULE_CLEANUP)
		notification_take(number, LICTOR_NOTIFICATION_BITS);
	if (flags & LICTOR_RULE_NOTIFY)
		notification_leave(number);
}

#endif
