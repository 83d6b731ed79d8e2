//! Flags lives that are odd for their workload: a start at a time of day at which it never starts, many short lives of an image
//! that nobody approved, and many new workloads of one image in a row.
//!
//! T1610. Weighs little: deployments happen at night, and jobs are short. Not here: containers that fail (`crash_loop.rs`).

use std::time::Duration;

use model::finding::{Aspect, Finding};
use model::identity::{Container, News};
use model::novelty::Provenance;

use crate::Case;
use crate::provenance::claim;

pub(crate) const ID: &str = "unusual_start";

const HOUR_BITS: f64 = 3.0;
const SHORT_BITS: f64 = 3.0;
/// Lives shorter than this, so many of them within the window.
const SHORT: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_secs(60);
const SHORT_MIN: usize = 10;
/// New workloads of one image within ten minutes: one that is told apart by what changes with each start learns nothing.
const SERIES_MIN: usize = 8;
const SERIES_BITS: f64 = 3.0;

/// Judges a container when it appears, and a workload when one of its containers ends.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for news in &case.seen.identity.news {
        match news {
            News::Settled(container) => {
                judge_series(case, container, out);
                let Some(others) = case.novelty.unusual_hour else { continue };
                out.push(
                    claim(case, container, ID, HOUR_BITS, Aspect::Image)
                        .claiming(format!(
                            "it starts at a time of day at which none of {others} others of its workload did"
                        ))
                        .with("others", u64::from(others)),
                );
            }
            News::Ended(container) if case.state.provenance(container) == Provenance::Unapproved => {
                let workload = container.workload();
                let ends = case.state.ends(&workload, WINDOW);
                let short = ends.filter(|end| end.lived <= SHORT && !end.failed).count();
                if short >= SHORT_MIN {
                    out.push(
                        claim(case, container, ID, SHORT_BITS, Aspect::Image)
                            .claiming(format!(
                                "{short} of its workload lived less than {} s each",
                                SHORT.as_secs()
                            ))
                            .with("short_lives", short as u64),
                    );
                }
            }
            _ => {}
        }
    }
}

fn judge_series(case: &Case, container: &Container, out: &mut Vec<Finding>) {
    let count = case.state.new_workloads(container);
    if count >= SERIES_MIN {
        out.push(
            claim(case, container, ID, SERIES_BITS, Aspect::Image)
                .claiming(format!("{count} new workloads of its image appeared within ten minutes"))
                .with("new_workloads", count as u64),
        );
    }
}
