//! Whose executable a process runs, and which containers an engine can have made: as the kernel shows it, whatever a
//! process is called.
//!
//! Not here: reading it (`hostfs`), what an engine claims (`runtime.rs`).

use serde::{Deserialize, Serialize};

use crate::untrusted::Untrusted;

/// The file that a process executes, and how far it is the host's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executable {
    /// Path as the kernel gives it; ` (deleted)` behind a replaced file's is left out.
    pub path: Untrusted,
    /// The file system's device, major number first.
    pub device: (u32, u32),
    /// Its inode number.
    pub inode: u64,
    /// Real user id of the process, as the host numbers users.
    pub uid: u32,
    /// Whether only root can write the file, it lies in a file system of the host that is not FUSE, and the process has the
    /// host's pid and user namespaces and its root directory.
    pub is_hosts: bool,
}

impl Executable {
    /// Whether root runs it, from the host's own file.
    pub fn is_roots(&self) -> bool {
        self.is_hosts && self.uid == 0
    }

    /// Its file's name.
    pub fn name(&self) -> &str {
        self.path.raw().rsplit('/').next().unwrap_or_default()
    }

    /// Whether both are one file.
    pub fn is_file_of(&self, other: &Self) -> bool {
        self.device == other.device && self.inode == other.inode
    }
}

/// Which containers an engine can have made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Authority {
    /// The process that serves it was not found.
    #[default]
    Unknown,
    /// Any: root serves it, from the host's own executable.
    Host,
    /// Those of this user.
    User {
        /// User id, as the host numbers users.
        uid: u32,
    },
    /// None: a process that is called or placed like an engine and is not one.
    Refused {
        /// What it lacks, for people.
        why: Untrusted,
    },
}

impl Authority {
    /// Whether nothing is known of it.
    pub fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }

    /// Whether it can have made no container.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}
