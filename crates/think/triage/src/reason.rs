//! A reason that holds now, and the choice among several.
//!
//! Not here: where reasons come from, see the files beside this one.

use model::expectation::{ExpectationId, ExplanationKind};
use model::finding::Finding;

/// Why a finding is fine, and what it weighs then.
#[derive(Debug)]
pub(crate) struct Reason {
    pub(crate) by: ExpectationId,
    pub(crate) kind: ExplanationKind,
    /// One sentence for people; foreign text in it is escaped.
    pub(crate) sentence: String,
    pub(crate) bits: f64,
}

impl Reason {
    /// One of the kinds that nobody declares and nothing learns: it is counted under its own name.
    pub(crate) fn built_in(kind: ExplanationKind, sentence: String, bits: f64) -> Self {
        Self { by: ExpectationId::from_text(kind.name()), kind, sentence, bits }
    }

    /// Lowers the finding. Of several reasons the one that lowers most counts, the first of equals: they explain the
    /// same thing, so they do not add.
    pub(crate) fn apply(reasons: impl IntoIterator<Item = Self>, finding: &mut Finding) {
        let strongest = reasons.into_iter().min_by(|a, b| a.bits.total_cmp(&b.bits));
        if let Some(reason) = strongest {
            finding.explain(&reason.by, reason.kind, reason.sentence, reason.bits);
        }
    }
}
