/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Sets of rules. Words are combined in eight groups of eight, each skipped when the summaries have no bit in
 * common: cost follows the number of words in use, not the number of rules.
 */
#ifndef LICTOR_VECTORS_H
#define LICTOR_VECTORS_H

#include "scratch.h"

static __always_inline struct lictor_vector *vector_get(__u32 slot, __u32 number)
{
	void *inner = bpf_map_lookup_elem(&vectors, &slot);

	return inner ? bpf_map_lookup_elem(inner, &number) : NULL;
}

#define GROUP(g) (0xffULL << ((g)*8))

__noinline int vector_copy_long(struct lictor_vector *to, const struct lictor_vector *from)
{
	if (!to || !from)
		return 0;
	to->summary = from->summary;
#pragma unroll
	for (int g = 0; g < 8; g++) {
		if (!(from->summary & GROUP(g)))
			continue;
#pragma unroll
		for (int i = 0; i < 8; i++)
			to->words[g * 8 + i] = from->words[g * 8 + i];
	}
	return 0;
}

static __always_inline void vector_copy(struct lictor_vector *to, const struct lictor_vector *from)
{
	/* Up to 64 rules. */
	if (from->summary <= 1) {
		to->summary = from->summary;
		to->words[0] = from->words[0];
	} else {
		vector_copy_long(to, from);
	}
}

/* left &= with. Groups without a bit keep stale words: the summary alone says what counts. */
__noinline int vector_and_long(struct lictor_vector *left, const struct lictor_vector *with)
{
	__u64 summary, any;

	if (!left || !with)
		return 0;
	summary = left->summary & with->summary;
#pragma unroll
	for (int g = 0; g < 8; g++) {
		if (!(summary & GROUP(g)))
			continue;
		any = 0;
#pragma unroll
		for (int i = 0; i < 8; i++)
			any |= left->words[g * 8 + i] &= with->words[g * 8 + i];
		if (!any)
			summary &= ~GROUP(g);
	}
	left->summary = summary;
	return 0;
}

static __always_inline void vector_and(struct lictor_vector *left, const struct lictor_vector *with)
{
	__u64 word;

	if ((left->summary & with->summary) <= 1) {
		word = left->words[0] & with->words[0];
		left->words[0] = word;
		left->summary = word ? left->summary & with->summary : 0;
	} else {
		vector_and_long(left, with);
	}
}

/* left &= ~without. */
__noinline int vector_and_not(struct lictor_vector *left, const struct lictor_vector *without)
{
	__u64 summary, any;

	if (!left || !without)
		return 0;
	summary = left->summary;
#pragma unroll
	for (int g = 0; g < 8; g++) {
		if (!(summary & without->summary & GROUP(g)))
			continue;
		any = 0;
#pragma unroll
		for (int i = 0; i < 8; i++)
			any |= left->words[g * 8 + i] &= ~without->words[g * 8 + i];
		if (!any)
			summary &= ~GROUP(g);
	}
	left->summary = summary;
	return 0;
}

/* to |= with. Groups that `to` did not have yet are copied. */
__noinline int vector_or(struct lictor_vector *to, const struct lictor_vector *with)
{
	__u64 have;

	if (!to || !with)
		return 0;
	have = to->summary;
#pragma unroll
	for (int g = 0; g < 8; g++) {
		if (!(with->summary & GROUP(g)))
			continue;
		if (have & GROUP(g)) {
#pragma unroll
			for (int i = 0; i < 8; i++)
				to->words[g * 8 + i] |= with->words[g * 8 + i];
		} else {
#pragma unroll
			for (int i = 0; i < 8; i++)
				to->words[g * 8 + i] = with->words[g * 8 + i];
		}
	}
	to->summary = have | with->summary;
	return 0;
}

#endif
