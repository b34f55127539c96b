/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Records of hook events: the head, the rules that fired, then each field as it was read. */
#ifndef LICTOR_RECORD_H
#define LICTOR_RECORD_H

#include "columns.h"

#define ALIGN8(x) (((x) + 7) & ~7u)
/* Where a field may begin: one field with its head fits behind it in any case. */
#define RECORD_LIMIT (LICTOR_MAX_RECORD - LICTOR_PATH_MAX - 128)

static __always_inline void record_head(struct lictor_record *head, __u32 kind, struct task_struct *task)
{
	head->kind = kind;
	head->pad = 0;
	head->boot_ns = bpf_ktime_get_boot_ns();
	head->tgid = BPF_CORE_READ(task, tgid);
	head->tid = BPF_CORE_READ(task, pid);
	head->start_boot_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	head->cgroup_id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	head->exec_id = BPF_CORE_READ(task, self_exec_id);
	head->revision = 0;
}

static __always_inline __u8 *writer_data(struct scratch *s, __u32 skip)
{
	__u32 at = s->writer.at + sizeof(struct lictor_field) + skip;

	if (at > LICTOR_MAX_RECORD)
		at = LICTOR_MAX_RECORD;
	return &s->record[at];
}

static __always_inline void writer_unreadable(struct scratch *s)
{
	s->writer.status = LICTOR_FIELD_UNRESOLVED;
	count_site(LICTOR_SITE_READ);
}

__noinline int write_text(struct scratch *s, __u64 from)
{
	long result;

	if (!s)
		return 0;
	if (!from) {
		s->writer.status = LICTOR_FIELD_ABSENT;
		return 0;
	}
	result = read_string(writer_data(s, 0), LICTOR_MAX_BYTES, from);
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
};

