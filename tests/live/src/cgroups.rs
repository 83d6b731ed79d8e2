//! Control groups made by hand for tests, and the CPU a control group used; v1, v2 and hybrid hosts.
//!
//! Not here: anything Tidewatch does; this is the independent view.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::host;
use crate::wait;

/// v1 hierarchies that Tidewatch reads. Not `cpu`: there a group of its own would weigh as much as one process of
/// the host, and a busy host would starve it.
const V1_CONTROLLERS: [&str; 3] = ["cpuacct", "memory", "pids"];

/// A control group of a test's own, the same in every hierarchy that Tidewatch reads. What is in it is ended and it is
/// removed on drop, with the groups above it that it brought.
pub(crate) struct Group {
    /// The group itself in each hierarchy.
    places: Vec<PathBuf>,
    /// Those above it that were made for it, deepest first.
    above: Vec<PathBuf>,
    /// Path below the hierarchies' roots.
    pub(crate) path: String,
}

impl Group {
    /// Makes the control group `/name`; `name` may have several parts.
    pub(crate) fn make(name: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
        let roots = hierarchies(&mounts);
        ensure!(!roots.is_empty(), "no cgroup hierarchy is mounted");
        let mut group = Self { places: Vec::new(), above: Vec::new(), path: format!("/{name}") };
        for root in &roots {
            let place = root.join(name);
            let above = place.ancestors().skip(1).take_while(|dir| *dir != root.as_path());
            group.above.extend(above.filter(|dir| !dir.exists()).map(Path::to_path_buf));
            let made = fs::create_dir_all(&place);
            group.places.push(place.clone());
            made.with_context(|| format!("cannot make {}", place.display()))?;
        }
        Ok(group)
    }

    /// A command of a shell that joins it, to be followed by another one.
    pub(crate) fn joining(&self) -> String {
        let join = |place: &PathBuf| format!("echo $$ > {}/cgroup.procs && ", place.display());
        self.places.iter().map(join).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for pid in self.places.first().map(|place| members(place)).unwrap_or_default() {
            host::signal(pid, Signal::KILL);
        }
        remove(&self.places);
        remove(&self.above);
    }
}

/// Path of the control group that a process is in.
pub(crate) fn path_of(pid: u32) -> Result<String> {
    let path = format!("/proc/{pid}/cgroup");
    let groups = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    own_path(&groups).with_context(|| format!("{path} names no group"))
}

/// Where the v2 hierarchy is mounted.
pub(crate) fn unified() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
    v2_root(&mounts).context("cgroup v2 is not mounted")
}

/// Removes a group that a runtime left empty above its containers'; one that is not empty stays.
pub(crate) fn remove_left_over(name: &str) {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    for root in mounts.lines().filter_map(cgroup_mount) {
        // Refused while anything is in it.
        let _ = fs::remove_dir(root.join(name));
    }
}

/// Ends everything in the control group of a process of ours and removes the group from every hierarchy.
pub(crate) fn end_group_of(pid: u32) {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let Some(path) = own_path(&groups).filter(|path| path != "/") else { return };
    let roots = mounts.lines().filter_map(cgroup_mount);
    let places: Vec<PathBuf> = roots.map(|root| below(&root, &path)).filter(|place| place.exists()).collect();
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

/// Where a line of `/proc/mounts` mounts a hierarchy, v1 or v2.
fn cgroup_mount(line: &str) -> Option<PathBuf> {
    let mut fields = line.split(' ').skip(1);
    let place = fields.next()?;
    fields.next().is_some_and(|kind| kind.starts_with("cgroup")).then(|| place.into())
}

/// The path in `/proc/PID/cgroup` that a process is known by.
fn own_path(groups: &str) -> Option<String> {
    group_of(groups, "").or_else(|| group_of(groups, "pids"))
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
