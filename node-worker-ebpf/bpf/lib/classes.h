/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Path classes, remembered per file and per directory.
 *
 * Both caches are direct-mapped arrays indexed by the dentry's address. An entry holds everything that its
 * answer depends on (struct identity, the file system generation, the revision), so it needs no owner and no
 * eviction, works in every program type, and cannot fail to be allocated. What its fields cannot tell (a
 * renamed ancestor, a moved mount) is told by fs_generation, which the programs of invalidate.bpf.c raise
 * after such a change; it is read before the walk, so a walk that raced with a change is stored under the old
 * generation.
 *
 * The order of the sequence and what it guards relies on stores being seen in order (x86).
 */
#ifndef LICTOR_CLASSES_H
#define LICTOR_CLASSES_H

#include "path.h"

/*
 * Programs whose arguments have types (LSM, trampolines) read members directly, which costs one instruction;
 * the others go through a helper.
 */
#define DIRECTLY(pointer, member) ((pointer)->member)
#ifdef LICTOR_TYPED_ARGUMENTS
#define KERNEL DIRECTLY
#else
#define KERNEL(pointer, member) BPF_CORE_READ(pointer, member)
#endif

/* Fills `id` for a dentry with `read` as the way to its members. */
#define IDENTITY_OF(id, leaf_, mount, read)                                                                  \
	do {                                                                                                 \
		struct dentry *above_ = read(leaf_, d_parent);                                               \
		struct inode *directory_ = read(above_, d_inode);                                            \
                                                                                                             \
		(id)->dentry = (__u64)(leaf_);                                                               \
		(id)->mnt = mount;                                                                           \
		(id)->parent = (__u64)above_;                                                                \
		(id)->name_hash = read(leaf_, d_name.hash);                                                  \
		(id)->name_length = read(leaf_, d_name.len);                                                 \
		(id)->inode = (__u64)read(leaf_, d_inode);                                                   \
		(id)->parent_inode = read(directory_, i_ino);                                                \
		(id)->parent_generation = read(directory_, i_generation);                                    \
	} while (0)

static __always_inline void identity_of_file(struct file *file, struct identity *id)
{
	struct dentry *leaf = KERNEL(file, f_path.dentry);

	IDENTITY_OF(id, leaf, (__u64)KERNEL(file, f_path.mnt), KERNEL);
	id->inode = (__u64)KERNEL(file, f_inode);
}

/* Of the directory that `file` lies in. */
static __always_inline void identity_of_directory(struct file *file, struct identity *id)
{
	struct dentry *leaf = KERNEL(file, f_path.dentry);
	struct dentry *above = KERNEL(leaf, d_parent);

	IDENTITY_OF(id, above, (__u64)KERNEL(file, f_path.mnt), KERNEL);
}

/* A ticket that is never honoured. */
#define NO_TICKET 1

static __always_inline __u32 ticket_of(const struct path_entry *entry)
{
	return entry ? *(volatile __u32 *)&entry->of.sequence : NO_TICKET;
}

/* The ticket for a dentry, given the low half of its address. */
static __always_inline __u32 ticket_at(__u32 dentry_low)
{
	__u32 index = cache_index(dentry_low, PATH_CACHE_BITS);

	return ticket_of(bpf_map_lookup_elem(&path_cache, &index));
}

/*
 * Of the executable that a process runs, the current one or one that is reached from it; false for kernel threads, which
 * run none. Members are read directly in every type of program: what is reached from the current task has a type.
 */
static __always_inline bool identity_of_executable(struct task_struct *task, struct identity *id)
{
	struct mm_struct *memory = task->mm;
	struct dentry *leaf;
	struct file *file;

	if (!memory)
		return false;
	file = memory->exe_file;
	if (!file)
		return false;
	leaf = file->f_path.dentry;
	id->ticket = ticket_at((__u64)leaf);
	barrier();
	IDENTITY_OF(id, leaf, (__u64)file->f_path.mnt, DIRECTLY);
	id->inode = (__u64)file->f_inode;
	return true;
}

