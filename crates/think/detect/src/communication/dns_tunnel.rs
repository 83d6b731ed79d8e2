//! Flags a container that talks through the names it asks for: ever new names below one domain, that carry data.
//!
//! T1071.004, T1048.003, T1568. Not here: names asked over TCP or encrypted.

use model::finding::Finding;
use model::traffic::{EdgeKey, Endpoint, Protocol};
use state::graph::Asked;
use state::traffic::tunnel::{CARRYING_MIN, LABEL_MIN};

use crate::Case;
use crate::communication::channel;

pub(crate) const ID: &str = "dns_tunnel";

/// Ever new names alone, as much as they carry, and names or types that no host has.
const BITS: f64 = 8.5;
const RATE_BITS: f64 = 2.0;
const SHAPE_BITS: f64 = 2.5;
/// What many ask of a domain is how it is used.
const COMMON_BITS: f64 = -4.0;

/// Bytes a second over ten minutes from which it carries something.
const RATE_MIN: f64 = 2.0;

/// Where names are asked for.
const NAMES_PORT: u16 = 53;

/// Workloads that may ask about the domain for it to be rare.
const KNOWN_BY_MAX: u32 = 2;

/// Judges every domain that was asked about just now.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for asked in case.state.graph().news().asked.iter().filter(|asked| asked.reading.is_tunnel()) {
        let reading = &asked.reading;
        let claim = format!(
            "it asks for ever new names below {}: {:.0} % of {} questions, {:.0} bytes in all",
            asked.domain,
            reading.unique_ratio * 100.0,
            reading.questions,
            reading.unique_bytes
        );
        let edge = edge(asked);
        let finding = channel(case, &asked.container, ID, weight(asked))
            .claiming(claim)
            .on_edge(&edge)
            .with("domain", &asked.domain)
            .with("latest_name", &asked.name)
            .with("questions", u64::from(reading.questions))
            .with("unique_share", reading.unique_ratio)
            .with("unique_bytes_per_second", reading.bytes_per_second)
            .with("label_bytes", reading.label_bytes)
            .with("text_types_share", reading.carrying_share)
            .with("no_such_name_share", reading.missing_share);
        out.push(match case.state.expected_question(&edge, asked) {
            Some(id) => finding.expected_by(&id),
            None => finding,
        });
    }
}

/// Whoever asks about a domain talks to it, whichever server is between them.
fn edge(asked: &Asked) -> EdgeKey {
    let from = Endpoint::Workload(asked.container.workload());
    EdgeKey { from, to: Endpoint::Outside(asked.domain.clone()), port: NAMES_PORT, protocol: Protocol::UDP }
}

fn weight(asked: &Asked) -> f64 {
    let reading = &asked.reading;
    let mut bits = BITS;
    if reading.bytes_per_second >= RATE_MIN {
        bits += RATE_BITS;
    }
    if reading.label_bytes >= LABEL_MIN || reading.carrying_share >= CARRYING_MIN {
        bits += SHAPE_BITS;
    }
    if asked.known_by > KNOWN_BY_MAX {
        bits += COMMON_BITS;
    }
    bits
}
