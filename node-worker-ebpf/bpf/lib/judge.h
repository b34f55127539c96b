/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Judging an event: read the live revision once, leave as early as possible, narrow the set of rules column
 * by column, then carry out what the remaining rules say.
 */
#ifndef LICTOR_JUDGE_H
#define LICTOR_JUDGE_H

#include "limits.h"
#include "notifications.h"
#include "writes.h"

#define HAS_PATH (shape.path_field != LICTOR_SOURCE_NONE)
#define HAS_MEMO (shape.flags & LICTOR_SHAPE_MEMO && HAS_PATH)

/* More steps than rules and blocks together. */
#define RULE_STEPS (LICTOR_MAX_RULES + LICTOR_VECTOR_WORDS)

static const __u8 debruijn[64] = {0,  1,  2,  53, 3,  7,  54, 27, 4,  38, 41, 8,  34, 55, 48, 28,
				  62, 5,  39, 46, 44, 42, 22, 9,  24, 35, 59, 56, 49, 18, 29, 11,
				  63, 52, 6,  26, 37, 40, 33, 47, 61, 45, 43, 21, 23, 58, 17, 10,
				  51, 25, 36, 32, 60, 20, 57, 16, 50, 31, 19, 15, 30, 14, 13, 12};

/* Number of the lowest bit set; x is not 0. */
static __always_inline __u32 lowest_bit(__u64 x)
{
	return debruijn[((x & -x) * 0x022fdd63cc95386dULL) >> 58 & 63];
}

static __always_inline void task_key_fill(struct task_key *key, __u64 number)
{
	struct task_struct *task = bpf_get_current_task_btf();

	key->start = task->start_time;
	key->pid = task->pid;
	key->exec_id = task->self_exec_id;
	if (PATCHED(LICTOR_PATCH_MEMO_CGROUP))
		key->cgroup = task->cgroups->dfl_cgrp->kn->id;
	key->number = number;
}

/* Whether the same task met the same file with the same number before, and no rule of this hook point matched. */
static __always_inline bool memo_hit(const struct path_entry *entry, __u64 number)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return entry->memo_key == (__u32)PATCHED(LICTOR_PATCH_MEMO_KEY) &&
	       entry->memo.start == task->start_time && entry->memo.pid == (__u32)task->pid &&
	       entry->memo.exec_id == task->self_exec_id && entry->memo.number == number &&
	       (!PATCHED(LICTOR_PATCH_MEMO_CGROUP) || entry->memo.cgroup == task->cgroups->dfl_cgrp->kn->id);
}

__noinline int memo_store(struct event *e)
{
	struct path_entry *entry;
	__u32 index;

	if (!e || e->unresolved)
		return 0;
	index = cache_index(e->id.dentry, PATH_CACHE_BITS);
	entry = bpf_map_lookup_elem(&path_cache, &index);
	if (!entry || !lock(&entry->of, e->id.ticket))
		return 0;
	if (is_of(&entry->of, e->at.revision, e->at.fs_generation, &e->id)) {
		entry->memo = e->task;
		entry->memo_key = PATCHED(LICTOR_PATCH_MEMO_KEY);
	}
	unlock(&entry->of, e->id.ticket);
	return 0;
}

#define ADD(counter) __sync_fetch_and_add(&(counter), 1)

/* What the rule does to the operation and to the process. */
static __always_inline void rule_enforces(struct outcome *o, const struct lictor_rule *rule,
					  struct lictor_policy_counts *counts)
{
	__u32 flags = rule->flags;

	if (flags & (LICTOR_RULE_DENY | LICTOR_RULE_SIGNAL | LICTOR_RULE_SET | LICTOR_RULE_REGISTERS) &&
	    flags & LICTOR_RULE_MONITOR) {
		ADD(counts->monitored);
		return;
	}
	if (flags & LICTOR_RULE_DENY) {
		ADD(counts->denied);
		if (!o->verdict)
			o->verdict = rule->verdict;
	}
#ifdef LICTOR_WRITES_REGISTERS
	/* One of them, as with verdicts: what two rules write need not fit together. */
	if (flags & LICTOR_RULE_REGISTERS && !o->assignments)
		o->assignments = (__u32)rule->value + 1;
#endif
	if (flags & LICTOR_RULE_SIGNAL) {
		ADD(counts->signalled);
		/* SIGKILL outdoes every other signal. */
		if (!o->signal || rule->signal == 9)
			o->signal = rule->signal;
	}
}

