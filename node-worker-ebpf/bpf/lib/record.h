/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Records of hook events: the head, the rules that fired, then each field as it was read. */
#ifndef LICTOR_RECORD_H
#define LICTOR_RECORD_H

#include "texts.h"
#include "unix.h"

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
		else
			write_other_file(e, s, i);
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
