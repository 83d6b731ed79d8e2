//! Free space of the file systems that container runtimes write to.
//!
//! Not here: how much of it each container uses, which only a walk could tell.

use std::path::PathBuf;

use deadline::lent::Lent;
use model::untrusted::Untrusted;
use model::usage::DiskSpace;
use rustix::io::Errno;

use crate::error::HostfsError;
use crate::foreign::{Foreign, Kind, patience};
use crate::root::HostRoot;

/// Reads the space below the runtimes' roots.
#[derive(Debug)]
pub struct DiskReader {
    foreign: Foreign,
    roots: Vec<Lent<Root>>,
    silent: usize,
}

#[derive(Debug)]
struct Root {
    name: String,
    path: PathBuf,
}

impl DiskReader {
    /// Watches the given directories, such as `/var/lib/docker`; they need not exist yet.
    pub fn new<'p>(root: &HostRoot, paths: impl IntoIterator<Item = &'p str>) -> Self {
        let watched = |path: &str| Lent::new(Root { name: path.to_owned(), path: root.at(path) });
        let roots = paths.into_iter().map(watched).collect();
        Self { foreign: root.foreign().clone(), roots, silent: 0 }
    }

    /// One reading for each file system, named by the first directory on it; directories that do not exist, or do not
    /// answer, are left out. Fails when a directory is there and cannot be asked.
    pub fn read(&mut self) -> Result<Vec<DiskSpace>, HostfsError> {
        let (mut devices, mut disks) = (Vec::new(), Vec::new());
        self.silent = 0;
        let workers = self.foreign.workers(Kind::Files);
        for root in &mut self.roots {
            let Ok(found) =
                root.call(workers, "file system of a runtime", patience(workers), |it| it.space())
            else {
                self.silent += 1;
                continue;
            };
            if let Some((device, space)) = found?
                && !devices.contains(&device)
            {
                devices.push(device);
                disks.push(space);
            }
        }
        Ok(disks)
    }

    /// Directories that did not answer at the last reading.
    pub fn silent(&self) -> usize {
        self.silent
    }
}

impl Root {
    fn space(&self) -> Result<Option<(u64, DiskSpace)>, HostfsError> {
        let path = &self.path;
        let stat = match rustix::fs::stat(path) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            other => other.map_err(|errno| HostfsError::io(path, errno))?,
        };
        let space = rustix::fs::statvfs(path).map_err(|errno| HostfsError::io(path, errno))?;
        let space = DiskSpace {
            path: Untrusted::new(&self.name),
            total_bytes: space.f_blocks.saturating_mul(space.f_frsize),
            free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
            inodes_total: space.f_files,
            inodes_free: space.f_favail,
        };
        Ok(Some((stat.st_dev, space)))
    }
}

#[cfg(test)]
mod tests {
    use testkit::host_tree::FakeHost;

    use super::*;

    #[test]
    fn one_file_system_is_told_once_and_absent_roots_not_at_all() {
        let host = FakeHost::v2().unwrap();
        host.write("var/lib/docker/x", b"").unwrap();
        host.write("var/lib/containerd/x", b"").unwrap();
        let paths = ["/var/lib/kubelet", "/var/lib/docker", "/var/lib/containerd"];
        let mut disks = DiskReader::new(&HostRoot::new(host.root()), paths);
        let disks = disks.read().unwrap();
        assert_eq!(disks.len(), 1);
        assert_eq!(disks[0].path.raw(), "/var/lib/docker");
        assert!(disks[0].total_bytes > disks[0].free_bytes && disks[0].free_bytes > 0);
    }

    #[test]
    fn different_file_systems_are_told_apart() {
        let mut disks = DiskReader::new(&HostRoot::new("/"), ["/", "/proc"]);
        let disks = disks.read().unwrap();
        assert_eq!(disks.iter().map(|disk| disk.path.raw()).collect::<Vec<_>>(), ["/", "/proc"]);
    }
}
