//! Flags a container that sends far more outside than it gets from there, and than it usually does; and the young workloads of
//! one image, or of all images that nobody approved, that do so together.
//!
//! T1041, T1048, T1567. Not here: what it sends to others on this host or in its own networks.

use model::finding::Finding;
use state::graph::Volume;

use crate::Case;
use crate::communication::{about_use, channel};

pub(crate) const ID: &str = "volume";

/// Bytes within a minute from which it is worth a word: what a telemetry agent sends in an hour.
const BYTES_MIN: u64 = 32 << 20;
/// How many times what came back.
const RATIO_MIN: f64 = 8.0;
/// How many times what usually leaves over the edge in a minute.
const USUAL_FACTOR: f64 = 8.0;

const BITS: f64 = 9.0;
/// Over an edge that is younger than an hour.
const YOUNG_BITS: f64 = 2.0;
const YOUNG_SECONDS: u64 = 3_600;
/// Of many images together, which may have nothing to do with each other.
const NODE_BITS: f64 = 6.0;

/// Judges every edge to the outside that was used just now.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for used in &case.state.graph().news().used {
        let Some(edge) = case.state.graph().edge(&used.edge).filter(|edge| is_much(edge.volume())) else {
            continue;
        };
        let volume = edge.volume();
        let is_young = case.at().since(edge.first()).as_secs() < YOUNG_SECONDS;
        let bits = BITS + if is_young { YOUNG_BITS } else { 0.0 };
        let claim = format!(
            "it sends {:.0} MB to {} within a minute, and gets {:.1} MB",
            volume.sent_bytes as f64 / 1e6,
            used.edge.to,
            volume.received_bytes as f64 / 1e6
        );
        let finding = about_use(case, used, ID, bits)
            .claiming(claim)
            .with("sent_bytes", volume.sent_bytes)
            .with("received_bytes", volume.received_bytes)
            .with("usual_sent_bytes_per_minute", volume.usual_bytes.unwrap_or(0.0));
        out.push(finding);
    }
    judge_sums(case, out);
}

/// Judges what many young workloads, or one over many ways, sent together. No edge explains it, and none was accepted.
fn judge_sums(case: &Case, out: &mut Vec<Finding>) {
    let images = case.state.much_of_images().map(|it| (it, BITS + YOUNG_BITS, "its image"));
    let node = case.state.much_of_node().map(|it| (it, NODE_BITS, "images that are not approved"));
    for ((container, sum), bits, of) in images.chain(node) {
        let claim = format!(
            "{} young workloads of {of} sent {:.0} MB outside within {} minutes, and got {:.1} MB",
            sum.workloads,
            sum.sent_bytes as f64 / 1e6,
            sum.minutes,
            sum.received_bytes as f64 / 1e6
        );
        let finding = channel(case, container, ID, bits)
            .claiming(claim)
            .with("sent_bytes", sum.sent_bytes)
            .with("received_bytes", sum.received_bytes)
            .with("workloads", sum.workloads as u64)
            .with("largest_edge_bytes", sum.largest_bytes);
        out.push(finding);
    }
}

fn is_much(volume: &Volume) -> bool {
    let sent = volume.sent_bytes as f64;
    volume.sent_bytes >= BYTES_MIN
        && sent >= RATIO_MIN * volume.received_bytes as f64
        && sent >= USUAL_FACTOR * volume.usual_bytes.unwrap_or(0.0)
}
