/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Raises fs_generation after every change that makes a remembered path wrong without touching what an entry's
 * identity holds: a directory that moves takes everything below it along, a mount changes what lies under a
 * place, and an executable that moves is known to running tasks by its old name.
 *
 * These run at the end of the function: a program that reads the generation before the change and walks
 * during it stores its result under a generation that is over.
 */
#include "maps.h"
#include "count.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline int raise_generation(void)
{
	__sync_fetch_and_add(&live.fs_generation, 1);
	count_stat(LICTOR_STAT_FS_GENERATION);
	return 0;
}

/*
 * Directories, and files that somebody may be running. Most kernels forbid to write to those; a file that is not
 * executable any more may still run.
 */
static __always_inline bool is_known_by_path(const struct inode *inode)
{
	__u16 mode;

	if (!inode)
		return false;
	mode = inode->i_mode;
	if ((mode & S_IFMT) == S_IFREG)
		return mode & 0111 || inode->i_writecount.counter < 0;
	return (mode & S_IFMT) == S_IFDIR;
}

static __always_inline void make_invalid(struct remembered *entry)
{
	/* The sequence first: whoever writes the entry now looks at it after the revision. */
	__sync_fetch_and_add(&entry->sequence, 2);
	*(volatile __u32 *)&entry->revision = 0;
}

/*
 * Forgets what is known of the file at this dentry, and what is being found out about it: its name has changed, perhaps
 * to one of equal length and hash, perhaps for a moment only.
 */
static __always_inline void forget(struct dentry *dentry)
{
	__u32 index = cache_index((__u64)dentry, PATH_CACHE_BITS);
	struct path_entry *entry = bpf_map_lookup_elem(&path_cache, &index);
	struct path_string *string;

	if (entry)
		make_invalid(&entry->of);
	/* After the other, which is the ticket of whoever writes this one. */
	index = cache_index((__u64)dentry, PATH_STRING_BITS);
	string = bpf_map_lookup_elem(&path_strings, &index);
	if (string)
		make_invalid(&string->of);
}

/* __d_move(dentry, target, exchange): every rename ends here, and a directory found again under another name.
 */
SEC("fexit/__d_move") int lictor_d_move(__u64 *ctx)
{
	struct dentry *dentry = (struct dentry *)ctx[0], *target = (struct dentry *)ctx[1];

	forget(dentry);
	forget(target);
	if (is_known_by_path(dentry->d_inode) || is_known_by_path(target->d_inode))
		raise_generation();
	return 0;
}

/* Each of these changes the tree of mounts; which of them exist depends on the kernel. */
SEC("fexit/path_mount") int lictor_path_mount(void *ctx)
{
	return raise_generation();
}

SEC("fexit/path_umount") int lictor_path_umount(void *ctx)
{
	return raise_generation();
}

SEC("fexit/umount_tree") int lictor_umount_tree(void *ctx)
{
	return raise_generation();
}

SEC("fexit/sys_move_mount") int lictor_move_mount(void *ctx)
{
	return raise_generation();
}

SEC("fexit/sys_pivot_root") int lictor_pivot_root(void *ctx)
{
	return raise_generation();
}

/* prctl(PR_SET_MM_EXE_FILE) */
SEC("fexit/replace_mm_exe_file") int lictor_replace_exe(void *ctx)
{
	return raise_generation();
}
