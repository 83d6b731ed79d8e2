//! The containers an engine claims and a fingerprint of what was last told of each: facts are told once.
//!
//! Not here: the facts themselves. Ten thousand containers with full labels would be hundreds of megabytes.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use model::runtime::{ContainerFacts, RunState};
use model::untrusted::Untrusted;

/// All containers of one connection, at most `entries_max`.
pub(crate) struct Roster {
    entries: HashMap<Untrusted, Entry>,
    entries_max: usize,
    inspections: u64,
    // Keyed at random, so that nobody can make two sets of facts that look the same.
    hasher: RandomState,
}

#[derive(Default)]
struct Entry {
    state: Option<RunState>,
    /// Whether its first process runs, in the order of announcements; by an answer only while none was heard.
    is_started: Option<bool>,
    fingerprint: Option<u64>,
    /// Number of the last inspection started.
    asked: u64,
    /// Number of the inspection whose facts are the ones told.
    told: u64,
    failed: u32,
}

/// What an answer means for what is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// New facts: to be told.
    New,
    /// The facts told before.
    Unchanged,
    /// An answer overtaken by a later one, or of a container that is gone.
    Stale,
}

/// What a failed inspection calls for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// First time: try once more.
    Retry,
    /// Again: the container's facts are unknown.
    Unknown,
    /// A later inspection of it is under way, or it is gone.
    Stale,
}

/// Whether there was room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Yes, or it was there already.
    Yes,
    /// Only by forgetting this one, which does not run.
    Instead(Untrusted),
    /// No: all that are there may run.
    No,
}

impl Roster {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { entries: HashMap::new(), entries_max, inspections: 0, hasher: RandomState::new() }
    }

    /// Adds a container if there is a free place.
    pub(crate) fn admit(&mut self, id: &Untrusted) -> bool {
        if !self.entries.contains_key(id) && self.entries.len() >= self.entries_max {
            return false;
        }
        self.entries.entry(id.clone()).or_default();
        true
    }

    /// Adds a container that has just appeared, in place of a stopped one if need be: else whoever leaves ten
    /// thousand stopped containers behind would hide the next one.
    pub(crate) fn admit_new(&mut self, id: &Untrusted) -> Room {
        if self.admit(id) {
            return Room::Yes;
        }
        let is_stopped = |entry: &Entry| matches!(entry.state, Some(RunState::Exited | RunState::Created));
        let stopped = self.entries.iter().find(|(_, entry)| is_stopped(entry)).map(|(id, _)| id.clone());
        let Some(stopped) = stopped else { return Room::No };
        self.entries.remove(&stopped);
        self.admit(id);
        Room::Instead(stopped)
    }

    /// Takes a container out; tells whether it was there.
    pub(crate) fn remove(&mut self, id: &Untrusted) -> bool {
        self.entries.remove(id).is_some()
    }

    pub(crate) fn contains(&self, id: &Untrusted) -> bool {
        self.entries.contains_key(id)
    }

    /// The state told last; `None` as well when nothing was.
    pub(crate) fn state(&self, id: &Untrusted) -> Option<RunState> {
        self.entries.get(id)?.state
    }

    /// The engine announces that it was made, or that its first process has started or ended.
    pub(crate) fn set_started(&mut self, id: &Untrusted, is_started: bool) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.is_started = Some(is_started);
        }
    }

    /// Whether it is known that its first process does not run.
    pub(crate) fn is_unstarted(&self, id: &Untrusted) -> bool {
        self.entries.get(id).is_some_and(|entry| entry.is_started == Some(false))
    }

    /// All ids, sorted.
    pub(crate) fn ids(&self) -> Vec<Untrusted> {
        let mut ids: Vec<_> = self.entries.keys().cloned().collect();
        ids.sort_unstable();
        ids
    }

    /// Numbers an inspection about to start.
    pub(crate) fn ask(&mut self, id: &Untrusted) -> u64 {
        self.inspections += 1;
        if let Some(entry) = self.entries.get_mut(id) {
            entry.asked = self.inspections;
        }
        self.inspections
    }

    /// Takes in the facts an inspection brought.
    pub(crate) fn apply(&mut self, number: u64, facts: &ContainerFacts) -> Applied {
        let fingerprint = Some(self.fingerprint(facts));
        let Some(entry) = self.entries.get_mut(&facts.id) else { return Applied::Stale };
        if number <= entry.told {
            return Applied::Stale;
        }
        entry.told = number;
        entry.failed = 0;
        entry.state = Some(facts.state);
        // An answer may be older than an announcement, and newer than one that is not taken in yet.
        entry.is_started.get_or_insert(matches!(facts.state, RunState::Running | RunState::Paused));
        if entry.fingerprint == fingerprint {
            return Applied::Unchanged;
        }
        entry.fingerprint = fingerprint;
        Applied::New
    }

    /// Takes in that an inspection failed.
    pub(crate) fn fail(&mut self, number: u64, id: &Untrusted) -> Failed {
        let Some(entry) = self.entries.get_mut(id) else { return Failed::Stale };
        if number < entry.asked || number < entry.told {
            return Failed::Stale;
        }
        entry.failed = entry.failed.saturating_add(1);
        if entry.failed == 1 { Failed::Retry } else { Failed::Unknown }
    }

    fn fingerprint(&self, facts: &ContainerFacts) -> u64 {
        // Taken apart by name, so that a new field cannot be forgotten here.
        let ContainerFacts {
            view,
            id,
            name,
            image,
            digest,
            command,
            labels,
            labels_dropped,
            pid,
            state,
            created,
            started,
            log_driver,
            log_path,
            network_mode,
            addresses,
            published,
            image_facts,
            privileges,
            health_check,
            root,
            cgroup,
            orchestrated,
        } = facts;
        let texts = (id, name, image, digest, command, labels, log_driver, log_path, network_mode);
        let places = (view, health_check, root, cgroup);
        let ports: Vec<_> = published.iter().map(|it| (it.protocol, it.host_port, it.port)).collect();
        // Seldom looked at, and deep: how they are written tells them apart as well.
        let deep = format!("{image_facts:?} {privileges:?} {orchestrated:?}");
        let life = (labels_dropped, pid, *state as u8, created, started);
        self.hasher.hash_one((texts, places, life, addresses, ports, deep))
    }
}

