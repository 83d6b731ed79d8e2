//! Programs as the kernel knows them: which file is executed, how it came to be, and which process stands behind the one that does.
//!
//! Not here: what a process asked for (`event.rs`); names are evidence only.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{Exec, FileOrigin};
use crate::ids::ProcessKey;
use crate::time::Time;
use crate::untrusted::Untrusted;

/// A file, whatever it is called: the same number may be given to another file once this one is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// The kernel's number of its file system's device.
    pub device: u64,
    /// Its inode on that device.
    pub inode: u64,
}

/// A file as the kernel shows it at the moment it is executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Which file.
    pub id: FileId,
    /// When its content, its rights or its names changed last (`i_ctime`): no process can set it.
    pub changed: Time,
    /// Whether it is mounted by itself, as engines do with `/etc/hosts`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_mounted_alone: bool,
    /// Its name in its directory, links followed; at most 31 bytes.
    #[serde(default, skip_serializing_if = "Untrusted::is_empty")]
    pub name: Untrusted,
}

/// Which processes a process descends from, forks without an exec included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descent {
    /// The process that came into these mounts from another cgroup. The first process of a container may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<ProcessKey>,
    /// The outermost process whose program is called like a package manager; whether it is the image's, its own exec says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installer: Option<ProcessKey>,
}

impl Descent {
    /// Whether nothing stands behind the process.
    pub fn is_none(&self) -> bool {
        self.entry.is_none() && self.installer.is_none()
    }
}

/// How a file that runs in a container came to be, the graver the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Making {
    /// It is on another file system than the container's root and has not changed since the container started.
    Mounted,
    /// A package manager of the image wrote it and runs it.
    Installed,
    /// It is on another file system and was written, or was given other rights, after the container started.
    MountedSince,
    /// It is in the container's own layer.
    Written,
    /// Its name is gone.
    Deleted,
    /// It is in memory only.
    Memory,
}

/// A file that is not of its container's image and is run there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// The process.
    pub process: ProcessKey,
    /// What the process asked for.
    pub path: Untrusted,
    /// The process's arguments.
    pub args: Untrusted,
    /// The file, where the kernel told.
    pub file: Option<FileFacts>,
    /// How it came to be.
    pub making: Making,
    /// Whether an interpreter runs it, rather than the kernel or a loader.
    pub is_script: bool,
}

impl Ran {
    /// What `exec` runs at `at` in a container that started at `started`; `None` for a file of the image or of unknown origin.
    /// `has_installer`: whether it descends from a package manager that is known to be the image's.
    pub fn of_exec(exec: &Exec, started: Time, at: Time, has_installer: bool) -> Option<Self> {
        let is_given = !exec.script.is_empty();
        let is_installed = has_installer && is_installed(exec, at);
        Some(Self {
            process: exec.process,
            path: if is_given { exec.script.clone() } else { exec.path.clone() },
            args: exec.args.clone(),
            making: making(exec.origin, exec.file.as_ref(), started, is_installed)?,
            file: exec.file.clone(),
            is_script: is_given && !exec.is_by_loader,
        })
    }

    /// Whether it came to be after the container started, and no package manager says why.
    pub fn is_grave(&self) -> bool {
        self.making > Making::Installed
    }
}

fn making(origin: FileOrigin, file: Option<&FileFacts>, started: Time, is_installed: bool) -> Option<Making> {
    match origin {
        FileOrigin::Image | FileOrigin::Unknown => None,
        FileOrigin::Memory => Some(Making::Memory),
        FileOrigin::Deleted => Some(Making::Deleted),
        FileOrigin::Written if is_installed => Some(Making::Installed),
        FileOrigin::Written => Some(Making::Written),
        FileOrigin::Mounted if file.is_some_and(|file| file.changed > started) => Some(Making::MountedSince),
        FileOrigin::Mounted => Some(Making::Mounted),
    }
}

/// Whether a process runs what was changed since its package manager began: what was written before is not of its making. The
/// package manager began at least as long ago as the two starts are apart.
fn is_installed(exec: &Exec, at: Time) -> bool {
    let Some((installer, file)) = exec.descent.installer.zip(exec.file.as_ref()) else { return false };
    let apart = Duration::from_nanos(exec.process.start_ns.saturating_sub(installer.start_ns));
    exec.process != installer && file.changed >= at.minus(apart)
}
