//! Rows of the table `approvals`.

use model::approval::{Approval, Scope};
use model::time::Time;
use model::untrusted::Untrusted;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Writing, text};
use crate::error::StoreError;
use crate::incident_store::{Loaded, check_scope, scope_key};

type Read = Result<Approval, StoreError>;

/// The approval of that scope in force, when there is one.
pub(super) fn find(sql: &Connection, scope: &Scope) -> rusqlite::Result<Option<Read>> {
    sql.prepare_cached(
        "SELECT id, scope, owner, at_ns, note FROM approvals WHERE scope_key = ?1 AND revoked_ns IS NULL",
    )?
    .query_row([scope_key(scope)], approval_of)
    .optional()
}

/// How many are in force.
pub(super) fn count(sql: &Connection) -> rusqlite::Result<usize> {
    let count: i64 = sql
        .prepare_cached("SELECT COUNT(*) FROM approvals WHERE revoked_ns IS NULL")?
        .query_row([], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Keeps a new approval and gives it its number.
pub(super) fn insert(writing: &Writing<'_>, mut approval: Approval) -> Result<Approval, StoreError> {
    let scope = serde_json::to_string(&approval.scope)
        .map_err(|error| StoreError::row("approvals", "(new)", &error))?;
    let id = writing.run(|sql| {
        sql.prepare_cached(
            "INSERT INTO approvals (scope_key, scope, owner, at_ns, note) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .insert(params![
            scope_key(&approval.scope),
            scope,
            approval.owner.raw(),
            approval.at.ns(),
            approval.note.raw()
        ])
    })?;
    approval.id = id.cast_unsigned();
    Ok(approval)
}

/// Takes the approval of that number out of force, when there is one.
pub(super) fn revoke(sql: &Connection, id: u64, at: Time) -> rusqlite::Result<Option<Read>> {
    let Ok(id) = i64::try_from(id) else { return Ok(None) };
    sql.prepare_cached(
        "UPDATE approvals SET revoked_ns = ?2 WHERE id = ?1 AND revoked_ns IS NULL
         RETURNING id, scope, owner, at_ns, note",
    )?
    .query_row(params![id, at.ns()], approval_of)
    .optional()
}

/// All in force, oldest first.
pub(super) fn list(sql: &Connection) -> rusqlite::Result<Loaded<Approval>> {
    let mut select = sql.prepare_cached(
        "SELECT id, scope, owner, at_ns, note FROM approvals WHERE revoked_ns IS NULL ORDER BY id",
    )?;
    let rows = select.query_map([], approval_of)?;
    Ok(Loaded::collect(rows.collect::<rusqlite::Result<Vec<_>>>()?))
}

fn approval_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Read> {
    let id: i64 = row.get(0)?;
    let (owner, note) = (text(row, 2)?, text(row, 4)?);
    let at = Time::from_ns(row.get(3)?);
    let bad = |problem: &dyn ToString| StoreError::row("approvals", &id.to_string(), &problem.to_string());
    let scope = text(row, 1)?;
    Ok(serde_json::from_str::<Scope>(&scope).map_err(|error| bad(&error)).and_then(|scope| {
        check_scope(&scope).map_err(|error| bad(&error))?;
        let (owner, note) = (Untrusted::new(&owner), Untrusted::new(&note));
        Ok(Approval { id: id.cast_unsigned(), scope, owner, at, note })
    }))
}