#[cfg(test)]
mod tests {
    use model::view::Standing;

    use super::*;

    fn facts(id: &str, state: RunState) -> ContainerFacts {
        ContainerFacts {
            id: Untrusted::new(id),
            name: Untrusted::new("web"),
            image: Untrusted::new("busybox"),
            digest: Untrusted::new("sha256:00"),
            command: Untrusted::new("sleep 100"),
            pid: Some(7),
            state,
            log_driver: Untrusted::new("json-file"),
            ..ContainerFacts::default()
        }
    }

    fn roster(entries_max: usize, running: &[&str]) -> Roster {
        let mut roster = Roster::new(entries_max);
        for id in running {
            roster.admit(&Untrusted::new(id));
            let number = roster.ask(&Untrusted::new(id));
            assert_eq!(roster.apply(number, &facts(id, RunState::Running)), Applied::New);
        }
        roster
    }

    #[test]
    fn facts_are_new_once_and_again_when_they_change() {
        let mut roster = roster(10, &["a"]);
        let number = roster.ask(&"a".into());
        assert_eq!(roster.apply(number, &facts("a", RunState::Running)), Applied::Unchanged);
        let number = roster.ask(&"a".into());
        assert_eq!(roster.apply(number, &facts("a", RunState::Exited)), Applied::New);
        assert_eq!(roster.state(&"a".into()), Some(RunState::Exited));
    }

