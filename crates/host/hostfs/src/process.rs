//! One process: its namespaces, its cgroup, and the whole of what is told about it.
//!
//! Not here: remembering processes (`scan.rs`).

use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use model::event::{Exec, FileOrigin, Streams};
use model::ids::Namespaces;
use model::program::Descent;
use model::untrusted::Untrusted;

use crate::confines::confines;
use crate::error::HostfsError;
use crate::foreign::Kind;
use crate::kept::read_into;
use crate::layout::CgroupLayout;
use crate::proc_dir::{key, link, namespace, pid_path, stat, uid};
use crate::root::HostRoot;
use crate::stat::Stat;
use crate::text::lines;
use crate::tree::Cgroup;

/// Most of a command line that is read.
pub const CMDLINE_BYTES_MAX: usize = 4096;
/// Paths of up to `PATH_MAX` bytes in up to 14 hierarchies.
const CGROUP_BYTES_MAX: usize = 64 * 1024;
const STATUS_BYTES_MAX: usize = 16 * 1024;

/// The namespaces of the host itself: those of pid 1, or where even root may not look at it, those of the kernel's
/// own threads (pid 2), which never leave the first ones.
pub fn host_namespaces(root: &HostRoot) -> Result<Namespaces, HostfsError> {
    namespaces(root, 1).or_else(|error| {
        let is_kernel = stat(root, 2, &mut Vec::new()).is_ok_and(|stat| stat.is_kernel_thread());
        if is_kernel { namespaces(root, 2) } else { Err(error) }
    })
}

/// The namespaces of a process. `Gone` when it ended; the kernel may refuse without the right to trace it.
pub fn namespaces(root: &HostRoot, pid: u32) -> Result<Namespaces, HostfsError> {
    Ok(Namespaces {
        pid: namespace(root, pid, "pid")?,
        mnt: namespace(root, pid, "mnt")?,
        net: namespace(root, pid, "net")?,
    })
}

/// The cgroup of a process in the hierarchy that gives ids. `Gone` when it ended.
pub fn process_cgroup(root: &HostRoot, layout: &CgroupLayout, pid: u32) -> Result<Cgroup, HostfsError> {
    let table = pid_path(root, pid, "cgroup");
    let mut text = Vec::new();
    let whole =
        read_into(&table, &mut text, CGROUP_BYTES_MAX).map_err(|errno| HostfsError::io(&table, errno))?;
    let path = lines(&text).find_map(|line| cgroup_path(line, layout)).filter(|_| whole);
    let path = path.ok_or_else(|| HostfsError::malformed(&table, "does not name a cgroup with an id"))?;
    Ok(Cgroup { id: layout.id_of(&path)?, path })
}

/// Everything about one process.
pub(crate) fn exec(
    root: &HostRoot,
    layout: &CgroupLayout,
    host: Namespaces,
    found: &Stat,
) -> Result<Exec, HostfsError> {
    let pid = found.pid;
    // Pid 1 may be closed to us (see `host_namespaces`), and its namespaces are the host's by definition.
    let namespaces = if pid == 1 { host } else { namespaces(root, pid)? };
    let cgroup = process_cgroup(root, layout, pid)?.id;
    let status_path = pid_path(root, pid, "status");
    let mut text = Vec::new();
    read_into(&status_path, &mut text, STATUS_BYTES_MAX)
        .map_err(|errno| HostfsError::io(&status_path, errno))?;
    let uid = uid(&text).ok_or_else(|| HostfsError::malformed(&status_path, "has no Uid"))?;
    // Who cloned it may still be furnishing its root, and whose program it runs was decided outside.
    let confines = if found.is_cloned() { None } else { confines(root, pid, &text) };
    let path = exe(root, pid);
    let args = arguments(&cmdline(root, pid)?);
    // Whatever was read between two looks at the same start belongs to that process and to no later one of that pid.
    let after = stat(root, pid, &mut text)?;
    if after.start_ns != found.start_ns || after.has_ended() {
        return Err(HostfsError::Gone { path: pid_path(root, pid, "stat") });
    }
    let process = key(found);
    let name = Untrusted::from_bytes(after.name());
    Ok(Exec {
        process,
        parent_pid: after.parent_pid,
        uid,
        cgroup,
        namespaces,
        name,
        path,
        args,
        streams: Streams::default(),
        origin: FileOrigin::default(),
        script: Untrusted::default(),
        is_by_loader: false,
        file: None,
        descent: Descent::default(),
        lineage: None,
        confines,
    })
}

/// The arguments as the process shows them, each ended by a zero byte; at most [`CMDLINE_BYTES_MAX`].
pub(crate) fn cmdline(root: &HostRoot, pid: u32) -> Result<Vec<u8>, HostfsError> {
    let path = pid_path(root, pid, "cmdline");
    let file = path.clone();
    // The kernel reads it from the memory of the process, which may map it from a file that a process of its own serves.
    let read = root.foreign().call(Kind::Memory, "command line of a process", move || {
        let mut text = Vec::new();
        read_into(&file, &mut text, CMDLINE_BYTES_MAX).map(|_| text)
    });
    // One that does not answer is a process all the same: the caller goes on with what else is known of it.
    read.unwrap_or_else(|_| Ok(Vec::new())).map_err(|errno| HostfsError::io(&path, errno))
}

/// `0::/path` for v2; `4:cpu,cpuacct:/path` for v1. The note ` (deleted)` behind a removed cgroup's path stays: it may
/// as well be part of a name, and a removed cgroup cannot be read.
fn cgroup_path(line: &[u8], layout: &CgroupLayout) -> Option<PathBuf> {
    let mut parts = line.splitn(3, |&byte| byte == b':');
    let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let is_ours = match layout.unified() {
        Some(_) => number == b"0" && controllers.is_empty(),
        None => controllers.split(|&byte| byte == b',').any(|name| name == b"cpuacct"),
    };
    is_ours.then(|| PathBuf::from(OsStr::from_bytes(path)))
}

/// The target of `/proc/PID/exe`; empty where the kernel refuses or there is none.
fn exe(root: &HostRoot, pid: u32) -> Untrusted {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    link(&pid_path(root, pid, "exe"), &mut buffer).map(Untrusted::from_bytes).unwrap_or_default()
}

/// A command line as text, space separated.
pub(crate) fn arguments(cmdline: &[u8]) -> Untrusted {
    let end = cmdline.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let spaced: Vec<u8> = cmdline[..end].iter().map(|&byte| if byte == 0 { b' ' } else { byte }).collect();
    Untrusted::from_bytes(&spaced)
}

#[cfg(test)]
mod tests;
