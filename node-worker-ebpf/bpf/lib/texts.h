/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Values of records that are texts, buffers or files. */
#ifndef LICTOR_TEXTS_H
#define LICTOR_TEXTS_H

#include "pieces.h"

static __always_inline void writer_unreadable(struct scratch *s)
{
	s->writer.status = LICTOR_FIELD_UNRESOLVED;
	count_site(LICTOR_SITE_READ);
}

/* Bytes that the text of field i can have with its NUL, as far as they are kept. */
static __always_inline __u32 text_limit(__u32 i)
{
	__u32 length = shape.fields[i].max_length;

	return length < LICTOR_MAX_BYTES ? length + 1 : LICTOR_MAX_BYTES;
}

/* Appends a text of at most `limit` bytes with its NUL: 1 to LICTOR_MAX_BYTES. */
__noinline int write_text(struct scratch *s, __u64 from, __u32 limit)
{
	long result;

	if (!s)
		return 0;
	if (!from) {
		s->writer.status = LICTOR_FIELD_ABSENT;
		return 0;
	}
	limit = ((limit - 1) & (LICTOR_MAX_BYTES - 1)) + 1;
	result = read_string(writer_data(s, 0), limit, from);
	if (result <= 0) {
		writer_unreadable(s);
		return 0;
	}
	s->writer.length = s->writer.original = result - 1;
	if (result == LICTOR_MAX_BYTES)
		s->writer.status = LICTOR_FIELD_TRUNCATED;
	return 0;
}

__noinline int write_bytes(struct scratch *s, __u64 from, __u64 size)
{
	__u32 length = size;

	if (!s)
		return 0;
	if (!from) {
		s->writer.status = LICTOR_FIELD_ABSENT;
		return 0;
	}
	s->writer.original = size;
	if (size > LICTOR_MAX_BYTES) {
		length = LICTOR_MAX_BYTES;
		s->writer.status = LICTOR_FIELD_TRUNCATED;
	}
	if (read_memory(writer_data(s, 0), length, from)) {
		writer_unreadable(s);
		return 0;
	}
	s->writer.length = length;
	return 0;
}

struct iovec_loop {
	struct scratch *s;
	struct iovec *vector;
	__u64 count;
	/* Bytes to leave out at the beginning, and how many are meant after them. */
	__u64 skip;
	__u64 left;
};

/* Copies one vector; what lies behind LICTOR_MAX_BYTES is only counted. */
static long iovec_step(__u32 index, struct iovec_loop *loop)
{
	struct scratch *s = loop->s;
	__u32 length, have = s->writer.length;
	struct iovec vector;

	if (index >= loop->count || !loop->left)
		return 1;
	if (read_memory(&vector, sizeof(vector), (__u64)&loop->vector[index])) {
		writer_unreadable(s);
		return 1;
	}
	if (loop->skip > vector.iov_len)
		loop->skip = vector.iov_len;
	vector.iov_base += loop->skip;
	vector.iov_len -= loop->skip;
	loop->skip = 0;
	if (vector.iov_len > loop->left)
		vector.iov_len = loop->left;
	loop->left -= vector.iov_len;
	s->writer.original += vector.iov_len;
	if (have >= LICTOR_MAX_BYTES)
		return 0;
	length = vector.iov_len;
	if (vector.iov_len > LICTOR_MAX_BYTES - have)
		length = LICTOR_MAX_BYTES - have;
	if (length > LICTOR_MAX_BYTES)
		return 1;
	if (read_memory(writer_data(s, have), length, (__u64)vector.iov_base)) {
		writer_unreadable(s);
		return 1;
	}
	s->writer.length = have + length;
	return 0;
}

__noinline int write_iovec(struct scratch *s, __u64 vectors, __u64 count, __u64 skip, __u64 left)
{
	struct iovec_loop loop = {
	    .s = s,
	    .vector = (void *)vectors,
	    .count = count,
	    .skip = skip,
	    .left = left,
	};

	if (!s)
		return 0;
	bpf_loop(VECTORS_MAX, iovec_step, &loop, 0);
	if (s->writer.status == LICTOR_FIELD_OK && s->writer.original > s->writer.length)
		s->writer.status = LICTOR_FIELD_TRUNCATED;
	return 0;
}

/* Appends what is left of an iterator. */
__noinline int write_iter(struct scratch *s, __u64 from)
{
	struct pieces *p;

	if (!s)
		return 0;
	p = &s->pieces;
	if (!begin_iter(p, from)) {
		s->writer.status = LICTOR_FIELD_UNRESOLVED;
		return 0;
	}
	return p->count ? write_iovec(s, p->vectors, p->count, p->skip, p->room)
			: write_bytes(s, p->at, p->room);
}

/*
 * Copies the path that is remembered for `id` behind the struct lictor_file; false when there is none. What it is compared
 * by is what tells classes right from wrong, so the path is as right as they are.
 */
