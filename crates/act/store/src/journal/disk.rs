//! What the journal does to a disk, so that a test can put one in its place that fails at any write.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use crate::error::StoreError;
use crate::journal::{Segment, segment_number};
use crate::private_file;
use crate::reserve::{RESERVE_BYTES, free_bytes};

/// A disk.
pub trait Disk {
    /// A file that is written.
    type File: Write;

    /// Makes the directory when it is missing.
    fn make_dir(&self, dir: &Path) -> Result<(), StoreError>;

    /// What is in the directory.
    fn list(&self, dir: &Path) -> Result<Listing, StoreError>;

    /// Whether there is room for a segment to begin.
    fn has_room(&self, dir: &Path) -> bool;

    /// Makes a new file.
    fn create(&self, path: &Path) -> Result<Self::File, StoreError>;

    /// Cuts a file back to that many bytes; what is written next follows them.
    fn cut(&self, file: &mut Self::File, bytes: u64) -> io::Result<()>;

    /// Removes a file; one that has gone is no failure.
    fn remove(&self, path: &Path) -> Result<(), StoreError>;
}

/// What is in the journal's directory.
#[derive(Debug, Default)]
pub struct Listing {
    /// Segments with their bytes, oldest first.
    pub segments: Vec<(Segment, u64)>,
    /// Everything else, by name.
    pub foreign: Vec<String>,
}

/// The disk of this host.
#[derive(Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    type File = File;

    fn make_dir(&self, dir: &Path) -> Result<(), StoreError> {
        // A link is not followed: what it leads to is not ours.
        if dir.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
            let problem = io::Error::new(io::ErrorKind::InvalidInput, "not a directory");
            return Err(StoreError::io(dir)(problem));
        }
        private_file::make_dir(dir)
    }

    fn list(&self, dir: &Path) -> Result<Listing, StoreError> {
        let mut found = Listing::default();
        for entry in dir.read_dir().map_err(StoreError::io(dir))? {
            let path = entry.map_err(StoreError::io(dir))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let file = path.symlink_metadata().ok().filter(fs::Metadata::is_file);
            match (segment_number(&name), file) {
                (Some(number), Some(file)) => found.segments.push((Segment { number, path }, file.len())),
                _ => found.foreign.push(name),
            }
        }
        found.segments.sort();
        found.foreign.sort();
        Ok(found)
    }

    fn has_room(&self, dir: &Path) -> bool {
        // As much as the reserve holds stays free: incidents and decisions go first. Where it cannot be asked, a write will say.
        free_bytes(&dir.join("segment")).map_or(true, |free| free >= RESERVE_BYTES)
    }

    fn create(&self, path: &Path) -> Result<File, StoreError> {
        if let Some(dir) = path.parent() {
            self.make_dir(dir)?;
        }
        private_file::create(path).map_err(StoreError::io(path))
    }

    fn cut(&self, file: &mut File, bytes: u64) -> io::Result<()> {
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(bytes)).map(drop)
    }

    fn remove(&self, path: &Path) -> Result<(), StoreError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io(path)(error)),
            _ => Ok(()),
        }
    }
}
