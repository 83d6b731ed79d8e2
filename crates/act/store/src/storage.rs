//! What the keeper's thread needs of a store: a batch kept whole or not at all, what it holds at a start, and how far it got.
//!
//! Not here: threads and retries (`keeper.rs`), and a store: `place.rs` keeps one in a data directory.

use model::approval::Approval;
use model::expectation::{Expectation, ExpectationChange};
use model::incident::{Change, Closing, Incident, IncidentId};
use model::integrity::Integrity;
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::incident_store::Loaded;
use crate::run::LastRun;

/// What an operator decided; it was applied in memory already, so a store only keeps it.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Approved, under a number that was given in memory.
    Approve(Approval),
    /// Took an approval back.
    Revoke {
        /// The approval that was in force.
        approval: Approval,
        /// The operator.
        owner: Untrusted,
        /// When.
        at: Time,
    },
    /// Declared an expectation.
    Declare(Expectation),
    /// Took an expectation back.
    Undeclare {
        /// The expectation that was in force.
        expectation: Expectation,
        /// The operator.
        owner: Untrusted,
        /// When.
        at: Time,
    },
    /// Closed incidents that are in the store alone.
    Close {
        /// Their names; none closes every open one.
        ids: Vec<IncidentId>,
        /// With this verdict.
        closing: Closing,
    },
}

/// What is kept in one transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Incidents as they are after their changes.
    pub incidents: Vec<Change>,
    /// Decisions in their order.
    pub decisions: Vec<Decision>,
    /// What was learned to expect, and what was explained.
    pub expectations: Vec<ExpectationChange>,
    /// The time of a sign of life.
    pub beat: Option<Time>,
    /// Whether the run ends in order with it.
    pub ends_run: bool,
}

impl Batch {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What keeping a batch led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Incidents that [`Decision::Close`] closed.
    pub closed: Vec<IncidentId>,
    /// Names in [`Decision::Close`] under which no open incident is kept.
    pub unknown: Vec<IncidentId>,
    /// Approvals that are kept under another number than they were given in memory: that number, and the approval as kept.
    pub renumbered: Vec<(u64, Approval)>,
    /// Why items of the batch were refused, one reason for each; the others are kept.
    pub refused: Vec<Untrusted>,
}

/// What a store holds when it is opened.
#[derive(Debug)]
pub struct Contents {
    /// What the last run noted of itself.
    pub last_run: LastRun,
    /// Approvals in force.
    pub approvals: Loaded<Approval>,
    /// The highest number that an approval ever had.
    pub approvals_given: u64,
    /// Expectations, expired ones included.
    pub expectations: Loaded<Expectation>,
    /// Open incidents.
    pub open: Loaded<Incident>,
    /// Incidents that were closed as attacks.
    pub attacks: Loaded<Incident>,
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            last_run: LastRun::default(),
            approvals: Loaded::collect([]),
            approvals_given: 0,
            expectations: Loaded::collect([]),
            open: Loaded::collect([]),
            attacks: Loaded::collect([]),
        }
    }
}

/// How far a database got: what a second place remembers of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// A random name, given when the database was made.
    pub id: String,
    /// The highest number that an approval ever had.
    pub approvals_given: u64,
    /// Approvals in force.
    pub approvals: u64,
    /// Entries of the audit trail.
    pub audit: u64,
    /// The hash of the last of them; empty when there is none.
    pub audit_head: String,
    /// Transactions that recorded incidents.
    pub generation: u64,
    /// Incidents kept.
    pub incidents: u64,
    /// A hash over all that was ever recorded of incidents, in its order.
    pub incidents_head: String,
}

/// A store that can be opened.
pub trait Storage: Send {
    /// Keeps a batch in one transaction: when it has returned, all of it outlives the process, but for items that were refused
    /// by themselves; when it fails, nothing of it was kept.
    fn keep(&mut self, batch: &Batch) -> Result<Kept, StoreError>;

    /// Looks after the store while nothing else happens. An error means that it has to be opened anew.
    fn tend(&mut self) -> Result<Tended, StoreError>;

    /// Whether what it keeps is nowhere else, so that it must not be closed.
    fn is_only_copy(&self) -> bool {
        false
    }
}

/// What looking after a store led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// What was noticed.
    pub notes: Vec<Integrity>,
    /// Whether it is no longer where it was, and has to be opened anew.
    pub reopen: bool,
    /// Whether room is held for a disk that is full.
    pub has_reserve: bool,
}

/// A store that was opened, or what could be read of one that cannot be written.
pub struct Opening {
    /// Where batches go; none when it can only be read.
    pub storage: Option<Box<dyn Storage>>,
    /// What it holds.
    pub contents: Contents,
    /// What was noticed.
    pub notes: Vec<Integrity>,
    /// Why it cannot be written; empty when it can.
    pub problem: String,
}

/// Opens a store, again and again until it can be written.
pub trait Opener: Send {
    /// One attempt; it may take long, or never return.
    fn open(&mut self) -> Opening;
}
