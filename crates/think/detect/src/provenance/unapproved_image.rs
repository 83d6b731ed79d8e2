//! Flags a container whose image nobody approved.
//!
//! Approval is by content digest or by a pattern a person gave. Not here: containers without an image that any
//! runtime knows (`ghost.rs`), a tag whose digest changed (`swapped_tag.rs`).

use model::finding::{Aspect, Finding};
use model::novelty::Provenance;

use crate::Case;
use crate::provenance::{claim, settled};

pub(crate) const ID: &str = "unapproved_image";

/// A container started while we watched.
const STARTED_BITS: f64 = 4.0;
/// A container that ran before Tidewatch first looked, on a host where nothing was approved yet: less, because
/// nobody has had the chance.
const BEFORE_BITS: f64 = 2.0;

/// Judges a container when its facts are settled.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for container in settled(case) {
        let Some(facts) = container.facts.known() else { continue };
        if case.state.provenance(container) != Provenance::Unapproved {
            continue;
        }
        let is_from_before = case.state.is_from_before(container);
        let bits = if is_from_before { BEFORE_BITS } else { STARTED_BITS };
        let mut finding = claim(case, container, ID, bits, Aspect::Image)
            .claiming(format!("nobody approved its image {}", facts.image))
            .with("digest", &facts.digest)
            .with("command", &facts.command)
            .with("is_local", if facts.image_facts.is_local { "yes" } else { "no" })
            .with("started_before_watch", if is_from_before { "yes" } else { "no" });
        // Told and not verified by us, so it lowers nothing: whoever looks into the incident may ask the signer.
        for signer in &facts.image_facts.signers {
            finding = finding.with("signed_by", signer);
        }
        out.push(finding);
    }
}