/* Of a dentry without an open file; mnt may be 0. Reads through the helper: the pointer has no
 * type. Takes a ticket, too. */
__noinline int identity_of_dentry(__u64 dentry, __u64 mnt, struct identity *id)
{
	struct dentry *leaf = (struct dentry *)dentry;

	if (!id)
		return 0;
	id->ticket = ticket_at(dentry);
	barrier();
	IDENTITY_OF(id, leaf, mnt, BPF_CORE_READ);
	return 0;
}

static __always_inline bool is_of(const struct remembered *entry, __u32 revision, __u32 fs_generation,
				  const struct identity *id)
{
	return entry->revision == revision && entry->fs_generation == fs_generation &&
	       entry->id.dentry == id->dentry && entry->id.mnt == id->mnt && entry->id.parent == id->parent &&
	       entry->id.name_hash == id->name_hash && entry->id.name_length == id->name_length &&
	       entry->id.inode == id->inode && entry->id.parent_inode == id->parent_inode &&
	       entry->id.parent_generation == id->parent_generation;
}

/* Whether nobody has begun to write the entry since its sequence was `sequence`. */
static __always_inline bool is_unchanged(const struct remembered *entry, __u32 sequence)
{
	barrier();
	return *(volatile __u32 *)&entry->sequence == sequence;
}

/* Copies what `entry`, whose sequence was `sequence`, knows of `id`; false when it is for something else, or is
 * or was being written. */
static __always_inline bool entry_read(struct path_entry *entry, __u32 sequence, const struct moment *at,
				       const struct identity *id, struct path_classes *classes)
{
	if (sequence & 1 || !is_of(&entry->of, at->revision, at->fs_generation, id))
		return false;
	*classes = entry->classes;
	return is_unchanged(&entry->of, sequence);
}

/* Begins to write: whoever loses the race for the entry leaves it to the other. */
static __always_inline bool lock(struct remembered *entry, __u32 sequence)
{
	return !(sequence & 1) &&
	       __sync_val_compare_and_swap(&entry->sequence, sequence, sequence + 1) == sequence;
}

/*
 * Ends it, and gives the sequence from now on. A rename in the meantime has tried to make the entry invalid, perhaps
 * before the revision was written.
 */
static __always_inline __u32 unlock(struct remembered *entry, __u32 sequence)
{
	bool undisturbed = __sync_fetch_and_add(&entry->sequence, 2) == sequence + 1;

	if (!undisturbed)
		*(volatile __u32 *)&entry->revision = 0;
	__sync_fetch_and_add(&entry->sequence, 1);
	return undisturbed ? sequence + 4 : NO_TICKET;
}

/* Gives the sequence of the entry afterwards, or NO_TICKET when it was not written. */
static __always_inline __u32 entry_write(struct path_entry *entry, __u32 sequence, const struct moment *at,
					 const struct identity *id, const struct path_classes *classes)
{
	if (!lock(&entry->of, sequence))
		return NO_TICKET;
	entry->of.revision = at->revision;
	entry->of.fs_generation = at->fs_generation;
	entry->of.id = *id;
	entry->classes = *classes;
	entry->memo_key = 0;
	return unlock(&entry->of, sequence);
}

/* The word that tells for which hook points a class matches nothing. */
static __always_inline __u64 empty_word(void *inner, __u32 base, __u32 count, __u32 class_id)
{
	__u32 index = base + class_id;
	__u64 *word;

	if (class_id >= count)
		return 0;
	word = bpf_map_lookup_elem(inner, &index);
	return word ? *word : 0;
}

/*
 * An overlay opens the file below it, too. Later kernels do so through a mount that no namespace has; 6.1
 * with the overlay's path, but the real file's inode. A function of its own: what it keeps would be on the stack
 * of classes_of(), where stacks are deep.
 */
