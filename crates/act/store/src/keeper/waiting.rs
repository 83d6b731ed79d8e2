//! What waits to be stored: the latest of each incident and expectation, and every decision, so that a store that fails for
//! an hour costs little.
//!
//! Not here: storing. What finds no room is given up, the lightest first, and counted.

use std::collections::BTreeMap;
use std::time::Instant;

use model::expectation::{ExpectationChange, ExpectationId, Tally};
use model::incident::{Change, ChangeKind, Incident, IncidentId, State};
use model::time::Time;

use crate::storage::{Batch, Decision};
use crate::stored;

/// Incidents, and likewise expectations, that may wait.
pub(crate) const WAITING_MAX: usize = 1_000;

/// Findings that the waiting incidents may hold together: each is about a kilobyte.
const FINDINGS_MAX: usize = 8_000;

/// An incident that waits.
#[derive(Debug)]
struct Entry {
    change: Change,
    /// When its oldest unstored change was taken.
    since: Instant,
    /// Whether the change was shown already, as not stored.
    is_shown: bool,
    /// Whether an earlier change was shown as not stored: the next one is not the first that is heard of it.
    was_shown: bool,
}

/// What waits.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    incidents: BTreeMap<IncidentId, Entry>,
    findings: usize,
    /// To be shown as not stored, and then forgotten: there was no room for them.
    given_up: Vec<Change>,
    pub(crate) decisions: Vec<Decision>,
    learned: BTreeMap<ExpectationId, ExpectationChange>,
    explained: BTreeMap<ExpectationId, Tally>,
    pub(crate) beat: Option<Time>,
    pub(crate) ends_run: bool,
    /// Incidents and expectations given up so far.
    pub(crate) dropped: u64,
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0 && self.beat.is_none() && !self.ends_run
    }

    pub(crate) fn len(&self) -> u64 {
        let expectations = self.learned.len() + self.explained.len();
        (self.incidents.len() + self.decisions.len() + expectations) as u64
    }

    /// Takes a change; the latest of each incident waits.
    pub(crate) fn add_incident(&mut self, change: Change, now: Instant) {
        // One that no store can keep would keep all others out of it.
        if stored::encode(&change.incident).is_err() {
            self.give_up(change);
            return;
        }
        self.put(Entry { change, since: now, is_shown: false, was_shown: false });
        self.bound();
    }

    fn put(&mut self, mut entry: Entry) {
        let id = entry.change.incident.id.clone();
        self.findings += entry.change.incident.findings.len();
        if let Some(earlier) = self.incidents.remove(&id) {
            self.findings -= earlier.change.incident.findings.len();
            entry.since = earlier.since;
            entry.was_shown |= earlier.is_shown || earlier.was_shown;
            // An incident that opens and grows before it is shown is still announced as opened.
            let is_first = earlier.change.kind == ChangeKind::Opened && !entry.was_shown;
            if is_first && entry.change.kind == ChangeKind::Updated {
                entry.change.kind = ChangeKind::Opened;
            }
        }
        self.incidents.insert(id, entry);
    }

    /// Gives up the lightest until there is room; what an operator closed stays to the last.
    fn bound(&mut self) {
        while self.incidents.len() > WAITING_MAX || (self.findings > FINDINGS_MAX && self.incidents.len() > 1)
        {
            let worth =
                |entry: &Entry| (entry.change.incident.state == State::Closed, entry.change.incident.bits);
            let by_worth = |a: &(&IncidentId, &Entry), b: &(&IncidentId, &Entry)| {
                let (a, b) = (worth(a.1), worth(b.1));
                a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
            };
            let lightest = self.incidents.iter().min_by(by_worth).map(|(id, _)| id.clone());
            let Some(entry) = lightest.and_then(|id| self.incidents.remove(&id)) else { return };
            self.findings -= entry.change.incident.findings.len();
            if entry.is_shown {
                self.dropped += 1;
            } else {
                self.give_up(entry.change);
            }
        }
    }

    fn give_up(&mut self, change: Change) {
        self.dropped += 1;
        if self.given_up.len() < WAITING_MAX {
            self.given_up.push(change);
        }
    }

    pub(crate) fn add_expectation(&mut self, change: ExpectationChange) {
        let id = match &change {
            ExpectationChange::Learned(expectation) => expectation.id.clone(),
            ExpectationChange::Dropped { id } | ExpectationChange::Explained { id, .. } => id.clone(),
        };
        let is_known = self.learned.contains_key(&id) || self.explained.contains_key(&id);
        if self.learned.len() + self.explained.len() >= WAITING_MAX && !is_known {
            self.dropped += 1;
            return;
        }
        match change {
            ExpectationChange::Explained { at, count, sentence, .. } => {
                self.explained.entry(id).or_default().add(at, count, &sentence);
            }
            learned => drop(self.learned.insert(id, learned)),
        }
    }

    /// It was taken back: what was about to be kept of it must not bring it back.
    pub(crate) fn forget_expectation(&mut self, id: &ExpectationId) {
        self.learned.remove(id);
        self.explained.remove(id);
    }

    /// All of it, to be kept together.
    pub(crate) fn batch(&self) -> Batch {
        Batch {
            incidents: self.incidents.values().map(|entry| entry.change.clone()).collect(),
            decisions: self.decisions.clone(),
            expectations: self.expectations(),
            beat: self.beat,
            ends_run: self.ends_run,
        }
    }

    /// What was learned before what was explained by it.
    fn expectations(&self) -> Vec<ExpectationChange> {
        let explained = self.explained.iter().map(|(id, tally)| ExpectationChange::Explained {
            id: id.clone(),
            at: tally.last.unwrap_or_default(),
            count: tally.count,
            sentence: tally.sentence.clone(),
        });
        self.learned.values().cloned().chain(explained).collect()
    }

    /// Puts back what was taken from here and could not be stored; what came since is newer.
    pub(crate) fn put_back(&mut self, taken: Self) {
        let newer = std::mem::replace(&mut self.incidents, taken.incidents);
        self.findings = self.incidents.values().map(|entry| entry.change.incident.findings.len()).sum();
        newer.into_values().for_each(|entry| self.put(entry));
        self.bound();
        let newer = std::mem::replace(&mut self.decisions, taken.decisions);
        self.decisions.extend(newer);
        let newer = std::mem::replace(&mut self.learned, taken.learned);
        self.learned.extend(newer);
        for (id, tally) in taken.explained {
            let at = tally.last.unwrap_or_default();
            let newer = self.explained.remove(&id);
            let sum = self.explained.entry(id).or_default();
            sum.add(at, tally.count, &tally.sentence);
            if let Some(newer) = newer {
                sum.add(newer.last.unwrap_or_default(), newer.count, &newer.sentence);
            }
        }
        self.beat = self.beat.or(taken.beat);
        self.ends_run |= taken.ends_run;
        self.given_up.extend(taken.given_up);
    }

    /// Changes to be shown as not stored: those that are due, and those that were given up. Each is shown once.
    pub(crate) fn show(&mut self, is_due: impl Fn(Instant) -> bool) -> Vec<Change> {
        let mut due = std::mem::take(&mut self.given_up);
        for entry in self.incidents.values_mut().filter(|entry| !entry.is_shown && is_due(entry.since)) {
            entry.is_shown = true;
            due.push(entry.change.clone());
        }
        due
    }

    /// The incidents, stored now; what was shown before as opened is not announced a second time.
    pub(crate) fn into_stored(self) -> impl Iterator<Item = Change> {
        self.incidents.into_values().map(|entry| {
            let mut change = entry.change;
            if entry.is_shown && change.kind == ChangeKind::Opened {
                change.kind = ChangeKind::Updated;
            }
            change
        })
    }

    /// Whether a change of that incident waits.
    pub(crate) fn has(&self, id: &IncidentId) -> bool {
        self.incidents.contains_key(id)
    }

    /// The incidents as they are now.
    pub(crate) fn incidents(&self) -> Vec<Incident> {
        self.incidents.values().map(|entry| entry.change.incident.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
