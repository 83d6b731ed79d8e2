//! Approvals and expectations in force, in memory: what is decided is decided here, whatever the store does.
//!
//! Not here: the audit trail, which the store writes when it keeps the decision.

use std::collections::{BTreeMap, BTreeSet};

use model::approval::{APPROVALS_MAX, Approval, Scope};
use model::expectation::{Expectation, ExpectationChange, ExpectationId};
use model::time::Time;
use model::untrusted::Untrusted;

use crate::error::StoreError;
use crate::expectation_store::{Declared, place};
use crate::incident_store::{check_scope, scope_key};
use crate::storage::{Contents, Decision};

/// What is in force.
#[derive(Debug)]
pub(crate) struct Authority {
    /// Each with the key of its scope, oldest first.
    approvals: Vec<(String, Approval)>,
    /// The highest number given.
    given: u64,
    expectations: Vec<Expectation>,
    /// Numbers that operators were given, with those that the store keeps the approvals under.
    renumbered: BTreeMap<u64, u64>,
}

/// What a store and memory did not know of each other.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) approvals: Vec<Approval>,
    pub(crate) expectations: Vec<Expectation>,
    /// Decisions that the store has to be given again.
    pub(crate) missing: Vec<Decision>,
}

impl Authority {
    pub(crate) fn numbered_above(given: u64) -> Self {
        Self { approvals: Vec::new(), given, expectations: Vec::new(), renumbered: BTreeMap::new() }
    }

    /// The approval of that scope in force.
    pub(crate) fn in_force(&self, scope: &Scope) -> Option<&Approval> {
        let key = scope_key(scope);
        self.approvals.iter().find(|(known, _)| *known == key).map(|(_, approval)| approval)
    }

    /// Refuses approvals that are not in force yet when one of them, or all of them together, are too many.
    pub(crate) fn check_new(&self, scopes: &[&Scope]) -> Result<(), StoreError> {
        scopes.iter().try_for_each(|scope| check_scope(scope))?;
        match self.approvals.len() + scopes.len() > APPROVALS_MAX {
            true => Err(StoreError::TooManyApprovals { limit: APPROVALS_MAX }),
            false => Ok(()),
        }
    }

    /// Approves a scope that is checked and not in force.
    pub(crate) fn approve(
        &mut self,
        scope: &Scope,
        owner: &Untrusted,
        note: &Untrusted,
        at: Time,
    ) -> Approval {
        self.given += 1;
        let (scope, owner, note) = (scope.clone(), owner.clone(), note.clone());
        let approval = Approval { id: self.given, scope, owner, at, note };
        self.approvals.push((scope_key(&approval.scope), approval.clone()));
        approval
    }

    /// The number that an approval has now, given one that an operator was given.
    pub(crate) fn number(&self, id: u64) -> u64 {
        self.renumbered.get(&id).copied().unwrap_or(id)
    }

    /// Takes over an approval as the store keeps it. Gives whether it is in force here.
    pub(crate) fn renumber(&mut self, given: u64, kept: &Approval) -> bool {
        self.given = self.given.max(kept.id);
        let in_force = self.approvals.iter_mut().find(|(_, approval)| approval.id == given);
        let Some((_, approval)) = in_force else { return false };
        approval.clone_from(kept);
        if self.renumbered.len() < APPROVALS_MAX {
            self.renumbered.insert(given, kept.id);
        }
        true
    }

    /// Whether an approval of that number is in force.
    pub(crate) fn has_approval(&self, id: u64) -> bool {
        self.approvals.iter().any(|(_, approval)| approval.id == id)
    }

    pub(crate) fn revoke(&mut self, id: u64) -> Option<Approval> {
        let place = self.approvals.iter().position(|(_, approval)| approval.id == id)?;
        Some(self.approvals.remove(place).1)
    }

    /// What declaring these would lead to; nothing is changed.
    pub(crate) fn place(&self, wanted: &[Expectation]) -> Result<Declared, StoreError> {
        let declared = place(self.expectations.clone(), wanted)?;
        declared.new.iter().try_for_each(|new| crate::stored::encode_expectation(new).map(drop))?;
        Ok(declared)
    }

