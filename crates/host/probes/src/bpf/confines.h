/* Where a process lives, beside its namespaces: whose root it has, whose file it runs, what it may do. Read when it is
 * born, executes and ends, so that one which lives for milliseconds can be judged by it.
 *
 * Not here: paths. Roots are compared with that of the host's first process, which each pid namespace leads to.
 */
#pragma once

#include "records.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* How many directories a mount may lie deep, and how long their names may be: beyond that it is not in place. */
#define IN_PLACE_DEPTH 8
#define IN_PLACE_NAME_BYTES 32

/* The number of a pid namespace, and of the process in it, innermost first. */
static __always_inline struct upid *innermost(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	unsigned int level = BPF_CORE_READ(pid, level);

	return (void *)__builtin_preserve_access_index(&pid->numbers[0]) + level * sizeof(struct upid);
}

/* Inode number of the pid namespace the task lives in; nsproxy has the one its children will get. */
static __always_inline __u32 pid_namespace_of(struct task_struct *task)
{
	return BPF_CORE_READ(innermost(task), ns, ns.inum);
}

/* The host's first process. */
static __always_inline struct task_struct *first_process(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	struct upid *outermost = (void *)__builtin_preserve_access_index(&pid->numbers[0]);

	return BPF_CORE_READ(outermost, ns, child_reaper);
}

static __always_inline bool same_name(struct dentry *one, struct dentry *other)
{
	__u64 a[IN_PLACE_NAME_BYTES / 8] = {}, b[IN_PLACE_NAME_BYTES / 8] = {};
	long len = bpf_probe_read_kernel_str(a, sizeof(a), BPF_CORE_READ(one, d_name.name));

	if (len <= 1 || len == sizeof(a) || bpf_probe_read_kernel_str(b, sizeof(b), BPF_CORE_READ(other, d_name.name)) != len)
		return false;
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

/* Whether a file is reached through a directory that is mounted, below the process's root, at the very path it has below
 * the host's root or that of its own file system. Sandboxes are built like that; a container's files lie below its root. */
static __always_inline bool is_in_place(struct file *file, struct dentry *root, struct dentry *hosts_root)
{
	struct vfsmount *seen = BPF_CORE_READ(file, f_path.mnt);
	struct mount *mount = (void *)seen - bpf_core_field_offset(struct mount, mnt);
	struct dentry *from = BPF_CORE_READ(mount, mnt.mnt_root), *above_from;
	struct dentry *at = BPF_CORE_READ(mount, mnt_mountpoint), *above_at;
	bool is_top, at_top;

	if (!seen || BPF_CORE_READ(mount, mnt_parent) == mount || at == root)
		return false;
	for (int depth = 0; depth < IN_PLACE_DEPTH; depth++) {
		above_from = BPF_CORE_READ(from, d_parent);
		above_at = BPF_CORE_READ(at, d_parent);
		is_top = from == hosts_root || above_from == from;
		at_top = at == root || above_at == at;
		if (is_top || at_top)
			return is_top && at_top && depth > 0;
		if (!same_name(from, at))
			return false;
		from = above_from;
		at = above_at;
	}
	return false;
}

static __always_inline __u32 confinement_of_file(struct file *file, struct dentry *root, struct task_struct *first)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct super_block *system = BPF_CORE_READ(inode, i_sb);
	struct dentry *hosts_root = BPF_CORE_READ(first, fs, root.dentry);
	__u32 flags = 0;

	if (is_in_place(file, root, hosts_root))
		flags |= IN_PLACE;
	if (system == BPF_CORE_READ(hosts_root, d_sb))
		flags |= ON_HOSTS;
	if (BPF_CORE_READ(inode, i_uid.val) == 0 && BPF_CORE_READ(system, s_user_ns) == BPF_CORE_READ(first, cred, user_ns))
		flags |= ROOTS_FILE;
	return flags;
}

/* Of a task that runs `file`; none when that is not known. */
static __always_inline void read_confines(struct confines *confines, struct task_struct *task, struct file *file)
{
	struct task_struct *first = first_process(task);
	struct dentry *root = BPF_CORE_READ(task, fs, root.dentry);
	__u32 flags = 0;

	confines->root_inode = BPF_CORE_READ(root, d_inode, i_ino);
	confines->root_device = BPF_CORE_READ(root, d_sb, s_dev);
	confines->file_device = file ? BPF_CORE_READ(file, f_inode, i_sb, s_dev) : 0;
	confines->pid_inside = BPF_CORE_READ(innermost(task), nr);
	BPF_CORE_READ_INTO(&confines->capabilities, task, cred, cap_effective);
	if (BPF_CORE_READ(task, cred, user_ns) != BPF_CORE_READ(first, cred, user_ns))
		flags |= OWN_USERS;
	if (root && root != BPF_CORE_READ(first, fs, root.dentry)) {
		flags |= OWN_ROOT;
		if (file)
			flags |= confinement_of_file(file, root, first);
	}
	confines->flags = flags;
}

/* Whether there is anything in the root of a task that executed nothing in it. Browsers lock themselves into a directory
 * of /proc, and daemons into empty ones; overlayfs and Btrfs count no links of directories, and say 1. */
static __always_inline bool holds_anything(struct task_struct *task)
{
	struct dentry *root = BPF_CORE_READ(task, fs, root.dentry);

	return BPF_CORE_READ(root, d_sb, s_magic) != PROC_SUPER_MAGIC && BPF_CORE_READ(root, d_inode, i_nlink) != 2;
}
