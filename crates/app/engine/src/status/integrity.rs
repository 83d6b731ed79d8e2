//! What was found about Tidewatch itself: stops, gaps, floods, interference, also what is too light for an incident.
//!
//! Not here: the incidents, which hold more of each (`report`).

use std::time::Duration;

use model::coverage::Source;
use model::finding::{Family, Finding};
use model::time::Time;
use serde::{Deserialize, Serialize};

use crate::fold::Fold;

/// Most findings that are shown, newest first.
const SHOWN_MAX: usize = 32;
/// How long one is shown.
const SHOWN_FOR: Duration = Duration::from_secs(24 * 3600);

/// One finding about Tidewatch itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntegrityStatus {
    /// When it was found, RFC 3339.
    pub at: String,
    /// Which judge says so.
    pub judge: String,
    /// Its weight in bits.
    pub bits: f64,
    /// The claim in one sentence, foreign text in it escaped.
    pub claim: String,
}

/// The findings of the last day.
pub(crate) fn of(fold: &Fold) -> Vec<IntegrityStatus> {
    let since = fold.state().now().minus(SHOWN_FOR);
    let recent = |finding: &&Finding| finding.at >= since;
    let mut findings: Vec<&Finding> = fold.triage().findings_of(Family::Integrity).filter(recent).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse((finding.at, finding.judge.clone())));
    findings.truncate(SHOWN_MAX);
    findings.into_iter().map(row).collect()
}

/// Spans of the last hour in which Tidewatch did not run.
pub fn gaps(coverage: &model::coverage::Coverage) -> impl Iterator<Item = (Time, Time)> {
    let own = coverage.blind.iter().filter(|blind| blind.source == Source::Engine);
    own.filter_map(|blind| Some((blind.since, blind.until?)))
}

fn row(finding: &Finding) -> IntegrityStatus {
    IntegrityStatus {
        at: finding.at.rfc3339(),
        judge: finding.judge.to_string(),
        bits: finding.bits,
        claim: finding.claim.clone(),
    }
}
