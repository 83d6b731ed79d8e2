//! Which control-group hierarchies the host has, and where: v2 alone, v1 alone, or both side by side.
//!
//! Not here: what is in them (`tree.rs`, `cgroup.rs`). Where a controller is mounted as v1, v2 does not have it.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use model::ids::CgroupId;

use crate::error::HostfsError;
use crate::kept::read_whole;
use crate::mount_table::{HOST_TABLE_BYTES_MAX, MountLine, unescaped};
use crate::root::HostRoot;
use crate::text::{lines, number, split_once, words};

const CGROUPS_BYTES_MAX: usize = 64 * 1024;

/// Which versions of control groups the host uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only v1.
    V1,
    /// Only v2 (a named v1 hierarchy without controllers does not count).
    V2,
    /// v1 controllers, and v2 beside them.
    Hybrid,
}

/// The v1 controllers that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Limits on CPU time.
    Cpu,
    /// CPU time spent.
    Cpuacct,
    /// Memory.
    Memory,
    /// Number of tasks.
    Pids,
    /// Block devices.
    Blkio,
}

impl Controller {
    const ALL: [Self; 5] = [Self::Cpu, Self::Cpuacct, Self::Memory, Self::Pids, Self::Blkio];

    /// The kernel's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Blkio => "blkio",
        }
    }
}

/// Where the hierarchies are. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CgroupLayout(Arc<Mounts>);

#[derive(Debug)]
struct Mounts {
    unified: Option<PathBuf>,
    v1: [Option<PathBuf>; Controller::ALL.len()],
    id_root: PathBuf,
    cpuacct_hierarchy: Option<u32>,
}

impl CgroupLayout {
    /// Reads `/proc/self/mountinfo` and `/proc/cgroups` below the root.
    pub fn detect(root: &HostRoot) -> Result<Self, HostfsError> {
        let table = root.at("proc/self/mountinfo");
        let text = read_whole(&table, HOST_TABLE_BYTES_MAX)?;
        let mounts: Vec<Mount> = lines(&text).filter_map(|line| Mount::parse(line, root)).collect();
        let unified = choose(&mounts, |mount| mount.controllers.is_none())?;
        let mut v1 = [const { None }; Controller::ALL.len()];
        for controller in Controller::ALL {
            v1[controller as usize] = choose(&mounts, |mount| mount.has(controller.name()))?;
        }
        let id_root = unified.clone().or_else(|| v1[Controller::Cpuacct as usize].clone());
        let id_root = id_root.ok_or(HostfsError::NoCgroups { path: table })?;
        let cpuacct_hierarchy = if unified.is_none() { Some(cpuacct_hierarchy(root)?) } else { None };
        Ok(Self(Arc::new(Mounts { unified, v1, id_root, cpuacct_hierarchy })))
    }

    /// Which versions the host uses.
    pub fn mode(&self) -> Mode {
        match (self.unified(), self.0.v1.iter().any(Option::is_some)) {
            (Some(_), false) => Mode::V2,
            (Some(_), true) => Mode::Hybrid,
            (None, _) => Mode::V1,
        }
    }

    /// The v2 mount.
    pub fn unified(&self) -> Option<&Path> {
        self.0.unified.as_deref()
    }

    /// The v1 mount of a controller; `None` where v2 has it or nobody does.
    pub fn v1(&self, controller: Controller) -> Option<&Path> {
        self.0.v1[controller as usize].as_deref()
    }

    /// The mount whose directories' inode numbers are the cgroup ids: v2 when there is one, else v1 cpuacct.
    pub fn id_root(&self) -> &Path {
        &self.0.id_root
    }

    /// On v1-only hosts the kernel's number of the cpuacct hierarchy (`/proc/cgroups`).
    pub fn cpuacct_hierarchy(&self) -> Option<u32> {
        self.0.cpuacct_hierarchy
    }

    /// The id of the cgroup at `path` below the root of the id-giving hierarchy. One system call.
    pub fn id_of(&self, path: &Path) -> Result<CgroupId, HostfsError> {
        let directory = below(self.id_root(), path)?;
        let stat = rustix::fs::stat(&directory).map_err(|errno| HostfsError::io(&directory, errno))?;
        Ok(CgroupId(stat.st_ino))
    }
}

/// The directory at `path` below a mount. Cgroup namespaces show cgroups outside of them as `/../..`: such a path
/// cannot be followed, and must not lead out of the mount.
pub(crate) fn below(mount: &Path, path: &Path) -> Result<PathBuf, HostfsError> {
    let mut directory = mount.to_path_buf();
    for component in path.components() {
        match component {
            Component::Normal(name) => directory.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(HostfsError::malformed(path, "leads out of the cgroup hierarchy"));
            }
        }
    }
    Ok(directory)
}

/// One cgroup mount; `controllers` is `None` for v2.
struct Mount<'t> {
    part: PathBuf,
    point: PathBuf,
    controllers: Option<&'t [u8]>,
}

impl<'t> Mount<'t> {
    /// `None` for other file systems.
    fn parse(line: &'t [u8], root: &HostRoot) -> Option<Self> {
        let line = MountLine::parse(line)?;
        let controllers = match line.kind {
            b"cgroup2" => None,
            b"cgroup" => Some(line.options),
            _ => return None,
        };
        let point = root.resolve(&unescaped(line.point));
        Some(Self { part: unescaped(line.part), point, controllers })
    }

    fn has(&self, controller: &str) -> bool {
        let options = self.controllers.unwrap_or_default();
        options.split(|&byte| byte == b',').any(|option| option == controller.as_bytes())
    }
}

/// The first fitting mount that shows the whole hierarchy and exists; bind mounts of parts are ignored beside it.
fn choose(mounts: &[Mount], fits: impl Fn(&Mount) -> bool) -> Result<Option<PathBuf>, HostfsError> {
    let fitting: Vec<&Mount> = mounts.iter().filter(|mount| fits(mount) && mount.point.is_dir()).collect();
    let whole = fitting.iter().find(|mount| mount.part == Path::new("/"));
    match (whole, fitting.first()) {
        (Some(mount), _) => Ok(Some(mount.point.clone())),
        (None, Some(mount)) => {
            Err(HostfsError::PartOfCgroups { path: mount.point.clone(), part: mount.part.clone() })
        }
        (None, None) => Ok(None),
    }
}

fn cpuacct_hierarchy(root: &HostRoot) -> Result<u32, HostfsError> {
    let table = root.at("proc/cgroups");
    let text = read_whole(&table, CGROUPS_BYTES_MAX)?;
    let number = lines(&text).find_map(|line| {
        let (name, rest) = split_once(line, b'\t')?;
        (name == b"cpuacct").then(|| number(words(rest).next()?))?
    });
    let hierarchy = number.and_then(|number| u32::try_from(number).ok());
    hierarchy.ok_or_else(|| HostfsError::malformed(&table, "has no line for cpuacct"))
}

#[cfg(test)]
mod tests;
