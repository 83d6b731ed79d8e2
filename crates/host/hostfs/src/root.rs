//! The root that everything is read below.
//!
//! Not here: any check that it looks like a host; each reader says what it misses.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::foreign::Foreign;

/// A directory that holds `proc` and `sys`: `/`, a host's root mounted elsewhere, or a made-up tree in tests. Cheap to clone;
/// clones share the threads for calls that may never return.
#[derive(Clone, Debug)]
pub struct HostRoot {
    path: Arc<Path>,
    foreign: Foreign,
}

impl HostRoot {
    /// The root at `path`.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: Arc::from(path.as_ref()), foreign: Foreign::default() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where calls are made that touch what others serve.
    pub fn foreign(&self) -> &Foreign {
        &self.foreign
    }

    /// The file at `below`, taken below the root whether or not it begins with `/`.
    pub fn at(&self, below: impl AsRef<Path>) -> PathBuf {
        let below = below.as_ref();
        self.path.join(below.strip_prefix("/").unwrap_or(below))
    }

    /// A path that the host itself told. With the host's root mounted at `/host`, `mountinfo` names mounts as we
    /// see them (`/host/sys/fs/cgroup`); in a made-up tree, as the host would (`/sys/fs/cgroup`).
    pub(crate) fn resolve(&self, told: &Path) -> PathBuf {
        if told.starts_with(&self.path) { told.to_path_buf() } else { self.at(told) }
    }
}
