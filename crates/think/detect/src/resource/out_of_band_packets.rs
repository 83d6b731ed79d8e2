//! Flags a container whose packets cost the host CPU in software interrupts, which are charged to whoever runs then.
//!
//! Khalid et al., "Iron" (NSDI 2018). Not here: where the packets go.

use model::finding::Finding;
use state::{CostClass, Quantity};

use crate::Case;
use crate::resource::out_of_band::{self, ATTRIBUTED_CORES_MIN, cost, is_sure};

pub(crate) const ID: &str = "out_of_band_packets";

/// Packets a second from which traffic is a flood.
const PACKETS_MIN: f64 = 20_000.0;

/// How many times its usual or highest known rate is still usual.
const USUAL_FACTOR: f64 = 2.0;

/// Judges every container's packets when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    let Some(host) = case.closed_books() else { return };
    for account in case.running() {
        let Some(cost) = cost(account, CostClass::Softirq).filter(|cost| is_sure(cost)) else { continue };
        let usual = case.state.usual(account.workload());
        let usual = usual.map_or(0.0, |it| it.high(Quantity::Packets));
        let is_flood = cost.units_per_second >= PACKETS_MIN.max(USUAL_FACTOR * usual);
        if !is_flood
            || case.state.is_without_history(account)
            || cost.seconds < 1.9
            || cost.attributed_cores < ATTRIBUTED_CORES_MIN
        {
            continue;
        }
        let spent = account.spent(5.0).unwrap_or_default();
        let claim = format!(
            "its {:.0} thousand packets a second cost the host {:.2} cores in software interrupts",
            cost.units_per_second / 1e3,
            cost.attributed_cores
        );
        let bits = 8.0 + (cost.units_per_second / PACKETS_MIN).log2().clamp(0.0, 4.0);
        out.push(
            out_of_band::finding(case, account, ID, cost, bits)
                .claiming(claim)
                .with("packets_per_second", cost.units_per_second.round())
                .with("packet_bytes_per_second", spent.rate(Quantity::PacketBytes).round())
                .with("softirq_cpu_cores", host.softirq_cores)
                .with("usual_packets_per_second", usual),
        );
    }
}
