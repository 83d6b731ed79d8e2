//! Flags connections without end against one workload, and names the container that opens them, if one does.
//!
//! T1499.002 and T1499.003. Not here: who may talk to whom.

use model::finding::Finding;
use state::{Account, Quantity};

use crate::Case;

pub(crate) const ID: &str = "service_flood";

/// Connections accepted a second from which a service is flooded.
const ACCEPTS_MIN: f64 = 300.0;

/// How many times its usual or highest known rate is still usual.
const USUAL_FACTOR: f64 = 3.0;

/// Share of what was accepted that one container must have opened to be the culprit.
const CULPRIT_SHARE_MIN: f64 = 0.5;

/// Shortest span judged, in seconds.
const SECONDS_MIN: f64 = 1.9;

/// A container that floods another; a service that is flooded by nobody we see.
const CULPRIT_BITS: f64 = 8.0;
const VICTIM_BITS: f64 = 6.0;

/// Judges every container that accepts connections when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if case.closed_books().is_none() {
        return;
    }
    for victim in case.running() {
        let Some((accepts, usual)) = flooded(case, victim) else { continue };
        let finding = match culprit(case, victim, accepts) {
            Some((culprit, connects)) => {
                let claim = format!(
                    "it opens {connects:.0} connections a second, and {} accepts {accepts:.0}, usually {usual:.0}",
                    victim.container().name()
                );
                let mut finding = case.resource(culprit, ID, CULPRIT_BITS).claiming(claim);
                finding.harm = true;
                finding.with("connects_per_second", connects).with("victim", victim.container().name())
            }
            None => {
                let claim = format!(
                    "it is flooded: it accepts {accepts:.0} connections a second, usually {usual:.0}, and no container here \
                     opens them"
                );
                case.resource(victim, ID, VICTIM_BITS)
                    .claiming(claim)
                    .explainable("accepts_per_second", accepts)
            }
        };
        out.push(finding.with("accepts_per_second", accepts).with("usual_accepts_per_second", usual));
    }
}

fn flooded(case: &Case, account: &Account) -> Option<(f64, f64)> {
    let is_known = !case.state.is_without_history(account);
    let spent = account.spent(4.0).filter(|spent| spent.seconds >= SECONDS_MIN && is_known)?;
    let accepts = spent.rate(Quantity::Accepts);
    let usual = case.state.usual(account.workload());
    let usual = usual.map_or(0.0, |it| it.high(Quantity::Accepts));
    (accepts >= ACCEPTS_MIN.max(USUAL_FACTOR * usual)).then_some((accepts, usual))
}

fn culprit<'a>(case: &Case<'a>, victim: &Account, accepts: f64) -> Option<(&'a Account, f64)> {
    let connects = |account: &Account| account.spent(4.0).map_or(0.0, |spent| spent.rate(Quantity::Connects));
    let others = case.running().filter(|other| other.container().key != victim.container().key);
    let most = others.max_by(|a, b| connects(a).total_cmp(&connects(b)))?;
    (connects(most) >= CULPRIT_SHARE_MIN * accepts).then(|| (most, connects(most)))
}
