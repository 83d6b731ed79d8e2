//! Keeping a batch: incidents, decisions, expectations and a sign of life in one transaction.

use std::path::Path;

use model::approval::{APPROVALS_MAX, Approval};
use model::incident::{Change, ChangeKind, Closing, Incident, IncidentId};
use model::untrusted::Untrusted;
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::{
    Database, Writing, approvals, audit_rows, count_dropped, expectations, facts, incidents, meta, set_meta,
};
use crate::audit::Act;
use crate::error::StoreError;
use crate::expectation_store::ExpectationStore;
use crate::incident_store::IncidentQuery;
use crate::incident_store::IncidentStore;
use crate::storage::{Batch, Contents, Decision, Extent, Kept};
use crate::stored;

/// The database in bytes: what incidents leave free below it is for decisions and the audit trail.
pub const DATABASE_BYTES_MAX: u64 = 128 << 20;

/// Incidents are removed, those that are worth least first, while the database is longer than this.
pub const INCIDENTS_BYTES_MAX: u64 = 96 << 20;

/// Incidents removed at once when they take too much room.
const REMOVED_AT_ONCE: usize = 64;

const GENERATION: &str = "generation";
const HEAD: &str = "incidents_head";
const NOTED: &str = "noted";
const ID: &str = "database_id";
const MACHINE: &str = "machine_id";

impl Database {
    /// Keeps a batch, all of it or nothing.
    pub fn keep(&mut self, batch: &Batch) -> Result<Kept, StoreError> {
        // Decisions are few and must outlive a power cut: without them an attacker's image may come back unapproved, or
        // approved. What incidents say can be found again.
        self.set_durable(!batch.decisions.is_empty())?;
        let limits = self.limits();
        self.write(|writing| {
            let (mut kept, mut refused) = (Kept::default(), Vec::new());
            record(writing, &sound(&batch.incidents, &mut refused), limits)?;
            for decision in &batch.decisions {
                writing.attempt(&mut refused, || decide(writing, decision, &mut kept))?;
            }
            for change in &batch.expectations {
                let change = std::slice::from_ref(change);
                writing.attempt(&mut refused, || expectations::record(writing, change))?;
            }
            kept.refused = refused;
            if let Some(at) = batch.beat {
                writing
                    .run(|sql| if batch.ends_run { facts::end_run(sql, at) } else { facts::beat(sql, at) })?;
            }
            Ok(kept)
        })
    }

    /// Everything that a start takes up.
    pub fn contents(&self) -> Result<Contents, StoreError> {
        Ok(Contents {
            last_run: self.last_run()?,
            approvals: self.approvals()?,
            approvals_given: self.read(approvals::given)?,
            expectations: self.expectations()?,
            open: self.open_incidents()?,
            attacks: self.attacks()?,
        })
    }

    /// How far it got.
    pub fn extent(&self) -> Result<Extent, StoreError> {
        self.read(|sql| {
            let (audit, audit_head) = audit_rows::head(sql)?;
            Ok(Extent {
                id: facts::fact(sql, ID)?.unwrap_or_default(),
                approvals_given: approvals::given(sql)?,
                approvals: approvals::count(sql)? as u64,
                audit,
                audit_head,
                generation: meta(sql, GENERATION)?.unwrap_or(0).max(0).cast_unsigned(),
                incidents: incidents::count(sql)?,
                incidents_head: facts::fact(sql, HEAD)?.unwrap_or_default(),
            })
        })
    }

    /// The hash of one entry of the audit trail; `None` when there is no such entry.
    pub fn audit_hash(&self, entry: u64) -> Result<Option<String>, StoreError> {
        self.read(|sql| audit_rows::hash_of(sql, entry))
    }

    /// The machine that it was made on; empty when it was not noted.
    pub fn machine(&self) -> Result<String, StoreError> {
        Ok(self.read(|sql| facts::fact(sql, MACHINE))?.unwrap_or_default())
    }

    /// Gives a database that has none a name of its own, and notes the machine where none is noted.
    pub fn sign(&mut self, machine: &str) -> Result<(), StoreError> {
        self.write(|writing| {
            writing.run(|sql| {
                if facts::fact(sql, ID)?.is_none() {
                    let id: String =
                        sql.query_row("SELECT lower(hex(randomblob(16)))", [], |row| row.get(0))?;
                    facts::set_fact(sql, ID, &id)?;
                }
                let noted = facts::fact(sql, MACHINE)?.unwrap_or_default();
                if noted.is_empty() && !machine.is_empty() {
                    facts::set_fact(sql, MACHINE, machine)
                } else {
                    Ok(())
                }
            })
        })
    }

    /// Whether it was ever noted in a second place.
    pub fn is_noted(&self) -> Result<bool, StoreError> {
        Ok(self.read(|sql| meta(sql, NOTED))?.is_some())
    }

    /// Remembers that it was noted in a second place.
    pub fn set_noted(&mut self) -> Result<(), StoreError> {
        if self.is_noted()? {
            return Ok(());
        }
        self.write(|writing| writing.run(|sql| set_meta(sql, NOTED, 1)))
    }

    /// Makes sure that later approvals are numbered above `given`, so that no number is given twice.
    pub fn number_above(&mut self, given: u64) -> Result<(), StoreError> {
        self.write(|writing| writing.run(|sql| approvals::number_above(sql, given)))
    }

