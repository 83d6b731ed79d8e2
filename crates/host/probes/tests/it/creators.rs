//! The table of counters, shared out by who has cgroups made.
//!
//! Not here: reading the shares from bytes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use model::ids::CgroupId;
use probes::{Creator, Entry, Probes, Share};

use crate::host::{TestCgroup, load, settle};

/// Cgroups below a test's own, removed with the value.
struct Crowd {
    below: TestCgroup,
    dirs: Vec<PathBuf>,
}

impl Crowd {
    fn new(count: usize) -> Self {
        let below = TestCgroup::new();
        let dirs: Vec<PathBuf> = (0..count).map(|number| below.dir.join(format!("c{number}"))).collect();
        dirs.iter().for_each(|dir| fs::create_dir(dir).unwrap());
        Self { below, dirs }
    }

    /// A process enters every cgroup and executes there, in user and pid namespaces of its own as `unshare` is told.
    fn act(&self, unshare: &str) {
        let script = format!(
            "cd {}; for dir in c*/; do echo $BASHPID >$dir/cgroup.procs; /bin/true; done; \
             echo $BASHPID > {}/cgroup.procs",
            self.below.dir.display(),
            self.below.dir.parent().unwrap().display()
        );
        let status = Command::new("unshare").args(unshare.split(' ')).args(["bash", "-c", &script]).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.dirs.iter().for_each(|dir| drop(fs::remove_dir(dir)));
    }
}

fn share(probes: &Probes, fits: impl Fn(&Share) -> bool) -> Share {
    let shares = probes.shares().unwrap();
    *shares.iter().find(|share| fits(share)).unwrap_or_else(|| panic!("not among {shares:?}"))
}

fn entry(probes: &Probes, cgroup: CgroupId) -> Option<Entry> {
    probes.entries().unwrap().into_iter().find(|entry| entry.counts.cgroup == cgroup)
}

fn id_of(dir: &Path) -> CgroupId {
    CgroupId(fs::metadata(dir).unwrap().ino())
}

#[test]
fn a_container_that_has_too_many_cgroups_made_fills_its_own_share_alone() {
    let mut probes = load();
    let crowd = Crowd::new(1_100);
    crowd.act("--pid --fork");
    settle(&mut probes);
    let spent = share(&probes, |share| matches!(share.creator, Creator::Container(_)) && share.untracked > 0);
    assert!((1_024..1_040).contains(&spent.entries), "{spent:?}");
    assert!(spent.counts.execs >= 60, "what has no entry shares one budget: {spent:?}");
    assert!(crowd.dirs.iter().any(|dir| id_of(dir) == spent.latest));
    let other = TestCgroup::new();
    other.run("/bin/true; :");
    settle(&mut probes);
    assert!(entry(&probes, other.id).is_some());
}

#[test]
fn pid_namespaces_in_each_other_share_what_the_outermost_has() {
    let mut probes = load();
    let crowd = Crowd::new(24);
    // 0 is the process that writes: it has another pid in its own namespace.
    let inner = "echo 0 >$dir/cgroup.procs; /bin/true; :";
    let script = format!(
        "cd {}; for dir in c*/; do export dir; unshare --pid --fork bash -c '{inner}'; done",
        crowd.below.dir.display()
    );
    let status = Command::new("unshare").args(["--pid", "--fork", "bash", "-c", &script]).status();
    assert!(status.unwrap().success());
    settle(&mut probes);
    let creators: BTreeSet<String> =
        crowd.dirs.iter().map(|dir| format!("{:?}", entry(&probes, id_of(dir)).unwrap().creator)).collect();
    assert!(creators.len() == 1 && creators.first().unwrap().starts_with("Container"), "{creators:?}");
}

#[test]
fn what_a_user_makes_in_namespaces_of_its_own_is_the_users() {
    let mut probes = load();
    let crowd = Crowd::new(3);
    let uid = 54_321;
    for dir in &crowd.dirs {
        // Its shell is root's and acts elsewhere; the first to act there is the user's, root in its own namespaces.
        let waits = "until grep -q probes-test /proc/self/cgroup; do sleep 0.02; done";
        let script = format!(
            "setpriv --reuid {uid} --clear-groups unshare --user --map-root-user --pid --fork \
             bash -c '{waits}; /bin/true; :' & until inner=$(pgrep -P $!); do sleep 0.02; done; \
             echo $inner > {}/cgroup.procs; wait",
            dir.display()
        );
        Command::new("bash").args(["-c", &script]).status().unwrap();
    }
    settle(&mut probes);
    for dir in &crowd.dirs {
        assert_eq!(entry(&probes, id_of(dir)).unwrap().creator, Creator::User(uid));
    }
}

#[test]
fn an_entry_is_marked_when_its_cgroup_is_removed_and_released_when_it_is_forgotten() {
    let mut probes = load();
    let cgroup = TestCgroup::new();
    let inner = cgroup.dir.join("inner");
    fs::create_dir(&inner).unwrap();
    let id = id_of(&inner);
    Command::new("bash")
        .args(["-c", &format!("echo $$ > {}/cgroup.procs; /bin/true; :", inner.display())])
        .status()
        .unwrap();
    fs::remove_dir(&inner).unwrap();
    settle(&mut probes);
    let of_directory = |share: &Share| share.creator == Creator::Directory(cgroup.id);
    assert!(entry(&probes, id).unwrap().is_removed);
    assert_eq!(share(&probes, of_directory).entries, 1);
    probes.forget(id).unwrap().unwrap();
    let empty = share(&probes, of_directory);
    assert_eq!(empty.entries, 0);
    probes.forget_creator(&empty).unwrap();
    assert!(!probes.shares().unwrap().iter().any(of_directory));
}
