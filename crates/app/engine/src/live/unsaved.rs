//! What the fold said and the store has not kept yet: the latest of each, so that a store that fails for an hour costs
//! little.
//!
//! Not here: storing. What finds no room is lost, and said.

use std::collections::BTreeMap;

use model::expectation::{ExpectationChange, ExpectationId, Tally};
use model::incident::{Change, ChangeKind, IncidentId};

/// Incidents, and likewise expectations, that may wait for a store that fails.
const WAITING_MAX: usize = 1_000;

/// What waits to be stored.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    /// Incidents are not shown before they are stored.
    incidents: BTreeMap<IncidentId, Change>,
    learned: BTreeMap<ExpectationId, ExpectationChange>,
    explained: BTreeMap<ExpectationId, Tally>,
}

impl Unsaved {
    pub(super) fn add_incident(&mut self, mut change: Change) {
        // An incident that opens and grows within one batch is still announced as opened.
        let earlier = self.incidents.get(&change.incident.id).map(|earlier| earlier.kind);
        if earlier == Some(ChangeKind::Opened) && change.kind == ChangeKind::Updated {
            change.kind = ChangeKind::Opened;
        }
        if self.incidents.len() < WAITING_MAX || earlier.is_some() {
            self.incidents.insert(change.incident.id.clone(), change);
        } else {
            tracing::error!(incident = %change.incident.id, "an incident is lost: the store fails and too many wait");
        }
    }

    pub(super) fn add_expectation(&mut self, change: ExpectationChange) {
        let id = match &change {
            ExpectationChange::Learned(expectation) => expectation.id.clone(),
            ExpectationChange::Dropped { id } | ExpectationChange::Explained { id, .. } => id.clone(),
        };
        let waiting = self.learned.len() + self.explained.len();
        let is_known = self.learned.contains_key(&id) || self.explained.contains_key(&id);
        if waiting >= WAITING_MAX && !is_known {
            tracing::error!(expectation = %id, "a change of an expectation is lost: the store fails and too many wait");
            return;
        }
        match change {
            ExpectationChange::Explained { at, count, sentence, .. } => {
                self.explained.entry(id).or_default().add(at, count, &sentence);
            }
            learned => drop(self.learned.insert(id, learned)),
        }
    }

    /// Somebody removed it: what was about to be kept of it must not bring it back.
    pub(super) fn forget_expectation(&mut self, id: &ExpectationId) {
        self.learned.remove(id);
        self.explained.remove(id);
    }

    /// Incidents that wait, ordered by name.
    pub(super) fn incidents(&self) -> Vec<Change> {
        self.incidents.values().cloned().collect()
    }

    pub(super) fn incidents_saved(&mut self) {
        self.incidents.clear();
    }

    /// Expectations that wait: what was learned before what was explained by it.
    pub(super) fn expectations(&self) -> Vec<ExpectationChange> {
        let explained = self.explained.iter().map(|(id, tally)| ExpectationChange::Explained {
            id: id.clone(),
            at: tally.last.unwrap_or_default(),
            count: tally.count,
            sentence: tally.sentence.clone(),
        });
        self.learned.values().cloned().chain(explained).collect()
    }

    pub(super) fn expectations_saved(&mut self) {
        self.learned.clear();
        self.explained.clear();
    }
}

#[cfg(test)]
mod tests {
    use model::time::Time;
    use testkit::expectations::learned;
    use testkit::incidents::IncidentBuilder;

    use super::*;

    fn explained(id: &str, secs: i64) -> ExpectationChange {
        let (id, at) = (ExpectationId::from_text(id), Time::from_secs(secs));
        ExpectationChange::Explained { id, at, count: 1, sentence: format!("at {secs}") }
    }

    #[test]
    fn an_incident_that_opens_and_grows_before_it_is_stored_is_told_as_opened() {
        let mut unsaved = Unsaved::default();
        let incident = IncidentBuilder::attack().build();
        for kind in [ChangeKind::Opened, ChangeKind::Updated] {
            unsaved.add_incident(Change { kind, incident: incident.clone() });
        }
        assert_eq!(unsaved.incidents(), [Change { kind: ChangeKind::Opened, incident }]);
    }

    #[test]
    fn explanations_add_up_while_the_store_fails() {
        let mut unsaved = Unsaved::default();
        (1..=2_000).for_each(|secs| unsaved.add_expectation(explained("rollout", secs)));
        let [ExpectationChange::Explained { count, sentence, .. }] = &unsaved.expectations()[..] else {
            panic!("one");
        };
        assert_eq!((*count, sentence.as_str()), (2_000, "at 2000"));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut unsaved = Unsaved::default();
        (0..2_000).for_each(|secs| unsaved.add_expectation(explained(&format!("EX-{secs}"), secs)));
        assert_eq!(unsaved.expectations().len(), WAITING_MAX);
    }

    #[test]
    fn what_somebody_removed_does_not_come_back() {
        let mut unsaved = Unsaved::default();
        let learned = learned("batch [sum]");
        unsaved.add_expectation(ExpectationChange::Learned(Box::new(learned.clone())));
        unsaved.add_expectation(explained(learned.id.as_str(), 5));
        unsaved.forget_expectation(&learned.id);
        assert_eq!(unsaved.expectations(), []);
    }
}
