//! Control groups made for the bench, the same in every hierarchy that Tidewatch reads; gone when dropped.
//!
//! Not here: what is measured with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hostfs::layout::{CgroupLayout, Controller};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sources::outlet::Stop;

const PREFIX: &str = "tw-bench-";
const CONTROLLERS: [Controller; 5] =
    [Controller::Cpu, Controller::Cpuacct, Controller::Memory, Controller::Pids, Controller::Blkio];
/// A group is busy for a moment after its last process was killed.
const REMOVE_TRIES: u32 = 100;
const REMOVE_PAUSE: Duration = Duration::from_millis(20);

/// One parent per hierarchy, named after this process, and numbered groups below it.
pub(crate) struct Groups {
    name: String,
    parents: Vec<PathBuf>,
    count: usize,
}

impl Groups {
    /// Makes so many groups; first removes what a run that was killed left behind.
    pub(crate) fn make(layout: &CgroupLayout, count: usize) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "making control groups needs root");
        let roots = hierarchies(layout);
        roots.iter().try_for_each(|root| sweep(root))?;
        let name = format!("{PREFIX}{}", std::process::id());
        let parents = roots.iter().map(|root| root.join(&name)).collect();
        // From here on dropping it removes whatever was made, also when making the rest fails.
        let mut groups = Self { name, parents, count: 0 };
        for parent in &groups.parents {
            fs::create_dir(parent).with_context(|| format!("cannot make {}", parent.display()))?;
            hand_down_controllers(parent)?;
        }
        for number in 0..count {
            groups.count = number + 1;
            for group in groups.everywhere(number) {
                fs::create_dir(&group).with_context(|| format!("cannot make {}", group.display()))?;
            }
        }
        Ok(groups)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The path of a group below the root of each hierarchy.
    pub(crate) fn path(&self, number: usize) -> PathBuf {
        Path::new("/").join(&self.name).join(number.to_string())
    }

    /// The directories of a group in all hierarchies.
    pub(crate) fn everywhere(&self, number: usize) -> impl Iterator<Item = PathBuf> {
        self.parents.iter().map(move |parent| parent.join(number.to_string()))
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for parent in &self.parents {
            remove_parent(parent);
        }
    }
}

/// The processes of a group.
pub(crate) fn members(group: &Path) -> Vec<u32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn hierarchies(layout: &CgroupLayout) -> Vec<PathBuf> {
    let v1 = CONTROLLERS.into_iter().filter_map(|controller| layout.v1(controller));
    let mut roots: Vec<PathBuf> = layout.unified().into_iter().chain(v1).map(Path::to_path_buf).collect();
    // Controllers may share a mount (cpu,cpuacct), by whatever name.
    roots.sort();
    roots.dedup_by_key(|root| root.canonicalize().ok());
    roots
}

/// On v2 a group has the files of a controller only when its parent hands the controller down.
fn hand_down_controllers(parent: &Path) -> Result<()> {
    let available = fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
    let wanted: String = available.split_whitespace().map(|name| format!("+{name} ")).collect();
    let file = parent.join("cgroup.subtree_control");
    if wanted.is_empty() { Ok(()) } else { fs::write(&file, wanted).context(format!("{}", file.display())) }
}

/// Removes the groups of runs whose process is gone.
fn sweep(root: &Path) -> Result<()> {
    for entry in fs::read_dir(root).with_context(|| format!("{}", root.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let pid =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok()).and_then(Pid::from_raw);
        if pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH)) {
            remove_parent(&entry.path());
        }
    }
    Ok(())
}

fn remove_parent(parent: &Path) {
    let children = fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok);
    let groups: Vec<PathBuf> = children.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    for pid in groups.iter().flat_map(|group| members(group)) {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            // One that has ended already is what we want.
            let _gone = kill_process(pid, Signal::KILL);
        }
    }
    groups.iter().map(PathBuf::as_path).chain([parent]).for_each(remove);
}

fn remove(group: &Path) {
    // Cleaning up goes on when the run is asked to stop: this stop is nobody's.
    let (_stopper, never) = Stop::new();
    let gone = (0..REMOVE_TRIES)
        .any(|_| fs::remove_dir(group).is_ok() || !group.exists() || never.wait(REMOVE_PAUSE));
    if !gone {
        eprintln!("warning: cannot remove {}", group.display());
    }
}
