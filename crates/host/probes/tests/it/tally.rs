//! Books that must balance: budgets, a full ring buffer, submitted against received.
//!
//! Not here: what single events say.

use model::event::Body;
use model::ids::CgroupId;
use model::usage::KernelCounts;
use probes::{ProbesConfig, Record};

use crate::host::{TestCgroup, config, counts_of, load, load_with, settle};

fn execs_of(records: &[Record], cgroup: CgroupId) -> usize {
    records.iter().filter(|record| matches!(&record.body, Body::Exec(exec) if exec.cgroup == cgroup)).count()
}

fn booked(counts: &KernelCounts) -> u64 {
    counts.submitted + counts.over_budget + counts.no_room
}

/// Everything that happened in a cgroup of shells, which one shell entered.
fn happened(counts: &KernelCounts) -> u64 {
    counts.execs + counts.exits + 1
}

#[test]
fn a_flood_spends_only_its_own_budget() {
    let config = ProbesConfig { budget_per_second: 1, budget_burst: 100, ..config() };
    let mut probes = load_with(&config);
    let (flooding, quiet) = (TestCgroup::new(), TestCgroup::new());
    let mut flood = flooding.command("for i in {1..600}; do /bin/true; done").spawn().unwrap();
    quiet.run("for i in {1..20}; do /bin/true; done");
    flood.wait().unwrap();
    let records = settle(&mut probes);
    let (flooded, spared) = (counts_of(&probes, flooding.id), counts_of(&probes, quiet.id));
    assert_eq!((spared.execs, spared.over_budget), (20, 0));
    assert_eq!(execs_of(&records, quiet.id), 20);
    assert_eq!(flooded.execs, 600, "counted even when not told");
    assert!(flooded.over_budget > 600, "{flooded:?}");
    assert!(flooded.submitted >= 100, "a burst gets through: {flooded:?}");
    assert_eq!(booked(&flooded), happened(&flooded));
    assert_eq!(probes.malformed(), 0);
}

#[test]
fn a_full_ring_buffer_is_counted_on_whoever_found_it_full() {
    let config = ProbesConfig { ring_bytes: 1 << 16, ..config() };
    let mut probes = load_with(&config);
    let cgroup = TestCgroup::new();
    cgroup.run("for i in {1..300}; do /bin/true; done");
    let counts = counts_of(&probes, cgroup.id);
    assert!(counts.no_room > 0, "{counts:?}");
    let records = settle(&mut probes);
    assert!(execs_of(&records, cgroup.id) < 300);
    assert_eq!(booked(&counts), happened(&counts));
}

#[test]
fn records_are_whole_wherever_they_lie_in_the_ring_buffer() {
    let config = ProbesConfig { ring_bytes: 1 << 16, ..config() };
    let mut probes = load_with(&config);
    let cgroup = TestCgroup::new();
    // Of lengths that shift where records lie; together several times what the ring holds.
    let long = "x".repeat(133);
    for round in 0..20 {
        cgroup.run(&format!("for i in {{1..20}}; do /bin/true {round} {long}; done"));
        let records = settle(&mut probes);
        let args = |record: &Record| match &record.body {
            Body::Exec(exec) if exec.cgroup == cgroup.id => Some(exec.args.raw().to_owned()),
            _ => None,
        };
        let told: Vec<String> = records.iter().filter_map(args).collect();
        let expected = vec![format!("/bin/true {round} {long}"); 20];
        assert!(told == expected, "round {round}: {} records, the last {:?}", told.len(), told.last());
    }
    assert_eq!((counts_of(&probes, cgroup.id).no_room, probes.malformed()), (0, 0));
}

#[test]
fn what_was_submitted_is_received_even_after_its_cgroup_is_forgotten() {
    let mut probes = load();
    let cgroup = TestCgroup::new();
    cgroup.run("for i in {1..100}; do /bin/true; done");
    probes.forget(cgroup.id).unwrap();
    let records = settle(&mut probes);
    assert_eq!(execs_of(&records, cgroup.id), 100);
    assert!(probes.received() >= 200);
    assert_eq!((probes.untracked().unwrap(), probes.malformed()), (0, 0));
}
