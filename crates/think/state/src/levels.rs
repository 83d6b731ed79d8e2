//! Levels of the host that have an end: kernel objects no cgroup counts, and space on the runtimes' disks.
//!
//! Not here: who raises them; deep readings of containers tell (`account.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use model::time::Time;
use model::untrusted::Untrusted;
use model::usage::{DiskSpace, HostUsage, KernelObjects, Level};
use serde::{Deserialize, Serialize};

use crate::trend::{Growth, Trend};

/// Most disks followed.
const DISKS_MAX: usize = 16;

/// A kind of kernel object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    /// Open files.
    Files,
    /// Inodes in memory.
    Inodes,
    /// Pseudo terminals.
    Ptys,
    /// Tracked connections.
    Conntrack,
    /// Tasks.
    Threads,
    /// Local ports.
    Ports,
    /// System V shared memory segments.
    SysvShm,
    /// System V semaphore sets.
    SysvSem,
    /// System V message queues.
    SysvMsg,
    /// Mounts.
    Mounts,
}

impl Object {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Files,
        Self::Inodes,
        Self::Ptys,
        Self::Conntrack,
        Self::Threads,
        Self::Ports,
        Self::SysvShm,
        Self::SysvSem,
        Self::SysvMsg,
        Self::Mounts,
    ];

    /// The words used in sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::Files => "open files",
            Self::Inodes => "inodes",
            Self::Ptys => "pseudo terminals",
            Self::Conntrack => "tracked connections",
            Self::Threads => "tasks",
            Self::Ports => "local ports",
            Self::SysvShm => "shared memory segments",
            Self::SysvSem => "semaphore sets",
            Self::SysvMsg => "message queues",
            Self::Mounts => "mounts",
        }
    }

    fn of(self, objects: &KernelObjects) -> Option<Level> {
        match self {
            Self::Files => objects.files,
            Self::Inodes => objects.inodes,
            Self::Ptys => objects.ptys,
            Self::Conntrack => objects.conntrack,
            Self::Threads => objects.threads,
            Self::Ports => objects.ports,
            Self::SysvShm => objects.sysv_shm,
            Self::SysvSem => objects.sysv_sem,
            Self::SysvMsg => objects.sysv_msg,
            Self::Mounts => objects.mounts,
        }
    }
}

/// One level: how much of it is used, how it moves, where it ends.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Course {
    trend: Trend,
    limit: Option<f64>,
}

impl Course {
    /// How much is used now.
    pub fn used(&self) -> f64 {
        self.trend.now().unwrap_or_default()
    }

    /// Where it ends; `None` when only memory is the limit.
    pub fn limit(&self) -> Option<f64> {
        self.limit
    }

    /// The share of the limit that is used, 0 to 1.
    pub fn share(&self) -> Option<f64> {
        self.limit.filter(|limit| *limit > 0.0).map(|limit| self.used() / limit)
    }

    /// Growth over the last seconds.
    pub fn growth(&self, window: Duration) -> Option<Growth> {
        self.trend.growth(window)
    }

    fn read(&mut self, level: Level, at: Time) {
        self.trend.read(level.used as f64, at);
        self.limit = level.limit.map(|limit| limit as f64);
    }
}

/// What of one disk can end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Disk {
    /// Bytes used.
    pub bytes: Course,
    /// Inodes used.
    pub inodes: Course,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Levels {
    objects: BTreeMap<Object, Course>,
    disks: BTreeMap<Untrusted, Disk>,
}

impl Levels {
    pub(crate) fn read(&mut self, host: &HostUsage, at: Time) {
        for object in Object::ALL {
            if let Some(level) = object.of(&host.objects) {
                self.objects.entry(object).or_default().read(level, at);
            }
        }
        for space in host.disks.iter().take(DISKS_MAX) {
            self.read_disk(space, at);
        }
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = (Object, &Course)> {
        self.objects.iter().map(|(object, course)| (*object, course))
    }

    pub(crate) fn disks(&self) -> impl Iterator<Item = (&Untrusted, &Disk)> {
        self.disks.iter()
    }

    fn read_disk(&mut self, space: &DiskSpace, at: Time) {
        if !self.disks.contains_key(&space.path) && self.disks.len() >= DISKS_MAX {
            return;
        }
        let disk = self.disks.entry(space.path.clone()).or_default();
        let used = |total: u64, free: u64| Level { used: total.saturating_sub(free), limit: Some(total) };
        disk.bytes.read(used(space.total_bytes, space.free_bytes), at);
        // Some file systems have no fixed number of inodes and say zero.
        if space.inodes_total > 0 {
            disk.inodes.read(used(space.inodes_total, space.inodes_free), at);
        }
    }
}
