/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The life of processes: a record for each new process, each execve that succeeded, and each process's end.
 */
#include "record.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* struct lictor_exec_record, file name, working directory, arguments, executable: all bounded. */
#define EXEC_TEXT_LIMIT (LICTOR_MAX_RECORD - LICTOR_PATH_MAX)

static __always_inline void output(void *record, __u32 length, __u32 lost_site)
{
	if (bpf_ringbuf_output(&ring, record, length, BPF_RB_NO_WAKEUP))
		count_site(lost_site);
}

/* Of a process that began before the engine did. */
static const struct lictor_image unknown_image = {.flags = LICTOR_IMAGE_ORIGIN_UNKNOWN};

/* The entry of the process that `head` names, made from `origin`, or from nothing known; NULL = the table is full. */
static __always_inline struct lictor_image *image_from(const struct lictor_record *head,
						       const struct lictor_image *origin)
{
	__u32 tgid = head->tgid;

	if (bpf_map_update_elem(&images, &tgid, origin ?: &unknown_image, BPF_ANY)) {
		count_site(LICTOR_SITE_IMAGE_TABLE);
		/* What still stands there is of a process that had the number before. */
		bpf_map_delete_elem(&images, &tgid);
		return NULL;
	}
	return bpf_map_lookup_elem(&images, &tgid);
}

/* Since when it runs this, which is how the next node worker names it. */
static __always_inline void image_began(struct lictor_image *image, const struct lictor_record *head)
{
	image->start_boot_ns = head->start_boot_ns;
	image->boot_ns = head->boot_ns;
}

/* What a new process has. */
static __always_inline void image_privileges(struct lictor_image *image, struct task_struct *task)
{
	const struct cred *cred = BPF_CORE_READ(task, cred);
	/* The task itself, as a number: a pointer with a type is none to functions that are verified by themselves. */
	__u64 leader = (__u64)BPF_CORE_READ(task, group_leader);

	image->cap_effective = capabilities_of(cred, LICTOR_FROM_CAP_EFFECTIVE);
	image->cap_permitted = capabilities_of(cred, LICTOR_FROM_CAP_PERMITTED);
	image->cap_inheritable = capabilities_of(cred, LICTOR_FROM_CAP_INHERITABLE);
#pragma unroll
	for (int i = 0; i < LICTOR_NAMESPACES; i++)
		image->namespaces[i] = namespace_of(leader, LICTOR_FROM_NS_UTS + i);
}

static __always_inline void parent_of(struct task_struct *task, __u32 *tgid, __u64 *start_boot_ns)
{
	struct task_struct *parent = BPF_CORE_READ(task, real_parent, group_leader);

	*tgid = BPF_CORE_READ(parent, tgid);
	*start_boot_ns = BPF_CORE_READ(parent, start_boottime);
}

/* sched_process_fork(parent, child) */
SEC("tp_btf/sched_process_fork") int lictor_fork(__u64 *ctx)
{
	struct task_struct *parent = (struct task_struct *)ctx[0], *child = (struct task_struct *)ctx[1];
	struct lictor_fork_record record = {};
	struct lictor_image *image;

	/* A thread of a process that is known. */
	if (child->pid != child->tgid)
		return 0;
	record_head(&record.head, LICTOR_RECORD_FORK, child);
	record.head.length = sizeof(record);
	record.parent_tgid = parent->tgid;
	record.parent_start_boot_ns = BPF_CORE_READ(parent, group_leader, start_boottime);
	record.namespace_pid = namespace_pid(child);
	image = image_from(&record.head, current_image());
	if (image) {
		image_began(image, &record.head);
		image_privileges(image, child);
	}
	output(&record, sizeof(record), LICTOR_SITE_FORK_LOST);
	return 0;
}

