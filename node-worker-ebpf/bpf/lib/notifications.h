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

/* Leaves a notification. */
__noinline int notification_leave(__u64 number)
{
	struct lictor_notifications *left = notifications_of_thread(BPF_LOCAL_STORAGE_GET_F_CREATE);
	__u32 free = LICTOR_MAX_NOTIFICATIONS;

	if (!left) {
		count_site(LICTOR_SITE_NOTIFICATION);
		return 0;
	}
#pragma unroll
	for (int i = 0; i < LICTOR_MAX_NOTIFICATIONS; i++) {
		if (!left->numbers[i]) {
			if (free == LICTOR_MAX_NOTIFICATIONS)
				free = i;
		} else if (of_one_policy(left->numbers[i], number)) {
			count_site(LICTOR_SITE_NOTIFICATION_REPLACED);
			left->numbers[i] = number;
			return 0;
		}
	}
	if (free >= LICTOR_MAX_NOTIFICATIONS) {
		count_site(LICTOR_SITE_NOTIFICATION);
		return 0;
	}
	left->numbers[free] = number;
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
