//! One control group, read again and again from files that stay open.
//!
//! Open files per cgroup: 11 on v2, 14 on hybrid hosts, 11 on v1; 4 to 5 of them are read each time. Past three
//! quarters of the limit on open files the rest are opened for each reading (`kept.rs`), as are the slow ones always.
//! Not here: what the files mean (`cgroup_files.rs`); which cgroups there are (`tree.rs`).

use std::path::{Path, PathBuf};

use model::ids::CgroupId;
use model::usage::Usage;
use rustix::io::Errno;

use crate::cgroup_files::{Draft, FileKind, Pace, Place, UNREADABLE, file_kinds};
use crate::error::HostfsError;
use crate::kept::{BUFFER_BYTES, Buffer, KeptFile, buffer};
use crate::layout::{CgroupLayout, below};

/// Limits, pressures and events are read every so many readings.
pub const COLD_EVERY: u64 = 5;
/// The statistics of memory are read every so many: the kernel needs about 20 µs to write them, as long as for
/// everything else together.
pub const FULL_EVERY: u64 = 10;
/// Before that turn they are read when memory has moved by so much since: what grows towards a limit is there in seconds.
const MEMORY_MOVED_BYTES: u64 = 8 << 20;
/// An absent file is looked for after 1, 2, 4 … readings, and from then on every so many: controllers may be enabled
/// some time after the cgroup was made.
const RETRY_AFTER_MAX: u16 = 512;

/// How much to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// CPU time, memory, tasks, block devices; the rest as last read.
    Hot,
    /// Limits, pressures and events too.
    Cold,
    /// Everything.
    Full,
}

/// Reads one cgroup.
#[derive(Debug)]
pub struct CgroupReader {
    layout: CgroupLayout,
    path: Box<Path>,
    files: Box<[CgroupFile]>,
    draft: Draft,
    /// Memory when its statistics were last read.
    memory_read_bytes: u64,
    readings: u64,
    problems: u64,
}

#[derive(Debug)]
struct CgroupFile {
    kind: &'static FileKind,
    state: FileState,
}

#[derive(Debug)]
enum FileState {
    Kept(KeptFile),
    Absent { retry_in: u16, wait: u16 },
}

impl CgroupReader {
    /// Opens the cgroup at `path` below the root of its hierarchy. `Gone` when it is not there, or when the path now
    /// belongs to another cgroup than `id`.
    pub fn open(layout: &CgroupLayout, path: &Path, id: CgroupId) -> Result<Self, HostfsError> {
        if layout.id_of(path)? != id {
            return Err(HostfsError::Gone { path: path.to_path_buf() });
        }
        let mut files = Vec::new();
        for kind in file_kinds(layout) {
            let state = FileState::open(kind, &file_path(layout, kind, path)?, 1);
            files.push(CgroupFile { kind, state });
        }
        let mut draft = Draft::default();
        draft.usage.cgroup = id;
        let (layout, path) = (layout.clone(), Box::from(path));
        Ok(Self { layout, path, files: files.into(), draft, memory_read_bytes: 0, readings: 0, problems: 0 })
    }

    /// Reads: the first time and every [`FULL_EVERY`]th time in full, every [`COLD_EVERY`]th time nearly so. A file that is absent or malformed is `None`
    /// for its fields. `Gone` once the cgroup was removed.
    pub fn read(&mut self) -> Result<Usage, HostfsError> {
        // By the id, so that cgroups found in one walk do not all take their full readings in the same second.
        let turn = self.readings.wrapping_add(self.cgroup().0);
        self.read_to(if self.readings == 0 || turn.is_multiple_of(FULL_EVERY) {
            Depth::Full
        } else if turn.is_multiple_of(COLD_EVERY) {
            Depth::Cold
        } else {
            Depth::Hot
        })
    }

