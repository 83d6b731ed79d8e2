/* Who pays: the cgroup behind a task or a socket, its counters, its budget, and records paid from it.
 *
 * Not here: what the records say (`probes.bpf.c`). Reads go through BPF_CORE_READ rather than direct loads: what a
 * verifier lets one load directly differs between 6.1 and 6.18, what a helper may read does not.
 */
#pragma once

#include "records.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

/* A section of its own, so that the loader finds nothing but the settings in it. */
const volatile struct settings settings SEC(".rodata.settings") = {};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} events SEC(".maps");

/* Memory is taken for entries that are there: 512 bytes each, 16 MB when full. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CGROUPS_MAX);
	__type(key, __u64);
	__type(value, struct counters);
} cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rest);
} rest SEC(".maps");

struct owner {
	__u64 id;
	__u32 is_root;
	__u32 is_live;
	struct cgroup *cgroup; /* 0 once it may be gone */
};

static __always_inline struct owner owner_of_cgroup(struct cgroup *cgroup)
{
	struct owner owner = {};

	if (!cgroup)
		return owner;
	owner.id = BPF_CORE_READ(cgroup, kn, id);
	owner.is_root = BPF_CORE_READ(cgroup, level) == 0;
	owner.is_live = (BPF_CORE_READ(cgroup, self.flags) & CSS_ONLINE) != 0;
	owner.cgroup = cgroup;
	return owner;
}

static __always_inline struct cgroup *cpuacct_cgroup(struct css_set *set)
{
	struct cgroup_subsys_state *css = 0;
	__u64 at;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, cpuacct_cgrp_id))
		return 0;
	at = bpf_core_enum_value(enum cgroup_subsys_id, cpuacct_cgrp_id);
	bpf_probe_read_kernel(&css, sizeof(css),
			      (void *)__builtin_preserve_access_index(&set->subsys[0]) + at * sizeof(void *));
	return BPF_CORE_READ(css, cgroup);
}

static __always_inline struct owner owner_of_task(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);

	return owner_of_cgroup(settings.is_v1 ? cpuacct_cgroup(set) : BPF_CORE_READ(set, dfl_cgrp));
}

static __always_inline struct owner owner_of_current(void)
{
	return owner_of_task((struct task_struct *)bpf_get_current_task());
}

/* The kernel's own object behind a pointer that the verifier has a type for, and through which it would allow too
 * little: copied by way of memory it is a plain address, to be read like any other. */
static __always_inline void *plain(const void *typed)
{
	void *address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &typed);
	return address;
}

static __always_inline bool in_our_hierarchy(struct cgroup *cgroup)
{
	return BPF_CORE_READ(cgroup, root, hierarchy_id) == settings.hierarchy_id;
}

static __always_inline void add(__u64 *counter, __u64 count)
{
	__sync_fetch_and_add(counter, count);
}

#include "creators.h"

/* The counters of a cgroup. Sockets outlive their cgroup by minutes; a removed one gets no new entry, or the
 * table would fill with entries that nothing deletes. */
static __always_inline struct counters *counters_of(const struct owner *owner)
{
	struct counters *counters;
	struct rest *others;
	__u64 id = owner->id;
	__u32 first = 0;

	counters = bpf_map_lookup_elem(&cgroups, &id);
	if (!counters && owner->is_live)
		counters = admit(owner->id, owner->cgroup);
	if (counters)
		return counters;
	others = bpf_map_lookup_elem(&rest, &first);
	return others ? &others->counters : 0;
}

/* For what happens often: the helper costs a fraction of reading the owner field by field. */
static __always_inline struct counters *counters_of_current(void)
{
	__u64 id = bpf_get_current_cgroup_id();
	struct counters *counters = settings.is_v1 ? 0 : bpf_map_lookup_elem(&cgroups, &id);
	struct owner owner;

	if (counters)
		return counters;
	owner = owner_of_current();
	return counters_of(&owner);
}

/* A token bucket kept as one number (the "virtual scheduling" form of GCRA, ITU-T I.371), so that a
 * compare-and-swap is enough and no lock is held. */
static __always_inline bool within_budget(struct counters *counters, const struct owner *owner, __u64 now)
{
	__u64 interval = owner->is_root ? settings.host_interval_ns : settings.interval_ns;
	__u64 burst = owner->is_root ? settings.host_burst_ns : settings.burst_ns;

#pragma clang loop unroll(full)
	for (int try = 0; try < 4; try++) {
		__u64 due = *(volatile __u64 *)&counters->due;
		__u64 from = due > now ? due : now;

		if (from - now > burst)
			return false;
		if (__sync_val_compare_and_swap(&counters->due, due, from + interval) == due)
			return true;
	}
	/* Contended by many cores at once: charge without the check rather than lose the event. */
	add(&counters->due, interval);
	return true;
}

/* A record of `size` bytes paid by `payer`; none when its budget or the ring buffer is spent, which is counted. */
static __always_inline void *begin(struct counters *counters, const struct owner *payer, __u32 kind, __u32 size)
{
	__u64 now = bpf_ktime_get_boot_ns();
	struct header *header;

	if (!within_budget(counters, payer, now)) {
		add(&counters->over_budget, 1);
		return 0;
	}
	header = bpf_ringbuf_reserve(&events, size, 0);
	if (!header) {
		add(&counters->no_room, 1);
		return 0;
	}
	add(&counters->submitted, 1);
	header->kind = kind;
	header->size = size;
	header->time = now;
	header->cgroup = payer->id;
	return header;
}

/* Waking the reader for every record costs more than the record: it is woken when enough wait, else it looks
 * by itself after a moment. */
static __always_inline void submit(void *record)
{
	bool enough = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= settings.wake_bytes;

	bpf_ringbuf_submit(record, enough ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

/* For what the reader should look into at once: a moment later it may be over. */
static __always_inline void submit_urgent(void *record)
{
	bpf_ringbuf_submit(record, BPF_RB_FORCE_WAKEUP);
}
