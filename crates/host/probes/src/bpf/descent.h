/* What a task descends from: the process that came into its container from outside, the package manager of its image. Kept with the task, so that no number of other tasks drives it out; a child takes
 * it over with the fork, so that no fork without an exec loses it.
 *
 * Not here: whether coming in from outside is how the container began, which whoever reads knows.
 */
#pragma once

#include "books.h"
#include "origins.h"

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct descent_record);
} descents SEC(".maps");

/* A child descends from what its parent does. */
static __always_inline void inherit(struct task_struct *parent, struct task_struct *child)
{
	struct descent_record *of_parent = bpf_task_storage_get(&descents, parent, 0, 0);
	struct descent_record *of_child;

	if (!of_parent)
		return;
	of_child = bpf_task_storage_get(&descents, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (of_child)
		*of_child = *of_parent;
}

#define IS_CALLED(name, literal) (bpf_strncmp(name, sizeof(literal), literal) == 0)

/* Only who was called so by its image counts; whoever reads knows where the file is from, also of a script. */
static __always_inline bool is_called_installer(const char *name)
{
	return IS_CALLED(name, "dpkg") || IS_CALLED(name, "apt-get") || IS_CALLED(name, "apt") ||
	       IS_CALLED(name, "aptitude") || IS_CALLED(name, "unattended-upgr") || IS_CALLED(name, "rpm") ||
	       IS_CALLED(name, "dnf") || IS_CALLED(name, "dnf5") || IS_CALLED(name, "yum") ||
	       IS_CALLED(name, "microdnf") || IS_CALLED(name, "tdnf") || IS_CALLED(name, "zypper") ||
	       IS_CALLED(name, "apk") || IS_CALLED(name, "pacman") || IS_CALLED(name, "opkg");
}

static __always_inline bool comes_from_outside(const struct exec_record *record, struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	unsigned int level = BPF_CORE_READ(pid, level);
	struct upid *last = (void *)__builtin_preserve_access_index(&pid->numbers[0]) + level * sizeof(struct upid);

	/* The first process of a pid namespace begins a container. */
	return record->mnt_ns != record->parent_mnt_ns && record->parent_cgroup != record->header.cgroup &&
	       !(level > 0 && BPF_CORE_READ(last, nr) == 1);
}

/* Completes a record with what the task descends from. A program goes by the name of its file, which no link to it changes;
 * a script by what it is asked as, since its file is not at hand here. */
static __always_inline void read_descent(struct exec_record *record, struct task_struct *task, bool is_script)
{
	bool is_entry = comes_from_outside(record, plain(task));
	bool is_installer = is_called_installer(is_script ? record->comm : record->file.name);
	struct descent_record *descent =
		bpf_task_storage_get(&descents, task, 0, is_entry || is_installer ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);

	__builtin_memset(&record->descent, 0, sizeof(record->descent));
	if (!descent)
		return;
	if (is_entry) {
		__builtin_memset(descent, 0, sizeof(*descent));
		descent->entry_start = record->start;
		descent->entry = record->tgid;
	}
	/* The outermost one: what it has others install was changed after it began. */
	if (is_installer && !descent->installer) {
		descent->installer_start = record->start;
		descent->installer = record->tgid;
	}
	record->descent = *descent;
}
