/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Records of hook events: the head, the rules that fired, then each field as it was read. */
#ifndef LICTOR_RECORD_H
#define LICTOR_RECORD_H

#include "pieces.h"
#include "unix.h"

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

/* The endpoints behind a field. */
__noinline int write_endpoints(struct event *e, struct scratch *s, __u32 field)
{
	if (!e || !s)
		return 0;
	read_endpoints(e, field);
	if (e->endpoints_status == LICTOR_FIELD_UNRESOLVED) {
		writer_unreadable(s);
		return 0;
	}
	s->writer.status = e->endpoints_status;
	if (e->endpoints_status != LICTOR_FIELD_OK)
		return 0;
	*(struct lictor_endpoints *)writer_data(s, 0) = e->endpoints;
	s->writer.length = s->writer.original = sizeof(struct lictor_endpoints);
	return 0;
}

static __always_inline void fill_user_namespace(struct user_namespace *from, struct lictor_user_namespace *to)
{
	to->inode = BPF_CORE_READ(from, ns.inum);
	to->level = BPF_CORE_READ(from, level);
	to->owner = BPF_CORE_READ(from, owner.val);
	to->group = BPF_CORE_READ(from, group.val);
}

__noinline int write_user_namespace(struct scratch *s, __u64 from)
{
	if (!s)
		return 0;
	fill_user_namespace((struct user_namespace *)from, (struct lictor_user_namespace *)writer_data(s, 0));
	s->writer.length = s->writer.original = sizeof(struct lictor_user_namespace);
	return 0;
}

__noinline int write_credentials(struct scratch *s, __u64 from)
{
	struct cred *cred = (struct cred *)from;
	struct lictor_credentials *data;

	if (!s)
		return 0;
	data = (struct lictor_credentials *)writer_data(s, 0);
	data->uid = BPF_CORE_READ(cred, uid.val);
	data->gid = BPF_CORE_READ(cred, gid.val);
	data->euid = BPF_CORE_READ(cred, euid.val);
	data->egid = BPF_CORE_READ(cred, egid.val);
	data->suid = BPF_CORE_READ(cred, suid.val);
	data->sgid = BPF_CORE_READ(cred, sgid.val);
	data->fsuid = BPF_CORE_READ(cred, fsuid.val);
	data->fsgid = BPF_CORE_READ(cred, fsgid.val);
	data->secure_bits = BPF_CORE_READ(cred, securebits);
	data->pad = 0;
	data->cap_permitted = capabilities_of(cred, LICTOR_FROM_CAP_PERMITTED);
	data->cap_effective = capabilities_of(cred, LICTOR_FROM_CAP_EFFECTIVE);
	data->cap_inheritable = capabilities_of(cred, LICTOR_FROM_CAP_INHERITABLE);
	fill_user_namespace(BPF_CORE_READ(cred, user_ns), &data->user_namespace);
	s->writer.length = s->writer.original = sizeof(*data);
	return 0;
}

/* Appends the name behind a structure of `head` bytes; none when it cannot be read. `limit` counts the NUL. */
static __always_inline void write_name(struct scratch *s, __u32 head, __u64 from, __u32 limit)
{
	long length = read_string(writer_data(s, head), limit, from);

	s->writer.length = s->writer.original = head + (length > 0 ? length - 1 : 0);
}

__noinline int write_module(struct scratch *s, __u64 name)
{
	struct module *module = (struct module *)(name - bpf_core_field_offset(struct module, name));
	struct lictor_module *data;

	if (!s)
		return 0;
	data = (struct lictor_module *)writer_data(s, 0);
	data->taints = BPF_CORE_READ(module, taints);
	data->signature = LICTOR_SIGNATURE_UNKNOWN;
	/* Kernels that do not look at signatures do not have it. */
	if (bpf_core_field_exists(module->sig_ok))
		data->signature =
		    BPF_CORE_READ(module, sig_ok) ? LICTOR_SIGNATURE_GOOD : LICTOR_SIGNATURE_BAD;
	data->pad = 0;
	write_name(s, sizeof(*data), name, sizeof(module->name));
	return 0;
}

