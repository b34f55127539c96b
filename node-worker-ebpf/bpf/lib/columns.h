/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Columns: each turns one value of the event into the set of rules that can still match, and narrows `left`
 * by it. */
#ifndef LICTOR_COLUMNS_H
#define LICTOR_COLUMNS_H

#include "endpoints.h"
#include "images.h"
#include "scope.h"
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

/* What the current process has else than when it began; nothing where that is not known, see is_unknown(). */
__noinline __u64 changes_of(__u32 source)
{
	struct lictor_image *image = current_image();

	if (!image)
		return 0;
	switch (source) {
	case LICTOR_FROM_CAP_EFFECTIVE_CHANGES:
		return capability_set(LICTOR_FROM_CAP_EFFECTIVE) ^ image->cap_effective;
	case LICTOR_FROM_CAP_PERMITTED_CHANGES:
		return capability_set(LICTOR_FROM_CAP_PERMITTED) ^ image->cap_permitted;
	case LICTOR_FROM_CAP_INHERITABLE_CHANGES:
		return capability_set(LICTOR_FROM_CAP_INHERITABLE) ^ image->cap_inheritable;
	default:
		return namespace_changes(image);
	}
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
	case LICTOR_FROM_NAMESPACE_CHANGES:
	case LICTOR_FROM_CAP_EFFECTIVE_CHANGES:
	case LICTOR_FROM_CAP_PERMITTED_CHANGES:
	case LICTOR_FROM_CAP_INHERITABLE_CHANGES:
		return changes_of(source);
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

/* One element of a set-valued column: its rules join `folded` (those that want it) or leave `left` (those
   that must not have it). */
static __always_inline void fold_element(struct scratch *s, __u32 slot, __u64 wanted_unwanted)
{
	struct lictor_vector *vector;

	if ((__u32)wanted_unwanted) {
		vector = vector_get(slot, wanted_unwanted);
		if (vector)
			vector_or(&s->folded, vector);
	}
	if (wanted_unwanted >> 32) {
		vector = vector_get(slot, wanted_unwanted >> 32);
		if (vector)
			vector_and_not(&s->left, vector);
	}
}

struct mask_loop {
	struct scratch *s;
	__u64 bits;
	__u32 slot;
	__u32 base;
	__u32 bit;
};

static long mask_step(__u32 index, struct mask_loop *loop)
{
	__u64 *word;

	if (!loop->bits)
		return 1;
	if (loop->bits & 1) {
		word = word_get(loop->slot, loop->base + index);
		if (word)
			fold_element(loop->s, loop->slot, *word);
	}
	loop->bits >>= 1;
	return 0;
}

__noinline int fold_mask(struct event *e, struct scratch *s, const struct lictor_column *column, __u64 value)
{
	struct mask_loop loop = {.s = s};

	if (!e || !s || !column)
		return 0;
	loop.slot = e->at.slot;
	loop.bits = value & column->mask;
	loop.base = column->base;
	bpf_loop(64, mask_step, &loop, 0);
	return 0;
}

struct ancestor_loop {
	struct scratch *s;
	struct task_struct *task;
	__u32 slot;
	__u32 number_id;
	/* Each one's id in its own PID namespace. */
	bool own;
};

static long ancestor_step(__u32 index, struct ancestor_loop *loop)
{
	struct task_struct *task = loop->task, *parent;
	__u64 *found;
	__u32 pid;

	pid = BPF_CORE_READ(task, tgid);
	if (!pid)
		return 1;
	if (loop->own)
		pid = namespace_pid(task);
	found = number_get(loop->slot, loop->number_id, pid);
	if (found)
		fold_element(loop->s, loop->slot, *found);
	parent = BPF_CORE_READ(task, real_parent);
	if (!parent || parent == task)
		return 1;
	loop->task = parent;
	return 0;
}

__noinline int fold_ancestors(struct event *e, struct scratch *s, const struct lictor_column *column,
			      bool own)
{
	struct ancestor_loop loop = {.s = s, .task = (void *)bpf_get_current_task()};

	if (!e || !s || !column)
		return 0;
	loop.slot = e->at.slot;
	loop.number_id = column->number_id;
	loop.own = own;
	bpf_loop(LICTOR_MAX_ANCESTORS, ancestor_step, &loop, 0);
	return 0;
}

struct lineage_loop {
	struct scratch *s;
	struct lictor_image *image;
	__u32 slot;
	__u32 number_id;
};

static long lineage_step(__u32 index, struct lineage_loop *loop)
{
	struct lictor_image *image = loop->image;
	__u64 *found;

	if (index >= LICTOR_MAX_LINEAGE || index >= image->lineage_length)
		return 1;
	found = number_get(loop->slot, loop->number_id, image->lineage[index]);
	if (found)
		fold_element(loop->s, loop->slot, *found);
	return 0;
}

/* Whether all of the line is known: otherwise what is not found may have been there. */
__noinline bool fold_lineage(struct event *e, struct scratch *s, const struct lictor_column *column)
{
	struct lineage_loop loop = {.s = s, .image = current_image()};

	if (!e || !s || !column || !loop.image)
		return false;
	loop.slot = e->at.slot;
	loop.number_id = column->number_id;
	bpf_loop(LICTOR_MAX_LINEAGE, lineage_step, &loop, 0);
	return !(loop.image->flags & (LICTOR_IMAGE_INCOMPLETE | LICTOR_IMAGE_ORIGIN_UNKNOWN));
}

/* Mask, ancestors and lineage: left &= (rest | wanted) & ~unwanted. */
static __always_inline bool narrow_by_set(struct event *e, struct scratch *s,
					  const struct lictor_column *column, __u32 i)
{
	__u32 number = column->default_vector;
	struct lictor_vector *rest;

	s->folded.summary = 0;
	if (shape.columns[i].kind == LICTOR_COLUMN_MASK)
		fold_mask(e, s, column, column_number(e, i));
	else if (shape.columns[i].kind == LICTOR_COLUMN_LINEAGE) {
		if (!fold_lineage(e, s, column)) {
			e->unresolved |= 1 << i;
			number = column->unresolved_vector;
		}
	} else
		fold_ancestors(e, s, column, shape.columns[i].source == LICTOR_FROM_NAMESPACE_PID);
	rest = vector_get(e->at.slot, number);
	if (!rest)
		return false;
	vector_or(&s->folded, rest);
	vector_and(&s->left, &s->folded);
	return true;
}

/* Fills e->found for the executable that the current process runs; kernel threads have none. */
__noinline int binary_classes(struct event *e, struct scratch *s)
{
	if (!e || !s)
		return 0;
	e->found.prefix_class = e->found.suffix_class = 0;
	e->found.status = PATH_NONE;
	if (!identity_of_executable(bpf_get_current_task_btf(), &e->other))
		return 0;
	return cached_classes_of(e, s, &e->other, &e->found, false);
}

/* The same for the parent of the current process. */
__noinline int parent_binary_classes(struct event *e, struct scratch *s)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (!e || !s)
		return 0;
	e->found.prefix_class = e->found.suffix_class = 0;
	e->found.status = PATH_NONE;
	if (!identity_of_executable(task->real_parent, &e->other))
		return 0;
	return cached_classes_of(e, s, &e->other, &e->found, false);
}

