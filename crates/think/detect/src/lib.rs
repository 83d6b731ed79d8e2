//! The judges: pure functions from an observation and the state to findings, grouped by what must tally.
//!
//! Not here: whether a finding matters (`triage`), and any memory of their own.

mod provenance;

mod resource;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use model::finding::{Family, Finding};
use model::identity::Observation;
use model::novelty::Novelty;
use serde::{Deserialize, Serialize};
use state::State;

/// What a judge looks at.
pub(crate) struct Case<'a> {
    pub(crate) seen: &'a Observation,
    pub(crate) novelty: &'a Novelty,
    pub(crate) state: &'a State,
}

type JudgeFn = fn(&Case, &mut Vec<Finding>);

/// Every judge by the id that strategies name it by.
const JUDGES: [(&str, JudgeFn); 5] = [
    (resource::out_of_band_log::ID, resource::out_of_band_log::judge),
    (resource::excess::ID, resource::excess::judge),
    (resource::saturation::ID, resource::saturation::judge),
    (provenance::unapproved_image::ID, provenance::unapproved_image::judge),
    (provenance::ghost::ID, provenance::ghost::judge),
];

/// Id of the finding that says a judge failed and is no longer asked.
pub const JUDGE_FAILED: &str = "judge_failed";

/// Bits of a judge that failed: blindness is a finding, but our own bug alone does not open an incident.
const JUDGE_FAILED_BITS: f64 = 6.0;

/// The ids of all judges.
pub fn judge_ids() -> Vec<&'static str> {
    JUDGES.iter().map(|(id, _)| *id).collect()
}

/// The stage `judge`. Remembers only which judges failed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Detect {
    failed: BTreeSet<String>,
}

impl Detect {
    /// Asks every judge. One that panics has a bug: it is not asked again, and that is a finding too.
    pub fn judge(&mut self, seen: &Observation, novelty: &Novelty, state: &State) -> Vec<Finding> {
        let case = Case { seen, novelty, state };
        let mut findings = Vec::new();
        for (id, judge) in JUDGES {
            if !self.failed.is_empty() && self.failed.contains(id) {
                continue;
            }
            self.ask(id, judge, &case, &mut findings);
        }
        if !findings.is_empty() {
            let coverage = state.coverage();
            findings.iter_mut().for_each(|finding| finding.coverage = coverage.clone());
        }
        findings
    }

    /// The ids of the judges that failed and are no longer asked.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.failed.iter().map(String::as_str)
    }

    fn ask(&mut self, id: &str, judge: JudgeFn, case: &Case, findings: &mut Vec<Finding>) {
        let before = findings.len();
        if catch_unwind(AssertUnwindSafe(|| judge(case, findings))).is_ok() {
            return;
        }
        findings.truncate(before);
        self.failed.insert(id.to_owned());
        let event = &case.seen.event;
        let claim = format!("the judge {id} failed by a bug of ours and is not asked any more");
        findings.push(
            Finding::about_node(&event.node, JUDGE_FAILED, Family::Integrity, event.time, JUDGE_FAILED_BITS)
                .claiming(claim)
                .with("judge", id),
        );
    }
}

#[cfg(test)]
mod tests;
