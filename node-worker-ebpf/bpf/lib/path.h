/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The path of a dentry on a mount, walked leaf first without locks and without any helper that a hook may
 * forbid. */
#ifndef LICTOR_PATH_H
#define LICTOR_PATH_H

#include "strings.h"

/* More components than a path of LICTOR_PATH_MAX bytes can have, mounts on the way included. */
#define MAX_COMPONENTS 2200

struct parent_and_name {
	struct dentry *parent;
	struct qstr name;
};

/* d_parent and d_name stand side by side in every kernel; one read serves both. */
static __always_inline void parent_and_name_read(struct parent_and_name *up, struct dentry *dentry)
{
	bpf_probe_read_kernel(up, sizeof(*up),
			      (void *)dentry + bpf_core_field_offset(struct dentry, d_parent));
}

struct walk {
	struct dentry *dentry;
	struct dentry *root;
	struct mount *mount;
	struct scratch *s;
	__u32 at;
	__s32 done;
};

enum {
	WALK_ROOT = 1,
	WALK_DETACHED = 2,
	WALK_TOO_LONG = -1,
};

static long walk_callback(__u32 index, struct walk *w)
{
	struct parent_and_name up;
	/* Copies: a member access through `w` inside BPF_CORE_READ would itself be relocated. */
	struct dentry *dentry = w->dentry;
	__u32 length, at = w->at;

	if (dentry == w->root) {
		struct mount *mount = w->mount, *parent;

		if (!mount) {
			w->done = WALK_ROOT;
			return 1;
		}
		parent = BPF_CORE_READ(mount, mnt_parent);
		if (parent == mount) {
			w->done = WALK_ROOT;
			return 1;
		}
		w->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		w->mount = parent;
		w->root = BPF_CORE_READ(parent, mnt.mnt_root);
		return 0;
	}
	parent_and_name_read(&up, dentry);
	if (up.parent == dentry) {
		w->done = w->mount ? WALK_DETACHED : WALK_ROOT;
		return 1;
	}
	length = up.name.len & 255;
	if (at < length + 1 || at > LICTOR_PATH_MAX) {
		w->done = WALK_TOO_LONG;
		return 1;
	}
	at -= length + 1;
	w->s->text[at & TEXT_MASK] = '/';
	bpf_probe_read_kernel(&w->s->text[(at + 1) & TEXT_MASK], length, up.name.name);
	w->at = at;
	w->dentry = up.parent;
	return 0;
}

/* memfd files have a name but no place: "/memfd:NAME" as the kernel shows them. */
static __always_inline __u32 walk_memfd(struct dentry *dentry, struct scratch *s)
{
	__u32 length = BPF_CORE_READ(dentry, d_name.len) & 255, at = LICTOR_PATH_MAX - 1 - length;

	if (!length || BPF_CORE_READ(dentry, d_sb, s_magic) != TMPFS_MAGIC)
		return LICTOR_PATH_MAX;
	s->text[at & TEXT_MASK] = '/';
	bpf_probe_read_kernel(&s->text[(at + 1) & TEXT_MASK], length, BPF_CORE_READ(dentry, d_name.name));
	return at;
}

/*
 * Writes the absolute path of `dentry` on `mnt` (0 = within its own file system) to text[start,
 * LICTOR_PATH_MAX), with a NUL at text[LICTOR_PATH_MAX]. Mounts are crossed up to the root of the mount
 * namespace, whatever root directory the task has, so that chroot(2) does not change what a policy sees.
 * Returns status << 32 | start.
 */
__noinline __u64 path_walk(__u64 dentry, __u64 mnt, struct scratch *s)
{
	struct vfsmount *vfsmount = (void *)mnt;
	struct walk w = {.dentry = (void *)dentry, .s = s, .at = LICTOR_PATH_MAX};
	__u32 start;

	if (!s || !dentry)
		return pair(PATH_NONE, LICTOR_PATH_MAX);
	if (mnt) {
		w.root = BPF_CORE_READ(vfsmount, mnt_root);
		w.mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	}
	s->text[LICTOR_PATH_MAX] = 0;
	bpf_loop(MAX_COMPONENTS, walk_callback, &w, 0);
	start = w.at;
	if (start > LICTOR_PATH_MAX)
		return pair(PATH_UNRESOLVED, LICTOR_PATH_MAX);
	if (w.done == WALK_DETACHED && start == LICTOR_PATH_MAX) {
		start = walk_memfd((void *)dentry, s);
		return pair(start < LICTOR_PATH_MAX ? PATH_OK : PATH_NONE, start);
	}
	if (w.done != WALK_ROOT) {
		count_site(LICTOR_SITE_PATH_WALK);
		return pair(PATH_UNRESOLVED, LICTOR_PATH_MAX);
	}
	if (start == LICTOR_PATH_MAX) {
		start = LICTOR_PATH_MAX - 1;
		s->text[start] = '/';
	}
	return pair(PATH_OK, start);
}

#endif
