/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Rate limits: which events are the same, and whether a record of one is due. */
#ifndef LICTOR_LIMITS_H
#define LICTOR_LIMITS_H

#include "record.h"

/* Fills `words` with what tells objects of a kind from each other, as far as they are shown. */
static __always_inline void words_of_object(__u64 raw, __u32 kind, __u64 *words)
{
	struct cred *cred = (struct cred *)raw;
	union bpf_attr *attr = (union bpf_attr *)raw;
	struct bpf_prog *program = (struct bpf_prog *)raw;
	struct bpf_map *map = (struct bpf_map *)raw;
	struct perf_event *event = (struct perf_event *)raw;

	switch (kind) {
	case LICTOR_FIELD_CRED:
		words[0] = (__u64)BPF_CORE_READ(cred, euid.val) << 32 | BPF_CORE_READ(cred, egid.val);
		words[1] = (__u64)BPF_CORE_READ(cred, user_ns);
		words[2] = capabilities_of(cred, LICTOR_FROM_CAP_EFFECTIVE);
		break;
	case LICTOR_FIELD_BPF_ATTR:
		words[0] = BPF_CORE_READ(attr, prog_type);
		words[1] = BPF_CORE_READ(attr, insn_cnt);
		bpf_core_read(&words[2], sizeof(attr->prog_name), &attr->prog_name);
		break;
	case LICTOR_FIELD_BPF_PROG:
		words[0] = (__u64)BPF_CORE_READ(program, type) << 32 | BPF_CORE_READ(program, len);
		words[1] = (__u64)BPF_CORE_READ(program, aux);
		break;
	case LICTOR_FIELD_BPF_MAP:
		words[0] = (__u64)BPF_CORE_READ(map, map_type) << 32 | BPF_CORE_READ(map, key_size);
		words[1] = (__u64)BPF_CORE_READ(map, value_size) << 32 | BPF_CORE_READ(map, max_entries);
		bpf_core_read(&words[2], sizeof(map->name), &map->name);
		break;
	case LICTOR_FIELD_PERF_EVENT:
		words[0] = BPF_CORE_READ(event, attr.type);
		words[1] = BPF_CORE_READ(event, attr.config);
		words[2] = BPF_CORE_READ(event, attr.kprobe_func);
		words[3] = BPF_CORE_READ(event, attr.probe_offset);
		break;
	}
}

/* A function of its own, for the stack: what it keeps is not there while another runs. */
__noinline __u64 hash_of_object(struct event *e, __u32 field)
{
	if (!e)
		return 0;
	words_of_object(e->raw[field & 7], shape.fields[field & 7].kind, words_to_hash(e));
	return hash_of_words(e, 0);
}

/* A hash over what was read: numbers by value, text by its first 40 bytes, files by inode. */
__noinline __u64 values_hash(struct event *e)
{
	__u64 hash = 0xcbf29ce484222325ULL;

	if (!e)
		return 0;
#pragma unroll
	for (int i = 0; i < LICTOR_MAX_FIELDS; i++) {
		__u64 part = 0;
		struct file *open_file;

		if (i >= shape.field_count)
			break;
		switch (i == shape.path_field ? LICTOR_FIELD_NONE : shape.fields[i].kind) {
		case LICTOR_FIELD_NONE:
			part = e->id.inode ^ e->id.dentry << 1;
			break;
		case LICTOR_FIELD_STRING:
		case LICTOR_FIELD_CHAR_BUF:
		case LICTOR_FIELD_MODULE:
		case LICTOR_FIELD_NET_DEVICE:
			read_string(words_to_hash(e), HASHED_BYTES, e->raw[i]);
			part = hash_of_words(e, 0);
			break;
		case LICTOR_FIELD_FILE:
		case LICTOR_FIELD_FD:
		case LICTOR_FIELD_PATH:
		case LICTOR_FIELD_DENTRY:
		case LICTOR_FIELD_BINPRM:
			if (place_of_field(e, i, &e->other, &open_file))
				part = e->other.inode ^ e->other.dentry << 1;
			break;
		case LICTOR_FIELD_SOCK:
		case LICTOR_FIELD_SOCKET:
		case LICTOR_FIELD_SKB:
		case LICTOR_FIELD_SOCKADDR:
			read_endpoints(e, i);
			part = hash_of_words(e, 0);
			break;
		case LICTOR_FIELD_SOCKADDR_UN:
			part = hash_of_unix_address(e, i);
			break;
		case LICTOR_FIELD_CRED:
		case LICTOR_FIELD_BPF_ATTR:
		case LICTOR_FIELD_BPF_MAP:
		case LICTOR_FIELD_BPF_PROG:
		case LICTOR_FIELD_PERF_EVENT:
			part = hash_of_object(e, i);
			break;
		default:
			part = e->raw[i];
		}
		hash = (hash ^ part) * 0x100000001b3ULL;
		hash ^= hash >> 29;
	}
	return hash ? hash : 1;
}

/* A function of its own: its key would be on the stack of within_limit(), where stacks are deepest. */
__noinline int count_full_limits(void)
{
	count_site(LICTOR_SITE_LIMIT_TABLE);
	return 0;
}

/* Whether a record of this rule is due, by its rate limit. */
__noinline bool within_limit(struct event *e, const struct lictor_rule *rule)
{
	__u64 now = bpf_ktime_get_ns(), *last, before, task = bpf_get_current_pid_tgid();
	struct limit_key key = {};
	/* Before 6.4 the kernel's function gives 32 bits, and the upper half is anything. */
	int failed;

	if (!e || !rule)
		return true;
	if (!e->values)
		e->values = values_hash(e);
	key.limit_id = rule->limit_id;
	key.values = e->values;
	if (rule->limit_scope == LICTOR_LIMIT_THREAD)
		key.subject = task;
	else if (rule->limit_scope == LICTOR_LIMIT_PROCESS)
		key.subject = task >> 32;
	/* Of threads that come here at the same moment, one gets the record: whoever writes the time. */
	last = bpf_map_lookup_elem(&limits, &key);
	if (!last) {
		failed = bpf_map_update_elem(&limits, &key, &now, BPF_NOEXIST);
		if (failed && failed != -EEXIST)
			count_full_limits();
		return failed != -EEXIST;
	}
	before = *last;
	/* Not "now - before": another thread's time can be later than this one's. */
	if (now < before + rule->limit_interval_ns)
		return false;
	return __sync_val_compare_and_swap(last, before, now) == before;
}

#endif
