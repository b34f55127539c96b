/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Columns whose value is a set: bits, ancestors, executables of a line, values within a text, notifications. */
#ifndef LICTOR_SETS_H
#define LICTOR_SETS_H

#include "notifications.h"
#include "numbers.h"
#include "unix.h"

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

struct notification_loop {
	struct scratch *s;
	struct lictor_notifications *left;
	__u32 slot;
	__u32 number_id;
};

static long notification_step(__u32 index, struct notification_loop *loop)
{
	__u64 number, *found;

	if (index >= LICTOR_MAX_NOTIFICATIONS)
		return 1;
	number = loop->left->numbers[index];
	if (!number)
		return 0;
	found = number_get(loop->slot, loop->number_id, number);
	if (found)
		fold_element(loop->s, loop->slot, *found);
	return 0;
}

__noinline int fold_notifications(struct event *e, struct scratch *s, const struct lictor_column *column)
{
	struct notification_loop loop = {.s = s, .left = notifications_of_thread(0)};

	/* Most threads never get any. */
	if (!loop.left || !e || !s || !column)
		return 0;
	loop.slot = e->at.slot;
	loop.number_id = column->number_id;
	bpf_loop(LICTOR_MAX_NOTIFICATIONS, notification_step, &loop, 0);
	return 0;
}

struct substring_loop {
	struct scratch *s;
};

/* Reads a byte, or goes on to the next shorter beginning of a value that it could belong to. */
static long substring_step(__u32 index, struct substring_loop *loop)
{
	struct scratch *s = loop->s;
	struct search *search = &s->search;
	__u64 *edge, *word;
	__u8 letter;

	if (search->at >= search->end)
		return 1;
	letter = s->text[search->at & TEXT_MASK];
	if (search->any_case && letter >= 'A' && letter <= 'Z')
		letter |= 'a' - 'A';
	edge = number_get(search->slot, search->number_id, (__u64)search->state << 8 | letter);
	if (edge) {
		search->at++;
		search->state = *edge;
		if (!(*edge >> 32))
			return 0;
		word = word_get(search->slot, search->base + 2 * search->state + 1);
		if (word)
			fold_element(s, search->slot, *word);
	} else if (search->state) {
		word = word_get(search->slot, search->base + 2 * search->state);
		search->state = word ? *word : 0;
	} else {
		search->at++;
	}
	return 0;
}

/*
 * Where in s->text the path of field i stands: end << 32 | start. Nothing is remembered of paths but their classes, so it
 * is walked. Negative when it cannot be read; nothing = there is no file.
 */
static __always_inline __s64 path_of_field(struct event *e, struct scratch *s, __u32 i)
{
	struct file *open_file = NULL;
	__u64 walked;

	if (i == shape.path_field) {
		if (e->path.status == PATH_UNRESOLVED)
			return -1;
		walked = path_walk(e->id.dentry, e->id.mnt, s);
	} else {
		if (!place_of_field(e, i, &e->other, &open_file))
			return field_leads_nowhere(e, i) ? -1 : 0;
		if (open_file && is_inner_file(&e->other))
			return 0;
		walked = path_walk(e->other.dentry, e->other.mnt, s);
	}
	if (walked >> 32 == PATH_UNRESOLVED)
		return -1;
	return walked >> 32 == PATH_OK ? pair(LICTOR_PATH_MAX, (__u32)walked) : 0;
}

static __always_inline bool is_text(__u32 i)
{
	switch (shape.fields[i].kind) {
	case LICTOR_FIELD_FILE:
	case LICTOR_FIELD_FD:
	case LICTOR_FIELD_PATH:
	case LICTOR_FIELD_DENTRY:
	case LICTOR_FIELD_BINPRM:
		return false;
	default:
		return true;
	}
}

/* Whether the text of the field behind column i could be read whole. */
__noinline bool fold_substrings(struct event *e, struct scratch *s, const struct lictor_column *column,
				__u32 i)
{
	struct substring_loop loop;
	struct search *search;
	__s64 bounds;
	__u32 field;

	if (!e || !s || !column)
		return false;
	i &= LICTOR_MAX_COLUMNS - 1;
	field = shape.columns[i].field & 7;
	if (is_text(field)) {
		bounds = any_text(e, s, field);
		/* Not to be read, longer than a path, or cut. */
		if (bounds < 0 || bounds >= LICTOR_PATH_MAX)
			return false;
		bounds <<= 32;
	} else {
		bounds = path_of_field(e, s, field);
		if (bounds < 0)
			return false;
	}
	loop.s = scratch_as_map_value(s);
	if (!loop.s)
		return false;
	search = &loop.s->search;
	search->slot = e->at.slot;
	search->base = column->base;
	search->number_id = column->number_id;
	search->state = 0;
	search->at = (__u32)bounds;
	search->end = bounds >> 32;
	search->any_case = shape.columns[i].kind == LICTOR_COLUMN_SUBSTRING_ANY_CASE;
	/* Each step reads a byte or gives up at least one that was read. */
	bpf_loop(2 * LICTOR_PATH_MAX, substring_step, &loop, 0);
	return true;
}

/* Whether column i asks what the process has else than when it began. */
static __always_inline bool asks_changes(__u32 i)
{
	return shape.columns[i].source >= LICTOR_FROM_NAMESPACE_CHANGES &&
	       shape.columns[i].source <= LICTOR_FROM_CAP_INHERITABLE_CHANGES;
}

/* Folds what is met of the set; whether all of it is known. */
static __always_inline bool fold_set(struct event *e, struct scratch *s, const struct lictor_column *column,
				     __u32 i)
{
	switch (shape.columns[i].kind) {
	case LICTOR_COLUMN_MASK:
		if (!asks_changes(i))
			fold_mask(e, s, column, column_number(e, i));
		else if (read_changes(e, shape.columns[i].source))
			fold_mask(e, s, column, e->changes);
		else
			return false;
		return true;
	case LICTOR_COLUMN_LINEAGE:
		return fold_lineage(e, s, column);
	case LICTOR_COLUMN_NOTIFICATIONS:
		fold_notifications(e, s, column);
		return true;
	case LICTOR_COLUMN_SUBSTRING:
	case LICTOR_COLUMN_SUBSTRING_ANY_CASE:
		return fold_substrings(e, s, column, i);
	default:
		fold_ancestors(e, s, column, shape.columns[i].source == LICTOR_FROM_NAMESPACE_PID);
		return true;
	}
}

/* left &= (rest | wanted) & ~unwanted. Of what is not known whole, what is met counts all the same. */
static __always_inline bool narrow_by_set(struct event *e, struct scratch *s,
					  const struct lictor_column *column, __u32 i)
{
	__u32 number = column->default_vector;
	struct lictor_vector *rest;

	s->folded.summary = 0;
	if (!fold_set(e, s, column, i)) {
		e->unresolved |= 1 << i;
		number = column->unresolved_vector;
	}
	rest = vector_get(e->at.slot, number);
	if (!rest)
		return false;
	vector_or(&s->folded, rest);
	vector_and(&s->left, &s->folded);
	return true;
}

#endif
