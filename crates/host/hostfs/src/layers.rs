//! Where a script comes from that a process in a container runs, or a program that a loader is given: a layer of the image, the
//! container's own layer, a mount.
//!
//! By the upper directory of the overlay that is the process's root. No file is opened for reading, and nothing is walked but
//! the mount of that root, that directory, and mounts of file systems that the kernel itself serves; still, one may keep us
//! waiting. Not here: who waits for that (`sources`), file systems without layers, engines that have their layers in a container.

mod crossing;

mod loader;

use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use model::event::{Exec, FileOrigin};
use model::program::{FileFacts, FileId};
use model::time::Time;
use model::untrusted::Untrusted;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, major, minor, openat2};
use rustix::io::Errno;

use self::crossing::Mounts;
use crate::kept::{read_into, read_whole};
use crate::mount_table::{HOST_TABLE_BYTES_MAX, MountLine, unescaped};
use crate::proc_dir::{link, namespace, pid_path, root_of, stat};
use crate::root::HostRoot;
use crate::text::lines;

/// The root is among the first mounts of a container: what comes behind some hundreds is not read.
const TABLE_BYTES_MAX: usize = 64 * 1024;
const PATH_BYTES_MAX: usize = 4096;
/// What the kernel calls memory that was made a file.
const MEMORY: &[u8] = b"/memfd:";
/// By what names a process runs a file that it has open.
const OPEN_FILES: [&str; 2] = ["/dev/fd", "/proc/self/fd"];

/// A script that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Where it truly is in its container; of one on another file system, what its interpreter was told.
    pub path: Untrusted,
    /// Where it comes from: never unknown.
    pub origin: FileOrigin,
    /// The file; `None` of one on a file system that is not looked at.
    pub file: Option<FileFacts>,
}

/// Looks for the script of a program that was just started in a container, or for what a loader was given. `None` where it
/// cannot be told: the process or the script is gone, the root is no overlay, its upper directory is not in sight, it is no
/// regular file.
pub fn script(root: &HostRoot, exec: &Exec) -> Option<Script> {
    if exec.is_by_loader {
        return loader::given(root, exec);
    }
    let found = seen_by(root, exec.process.pid, exec);
    // Asked afterwards: what was read before is then its own, and no later process's of that pid.
    if still_runs(root, exec) {
        return found;
    }
    // It has ended. Whoever started it may see the same mounts, but need not be in the same directory.
    let path = Path::new(exec.script.raw());
    if !path.is_absolute() || open_number(path).is_some() {
        return None;
    }
    seen_by(root, exec.parent_pid, exec).filter(|_| shares_mounts(root, exec.parent_pid, exec))
}

/// The script as a process sees it.
fn seen_by(root: &HostRoot, pid: u32, exec: &Exec) -> Option<Script> {
    let path = Path::new(exec.script.raw());
    let place = Place::of(root, pid)?;
    match open_number(path) {
        Some(number) => place.open_file(root, pid, number),
        None => place.file(&place.absolute(root, pid, path)?, &exec.script),
    }
}

fn still_runs(root: &HostRoot, exec: &Exec) -> bool {
    let found = stat(root, exec.process.pid, &mut Vec::new());
    found.is_ok_and(|found| found.start_ns == exec.process.start_ns)
        && shares_mounts(root, exec.process.pid, exec)
}

fn shares_mounts(root: &HostRoot, pid: u32, exec: &Exec) -> bool {
    namespace(root, pid, "mnt").is_ok_and(|found| found == exec.namespaces.mnt)
}

/// `N` of `/dev/fd/N`. The way there leads through a link that only the process itself can follow.
fn open_number(path: &Path) -> Option<u32> {
    let name = OPEN_FILES.iter().find_map(|directory| path.strip_prefix(directory).ok())?;
    name.to_str()?.parse().ok()
}

/// The root of a process, and the directory that holds what was written over it.
struct Place {
    root: OwnedFd,
    /// How we would call that root; its own mount namespace may call it `/`.
    prefix: PathBuf,
    upper: PathBuf,
    mounts: Mounts,
}

impl Place {
    fn of(host: &HostRoot, pid: u32) -> Option<Self> {
        let root = root_of(host, pid).ok()?;
        let mut table = Vec::new();
        read_into(&pid_path(host, pid, "mountinfo"), &mut table, TABLE_BYTES_MAX).ok()?;
        let upper = host.resolve(&upper_directory(host, &table, root.as_fd())?);
        Some(Self {
            root,
            prefix: target(&pid_path(host, pid, "root"))?,
            upper,
            mounts: Mounts::read(&table),
        })
    }

    /// The path below its root.
    fn absolute(&self, host: &HostRoot, pid: u32, path: &Path) -> Option<PathBuf> {
        if path.is_absolute() {
            return Some(path.to_path_buf());
        }
        let directory = target(&pid_path(host, pid, "cwd"))?;
        Some(Path::new("/").join(directory.strip_prefix(&self.prefix).ok()?).join(path))
    }

