//! What is told about us when an engine's facts do not fit: labels beyond those that are kept.
//!
//! Not here: which are kept (`containers`).

use model::event::Body;
use model::integrity::Integrity;
use model::runtime::ContainerFacts;
use model::untrusted::Untrusted;

/// The labels of a container that were not kept, if there are any.
pub(crate) fn labels(facts: &ContainerFacts) -> Option<Body> {
    let count = u64::from(facts.labels_dropped);
    let by = if facts.name.is_empty() { facts.id.clone() } else { facts.name.clone() };
    let untracked = || Integrity::Untracked { table: Untrusted::new("labels"), count, by };
    (count > 0).then(|| Body::Integrity(Box::new(untracked())))
}
