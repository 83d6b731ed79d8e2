//! From findings to incidents: weighs what judges claim per subject and says why it weighs that much.
//!
//! Not here: correlation across nodes. A pure function of the findings.

pub mod schedule;

pub mod expectations;

mod deploys;

mod engine_work;

mod reason;

mod dossier;

mod weight;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::event::Body;
use model::expectation::{Expectation, ExpectationChange, When};
use model::finding::{Finding, Subject};
use model::identity::Observation;
use model::incident::{Change, ChangeKind, Closing, Incident, IncidentId, Severity, State};
use serde::{Deserialize, Serialize};

use crate::deploys::Deploys;
use crate::dossier::Dossier;
use crate::engine_work::LastWork;
use crate::expectations::Expectations;
use crate::reason::Reason;

/// Most subjects weighed at once; the one without an incident and silent for longest makes room.
const SUBJECTS_MAX: usize = 4_096;

/// Moments a day at which a subject could become an incident, for turning a budget into a threshold: one per
/// five minutes, the span over which weights hardly decay.
const MOMENTS_PER_DAY: f64 = 288.0;

/// Settings of the stage `weigh`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TriageConfig {
    /// The one knob: false incidents tolerated per node and day. 0.01 is quiet, 0.5 is for hunting.
    pub false_incidents_per_node_day: f64,
}

impl Default for TriageConfig {
    fn default() -> Self {
        Self { false_incidents_per_node_day: 0.05 }
    }
}

impl TriageConfig {
    /// What is wrong with the settings, in words; `None` when they can be used.
    pub fn problem(&self) -> Option<String> {
        let budget = self.false_incidents_per_node_day;
        let usable = (0.0001..=100.0).contains(&budget);
        (!usable)
            .then(|| format!("false_incidents_per_node_day is {budget}; it must lie between 0.0001 and 100"))
    }

    /// Evidence that one subject needs, in bits: with k chances a day and a budget of b, the odds that a chance is
    /// an attack must be raised by k / b before believing it costs no more than the budget.
    pub fn threshold_bits(&self) -> f64 {
        (MOMENTS_PER_DAY / self.false_incidents_per_node_day).log2()
    }
}

/// The stage `weigh`: what is held against every subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Triage {
    config: TriageConfig,
    /// Severity of each strategy by its slug.
    priorities: BTreeMap<Arc<str>, Severity>,
    #[serde(with = "as_pairs")]
    subjects: BTreeMap<Subject, Dossier>,
    expectations: Expectations,
    deploys: Deploys,
    work: LastWork,
}

/// What one observation led to.
#[derive(Debug, Default, PartialEq)]
pub struct Weighed {
    /// The incidents that changed.
    pub incidents: Vec<Change>,
    /// What was learned, and what was explained.
    pub expectations: Vec<ExpectationChange>,
}

impl Triage {
    /// A stage that holds nothing against anybody yet.
    pub fn new(config: TriageConfig, priorities: BTreeMap<Arc<str>, Severity>) -> Self {
        Self {
            config,
            priorities,
            subjects: BTreeMap::new(),
            expectations: Expectations::default(),
            deploys: Deploys::default(),
            work: LastWork::default(),
        }
    }

    /// Takes in findings, expectations, restored incidents and verdicts; gives what changed.
    pub fn weigh(&mut self, seen: &Observation, findings: Vec<Finding>) -> Weighed {
        let mut weighed = Weighed::default();
        self.deploys.watch(seen);
        match &seen.event.body {
            Body::Restored(incident) => self.restore(incident),
            Body::Expected(expectation) => self.take_expectation(expectation),
            Body::Unexpected { id } => self.expectations.remove(id),
            Body::EngineWork(work) => self.work.note(work, seen.event.time),
            // Not at once: what is told of one piece of work comes in several announcements.
            Body::Tick if self.work.take_new() => self.weigh_node_again(seen, &mut weighed),
            Body::Closed { id, closing } => weighed.incidents.extend(self.close(id, closing)),
            _ => {}
        }
        for finding in findings {
            self.weigh_one(seen, finding, &mut weighed);
        }
        weighed
    }

