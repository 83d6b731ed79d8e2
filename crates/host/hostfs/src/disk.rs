//! Free space of the file systems that container runtimes write to.
//!
//! Not here: how much of it each container uses, which only a walk could tell.

use std::path::PathBuf;

use model::untrusted::Untrusted;
use model::usage::DiskSpace;
use rustix::io::Errno;

use crate::error::HostfsError;
use crate::root::HostRoot;

/// Reads the space below the runtimes' roots.
#[derive(Debug)]
pub struct DiskReader {
    roots: Vec<(String, PathBuf)>,
}

impl DiskReader {
    /// Watches the given directories, such as `/var/lib/docker`; they need not exist yet.
    pub fn new<'p>(root: &HostRoot, paths: impl IntoIterator<Item = &'p str>) -> Self {
        Self { roots: paths.into_iter().map(|path| (path.to_owned(), root.at(path))).collect() }
    }

    /// One reading for each file system, named by the first directory on it; directories that do not exist are left
    /// out. Fails when a directory is there and cannot be asked.
    pub fn read(&self) -> Result<Vec<DiskSpace>, HostfsError> {
        let (mut devices, mut disks) = (Vec::new(), Vec::new());
        for (name, path) in &self.roots {
            let stat = match rustix::fs::stat(path) {
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                other => other.map_err(|errno| HostfsError::io(path, errno))?,
            };
            if devices.contains(&stat.st_dev) {
                continue;
            }
            devices.push(stat.st_dev);
            let space = rustix::fs::statvfs(path).map_err(|errno| HostfsError::io(path, errno))?;
            disks.push(DiskSpace {
                path: Untrusted::new(name),
                total_bytes: space.f_blocks.saturating_mul(space.f_frsize),
                free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
                inodes_total: space.f_files,
                inodes_free: space.f_favail,
            });
        }
        Ok(disks)
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
        let disks = DiskReader::new(&HostRoot::new(host.root()), paths).read().unwrap();
        assert_eq!(disks.len(), 1);
        assert_eq!(disks[0].path.raw(), "/var/lib/docker");
        assert!(disks[0].total_bytes > disks[0].free_bytes && disks[0].free_bytes > 0);
    }

    #[test]
    fn different_file_systems_are_told_apart() {
        let disks = DiskReader::new(&HostRoot::new("/"), ["/", "/proc"]).read().unwrap();
        assert_eq!(disks.iter().map(|disk| disk.path.raw()).collect::<Vec<_>>(), ["/", "/proc"]);
    }
}
