//! Flags a container that calls somebody outside as regularly as a clock, give or take its jitter.
//!
//! T1071, T1573, T1029. Interval concentration (ALGORITHMS §3.3). Inside, everything is regular: probes, scrapes, leases.
//! Not here: rhythms that several replicas share, which weigh less, since they are how the program is.

use model::finding::Finding;
use state::graph::Use;
use state::traffic::beacon::Regularity;

use crate::Case;
use crate::communication::about_use;

pub(crate) const ID: &str = "beacon";

/// Timing alone: one honest pair in two thousand a day looks so (11 bits), and honest programs that poll look all like it.
const BITS: f64 = 9.5;
/// Requests of one size.
const SIZE_BITS: f64 = 1.5;
const SIZE_REGULARITY_MIN: f64 = 0.7;
/// What others share speaks for the program, not for an intruder.
const SHARED_BITS: f64 = -4.0;

/// Share of the workloads that may know the destination for it to be rare.
const KNOWN_SHARE_MAX: f64 = 0.02;

/// Judges every edge to the outside that was used just now.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for used in &case.state.graph().news().used {
        let Some(edge) = case.state.graph().edge(&used.edge) else { continue };
        let regularity = edge.rhythm().and_then(|rhythm| rhythm.regularity()).filter(Regularity::is_beacon);
        let Some(regularity) = regularity.filter(|_| is_rare(case, used)) else { continue };
        let has_size = regularity.size_regularity >= SIZE_REGULARITY_MIN;
        let is_shared = edge.users().len() > 1;
        let bits = BITS + if has_size { SIZE_BITS } else { 0.0 } + if is_shared { SHARED_BITS } else { 0.0 };
        let claim = format!(
            "it calls {} every {} or so, {} times by now",
            used.edge.to,
            period(regularity.period_seconds),
            regularity.intervals + 1
        );
        let finding = about_use(case, used, ID, bits)
            .claiming(claim)
            .with("period_seconds", regularity.period_seconds)
            .with("intervals", u64::from(regularity.intervals))
            .with("share_in_one_octave", regularity.effect)
            .with("same_size_share", regularity.size_regularity);
        out.push(finding);
    }
}

fn is_rare(case: &Case, used: &Use) -> bool {
    let graph = case.state.graph();
    let most = (graph.workloads() as f64 * KNOWN_SHARE_MAX).max(1.0);
    f64::from(graph.known_by(&used.edge.to)) <= most
}

fn period(seconds: f64) -> String {
    if seconds < 90.0 { format!("{seconds:.1} s") } else { format!("{:.1} min", seconds / 60.0) }
}