__noinline int write_bpf_attr(struct scratch *s, __u64 from)
{
	union bpf_attr *attr = (union bpf_attr *)from;
	struct lictor_bpf_attr *data;

	if (!s)
		return 0;
	data = (struct lictor_bpf_attr *)writer_data(s, 0);
	data->program_type = BPF_CORE_READ(attr, prog_type);
	data->instructions = BPF_CORE_READ(attr, insn_cnt);
	write_name(s, sizeof(*data), from + bpf_core_field_offset(union bpf_attr, prog_name),
		   sizeof(attr->prog_name));
	return 0;
}

__noinline int write_bpf_prog(struct scratch *s, __u64 from)
{
	struct bpf_prog *program = (struct bpf_prog *)from;
	struct lictor_bpf_attr *data;
	struct bpf_prog_aux *aux;

	if (!s)
		return 0;
	data = (struct lictor_bpf_attr *)writer_data(s, 0);
	data->program_type = BPF_CORE_READ(program, type);
	data->instructions = BPF_CORE_READ(program, len);
	aux = BPF_CORE_READ(program, aux);
	write_name(s, sizeof(*data), (__u64)aux + bpf_core_field_offset(struct bpf_prog_aux, name),
		   sizeof(aux->name));
	return 0;
}

__noinline int write_load_info(struct scratch *s, __u64 from)
{
	struct load_info *info = (struct load_info *)from;
	struct lictor_module *data;

	if (!s)
		return 0;
	data = (struct lictor_module *)writer_data(s, 0);
	data->taints = 0;
	data->signature = BPF_CORE_READ(info, sig_ok) ? LICTOR_SIGNATURE_GOOD : LICTOR_SIGNATURE_BAD;
	data->pad = 0;
	/* The kernel finds the name some time after it began. */
	write_name(s, sizeof(*data), (__u64)BPF_CORE_READ(info, name), LICTOR_MAX_NAME);
	return 0;
}

__noinline int write_bpf_map(struct scratch *s, __u64 from)
{
	struct bpf_map *map = (struct bpf_map *)from;
	struct lictor_bpf_map *data;

	if (!s)
		return 0;
	data = (struct lictor_bpf_map *)writer_data(s, 0);
	data->map_type = BPF_CORE_READ(map, map_type);
	data->key_size = BPF_CORE_READ(map, key_size);
	data->value_size = BPF_CORE_READ(map, value_size);
	data->max_entries = BPF_CORE_READ(map, max_entries);
	write_name(s, sizeof(*data), from + bpf_core_field_offset(struct bpf_map, name), sizeof(map->name));
	return 0;
}

/* What an event probes stands where other events have numbers of their own: of those it is not told. */
__noinline int write_perf_event(struct scratch *s, __u64 from)
{
	struct perf_event *event = (struct perf_event *)from;
	struct lictor_perf_event *data;

	if (!s)
		return 0;
	data = (struct lictor_perf_event *)writer_data(s, 0);
	data->type = BPF_CORE_READ(event, attr.type);
	data->config = BPF_CORE_READ(event, attr.config);
	data->probe_offset = 0;
	data->pad = 0;
	s->writer.length = s->writer.original = sizeof(*data);
	if (data->type < LICTOR_PERF_TYPES)
		return 0;
	data->probe_offset = BPF_CORE_READ(event, attr.probe_offset);
	write_name(s, sizeof(*data), BPF_CORE_READ(event, attr.kprobe_func), LICTOR_MAX_NAME);
	return 0;
}

__noinline int write_unix_address(struct event *e, struct scratch *s, __u32 field)
{
	struct lictor_unix_address *data;
	__u16 family = 0;
	long length;

	if (!e || !s)
		return 0;
	length = unix_text(e, s, field);
	if (length < 0 || read_memory(&family, sizeof(family), e->raw[field & 7])) {
		writer_unreadable(s);
		return 0;
	}
	data = (struct lictor_unix_address *)writer_data(s, 0);
	data->family = family;
	data->pad = 0;
	length &= 127;
	bpf_probe_read_kernel(writer_data(s, sizeof(*data)), length, s->text);
	s->writer.length = s->writer.original = sizeof(*data) + length;
	return 0;
}