static __always_inline void rule_reports(struct scratch *s, const struct lictor_rule *rule, __u32 number,
					 struct lictor_policy_counts *counts)
{
	__u32 at = s->outcome.fired_count;

	if (rule->flags & LICTOR_RULE_LIMIT && !within_limit(&s->event, rule)) {
		ADD(counts->limited);
		return;
	}
	if (at >= LICTOR_MAX_FIRED) {
		ADD(counts->lost);
		count_site(LICTOR_SITE_FIRED_OVERFLOW);
		return;
	}
	ADD(counts->posted);
	if (shape.flags & (LICTOR_SHAPE_STACKS | LICTOR_SHAPE_HASH))
		s->outcome.flags |= rule->flags;
	s->fired[at].rule = number;
	s->fired[at].flags = LICTOR_FIRED_POST | (s->event.unresolved ? LICTOR_FIRED_UNRESOLVED : 0);
	s->outcome.fired_count = at + 1;
}

/* What becomes of the event by one of the rules that are left. */
__noinline int rule_matches(struct scratch *s, __u32 number)
{
	struct lictor_policy_counts *counts;
	struct lictor_rule *rule;
	__u32 slot, at, policy;
	struct outcome *o;
	void *inner;

	if (!s)
		return 0;
	o = &s->outcome;
	slot = s->event.at.slot;
	inner = bpf_map_lookup_elem(&rules, &slot);
	if (!inner)
		return 0;
	at = o->rule_base + number;
	rule = bpf_map_lookup_elem(inner, &at);
	/* Only the first rule of a group fires; its rules stand together. */
	if (!rule || rule->group == o->last_group)
		return 0;
	o->last_group = rule->group;
	policy = rule->policy;
	counts = bpf_map_lookup_elem(&policy_counts, &policy);
	if (!counts)
		return 0;
	ADD(counts->matched);
	if (s->event.unresolved)
		ADD(counts->unresolved);
	rule_enforces(o, rule, counts);
	if (shape.flags & LICTOR_SHAPE_SET && rule->flags & LICTOR_RULE_SET &&
	    !(rule->flags & LICTOR_RULE_MONITOR))
		set_field(&s->event, rule);
	if (shape.flags & LICTOR_SHAPE_NOTIFICATIONS)
		rule_notifies(rule->flags, rule->value);
	if (rule->flags & (LICTOR_RULE_TRACK | LICTOR_RULE_UNTRACK))
		track_socket(s->event.raw[rule->flags >> LICTOR_RULE_FIELD_SHIFT & 7], rule->flags);
	if (rule->flags & LICTOR_RULE_RECORD)
		rule_reports(s, rule, number, counts);
	return 0;
}

struct rule_loop {
	struct scratch *s;
};

static long rule_step(__u32 index, struct rule_loop *loop)
{
	struct scratch *s = loop->s;
	struct outcome *o = &s->outcome;
	__u64 word = o->word;

	if (!word) {
		if (!o->summary)
			return 1;
		o->block = lowest_bit(o->summary);
		o->summary &= o->summary - 1;
		o->word = s->left.words[o->block & (LICTOR_VECTOR_WORDS - 1)];
		return 0;
	}
	o->word = word & (word - 1);
	rule_matches(s, o->block * 64 + lowest_bit(word));
	return 0;
}

/* Goes through the rules that are left, in their order. */
static __always_inline void rules_match(struct scratch *s)
{
	__u64 summary = s->left.summary, word;
	struct rule_loop loop = {.s = s};
	__u32 block;

	/* Mostly it is one. */
	if (!(summary & (summary - 1))) {
		block = lowest_bit(summary) & (LICTOR_VECTOR_WORDS - 1);
		word = s->left.words[block];
		if (word && !(word & (word - 1))) {
			rule_matches(s, block * 64 + lowest_bit(word));
			return;
		}
	}
	s->outcome.summary = summary;
	s->outcome.word = 0;
	bpf_loop(RULE_STEPS, rule_step, &loop, 0);
}

