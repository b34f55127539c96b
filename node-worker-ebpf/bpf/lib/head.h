/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What all records begin with. */
#ifndef LICTOR_HEAD_H
#define LICTOR_HEAD_H

#include "columns.h"

/* `task` comes with its type from the kernel: its members are read directly. */
static __always_inline void record_head(struct lictor_record *head, __u32 kind, struct task_struct *task)
{
	head->kind = kind;
	head->pad = 0;
	head->boot_ns = bpf_ktime_get_boot_ns();
	head->tgid = task->tgid;
	head->tid = task->pid;
	head->start_boot_ns = task->group_leader->start_boottime;
	head->cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	head->exec_id = task->self_exec_id;
	head->revision = 0;
}

/* The same of a task that has a socket. */
static __always_inline void owner_of_task(struct lictor_owner *owner, struct task_struct *task)
{
	owner->tgid = task->tgid;
	owner->tid = task->pid;
	owner->start_boot_ns = task->group_leader->start_boottime;
	owner->cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	owner->exec_id = task->self_exec_id;
	owner->pad = 0;
}

#endif
