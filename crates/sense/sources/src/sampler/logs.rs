//! The logs of containers, read once a second. Whatever serves the directory of one may keep its reader waiting for ever.
//!
//! All are read in one call. When that does not return, each is read by a call of its own, so that those which hang are
//! told from the others. Not here: how a log is read (`hostfs`).

use std::collections::BTreeMap;

use deadline::lent::Lent;
use deadline::workers::Workers;
use hostfs::foreign::{Kind, patience};
use hostfs::log::LogReader;
use hostfs::root::HostRoot;
use model::untrusted::Untrusted;
use model::usage::LogSize;

const CALL: &str = "log file of a container";

/// The logs that are read.
#[derive(Debug)]
pub(super) struct Logs {
    workers: Workers,
    /// Those that answered, by the runtime's id of the container.
    together: Lent<BTreeMap<Untrusted, LogReader>>,
    /// What they would begin anew as, when the call that has them does not return.
    known: BTreeMap<Untrusted, LogReader>,
    /// Those that may hang.
    alone: BTreeMap<Untrusted, Lent<LogReader>>,
}

impl Logs {
    /// No log is read yet.
    pub(super) fn new(root: &HostRoot) -> Self {
        let workers = root.foreign().workers(Kind::Files).clone();
        let together = Lent::new(BTreeMap::new());
        Self { workers, together, known: BTreeMap::new(), alone: BTreeMap::new() }
    }

    /// How many are read.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Reads one more from now on; its size now, if it answers.
    pub(super) fn watch(&mut self, container_id: &Untrusted, log: LogReader) -> Option<LogSize> {
        self.forget(container_id);
        self.known.insert(container_id.clone(), log.begun_anew());
        self.alone.insert(container_id.clone(), Lent::new(log));
        self.read_alone(container_id)
    }

    /// No longer reads one.
    pub(super) fn forget(&mut self, container_id: &Untrusted) {
        self.known.remove(container_id);
        self.alone.remove(container_id);
        if let Some(together) = self.together.here() {
            together.remove(container_id);
        }
    }

    /// The sizes of all that answer. One that is not there (yet, or any more) has no size; it may come back.
    pub(super) fn read(&mut self) -> Vec<LogSize> {
        let alone: Vec<Untrusted> = self.alone.keys().cloned().collect();
        let mut sizes: Vec<LogSize> = alone.iter().filter_map(|id| self.read_alone(id)).collect();
        let read = |logs: &mut BTreeMap<Untrusted, LogReader>| -> Vec<LogSize> {
            logs.values_mut().filter_map(|log| log.read().ok()).collect()
        };
        match self.together.call(&self.workers, CALL, patience(&self.workers), read) {
            Ok(read) => sizes.extend(read),
            Err(_) => self.part(),
        }
        sizes
    }

    /// Those that do not answer.
    pub(super) fn silent(&self) -> usize {
        self.alone.values().filter(|log| log.away_since().is_some()).count()
    }

    /// One that answers is read together with the others from then on.
    fn read_alone(&mut self, container_id: &Untrusted) -> Option<LogSize> {
        let log = self.alone.get_mut(container_id)?;
        let read = |log: &mut LogReader| (log.read().ok(), log.clone());
        let (size, log) = log.call(&self.workers, CALL, patience(&self.workers), read).ok()?;
        if let Some(together) = self.together.here() {
            self.alone.remove(container_id);
            together.insert(container_id.clone(), log);
        }
        size
    }

    /// The call that has them is left to itself.
    fn part(&mut self) {
        self.together = Lent::new(BTreeMap::new());
        for (id, log) in &self.known {
            self.alone.entry(id.clone()).or_insert_with(|| Lent::new(log.clone()));
        }
    }
}
