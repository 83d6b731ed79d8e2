//! Files that ran in each container and are no image's: which came to light, and how many in all.
//!
//! Not here: how a file came to be (`model::program`), whether that is bad (`detect`).

use std::collections::{BTreeMap, VecDeque};

use model::ids::{CgroupId, ProcessKey};
use model::program::{FileId, Making, Ran};
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

/// Files remembered of one container, of each weight apart: what was there before must not drive out what was written since.
const FILES_MAX: usize = 64;
/// Containers that files are remembered of; in any more, each run of a file counts as its first.
const CONTAINERS_MAX: usize = 4_096;
/// Package managers of images that are remembered, the oldest makes room: what it installs then weighs as any other file.
const INSTALLERS_MAX: usize = 256;

/// By container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct FilesRun {
    containers: BTreeMap<CgroupId, Files>,
    /// Processes that run a package manager of their image.
    installers: VecDeque<ProcessKey>,
}

/// Of one container: what came to be after it started, and the rest; scripts apart from programs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Files {
    programs: Recent,
    scripts: Recent,
    others: Recent,
}

/// The files that came to light last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Recent {
    keys: VecDeque<Key>,
    count: u64,
}

/// A file is told again when it has changed, and when it runs in another way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    making: Making,
    is_script: bool,
    file: Option<(FileId, Time)>,
    /// Of a file that the kernel did not tell.
    path: Untrusted,
}

impl Key {
    fn of(ran: &Ran) -> Self {
        let file = ran.file.as_ref().map(|file| (file.id, file.changed));
        let path = if file.is_none() { ran.path.clone() } else { Untrusted::default() };
        Self { making: ran.making, is_script: ran.is_script, file, path }
    }
}

impl FilesRun {
    /// A file runs; how many such files came to light in its container when this is one more, else 0. Scripts that were on a
    /// volume before are too common to be counted.
    pub(crate) fn runs(&mut self, cgroup: CgroupId, ran: &Ran) -> u64 {
        if ran.is_script && ran.making == Making::Mounted {
            return 0;
        }
        if self.containers.len() >= CONTAINERS_MAX && !self.containers.contains_key(&cgroup) {
            return 1;
        }
        let files = self.containers.entry(cgroup).or_default();
        match (ran.is_grave(), ran.is_script) {
            (true, false) => files.programs.takes(ran),
            (true, true) => files.scripts.takes(ran),
            (false, _) => files.others.takes(ran),
        }
    }

    /// A package manager of an image runs.
    pub(crate) fn installs(&mut self, process: ProcessKey) {
        if self.installers.len() >= INSTALLERS_MAX {
            self.installers.pop_front();
        }
        self.installers.push_back(process);
    }

    pub(crate) fn has_installer(&self, process: ProcessKey) -> bool {
        self.installers.contains(&process)
    }

    pub(crate) fn ended(&mut self, cgroup: CgroupId) {
        self.containers.remove(&cgroup);
    }
}

impl Recent {
    fn takes(&mut self, ran: &Ran) -> u64 {
        let key = Key::of(ran);
        if self.keys.contains(&key) {
            return 0;
        }
        if self.keys.len() >= FILES_MAX {
            self.keys.pop_front();
        }
        self.keys.push_back(key);
        self.count = self.count.saturating_add(1);
        self.count
    }
}
