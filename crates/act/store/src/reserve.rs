//! Room that is held in the data directory from the start, and given up when the disk is full, so that incidents and
//! decisions still fit then.
//!
//! Not here: when it is given up, see `place.rs`. The journal never gets any of it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::private_file;

/// Name of the file that holds the room.
pub const RESERVE_FILE: &str = "reserve";

/// Room that is held, in bytes: some two hundred incidents with all their findings, or some thousand decisions.
pub const RESERVE_BYTES: u64 = 4 << 20;

/// The room is taken again when that much is free besides.
const FREE_BYTES_MIN: u64 = 2 * RESERVE_BYTES;

/// The room held in a data directory.
#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
}

impl Reserve {
    /// The reserve of a data directory, whether it is held or not.
    pub fn of(dir: &Path) -> Self {
        Self { path: dir.join(RESERVE_FILE) }
    }

    /// Whether the room is held.
    pub fn is_held(&self) -> bool {
        self.path.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() >= RESERVE_BYTES)
    }

    /// Gives the room up; tells whether there was any.
    pub fn give_up(&self) -> bool {
        let was_held = self.is_held();
        was_held && fs::remove_file(&self.path).is_ok()
    }

    /// Takes the room when it is not held and the disk has enough.
    pub fn take(&self) -> io::Result<()> {
        if self.is_held() || free_bytes(&self.path)? < RESERVE_BYTES + FREE_BYTES_MIN {
            return Ok(());
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let taken = private_file::create(&self.path).and_then(|file| fill(&file));
        if taken.is_err() {
            drop(fs::remove_file(&self.path));
        }
        taken
    }
}

/// Free bytes of the file system that holds the directory of `path`, as an unprivileged writer would find them.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let space = statvfs(path.parent().unwrap_or(path))?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

fn fill(mut file: &fs::File) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
        // A file system that cannot allocate without writing: old ones of FUSE and NFS.
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let zeros = vec![0; 64 << 10];
            (0..RESERVE_BYTES / zeros.len() as u64).try_for_each(|_| file.write_all(&zeros))
        }
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn room_is_held_on_the_disk_and_given_up_once() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::of(dir.path());
        assert!(!reserve.is_held() && !reserve.give_up());
        reserve.take().unwrap();
        let blocks = dir.path().join(RESERVE_FILE).metadata().unwrap().blocks();
        assert!(reserve.is_held() && blocks * 512 >= RESERVE_BYTES, "{blocks} blocks");
        assert!(reserve.give_up() && !reserve.give_up() && !reserve.is_held());
        reserve.take().unwrap();
        assert!(reserve.is_held());
    }

    #[test]
    fn what_is_not_ours_in_its_place_is_not_room() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(RESERVE_FILE);
        fs::create_dir(&path).unwrap();
        let reserve = Reserve::of(dir.path());
        assert!(!reserve.is_held() && !reserve.give_up());
        reserve.take().unwrap_err();
        assert!(path.is_dir(), "left alone");
    }
}
