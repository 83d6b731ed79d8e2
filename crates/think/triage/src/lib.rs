//! From findings to incidents: weighs what judges claim per subject and says why it weighs that much.
//!
//! Not here: correlation across nodes. A pure function of the findings.

pub mod schedule;

pub mod expectations;

mod deploys;

mod engine_work;

mod recurrence;

mod spells;

mod reason;

mod dossier;

mod weight;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::event::Body;
use model::expectation::{ExpectationChange, When};
use model::finding::{Family, Finding, Subject};
use model::identity::Observation;
use model::incident::{Change, ChangeKind, Closing, Incident, IncidentId, Severity, State, Verdict};
use serde::{Deserialize, Serialize};

use crate::deploys::Deploys;
use crate::dossier::Dossier;
use crate::engine_work::LastWork;
use crate::expectations::Expectations;
use crate::reason::Reason;
use crate::recurrence::Recurrences;
use crate::spells::{Claim, Reading};

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
    #[serde(with = "model::pairs")]
    subjects: BTreeMap<Subject, Dossier>,
    expectations: Expectations,
    deploys: Deploys,
    work: LastWork,
    recurrences: Recurrences,
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
            recurrences: Recurrences::default(),
        }
    }

    /// Takes in findings, expectations, restored incidents and verdicts; gives what changed.
    pub fn weigh(&mut self, seen: &Observation, findings: Vec<Finding>) -> Weighed {
        let mut weighed = Weighed::default();
        self.deploys.watch(seen);
        weighed.expectations.extend(self.recurrences.watch(seen));
        self.take_body(seen, &mut weighed);
        for finding in findings {
            self.weigh_one(seen, finding, &mut weighed);
        }
        weighed
    }

    /// Expectations that are known: declared ones, and recurrences that have come back often enough.
    pub fn expectations(&self) -> usize {
        self.expectations.len() + self.recurrences.learned()
    }

    /// Incidents that nobody closed, ordered by subject.
    pub fn open_incidents(&self) -> impl Iterator<Item = &Incident> {
        self.subjects.values().filter_map(Dossier::incident)
    }

    /// What is held against anybody of one family, in incidents and below their threshold.
    pub fn findings_of(&self, family: Family) -> impl Iterator<Item = &Finding> {
        let findings = self.subjects.values().flat_map(Dossier::findings);
        findings.filter(move |finding| finding.family == family)
    }

    /// Evidence that one subject needs to become an incident, in bits.
    pub fn threshold_bits(&self) -> f64 {
        self.config.threshold_bits()
    }

    fn take_body(&mut self, seen: &Observation, weighed: &mut Weighed) {
        let now = seen.event.time;
        match &seen.event.body {
            Body::Restored(incident) => self.restore(incident, weighed),
            Body::Expected(expectation) => match &expectation.when {
                When::Schedule(_) | When::Always => self.expectations.add(expectation),
                When::Recurrence(_) => self.recurrences.add(expectation),
            },
            Body::Unexpected { id } => {
                self.expectations.remove(id);
                self.recurrences.remove(id);
            }
            Body::EngineWork(work) => self.work.note(work, now),
            Body::Resumed { .. } => self.recurrences.resume(now),
            Body::Closed { id, closing } => self.close(id, closing, weighed),
            Body::Tick => {
                weighed.expectations.extend(self.recurrences.time_passes(now));
                // Not when it was told: what is told of one piece of work comes in several announcements.
                if self.work.take_new() {
                    self.weigh_node_again(seen, weighed);
                }
            }
            _ => {}
        }
    }

    fn weigh_one(&mut self, seen: &Observation, mut finding: Finding, weighed: &mut Weighed) {
        let (now, at) = (seen.event.time, finding.at);
        let is_suspect = self.subjects.get(&finding.subject).is_some_and(|dossier| dossier.is_suspect(now));
        let claim = Claim::about(&finding);
        if finding.may_be_explained() {
            let expected = self.expectations.reason(&finding);
            let changing = self.deploys.reason(&finding);
            let working = self.work.reason(&finding);
            let comes_back = claim.as_ref().filter(|_| !is_suspect);
            let recurring = comes_back.and_then(|claim| self.recurrences.reason(&finding, claim));
            Reason::apply([expected, changing, working, recurring].into_iter().flatten(), &mut finding);
        }
        self.make_room(&finding.subject);
        let dossier = self.subjects.entry(finding.subject.clone()).or_default();
        weighed.expectations.extend(dossier.newly_explained(&finding));
        dossier.add(finding);
        let threshold_bits = self.config.threshold_bits();
        weighed.incidents.extend(dossier.review(now, threshold_bits, &self.priorities));
        if let Some((claim, value)) = claim {
            let is_suspect = dossier.is_suspect(now);
            let reading = Reading { at, value, is_suspect };
            weighed.expectations.extend(self.recurrences.note(&claim, reading));
        }
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

    fn restore(&mut self, incident: &Incident, weighed: &mut Weighed) {
        if incident.state == State::Open {
            self.make_room(&incident.subject);
            let restored = Dossier::restored(incident.clone());
            let dossier = match self.subjects.remove(&incident.subject) {
                Some(present) => restored.joined(present),
                None => restored,
            };
            self.subjects.insert(incident.subject.clone(), dossier);
        } else if let (Some(closing), Some(workload)) = (&incident.closing, incident.subject.workload())
            && closing.verdict == Verdict::Malicious
        {
            weighed.expectations.extend(self.recurrences.bar(workload, closing.at));
        }
    }

    fn close(&mut self, id: &IncidentId, closing: &Closing, weighed: &mut Weighed) {
        let is_meant = |dossier: &Dossier| dossier.incident().is_some_and(|incident| incident.id == *id);
        let Some(subject) =
            self.subjects.iter().find(|(_, it)| is_meant(it)).map(|(subject, _)| subject.clone())
        else {
            return;
        };
        // What led to a closed incident is settled with it: only new findings can open another one.
        let incident = self.subjects.remove(&subject).and_then(Dossier::into_incident);
        let closed = incident.map(|it| Change { kind: ChangeKind::Closed, incident: it.closed(closing) });
        weighed.incidents.extend(closed);
        if closing.verdict == Verdict::Malicious
            && let Some(workload) = subject.workload()
        {
            weighed.expectations.extend(self.recurrences.bar(workload, closing.at));
        }
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

#[cfg(test)]
mod tests;
