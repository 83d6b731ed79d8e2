//! Flags a workload of which some metric is more than it ever was, by the record bank at 15 seconds, or of which all metrics
//! stand out together.
//!
//! Not here: what creeps up over minutes to weeks (`ramp.rs`), and workloads without history (`excess.rs`). More than ever is
//! busy, no attack: alone it never opens an incident.

use model::finding::Finding;
use model::novelty::Provenance;
use state::series::resolution::Resolution;
use state::{Account, Record};

use crate::Case;

pub(crate) const ID: &str = "record";

/// Slots that must have been learned: the first record of a short history says nothing.
const SAMPLES_MIN: u32 = 50;

/// What nobody approved has no reason to be busier than ever.
const UNAPPROVED_BITS: f64 = 6.0;
const IMAGE_APPROVED_BITS: f64 = 4.0;
const APPROVED_BITS: f64 = 3.0;

/// Judges every record of the second whose books were just closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if case.closed_books().is_none() {
        return;
    }
    for record in case.state.records().iter().filter(|record| record.excess.resolution == Resolution::Fast) {
        if let Some((account, bits)) = culprit(case, record) {
            out.push(finding(case, account, record, (ID, bits)));
        }
    }
}

/// The container to name and the weight that its provenance gives.
pub(crate) fn culprit<'a>(case: &Case<'a>, record: &Record) -> Option<(&'a Account, f64)> {
    if record.excess.samples < SAMPLES_MIN {
        return None;
    }
    let account = case.head(&record.workload)?;
    let bits = match account.provenance() {
        Provenance::Pending => return None,
        Provenance::Unclaimed | Provenance::Unapproved => UNAPPROVED_BITS,
        Provenance::ImageApproved => IMAGE_APPROVED_BITS,
        Provenance::Approved => APPROVED_BITS,
    };
    Some((account, bits))
}

/// A finding that says what the record is, beside what is usual, and what voted for it.
pub(crate) fn finding(
    case: &Case,
    account: &Account,
    record: &Record,
    (judge, bits): (&'static str, f64),
) -> Finding {
    let (measure, excess) = (record.measure, &record.excess);
    let slot = excess.resolution.slot();
    let claim = format!(
        "its {} was {} over {}, usually {}: more than in all {} such spans before",
        measure.name(),
        measure.words(excess.value),
        span(slot.as_secs()),
        measure.words(excess.usual),
        excess.samples
    );
    let streams: Vec<&str> = excess.streams.iter().copied().flatten().collect();
    case.resource(account, judge, bits)
        .claiming(claim)
        .explainable(measure.name(), excess.value)
        .with("measure", measure.name())
        .with("value", excess.value)
        .with("usual", excess.usual)
        .with("evidence", excess.evidence)
        .with("evidence_threshold", excess.threshold)
        .with("streams", streams.join(", ").as_str())
        .with("samples", u64::from(excess.samples))
        .with("slot_seconds", slot.as_secs())
        .with("workload_deviations", case.state.spikes(&record.workload))
}

fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} seconds"),
        60..3600 => format!("{} minutes", seconds / 60),
        _ => format!("{} hour", seconds / 3600),
    }
}
