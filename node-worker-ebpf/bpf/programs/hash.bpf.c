/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Computes the hash of a file, as IMA does, behind a program that judged an event about it and has a record of it.
 *
 * Reading a file may sleep, so this cannot be part of the program that judges: that one uses maps that sleeping programs
 * may not have, and its verdict waits for nobody. The kernel runs the programs of a hook in the reverse order of their
 * attachment, and none behind one that denies.
 */
#include "head.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Whether the thread's last event was about this argument and wants a hash; asked once. */
static __always_inline bool is_wanted(__u64 argument)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 *wanted = bpf_map_lookup_elem(&hashes, &tid);
	bool is_this;

	if (!wanted)
		return false;
	is_this = *wanted == argument;
	bpf_map_delete_elem(&hashes, &tid);
	return is_this;
}

static __always_inline int send_hash(struct file *file)
{
	struct lictor_hash_record record = {};

	record_head(&record.head, LICTOR_RECORD_HASH, bpf_get_current_task_btf());
	record.head.length = sizeof(record);
	record.algorithm = bpf_ima_file_hash(file, record.digest, sizeof(record.digest));
	if (bpf_ringbuf_output(&ring, &record, sizeof(record), BPF_RB_NO_WAKEUP))
		count_site(LICTOR_SITE_HASH);
	return 0;
}

/* Hooks whose first argument is the file. */
SEC("lsm.s/hook") int lictor_hash_file(unsigned long long *ctx)
{
	struct file *file = (struct file *)ctx[0];

	if (!file || !is_wanted((__u64)file))
		return 0;
	return send_hash(file);
}

/* Hooks whose first argument is the program that is about to be run. */
SEC("lsm.s/hook") int lictor_hash_program(unsigned long long *ctx)
{
	struct linux_binprm *program = (struct linux_binprm *)ctx[0];
	struct file *file;

	if (!is_wanted((__u64)program))
		return 0;
	file = program->file;
	return file ? send_hash(file) : 0;
}