    pub(crate) fn declare(&mut self, new: &[Expectation]) {
        self.expectations.extend(new.iter().cloned());
    }

    /// Whether an expectation of that name is in force.
    pub(crate) fn has_expectation(&self, id: &ExpectationId) -> bool {
        self.expectations.iter().any(|kept| kept.id == *id)
    }

    pub(crate) fn undeclare(&mut self, id: &ExpectationId) -> Option<Expectation> {
        let place = self.expectations.iter().position(|kept| kept.id == *id)?;
        Some(self.expectations.remove(place))
    }

    /// The fold learned or unlearned an expectation.
    pub(crate) fn learned(&mut self, change: &ExpectationChange) {
        match change {
            ExpectationChange::Learned(expectation) => {
                self.expectations.retain(|kept| kept.id != expectation.id);
                self.expectations.push((**expectation).clone());
            }
            ExpectationChange::Dropped { id } => self.expectations.retain(|kept| kept.id != *id),
            ExpectationChange::Explained { .. } => {}
        }
    }

    /// Joins what a store holds with what is in force here, given the decisions that it has not been told of.
    pub(crate) fn merge(&mut self, contents: &Contents, undecided: &[Decision]) -> Merged {
        if self.approvals.is_empty() {
            self.given = 0;
        }
        self.given = self.given.max(contents.approvals_given);
        let (approvals, mut missing) = self.merge_approvals(&contents.approvals.rows, undecided);
        let expectations = self.merge_expectations(&contents.expectations.rows, undecided, &mut missing);
        Merged { approvals, expectations, missing }
    }

    fn merge_approvals(
        &mut self,
        kept: &[Approval],
        undecided: &[Decision],
    ) -> (Vec<Approval>, Vec<Decision>) {
        let revoked: BTreeSet<String> = undecided
            .iter()
            .filter_map(|decision| match decision {
                Decision::Revoke { approval, .. } => Some(scope_key(&approval.scope)),
                _ => None,
            })
            .collect();
        let told: BTreeSet<String> = undecided
            .iter()
            .filter_map(|decision| match decision {
                Decision::Approve(approval) => Some(scope_key(&approval.scope)),
                _ => None,
            })
            .collect();
        let here: BTreeSet<String> = self.approvals.iter().map(|(key, _)| key.clone()).collect();
        // One that is kept under another number is given again: the store answers with the number.
        let there: BTreeSet<(String, u64)> =
            kept.iter().map(|approval| (scope_key(&approval.scope), approval.id)).collect();
        let is_there = |key: &String, id| there.contains(&(key.clone(), id));
        let missing =
            self.approvals.iter().filter(|(key, one)| !is_there(key, one.id) && !told.contains(key));
        let missing = missing.map(|(_, approval)| Decision::Approve(approval.clone())).collect();
        let is_new = |key: &String| !here.contains(key) && !revoked.contains(key);
        let new: Vec<Approval> =
            kept.iter().filter(|approval| is_new(&scope_key(&approval.scope))).cloned().collect();
        self.approvals.extend(new.iter().map(|approval| (scope_key(&approval.scope), approval.clone())));
        (new, missing)
    }

    fn merge_expectations(
        &mut self,
        kept: &[Expectation],
        undecided: &[Decision],
        missing: &mut Vec<Decision>,
    ) -> Vec<Expectation> {
        let is_undecided = |id: &ExpectationId| {
            undecided.iter().any(|decision| match decision {
                Decision::Undeclare { expectation, .. } | Decision::Declare(expectation) => {
                    expectation.id == *id
                }
                _ => false,
            })
        };
        let is_in = |all: &[Expectation], id: &ExpectationId| all.iter().any(|one| one.id == *id);
        let lost = self.expectations.iter().filter(|one| !is_in(kept, &one.id) && !is_undecided(&one.id));
        missing.extend(lost.cloned().map(Decision::Declare));
        let is_new = |one: &&Expectation| !is_in(&self.expectations, &one.id) && !is_undecided(&one.id);
        let new: Vec<Expectation> = kept.iter().filter(is_new).cloned().collect();
        self.expectations.extend(new.iter().cloned());
        new
    }
}