static __always_inline bool write_remembered_path(struct scratch *s, const struct path_string *entry,
						  __u32 sequence, const struct identity *id)
{
	__u64 *to = (__u64 *)writer_data(s, sizeof(struct lictor_file)), length;

	if (sequence & 1 || !is_of(&entry->of, ANY_REVISION, s->event.at.fs_generation, id))
		return false;
	length = entry->length;
	/* Whole words, which cost less than a loop; what is behind the path is overwritten or cut off. */
#pragma unroll
	for (int i = 0; i < PATH_STRING_BYTES / 8; i++) {
		if (i % 4 == 0 && length <= (__u64)i * 8)
			break;
		to[i] = entry->text[i];
	}
	if (length > PATH_STRING_BYTES || !is_unchanged(&entry->of, sequence))
		return false;
	s->writer.length = s->writer.original = sizeof(struct lictor_file) + length;
	count_stat(LICTOR_STAT_PATH_STRING);
	return true;
}

/* Remembers text[start, start + length), unless something was renamed since `id` was filled. */
static __always_inline void remember_path(struct scratch *s, struct path_string *entry, __u32 sequence,
					  const struct identity *id, __u32 start, __u32 length)
{
	if (length > PATH_STRING_BYTES || !lock(&entry->of, sequence))
		return;
	entry->of.revision = ANY_REVISION;
	entry->of.fs_generation = s->event.at.fs_generation;
	entry->of.id = *id;
	entry->length = length;
	bpf_probe_read_kernel(entry->text, length, &s->text[start & TEXT_MASK]);
	/* Whoever renames raises the ticket first, and then makes this entry invalid. */
	barrier();
	if (ticket_at(id->dentry) != id->ticket)
		entry->of.revision = 0;
	unlock(&entry->of, sequence);
}

/* Appends the path of `id` to the field under construction. */
__noinline int write_path(struct scratch *s, const struct identity *id)
{
	struct path_string *entry;
	__u32 start, length, index, sequence;
	__u64 walked;

	if (!s || !id)
		return 0;
	index = cache_index(id->dentry, PATH_STRING_BITS);
	entry = bpf_map_lookup_elem(&path_strings, &index);
	if (!entry)
		return 0;
	sequence = *(volatile __u32 *)&entry->of.sequence;
	barrier();
	if (write_remembered_path(s, entry, sequence, id))
		return 0;
	walked = path_walk(id->dentry, id->mnt, s);
	start = (__u32)walked;
	if (walked >> 32 == PATH_NONE)
		s->writer.status = LICTOR_FIELD_ABSENT;
	if (walked >> 32 == PATH_UNRESOLVED)
		s->writer.status = LICTOR_FIELD_UNRESOLVED;
	if (walked >> 32 != PATH_OK || start >= LICTOR_PATH_MAX)
		return 0;
	length = LICTOR_PATH_MAX - start;
	if (length > LICTOR_PATH_MAX)
		return 0;
	bpf_probe_read_kernel(writer_data(s, sizeof(struct lictor_file)), length,
			      &s->text[start & TEXT_MASK]);
	s->writer.length = s->writer.original = sizeof(struct lictor_file) + length;
	remember_path(s, entry, sequence, id, start, length);
	return 0;
}

/* Begins a file's data; `read` is the way to the members of what the pointers point to. */
#define WRITE_INODE(s, inode, flags_, fd_, read)                                                             \
	do {                                                                                                 \
		struct lictor_file *data_ = (struct lictor_file *)writer_data(s, 0);                         \
		struct super_block *super_ = read(inode, i_sb);                                              \
                                                                                                             \
		data_->inode = read(inode, i_ino);                                                           \
		data_->device = read(super_, s_dev);                                                         \
		data_->mode = read(inode, i_mode);                                                           \
		data_->links = read(inode, i_nlink);                                                         \
		data_->flags = flags_;                                                                       \
		data_->fd = fd_;                                                                             \
		(s)->writer.length = (s)->writer.original = sizeof(*data_);                                  \
	} while (0)

__noinline int write_file(struct scratch *s, const struct identity *id, __u64 file_address, __s64 fd)
{
	struct file *open_file = (struct file *)file_address;
	struct inode *inode;

	if (!s || !id)
		return 0;
	inode = (struct inode *)id->inode;
	WRITE_INODE(s, inode, open_file ? BPF_CORE_READ(open_file, f_flags) : 0, fd, BPF_CORE_READ);
	return write_path(s, id);
}

/* The file that the event was judged by. */
static __always_inline void write_judged_file(void *ctx, struct event *e, struct scratch *s)
{
	struct file *file = FILE_ARGUMENT(ctx);
	struct inode *inode;

	if (is_null(file) || !file) {
		s->writer.status = LICTOR_FIELD_ABSENT;
		return;
	}
	if (!e->id.dentry && e->path.status == PATH_UNRESOLVED) {
		writer_unreadable(s);
		return;
	}
	inode = KERNEL(file, f_inode);
	WRITE_INODE(s, inode, KERNEL(file, f_flags), -1, KERNEL);
	write_path(s, &e->id);
}

/* The file behind field i that is not the one that the event was judged by; `i` is known to the verifier. */
static __always_inline void write_other_file(struct event *e, struct scratch *s, __u32 i)
{
	struct file *open_file;

	if (place_of_field(e, i, &e->other, &open_file))
		write_file(s, &e->other, (__u64)open_file,
			   shape.fields[i].kind == LICTOR_FIELD_FD ? (__s32)e->raw[i] : -1);
	else if (field_leads_nowhere(e, i))
		writer_unreadable(s);
	else
		s->writer.status = LICTOR_FIELD_ABSENT;
}

#endif
