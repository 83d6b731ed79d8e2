//! Reads a database that cannot be opened where it is (a disk that is read-only or full) from a copy in memory.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::PlaceOpener;
use crate::aside::with_ending;
use crate::database::keeping::DATABASE_BYTES_MAX;
use crate::database::{DATABASE_FILE, Database};
use crate::error::StoreError;
use crate::last_known::Found;
use crate::storage::{Contents, Opening};

/// Where a copy may lie, the first that takes it: memory before disks.
const PLACES: [&str; 3] = ["/dev/shm", "/run", "/tmp"];

/// Longest copy, in bytes: a database as long as it may be, and a log that was not cut back.
const COPY_BYTES_MAX: u64 = 2 * DATABASE_BYTES_MAX;

/// A directory that is gone when it is dropped.
struct Copy {
    dir: PathBuf,
}

impl Drop for Copy {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.dir));
    }
}

impl PlaceOpener {
    /// What can be read of a database that cannot be written, given why not. Its log is read too: without it the last
    /// decisions would be missing.
    pub(super) fn read_copy(&mut self, error: &StoreError) -> Opening {
        let source = self.dir.join(DATABASE_FILE);
        let copy = PLACES.iter().find_map(|place| Copy::of(&source, Path::new(place)));
        let contents = copy.and_then(|copy| self.contents_of(&copy.dir).ok());
        Opening {
            storage: None,
            contents: contents.unwrap_or_else(|| self.noted_contents()),
            notes: std::mem::take(&mut self.notes),
            problem: error.to_string(),
        }
    }

    fn contents_of(&mut self, dir: &Path) -> Result<Contents, StoreError> {
        let mut database = Database::open(dir)?;
        let mut contents = database.contents()?;
        self.compare(&mut database, &mut contents)?;
        Ok(contents)
    }

    /// Nothing can be read: what the second place knows of earlier runs still counts.
    fn noted_contents(&self) -> Contents {
        let mut contents = Contents::default();
        if let Found::Noted(noted) = self.found() {
            contents.approvals_given = noted.database.approvals_given;
            contents.last_run.last_beat = noted.last_beat;
            contents.last_run.first_look = noted.first_look;
        }
        contents
    }
}

impl Copy {
    fn of(database: &Path, place: &Path) -> Option<Self> {
        let log = with_ending(database, "-wal");
        let length =
            |path: &Path| path.symlink_metadata().ok().filter(fs::Metadata::is_file).map(|found| found.len());
        if length(database)? + length(&log).unwrap_or(0) > COPY_BYTES_MAX {
            return None;
        }
        let dir = place.join(format!("tidewatch-copy-{}", std::process::id()));
        // One of an earlier process of that number; a directory of anybody else is not ours to remove and stops us here.
        drop(fs::remove_dir_all(&dir));
        DirBuilder::new().mode(0o700).create(&dir).ok()?;
        let copy = Self { dir };
        let target = copy.dir.join(DATABASE_FILE);
        fs::copy(database, &target).ok()?;
        if log.is_file() {
            fs::copy(&log, with_ending(&target, "-wal")).ok()?;
        }
        Some(copy)
    }
}