/* With at least one rule left: counts, signals, reports. Returns the verdict. */
static __always_inline __s32 act(void *ctx, struct event *e, struct scratch *s,
				 const struct lictor_hook *hook)
{
	struct lictor_hook_counts *counts;
	__u32 slot = shape.hook_slot;

	s->outcome.rule_base = hook->rule_base;
	s->outcome.last_group = ~0u;
	s->outcome.verdict = 0;
	s->outcome.signal = 0;
	s->outcome.fired_count = 0;
#ifdef LICTOR_WRITES_REGISTERS
	s->outcome.assignments = 0;
#endif
	if (shape.flags & (LICTOR_SHAPE_STACKS | LICTOR_SHAPE_HASH))
		s->outcome.flags = 0;
	rules_match(s);
	counts = bpf_map_lookup_elem(&hook_counts, &slot);
	if (counts && s->outcome.last_group != ~0u) {
		ADD(counts->matched);
		if (e->unresolved)
			ADD(counts->unresolved);
	}
	if (s->outcome.signal && bpf_send_signal(s->outcome.signal)) {
		count_site(LICTOR_SITE_SIGNAL);
		/* The record tells of signals that were sent. */
		s->outcome.signal = 0;
	}
	if (s->outcome.fired_count)
		emit(ctx, e, s, counts);
#ifdef LICTOR_WRITES_REGISTERS
	/* Last: the record shows what was there, and the text in scratch memory is not needed any more. */
	if (s->outcome.assignments)
		write_registers(ctx, s);
#endif
	return s->outcome.verdict;
}

static __always_inline __s32 narrow_and_act(void *ctx, struct event *e, struct scratch *s,
					    const struct lictor_hook *hook)
{
	struct lictor_vector *all;

	if (!shape.column_count || narrows_by_set(0)) {
		all = vector_get(e->at.slot, hook->all_vector);
		if (!all) {
			count_site(LICTOR_SITE_TABLES);
			return 0;
		}
		vector_copy(&s->left, all);
	}
#pragma unroll
	for (int i = 0; i < LICTOR_MAX_COLUMNS; i++) {
		if (i >= shape.column_count)
			break;
		if (!narrow(e, s, hook, i)) {
			if (HAS_MEMO)
				memo_store(e);
			return 0;
		}
	}
	if (!s->left.summary)
		return 0;
	return act(ctx, e, s, hook);
}

static __always_inline bool matches_nothing(const struct path_classes *classes)
{
	if (shape.hook_slot < LICTOR_EMPTY_HOOKS)
		return classes->empty >> shape.hook_slot & 1;
	return classes->status == PATH_INNER;
}

/* The number that enters the memo. */
static __always_inline __u64 memo_number(void *ctx)
{
	__u32 source = PATCHED(LICTOR_PATCH_MEMO_SOURCE);

	return source == LICTOR_SOURCE_NONE ? 0 : source_value(ctx, source);
}

/* No rule matches. */
#define NOTHING NO_TICKET
/* Nothing is remembered of the file, or no longer. An odd number, like the other, is no sequence to read under. */
#define UNKNOWN (NO_TICKET + 2)

#ifdef LICTOR_TYPED_ARGUMENTS
/*
 * Whether the entry is for `leaf` as the name of `inode` on the mount of `file`, and valid now. Member by member, so
 * that nothing has to be kept.
 */
static __always_inline bool is_for(const struct remembered *entry, struct file *file, struct dentry *leaf,
				   struct inode *inode)
{
	struct dentry *above;
	struct inode *directory;

	if (entry->id.dentry != (__u64)leaf || entry->fs_generation != live.fs_generation ||
	    entry->revision != (__u32)live.revision_slot || entry->id.mnt != (__u64)file->f_path.mnt ||
	    entry->id.inode != (__u64)inode || entry->id.name_hash != leaf->d_name.hash ||
	    entry->id.name_length != leaf->d_name.len)
		return false;
	above = leaf->d_parent;
	if (entry->id.parent != (__u64)above)
		return false;
	directory = above->d_inode;
	return entry->id.parent_inode == directory->i_ino &&
	       entry->id.parent_generation == directory->i_generation;
}

/*
 * Whether what is remembered of the directory of `leaf` tells that no rule matches in it. So files that are opened once
 * do not push out of the cache what is known of others. The root of a file system lies in no directory of its own.
 */
