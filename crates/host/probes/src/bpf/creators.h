/* Who had a cgroup made: entries of the table of counters are shared out by it, so that no creator of many cgroups takes the
 * room of the others.
 *
 * Not here: what is counted (`books.h`, which includes this file). User space releases the entries of removed cgroups, and
 * those of cgroups that stand still while many are there.
 */
#pragma once

/* The last of the entries are for creators that have few. */
#define RESERVED_ENTRIES 4096
#define RESERVED_EACH 8

/* Entries for the cgroups of one creator. A container manager inside a container has one for each of its containers, and
 * so has a user's own; what is made below one directory of the host may be all containers of a large host. */
#define SHARE_OF_CONTAINER 1024
#define SHARE_OF_USER 2048
#define SHARE_OF_HOST 12288

/* Numbers of creators that are no cgroup. */
#define CREATOR_USER (1ULL << 62)
#define CREATOR_CONTAINER (1ULL << 61)
/* Of cgroups so deep that the way up is not walked. */
#define CREATOR_DEEP (1ULL << 60)

/* Set in the number of an entry's creator once the cgroup is removed: no event need get through for it to be freed. */
#define CREATOR_GONE (1ULL << 63)

/* The directory by which the cgroups of the host are shared out lies at most this deep: `/docker/ID` and what is below it
 * is one, and so is `/system.slice`. */
#define HOST_LEVEL 2
#define WALK_MAX 64
/* The kernel's own limit for user namespaces in each other. */
#define USERS_LEVEL_MAX 33

/* 512 bytes for each creator. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CREATORS_MAX);
	__type(key, __u64);
	__type(value, struct creator);
} creators SEC(".maps");

/* How many of the entries that a creator was given are gone; of all under the number 0. Only user space writes here. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CREATORS_MAX + 1);
	__type(key, __u64);
	__type(value, __u64);
} released SEC(".maps");

/* Too large for the stack beside what callers have there. */
const struct creator new_creator SEC(".rodata.creator") = {};

/* The user that made the outermost user namespace which the task lives in; 0 for root and for what lives in none. */
static __always_inline __u32 owner_of_users(struct task_struct *task)
{
	struct user_namespace *users = BPF_CORE_READ(task, cred, user_ns);
	int level = BPF_CORE_READ(users, level);

	if (level == 0)
		return 0;
	for (int step = 0; step < USERS_LEVEL_MAX; step++) {
		if (level <= 1)
			break;
		users = BPF_CORE_READ(users, parent);
		level = BPF_CORE_READ(users, level);
	}
	return BPF_CORE_READ(users, owner.val);
}

/* Inode number of the outermost pid namespace below the host's which the task lives in; 0 for none. Namespaces in it are
 * of the same container. */
static __always_inline __u32 outermost_pids(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	struct upid *outer = (void *)__builtin_preserve_access_index(&pid->numbers[0]) + sizeof(struct upid);

	if (BPF_CORE_READ(pid, level) == 0)
		return 0;
	return BPF_CORE_READ(outer, ns, ns.inum);
}

/* The directory of the host that a cgroup lies in. */
static __always_inline __u64 directory_of(struct cgroup *cgroup)
{
	int level = BPF_CORE_READ(cgroup, level);
	int wanted = level - 1 < HOST_LEVEL ? level - 1 : HOST_LEVEL;

	for (int step = 0; step < WALK_MAX; step++) {
		if (level <= wanted)
			return BPF_CORE_READ(cgroup, kn, id);
		cgroup = BPF_CORE_READ(cgroup, self.parent, cgroup);
		level--;
	}
	return CREATOR_DEEP;
}

/* The first to act in a cgroup is asked whom it is of: in the kernel's own words, and not by what anything is called. */
static __always_inline __u64 creator_of(__u64 id, struct cgroup *cgroup)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u32 number;

	if (owner_of_task(task).id == id) {
		number = owner_of_users(task);
		if (number)
			return CREATOR_USER | number;
		number = outermost_pids(task);
		if (number)
			return CREATOR_CONTAINER | number;
		number = BPF_CORE_READ(task, cred, uid.val);
		if (number)
			return CREATOR_USER | number;
	}
	return cgroup ? directory_of(cgroup) : 0;
}

static __always_inline __u64 standing(__u64 id, __u64 made)
{
	__u64 *gone = bpf_map_lookup_elem(&released, &id);

	return gone && *gone < made ? made - *gone : gone ? 0 : made;
}

static __always_inline bool has_share(const struct creator *creator, __u64 id, const struct rest *all)
{
	__u64 share = id & CREATOR_USER ? SHARE_OF_USER : id & CREATOR_CONTAINER ? SHARE_OF_CONTAINER : SHARE_OF_HOST;
	__u64 own = standing(id, creator->made);

	if (own < RESERVED_EACH)
		return true;
	return own < share && standing(0, all->made) < CGROUPS_MAX - RESERVED_ENTRIES;
}

/* The counters of a cgroup that has no entry yet: an entry, or while there is none to spare the one of its creator. */
static __noinline struct counters *admit(__u64 id, struct cgroup *cgroup)
{
	__u64 whose = creator_of(id, cgroup);
	struct creator *creator = bpf_map_lookup_elem(&creators, &whose);
	struct counters *counters;
	struct rest *all;
	__u32 first = 0;

	all = bpf_map_lookup_elem(&rest, &first);
	if (!all)
		return 0;
	if (!creator) {
		bpf_map_update_elem(&creators, &whose, &new_creator, BPF_NOEXIST);
		creator = bpf_map_lookup_elem(&creators, &whose);
	}
	if (!creator) {
		add(&all->untracked, 1);
		return 0;
	}
	if (has_share(creator, whose, all) &&
	    bpf_map_update_elem(&cgroups, &id, &new_creator.counters, BPF_NOEXIST) == 0) {
		counters = bpf_map_lookup_elem(&cgroups, &id);
		if (counters)
			counters->creator = whose;
		add(&creator->made, 1);
		add(&all->made, 1);
		return counters;
	}
	/* Another core may have begun it meanwhile. */
	counters = bpf_map_lookup_elem(&cgroups, &id);
	if (counters)
		return counters;
	add(&creator->untracked, 1);
	creator->latest = id;
	return &creator->counters;
}

static __always_inline void note_removed(struct cgroup *cgroup)
{
	__u64 id = BPF_CORE_READ(cgroup, kn, id);
	struct counters *counters = bpf_map_lookup_elem(&cgroups, &id);

	if (counters)
		__sync_fetch_and_or(&counters->creator, CREATOR_GONE);
}
