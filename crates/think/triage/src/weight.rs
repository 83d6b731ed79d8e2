//! What a subject's findings weigh together, and why.
//!
//! Within a group judges look at the same thing, so the weightiest counts; across groups evidence is independent,
//! so bits add (ALGORITHMS §4.2). Weights fade in event time (§4.3).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::expectation::Explanation;
use model::finding::{Aspect, Family, Finding};
use model::time::Time;

/// Two families that agree are likelier right than their sum says: what is not allowed here is also what costs.
const AGREEMENT_BITS: f64 = 1.0;

/// The weight of a subject and the reasons for it, one sentence each.
pub(crate) struct Weight {
    pub(crate) bits: f64,
    pub(crate) reasons: Vec<String>,
}

/// Weighs findings as of `now`.
pub(crate) fn weigh(findings: &[Finding], now: Time) -> Weight {
    let mut groups: BTreeMap<(Family, Aspect, bool), (&Finding, f64)> = BTreeMap::new();
    for finding in findings {
        let bits = faded(finding, now);
        let heaviest =
            groups.entry((finding.family, finding.aspect, finding.harm)).or_insert((finding, bits));
        if bits > heaviest.1 {
            *heaviest = (finding, bits);
        }
    }
    let mut heaviest: Vec<(&Finding, f64)> = groups.values().copied().collect();
    heaviest.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let mut reasons: Vec<String> = heaviest
        .iter()
        .map(|(finding, bits)| format!("{} says {bits:.1} bits: {}", finding.judge, finding.claim))
        .collect();
    let mut bits: f64 = heaviest.iter().map(|(_, bits)| bits).sum();
    if agree(findings) {
        bits += AGREEMENT_BITS;
        reasons.push(format!("resource and provenance agree: {AGREEMENT_BITS:.1} bits more"));
    }
    reasons.extend(findings.iter().flat_map(lowered).collect::<BTreeSet<String>>());
    Weight { bits: (bits * 10.0).round() / 10.0, reasons }
}

/// What lowered a finding; of the many findings of one judge that one reason lowered alike, one sentence.
fn lowered(finding: &Finding) -> impl Iterator<Item = String> {
    finding.explained.iter().map(|explanation| {
        let Explanation { by, kind, sentence, bits_before, bits_after } = explanation;
        let kind = kind.name();
        let judge = &finding.judge;
        format!("{judge} lowered from {bits_before:.1} to {bits_after:.1} bits by {kind} {by}: {sentence}")
    })
}

fn agree(findings: &[Finding]) -> bool {
    let has = |family| findings.iter().any(|finding| finding.family == family);
    has(Family::Resource) && has(Family::Provenance)
}

/// What is left of a finding's weight as of `now`.
pub(crate) fn faded(finding: &Finding, now: Time) -> f64 {
    let age = now.since(finding.at).as_secs_f64() / half_life(finding.family).as_secs_f64();
    finding.bits * 0.5_f64.powf(age)
}

/// Spending is over when it is over; who may be here, and slow traffic, add up over a day.
fn half_life(family: Family) -> Duration {
    let minutes = match family {
        Family::Resource => 30,
        Family::Provenance | Family::Integrity => 6 * 60,
        Family::Communication => 24 * 60,
    };
    Duration::from_secs(minutes * 60)
}
