/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Values that are too long for a hook record go before it, in records of their own. */
#ifndef LICTOR_PIECES_H
#define LICTOR_PIECES_H

#include "sockets.h"

#define ALIGN8(x) (((x) + 7) & ~7u)
/* Where a field may begin: one field with its head fits behind it in any case. */
#define RECORD_LIMIT (LICTOR_MAX_RECORD - LICTOR_PATH_MAX - 128)

static __always_inline __u8 *writer_data(struct scratch *s, __u32 skip)
{
	__u32 at = s->writer.at + sizeof(struct lictor_field) + skip;

	if (at > LICTOR_MAX_RECORD)
		at = LICTOR_MAX_RECORD;
	return &s->record[at];
}

/* Bytes of one piece: with its head it stands where texts are read to, which nothing else needs meanwhile. */
#define PIECE_BYTES (LICTOR_PATH_MAX * 2 - sizeof(struct lictor_data_record))
/* Vectors that one call can have (UIO_MAXIOV). */
#define VECTORS_MAX 1024
/* Each takes a step to be read, and ends one piece more. */
#define PIECE_STEPS (LICTOR_MAX_DATA / PIECE_BYTES + 1 + 2 * VECTORS_MAX)

struct piece_loop {
	struct scratch *s;
};

static __always_inline bool next_vector(struct pieces *p)
{
	struct iovec vector;

	if (!p->count)
		return false;
	if (read_memory(&vector, sizeof(vector), p->vectors)) {
		count_site(LICTOR_SITE_READ);
		return false;
	}
	if (p->skip > vector.iov_len)
		p->skip = vector.iov_len;
	p->at = (__u64)vector.iov_base + p->skip;
	p->room = vector.iov_len - p->skip;
	p->skip = 0;
	p->vectors += sizeof(vector);
	p->count--;
	return true;
}

/* Sends one piece, or goes to the next vector. */
static long piece_step(__u32 index, struct piece_loop *loop)
{
	struct scratch *s = loop->s;
	struct pieces *p = &s->pieces;
	struct lictor_data_record *record = (struct lictor_data_record *)s->text;
	__u64 length = p->room;

	if (!p->left)
		return 1;
	if (!length)
		return !next_vector(p);
	if (length > p->left)
		length = p->left;
	if (length > PIECE_BYTES)
		length = PIECE_BYTES;
	if (read_memory(s->text + sizeof(*record), length, p->at)) {
		count_site(LICTOR_SITE_READ);
		return 1;
	}
	record->head.length = sizeof(*record) + length;
	if (bpf_ringbuf_output(&ring, s->text, sizeof(*record) + length, BPF_RB_NO_WAKEUP)) {
		count_site(LICTOR_SITE_DATA_LOST);
		return 1;
	}
	p->at += length;
	p->room -= length;
	p->left -= length;
	p->sent += length;
	return 0;
}

/* Where the bytes of an iterator are; false when they are in pages, which have no address here. */
static __always_inline bool begin_iter(struct pieces *p, __u64 from)
{
	struct iov_iter *iter = (struct iov_iter *)from;
	__u32 type = BPF_CORE_READ(iter, iter_type);

	p->skip = BPF_CORE_READ(iter, iov_offset);
	p->room = BPF_CORE_READ(iter, count);
	p->count = 0;
	if (type == bpf_core_enum_value(enum iter_type, ITER_UBUF)) {
		p->at = (__u64)BPF_CORE_READ(iter, ubuf) + p->skip;
		return true;
	}
	p->vectors = (__u64)BPF_CORE_READ(iter, kvec);
	p->count = BPF_CORE_READ(iter, nr_segs);
	return type == bpf_core_enum_value(enum iter_type, ITER_IOVEC) ||
	       type == bpf_core_enum_value(enum iter_type, ITER_KVEC);
}

/* Where the bytes of a field are. */
__noinline int begin_pieces(struct event *e, struct scratch *s, __u32 field)
{
	struct pieces *p;

	if (!e || !s)
		return 0;
	p = &s->pieces;
	p->at = e->raw[field & 7];
	p->room = e->size[field & 7];
	p->count = 0;
	p->skip = 0;
	if (shape.fields[field & 7].kind == LICTOR_FIELD_CHAR_IOVEC) {
		p->vectors = p->at;
		p->count = p->room;
		p->room = 0;
	}
	if (shape.fields[field & 7].kind == LICTOR_FIELD_IOV_ITER) {
		begin_iter(p, p->at);
		if (p->count)
			p->room = 0;
	}
	p->sent = 0;
	p->left = s->writer.original < LICTOR_MAX_DATA ? s->writer.original : LICTOR_MAX_DATA;
	return 0;
}

/* Sends what begin_pieces() found; the field under construction tells where it is. */
__noinline int send_pieces(struct scratch *s, __u32 field)
{
	struct piece_loop loop = {.s = s};
	struct lictor_data_record *record;
	struct lictor_data *data;

	if (!s)
		return 0;
	record = (struct lictor_data_record *)s->text;
	record_head(&record->head, LICTOR_RECORD_DATA, bpf_get_current_task_btf());
	/* Of no other value that is on its way; the head will not do, which tells of a socket's owner in the hook record. */
	record->id = bpf_ktime_get_ns() << 12 | bpf_get_smp_processor_id();
	record->field = field;
	record->pad = 0;
	bpf_loop(PIECE_STEPS, piece_step, &loop, 0);
	data = (struct lictor_data *)writer_data(s, 0);
	data->id = record->id;
	data->sent = s->pieces.sent;
	data->pad = 0;
	s->writer.length = sizeof(*data);
	s->writer.status = LICTOR_FIELD_ELSEWHERE;
	return 0;
}

#endif
