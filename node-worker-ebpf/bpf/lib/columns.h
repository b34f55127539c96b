/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Columns: each turns one value of the event into the set of rules that can still match, and narrows `left`
 * by it. */
#ifndef LICTOR_COLUMNS_H
#define LICTOR_COLUMNS_H

#include "expressions.h"
#include "scope.h"
#include "sets.h"

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
	else if (field_leads_nowhere(e, field))
		e->found.status = PATH_UNRESOLVED;
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
	long length = any_text(e, s, shape.columns[i].field);

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

/* Narrows s->left by column i; `i` is known to the verifier. False when no rule is left. */
static __always_inline bool narrow(struct event *e, struct scratch *s, const struct lictor_hook *hook,
				   __u32 i)
{
	const struct lictor_column *column = &hook->columns[i];
	struct lictor_vector *vector;
	struct lictor_scope *scope;
	__u32 number;

	switch (asks_unread(e, i) ? LICTOR_COLUMN_NONE : shape.columns[i].kind) {
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
	case LICTOR_COLUMN_NOTIFICATIONS:
	case LICTOR_COLUMN_SUBSTRING:
	case LICTOR_COLUMN_SUBSTRING_ANY_CASE:
		return narrow_by_set(e, s, column, i) && s->left.summary;
	case LICTOR_COLUMN_EXPRESSION:
		narrow_by_expressions(e, s, column, i);
		return s->left.summary;
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
