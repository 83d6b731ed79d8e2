//! The audit trail: who approved, revoked, declared or closed what. Each entry's hash covers the one before it.
//!
//! Not here: where the entries are kept. The chain shows an edit or a removal in the middle; who can write the whole
//! file can forge the whole chain, so keep its last hash elsewhere when that matters.

use model::approval::Approval;
use model::expectation::Expectation;
use model::incident::{Change, State};
use model::time::Time;
use model::untrusted::Untrusted;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::StoreError;

/// What somebody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditAction {
    /// Approved a scope.
    Approve,
    /// Took an approval back.
    Revoke,
    /// Closed an incident.
    Close,
    /// Declared that something is to be expected.
    Expect,
    /// Took an expectation back.
    Unexpect,
}

impl AuditAction {
    const ALL: [Self; 5] = [Self::Approve, Self::Revoke, Self::Close, Self::Expect, Self::Unexpect];

    /// The word that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Revoke => "revoke",
            Self::Close => "close",
            Self::Expect => "expect",
            Self::Unexpect => "unexpect",
        }
    }
}

/// One entry of the trail.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Dense number, from 1.
    pub id: u64,
    /// When.
    pub at: Time,
    /// Who.
    pub owner: Untrusted,
    /// Did what.
    pub action: AuditAction,
    /// To what: the approval, the expectation, or the incident's name with the verdict. Foreign text in it is raw.
    pub detail: Value,
    /// SHA-256 over the previous entry's hash and this entry, in hexadecimal.
    pub hash: String,
}

/// An act that is not in the trail yet.
pub(crate) struct Act {
    pub(crate) at: Time,
    pub(crate) owner: Untrusted,
    pub(crate) action: AuditAction,
    pub(crate) detail: Value,
}

impl Act {
    pub(crate) fn approve(approval: &Approval) -> Self {
        let (at, owner) = (approval.at, approval.owner.clone());
        Self { at, owner, action: AuditAction::Approve, detail: json!(approval) }
    }

    pub(crate) fn revoke(approval: &Approval, owner: &Untrusted, at: Time) -> Self {
        Self { at, owner: owner.clone(), action: AuditAction::Revoke, detail: json!(approval) }
    }

    pub(crate) fn expect(expectation: &Expectation) -> Self {
        let (at, owner) = (expectation.created, expectation.owner.clone());
        Self { at, owner, action: AuditAction::Expect, detail: json!(expectation) }
    }

    pub(crate) fn unexpect(expectation: &Expectation, owner: &Untrusted, at: Time) -> Self {
        Self { at, owner: owner.clone(), action: AuditAction::Unexpect, detail: json!(expectation) }
    }

    /// The closing in a change; `None` when it closes nothing.
    pub(crate) fn close(change: &Change) -> Option<Self> {
        let incident = &change.incident;
        let closing = incident.closing.as_ref().filter(|_| incident.state == State::Closed)?;
        let detail = json!({ "incident": incident.id, "verdict": closing.verdict, "note": closing.note });
        Some(Self { at: closing.at, owner: closing.owner.clone(), action: AuditAction::Close, detail })
    }
}

/// One entry as it is stored: text, so that the hash covers exactly what is kept.
#[derive(Clone)]
pub(crate) struct StoredEntry {
    pub(crate) id: u64,
    pub(crate) at_ns: i64,
    pub(crate) owner: String,
    pub(crate) action: String,
    pub(crate) detail: String,
    pub(crate) hash: String,
}

impl StoredEntry {
    /// The entry that `act` becomes after `previous`.
    pub(crate) fn after(previous: Option<(u64, &str)>, act: &Act) -> Self {
        let (last_id, last_hash) = previous.unwrap_or((0, ""));
        let mut entry = Self {
            id: last_id + 1,
            at_ns: act.at.ns(),
            owner: act.owner.raw().to_owned(),
            action: act.action.name().to_owned(),
            detail: act.detail.to_string(),
            hash: String::new(),
        };
        entry.hash = entry.seal(last_hash);
        entry
    }

    pub(crate) fn open(self) -> Result<AuditEntry, StoreError> {
        let bad = |problem: String| StoreError::row("audit", &self.id.to_string(), &problem);
        let action = AuditAction::ALL.into_iter().find(|action| action.name() == self.action);
        Ok(AuditEntry {
            id: self.id,
            at: Time::from_ns(self.at_ns),
            owner: Untrusted::new(&self.owner),
            action: action.ok_or_else(|| bad(format!("unknown action {:?}", self.action)))?,
            detail: serde_json::from_str(&self.detail).map_err(|error| bad(format!("detail: {error}")))?,
            hash: self.hash,
        })
    }

    /// The hash this entry must have. Lengths go in front of texts, so that no text can pass for two.
    fn seal(&self, previous_hash: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.id.to_le_bytes());
        hash.update(self.at_ns.to_le_bytes());
        for text in [previous_hash, &self.owner, &self.action, &self.detail] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Follows the chain from its first entry.
#[derive(Default)]
pub(crate) struct Chain {
    length: u64,
    last_hash: String,
}

impl Chain {
    /// Takes the next entry, or says what does not fit.
    pub(crate) fn follow(&mut self, entry: &StoredEntry) -> Result<(), StoreError> {
        let broken = |problem| StoreError::Audit { id: self.length + 1, problem };
        if entry.id != self.length + 1 {
            return Err(broken("an entry was removed"));
        }
        if entry.seal(&self.last_hash) != entry.hash {
            return Err(broken("its content, or an entry before it, was changed"));
        }
        self.length = entry.id;
        self.last_hash.clone_from(&entry.hash);
        Ok(())
    }

    /// The number of entries, given how many were ever written.
    pub(crate) fn finish(self, written: u64) -> Result<u64, StoreError> {
        if self.length < written {
            return Err(StoreError::Audit {
                id: self.length + 1,
                problem: "entries at the end were removed",
            });
        }
        Ok(self.length)
    }
}
