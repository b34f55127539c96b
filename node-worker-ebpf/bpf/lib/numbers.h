/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Numbers of an event: what they are, and which rules a number leaves. */
#ifndef LICTOR_NUMBERS_H
#define LICTOR_NUMBERS_H

#include "endpoints.h"
#include "images.h"
#include "vectors.h"

/* 2^14 intervals: more than 4,096 rules with two ends each can make. */
#define INTERVAL_STEPS 14

static __always_inline __u64 *word_get(__u32 slot, __u32 index)
{
	void *inner = bpf_map_lookup_elem(&words, &slot);

	return inner ? bpf_map_lookup_elem(inner, &index) : NULL;
}

static __always_inline __u64 *number_get(__u32 slot, __u32 column, __u64 value)
{
	struct lictor_number_key key = {.column = column, .value = value};
	void *inner = bpf_map_lookup_elem(&numbers, &slot);

	return inner ? bpf_map_lookup_elem(inner, &key) : NULL;
}

static __always_inline __u64 capabilities_of(const struct cred *cred, __u32 source)
{
	__u64 set = 0;
	__u32 offset;

	if (source == LICTOR_FROM_CAP_EFFECTIVE)
		offset = bpf_core_field_offset(struct cred, cap_effective);
	else if (source == LICTOR_FROM_CAP_PERMITTED)
		offset = bpf_core_field_offset(struct cred, cap_permitted);
	else
		offset = bpf_core_field_offset(struct cred, cap_inheritable);
	bpf_probe_read_kernel(&set, sizeof(set), (void *)cred + offset);
	return set;
}

__noinline __u64 capability_set(__u32 source)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return capabilities_of(BPF_CORE_READ(task, cred), source);
}

/* Inode number of a namespace of `task`; 0 when it has none (it is exiting). */
__noinline __u32 namespace_of(__u64 task_address, __u32 source)
{
	struct task_struct *task = (struct task_struct *)task_address;
	struct pid *pid;
	struct upid upid;
	__u32 level;

	switch (source) {
	case LICTOR_FROM_NS_UTS:
		return BPF_CORE_READ(task, nsproxy, uts_ns, ns.inum);
	case LICTOR_FROM_NS_IPC:
		return BPF_CORE_READ(task, nsproxy, ipc_ns, ns.inum);
	case LICTOR_FROM_NS_MNT:
		return BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
	case LICTOR_FROM_NS_PID:
		pid = BPF_CORE_READ(task, thread_pid);
		level = BPF_CORE_READ(pid, level);
		if (level > 32 || bpf_core_read(&upid, sizeof(upid), &pid->numbers[level]))
			return 0;
		return BPF_CORE_READ(upid.ns, ns.inum);
	case LICTOR_FROM_NS_PID_FOR_CHILDREN:
		return BPF_CORE_READ(task, nsproxy, pid_ns_for_children, ns.inum);
	case LICTOR_FROM_NS_NET:
		return BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
	case LICTOR_FROM_NS_TIME:
		return BPF_CORE_READ(task, nsproxy, time_ns, ns.inum);
	case LICTOR_FROM_NS_TIME_FOR_CHILDREN:
		return BPF_CORE_READ(task, nsproxy, time_ns_for_children, ns.inum);
	case LICTOR_FROM_NS_CGROUP:
		return BPF_CORE_READ(task, nsproxy, cgroup_ns, ns.inum);
	case LICTOR_FROM_NS_USER:
		return BPF_CORE_READ(task, cred, user_ns, ns.inum);
	default:
		return 0;
	}
}

/* Bit n: the current process has another namespace LICTOR_FROM_NS_UTS + n than when it began. */
static __always_inline __u64 namespace_changes(const struct lictor_image *image)
{
	__u64 task = bpf_get_current_task(), changes = 0;

	for (int i = 0; i < LICTOR_NAMESPACES; i++) {
		__u32 now = namespace_of(task, LICTOR_FROM_NS_UTS + i), then = image->namespaces[i];

		/* A process that ends has none; that is no change. */
		if (now && then && now != then)
			changes |= 1ULL << i;
	}
	return changes;
}