/* The members of a structure of the kernel, if there is one; `i` is known to the verifier. */
static __always_inline void write_structure(struct event *e, struct scratch *s, __u32 i)
{
	if (!e->raw[i]) {
		s->writer.status = LICTOR_FIELD_ABSENT;
		return;
	}
	switch (shape.fields[i].kind) {
	case LICTOR_FIELD_CRED:
		write_credentials(s, e->raw[i]);
		break;
	case LICTOR_FIELD_USER_NAMESPACE:
		write_user_namespace(s, e->raw[i]);
		break;
	case LICTOR_FIELD_MODULE:
		write_module(s, e->raw[i]);
		break;
	case LICTOR_FIELD_BPF_ATTR:
		write_bpf_attr(s, e->raw[i]);
		break;
	case LICTOR_FIELD_BPF_PROG:
		write_bpf_prog(s, e->raw[i]);
		break;
	case LICTOR_FIELD_LOAD_INFO:
		write_load_info(s, e->raw[i]);
		break;
	case LICTOR_FIELD_IOV_ITER:
		write_iter(s, e->raw[i]);
		break;
	case LICTOR_FIELD_BPF_MAP:
		write_bpf_map(s, e->raw[i]);
		break;
	case LICTOR_FIELD_PERF_EVENT:
		write_perf_event(s, e->raw[i]);
		break;
	case LICTOR_FIELD_SOCKADDR_UN:
		write_unix_address(e, s, i);
		break;
	case LICTOR_FIELD_NET_DEVICE:
		write_text(s, e->raw[i], LICTOR_MAX_BYTES);
		break;
	default:
		write_endpoints(e, s, i);
	}
}

/* Of a field that was cut, sends what there is before the record. */
static __always_inline void write_whole(struct event *e, struct scratch *s, __u32 i)
{
	if (s->writer.status != LICTOR_FIELD_TRUNCATED)
		return;
	begin_pieces(e, s, i);
	send_pieces(s, i);
}

/* Appends field i; `i` is known to the verifier. */
static __always_inline void write_field(void *ctx, struct event *e, struct scratch *s, __u32 i)
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
	if (is_unread(e, i)) {
		s->writer.status = LICTOR_FIELD_UNRESOLVED;
		kind = LICTOR_FIELD_NOP;
	}
	switch (kind) {
	case LICTOR_FIELD_NOP:
		break;
	case LICTOR_FIELD_NUMBER:
		*(__u64 *)writer_data(s, 0) =
		    number_of(e->raw[i], shape.fields[i].width, shape.fields[i].flags);
		s->writer.length = s->writer.original = sizeof(__u64);
		break;
	case LICTOR_FIELD_STRING:
		write_text(s, e->raw[i], text_limit(i));
		break;
	case LICTOR_FIELD_FILENAME:
		filename = (struct filename *)e->raw[i];
		write_text(s, (__u64)BPF_CORE_READ(filename, name), LICTOR_MAX_BYTES);
		break;
	case LICTOR_FIELD_CHAR_BUF:
		if (has_length(i))
			write_bytes(s, e->raw[i], e->size[i]);
		else
			write_text(s, e->raw[i], text_limit(i));
		break;
	case LICTOR_FIELD_CHAR_IOVEC:
		write_iovec(s, e->raw[i], e->size[i], 0, ~0ULL);
		break;
	case LICTOR_FIELD_NONE:
		s->writer.status = LICTOR_FIELD_TRUNCATED;
		break;
	default:
		if (kind >= LICTOR_FIELD_SOCK)
			write_structure(e, s, i);
		else if (i == shape.path_field)
			write_judged_file(ctx, e, s);
		else if (place_of_field(e, i, &e->other, &open_file))
			write_file(s, &e->other, (__u64)open_file,
				   kind == LICTOR_FIELD_FD ? (__s32)e->raw[i] : -1);
		else if (field_leads_nowhere(e, i))
			writer_unreadable(s);
		else
			s->writer.status = LICTOR_FIELD_ABSENT;
	}
	if (shape.fields[i].max_length > LICTOR_MAX_BYTES && kind != LICTOR_FIELD_NONE)
		write_whole(e, s, i);
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

