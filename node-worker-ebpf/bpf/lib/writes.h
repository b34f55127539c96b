/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Writing into programs, as a rule says: over what is in their memory, to their registers. */
#ifndef LICTOR_WRITES_H
#define LICTOR_WRITES_H

#include "record.h"

/* Writes over a field of a program. A function of its own: kernels warn of whoever has it. */
__noinline int set_field(struct event *e, const struct lictor_rule *rule)
{
	__u32 value;

	if (!e || !rule)
		return 0;
	value = rule->value;
	if (bpf_probe_write_user((void *)e->size[rule->flags >> LICTOR_RULE_FIELD_SHIFT & 7], &value,
				 sizeof(value)))
		count_site(LICTOR_SITE_SET);
	return 0;
}

#ifdef LICTOR_WRITES_REGISTERS

/* Words of `struct pt_regs`, and as many as an index within them can reach. */
#define REGISTER_WORDS 21
#define REGISTER_INDEX_MAX 31

/* The low bytes of a register. */
static __always_inline __u64 low_bytes(__u64 value, __u32 width)
{
	__u32 shift = 64 - 8 * (width & 15);

	return width >= 8 ? value : value << (shift & 63) >> (shift & 63);
}

/* A register with a value written to its low bytes, as the processor does it. */
static __always_inline __u64 written(__u64 before, __u64 value, __u32 width)
{
	if (width >= 4)
		return low_bytes(value, width);
	return (before ^ low_bytes(before, width)) | low_bytes(value, width);
}

/* Carries out one assignment on a copy of the registers; negative = its value cannot be read. */
static __always_inline int assign(__u64 *registers, const struct lictor_assignment *one)
{
	__u32 to = one->to / 8 & REGISTER_INDEX_MAX, from = one->from / 8 & REGISTER_INDEX_MAX;
	__u64 value = one->number;

	if (one->kind != LICTOR_ASSIGN_NUMBER)
		value += low_bytes(registers[from], one->from_width);
	if (one->kind == LICTOR_ASSIGN_MEMORY && bpf_probe_read_user(&value, sizeof(value), (void *)value))
		return -1;
	registers[to] = written(registers[to], value, one->to_width);
	return 0;
}

struct assign_loop {
	struct scratch *s;
	void *words;
	__u32 at;
	__s32 result;
};

static long assign_step(__u32 index, struct assign_loop *loop)
{
	struct lictor_assignment one;
	__u32 at = loop->at + 2 * index, next = at + 1;
	__u64 *first = bpf_map_lookup_elem(loop->words, &at);
	__u64 *second = bpf_map_lookup_elem(loop->words, &next);

	if (!first || !second) {
		loop->result = -1;
		return 1;
	}
	*(__u64 *)&one = *first;
	one.number = *second;
	loop->result = assign((__u64 *)loop->s->text, &one);
	return loop->result || !one.more;
}

#define WRITE_REGISTER(offset)                                                                               \
	asm volatile("*(u64 *)(%0 + " #offset ") = %1" ::"r"(ctx), "r"(registers[offset / 8]) : "memory")

/*
 * Writes what the first rule that fired wants, all or nothing. The segments and flags of the processor stay as they are.
 */
static __always_inline void write_registers(void *ctx, struct scratch *s)
{
	__u64 *registers = (__u64 *)s->text;
	__u32 slot = s->event.at.slot;
	struct assign_loop loop = {.s = s, .at = s->outcome.assignments - 1, .result = -1};

	loop.words = bpf_map_lookup_elem(&words, &slot);
	if (!loop.words || bpf_probe_read_kernel(registers, REGISTER_WORDS * sizeof(__u64), ctx)) {
		count_site(LICTOR_SITE_REGISTERS);
		return;
	}
	bpf_loop(LICTOR_MAX_ASSIGNMENTS, assign_step, &loop, 0);
	if (loop.result) {
		count_site(LICTOR_SITE_REGISTERS);
		return;
	}
	WRITE_REGISTER(0);
	WRITE_REGISTER(8);
	WRITE_REGISTER(16);
	WRITE_REGISTER(24);
	WRITE_REGISTER(32);
	WRITE_REGISTER(40);
	WRITE_REGISTER(48);
	WRITE_REGISTER(56);
	WRITE_REGISTER(64);
	WRITE_REGISTER(72);
	WRITE_REGISTER(80);
	WRITE_REGISTER(88);
	WRITE_REGISTER(96);
	WRITE_REGISTER(104);
	WRITE_REGISTER(112);
	WRITE_REGISTER(128);
	WRITE_REGISTER(152);
}

#endif
#endif
