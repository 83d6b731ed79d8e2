//! Life of cgroups.
//!
//! Not here: their counters under load, see `tally.rs`.

use model::event::Body;
use probes::{Hierarchy, ProbesConfig};

use crate::host::{TestCgroup, config, counts_of, load, load_with, settle, until};

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
    // Made, entered and removed in the unified hierarchy, while one that does not exist is chosen.
    let hierarchy = Hierarchy::V1Cpuacct { hierarchy_id: 4_000_000 };
    let mut probes = load_with(&ProbesConfig { hierarchy, ..config() });
    let cgroup = TestCgroup::new();
    cgroup.run("/bin/true after-the-cgroup; :");
    drop(cgroup);
    let executed =
        |body: &Body| matches!(body, Body::Exec(exec) if exec.args.raw() == "/bin/true after-the-cgroup");
    let mut records = until(&mut probes, "the exec", executed);
    records.extend(settle(&mut probes));
    let told = |body: &Body| {
        matches!(body, Body::CgroupCreated(_) | Body::CgroupAttached(_) | Body::CgroupRemoved(_))
    };
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