    #[test]
    fn what_else_is_told_of_a_container_is_new_when_it_changes() {
        let mut roster = roster(10, &["a"]);
        let changed: [fn(&mut ContainerFacts); 7] = [
            |facts| facts.image_facts.is_local = true,
            |facts| facts.privileges = Some(Box::default()),
            |facts| facts.health_check = "true".into(),
            |facts| facts.root = "/r".into(),
            |facts| facts.cgroup = "/c".into(),
            |facts| facts.view.place = "/run/other.sock".into(),
            |facts| facts.orchestrated = Some(containers::swarm::word(Standing::Denied, "")),
        ];
        let mut told = facts("a", RunState::Running);
        for change in changed {
            change(&mut told);
            let number = roster.ask(&"a".into());
            assert_eq!(roster.apply(number, &told), Applied::New, "{told:?}");
            let number = roster.ask(&"a".into());
            assert_eq!(roster.apply(number, &told), Applied::Unchanged);
        }
    }

    #[test]
    fn a_container_is_unstarted_from_its_creation_to_its_start() {
        let mut roster = Roster::new(10);
        roster.admit(&"a".into());
        assert!(!roster.is_unstarted(&"a".into()), "nothing is known of it");
        roster.set_started(&"a".into(), false);
        assert!(roster.is_unstarted(&"a".into()));
        let number = roster.ask(&"a".into());
        roster.apply(number, &facts("a", RunState::Running));
        assert!(roster.is_unstarted(&"a".into()), "the start is still to be announced");
        roster.set_started(&"a".into(), true);
        assert!(!roster.is_unstarted(&"a".into()));
    }

    #[test]
    fn a_container_nothing_was_announced_of_is_as_it_is_told() {
        let mut roster = roster(10, &["a"]);
        assert!(!roster.is_unstarted(&"a".into()));
        roster.admit(&"b".into());
        let number = roster.ask(&"b".into());
        roster.apply(number, &facts("b", RunState::Exited));
        assert!(roster.is_unstarted(&"b".into()));
    }

    #[test]
    fn an_answer_overtaken_by_a_later_one_changes_nothing() {
        let mut roster = roster(10, &["a"]);
        let (early, late) = (roster.ask(&"a".into()), roster.ask(&"a".into()));
        assert_eq!(roster.apply(late, &facts("a", RunState::Exited)), Applied::New);
        assert_eq!(roster.apply(early, &facts("a", RunState::Running)), Applied::Stale);
        assert_eq!(roster.fail(early, &"a".into()), Failed::Stale);
        assert_eq!(roster.state(&"a".into()), Some(RunState::Exited));
    }

    #[test]
    fn an_answer_does_not_bring_back_what_is_gone() {
        let mut roster = roster(10, &["a"]);
        let number = roster.ask(&"a".into());
        assert!(roster.remove(&"a".into()));
        assert_eq!(roster.apply(number, &facts("a", RunState::Running)), Applied::Stale);
        assert!(roster.ids().is_empty());
    }

    #[test]
    fn a_failure_is_tried_once_more_and_success_forgives() {
        let mut roster = roster(10, &["a"]);
        for expected in [Failed::Retry, Failed::Unknown, Failed::Unknown] {
            let number = roster.ask(&"a".into());
            assert_eq!(roster.fail(number, &"a".into()), expected);
        }
        let number = roster.ask(&"a".into());
        roster.apply(number, &facts("a", RunState::Running));
        let number = roster.ask(&"a".into());
        assert_eq!(roster.fail(number, &"a".into()), Failed::Retry);
    }

    #[test]
    fn a_new_container_takes_the_place_of_a_stopped_one_only() {
        let mut full = roster(2, &["a", "b"]);
        assert_eq!(full.admit_new(&"c".into()), Room::No);
        assert_eq!(full.admit_new(&"a".into()), Room::Yes);
        let number = full.ask(&"b".into());
        full.apply(number, &facts("b", RunState::Exited));
        assert!(!full.admit(&"c".into()));
        assert_eq!(full.admit_new(&"c".into()), Room::Instead("b".into()));
        assert_eq!(full.ids(), ["a".into(), "c".into()]);
    }
}