/* acct_process() runs once, in the last thread of a process that ends. */
SEC("fentry/acct_process") int lictor_exit(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct lictor_exit_record record = {};
	__u32 tgid;

	record_head(&record.head, LICTOR_RECORD_EXIT, task);
	record.head.length = sizeof(record);
	record.status = BPF_CORE_READ(task, exit_code);
	tgid = record.head.tgid;
	bpf_map_delete_elem(&images, &tgid);
	output(&record, sizeof(record), LICTOR_SITE_EXIT_LOST);
	return 0;
}

static __always_inline void exec_credentials(struct lictor_exec_record *record, struct task_struct *task)
{
	const struct cred *cred = BPF_CORE_READ(task, cred);

	record->uid = BPF_CORE_READ(cred, uid.val);
	record->gid = BPF_CORE_READ(cred, gid.val);
	record->euid = BPF_CORE_READ(cred, euid.val);
	record->egid = BPF_CORE_READ(cred, egid.val);
	record->suid = BPF_CORE_READ(cred, suid.val);
	record->sgid = BPF_CORE_READ(cred, sgid.val);
	record->fsuid = BPF_CORE_READ(cred, fsuid.val);
	record->fsgid = BPF_CORE_READ(cred, fsgid.val);
	record->secure_bits = BPF_CORE_READ(cred, securebits);
	record->cap_permitted = capability_set(LICTOR_FROM_CAP_PERMITTED);
	record->cap_effective = capability_set(LICTOR_FROM_CAP_EFFECTIVE);
	record->cap_inheritable = capability_set(LICTOR_FROM_CAP_INHERITABLE);
	record->login_uid = bpf_core_field_exists(task->loginuid) ? BPF_CORE_READ(task, loginuid.val) : ~0u;
#pragma unroll
	for (int i = 0; i < LICTOR_NAMESPACES; i++)
		record->namespaces[i] = namespace_of(bpf_get_current_task(), LICTOR_FROM_NS_UTS + i);
}

/* A cursor into s->record behind the fixed part. */
struct cursor {
	struct scratch *s;
	__u32 at;
	__u32 status;
};

static __always_inline __u8 *cursor_data(struct cursor *c)
{
	__u32 at = c->at;

	if (at > EXEC_TEXT_LIMIT)
		at = EXEC_TEXT_LIMIT;
	return &c->s->record[at];
}

/* Appends a path; returns its length. */
static __noinline __u32 append_path(struct cursor *c, __u64 dentry, __u64 mnt)
{
	__u64 walked;
	__u32 start, length;

	if (!c)
		return 0;
	walked = path_walk(dentry, mnt, c->s);
	start = (__u32)walked;
	c->status = walked >> 32;
	if (c->status != PATH_OK || start >= LICTOR_PATH_MAX)
		return 0;
	length = LICTOR_PATH_MAX - start;
	if (length > LICTOR_PATH_MAX)
		return 0;
	bpf_probe_read_kernel(cursor_data(c), length, &c->s->text[start & TEXT_MASK]);
	c->at += length;
	return length;
}

static __noinline __u32 append_string(struct cursor *c, __u64 from)
{
	long result;

	if (!c)
		return 0;
	result = bpf_probe_read_kernel_str(cursor_data(c), LICTOR_PATH_MAX, (void *)from);
	if (result <= 1 || result > LICTOR_PATH_MAX)
		return 0;
	c->at += result - 1;
	return result - 1;
}

/* Appends the arguments behind argv[0], as the new image finds them: NUL-separated. */
static __noinline __u32 append_arguments(struct cursor *c, struct lictor_exec_record *record,
					 struct task_struct *task)
{
	__u64 start = BPF_CORE_READ(task, mm, arg_start), end = BPF_CORE_READ(task, mm, arg_end);
	__u32 length;
	long first;