static __always_inline bool directory_matches_nothing(struct file *file, struct dentry *leaf)
{
	struct dentry *above = leaf->d_parent;
	struct path_entry *entry;
	__u32 index, sequence;

	if (!PATCHED(LICTOR_PATCH_EMPTY_BIT) || (__u64)above == (__u64)leaf)
		return false;
	index = cache_index((__u64)above, DIRECTORY_CACHE_BITS);
	entry = bpf_map_lookup_elem(&directory_cache, &index);
	if (!entry)
		return false;
	sequence = ticket_of(entry);
	barrier();
	if (sequence & 1 || !is_for(&entry->of, file, above, above->d_inode) ||
	    !(entry->classes.empty & PATCHED(LICTOR_PATCH_EMPTY_BIT)))
		return false;
	count_stat(LICTOR_STAT_DIRECTORY_HIT);
	return is_unchanged(&entry->of, sequence);
}

/*
 * Whether what is remembered of the file alone tells that no rule matches. Most events end here, and nothing is copied.
 * Gives NOTHING, UNKNOWN, or the sequence of the file's entry, which then holds what judge_by_tables() begins with.
 */
static __always_inline __u32 recall(void *ctx)
{
	struct file *file = (struct file *)context_word(ctx, PATCHED(LICTOR_PATCH_PATH_SOURCE));
	struct path_entry *entry;
	struct dentry *leaf;
	__u32 index, sequence;

	/* NULL, or as good as: rare. */
	if (!as_number((__u64)file) || !file)
		return UNKNOWN;
	leaf = file->f_path.dentry;
	index = cache_index((__u64)leaf, PATH_CACHE_BITS);
	entry = bpf_map_lookup_elem(&path_cache, &index);
	if (!entry)
		return UNKNOWN;
	sequence = ticket_of(entry);
	barrier();
	if (sequence & 1 || !is_for(&entry->of, file, leaf, file->f_inode))
		return directory_matches_nothing(file, leaf) ? NOTHING : UNKNOWN;
	if (entry->classes.empty & PATCHED(LICTOR_PATCH_EMPTY_BIT)) {
		count_stat(LICTOR_STAT_PATH_HOT);
		return is_unchanged(&entry->of, sequence) ? NOTHING : UNKNOWN;
	}
	if (!PATCHED(LICTOR_PATCH_MEMO_KEY) || !memo_hit(entry, memo_number(ctx)))
		return sequence;
	count_stat(LICTOR_STAT_MEMO_HIT);
	return is_unchanged(&entry->of, sequence) ? NOTHING : UNKNOWN;
}
#endif

/* The header of this hook point in the live revision; NULL when it has no rule here or is not for this
 * program. */
static __always_inline struct lictor_hook *hook_get(void *ctx, __u32 slot)
{
	__u32 hook_slot = shape.hook_slot;
	void *inner = bpf_map_lookup_elem(&hooks, &slot);
	struct lictor_hook *hook;

	if (!inner)
		return NULL;
	hook = bpf_map_lookup_elem(inner, &hook_slot);
	if (!hook || !hook->shape_id)
		return NULL;
	if (hook->shape_id == shape.id)
		return hook;
	/* The live revision reads this hook point in another way: hand over to its program. */
	count_stat(LICTOR_STAT_SHAPE_TAIL_CALL);
	bpf_tail_call(ctx, &programs, slot);
	count_site(LICTOR_SITE_TAIL_CALL);
	return NULL;
}

/*
 * What is known of the file comes from the cache, or is found out. `known` is what recall() gave: under that
 * sequence, the entry was for the file. False when no rule can match.
 */
