/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What is remembered of processes: what they had when they began, and which executables they come from. */
#ifndef LICTOR_IMAGES_H
#define LICTOR_IMAGES_H

#include "path.h"

static __always_inline __u64 rotate_left(__u64 word, __u32 bits)
{
	return word << bits | word >> (64 - bits);
}

static __always_inline void hash_round(struct path_hash *h)
{
	h->v0 += h->v1;
	h->v1 = rotate_left(h->v1, 13) ^ h->v0;
	h->v0 = rotate_left(h->v0, 32);
	h->v2 += h->v3;
	h->v3 = rotate_left(h->v3, 16) ^ h->v2;
	h->v0 += h->v3;
	h->v3 = rotate_left(h->v3, 21) ^ h->v0;
	h->v2 += h->v1;
	h->v1 = rotate_left(h->v1, 17) ^ h->v2;
	h->v2 = rotate_left(h->v2, 32);
}

static __always_inline void hash_word(struct path_hash *h, __u64 word)
{
	h->v3 ^= word;
	hash_round(h);
	hash_round(h);
	h->v0 ^= word;
}

/* Eight bytes of the text; there is room for them behind its end. */
static __always_inline __u64 text_word(const struct scratch *s, __u32 at)
{
	return *(__u64 *)&s->text[at & TEXT_MASK];
}

struct hash_loop {
	struct scratch *s;
};

static long hash_step(__u32 index, struct hash_loop *loop)
{
	struct scratch *s = loop->s;

	hash_word(&s->hash, text_word(s, s->hash.at));
	s->hash.at += sizeof(__u64);
	return 0;
}

/* Hash of text[start, LICTOR_PATH_MAX). */
__noinline __u64 hash_of_path(struct scratch *s, __u32 start)
{
	__u64 key0 = live.path_key[0], key1 = live.path_key[1], rest;
	__u32 length = LICTOR_PATH_MAX - start;
	struct hash_loop loop;
	struct path_hash *h;

	if (!s || start >= LICTOR_PATH_MAX)
		return 0;
	loop.s = scratch_as_map_value(s);
	if (!loop.s)
		return 0;
	h = &loop.s->hash;
	h->v0 = key0 ^ 0x736f6d6570736575ULL;
	h->v1 = key1 ^ 0x646f72616e646f6dULL;
	h->v2 = key0 ^ 0x6c7967656e657261ULL;
	h->v3 = key1 ^ 0x7465646279746573ULL;
	h->at = start;
	bpf_loop(length / sizeof(__u64), hash_step, &loop, 0);
	/* The last bytes, and the length above them. */
	rest = text_word(loop.s, h->at) & ((1ULL << 8 * (length & 7)) - 1);
	hash_word(h, rest | (__u64)length << 56);
	h->v2 ^= 0xff;
#pragma unroll
	for (int i = 0; i < 4; i++)
		hash_round(h);
	return h->v0 ^ h->v1 ^ h->v2 ^ h->v3;
}

/* Of the process that runs; NULL = nothing is known of it. */
static __always_inline struct lictor_image *current_image(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	return bpf_map_lookup_elem(&images, &tgid);
}

static __always_inline bool is_of_line(const struct lictor_image *image, __u64 hash)
{
#pragma unroll
	for (__u32 i = 0; i < LICTOR_MAX_LINEAGE; i++) {
		if (i >= image->lineage_length)
			break;
		if (image->lineage[i] == hash)
			return true;
	}
	return false;
}

/*
 * Adds the executable of that hash to those that the process comes from; 0 = its path could not be read. The first ones
 * stay: whoever wants to be forgotten could run others.
 */
static __always_inline void image_add(struct lictor_image *image, __u64 hash)
{
	__u32 at = image->lineage_length;

	if (hash && is_of_line(image, hash))
		return;
	if (!hash || at >= LICTOR_MAX_LINEAGE) {
		image->flags |= LICTOR_IMAGE_INCOMPLETE;
		return;
	}
	image->lineage[at] = hash;
	image->lineage_length = at + 1;
}

#endif
