//! Files kept open between readings, and single readings of files that are not.
//!
//! At most three quarters of the limit on open files are kept open, so that the rest of the program never runs out
//! because of us; beyond that a file is opened, read and closed each time. Not here: what the bytes mean.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::HostfsError;
use crate::limit::file_limit;

/// Room for one small kernel file; `io.stat` needs the most, about 120 bytes a block device.
pub(crate) const BUFFER_BYTES: usize = 16 * 1024;

/// Bytes on the stack that need no clearing.
pub(crate) type Buffer = [MaybeUninit<u8>; BUFFER_BYTES];

/// A buffer for one or many readings.
pub(crate) fn buffer() -> Buffer {
    [MaybeUninit::uninit(); BUFFER_BYTES]
}

static KEPT_FILES: AtomicU64 = AtomicU64::new(0);

/// A file that is read again and again.
#[derive(Debug)]
pub(crate) enum KeptFile {
    /// Open.
    Open(OwnedFd),
    /// Opened for each reading, because too many files are open already or it is read too rarely.
    Reopened,
}

impl KeptFile {
    /// Opens the file, and keeps it open while there is room.
    pub(crate) fn open(path: &Path) -> Result<Self, Errno> {
        let fd = match open(path) {
            Err(Errno::MFILE | Errno::NFILE) => return Ok(Self::Reopened),
            other => other?,
        };
        let limit = file_limit();
        if KEPT_FILES.fetch_add(1, Ordering::Relaxed) >= limit - limit / 4 {
            KEPT_FILES.fetch_sub(1, Ordering::Relaxed);
            return Ok(Self::Reopened);
        }
        Ok(Self::Open(fd))
    }

    /// A file that is read too rarely to be kept open; an error when there is none.
    pub(crate) fn closed(path: &Path) -> Result<Self, Errno> {
        rustix::fs::stat(path).map(|_| Self::Reopened)
    }

    /// Reads from the start of the file; `path` is asked for only when it is not open.
    pub(crate) fn read<'b>(
        &self,
        buffer: &'b mut [MaybeUninit<u8>],
        path: impl FnOnce() -> PathBuf,
    ) -> Result<&'b [u8], Errno> {
        let (text, _) = self.pread(buffer, path)?;
        Ok(text)
    }

    /// Reads the whole file in place of what `text` held, which grows as needed and keeps its room; false when it is
    /// longer than `bytes_max`.
    pub(crate) fn read_growing(
        &self,
        text: &mut Vec<u8>,
        bytes_max: usize,
        path: impl Fn() -> PathBuf,
    ) -> Result<bool, Errno> {
        loop {
            text.clear();
            self.pread(spare_capacity(text), &path)?;
            if text.len() < text.capacity() {
                return Ok(true);
            }
            if text.capacity() >= bytes_max {
                return Ok(false);
            }
            text.reserve(text.capacity().max(BUFFER_BYTES) * 2);
        }
    }

    fn pread<B: rustix::buffer::Buffer<u8>>(
        &self,
        buffer: B,
        path: impl FnOnce() -> PathBuf,
    ) -> Result<B::Output, Errno> {
        match self {
            Self::Open(fd) => rustix::io::pread(fd, buffer, 0),
            Self::Reopened => rustix::io::pread(open(&path())?, buffer, 0),
        }
    }
}

impl Drop for KeptFile {
    fn drop(&mut self) {
        if matches!(self, Self::Open(_)) {
            KEPT_FILES.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Reads at most `bytes_max` bytes of the file in place of what `text` held; whether that was all of it.
pub(crate) fn read_into(path: &Path, text: &mut Vec<u8>, bytes_max: usize) -> Result<bool, Errno> {
    text.clear();
    let fd = open(path)?;
    loop {
        // `mountinfo` comes in pieces of a page: only an empty reading is the end.
        text.reserve(4096);
        if rustix::io::read(&fd, spare_capacity(text))? == 0 {
            return Ok(true);
        }
        if text.len() > bytes_max {
            text.truncate(bytes_max);
            return Ok(false);
        }
    }
}

/// The whole of a small file, at most `bytes_max` bytes; more is an error.
pub(crate) fn read_whole(path: &Path, bytes_max: usize) -> Result<Vec<u8>, HostfsError> {
    let mut text = Vec::new();
    let whole = read_into(path, &mut text, bytes_max).map_err(|errno| HostfsError::io(path, errno))?;
    if whole { Ok(text) } else { Err(HostfsError::malformed(path, "is longer than such a file can be")) }
}

/// Opens a file for reading.
pub(crate) fn open(path: &Path) -> Result<OwnedFd, Errno> {
    // Not blocking: where a regular file should be, a hostile tree could hold a pipe.
    rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY,
        Mode::empty(),
    )
}