static __always_inline bool path_of_event(void *ctx, struct event *e, struct scratch *s, __u32 known)
{
	struct file *file = FILE_ARGUMENT(ctx);
	struct path_entry *entry;
	__u32 index;

	if (is_null(file) || !file) {
		e->id.inode = e->id.dentry = 0;
		e->path.prefix_class = e->path.suffix_class = 0;
		e->path.status = PATH_NONE;
		e->path.empty = 0;
		return true;
	}
	index = cache_index((__u64)KERNEL(file, f_path.dentry), PATH_CACHE_BITS);
	entry = bpf_map_lookup_elem(&path_cache, &index);
	if (entry && !(known & 1) && entry->of.revision == e->at.revision &&
	    entry->of.fs_generation == e->at.fs_generation) {
		e->id = entry->of.id;
		e->path = entry->classes;
		e->id.ticket = known;
		if (is_unchanged(&entry->of, known)) {
			count_stat(LICTOR_STAT_PATH_HOT);
			return e->path.status != PATH_INNER && !matches_nothing(&e->path);
		}
	}
	e->id.ticket = ticket_of(entry);
	barrier();
	identity_of_file(file, &e->id);
#ifndef LICTOR_TYPED_ARGUMENTS
	if (!e->id.dentry && leads_nowhere(e, (__u64)file)) {
		e->path.prefix_class = e->path.suffix_class = 0;
		e->path.status = PATH_UNRESOLVED;
		e->path.empty = 0;
		return true;
	}
#endif
	if (entry && entry_read(entry, e->id.ticket, &e->at, &e->id, &e->path)) {
		count_stat(LICTOR_STAT_PATH_HOT);
	} else {
		identity_of_directory(file, &e->directory);
		classes_of(e, s, &e->id, &e->path, false);
	}
	return e->path.status != PATH_INNER && !matches_nothing(&e->path);
}

/* Judges by the tables, in scratch memory. */
static __always_inline __s32 judge_in(void *ctx, struct scratch *s, const struct lictor_hook *hook,
				      __u32 known)
{
	struct event *e = &s->event;

	e->values = 0;
	e->unresolved = 0;
	/* Before the tables are consulted, so that a task that moves meanwhile is not remembered at its new place. */
	if (HAS_MEMO)
		task_key_fill(&e->task, memo_number(ctx));
	if (HAS_PATH && !path_of_event(ctx, e, s, known))
		return 0;
#ifdef LICTOR_KEPT_ARGUMENTS
	e->call_lost = !call_take(ctx, &e->call);
#endif
#pragma unroll
	for (int i = 0; i < LICTOR_MAX_FIELDS; i++) {
		if (i >= shape.field_count)
			break;
		/* The file that the event is judged by is in e->id. */
		if (i != shape.path_field)
			field_load(ctx, e, i);
	}
	return narrow_and_act(ctx, e, s, hook);
}

/* The verdict on an event that nothing can be read of, without scratch memory: the workload is known all the same. */
static __always_inline __s32 fallback_verdict(const struct lictor_hook *hook, __u32 slot)
{
	struct lictor_scope *scope;

#pragma unroll
	for (int i = 0; i < LICTOR_MAX_COLUMNS; i++) {
		if (i >= shape.column_count)
			break;
		if (shape.columns[i].kind != LICTOR_COLUMN_SCOPE)
			continue;
		scope = current_scope(slot, shape.hook_slot);
		if (scope)
			return scope->fallback_verdict;
	}
	return hook->fallback_verdict;
}

static __noinline __s32 judge_by_tables(void *ctx, __u32 known)
{
	/* One load: revision and slot belong together. */
	__u64 revision_slot = live.revision_slot;
	__u32 slot = revision_slot >> 32, fs_generation;
	struct lictor_hook *hook;
	struct scratch *s;
	__s32 verdict;

	if (!(__u32)revision_slot)
		return 0;
	/* Before anything is read of the file, so that a change in between is not missed. */
	fs_generation = live.fs_generation;
	hook = hook_get(ctx, slot);
	if (!hook)
		return 0;
	s = scratch_get();
	if (!s)
		return fallback_verdict(hook, slot);
	s->event.at.revision = revision_slot;
	s->event.at.slot = slot;
	s->event.at.fs_generation = fs_generation;
	verdict = judge_in(ctx, s, hook, known);
	scratch_put(s);
	return verdict;
}

/*
 * A verdict that the kernel understands, whatever the tables say: 6.1 does not check what an LSM program returns,
 * later kernels want proof that it is in this range.
 */
static __always_inline __s32 as_errno(__s32 verdict)
{
	if (verdict >= 0)
		return 0;
	if (verdict < -MAX_ERRNO)
		return -EPERM;
	return verdict;
}

/* Judges an event and returns the verdict: 0, or a negative errno. */
static __always_inline __s32 judge(void *ctx)
{
	__u32 known = UNKNOWN;

#ifdef LICTOR_TYPED_ARGUMENTS
	if (PATCHED(LICTOR_PATCH_PATH_SOURCE) != LICTOR_SOURCE_NONE) {
		known = recall(ctx);
		if (known == NOTHING)
			return 0;
	}
#endif
	return judge_by_tables(ctx, known);
}

#endif