/* Appends a stack and gives its bytes, or a negative errno. `head` bytes before the addresses belong to it. */
static __always_inline __s16 write_stack(void *ctx, struct scratch *s, __u32 head, __u64 flags)
{
	__u32 at = s->writer.at;
	long length;

	if (at > RECORD_LIMIT)
		at = RECORD_LIMIT;
	length = bpf_get_stack(ctx, &s->record[at + head], LICTOR_MAX_FRAMES * sizeof(__u64), flags);
	if (length < 0) {
		count_site(LICTOR_SITE_STACK);
		return length;
	}
	s->writer.at = at + head + length;
	return head + length;
}

/* Appends the stacks that rules want. A function of its own, so that programs without it are as if it were not there. */
static __noinline int write_stacks(void *ctx, struct scratch *s)
{
	struct lictor_hook_record *record = (struct lictor_hook_record *)s->record;
	__u32 at;

	if (s->outcome.flags & LICTOR_RULE_KERNEL_STACK)
		record->kernel_stack = write_stack(ctx, s, 0, 0);
	if (s->outcome.flags & LICTOR_RULE_USER_STACK) {
		at = s->writer.at;
		if (at > RECORD_LIMIT)
			at = RECORD_LIMIT;
		*(__u64 *)&s->record[at] = bpf_get_current_pid_tgid() >> 32;
		record->user_stack = write_stack(ctx, s, sizeof(__u64), BPF_F_USER_STACK);
	}
	return 0;
}

#ifdef LICTOR_TYPED_ARGUMENTS
/*
 * Has the file's hash computed by the program behind this one. Not of what is denied: nothing runs behind that. A function
 * of its own, as write_stacks() is.
 */
static __noinline int ask_for_hash(void *ctx, struct scratch *s)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 argument = context_word(ctx, 0);

	if (!s || !(s->outcome.flags & LICTOR_RULE_HASH) || s->outcome.verdict)
		return 0;
	if (bpf_map_update_elem(&hashes, &tid, &argument, BPF_ANY))
		count_site(LICTOR_SITE_HASH);
	else
		s->fired[0].flags |= LICTOR_FIRED_HASH;
	return 0;
}
#endif

static __always_inline void emit(void *ctx, struct event *e, struct scratch *s,
				 struct lictor_hook_counts *counts)
{
	struct lictor_hook_record *record = (struct lictor_hook_record *)s->record;
	__u32 fired = s->outcome.fired_count, length;

	record_head(&record->head, LICTOR_RECORD_HOOK, bpf_get_current_task_btf());
	if (shape.flags & LICTOR_SHAPE_OWNERS)
		owner_of_event(e, &record->head);
	record->head.revision = e->at.revision;
	record->hook_slot = shape.hook_slot;
	record->field_count = shape.field_count;
	record->verdict = s->outcome.verdict;
	record->signal = s->outcome.signal;
	record->unresolved_columns = e->unresolved;
	record->shape_id = shape.id;
	record->kernel_stack = record->user_stack = 0;
	if (fired > LICTOR_MAX_FIRED)
		fired = LICTOR_MAX_FIRED;
	record->fired_count = fired;
#ifdef LICTOR_TYPED_ARGUMENTS
	if (shape.flags & LICTOR_SHAPE_HASH)
		ask_for_hash(ctx, s);
#endif
	if (fired == 1)
		*(struct lictor_fired *)(s->record + sizeof(*record)) = s->fired[0];
	else
		bpf_probe_read_kernel(s->record + sizeof(*record), fired * sizeof(struct lictor_fired),
				      s->fired);
	s->writer.at = ALIGN8(sizeof(*record) + fired * sizeof(struct lictor_fired));
	if (shape.flags & LICTOR_SHAPE_STACKS)
		write_stacks(ctx, s);
#pragma unroll
	for (int i = 0; i < LICTOR_MAX_FIELDS; i++) {
		if (i >= shape.field_count)
			break;
		write_field(ctx, e, s, i);
	}
	length = s->writer.at;
	if (length > LICTOR_MAX_RECORD)
		length = LICTOR_MAX_RECORD;
	record->head.length = length;
	/* The reader polls with a time-out: waking it for each record would cost more than the record. */
	if (bpf_ringbuf_output(&ring, s->record, length, BPF_RB_NO_WAKEUP)) {
		if (counts)
			__sync_fetch_and_add(&counts->lost, 1);
	} else if (counts) {
		__sync_fetch_and_add(&counts->emitted, 1);
	}
}

#endif
