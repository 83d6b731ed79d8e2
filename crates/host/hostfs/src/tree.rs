//! All control groups of the hierarchy that gives ids, by one walk.
//!
//! Not here: following changes; the kernel probes tell of those, and a later walk finds what they missed.

use std::collections::VecDeque;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::event::CgroupPath;
use model::ids::CgroupId;
use model::untrusted::Untrusted;

use crate::error::HostfsError;
use crate::layout::CgroupLayout;

/// Most control groups one walk yields.
pub const CGROUPS_MAX: usize = 20_000;
/// Levels below the root that are walked.
pub const DEPTH_MAX: usize = 32;

/// A control group and where it is. The path is whole, however long, so that it can be opened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cgroup {
    /// Its id.
    pub id: CgroupId,
    /// Its path below the root of its hierarchy, beginning with `/`.
    pub path: PathBuf,
}

impl Cgroup {
    /// As the event that is handed on, with the path bounded like all foreign text.
    pub fn facts(&self) -> CgroupPath {
        CgroupPath { cgroup: self.id, path: Untrusted::from_bytes(self.path.as_os_str().as_bytes()) }
    }
}

/// What one walk found.
#[derive(Debug, Default)]
pub struct CgroupTree {
    /// The control groups, the root first, parents before children.
    pub cgroups: Vec<Cgroup>,
    /// Directories left out because of [`CGROUPS_MAX`] or [`DEPTH_MAX`]; what is below them is not counted.
    pub left_out: u64,
    /// Directories that exist and could not be listed.
    pub unreadable: u64,
}

impl CgroupTree {
    /// Walks the hierarchy breadth first: deep trees, which a container may be free to make, cannot crowd out others
    /// nearer the root. Directories that vanish meanwhile are passed over.
    pub fn walk(layout: &CgroupLayout) -> Result<Self, HostfsError> {
        let root = Cgroup { id: layout.id_of(Path::new("/"))?, path: PathBuf::from("/") };
        let mut tree = Self { cgroups: vec![root], ..Self::default() };
        let mut queue = VecDeque::from([(0, 0)]);
        while let Some((parent, depth)) = queue.pop_front() {
            let known = tree.cgroups.len();
            tree.list(layout.id_root(), parent, depth);
            queue.extend((known..tree.cgroups.len()).map(|child| (child, depth + 1)));
        }
        Ok(tree)
    }

    fn list(&mut self, mount: &Path, parent: usize, depth: usize) {
        let path = self.cgroups[parent].path.clone();
        let entries = match std::fs::read_dir(mount.join(path.strip_prefix("/").unwrap_or(&path))) {
            Ok(entries) => entries,
            Err(error) => {
                self.unreadable += u64::from(error.kind() != std::io::ErrorKind::NotFound);
                return;
            }
        };
        for entry in entries.flatten() {
            // Nearly all entries are files, which the listing itself tells without another system call.
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let Ok(metadata) = entry.metadata() else { continue };
            if depth >= DEPTH_MAX || self.cgroups.len() >= CGROUPS_MAX {
                self.left_out += 1;
                continue;
            }
            self.cgroups.push(Cgroup { id: CgroupId(metadata.ino()), path: path.join(entry.file_name()) });
        }
    }
}

#[cfg(test)]
mod tests;
