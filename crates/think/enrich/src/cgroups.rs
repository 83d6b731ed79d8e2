//! Cgroups by number and by path, and which of them lie within a container's.
//!
//! Not here: which cgroup is a container's own (`inventory.rs`).

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;
use model::ids::CgroupId;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

/// Most cgroups whose path is known.
const CGROUPS_MAX: usize = 20_000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cgroups {
    /// Cgroups below a container's own: their events are the container's.
    nested: HashMap<CgroupId, CgroupId, FixedState>,
    paths: HashMap<CgroupId, Untrusted, FixedState>,
    // Keys that an attacker can choose are kept in trees: they cannot be made to collide.
    by_path: BTreeMap<Untrusted, CgroupId>,
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
            None if self.paths.len() >= CGROUPS_MAX => return Made::NoRoom,
            None => {}
        }
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

    fn forget(&mut self, cgroup: CgroupId) {
        if let Some(path) = self.paths.remove(&cgroup)
            && self.by_path.get(&path) == Some(&cgroup)
        {
            self.by_path.remove(&path);
        }
    }
}
