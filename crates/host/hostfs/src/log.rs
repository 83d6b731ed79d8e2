//! The size of the log file that a container engine writes for a container.
//!
//! Not here: its content, and any lock on it; nothing is opened but the directory it is in.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::untrusted::Untrusted;
use model::usage::LogSize;

use crate::error::HostfsError;
use crate::root::HostRoot;

/// Rotated files are looked for again after so many readings, even without a sign of rotation.
const LIST_EVERY: u32 = 30;
/// Most entries of a log's directory that are looked at.
const ENTRIES_MAX: usize = 4096;

/// Watches the log of one container.
#[derive(Clone, Debug)]
pub struct LogReader {
    container_id: Untrusted,
    name: Untrusted,
    path: PathBuf,
    current: Option<(u64, u64)>,
    rotated_bytes: u64,
    list_in: u32,
}

impl LogReader {
    /// The log at `path`, as the engine tells it (`…/<id>-json.log`).
    pub fn new(root: &HostRoot, container_id: &Untrusted, path: &str) -> Self {
        Self {
            container_id: container_id.clone(),
            name: Untrusted::new(path),
            path: root.at(path),
            current: None,
            rotated_bytes: 0,
            list_in: 0,
        }
    }

    /// A reader of the same log that has read nothing yet.
    #[must_use]
    pub fn begun_anew(&self) -> Self {
        Self { current: None, rotated_bytes: 0, list_in: 0, ..self.clone() }
    }

    /// Bytes in the file and in those rotated away beside it (`X.1`, `X.2.gz`, `X.20260131-120000`): one `stat`, and
    /// a listing when the file was replaced or cut. `Gone` when there is no such file.
    pub fn read(&mut self) -> Result<LogSize, HostfsError> {
        let stat = rustix::fs::stat(&self.path).map_err(|errno| HostfsError::io(&self.path, errno))?;
        let bytes = u64::try_from(stat.st_size).unwrap_or(0);
        let rotated = self.current.is_none_or(|(inode, before)| inode != stat.st_ino || bytes < before);
        self.current = Some((stat.st_ino, bytes));
        self.list_in = self.list_in.saturating_sub(1);
        if rotated || self.list_in == 0 {
            self.rotated_bytes = rotated_bytes(&self.path);
            self.list_in = LIST_EVERY;
        }
        let bytes = bytes.saturating_add(self.rotated_bytes);
        Ok(LogSize { container_id: self.container_id.clone(), path: self.name.clone(), bytes })
    }
}

/// Files named like the log with a dot and more behind it. A rotation going on may take one away meanwhile.
fn rotated_bytes(log: &Path) -> u64 {
    let name = log.file_name().unwrap_or_default();
    let entries = log.parent().and_then(|directory| std::fs::read_dir(directory).ok());
    let rotated = entries.into_iter().flatten().flatten().take(ENTRIES_MAX).filter(|entry| {
        let rotated = entry.file_name();
        rotated.as_bytes().strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"."))
    });
    rotated
        .filter_map(|entry| entry.metadata().ok())
        .filter(|file| file.is_file())
        .map(|file| file.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use testkit::host_tree::FakeHost;

    use super::*;

    const LOG: &str = "/var/lib/docker/containers/ab/ab-json.log";

    fn reader(host: &FakeHost) -> LogReader {
        LogReader::new(&HostRoot::new(host.root()), &Untrusted::new("ab"), LOG)
    }

    #[test]
    fn rotated_files_count_and_their_neighbours_do_not() {
        let host = FakeHost::v2().unwrap();
        for (name, bytes) in [("", 5), (".1", 20), (".2.gz", 300), (".20260131-120000", 1000)] {
            host.write(&format!("{LOG}{name}"), &vec![b'x'; bytes]).unwrap();
        }
        host.write("var/lib/docker/containers/ab/config.v2.json", &[b'x'; 7]).unwrap();
        host.write("var/lib/docker/containers/ab/ab-json.logs", &[b'x'; 7]).unwrap();
        let size = reader(&host).read().unwrap();
        assert_eq!((size.bytes, size.path.raw(), size.container_id.raw()), (1325, LOG, "ab"));
    }

    #[test]
    fn a_rotation_loses_no_bytes() {
        let host = FakeHost::v2().unwrap();
        let mut reader = reader(&host);
        host.write(LOG, &[b'x'; 100]).unwrap();
        assert_eq!(reader.read().unwrap().bytes, 100);
        let at = |name: &str| host.root().join(format!("{}{name}", &LOG[1..]));
        std::fs::rename(at(""), at(".1")).unwrap();
        host.write(LOG, &[b'x'; 150]).unwrap();
        assert_eq!(reader.read().unwrap().bytes, 250);
    }

    #[test]
    fn a_log_cut_in_place_is_seen_to_shrink() {
        let host = FakeHost::v2().unwrap();
        let mut reader = reader(&host);
        host.write(LOG, &[b'x'; 100]).unwrap();
        reader.read().unwrap();
        host.write(LOG, b"").unwrap();
        assert_eq!(reader.read().unwrap().bytes, 0);
    }

    #[test]
    fn a_container_without_log_file_is_gone() {
        assert!(reader(&FakeHost::v2().unwrap()).read().unwrap_err().is_gone());
    }
}
