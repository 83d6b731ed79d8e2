//! Tells that the container engines spend much on nobody's behalf: work on images, calls from the host or the network.
//!
//! The last line of the engine's books: what of its CPU no container drives, by any class. Most of it is work that people
//! asked for, and the engine says so once it is done; so it weighs little, and supports what else is wrong with the
//! host. Not here: what a container drives (`out_of_band_*.rs`).

use model::finding::{Family, Finding};

use crate::Case;

pub(crate) const ID: &str = "unbooked_engine";

/// CPU over the ledger's five seconds from which it is told: cores, or a share of the host where that is more.
const CORES_MIN: f64 = 0.3;
const HOST_SHARE_MIN: f64 = 0.05;

/// Seconds of books it takes: a start shows more than it lasts.
const SECONDS_MIN: f64 = 3.0;

/// Opens no incident by itself.
const BITS: f64 = 3.0;

/// Judges the engines' CPU when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    // The sum over all containers is made once a second, not at each event.
    let Some(host) = case.closed_books() else { return };
    let Some(unbooked) = case.state.unbooked_engine_cores() else { return };
    let least = CORES_MIN.max(HOST_SHARE_MIN * f64::from(host.cores));
    if host.seconds < SECONDS_MIN || unbooked < least {
        return;
    }
    let spent = host.engine_cores + host.client_cores + host.shim_cores;
    let claim = format!(
        "the container engines spend {spent:.2} cores, {unbooked:.2} of it on nobody's behalf: no container writes, \
         calls or is asked to run as much"
    );
    out.push(
        Finding::about_node(&case.seen.event.node, ID, Family::Resource, case.at(), BITS)
            .claiming(claim)
            .explainable(ID, unbooked)
            .with("unbooked_engine_cores", unbooked)
            .with("engine_cores", host.engine_cores)
            .with("engine_idle_cores", host.engine_idle_cores)
            .with("client_cores", host.client_cores)
            .with("shim_cores", host.shim_cores),
    );
}
