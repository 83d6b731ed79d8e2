//! What every store of incidents does, whatever keeps the rows.
//!
//! Not here: a store. `database.rs` keeps them in SQLite, `memory.rs` in memory; `contract.rs` holds them to the same.

use std::collections::BTreeSet;

use model::approval::{Approval, Scope};
use model::incident::{Change, Incident, IncidentId, Verdict};
use model::time::Time;
use model::untrusted::Untrusted;

use crate::audit::AuditEntry;
use crate::error::StoreError;

/// Most incidents kept: an attacker who starts a thousand differently named workloads opens a thousand. Beyond it
/// closed ones go first, then the least severe, the longest unchanged first; `incidents_dropped` counts them.
pub const INCIDENTS_MAX: usize = 10_000;

/// Most rights that one approval may hold: beyond what a container can have, as it is known.
pub const RIGHTS_MAX: usize = 128;

/// Most incidents that were closed as attacks and are taken up at a start.
pub const ATTACKS_MAX: usize = 1_000;

/// Whether somebody closed it as an attack.
pub(crate) fn is_attack(incident: &Incident) -> bool {
    incident.closing.as_ref().is_some_and(|closing| closing.verdict == Verdict::Malicious)
}

/// Which incidents are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentQuery {
    /// Opened or last changed at or after this.
    pub since: Option<Time>,
    /// Opened or last changed at or before this.
    pub until: Option<Time>,
    /// Whether closed ones are wanted too.
    pub include_closed: bool,
    /// Most incidents given back; the newest are.
    pub limit: usize,
}

impl Default for IncidentQuery {
    fn default() -> Self {
        Self { since: None, until: None, include_closed: false, limit: INCIDENTS_MAX }
    }
}

impl IncidentQuery {
    /// The window as two instants, both inclusive.
    pub(crate) fn window(&self) -> (Time, Time) {
        (self.since.unwrap_or(Time::from_ns(i64::MIN)), self.until.unwrap_or(Time::from_ns(i64::MAX)))
    }
}

/// Rows that could be read, and what is wrong with those that could not.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The good ones, in order.
    pub rows: Vec<T>,
    /// One for each bad one.
    pub problems: Vec<StoreError>,
}

impl<T> Loaded<T> {
    pub(crate) fn collect(results: impl IntoIterator<Item = Result<T, StoreError>>) -> Self {
        let mut loaded = Self { rows: Vec::new(), problems: Vec::new() };
        for result in results {
            match result {
                Ok(row) => loaded.rows.push(row),
                Err(problem) => loaded.problems.push(problem),
            }
        }
        loaded
    }
}

/// Keeps incidents, approvals, the audit trail and the time of the last beat. Every writing call is one transaction:
/// when it has returned, it is kept even if the process is killed; when it fails, nothing of it is.
pub trait IncidentStore {
    /// Keeps incidents as they are after their changes. A closing goes into the audit trail, once.
    fn record(&mut self, changes: &[Change]) -> Result<(), StoreError>;

    /// Incidents opened or changed within the window, the last opened first.
    fn incidents(&self, query: &IncidentQuery) -> Result<Loaded<Incident>, StoreError>;

    /// The incident of that name; `None` when there is none.
    fn incident(&self, id: &IncidentId) -> Result<Option<Incident>, StoreError>;

    /// All that nobody closed, the last opened first.
    fn open_incidents(&self) -> Result<Loaded<Incident>, StoreError> {
        self.incidents(&IncidentQuery { limit: usize::MAX, ..IncidentQuery::default() })
    }

    /// Those that somebody closed as attacks, the last opened first, at most [`ATTACKS_MAX`].
    fn attacks(&self) -> Result<Loaded<Incident>, StoreError>;

    /// Incidents removed because there were too many.
    fn incidents_dropped(&self) -> Result<u64, StoreError>;

    /// Approves a scope; when it is approved already, gives the approval in force and changes nothing.
    fn approve(
        &mut self,
        scope: &Scope,
        owner: &Untrusted,
        note: &Untrusted,
        at: Time,
    ) -> Result<Approval, StoreError>;

    /// Takes an approval back and gives it; `None` when none of that number is in force.
    fn revoke(&mut self, id: u64, owner: &Untrusted, at: Time) -> Result<Option<Approval>, StoreError>;

    /// The approvals in force, oldest first.
    fn approvals(&self) -> Result<Loaded<Approval>, StoreError>;

    /// The newest entries of the audit trail, newest first.
    fn audit(&self, limit: usize) -> Result<Loaded<AuditEntry>, StoreError>;

    /// Walks the whole audit trail and gives its length; the error names the first entry that does not fit.
    fn verify_audit(&self) -> Result<u64, StoreError>;

    /// Notes that Tidewatch runs.
    fn beat(&mut self, at: Time) -> Result<(), StoreError>;

    /// When Tidewatch last noted that it runs; `None` when it never did.
    fn last_beat(&self) -> Result<Option<Time>, StoreError>;
}

/// Refuses an approval that no store keeps.
pub(crate) fn check_scope(scope: &Scope) -> Result<(), StoreError> {
    match scope {
        Scope::Rights { rights, .. } if rights.len() > RIGHTS_MAX => {
            Err(StoreError::TooManyRights { given: rights.len(), limit: RIGHTS_MAX })
        }
        _ => Ok(()),
    }
}

/// What makes two scopes the same approval. The name of an image approved by digest is for people only, and so is the
/// order of rights.
pub(crate) fn scope_key(scope: &Scope) -> String {
    match scope {
        Scope::Digest { digest, .. } => format!("digest {}", digest.raw()),
        Scope::Pattern { pattern } => format!("pattern {}", pattern.raw()),
        // The digest has a length in front, so that no workload text can pass for another pair.
        Scope::Workload { workload, digest } => {
            format!("workload {} {} {}", digest.raw().len(), digest.raw(), workload.raw())
        }
        Scope::Rights { workload, rights } => {
            let rights: BTreeSet<&Untrusted> = rights.iter().collect();
            serde_json::json!({ "kind": "rights", "workload": workload, "rights": rights }).to_string()
        }
        // As JSON, in which no text can pass for another part.
        Scope::Edge(_)
        | Scope::Listener { .. }
        | Scope::Engine { .. }
        | Scope::Administration { .. }
        | Scope::Unclaimed { .. } => serde_json::json!(scope).to_string(),
    }
}