__noinline bool is_inner_file(struct identity *id)
{
	struct vfsmount *vfsmount;
	struct dentry *dentry;
	struct mount *mount;
	__u64 namespace;

	if (!id)
		return false;
	vfsmount = (void *)id->mnt;
	mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	namespace = (__u64)BPF_CORE_READ(mount, mnt_ns);
	dentry = (void *)id->dentry;
	if ((__u64)BPF_CORE_READ(dentry, d_inode) != id->inode)
		return true;
	/* Mounts of the kernel's own have no namespace either, but their files are nobody's inner file. */
	return namespace > (__u64)-MAX_ERRNO && !(BPF_CORE_READ(vfsmount, mnt_sb, s_flags) & SB_KERNMOUNT);
}

/*
 * When no string of any rule extends the directory of text[start, end), its prefix class holds for everything
 * in it. Returns the class + 1, or 0.
 */
__noinline __u32 closed_directory(__u32 slot, struct scratch *s, __u32 start, __u32 name_length)
{
	struct lictor_lpm_value *found;
	__u32 end = LICTOR_PATH_MAX - (name_length & 255), length;
	void *trie;

	if (!s || start >= end)
		return 0;
	s = scratch_as_map_value(s);
	if (!s)
		return 0;
	length = end - start;
	if (length > LICTOR_LPM_CHUNK)
		return 0;
	/* The path of a file that is a mount of its own ends with another name, perhaps of another length. */
	if (s->text[(end - 1) & TEXT_MASK] != '/')
		return 0;
	trie = bpf_map_lookup_elem(&strings, &slot);
	if (!trie)
		return 0;
	s->key.state = LICTOR_STATE_PATH_PREFIX;
	s->key.prefix_length = 32 + length * 8;
	bpf_probe_read_kernel(s->key.bytes, length, &s->text[start & TEXT_MASK]);
	found = bpf_map_lookup_elem(trie, &s->key);
	if (!found)
		return 1;
	if ((found->length == length && found->extended) || found->next)
		return 0;
	return found->class_id + 1;
}

/* Walks the path and looks its classes up; tells through `directory_class` (+ 1) when they hold for the
 * directory. */
__noinline int classify_path(struct event *e, struct scratch *s, const struct identity *id,
			     struct path_classes *classes, __u32 flags)
{
	__u64 walked;
	__u32 start, closed;

	if (!e || !s || !id || !classes)
		return 0;
	count_stat(LICTOR_STAT_PATH_COLD);
	walked = path_walk(id->dentry, id->mnt, s);
	start = (__u32)walked;
	classes->status = walked >> 32;
	if (classes->status != PATH_OK || start >= LICTOR_PATH_MAX)
		return 0;
	if (!(flags & LICTOR_REVISION_HAS_SUFFIX)) {
		closed = closed_directory(e->at.slot, s, start, id->name_length);
		if (closed) {
			classes->prefix_class = closed - 1;
			return 1;
		}
	}
	classes->prefix_class =
	    prefix_class(e->at.slot, s, pair(start, LICTOR_PATH_MAX + 1), pair(LICTOR_STATE_PATH_PREFIX, 0));
	if (flags & LICTOR_REVISION_HAS_SUFFIX)
		classes->suffix_class = suffix_class(e->at.slot, s, pair(start, LICTOR_PATH_MAX),
						     pair(LICTOR_STATE_PATH_SUFFIX, 0));
	return 0;
}

/*
 * Whether the dentry has been in e->directory, by the same name, since `id` was filled: otherwise the path that was
 * walked says nothing about that directory.
 */
__noinline bool has_stayed(struct event *e, const struct identity *id)
{
	struct parent_and_name now;

	if (!e || !id)
		return false;
	parent_and_name_read(&now, (struct dentry *)id->dentry);
	return e->directory.dentry == id->parent && (__u64)now.parent == id->parent &&
	       now.name.hash == id->name_hash && now.name.len == id->name_length &&
	       ticket_at(id->dentry) == id->ticket;
}

