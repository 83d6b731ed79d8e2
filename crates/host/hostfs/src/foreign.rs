//! Calls that touch what others serve: a file system of a container's, memory that a process maps from one. They may never
//! return, and are made on threads that can be abandoned.
//!
//! Not here: what the kernel answers by itself, which is read at once.

use std::path::Path;
use std::time::Duration;

use deadline::workers::{CallError, Counts, Workers};
use rustix::fs::{FileType, Stat};

/// Calls of one kind that may hang at once, each at the price of a thread.
const HUNG_MAX: usize = 128;
/// How long a call is waited for while no other one of its kind hangs: a busy host, not a hostile one.
const PATIENCE: Duration = Duration::from_millis(500);
/// And while another one hangs: whatever made that one hang could make many hang, each for as long as it is waited for.
const PATIENCE_WHEN_HUNG: Duration = Duration::from_millis(50);

/// What a foreign call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The root directory of a process.
    Roots,
    /// The memory of a process that holds its command line.
    Memory,
    /// Files by a path that somebody told: logs, directories of runtimes.
    Files,
}

/// The threads for foreign calls: each kind has its own. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Foreign {
    roots: Workers,
    memory: Workers,
    files: Workers,
}

impl Default for Foreign {
    fn default() -> Self {
        Self {
            roots: Workers::new("roots", HUNG_MAX),
            memory: Workers::new("memory", HUNG_MAX),
            files: Workers::new("files", HUNG_MAX),
        }
    }
}

impl Foreign {
    /// Makes a call and waits for it no longer than is right.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        kind: Kind,
        call: &'static str,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CallError> {
        let workers = self.workers(kind);
        workers.call(call, patience(workers), run)
    }

    /// What a path leads to; `None` where there is nothing, or where it does not answer.
    pub fn stat(&self, path: &Path) -> Option<Stat> {
        let path = path.to_path_buf();
        self.call(Kind::Files, "file by its path", move || rustix::fs::stat(path).ok()).ok().flatten()
    }

    /// Likewise, of a link itself.
    pub(crate) fn lstat(&self, path: &Path) -> Option<Stat> {
        let path = path.to_path_buf();
        self.call(Kind::Files, "file by its path", move || rustix::fs::lstat(path).ok()).ok().flatten()
    }

    /// Whether there is a directory at a path.
    pub fn is_directory(&self, path: &Path) -> bool {
        let kind = self.stat(path).map(|found| FileType::from_raw_mode(found.st_mode));
        kind == Some(FileType::Directory)
    }

    /// The threads for calls of one kind, for whatever lends them a value.
    pub fn workers(&self, kind: Kind) -> &Workers {
        match kind {
            Kind::Roots => &self.roots,
            Kind::Memory => &self.memory,
            Kind::Files => &self.files,
        }
    }

    /// How the calls of each kind went.
    pub fn counts(&self) -> [(Kind, Counts); 3] {
        [Kind::Roots, Kind::Memory, Kind::Files].map(|kind| (kind, self.workers(kind).counts()))
    }
}

/// How long a call of these threads is waited for.
pub fn patience(workers: &Workers) -> Duration {
    if workers.counts().stuck() == 0 { PATIENCE } else { PATIENCE_WHEN_HUNG }
}
