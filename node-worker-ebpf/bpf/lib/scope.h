/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which pod a task belongs to, and which rules hold for it.
 *
 * A task's cgroup is looked up for each event, so a task that moves is judged by where it is. A cgroup that the table
 * does not know is what the nearest one above it is: a full table costs a walk, and opens nothing.
 */
#ifndef LICTOR_SCOPE_H
#define LICTOR_SCOPE_H

#include "count.h"

/* Deeper than cgroups are nested in practice; the root is found from there. */
#define CGROUP_DEPTH_MAX 256

struct pod_walk {
	struct cgroup *cgroup;
	__u32 pod;
};

static long pod_walk_step(__u32 index, struct pod_walk *walk)
{
	struct cgroup *cgroup = walk->cgroup;
	struct lictor_cgroup *known;
	__u64 id = BPF_CORE_READ(cgroup, kn, id);

	known = bpf_map_lookup_elem(&cgroups, &id);
	if (known) {
		walk->pod = known->pod;
		return 1;
	}
	cgroup = BPF_CORE_READ(cgroup, self.parent, cgroup);
	if (!cgroup)
		return 1;
	walk->cgroup = cgroup;
	return 0;
}

/* Number of the pod that a cgroup of the default hierarchy belongs to. */
__noinline __u32 pod_of_cgroup(__u64 cgroup_address)
{
	struct pod_walk walk = {.cgroup = (struct cgroup *)cgroup_address, .pod = LICTOR_POD_HOST};

	bpf_loop(CGROUP_DEPTH_MAX, pod_walk_step, &walk, 0);
	return walk.pod;
}

/* Number of the current task's pod. */
static __always_inline __u32 current_pod(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct lictor_cgroup *known;
	__u64 id = task->cgroups->dfl_cgrp->kn->id;

	known = bpf_map_lookup_elem(&cgroups, &id);
	if (known)
		return known->pod;
	count_stat(LICTOR_STAT_CGROUP_WALK);
	/* Through the helper: a pointer with a type cannot be handed to a function that is verified by itself. */
	return pod_of_cgroup((__u64)BPF_CORE_READ(task, cgroups, dfl_cgrp));
}

/* What the live tables hold for the current task at a hook point; NULL = its class is not known there. */
static __always_inline struct lictor_scope *current_scope(__u32 slot, __u32 hook_slot)
{
	struct lictor_scope_key key = {.hook_slot = hook_slot};
	__u32 pod = current_pod(), *class_id;
	void *inner = bpf_map_lookup_elem(&classes, &slot);

	if (!inner)
		return NULL;
	class_id = bpf_map_lookup_elem(inner, &pod);
	if (!class_id)
		return NULL;
	key.class_id = *class_id;
	inner = bpf_map_lookup_elem(&scopes, &slot);
	return inner ? bpf_map_lookup_elem(inner, &key) : NULL;
}

#endif
