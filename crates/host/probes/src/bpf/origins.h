/* Which file is executed, and where it comes from: a layer of the image, the container's own layer, memory, another file
 * system. By the kernel's own objects; no name that a process asked for decides anything.
 *
 * Not here: files that an interpreter opens by itself (`sh FILE`), which only a look at the process finds.
 */
#pragma once

#include "records.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* The file in the upper layer behind an inode of overlayfs. The pointer follows the embedded inode since Linux 4.13
 * (fs/overlayfs/ovl_entry.h); where the kernel does not describe the type, because overlayfs is a module that is
 * loaded later, that is where it is looked for. Tried on 6.18 both ways, with files of an image, of a container's own
 * layer and copied up, under Docker and in an overlay made by hand; on 6.1 with the module loaded after the programs. */
static __always_inline struct dentry *upper_of(struct inode *inode)
{
	struct dentry *upper = 0;
	unsigned long at;

	if (bpf_core_field_exists(struct ovl_inode, __upperdentry))
		at = bpf_core_field_offset(struct ovl_inode, __upperdentry) -
		     bpf_core_field_offset(struct ovl_inode, vfs_inode);
	else
		at = bpf_core_type_size(struct inode);
	bpf_probe_read_kernel(&upper, sizeof(upper), (void *)inode + at);
	return upper;
}

/* Overlayfs lies upon other file systems: what has no magic number of one is no file of an upper layer, and this
 * kernel's inodes are not what we take them for. */
static __always_inline __u16 layer_of(struct inode *inode)
{
	struct dentry *upper = upper_of(inode);

	if (!upper)
		return ORIGIN_IMAGE;
	return BPF_CORE_READ(upper, d_sb, s_magic) ? ORIGIN_WRITTEN : ORIGIN_UNKNOWN;
}

/* Memory that was made a file is named by the kernel: `memfd:` and what its maker says. */
static __always_inline bool is_memory(struct file *file, unsigned long magic)
{
	const unsigned char *name = BPF_CORE_READ(file, f_path.dentry, d_name.name);
	char start[8] = {};

	if (magic != TMPFS_MAGIC && magic != HUGETLBFS_MAGIC)
		return false;
	bpf_probe_read_kernel_str(start, sizeof(start), name);
	return start[0] == 'm' && start[1] == 'e' && start[2] == 'm' && start[3] == 'f' && start[4] == 'd' &&
	       start[5] == ':';
}

/* Of a file that a task runs or maps, by the root of that task. */
static __always_inline __u16 origin_of(struct task_struct *task, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct super_block *system = BPF_CORE_READ(inode, i_sb);
	unsigned long magic = BPF_CORE_READ(system, s_magic);

	if (!inode)
		return ORIGIN_UNKNOWN;
	if (BPF_CORE_READ(inode, i_nlink) == 0)
		return is_memory(file, magic) ? ORIGIN_MEMORY : ORIGIN_DELETED;
	if (system != BPF_CORE_READ(task, fs, root.mnt, mnt_sb))
		return ORIGIN_MOUNTED;
	return magic == OVERLAYFS_SUPER_MAGIC ? layer_of(inode) : ORIGIN_UNKNOWN;
}

/* When its content, its rights or its names changed last. A process sets access and modification times as it likes; this one
 * it does not. */
static __always_inline __u64 changed_ns(struct inode *inode)
{
	__u64 sec, nsec;

	if (bpf_core_field_exists(inode->i_ctime_sec)) {
		sec = BPF_CORE_READ(inode, i_ctime_sec);
		nsec = BPF_CORE_READ(inode, i_ctime_nsec);
	} else if (bpf_core_field_exists(((struct inode___named *)inode)->__i_ctime)) {
		sec = BPF_CORE_READ((struct inode___named *)inode, __i_ctime.tv_sec);
		nsec = BPF_CORE_READ((struct inode___named *)inode, __i_ctime.tv_nsec);
	} else {
		sec = BPF_CORE_READ((struct inode___plain *)inode, i_ctime.tv_sec);
		nsec = BPF_CORE_READ((struct inode___plain *)inode, i_ctime.tv_nsec);
	}
	return sec * 1000000000ULL + (nsec & CTIME_NSEC_MASK);
}

static __always_inline void read_file(struct file_record *record, struct task_struct *task, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);

	record->device = BPF_CORE_READ(inode, i_sb, s_dev);
	record->inode = BPF_CORE_READ(inode, i_ino);
	record->changed_ns = changed_ns(inode);
	record->origin = origin_of(task, file);
	record->is_mounted_alone = dentry && dentry == BPF_CORE_READ(file, f_path.mnt, mnt_root);
	record->zero = 0;
	__builtin_memset(record->name, 0, sizeof(record->name));
	bpf_probe_read_kernel_str(record->name, sizeof(record->name), BPF_CORE_READ(dentry, d_name.name));
}

/* Both are one pointer until a file names its interpreter, by `#!` or to binfmt_misc: the kernel then makes a new string,
 * also when the two read alike. What is executed by descriptor is called /dev/fd/N in both. */
static __always_inline bool is_interpreted(struct linux_binprm *bprm)
{
	return BPF_CORE_READ(bprm, interp) != BPF_CORE_READ(bprm, filename);
}

/* Whether it may be a loader of other programs: `ld-linux-x86-64.so.2`, `ld.so`. */
static __always_inline bool is_loader(const struct file_record *file)
{
	return file->name[0] == 'l' && file->name[1] == 'd' && (file->name[2] == '-' || file->name[2] == '.');
}