/* Fills e->found for a field. */
static __always_inline void field_classes(struct event *e, struct scratch *s, __u32 field)
{
	struct file *open_file;

	if (field == shape.path_field) {
		e->found = e->path;
		return;
	}
	e->found.prefix_class = e->found.suffix_class = 0;
	e->found.status = PATH_NONE;
	if (place_of_field(e, field, &e->other, &open_file))
		cached_classes_of(e, s, &e->other, &e->found, !open_file);
}

static __always_inline __u32 path_vector(struct event *e, struct scratch *s,
					 const struct lictor_column *column, __u32 i)
{
	__u32 class_id;
	__u64 *vector;

	if (shape.columns[i].source == LICTOR_FROM_BINARY)
		binary_classes(e, s);
	else if (shape.columns[i].source == LICTOR_FROM_PARENT_BINARY)
		parent_binary_classes(e, s);
	else
		field_classes(e, s, shape.columns[i].field & 7);
	if (e->found.status == PATH_UNRESOLVED) {
		e->unresolved |= 1 << i;
		return column->unresolved_vector;
	}
	class_id = shape.columns[i].kind == LICTOR_COLUMN_PATH_PREFIX ? e->found.prefix_class
								      : e->found.suffix_class;
	if (class_id >= column->length)
		return column->default_vector;
	vector = word_get(e->at.slot, column->base + class_id);
	return vector ? *vector : column->default_vector;
}

static __always_inline __u32 text_vector(struct event *e, struct scratch *s,
					 const struct lictor_column *column, __u32 i)
{
	long length = text_of_field(e, s, shape.columns[i].field);

	if (length < 0 || length >= LICTOR_PATH_MAX) {
		e->unresolved |= 1 << i;
		return column->unresolved_vector;
	}
	if (shape.columns[i].kind == LICTOR_COLUMN_TEXT_PREFIX)
		return prefix_class(e->at.slot, s, pair(0, length + 1),
				    pair(column->base, column->default_vector));
	return suffix_class(e->at.slot, s, pair(0, length), pair(column->base, column->default_vector));
}

