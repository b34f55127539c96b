/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Cgroups that come and go. A new one belongs to the pod of the one above it before any task can be in it, so the
 * first instruction of a container is judged by its pod's policies. The cgroup of a pod is told by its name, which
 * holds the pod's uid; names count only where the kubelet makes cgroups of pods, since processes of pods may make
 * cgroups below their own and name them as they like.
 */
#include "record.h"
#include "scope.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* A uid with dashes, and one of a pod that the kubelet was given by a file. */
#define UID_LONG 36
#define UID_SHORT 32

/* Number of the pod whose uid of `length` bytes ends at `end`, where the name has `have` bytes; 0 = none. */
static __always_inline __u32 pod_by_uid(__u64 end, long have, __u32 length)
{
	struct lictor_pod_uid uid = {};
	char before[3] = {};
	__u32 *pod;

	if (have < (long)(length + sizeof(before)))
		return 0;
	bpf_probe_read_kernel(before, sizeof(before), (void *)(end - length - sizeof(before)));
	if (before[0] != 'p' || before[1] != 'o' || before[2] != 'd')
		return 0;
	bpf_probe_read_kernel(uid.text, length, (void *)(end - length));
#pragma unroll
	for (__u32 i = 0; i < UID_LONG; i++)
		if (i < length && uid.text[i] == '_')
			uid.text[i] = '-';
	pod = bpf_map_lookup_elem(&pods, &uid);
	return pod ? *pod : 0;
}

/* Number of the pod that a name of `length` bytes tells of: `podUID` or `...-podUID.slice`. */
static __always_inline __u32 pod_by_name(__u64 name, long length)
{
	const char slice[8] = ".slice";
	__u64 end = name + length, tail = 0, wanted = 0;
	__u32 pod;

	__builtin_memcpy(&wanted, slice, sizeof(wanted));
	if (length > 6) {
		bpf_probe_read_kernel(&tail, 6, (void *)(end - 6));
		if (tail == wanted) {
			end -= 6;
			length -= 6;
		}
	}
	pod = pod_by_uid(end, length, UID_LONG);
	return pod ? pod : pod_by_uid(end, length, UID_SHORT);
}

struct named_record {
	struct lictor_cgroup_record fixed;
	char name[LICTOR_MAX_CGROUP_NAME];
};

/* Only the default hierarchy's cgroups are asked for; those of others may have the same ids. */
static __always_inline bool is_default_hierarchy(struct cgroup *cgroup)
{
	return BPF_CORE_READ(cgroup, root, hierarchy_id) == 0;
}

/* Length of the name, without NUL. */
static __always_inline long record_cgroup(struct named_record *record, struct cgroup *cgroup)
{
	const char *name = BPF_CORE_READ(cgroup, kn, name);
	long length = bpf_probe_read_kernel_str(record->name, sizeof(record->name), name);

	record_head(&record->fixed.head, LICTOR_RECORD_CGROUP, bpf_get_current_task_btf());
	record->fixed.head.length = sizeof(*record);
	record->fixed.cgroup_id = BPF_CORE_READ(cgroup, kn, id);
	record->fixed.parent_id = BPF_CORE_READ(cgroup, self.parent, cgroup, kn, id);
	record->fixed.name_length = length > 0 ? length - 1 : 0;
	return record->fixed.name_length;
}

static __always_inline void output(struct named_record *record)
{
	if (bpf_ringbuf_output(&ring, record, sizeof(*record), BPF_RB_NO_WAKEUP))
		count_site(LICTOR_SITE_CGROUP_LOST);
}

/* Remembers the cgroup's pod. Those that pods make by themselves must not push out those of other pods. */
static __always_inline void remember(__u64 id, const struct lictor_cgroup *value)
{
	if (value->flags & LICTOR_CGROUP_NESTED) {
		if (nested_cgroups >= LICTOR_MAX_NESTED_CGROUPS) {
			count_site(LICTOR_SITE_CGROUP_TABLE);
			return;
		}
		__sync_fetch_and_add(&nested_cgroups, 1);
	}
	if (bpf_map_update_elem(&cgroups, &id, value, BPF_ANY)) {
		count_site(LICTOR_SITE_CGROUP_TABLE);
		if (value->flags & LICTOR_CGROUP_NESTED)
			__sync_fetch_and_add(&nested_cgroups, -1);
	}
}

/* cgroup_mkdir(cgroup, path): before the directory can be seen. */
SEC("tp_btf/cgroup_mkdir") int lictor_cgroup_made(__u64 *ctx)
{
	struct cgroup *cgroup = (struct cgroup *)ctx[0], *above;
	struct named_record record = {};
	struct lictor_cgroup value = {};
	__u32 named;
	long length;

	if (!is_default_hierarchy(cgroup))
		return 0;
	length = record_cgroup(&record, cgroup);
	above = BPF_CORE_READ(cgroup, self.parent, cgroup);
	value.pod = pod_of_cgroup((__u64)above);
	if (value.pod >= LICTOR_POD_FIRST) {
		value.flags = LICTOR_CGROUP_NESTED;
	} else if (value.pod == LICTOR_POD_UNKNOWN) {
		named = pod_by_name((__u64)BPF_CORE_READ(cgroup, kn, name), length);
		if (named)
			value.pod = named;
	}
	remember(record.fixed.cgroup_id, &value);
	record.fixed.pod = value.pod;
	output(&record);
	return 0;
}

/* cgroup_rmdir(cgroup, path) */
SEC("tp_btf/cgroup_rmdir") int lictor_cgroup_removed(__u64 *ctx)
{
	struct cgroup *cgroup = (struct cgroup *)ctx[0];
	struct named_record record = {};
	struct lictor_cgroup *known;

	if (!is_default_hierarchy(cgroup))
		return 0;
	record_cgroup(&record, cgroup);
	record.fixed.removed = 1;
	known = bpf_map_lookup_elem(&cgroups, &record.fixed.cgroup_id);
	if (known) {
		record.fixed.pod = known->pod;
		if (known->flags & LICTOR_CGROUP_NESTED)
			__sync_fetch_and_add(&nested_cgroups, -1);
		bpf_map_delete_elem(&cgroups, &record.fixed.cgroup_id);
	}
	output(&record);
	return 0;
}