/* Through the directory's entry when it has one, else by a walk. `inner` holds the words of the revision. */
static __always_inline void classify_cold(struct event *e, struct scratch *s, const struct identity *id,
					  struct path_classes *classes,
					  const struct lictor_revision *revision, void *inner)
{
	__u32 index, flags = revision->flags;
	struct path_entry *entry = NULL;
	struct path_classes known = {};
	bool closed;

	if (!(flags & LICTOR_REVISION_HAS_SUFFIX) && id->parent != id->dentry) {
		index = cache_index(id->parent, DIRECTORY_CACHE_BITS);
		entry = bpf_map_lookup_elem(&directory_cache, &index);
		if (entry && entry_read(entry, ticket_of(entry), &e->at, &e->directory, &known)) {
			count_stat(LICTOR_STAT_DIRECTORY_HIT);
			classes->prefix_class = known.prefix_class;
			classes->empty = known.empty;
			return;
		}
	}
	closed = classify_path(e, s, id, classes, flags);
	if (classes->status == PATH_UNRESOLVED)
		return;
	classes->empty =
	    empty_word(inner, revision->prefix_empty_base, revision->prefix_classes, classes->prefix_class) |
	    empty_word(inner, revision->suffix_empty_base, revision->suffix_classes, classes->suffix_class);
	if (closed && entry && has_stayed(e, id))
		entry_write(entry, ticket_of(entry), &e->at, &e->directory, classes);
}

/*
 * The classes of a file whose cache entry did not know it: computes and remembers them. `e->directory` is the
 * file's directory; `dentry_only` tells that there is no open file behind `id`.
 */
__noinline int classes_of(struct event *e, struct scratch *s, struct identity *id,
			  struct path_classes *classes, bool dentry_only)
{
	struct lictor_revision *revision;
	struct path_entry *entry;
	__u32 slot, index;
	void *inner;

	if (!e || !s || !id || !classes)
		return 0;
	classes->prefix_class = classes->suffix_class = 0;
	classes->status = PATH_OK;
	classes->empty = 0;
	slot = e->at.slot;
	revision = bpf_map_lookup_elem(&revisions, &slot);
	inner = bpf_map_lookup_elem(&words, &slot);
	if (!revision || !inner) {
		classes->status = PATH_UNRESOLVED;
		count_site(LICTOR_SITE_TABLES);
		return 0;
	}
	if (!dentry_only && is_inner_file(id)) {
		classes->status = PATH_INNER;
		classes->empty = ~0ULL;
	} else {
		classify_cold(e, s, id, classes, revision, inner);
	}
	index = cache_index(id->dentry, PATH_CACHE_BITS);
	entry = bpf_map_lookup_elem(&path_cache, &index);
	if (entry)
		id->ticket = entry_write(entry, id->ticket, &e->at, id, classes);
	return 0;
}

/* The same, asking the cache first. */
__noinline int cached_classes_of(struct event *e, struct scratch *s, struct identity *id,
				 struct path_classes *classes, bool dentry_only)
{
	struct path_entry *entry;
	__u32 index;

	if (!e || !id || !classes)
		return 0;
	index = cache_index(id->dentry, PATH_CACHE_BITS);
	entry = bpf_map_lookup_elem(&path_cache, &index);
	if (entry && entry_read(entry, id->ticket, &e->at, id, classes))
		return 0;
	identity_of_dentry(id->parent, id->mnt, &e->directory);
	return classes_of(e, s, id, classes, dentry_only);
}

/*
 * Whether there may well be something at an address, but it cannot be read. NULL and errors, which functions return as pointers,
 * tell that there is nothing. A function of its own, so that judge_by_tables() keeps nothing for it on its stack.
 */
__noinline bool leads_nowhere(struct event *e, __u64 address)
{
	return e && address && address < (__u64)-MAX_ERRNO &&
	       bpf_probe_read_kernel(&e->changes, 1, (void *)address);
}

#endif