    /// Declared schedules that are known, expired ones included.
    pub fn expectations(&self) -> usize {
        self.expectations.len()
    }

    /// Incidents that nobody closed, ordered by subject.
    pub fn open_incidents(&self) -> impl Iterator<Item = &Incident> {
        self.subjects.values().filter_map(Dossier::incident)
    }

    /// Evidence that one subject needs to become an incident, in bits.
    pub fn threshold_bits(&self) -> f64 {
        self.config.threshold_bits()
    }

    fn weigh_one(&mut self, seen: &Observation, mut finding: Finding, weighed: &mut Weighed) {
        if finding.may_be_explained() {
            let expected = self.expectations.reason(&finding);
            let changing = self.deploys.reason(&finding);
            let working = self.work.reason(&finding);
            Reason::apply([expected, changing, working].into_iter().flatten(), &mut finding);
        }
        self.make_room(&finding.subject);
        let dossier = self.subjects.entry(finding.subject.clone()).or_default();
        weighed.expectations.extend(dossier.newly_explained(&finding));
        dossier.add(finding);
        weighed.incidents.extend(dossier.review(
            seen.event.time,
            self.config.threshold_bits(),
            &self.priorities,
        ));
    }

    /// Weighs anew what was found about the node before its engine told what it had been doing.
    fn weigh_node_again(&mut self, seen: &Observation, weighed: &mut Weighed) {
        let subject = Subject::Node { node: seen.event.node.clone() };
        let Some(dossier) = self.subjects.get_mut(&subject) else { return };
        let told = dossier.explain_later(&self.work);
        if !told.is_empty() {
            weighed.expectations.extend(told);
            let threshold_bits = self.config.threshold_bits();
            weighed.incidents.extend(dossier.review(seen.event.time, threshold_bits, &self.priorities));
        }
    }

    fn take_expectation(&mut self, expectation: &Expectation) {
        match &expectation.when {
            When::Schedule(_) => self.expectations.add(expectation),
            When::Recurrence(_) => {}
        }
    }

    fn restore(&mut self, incident: &Incident) {
        if incident.state == State::Open {
            self.make_room(&incident.subject);
            self.subjects.insert(incident.subject.clone(), Dossier::restored(incident.clone()));
        }
    }

    fn close(&mut self, id: &IncidentId, closing: &Closing) -> Option<Change> {
        let (subject, _) = self
            .subjects
            .iter()
            .find(|(_, dossier)| dossier.incident().is_some_and(|incident| incident.id == *id))?;
        let subject = subject.clone();
        // What led to a closed incident is settled with it: only new findings can open another one.
        let incident = self.subjects.remove(&subject)?.into_incident()?;
        Some(Change { kind: ChangeKind::Closed, incident: incident.closed(closing) })
    }

    fn make_room(&mut self, subject: &Subject) {
        if self.subjects.len() < SUBJECTS_MAX || self.subjects.contains_key(subject) {
            return;
        }
        let idle = self.subjects.iter().filter(|(_, dossier)| dossier.incident().is_none());
        let oldest = idle.min_by_key(|(_, dossier)| dossier.last_finding());
        // With an incident on every subject, the least recent of them leaves memory; it stays in the store.
        let oldest =
            oldest.or_else(|| self.subjects.iter().min_by_key(|(_, dossier)| dossier.last_finding()));
        if let Some(subject) = oldest.map(|(subject, _)| subject.clone()) {
            self.subjects.remove(&subject);
        }
    }
}

/// Text forms (JSON) want text keys of maps, and a subject is no text.
mod as_pairs {
    use std::collections::BTreeMap;

    use model::finding::Subject;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Dossier;

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<Subject, Dossier>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Subject, Dossier>, D::Error> {
        Ok(Vec::<(Subject, Dossier)>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
