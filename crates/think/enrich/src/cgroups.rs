//! Cgroups by number and by path, and which of them lie within a container's.
//!
//! Not here: which cgroup is a container's own (`inventory.rs`).

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;
use model::ids::CgroupId;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

/// Most cgroups whose path is known: what the kernel's table of counters holds.
const CGROUPS_MAX: usize = 32_768;
/// Most of these in one directory of the host, `/docker/ID` or `/system.slice`, once half of them are known: what fills one
/// directory leaves room for the others.
const CGROUPS_OF_ONE_MAX: usize = 12_288;
/// Parts of a path that name such a directory.
const DIRECTORY_PARTS: usize = 2;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cgroups {
    /// Cgroups below a container's own: their events are the container's.
    nested: HashMap<CgroupId, CgroupId, FixedState>,
    paths: HashMap<CgroupId, Untrusted, FixedState>,
    // Keys that an attacker can choose are kept in trees: they cannot be made to collide.
    by_path: BTreeMap<Untrusted, CgroupId>,
    /// How many are known in each directory.
    #[serde(default)]
    held: BTreeMap<Untrusted, usize>,
}

/// What became of a cgroup that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// It was known by that path.
    Known,
    /// It is new, or has a new path.
    Named,
    /// There is no room for it.
    NoRoom,
}

impl Cgroups {
    /// A cgroup is there under a path.
    pub(crate) fn made(&mut self, cgroup: CgroupId, path: &Untrusted) -> Made {
        match self.paths.get(&cgroup) {
            Some(known) if known == path => return Made::Known,
            // Renamed: its earlier name must not stay behind.
            Some(_) => self.forget(cgroup),
            None if !self.has_room(path) => return Made::NoRoom,
            None => {}
        }
        *self.held.entry(directory(path)).or_default() += 1;
        self.paths.insert(cgroup, path.clone());
        self.by_path.insert(path.clone(), cgroup);
        Made::Named
    }

    /// A cgroup is gone.
    pub(crate) fn removed(&mut self, cgroup: CgroupId) {
        self.forget(cgroup);
        self.nested.remove(&cgroup);
    }

    pub(crate) fn path(&self, cgroup: CgroupId) -> Option<&Untrusted> {
        self.paths.get(&cgroup)
    }

    /// The cgroup of a path.
    pub(crate) fn at(&self, path: &Untrusted) -> Option<CgroupId> {
        self.by_path.get(path).copied()
    }

    /// The container's cgroup that this one lies in, once that was noted.
    pub(crate) fn around(&self, cgroup: CgroupId) -> Option<CgroupId> {
        self.nested.get(&cgroup).copied()
    }

    pub(crate) fn nest(&mut self, cgroup: CgroupId, container: CgroupId) {
        self.nested.insert(cgroup, container);
    }

    /// A container is forgotten: nothing lies in it any more.
    pub(crate) fn empty(&mut self, container: CgroupId) {
        self.nested.retain(|_, around| *around != container);
    }

    /// The innermost cgroup above a path for which `is_container` holds.
    pub(crate) fn above(
        &self,
        path: &Untrusted,
        is_container: impl Fn(CgroupId) -> bool,
    ) -> Option<CgroupId> {
        let mut rest = path.raw();
        while let Some(slash) = rest.rfind('/') {
            rest = &rest[..slash];
            if rest.is_empty() {
                return None;
            }
            let above = self.at(&Untrusted::new(rest));
            if let Some(cgroup) = above.filter(|cgroup| is_container(*cgroup)) {
                return Some(cgroup);
            }
        }
        None
    }

    fn has_room(&self, path: &Untrusted) -> bool {
        let known = self.paths.len();
        let held = || self.held.get(&directory(path)).copied().unwrap_or(0);
        known < CGROUPS_MAX / 2 || (known < CGROUPS_MAX && held() < CGROUPS_OF_ONE_MAX)
    }

    fn forget(&mut self, cgroup: CgroupId) {
        let Some(path) = self.paths.remove(&cgroup) else { return };
        if self.by_path.get(&path) == Some(&cgroup) {
            self.by_path.remove(&path);
        }
        let directory = directory(&path);
        if let Some(held) = self.held.get_mut(&directory) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                self.held.remove(&directory);
            }
        }
    }
}

/// The directory of the host that a cgroup lies in: the first parts of its path without its own name.
fn directory(path: &Untrusted) -> Untrusted {
    let above = path.raw().rsplit_once('/').map_or("", |(above, _)| above);
    let end = above.match_indices('/').nth(DIRECTORY_PARTS).map_or(above.len(), |(at, _)| at);
    Untrusted::new(&above[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Untrusted {
        Untrusted::new(text)
    }

    #[test]
    fn what_fills_one_directory_leaves_room_for_the_others() {
        let mut cgroups = Cgroups::default();
        let mut made = |id: u64, text: &str| cgroups.made(CgroupId(id), &path(text));
        let refused = (0..40_000)
            .filter(|id| made(*id, &format!("/docker/0a/x{}/y{id}", id % 64)) == Made::NoRoom)
            .count();
        assert_eq!(refused, 40_000 - CGROUPS_MAX / 2);
        assert_eq!(made(50_000, "/ghost"), Made::Named);
        assert_eq!(made(50_001, "/docker/0b"), Made::Named);
        for id in 0..CGROUPS_MAX as u64 / 2 {
            cgroups.removed(CgroupId(id));
        }
        assert_eq!((cgroups.paths.len(), cgroups.held.len()), (2, 2));
    }
}
