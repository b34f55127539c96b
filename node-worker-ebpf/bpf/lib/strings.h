/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Classes of strings: longest-prefix match in the trie, chained over chunks, and over reversed endings. */
#ifndef LICTOR_STRINGS_H
#define LICTOR_STRINGS_H

#include "scratch.h"

#define TEXT_MASK (LICTOR_PATH_MAX - 1)
/* Chunks of the longest string with its NUL. */
#define MAX_CHUNKS (LICTOR_PATH_MAX / LICTOR_LPM_CHUNK + 1)

/* A walk along the chunks of text[from, end). */
struct chain {
	void *trie;
	struct scratch *s;
	__u32 from;
	__u32 end;
	__u32 state;
	__u32 class_id;
};

static __always_inline long chain_step(struct chain *c)
{
	struct scratch *s = c->s;
	struct lictor_lpm_value *found;
	__u32 length = c->end - c->from;

	if (c->from >= c->end)
		return 1;
	if (length > LICTOR_LPM_CHUNK)
		length = LICTOR_LPM_CHUNK;
	s->key.state = c->state;
	s->key.prefix_length = 32 + length * 8;
	bpf_probe_read_kernel(s->key.bytes, length, &s->text[c->from & (LICTOR_PATH_MAX * 2 - 1)]);
	found = bpf_map_lookup_elem(c->trie, &s->key);
	if (!found)
		return 1;
	c->class_id = found->class_id;
	if (!found->next)
		return 1;
	c->state = found->next;
	c->from += LICTOR_LPM_CHUNK;
	return 0;
}

static long chain_callback(__u32 index, struct chain *c)
{
	return chain_step(c);
}

/* Class of text[from, end) in the trie that begins at `state`; `fallback` when no entry is a prefix of it. */
__noinline __u32 prefix_class(__u32 slot, struct scratch *s, __u64 span, __u64 state_fallback)
{
	struct chain c = {
	    .s = s,
	    .from = span >> 32,
	    .end = (__u32)span,
	    .state = state_fallback >> 32,
	    .class_id = (__u32)state_fallback,
	};

	if (!s)
		return c.class_id;
	c.s = scratch_as_map_value(s);
	if (!c.s)
		return c.class_id;
	c.trie = bpf_map_lookup_elem(&strings, &slot);
	if (!c.trie)
		return c.class_id;
	/* Nearly all strings fit into one chunk. */
	if (chain_step(&c))
		return c.class_id;
	bpf_loop(MAX_CHUNKS, chain_callback, &c, 0);
	return c.class_id;
}

/*
 * Class of the ending of text[from, end), `end` at most LICTOR_PATH_MAX. The key holds the last bytes in
 * reverse order, which turns an ending into a beginning.
 */
__noinline __u32 suffix_class(__u32 slot, struct scratch *s, __u64 span, __u64 state_fallback)
{
	__u32 fallback = (__u32)state_fallback, from = span >> 32, end = (__u32)span, length;
	struct lictor_lpm_value *found;
	__u64 *key, word;
	void *trie;

	if (!s || end < from || end > LICTOR_PATH_MAX)
		return fallback;
	s = scratch_as_map_value(s);
	if (!s)
		return fallback;
	length = end - from;
	if (length > LICTOR_SUFFIX_MAX)
		length = LICTOR_SUFFIX_MAX;
	key = (__u64 *)s->key.bytes;
#pragma unroll
	for (__u32 i = 0; i < LICTOR_SUFFIX_MAX / 8; i++) {
		/* Eight bytes that end 8 * i before the end; what lies before `from` is cut off by
		 * prefix_length. */
		__u32 at = (end - 8 * (i + 1)) & (LICTOR_PATH_MAX * 2 - 1);

		if (end < 8 * (i + 1)) {
			/* The first bytes of the buffer, moved up. */
			word = *(__u64 *)s->text;
			word <<= (8 * (8 * (i + 1) - end)) & 63;
			key[i] = __builtin_bswap64(word);
			break;
		}
		bpf_probe_read_kernel(&word, sizeof(word), &s->text[at]);
		key[i] = __builtin_bswap64(word);
		if (length <= 8 * (i + 1))
			break;
	}
	s->key.state = state_fallback >> 32;
	s->key.prefix_length = 32 + length * 8;
	trie = bpf_map_lookup_elem(&strings, &slot);
	if (!trie)
		return fallback;
	found = bpf_map_lookup_elem(trie, &s->key);
	return found ? found->class_id : fallback;
}

static __always_inline __u64 pair(__u32 high, __u32 low)
{
	return (__u64)high << 32 | low;
}

#endif
