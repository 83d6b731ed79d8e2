//! One file that should not change while we run.
//!
//! Not here: its content. Device, inode, size and both times change with any honest way of changing it; root can set
//! them back, and docs/threat-model.md says so.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::tampering::Tampering;

/// A file and how it was at the last look.
#[derive(Debug)]
pub(super) struct Watched {
    path: PathBuf,
    seen: Option<Stamp>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watched {
    /// The file as it is now; it may be absent.
    pub(super) fn now(path: PathBuf) -> Self {
        let seen = stamp(&path);
        Self { path, seen }
    }

    /// How it changed since the last look, if it did.
    pub(super) fn look(&mut self) -> Option<Tampering> {
        let now = stamp(&self.path);
        let before = std::mem::replace(&mut self.seen, now);
        let how = change(before, now)?;
        Some(Tampering::File { path: self.path.clone(), how })
    }
}

fn stamp(path: &PathBuf) -> Option<Stamp> {
    let found = fs::symlink_metadata(path).ok()?;
    Some(Stamp {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

fn change(before: Option<Stamp>, now: Option<Stamp>) -> Option<&'static str> {
    match (before, now) {
        (None, None) => None,
        (Some(_), None) => Some("removed"),
        (None, Some(_)) => Some("made"),
        (Some(before), Some(now)) if before == now => None,
        (Some(before), Some(now)) if (before.device, before.inode) != (now.device, now.inode) => {
            Some("replaced")
        }
        (Some(before), Some(now)) if (before.size, before.modified) == (now.size, now.modified) => {
            // A program linked elsewhere, another owner or mode.
            Some("its owner, mode or links were changed")
        }
        (Some(_), Some(_)) => Some("written"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_change_a_file_has_its_word() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut watched = Watched::now(path.clone());
        let mut how = || match watched.look() {
            Some(Tampering::File { how, .. }) => how,
            _ => "",
        };
        assert_eq!(how(), "");
        fs::write(&path, "one").unwrap();
        assert_eq!((how(), how()), ("made", ""));
        fs::write(&path, "longer").unwrap();
        assert_eq!((how(), how()), ("written", ""));
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        assert_eq!(how(), "its owner, mode or links were changed");
        fs::write(dir.path().join("new"), "longer").unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(how(), "replaced");
        fs::remove_file(&path).unwrap();
        assert_eq!(how(), "removed");
    }
}