	if (!c || !record || end <= start)
		return 0;
	/* argv[0] is not an argument to people; its length is all that is wanted of it. */
	first = read_string(cursor_data(c), LICTOR_MAX_EXEC_ARGS, start);
	if (first < 0) {
		record->flags |= LICTOR_EXEC_ARGS_UNREADABLE;
		count_site(LICTOR_SITE_READ);
		return 0;
	}
	start += first;
	if (end <= start)
		return 0;
	length = end - start;
	if (end - start > LICTOR_MAX_EXEC_ARGS) {
		length = LICTOR_MAX_EXEC_ARGS;
		record->flags |= LICTOR_EXEC_ARGS_TRUNCATED;
	}
	if (bpf_probe_read_user(cursor_data(c), length, (void *)start)) {
		record->flags |= LICTOR_EXEC_ARGS_UNREADABLE;
		count_site(LICTOR_SITE_READ);
		return 0;
	}
	c->at += length;
	return length;
}

static __always_inline void exec_fill(struct lictor_exec_record *record, struct scratch *s,
				      struct task_struct *task, struct linux_binprm *binprm)
{
	struct file *exe = BPF_CORE_READ(task, mm, exe_file);
	struct inode *inode = BPF_CORE_READ(exe, f_inode);
	struct cursor c = {.s = s, .at = sizeof(*record)};
	__u64 parent_start;
	__u32 parent;

	record_head(&record->head, LICTOR_RECORD_EXEC, task);
	parent_of(task, &parent, &parent_start);
	record->parent_tgid = parent;
	record->parent_start_boot_ns = parent_start;
	record->flags = 0;
	record->namespace_pid = namespace_pid(task);
	exec_credentials(record, task);
	if (record->euid != record->uid)
		record->flags |= LICTOR_EXEC_SETUID;
	if (record->egid != record->gid)
		record->flags |= LICTOR_EXEC_SETGID;
	record->inode = BPF_CORE_READ(inode, i_ino);
	record->links = BPF_CORE_READ(inode, i_nlink);
	record->filename_length = append_string(&c, (__u64)BPF_CORE_READ(binprm, filename));
	record->cwd_length = append_path(&c, (__u64)BPF_CORE_READ(task, fs, pwd.dentry),
					 (__u64)BPF_CORE_READ(task, fs, pwd.mnt));
	if (c.status != PATH_OK)
		record->flags |= LICTOR_EXEC_CWD_UNREADABLE;
	else if (record->cwd_length == 1)
		record->flags |= LICTOR_EXEC_CWD_ROOT;
	record->args_length = append_arguments(&c, record, task);
	record->exe_length =
	    append_path(&c, (__u64)BPF_CORE_READ(exe, f_path.dentry), (__u64)BPF_CORE_READ(exe, f_path.mnt));
	record->head.length = c.at;
}

/* The executable's path, which exec_fill() walked last, ends where the text's first half does. */
static __always_inline void exec_image(const struct lictor_exec_record *record, struct scratch *s)
{
	struct lictor_image *image = current_image();
	__u32 length = record->exe_length;

	if (!image)
		image = image_from(&record->head, NULL);
	if (!image)
		return;
	image_began(image, &record->head);
	/* As exec_credentials() has just read it. */
	image->cap_effective = record->cap_effective;
	image->cap_permitted = record->cap_permitted;
	image->cap_inheritable = record->cap_inheritable;
#pragma unroll
	for (int i = 0; i < LICTOR_NAMESPACES; i++)
		image->namespaces[i] = record->namespaces[i];
	image_add(image, length ? hash_of_path(s, LICTOR_PATH_MAX - length) : 0);
}

/* sched_process_exec(task, old_pid, binprm) */
SEC("tp_btf/sched_process_exec") int lictor_exec(__u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	struct linux_binprm *binprm = (struct linux_binprm *)ctx[2];
	struct scratch *s = scratch_get();
	struct lictor_exec_record *record;
	__u32 length;

	if (!s) {
		count_site(LICTOR_SITE_EXEC_LOST);
		return 0;
	}
	record = (struct lictor_exec_record *)s->record;
	exec_fill(record, s, task, binprm);
	exec_image(record, s);
	length = record->head.length;
	if (length > LICTOR_MAX_RECORD)
		length = LICTOR_MAX_RECORD;
	output(record, length, LICTOR_SITE_EXEC_LOST);
	scratch_put(s);
	return 0;
}
