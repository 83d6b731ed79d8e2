//! Flags a container whose image has a name that people approved, and another content than they approved under it.
//!
//! T1525, T1036.005. Quiet: a new version that is approved by digest, and one that came from its registry under a name that
//! is approved by pattern. Not here: images that nobody approved under any name (`unapproved_image.rs`).

use model::finding::{Aspect, Finding};
use model::runtime::ImageWork;
use state::Swapped;

use crate::Case;
use crate::provenance::{ALONE_BITS, claim, settled};

pub(crate) const ID: &str = "swapped_tag";

/// The name was approved with a digest and now means another one, which nobody approved: together with that, enough.
const DIGEST_BITS: f64 = 9.5;
/// The name is covered by a pattern, and what it means now was made or named on this host: enough alone, since the pattern
/// makes everything else about it fine. When how is unknown, it may have been pulled before we looked.
const MADE_HERE_BITS: f64 = ALONE_BITS;
const UNKNOWN_BITS: f64 = 4.0;

/// Judges a container when its facts are settled.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for container in settled(case) {
        let Some(facts) = container.facts.known() else { continue };
        let Some(swapped) = case.state.swapped(facts) else { continue };
        let is_covered = case.state.is_approved_name(&facts.image);
        let Some(bits) = bits(&swapped, is_covered, facts.image_facts.is_local) else { continue };
        if case.state.is_from_before(container) {
            continue;
        }
        let by = swapped.by.as_ref().map_or("it is not known how", |work| work.work.verb());
        let who = if swapped.was_approved { "was approved as" } else { "last was" };
        out.push(
            claim(case, container, ID, bits, Aspect::Standing)
                .claiming(format!(
                    "the name {} means another image than it did: it {who} {}, and is {} ({by})",
                    facts.image, swapped.before, facts.digest
                ))
                .with("digest", &facts.digest)
                .with("digest_before", &swapped.before)
                .with("how", by),
        );
    }
}

fn bits(swapped: &Swapped, is_covered: bool, is_local: bool) -> Option<f64> {
    let work = swapped.by.as_ref().map(|work| work.work);
    match (is_covered, work) {
        (false, _) if swapped.was_approved => Some(DIGEST_BITS),
        (true, Some(ImageWork::Pull)) => None,
        (true, Some(_)) => Some(MADE_HERE_BITS),
        (true, None) if is_local => Some(UNKNOWN_BITS),
        _ => None,
    }
}