    /// The first fault that SQLite finds in the file; `None` when there is none.
    pub fn fault(&self) -> Result<Option<String>, StoreError> {
        let said: String = self.read(|sql| sql.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)))?;
        Ok((said != "ok").then_some(said))
    }

    /// Writes all of it into a new file, also when its own file has no name any more.
    pub fn write_into(&self, path: &Path) -> Result<(), StoreError> {
        let name = path.to_string_lossy().into_owned();
        self.read(|sql| sql.execute("VACUUM INTO ?1", [name]).map(drop))
    }

    fn set_durable(&self, durable: bool) -> Result<(), StoreError> {
        self.read(|sql| sql.pragma_update(None, "synchronous", if durable { "full" } else { "normal" }))
    }

    /// Most incidents, and most bytes that they may fill.
    pub(super) fn limits(&self) -> (usize, u64) {
        (self.incidents_max, self.incidents_bytes_max)
    }
}

/// The changes whose incidents can be written; the others are refused.
fn sound(changes: &[Change], refused: &mut Vec<Untrusted>) -> Vec<Change> {
    let is_sound = |change: &&Change| match stored::encode(&change.incident) {
        Ok(_) => true,
        Err(error) => {
            refused.push(Untrusted::new(&error.to_string()));
            false
        }
    };
    changes.iter().filter(is_sound).cloned().collect()
}

/// Keeps incidents as they are after their changes, and removes what is over the limits.
pub(super) fn record(
    writing: &Writing<'_>,
    changes: &[Change],
    (count_max, bytes_max): (usize, u64),
) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut head = Sha256::new();
    head.update(writing.run(|sql| facts::fact(sql, HEAD))?.unwrap_or_default());
    for change in changes {
        let was_closed = writing.run(|sql| incidents::is_closed(sql, &change.incident.id))?;
        head.update(incidents::put(writing, &change.incident)?);
        if let Some(act) = Act::close(change).filter(|_| !was_closed) {
            writing.run(|sql| audit_rows::append(sql, &act))?;
        }
    }
    let head: String = head.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    writing.run(|sql| {
        facts::set_fact(sql, HEAD, &head)?;
        set_meta(sql, GENERATION, meta(sql, GENERATION)?.unwrap_or(0).saturating_add(1))?;
        let dropped = incidents::trim(sql, count_max)? + fit(sql, bytes_max)?;
        if dropped == 0 { Ok(()) } else { count_dropped(sql, dropped) }
    })
}

/// Removes incidents while those in the file fill more than they may.
fn fit(sql: &Connection, bytes_max: u64) -> rusqlite::Result<usize> {
    let mut dropped = 0;
    while used_bytes(sql)? > bytes_max {
        match incidents::remove(sql, REMOVED_AT_ONCE)? {
            0 => break,
            removed => dropped += removed,
        }
    }
    Ok(dropped)
}

fn used_bytes(sql: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| sql.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
    Ok(pages.saturating_mul(pragma("page_size")?).max(0).cast_unsigned())
}

fn decide(writing: &Writing<'_>, decision: &Decision, kept: &mut Kept) -> Result<(), StoreError> {
    match decision {
        Decision::Approve(approval) => approve(writing, approval, kept),
        Decision::Revoke { approval, owner, at } => {
            if writing.run(|sql| approvals::revoke_scope(sql, &approval.scope, *at))? == 0 {
                return Ok(());
            }
            writing.run(|sql| audit_rows::append(sql, &Act::revoke(approval, owner, *at)))
        }
        Decision::Declare(expectation) => expectations::declare_one(writing, expectation),
        Decision::Undeclare { expectation, owner, at } => {
            if writing.run(|sql| expectations::remove(sql, &expectation.id))?.is_none() {
                return Ok(());
            }
            writing.run(|sql| audit_rows::append(sql, &Act::unexpect(expectation, owner, *at)))
        }
        Decision::Close { ids, closing } => close(writing, ids, closing, kept),
    }
}

/// Keeps an approval under its number, or the next one where that is taken; one whose scope is in force already changes
/// nothing.
fn approve(writing: &Writing<'_>, approval: &Approval, kept: &mut Kept) -> Result<(), StoreError> {
    let in_force = match writing.run(|sql| approvals::find(sql, &approval.scope))? {
        Some(in_force) => in_force?,
        None => approve_new(writing, approval)?,
    };
    if in_force.id != approval.id {
        kept.renumbered.push((approval.id, in_force));
    }
    Ok(())
}

fn approve_new(writing: &Writing<'_>, approval: &Approval) -> Result<Approval, StoreError> {
    if writing.run(approvals::count)? >= APPROVALS_MAX {
        return Err(StoreError::TooManyApprovals { limit: APPROVALS_MAX });
    }
    let kept = approvals::insert(writing, approval.clone())?;
    writing.run(|sql| audit_rows::append(sql, &Act::approve(&kept)))?;
    Ok(kept)
}

fn close(
    writing: &Writing<'_>,
    ids: &[IncidentId],
    closing: &Closing,
    kept: &mut Kept,
) -> Result<(), StoreError> {
    let query = IncidentQuery { limit: usize::MAX, ..IncidentQuery::default() };
    let open = writing.run(|sql| incidents::list(sql, &query))?.rows;
    let is_open = |id: &&IncidentId| !open.iter().any(|incident| incident.id == **id);
    kept.unknown.extend(ids.iter().filter(is_open).cloned());
    // All that were open then: what opened since is not what the operator looked at.
    let is_wanted = |incident: &Incident| match ids {
        [] => incident.opened <= closing.at,
        ids => ids.contains(&incident.id),
    };
    let wanted = open.into_iter().filter(is_wanted);
    let changes: Vec<Change> = wanted
        .map(|incident| Change { kind: ChangeKind::Closed, incident: incident.closed(closing) })
        .collect();
    record(writing, &changes, (usize::MAX, u64::MAX))?;
    kept.closed.extend(changes.into_iter().map(|change| change.incident.id));
    Ok(())
}
