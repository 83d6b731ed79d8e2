//! What every store of expectations does: those that people declared, those that were learned, and their tallies.
//!
//! Not here: a store (see `incident_store.rs`), and whether an expectation holds.

use std::collections::BTreeMap;

use model::expectation::{EXPECTATIONS_MAX, Expectation, ExpectationChange, ExpectationId, Tally};
use model::time::Time;
use model::untrusted::Untrusted;

use crate::error::StoreError;
use crate::incident_store::Loaded;

/// Most expired expectations kept to be shown; the longest expired go first, with their tallies.
pub const EXPIRED_KEPT: usize = 200;

/// Keeps expectations and how often each explained something. Every writing call is one transaction.
pub trait ExpectationStore {
    /// Keeps declared expectations, all or none; gives each as it is kept: where the same is in force already, that one.
    fn declare(&mut self, wanted: &[Expectation]) -> Result<Vec<Expectation>, StoreError>;

    /// Removes an expectation, learned or declared, with its tally and gives it; `None` when there is none of that name.
    fn undeclare(
        &mut self,
        id: &ExpectationId,
        owner: &Untrusted,
        at: Time,
    ) -> Result<Option<Expectation>, StoreError>;

    /// Keeps what the fold learned, and adds what was explained to the tallies.
    fn record_expectations(&mut self, changes: &[ExpectationChange]) -> Result<(), StoreError>;

    /// All expectations, oldest first, expired and half-learned ones included.
    fn expectations(&self) -> Result<Loaded<Expectation>, StoreError>;

    /// How often each expectation and each built-in kind explained something; those that never did are left out.
    fn tallies(&self) -> Result<BTreeMap<ExpectationId, Tally>, StoreError>;
}

/// What is to be done with expectations that somebody declares.
#[derive(Debug)]
pub(crate) struct Declared {
    /// Each as it is kept.
    pub(crate) kept: Vec<Expectation>,
    /// Those that are not kept yet.
    pub(crate) new: Vec<Expectation>,
}

/// Finds for each the one in force that says the same, or room.
pub(crate) fn place(mut kept: Vec<Expectation>, wanted: &[Expectation]) -> Result<Declared, StoreError> {
    let mut declared = Declared { kept: Vec::new(), new: Vec::new() };
    for wanted in wanted {
        let in_force = || kept.iter().filter(|kept| !kept.is_expired(wanted.created));
        if let Some(same) = in_force().find(|kept| kept.is_same_as(wanted)) {
            declared.kept.push(same.clone());
            continue;
        }
        if in_force().count() >= EXPECTATIONS_MAX {
            return Err(StoreError::TooManyExpectations { limit: EXPECTATIONS_MAX });
        }
        kept.push(wanted.clone());
        declared.kept.push(wanted.clone());
        declared.new.push(wanted.clone());
    }
    Ok(declared)
}

/// What was explained, added up for each.
pub(crate) fn tallied(changes: &[ExpectationChange]) -> BTreeMap<&ExpectationId, Tally> {
    let mut tallies: BTreeMap<&ExpectationId, Tally> = BTreeMap::new();
    for change in changes {
        if let ExpectationChange::Explained { id, at, count, sentence } = change {
            tallies.entry(id).or_default().add(*at, *count, sentence);
        }
    }
    tallies
}