    fn file(&self, path: &Path, told: &Untrusted) -> Option<Script> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let open = |path: &Path| openat2(&self.root, path, flags, Mode::empty(), within);
        // A path that only leads through another mount (`/volume/../x`) need not be walked there.
        let found = match open(path) {
            Err(Errno::XDEV) => open(&folded(path)),
            other => other,
        };
        match found {
            Ok(file) => self.regular(&file, &target(&opened(&file))?),
            Err(Errno::XDEV) => Some(self.mounted(path).unwrap_or_else(|| Script {
                path: told.clone(),
                origin: FileOrigin::Mounted,
                file: None,
            })),
            Err(_) => None,
        }
    }

    /// A file on another file system than the root, when that can be looked at without waiting for a process.
    fn mounted(&self, path: &Path) -> Option<Script> {
        let file = self.mounts.open(self.root.as_fd(), path)?;
        let (path, found) = (target(&opened(&file))?, fstat(&file).ok()?);
        let below = Path::new("/").join(path.strip_prefix(&self.prefix).ok()?);
        let origin = match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => FileOrigin::Mounted,
            FileType::Fifo => FileOrigin::Memory,
            _ => return None,
        };
        let is_mounted_alone = self.mounts.has_point(&below);
        let file = Some(FileFacts { is_mounted_alone, ..run_file(&found, &below) });
        Some(Script { path: shown(&below), origin, file })
    }

    /// A file that the process has open: also one without a name.
    fn open_file(&self, host: &HostRoot, pid: u32, number: u32) -> Option<Script> {
        let link = pid_path(host, pid, &format!("fd/{number}"));
        let file = rustix::fs::open(&link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let path = target(&link)?;
        if fstat(&file).ok()?.st_nlink > 0 {
            // By its name it is found on whatever mount it is.
            let path = Path::new("/").join(path.strip_prefix(&self.prefix).ok()?);
            return self.file(&path, &shown(&path));
        }
        self.regular(&file, &path)
    }

    fn regular(&self, file: &OwnedFd, path: &Path) -> Option<Script> {
        let found = fstat(file).ok()?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => {}
            // A pipe that has a name holds whatever is written into it, which no layer has.
            FileType::Fifo => {
                let path = Path::new("/").join(path.strip_prefix(&self.prefix).ok()?);
                let file = Some(run_file(&found, &path));
                return Some(Script { path: shown(&path), origin: FileOrigin::Memory, file });
            }
            _ => return None,
        }
        if found.st_nlink == 0 {
            let is_memory = path.as_os_str().as_bytes().starts_with(MEMORY);
            let origin = if is_memory { FileOrigin::Memory } else { FileOrigin::Deleted };
            return Some(Script { path: shown(path), origin, file: Some(run_file(&found, path)) });
        }
        let below = path.strip_prefix(&self.prefix).ok()?;
        let (origin, path) = (self.layer(below)?, Path::new("/").join(below));
        Some(Script { path: shown(&path), origin, file: Some(run_file(&found, &path)) })
    }

    /// Whether the upper directory holds it. What was only made executable since is held there as well.
    fn layer(&self, below: &Path) -> Option<FileOrigin> {
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let upper = rustix::fs::open(&self.upper, directory, Mode::empty()).ok()?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        match openat2(&upper, below, flags, Mode::empty(), within) {
            Ok(file) => {
                let mode = fstat(&file).ok()?.st_mode;
                (FileType::from_raw_mode(mode) == FileType::RegularFile).then_some(FileOrigin::Written)
            }
            Err(Errno::NOENT) => Some(FileOrigin::Image),
            Err(_) => None,
        }
    }
}

/// Of the overlay that is mounted as this root, by the mount table of a process with that root.
fn upper_directory(host: &HostRoot, table: &[u8], root: impl AsFd) -> Option<PathBuf> {
    let device = fstat(root).ok()?.st_dev;
    let device = format!("{}:{}", major(device), minor(device));
    let tops = lines(table).filter_map(MountLine::parse).filter(|line| line.point == b"/");
    let top = tops.last().filter(|line| line.kind == b"overlay" && line.device == device.as_bytes())?;
    let options = top.options.split(|&byte| byte == b',');
    let upper = unescaped(options.filter_map(|option| option.strip_prefix(b"upperdir=")).next()?);
    let upper = if upper.is_absolute() { upper } else { mounted_from(host, device.as_bytes())?.join(upper) };
    Some(upper.join(unescaped(top.part).strip_prefix("/").ok()?))
}

/// Where Docker was when it mounted an overlay of very many layers, whose paths it gives as `ID/diff` (seen of 20.10 with 81
/// layers): the host shows the same overlay at `ID/merged`.
fn mounted_from(host: &HostRoot, device: &[u8]) -> Option<PathBuf> {
    let text = read_whole(&pid_path(host, 1, "mountinfo"), HOST_TABLE_BYTES_MAX).ok()?;
    let shown = lines(&text).filter_map(MountLine::parse).find(|line| line.device == device)?;
    unescaped(shown.point).ancestors().nth(2).map(Path::to_path_buf)
}

/// The path without `.` and `..`, as if no directory in it were a link.
fn folded(path: &Path) -> PathBuf {
    let mut folded = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => folded.push(name),
            Component::ParentDir => drop(folded.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    folded
}

/// The link to a file that we hold open.
fn opened(file: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// The file as the kernel would tell of it when it is executed.
fn run_file(found: &Stat, path: &Path) -> FileFacts {
    let device = u64::from(major(found.st_dev)) << 20 | u64::from(minor(found.st_dev));
    let name = path.file_name().unwrap_or_default().as_bytes();
    FileFacts {
        id: FileId { device, inode: found.st_ino },
        changed: Time::from_secs(found.st_ctime).plus(Duration::from_nanos(found.st_ctime_nsec)),
        is_mounted_alone: false,
        name: Untrusted::from_bytes(name),
    }
}

fn target(path: &Path) -> Option<PathBuf> {
    let mut buffer = [MaybeUninit::uninit(); PATH_BYTES_MAX];
    let told = link(path, &mut buffer).ok()?;
    Some(PathBuf::from(OsStr::from_bytes(told)))
}

fn shown(path: &Path) -> Untrusted {
    Untrusted::from_bytes(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests;