/* A function of its own: in judge_by_tables, what it keeps would be on the stack of every program. */
__noinline __u32 endpoints_vector(struct event *e, struct scratch *s, const struct lictor_column *column,
				  __u32 index)
{
	__u32 i = index & (LICTOR_MAX_COLUMNS - 1), source = shape.columns[i].source, length;

	if (!e || !s || !column)
		return 0;
	if (!endpoints_of_column(e, i)) {
		e->unresolved |= 1 << i;
		return column->unresolved_vector;
	}
	if (shape.columns[i].kind == LICTOR_COLUMN_NUMBER)
		return number_vector(e, column, endpoints_number(&e->endpoints, source));
	length = address_text(e, s, source == LICTOR_FROM_DESTINATION_ADDRESS);
	return prefix_class(e->at.slot, s, pair(0, length + 1), pair(column->base, column->default_vector));
}

/* Whether column i takes away from s->left what it does not name, rather than telling what is left. */
static __always_inline bool narrows_by_set(__u32 i)
{
	switch (shape.columns[i].kind) {
	case LICTOR_COLUMN_NUMBER:
	case LICTOR_COLUMN_PATH_PREFIX:
	case LICTOR_COLUMN_PATH_SUFFIX:
	case LICTOR_COLUMN_TEXT_PREFIX:
	case LICTOR_COLUMN_TEXT_SUFFIX:
		return false;
	default:
		return true;
	}
}

/* Whether column i asks about a field whose steps led nowhere. */
static __always_inline bool asks_unread(const struct event *e, __u32 i)
{
	__u32 source = shape.columns[i].source;

	return (source == LICTOR_FROM_FIELD || source == LICTOR_FROM_FILE_TYPE || asks_endpoints(i)) &&
	       is_unread(e, shape.columns[i].field & 7);
}

/* Whether column i asks what has changed of a process of which nothing is remembered. */
static __always_inline bool is_unknown(__u32 i)
{
	__u32 source = shape.columns[i].source;

	return source >= LICTOR_FROM_NAMESPACE_CHANGES && source <= LICTOR_FROM_CAP_INHERITABLE_CHANGES &&
	       !current_image();
}

/* Narrows s->left by column i; `i` is known to the verifier. False when no rule is left. */
static __always_inline bool narrow(struct event *e, struct scratch *s, const struct lictor_hook *hook,
				   __u32 i)
{
	const struct lictor_column *column = &hook->columns[i];
	struct lictor_vector *vector;
	struct lictor_scope *scope;
	__u32 number;

	switch (asks_unread(e, i) || is_unknown(i) ? LICTOR_COLUMN_NONE : shape.columns[i].kind) {
	case LICTOR_COLUMN_NONE:
		e->unresolved |= 1 << i;
		number = column->unresolved_vector;
		break;
	case LICTOR_COLUMN_SCOPE:
		scope = current_scope(e->at.slot, shape.hook_slot);
		if (scope) {
			vector_and(&s->left, &scope->rules);
			return s->left.summary;
		}
		number = column->default_vector;
		break;
	case LICTOR_COLUMN_NUMBER:
		number = asks_endpoints(i) ? endpoints_vector(e, s, column, i)
					   : number_vector(e, column, column_number(e, i));
		break;
	case LICTOR_COLUMN_MASK:
	case LICTOR_COLUMN_ANCESTORS:
	case LICTOR_COLUMN_LINEAGE:
		return narrow_by_set(e, s, column, i) && s->left.summary;
	case LICTOR_COLUMN_PATH_PREFIX:
	case LICTOR_COLUMN_PATH_SUFFIX:
		number = path_vector(e, s, column, i);
		break;
	case LICTOR_COLUMN_TEXT_PREFIX:
	case LICTOR_COLUMN_TEXT_SUFFIX:
		number = asks_endpoints(i) ? endpoints_vector(e, s, column, i) : text_vector(e, s, column, i);
		break;
	default:
		return true;
	}
	vector = vector_get(e->at.slot, number);
	if (!vector) {
		count_site(LICTOR_SITE_TABLES);
		return false;
	}
	/* No vector has a bit that the one of all rules has not, so the first one stands for both. */
	if (!i)
		vector_copy(&s->left, vector);
	else
		vector_and(&s->left, vector);
	return s->left.summary;
}

#endif
