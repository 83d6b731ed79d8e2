//! What can go wrong when reading a host.
//!
//! Not here: single values that are absent or malformed in an otherwise readable cgroup; those are `None`, and counted.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// A reading that failed, with its place. Paths are shown quoted, since parts of them are foreign text.
#[derive(Debug, thiserror::Error)]
pub enum HostfsError {
    /// The cgroup, process or file does not exist (any more), or its name now belongs to another one.
    #[error("{path:?} is gone")]
    Gone {
        /// What was to be read.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("{path:?}: {source}")]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The text is not what the kernel writes.
    #[error("{path:?}: {what}")]
    Malformed {
        /// What was read.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No control groups that could tell containers apart.
    #[error("{path:?} names neither a cgroup2 mount nor a v1 cpuacct mount: are control groups mounted?")]
    NoCgroups {
        /// The mount table.
        path: PathBuf,
    },
    /// The mounted hierarchy is only a part of the host's.
    #[error(
        "{path:?} shows only the part of the cgroup hierarchy below {part:?}: share the host's cgroup namespace"
    )]
    PartOfCgroups {
        /// The mount.
        path: PathBuf,
        /// The part it shows.
        part: PathBuf,
    },
}

impl HostfsError {
    /// Whether it no longer exists, which is ordinary for cgroups and processes.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }

    pub(crate) fn io(path: &Path, errno: Errno) -> Self {
        match errno {
            // ENODEV: a removed cgroup's file that was kept open. ESRCH: an ended process's.
            Errno::NOENT | Errno::NODEV | Errno::SRCH => Self::Gone { path: path.to_path_buf() },
            _ => Self::Io { path: path.to_path_buf(), source: errno.into() },
        }
    }

    pub(crate) fn malformed(path: &Path, what: &'static str) -> Self {
        Self::Malformed { path: path.to_path_buf(), what }
    }
}