    /// Reads to the depth asked for; the first reading should be a full one.
    pub fn read_to(&mut self, depth: Depth) -> Result<Usage, HostfsError> {
        self.update_all(|pace| pace <= depth.pace())?;
        let memory = self.draft.usage.memory_bytes.unwrap_or_default();
        let has_moved = memory.abs_diff(self.memory_read_bytes) >= MEMORY_MOVED_BYTES;
        if depth != Depth::Full && has_moved {
            self.update_all(|pace| pace == Pace::Slow)?;
        }
        if depth == Depth::Full || has_moved {
            self.memory_read_bytes = memory;
        }
        self.readings += 1;
        Ok(self.draft.usage.clone())
    }

    /// The cgroup's id.
    pub fn cgroup(&self) -> CgroupId {
        self.draft.usage.cgroup
    }

    /// Its path below the root of its hierarchy.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How often a file was malformed, or longer than it can be.
    pub fn problems(&self) -> u64 {
        self.problems
    }

    fn update_all(&mut self, is_due: impl Fn(Pace) -> bool) -> Result<(), HostfsError> {
        let mut buffer = buffer();
        for index in 0..self.files.len() {
            if is_due(self.files[index].kind.pace) {
                self.update(index, &mut buffer)?;
            }
        }
        Ok(())
    }

    fn update(&mut self, index: usize, buffer: &mut Buffer) -> Result<(), HostfsError> {
        let kind = self.files[index].kind;
        let read = match &mut self.files[index].state {
            FileState::Kept(file) => {
                file.read(buffer, || file_path(&self.layout, kind, &self.path).unwrap_or_default())
            }
            FileState::Absent { .. } => return self.look_again(index),
        };
        match read {
            // The kernel ends every one of these files with a newline: without it, a number may have been cut.
            Ok(text) if text.len() < BUFFER_BYTES && (text.is_empty() || text.ends_with(b"\n")) => {
                self.problems += u64::from(!(kind.parse)(text, &mut self.draft));
                Ok(())
            }
            Ok(_) => {
                (kind.parse)(UNREADABLE, &mut self.draft);
                self.problems += 1;
                Ok(())
            }
            Err(errno) => self.missing(index, errno),
        }
    }

    /// A file that could not be read: the cgroup is gone, or a controller was taken from it (systemd does that, and
    /// may give it back), or the kernel refuses (pressure is switched off).
    fn missing(&mut self, index: usize, errno: Errno) -> Result<(), HostfsError> {
        let removed = matches!(errno, Errno::NODEV | Errno::NOENT);
        if removed && self.layout.id_of(&self.path).ok() != Some(self.cgroup()) {
            return Err(HostfsError::Gone { path: self.path.to_path_buf() });
        }
        let file = &mut self.files[index];
        file.state = FileState::Absent { retry_in: 1, wait: 1 };
        (file.kind.parse)(UNREADABLE, &mut self.draft);
        Ok(())
    }

    fn look_again(&mut self, index: usize) -> Result<(), HostfsError> {
        let file = &mut self.files[index];
        let FileState::Absent { retry_in, wait } = &mut file.state else { return Ok(()) };
        *retry_in -= 1;
        if *retry_in == 0 {
            let wait = wait.saturating_mul(2).min(RETRY_AFTER_MAX);
            file.state = FileState::open(file.kind, &file_path(&self.layout, file.kind, &self.path)?, wait);
        }
        Ok(())
    }
}

impl Depth {
    fn pace(self) -> Pace {
        match self {
            Self::Hot => Pace::Hot,
            Self::Cold => Pace::Cold,
            Self::Full => Pace::Slow,
        }
    }
}

impl FileState {
    fn open(kind: &FileKind, path: &Path, wait: u16) -> Self {
        match if kind.pace == Pace::Slow { KeptFile::closed(path) } else { KeptFile::open(path) } {
            Ok(file) => Self::Kept(file),
            Err(_) => Self::Absent { retry_in: wait, wait },
        }
    }
}

fn file_path(layout: &CgroupLayout, kind: &FileKind, path: &Path) -> Result<PathBuf, HostfsError> {
    let mount = match kind.place {
        Place::Unified => layout.unified(),
        Place::V1(controller) => layout.v1(controller),
    };
    // `file_kinds` names only mounts that the layout has.
    let mut file = below(mount.unwrap_or(layout.id_root()), path)?;
    file.push(kind.name);
    Ok(file)
}

#[cfg(test)]
mod tests;