/* Copies one vector; what lies behind LICTOR_MAX_BYTES is only counted. */
static long iovec_step(__u32 index, struct iovec_loop *loop)
{
	struct scratch *s = loop->s;
	__u32 length, have = s->writer.length;
	struct iovec vector;

	if (index >= loop->count)
		return 1;
	if (read_memory(&vector, sizeof(vector), (__u64)&loop->vector[index])) {
		writer_unreadable(s);
		return 1;
	}
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

__noinline int write_iovec(struct scratch *s, __u64 vectors, __u64 count)
{
	struct iovec_loop loop = {.s = s, .vector = (void *)vectors, .count = count};

	if (!s)
		return 0;
	/* UIO_MAXIOV */
	bpf_loop(1024, iovec_step, &loop, 0);
	if (s->writer.status == LICTOR_FIELD_OK && s->writer.original > s->writer.length)
		s->writer.status = LICTOR_FIELD_TRUNCATED;
	return 0;
}

__noinline int write_file(struct scratch *s, const struct identity *id, __u64 file_address, __s64 fd)
{
	struct file *open_file = (struct file *)file_address;
	struct inode *inode;
	struct lictor_file *file;
	__u64 walked;
	__u32 start, length;

	if (!s || !id)
		return 0;
	inode = (struct inode *)id->inode;
	file = (struct lictor_file *)writer_data(s, 0);
	file->inode = BPF_CORE_READ(inode, i_ino);
	file->device = BPF_CORE_READ(inode, i_sb, s_dev);
	file->mode = BPF_CORE_READ(inode, i_mode);
	file->links = BPF_CORE_READ(inode, i_nlink);
	file->flags = open_file ? BPF_CORE_READ(open_file, f_flags) : 0;
	file->fd = fd;
	s->writer.length = s->writer.original = sizeof(*file);
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
	bpf_probe_read_kernel(writer_data(s, sizeof(*file)), length, &s->text[start & TEXT_MASK]);
	s->writer.length = s->writer.original = sizeof(*file) + length;
	return 0;
}

/* Appends field i; `i` is known to the verifier. */
static __always_inline void write_field(struct event *e, struct scratch *s, __u32 i)
{
	__u32 kind = shape.fields[i].kind;
	struct lictor_field *field;
	struct filename *filename;
	struct file *open_file;
	__u32 at;

	if (s->writer.at > RECORD_LIMIT) {
		/* No room left: the head alone, as truncated. */
		s->writer.at = RECORD_LIMIT;
		kind = LICTOR_FIELD_NONE;
	}
	s->writer.length = s->writer.original = 0;
	s->writer.status = LICTOR_FIELD_OK;
	switch (kind) {
	case LICTOR_FIELD_NUMBER:
		*(__u64 *)writer_data(s, 0) =
		    number_of(e->raw[i], shape.fields[i].width, shape.fields[i].flags);
		s->writer.length = s->writer.original = sizeof(__u64);
		break;
	case LICTOR_FIELD_STRING:
		write_text(s, e->raw[i]);
		break;
	case LICTOR_FIELD_FILENAME:
		filename = (struct filename *)e->raw[i];
		write_text(s, (__u64)BPF_CORE_READ(filename, name));
		break;
	case LICTOR_FIELD_CHAR_BUF:
		if (has_length(i))
			write_bytes(s, e->raw[i], e->size[i]);
		else
			write_text(s, e->raw[i]);
		break;
	case LICTOR_FIELD_CHAR_IOVEC:
		write_iovec(s, e->raw[i], e->size[i]);
		break;
	case LICTOR_FIELD_NONE:
		s->writer.status = LICTOR_FIELD_TRUNCATED;
		break;
	default:
		if (place_of_field(e, i, &e->other, &open_file))
			write_file(s, &e->other, (__u64)open_file,
				   kind == LICTOR_FIELD_FD ? (__s32)e->raw[i] : -1);
		else
			s->writer.status = LICTOR_FIELD_ABSENT;
	}
	at = s->writer.at;
	if (at > RECORD_LIMIT)
		at = RECORD_LIMIT;
	field = (struct lictor_field *)&s->record[at];
	field->kind = shape.fields[i].kind;
	field->status = s->writer.status;
	field->length = s->writer.length;
	field->original_length = s->writer.original;
	s->writer.at = ALIGN8(at + sizeof(*field) + (s->writer.length & 0x3fff));
}

static __always_inline void emit(struct event *e, struct scratch *s)
{
	struct lictor_hook_record *record = (struct lictor_hook_record *)s->record;
	struct lictor_hook_counts *counts;
	__u32 slot = shape.hook_slot, fired = s->outcome.fired_count, length;

	record_head(&record->head, LICTOR_RECORD_HOOK, (void *)bpf_get_current_task());
	record->head.revision = e->at.revision;
	record->hook_slot = shape.hook_slot;
	record->field_count = shape.field_count;
	record->verdict = s->outcome.verdict;
	record->signal = s->outcome.signal;
	record->unresolved_columns = e->unresolved;
	record->shape_id = shape.id;
	record->pad = 0;
	if (fired > LICTOR_MAX_FIRED)
		fired = LICTOR_MAX_FIRED;
	record->fired_count = fired;
	bpf_probe_read_kernel(s->record + sizeof(*record), fired * sizeof(struct lictor_fired), s->fired);
	s->writer.at = ALIGN8(sizeof(*record) + fired * sizeof(struct lictor_fired));
#pragma unroll
	for (int i = 0; i < LICTOR_MAX_FIELDS; i++) {
		if (i >= shape.field_count)
			break;
		write_field(e, s, i);
	}
	length = s->writer.at;
	if (length > LICTOR_MAX_RECORD)
		length = LICTOR_MAX_RECORD;
	record->head.length = length;
	counts = bpf_map_lookup_elem(&hook_counts, &slot);
	/* The reader polls with a time-out: waking it for each record would cost more than the record. */
	if (bpf_ringbuf_output(&ring, s->record, length, BPF_RB_NO_WAKEUP)) {
		if (counts)
			__sync_fetch_and_add(&counts->lost, 1);
	} else if (counts) {
		__sync_fetch_and_add(&counts->emitted, 1);
	}
}

#endif
