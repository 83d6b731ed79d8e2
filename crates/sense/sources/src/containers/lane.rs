//! A queue of containers to be inspected, each at most once, and how many inspections may run at a time.
//!
//! Not here: the inspections. New containers have a lane of their own, so that a list of thousands, or an engine
//! that hangs on some, does not hold up the one that has just started.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;

use model::untrusted::Untrusted;

/// Inspections of containers that have just appeared, at a time.
const FRESH_MAX: usize = 16;

/// All other inspections at a time: few, so that a resynchronisation does not load a busy engine.
const OTHERS_MAX: usize = 8;

/// The lanes of one connection: for containers that have just appeared, and for all others.
pub(crate) struct Lanes<K> {
    fresh: Lane<K>,
    others: Lane<K>,
}

impl<K: Clone + Eq + Hash> Lanes<K> {
    pub(crate) fn new() -> Self {
        Self { fresh: Lane::new(FRESH_MAX), others: Lane::new(OTHERS_MAX) }
    }

    pub(crate) fn ask(&mut self, id: &K, is_fresh: bool) {
        self.of(is_fresh).ask(id);
    }

    pub(crate) fn forget(&mut self, id: &K) {
        self.fresh.forget(id);
        self.others.forget(id);
    }

    /// The next container to inspect, and whether it is one that has just appeared.
    pub(crate) fn start(&mut self) -> Option<(K, bool)> {
        let fresh = self.fresh.start().map(|id| (id, true));
        fresh.or_else(|| self.others.start().map(|id| (id, false)))
    }

    pub(crate) fn end(&mut self, is_fresh: bool) {
        self.of(is_fresh).end();
    }

    fn of(&mut self, is_fresh: bool) -> &mut Lane<K> {
        if is_fresh { &mut self.fresh } else { &mut self.others }
    }
}

/// One lane. As long as its owner asks for known containers only, it is bounded by their number.
pub(crate) struct Lane<K = Untrusted> {
    waiting: VecDeque<K>,
    queued: HashSet<K>,
    running: usize,
    running_max: usize,
}

impl<K: Clone + Eq + Hash> Lane<K> {
    pub(crate) fn new(running_max: usize) -> Self {
        Self { waiting: VecDeque::new(), queued: HashSet::new(), running: 0, running_max }
    }

    /// Queues a container, unless it is queued already.
    pub(crate) fn ask(&mut self, id: &K) {
        if self.queued.insert(id.clone()) {
            self.waiting.push_back(id.clone());
        }
    }

    /// Takes a container out of the queue. What runs already goes on.
    pub(crate) fn forget(&mut self, id: &K) {
        if self.queued.remove(id) {
            self.waiting.retain(|waiting| waiting != id);
        }
    }

    /// The next container to inspect, when there is one and a place is free; the place is taken.
    pub(crate) fn start(&mut self) -> Option<K> {
        if self.running >= self.running_max {
            return None;
        }
        let id = self.waiting.pop_front()?;
        self.queued.remove(&id);
        self.running += 1;
        Some(id)
    }

    /// Frees a place.
    pub(crate) fn end(&mut self) {
        self.running -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Untrusted {
        Untrusted::new(text)
    }

    #[test]
    fn a_container_asked_for_twice_is_inspected_once() {
        let mut lane = Lane::new(8);
        lane.ask(&id("a"));
        lane.ask(&id("a"));
        assert_eq!(lane.start(), Some(id("a")));
        assert_eq!(lane.start(), None);
    }

    #[test]
    fn a_change_during_an_inspection_asks_again() {
        let mut lane = Lane::new(8);
        lane.ask(&id("a"));
        lane.start();
        lane.ask(&id("a"));
        assert_eq!(lane.start(), Some(id("a")));
    }

    #[test]
    fn no_more_run_than_allowed() {
        let mut lane = Lane::new(2);
        ["a", "b", "c"].iter().for_each(|text| lane.ask(&id(text)));
        assert_eq!([lane.start(), lane.start(), lane.start()], [Some(id("a")), Some(id("b")), None]);
        lane.end();
        assert_eq!(lane.start(), Some(id("c")));
    }

    #[test]
    fn what_is_forgotten_is_not_inspected() {
        let mut lane = Lane::new(8);
        lane.ask(&id("a"));
        lane.ask(&id("b"));
        lane.forget(&id("a"));
        assert_eq!([lane.start(), lane.start()], [Some(id("b")), None]);
    }
}
