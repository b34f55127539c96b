/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Expressions: conditions over several numbers, computed by a machine with a stack, see LICTOR_EXPRESSION_* of the wire
 * contract. One loop goes through the words of all expressions of a hook point.
 */
#ifndef LICTOR_EXPRESSIONS_H
#define LICTOR_EXPRESSIONS_H

#include "numbers.h"

/* Each expression has a BEGIN and an END. */
#define COMPUTATION_STEPS (LICTOR_MAX_EXPRESSIONS * (LICTOR_EXPRESSION_STEPS + 2))
#define STACK_MASK (LICTOR_EXPRESSION_DEPTH - 1)

struct computation_loop {
	struct scratch *s;
};

/* Cuts off high bits, and widens what is left again. */
static __always_inline __u64 formed(__u64 value, __u32 form)
{
	__u32 shift = form & 63;

	if (form & LICTOR_FORM_SIGNED)
		return (__u64)((__s64)(value << shift) >> shift);
	return value << shift >> shift;
}

/* Whether one of the rules may be left. Of more than 64 rules, that is not found out. */
static __always_inline bool may_be_left(const struct lictor_vector *left, const struct lictor_vector *rules)
{
	__u64 summary = left->summary & rules->summary;

	return summary > 1 || (summary && left->words[0] & rules->words[0]);
}

static __always_inline void take_away(struct scratch *s, __u32 slot, __u32 number)
{
	struct lictor_vector *vector = vector_get(slot, number);
	__u64 word;

	if (!vector)
		return;
	/* Up to 64 rules. */
	if (s->left.summary <= 1) {
		word = s->left.words[0] & ~vector->words[0];
		s->left.words[0] = word;
		s->left.summary = s->left.summary && word;
	} else {
		vector_and_not(&s->left, vector);
	}
}

/* Begins an expression, or passes over it: when none of its rules is left, or a number could not be read. */
static __always_inline void begin_expression(struct scratch *s, struct computation *c, __u64 word)
{
	__u32 next = c->at + 1, unread = s->event.unread & (word >> 8 & 0xff);
	__u64 *vectors = word_get(c->slot, next);
	struct lictor_vector *rules;

	c->at = next + (__u32)(word >> 32);
	if (!vectors)
		return;
	rules = vector_get(c->slot, *vectors);
	if (!rules || !may_be_left(&s->left, rules))
		return;
	if (unread) {
		s->event.unresolved |= c->unresolved;
		if (*vectors >> 32)
			take_away(s, c->slot, *vectors >> 32);
		return;
	}
	c->wanted = *vectors;
	c->depth = 0;
	c->at = next + 1;
}

static __always_inline __u64 joined(__u32 operation, __u64 left, __u64 right)
{
	switch (operation) {
	case LICTOR_EXPRESSION_HIGH:
		return (__u32)left | right << 32;
	case LICTOR_EXPRESSION_ADD:
		return left + right;
	case LICTOR_EXPRESSION_SUBTRACT:
		return left - right;
	case LICTOR_EXPRESSION_AND:
		return left & right;
	case LICTOR_EXPRESSION_OR:
		return left | right;
	case LICTOR_EXPRESSION_XOR:
		return left ^ right;
	case LICTOR_EXPRESSION_EQUAL:
		return left == right;
	case LICTOR_EXPRESSION_UNEQUAL:
		return left != right;
	case LICTOR_EXPRESSION_LESS:
		return left < right;
	case LICTOR_EXPRESSION_LESS_EQUAL:
		return left <= right;
	case LICTOR_EXPRESSION_LESS_SIGNED:
		return (__s64)left < (__s64)right;
	case LICTOR_EXPRESSION_LESS_EQUAL_SIGNED:
		return (__s64)left <= (__s64)right;
	default:
		return right;
	}
}

static __always_inline void compute(struct scratch *s, struct computation *c, __u64 word)
{
	__u32 operation = word & 0xff, operand = word >> 8 & 0xff, depth = c->depth;
	__u64 left, right;

	if (operand == LICTOR_OPERAND_CONSTANT) {
		right = (__s64)(__s32)(word >> 32);
	} else if (operand == LICTOR_OPERAND_STACK) {
		depth--;
		right = c->stack[depth & STACK_MASK];
	} else {
		right = formed(s->event.raw[operand & (LICTOR_MAX_FIELDS - 1)], word >> 16 & 0xff);
	}
	if (operation == LICTOR_EXPRESSION_PUSH) {
		depth++;
	} else {
		left = c->stack[(depth - 1) & STACK_MASK];
		if (operation == LICTOR_EXPRESSION_SELECT) {
			depth--;
			if (c->stack[(depth - 1) & STACK_MASK])
				right = left;
		} else {
			right = joined(operation, left, right);
		}
	}
	c->stack[(depth - 1) & STACK_MASK] = formed(right, word >> 24 & 0xff);
	c->depth = depth;
	c->at++;
}

static long computation_step(__u32 index, struct computation_loop *loop)
{
	struct scratch *s = loop->s;
	struct computation *c = &s->computation;
	__u64 *word;

	if (c->at >= c->end)
		return 1;
	word = word_get(c->slot, c->at);
	if (!word)
		return 1;
	switch (*word & 0xff) {
	case LICTOR_EXPRESSION_BEGIN:
		begin_expression(s, c, *word);
		break;
	case LICTOR_EXPRESSION_END:
		if (!c->stack[0])
			take_away(s, c->slot, c->wanted);
		c->at++;
		break;
	default:
		compute(s, c, *word);
		return 0;
	}
	return !s->left.summary;
}

/* Takes away from s->left the rules whose expressions do not hold. */
__noinline int narrow_by_expressions(struct event *e, struct scratch *s, const struct lictor_column *column,
				     __u32 i)
{
	struct computation_loop loop;
	struct computation *c;

	if (!e || !s || !column)
		return 0;
	loop.s = scratch_as_map_value(s);
	if (!loop.s)
		return 0;
	c = &loop.s->computation;
	c->slot = e->at.slot;
	c->at = column->base;
	c->end = column->base + column->length;
	c->unresolved = 1U << (i & (LICTOR_MAX_COLUMNS - 1));
	bpf_loop(COMPUTATION_STEPS, computation_step, &loop, 0);
	return 0;
}

#endif
