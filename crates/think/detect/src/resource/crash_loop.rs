//! Flags a workload that starts, fails and starts again: each start costs the host more than the container ever uses.
//!
//! Not here: crashes of processes inside a container that goes on (`out_of_band_crash.rs`), and short jobs that succeed.

use std::time::Duration;

use model::finding::{Family, Finding};
use model::identity::News;

use crate::Case;

pub(crate) const ID: &str = "crash_loop";

/// Ends within the window that make a loop.
const ENDS_MIN: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// A container that lived longer than this did something.
const LIVED_MAX: Duration = Duration::from_secs(10);

/// A loop; a broken deployment looks the same, so that alone it is no incident.
const BITS: f64 = 5.0;
/// So many ends within the window cost the engine more than any restart policy would: it backs off.
const FAST_ENDS: usize = 12;
const FAST_BITS: f64 = 9.0;

/// Judges a workload whenever one of its containers ends.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for news in &case.seen.identity.news {
        let News::Ended(container) = news else { continue };
        let ends: Vec<_> = case
            .state
            .ends(&container.workload(), WINDOW)
            .filter(|end| end.failed && end.lived <= LIVED_MAX)
            .collect();
        if ends.len() < ENDS_MIN {
            continue;
        }
        let bits = if ends.len() >= FAST_ENDS { FAST_BITS } else { BITS };
        let lived = ends.iter().map(|end| end.lived.as_secs_f64()).sum::<f64>() / ends.len() as f64;
        let claim = format!(
            "its workload failed {} times within {} s, after {lived:.1} s each on average",
            ends.len(),
            WINDOW.as_secs()
        );
        out.push(
            Finding::about(container, ID, Family::Resource, case.at(), bits)
                .claiming(claim)
                .explainable("failures", ends.len() as f64)
                .with("failures", ends.len() as u64)
                .with("window_seconds", WINDOW.as_secs())
                .with("lived_seconds", lived),
        );
    }
}
