//! Rows of the table `audit`, which refuses to change or remove any.

use rusqlite::{Connection, OptionalExtension, params};

use super::{row_limit, text};
use crate::audit::{Act, AuditEntry, Chain, StoredEntry};
use crate::error::StoreError;
use crate::incident_store::Loaded;

/// Adds an act at the end of the chain.
pub(super) fn append(sql: &Connection, act: &Act) -> rusqlite::Result<()> {
    let (id, hash) = head(sql)?;
    let entry = StoredEntry::after((id > 0).then_some((id, hash.as_str())), act);
    sql.prepare_cached(
        "INSERT INTO audit (id, at_ns, owner, action, detail, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        entry.id.cast_signed(),
        entry.at_ns,
        entry.owner,
        entry.action,
        entry.detail,
        entry.hash
    ])?;
    Ok(())
}

/// The number of entries, and the hash of the last one.
pub(super) fn head(sql: &Connection) -> rusqlite::Result<(u64, String)> {
    let last = sql
        .prepare_cached("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), text(row, 1)?)))
        .optional()?;
    Ok(last.unwrap_or_default())
}

/// The hash of one entry.
pub(super) fn hash_of(sql: &Connection, entry: u64) -> rusqlite::Result<Option<String>> {
    sql.prepare_cached("SELECT hash FROM audit WHERE id = ?1")?
        .query_row([entry.cast_signed()], |row| text(row, 0))
        .optional()
}

/// The newest entries, newest first.
pub(super) fn list(sql: &Connection, limit: usize) -> rusqlite::Result<Loaded<AuditEntry>> {
    let mut select = sql.prepare_cached(
        "SELECT id, at_ns, owner, action, detail, hash FROM audit ORDER BY id DESC LIMIT ?1",
    )?;
    let rows = select.query_map([row_limit(limit)], |row| Ok(entry_of(row)?.open()))?;
    Ok(Loaded::collect(rows.collect::<rusqlite::Result<Vec<_>>>()?))
}

/// Follows the chain over all rows and gives their number.
pub(super) fn verify(sql: &Connection) -> rusqlite::Result<Result<u64, StoreError>> {
    let mut select = sql.prepare("SELECT id, at_ns, owner, action, detail, hash FROM audit ORDER BY id")?;
    let mut rows = select.query([])?;
    let mut chain = Chain::default();
    while let Some(row) = rows.next()? {
        if let Err(broken) = chain.follow(&entry_of(row)?) {
            return Ok(Err(broken));
        }
    }
    let written: Option<i64> = sql
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'audit'", [], |row| row.get(0))
        .optional()?;
    Ok(chain.finish(written.unwrap_or(0).cast_unsigned()))
}

fn entry_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredEntry> {
    Ok(StoredEntry {
        id: row.get::<_, i64>(0)?.cast_unsigned(),
        at_ns: row.get(1)?,
        owner: text(row, 2)?,
        action: text(row, 3)?,
        detail: text(row, 4)?,
        hash: text(row, 5)?,
    })
}
