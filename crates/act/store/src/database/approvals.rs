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

/// The highest number that was ever given.
pub(super) fn given(sql: &Connection) -> rusqlite::Result<u64> {
    let given: Option<i64> = sql
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'approvals'", [], |row| row.get(0))
        .optional()?;
    Ok(given.unwrap_or(0).max(0).cast_unsigned())
}

/// Lets the next number be above `given`.
pub(super) fn number_above(sql: &Connection, given_before: u64) -> rusqlite::Result<()> {
    if given(sql)? >= given_before {
        return Ok(());
    }
    let given_before = given_before.cast_signed();
    let changed =
        sql.execute("UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'approvals'", [given_before])?;
    if changed == 0 {
        sql.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('approvals', ?1)", [given_before])?;
    }
    Ok(())
}

/// Takes what approves that scope out of force; gives how many rows that were.
pub(super) fn revoke_scope(sql: &Connection, scope: &Scope, at: Time) -> rusqlite::Result<usize> {
    sql.prepare_cached("UPDATE approvals SET revoked_ns = ?2 WHERE scope_key = ?1 AND revoked_ns IS NULL")?
        .execute(params![scope_key(scope), at.ns()])
}

/// Keeps a new approval, under its number when that is free, else under the next one.
pub(super) fn insert(writing: &Writing<'_>, mut approval: Approval) -> Result<Approval, StoreError> {
    let scope = serde_json::to_string(&approval.scope)
        .map_err(|error| StoreError::row("approvals", "(new)", &error))?;
    let id = writing.run(|sql| {
        sql.prepare_cached(
            "INSERT INTO approvals (scope_key, scope, owner, at_ns, note, id) VALUES (?1, ?2, ?3, ?4, ?5,
             (SELECT ?6 WHERE ?6 > 0 AND NOT EXISTS (SELECT 1 FROM approvals WHERE id = ?6)))",
        )?
        .insert(params![
            scope_key(&approval.scope),
            scope,
            approval.owner.raw(),
            approval.at.ns(),
            approval.note.raw(),
            i64::try_from(approval.id).unwrap_or(0)
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
