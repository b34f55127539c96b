/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Who has a socket: remembered by rules, told in records of what the socket does. */
#ifndef LICTOR_SOCKETS_H
#define LICTOR_SOCKETS_H

#include "head.h"

/* Remembers who has a socket, or forgets it. Key and value are on the stack: 6.1 takes none from memory that is handed on. */
__noinline int track_socket(__u64 address, __u32 flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct lictor_owner owner;

	if (!address)
		return 0;
	if (flags & LICTOR_RULE_UNTRACK) {
		bpf_map_delete_elem(&sockets, &address);
		return 0;
	}
	owner_of_task(&owner, task);
	if (bpf_map_update_elem(&sockets, &address, &owner, BPF_ANY))
		count_site(LICTOR_SITE_SOCKETS);
	return 0;
}

/* The socket of a field; 0 = there is none. `i` is known to the verifier. */
static __always_inline __u64 socket_of(const struct event *e, __u32 i)
{
	__u64 raw = e->raw[i];

	if (shape.fields[i].kind == LICTOR_FIELD_SOCK)
		return raw;
	if (shape.fields[i].kind == LICTOR_FIELD_SOCKET)
		return (__u64)BPF_CORE_READ((struct socket *)raw, sk);
	if (shape.fields[i].kind == LICTOR_FIELD_SKB)
		return (__u64)BPF_CORE_READ((struct sk_buff *)raw, sk);
	return 0;
}

/* A record with a socket that is tracked tells of its owner instead of the process that runs. */
static __always_inline void owner_of_event(struct event *e, struct lictor_record *head)
{
	struct lictor_owner *owner = NULL;
	__u64 address;

#pragma unroll
	for (int i = 0; i < LICTOR_MAX_FIELDS; i++) {
		if (i >= shape.field_count || owner)
			break;
		address = socket_of(e, i);
		if (address)
			owner = bpf_map_lookup_elem(&sockets, &address);
	}
	if (!owner)
		return;
	head->tgid = owner->tgid;
	head->tid = owner->tid;
	head->start_boot_ns = owner->start_boot_ns;
	head->cgroup_id = owner->cgroup_id;
	head->exec_id = owner->exec_id;
}

#endif
