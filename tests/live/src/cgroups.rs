//! Control groups made by hand for tests, and the CPU a control group used; v1, v2 and hybrid hosts.
//!
//! Not here: anything Tidewatch does; this is the independent view.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use crate::host;
use crate::wait;

/// v1 hierarchies that Tidewatch reads. Not `cpu`: there a group of its own would weigh as much as one process of
/// the host, and a busy host would starve it.
const V1_CONTROLLERS: [&str; 3] = ["cpuacct", "memory", "pids"];

/// Four busy loops, so that it gets a core even while the host compiles something.
pub(crate) const BURN: &str = "for i in 1 2 3; do while :; do :; done & done; while :; do :; done";

/// A container made by hand: `unshare` in a control group of its own. Ended and removed on drop.
pub(crate) struct Ghost {
    child: Child,
    /// The same group in each hierarchy.
    groups: Vec<PathBuf>,
    /// Path below the hierarchies' roots.
    pub(crate) path: String,
    /// When it was started, in Unix seconds.
    pub(crate) started: f64,
}

impl Ghost {
    /// Starts `argv` in new pid, mount and network namespaces, in the control group `/name` everywhere.
    pub(crate) fn start(name: &str, argv: &[&str]) -> Result<Self> {
        host::require("unshare", "util-linux")?;
        let mounts = fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
        let groups: Vec<PathBuf> = hierarchies(&mounts).iter().map(|root| root.join(name)).collect();
        ensure!(!groups.is_empty(), "no cgroup hierarchy is mounted");
        for group in &groups {
            make(group)?;
        }
        // The shell joins before it becomes the container: nothing of it ever runs elsewhere.
        let join: String =
            groups.iter().map(|group| format!("echo $$ > {}/cgroup.procs && ", group.display())).collect();
        let script = format!("{join} exec unshare --pid --mount --net --fork \"$@\"");
        let started = host::unix_now();
        let child = Command::new("sh")
            .args(["-ec", &script, "sh"])
            .args(argv)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = child.inspect_err(|_| remove(&groups)).context("cannot start a shell")?;
        let mut ghost = Self { child, groups, path: format!("/{name}"), started };
        ghost.check_that_it_runs()?;
        Ok(ghost)
    }

    fn check_that_it_runs(&mut self) -> Result<()> {
        wait::until(Duration::from_secs(3), "the container made by hand runs", || {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended: {status}");
            }
            // unshare itself and its child.
            Ok((members(&self.groups[0]).len() >= 2).then_some(()))
        })
    }
}

impl Drop for Ghost {
    fn drop(&mut self) {
        for pid in members(&self.groups[0]) {
            host::signal(pid, Signal::KILL);
        }
        host::end(&mut self.child, Duration::ZERO);
        remove(&self.groups);
    }
}

/// Ends everything in the control group of a process of ours and removes the group from every hierarchy.
pub(crate) fn end_group_of(pid: u32) {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let Some(path) = group_of(&groups, "").or_else(|| group_of(&groups, "pids")).filter(|path| path != "/")
    else {
        return;
    };
    let roots = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let roots = roots.filter(|fields| fields.get(2).is_some_and(|kind| kind.starts_with("cgroup")));
    let places: Vec<PathBuf> =
        roots.map(|fields| below(Path::new(fields[1]), &path)).filter(|place| place.exists()).collect();
    for member in places.iter().flat_map(|place| members(place)) {
        host::signal(member, Signal::KILL);
    }
    remove(&places);
}

/// Reads the CPU one control group used, whatever the hierarchy.
pub(crate) struct CpuMeter {
    file: PathBuf,
}

impl CpuMeter {
    /// A meter for the control group that a process is in.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
        let path = format!("/proc/{pid}/cgroup");
        let groups = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        if let (Some(root), Some(group)) = (v1_root(&mounts, "cpuacct"), group_of(&groups, "cpuacct")) {
            return Ok(Self { file: below(&root, &group).join("cpuacct.usage") });
        }
        let root = v2_root(&mounts).context("neither cpuacct nor cgroup v2 is mounted")?;
        let group = group_of(&groups, "").with_context(|| format!("{path} names no v2 group"))?;
        Ok(Self { file: below(&root, &group).join("cpu.stat") })
    }

    /// CPU time so far in seconds.
    pub(crate) fn seconds(&self) -> Result<f64> {
        let text =
            fs::read_to_string(&self.file).with_context(|| format!("cannot read {}", self.file.display()))?;
        if let Some(line) = text.lines().find_map(|line| line.strip_prefix("usage_usec ")) {
            return Ok(line.trim().parse::<f64>()? / 1e6);
        }
        Ok(text.trim().parse::<f64>()? / 1e9)
    }
}

fn hierarchies(mounts: &str) -> Vec<PathBuf> {
    let v1 = V1_CONTROLLERS.iter().filter_map(|controller| v1_root(mounts, controller));
    let mut roots: Vec<PathBuf> = v2_root(mounts).into_iter().chain(v1).collect();
    // Controllers may share a mount.
    roots.dedup();
    roots
}

fn v2_root(mounts: &str) -> Option<PathBuf> {
    mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find_map(|fields| match fields[..] {
        [_, place, "cgroup2", ..] => Some(PathBuf::from(place)),
        _ => None,
    })
}

fn v1_root(mounts: &str, controller: &str) -> Option<PathBuf> {
    mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find_map(|fields| match fields[..] {
        [_, place, "cgroup", options, ..] if options.split(',').any(|option| option == controller) => {
            Some(PathBuf::from(place))
        }
        _ => None,
    })
}

/// The path in `/proc/PID/cgroup` for a v1 controller, or for v2 when `controller` is empty.
fn group_of(groups: &str, controller: &str) -> Option<String> {
    groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then(|| path.to_owned())
    })
}

fn below(root: &Path, group: &str) -> PathBuf {
    root.join(group.trim_start_matches('/'))
}

fn make(group: &Path) -> Result<()> {
    match fs::create_dir(group) {
        // Left over by a run that was killed: the name is ours.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        result => result.with_context(|| format!("cannot make {}", group.display())),
    }
}

fn members(group: &Path) -> Vec<u32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn remove(groups: &[PathBuf]) {
    for group in groups {
        // A group is busy for a moment after its last process was killed.
        let gone = (0..50).any(|_| {
            let done = fs::remove_dir(group).is_ok() || !group.exists();
            if !done {
                wait::nap(Duration::from_millis(20));
            }
            done
        });
        if !gone {
            eprintln!("warning: cannot remove {}", group.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "cgroup /c/cpu cgroup rw,relatime,cpu,cpuacct 0 0\ncgroup /c/blkio cgroup rw,blkio 0 0\ncgroup /c/memory cgroup rw,memory 0 0\n\
                          cgroup2 /c/unified cgroup2 rw 0 0\n";

    #[test]
    fn a_hybrid_host_has_each_hierarchy_once() {
        let roots: Vec<String> = hierarchies(HYBRID).iter().map(|root| root.display().to_string()).collect();
        assert_eq!(roots, ["/c/unified", "/c/cpu", "/c/memory"]);
    }

    #[test]
    fn the_group_is_found_in_both_forms() {
        let groups = "4:cpu,cpuacct:/docker/a\n0::/docker/b\n";
        assert_eq!(group_of(groups, "cpuacct").unwrap(), "/docker/a");
        assert_eq!(group_of(groups, "").unwrap(), "/docker/b");
        assert_eq!(group_of(groups, "memory"), None);
    }
}
