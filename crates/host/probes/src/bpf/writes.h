/* Writing back that a process forces: of whole file systems, of single files.
 *
 * Not here: single files on anything but ext4, XFS and Btrfs (overlayfs above them passes the call down, in the same
 * process). Pages made dirty: counting them cost writes of 4 KiB some 5 % of their CPU time.
 */
#pragma once

#include "books.h"

/* sync and syncfs: once for each file system that has something to write, by whoever asked. */
SEC("raw_tp/writeback_queue")
int BPF_PROG(on_whole_sync, void *wb, struct wb_writeback_work *work)
{
	struct counters *counters;

	if (BPF_CORE_READ(work, reason) != bpf_core_enum_value(enum wb_reason, WB_REASON_SYNC))
		return 0;
	counters = counters_of_current();
	if (counters)
		add(&counters->whole_syncs, 1);
	return 0;
}

static __always_inline int count_file_sync(void)
{
	struct counters *counters = counters_of_current();

	if (counters)
		add(&counters->file_syncs, 1);
	return 0;
}

SEC("raw_tp/ext4_sync_file_enter")
int on_ext4_sync(void *ctx)
{
	return count_file_sync();
}

SEC("raw_tp/xfs_file_fsync")
int on_xfs_sync(void *ctx)
{
	return count_file_sync();
}

SEC("raw_tp/btrfs_sync_file")
int on_btrfs_sync(void *ctx)
{
	return count_file_sync();
}
