//! Life of cgroups.
//!
//! Not here: their counters under load, see `tally.rs`.

use std::fs;

use model::event::Body;

use crate::host::{TestCgroup, counts_of, load, until};

#[test]
fn a_cgroup_is_seen_made_entered_and_removed_once_each() {
    let mut probes = load();
    let cgroup = TestCgroup::new();
    let mut child = cgroup.command("exit 0").spawn().unwrap();
    child.wait().unwrap();
    let (id, path) = (cgroup.id, cgroup.path());
    drop(cgroup);
    let removed = |body: &Body| matches!(body, Body::CgroupRemoved(removed) if removed.cgroup == id);
    let records = until(&mut probes, "the removal", removed);
    let story: Vec<String> = records
        .iter()
        .filter_map(|record| match &record.body {
            Body::CgroupCreated(at) if at.cgroup == id => Some(format!("made {}", at.path)),
            Body::CgroupAttached(at) if at.cgroup == id => {
                Some(format!("entered {} {}", at.path, at.process.pid))
            }
            Body::CgroupRemoved(at) if at.cgroup == id => Some(format!("removed {}", at.path)),
            _ => None,
        })
        .collect();
    let expected =
        [format!("made {path}"), format!("entered {path} {}", child.id()), format!("removed {path}")];
    assert_eq!(story, expected);
}

#[test]
fn only_the_chosen_hierarchy_is_told() {
    let Ok(v1) = fs::metadata("/sys/fs/cgroup/memory").map(|_| "/sys/fs/cgroup/memory") else {
        // Without v1 every cgroup is in the chosen hierarchy, and there is nothing to tell apart.
        assert!(fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_ok());
        return;
    };
    let mut probes = load();
    let name = format!("probes-test-v1-{}", std::process::id());
    let elsewhere = format!("{v1}/{name}");
    fs::create_dir(&elsewhere).unwrap();
    fs::remove_dir(&elsewhere).unwrap();
    let chosen = TestCgroup::new();
    let made = |body: &Body| matches!(body, Body::CgroupCreated(made) if made.cgroup == chosen.id);
    let records = until(&mut probes, "the cgroup", made);
    let told = |body: &Body| matches!(body, Body::CgroupCreated(at) | Body::CgroupRemoved(at) if at.path.raw().ends_with(&name));
    assert!(!records.iter().any(|record| told(&record.body)));
}

#[test]
fn a_forgotten_cgroup_gives_its_last_counts_and_is_gone() {
    let mut probes = load();
    let cgroup = TestCgroup::new();
    // The last word is a builtin: bash would otherwise become the last program instead of running it.
    cgroup.run("/bin/true; /bin/true; :");
    let before = counts_of(&probes, cgroup.id);
    assert_eq!((before.execs, before.exits), (2, 3));
    assert_eq!(probes.forget(cgroup.id).unwrap(), Some(before));
    assert_eq!(probes.forget(cgroup.id).unwrap(), None);
    assert!(probes.counts().unwrap().iter().all(|counts| counts.cgroup != cgroup.id));
}