/* Fills e->changes with what the current process has else than when it began; false where that is not known. */
__noinline bool read_changes(struct event *e, __u32 source)
{
	struct lictor_image *image = current_image();

	if (!e || !image)
		return false;
	switch (source) {
	case LICTOR_FROM_CAP_EFFECTIVE_CHANGES:
		e->changes = capability_set(LICTOR_FROM_CAP_EFFECTIVE) ^ image->cap_effective;
		break;
	case LICTOR_FROM_CAP_PERMITTED_CHANGES:
		e->changes = capability_set(LICTOR_FROM_CAP_PERMITTED) ^ image->cap_permitted;
		break;
	case LICTOR_FROM_CAP_INHERITABLE_CHANGES:
		e->changes = capability_set(LICTOR_FROM_CAP_INHERITABLE) ^ image->cap_inheritable;
		break;
	default:
		e->changes = namespace_changes(image);
	}
	return true;
}

/* Process id of the thread group in its own PID namespace. */
static __always_inline __u32 namespace_pid(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);
	struct upid upid;

	if (level > 32 || bpf_core_read(&upid, sizeof(upid), &pid->numbers[level]))
		return 0;
	return upid.nr;
}

static __always_inline __u64 current_cgroup(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return task->cgroups->dfl_cgrp->kn->id;
}

/* Type of the file behind a field, as modes have it; 0 when there is none. */
__noinline __u32 file_type(struct event *e, __u32 field)
{
	struct file *open_file;
	struct inode *inode;
	__u32 i = field & 7;

	if (!e)
		return 0;
	/* The file that the event is judged by is not among the raw values. */
	if (i == shape.path_field)
		inode = (struct inode *)e->id.inode;
	else if (place_of_field(e, i, &e->other, &open_file))
		inode = (struct inode *)e->other.inode;
	else
		return 0;
	return (BPF_CORE_READ(inode, i_mode) & S_IFMT) >> 12;
}

static __always_inline __u64 column_number(struct event *e, __u32 i)
{
	__u32 source = shape.columns[i].source, field = shape.columns[i].field & 7;
	__u64 value;

	switch (source) {
	case LICTOR_FROM_FIELD:
		value = number_of(e->raw[field], shape.fields[field].width, shape.fields[field].flags);
		if (shape.columns[i].kind == LICTOR_COLUMN_NUMBER &&
		    shape.fields[field].flags & LICTOR_FIELD_SIGNED)
			value ^= 1ULL << 63;
		return value;
	case LICTOR_FROM_CGROUP:
		return current_cgroup();
	case LICTOR_FROM_FILE_TYPE:
		return file_type(e, field);
	case LICTOR_FROM_PID:
		return bpf_get_current_pid_tgid() >> 32;
	case LICTOR_FROM_NAMESPACE_PID:
		return namespace_pid((struct task_struct *)bpf_get_current_task());
	case LICTOR_FROM_CAP_EFFECTIVE:
	case LICTOR_FROM_CAP_PERMITTED:
	case LICTOR_FROM_CAP_INHERITABLE:
		return capability_set(source);
	default:
		return namespace_of(bpf_get_current_task(), source);
	}
}

struct interval_search {
	__u64 value;
	__u32 slot;
	__u32 base;
	__u32 low;
	__u32 high;
};

static long interval_step(__u32 index, struct interval_search *search)
{
	__u32 middle = (search->low + search->high) / 2;
	__u64 *start;

	if (search->low + 1 >= search->high)
		return 1;
	start = word_get(search->slot, search->base + 2 * middle);
	if (!start)
		return 1;
	if (*start <= search->value)
		search->low = middle;
	else
		search->high = middle;
	return 0;
}

__noinline __u32 number_vector(struct event *e, const struct lictor_column *column, __u64 value)
{
	struct interval_search search = {.value = value};
	__u64 *found;

	if (!e || !column)
		return 0;
	search.slot = e->at.slot;
	if (column->number_id) {
		found = number_get(e->at.slot, column->number_id, value);
		if (found)
			return *found;
	}
	if (!column->length)
		return column->default_vector;
	search.base = column->base;
	search.high = column->length;
	if (search.high > 1)
		bpf_loop(INTERVAL_STEPS + 1, interval_step, &search, 0);
	found = word_get(e->at.slot, search.base + 2 * search.low + 1);
	return found ? *found : column->default_vector;
}

#endif
