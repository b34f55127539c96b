/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Addresses of Unix sockets: texts that have a family. */
#ifndef LICTOR_UNIX_H
#define LICTOR_UNIX_H

#include "fields.h"

/* What stands before the path. */
#define FAMILY_BYTES sizeof(__u16)

/*
 * Reads sun_path at `from` to the front of s->text: to its first NUL; with "@" for the NUL that an abstract name begins with.
 * Of an address whose length is known nothing behind it is read: there the kernel's own copies have what was on the stack.
 * Returns the length without NUL, or -1.
 */
static __always_inline long read_unix_path(struct event *e, struct scratch *s, __u32 i, __u64 from)
{
	__u32 length = LICTOR_MAX_UNIX_PATH, skip;
	__u8 first = 0;
	long result;

	if (shape.fields[i & 7].size_source != LICTOR_SOURCE_NONE) {
		if (e->size[i & 7] <= FAMILY_BYTES)
			return 0;
		if (e->size[i & 7] - FAMILY_BYTES < LICTOR_MAX_UNIX_PATH)
			length = (e->size[i & 7] - FAMILY_BYTES) & 127;
		if (read_memory(&s->text[LICTOR_PATH_MAX], length, from))
			return -1;
		s->text[LICTOR_PATH_MAX + length] = 0;
		skip = !s->text[LICTOR_PATH_MAX];
		result = bpf_probe_read_kernel_str(&s->text[skip], LICTOR_MAX_UNIX_PATH + 1 - skip,
						   &s->text[LICTOR_PATH_MAX + skip]);
	} else {
		if (read_memory(&first, sizeof(first), from))
			return -1;
		skip = !first;
		result = read_string(&s->text[skip], LICTOR_MAX_UNIX_PATH + 1 - skip, from + skip);
	}
	if (result <= 0)
		return -1;
	/* Nothing behind the NUL: no name. */
	if (!skip || result == 1) {
		if (skip)
			s->text[0] = 0;
		return result - 1;
	}
	s->text[0] = '@';
	return result;
}

/* As text_of_field(). The address of another family has no path, which is the empty text. */
__noinline long unix_text(struct event *e, struct scratch *s, __u32 i)
{
	__u16 family = 0;
	__u64 from;

	if (!e || !s)
		return -1;
	s->text[0] = 0;
	from = e->raw[i & 7];
	if (!from)
		return 0;
	if (read_memory(&family, sizeof(family), from))
		return -1;
	return family == AF_UNIX ? read_unix_path(e, s, i, from + FAMILY_BYTES) : 0;
}

/* The text of any field that has one. */
static __always_inline long any_text(struct event *e, struct scratch *s, __u32 i)
{
	if (shape.flags & LICTOR_SHAPE_UNIX && shape.fields[i & 7].kind == LICTOR_FIELD_SOCKADDR_UN)
		return unix_text(e, s, i);
	return text_of_field(e, s, i);
}

/* By the family and the first 40 bytes. */
__noinline __u64 hash_of_unix_address(struct event *e, __u32 i)
{
	__u64 part = 0, *words, from, length = HASHED_BYTES;
	__u8 first = 0;

	if (!e)
		return 0;
	words = words_to_hash(e);
	from = e->raw[i & 7];
	if (!from || read_memory(&part, FAMILY_BYTES, from))
		return 0;
	if (part != AF_UNIX || read_memory(&first, sizeof(first), from + FAMILY_BYTES))
		return part;
	/* With one more than there is, whose place the NUL takes. */
	if (shape.fields[i & 7].size_source != LICTOR_SOURCE_NONE && e->size[i & 7] < HASHED_BYTES)
		length = e->size[i & 7] + 1 - FAMILY_BYTES - !first;
	/* Proof for the verifier, which the compiler would leave out. */
	asm volatile("" : "+r"(length));
	if (length > HASHED_BYTES)
		length = HASHED_BYTES;
	read_string(words, length, from + FAMILY_BYTES + !first);
	part = hash_of_words(e, part);
	return first ? part : ~part;
}

#endif
