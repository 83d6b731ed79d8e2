//! Flags a container that opens connections without end, whoever takes them: each costs the host's tables, its software
//! interrupts and whoever watches.
//!
//! T1499.001. Not here: services that are flooded (`service_flood.rs`).

use model::finding::Finding;
use state::{Account, Quantity};

use crate::Case;

pub(crate) const ID: &str = "connection_flood";

/// Connections opened a second from which it is a flood: a busy proxy opens hundreds.
const CONNECTS_MIN: f64 = 2_000.0;
/// How many times its highest known rate is still usual.
const USUAL_FACTOR: f64 = 3.0;
/// Shortest span judged, in seconds.
const SECONDS_MIN: f64 = 1.9;

const BITS: f64 = 8.0;

/// Judges every container when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if case.closed_books().is_none() {
        return;
    }
    for account in case.running() {
        let Some(connects) = opened(account) else { continue };
        let usual = case.state.usual(account.workload()).map_or(0.0, |it| it.high(Quantity::Connects));
        if connects < CONNECTS_MIN.max(USUAL_FACTOR * usual) {
            continue;
        }
        out.push(
            case.resource(account, ID, BITS)
                .claiming(format!("it opens {connects:.0} connections a second, usually at most {usual:.0}"))
                .explainable("connects_per_second", connects)
                .with("connects_per_second", connects)
                .with("usual_connects_per_second", usual),
        );
    }
}

fn opened(account: &Account) -> Option<f64> {
    let spent = account.spent(4.0).filter(|spent| spent.seconds >= SECONDS_MIN)?;
    Some(spent.rate(Quantity::Connects))
}
