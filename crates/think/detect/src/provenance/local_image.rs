//! Flags images that are made on the host: committed from a container, and run after they were built, imported or loaded
//! here.
//!
//! T1612, T1525. Quiet: whatever gets a name that people approved by pattern, as pipelines give it. Not here: a known name
//! that is given to something else (`swapped_tag.rs`).

use std::time::Duration;

use model::event::Body;
use model::finding::{Aspect, Finding};
use model::novelty::Provenance;
use model::runtime::{EngineWork, ImageWork};

use crate::Case;
use crate::provenance::{ALONE_BITS, asked_by, claim, settled};

pub(crate) const ID: &str = "local_image";

/// A container that runs is made into an image: it carries off what is in it, secrets too, or smuggles in what was done.
const COMMIT_BITS: f64 = ALONE_BITS;
/// An image that nobody approved runs soon after it was made here: somewhat more than that nobody approved it.
const MADE_HERE_BITS: f64 = 5.0;
const SOON: Duration = Duration::from_secs(24 * 3600);
/// How long before the engine told of it somebody asked for it, at most.
const ASKED_WITHIN: Duration = Duration::from_secs(60);

/// Judges commits when the engine tells of them, and containers when their facts are settled.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if let Body::EngineWork(work) = &case.seen.event.body {
        out.extend(committed(case, work));
    }
    for container in settled(case) {
        let Some(facts) = container.facts.known() else { continue };
        // An engine also tells of what it did a moment before we looked.
        if case.state.provenance(container) != Provenance::Unapproved || case.state.is_from_before(container)
        {
            continue;
        }
        let Some((at, work)) = case.state.made_here(facts).filter(|(at, _)| case.at().since(*at) <= SOON)
        else {
            continue;
        };
        let seconds = case.at().since(at).as_secs();
        out.push(
            claim(case, container, ID, MADE_HERE_BITS, Aspect::Image)
                .claiming(format!(
                    "its image {} was {} on this host {seconds} s ago",
                    facts.image,
                    work.work.verb()
                ))
                .with("how", work.work.verb())
                .with("seconds_ago", seconds),
        );
    }
}

fn committed(case: &Case, work: &EngineWork) -> Option<Finding> {
    let container = case.seen.identity.container.as_ref()?;
    if work.work != ImageWork::Commit || case.state.is_approved_name(&work.image) {
        return None;
    }
    let finding = claim(case, container, ID, COMMIT_BITS, Aspect::Conduct)
        .claiming(format!("it was committed: an image {} was made of it", work.image))
        .with("made_image", &work.image);
    Some(asked_by(case, container, ASKED_WITHIN, finding))
}
