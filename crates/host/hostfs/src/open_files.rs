//! The open files of processes, counted by kind from the links in `/proc/PID/fd`.
//!
//! Not here: what is in the files; none is opened.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use model::usage::DeepUsage;
use rustix::fs::{Mode, OFlags, PROC_SUPER_MAGIC, RawDir, fstatfs, readlinkat_raw};

use crate::line_count::count_lines;
use crate::proc_dir::pid_path;
use crate::root::HostRoot;

/// The kinds told apart are known by the beginning of the link.
const TARGET_BYTES: usize = 32;
const LISTING_BYTES: usize = 8 * 1024;

/// Sums over processes.
#[derive(Debug, Default)]
pub(crate) struct OpenFiles {
    files: u64,
    sockets: u64,
    ptys: u64,
    inotify_instances: u64,
    inotify_watches: u64,
    /// Processes whose files could be listed, and those that ended before.
    readable: u64,
    refused: u64,
}

impl OpenFiles {
    /// Looks at the files of one process as far as the allowance goes; how many were left out.
    pub(crate) fn look_at(&mut self, root: &HostRoot, pid: u32, allowance: &mut u64) -> u64 {
        let path = pid_path(root, pid, "fd");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(directory) => {
                self.readable += 1;
                self.list(&directory, &pid_path(root, pid, "fdinfo"), allowance)
            }
            Err(errno) => {
                let refused = !matches!(errno, rustix::io::Errno::NOENT | rustix::io::Errno::SRCH);
                self.refused += u64::from(refused);
                u64::from(refused)
            }
        }
    }

    /// Sets the counts, unless there were files and all were refused.
    pub(crate) fn tell(&self, usage: &mut DeepUsage) {
        let count = |count: u64| (self.readable > 0 || self.refused == 0).then_some(count);
        usage.files = count(self.files);
        usage.sockets = count(self.sockets);
        usage.ptys = count(self.ptys);
        usage.inotify_instances = count(self.inotify_instances);
        usage.inotify_watches = count(self.inotify_watches);
    }

    fn list(&mut self, directory: &OwnedFd, fdinfo: &Path, allowance: &mut u64) -> u64 {
        let mut buffer = [MaybeUninit::uninit(); LISTING_BYTES];
        let mut entries = RawDir::new(directory, &mut buffer);
        let (mut looked_at, mut beyond, mut partly) = (0u64, 0, 0);
        while let Some(Ok(entry)) = entries.next() {
            if entry.file_name().to_bytes().starts_with(b".") {
                continue;
            }
            if *allowance == 0 {
                // Newer kernels (6.2) tell the number as the size of the directory; else it is one more at least.
                beyond = told_number(directory).saturating_sub(looked_at).max(1);
                break;
            }
            *allowance -= 1;
            looked_at += 1;
            let mut target = [MaybeUninit::uninit(); TARGET_BYTES];
            if let Ok((target, _)) = readlinkat_raw(directory, entry.file_name(), &mut target) {
                let name = entry.file_name().to_string_lossy();
                partly += self.classify(target, || fdinfo.join(&*name), allowance);
            }
        }
        self.files = self.files.saturating_add(looked_at).saturating_add(beyond);
        beyond + partly
    }

    /// Counts a file by its link; 1 when it is looked at in part only.
    fn classify(&mut self, target: &[u8], fdinfo: impl FnOnce() -> PathBuf, allowance: &mut u64) -> u64 {
        if target.starts_with(b"socket:") {
            self.sockets += 1;
        } else if target.starts_with(b"/dev/pts/") || target.starts_with(b"/dev/ptmx") {
            self.ptys += 1;
        } else if matches!(target, b"anon_inode:inotify" | b"inotify") {
            self.inotify_instances += 1;
            let Ok(count) = count_lines(&fdinfo(), b"inotify wd:", *allowance) else { return 0 };
            *allowance = allowance.saturating_sub(count.lines);
            self.inotify_watches = self.inotify_watches.saturating_add(count.fitting);
            return u64::from(!count.is_whole);
        }
        0
    }
}

/// Open files by the size of `/proc/PID/fd`; 0 where the kernel does not tell, and for any other directory.
fn told_number(directory: &OwnedFd) -> u64 {
    let is_proc = fstatfs(directory).is_ok_and(|fs| fs.f_type == PROC_SUPER_MAGIC);
    let size = rustix::fs::fstat(directory).ok().filter(|_| is_proc).map(|stat| stat.st_size);
    size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0)
}
