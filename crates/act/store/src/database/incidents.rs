//! Rows of the table `incidents`.

use model::finding::Subject;
use model::incident::{Incident, IncidentId, State};
use model::time::Time;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Writing, row_limit, text};
use crate::error::StoreError;
use crate::incident_store::{ATTACKS_MAX, IncidentQuery, Loaded, is_attack};
use crate::stored;

/// Removes the `?1` incidents that are worth least, in the order of the index `incidents_by_worth`.
pub(super) const TRIM: &str = "DELETE FROM incidents WHERE id IN (
    SELECT id FROM incidents ORDER BY state = 'open', severity, updated_ns, id LIMIT ?1)";

/// Inserts the incident, or replaces what was kept under its name; gives the text that is kept.
pub(super) fn put(writing: &Writing<'_>, incident: &Incident) -> Result<String, StoreError> {
    let body = stored::encode(incident)?;
    let subject = match incident.subject {
        Subject::Workload { .. } => "workload",
        Subject::Node { .. } => "node",
    };
    writing.run(|sql| {
        sql.prepare_cached(
            "INSERT OR REPLACE INTO incidents
             (id, node, subject, workload, state, severity, bits, opened_ns, updated_ns, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            incident.id.as_str(),
            incident.subject.node().as_str(),
            subject,
            incident.subject.workload().map(|workload| workload.raw()),
            state_name(incident.state),
            incident.severity as i64,
            incident.bits,
            incident.opened.ns(),
            incident.updated.ns(),
            body,
        ])
    })?;
    Ok(body)
}

/// How many are kept.
pub(super) fn count(sql: &Connection) -> rusqlite::Result<u64> {
    let count: i64 = sql.prepare_cached("SELECT count(*) FROM incidents")?.query_row([], |row| row.get(0))?;
    Ok(count.max(0).cast_unsigned())
}

/// Removes that many of those that are worth least, and says how many went.
pub(super) fn remove(sql: &Connection, count: usize) -> rusqlite::Result<usize> {
    sql.prepare_cached(TRIM)?.execute([row_limit(count)])
}

/// Whether an incident of that name is kept as closed.
pub(super) fn is_closed(sql: &Connection, id: &IncidentId) -> rusqlite::Result<bool> {
    sql.prepare_cached("SELECT 1 FROM incidents WHERE id = ?1 AND state = 'closed'")?.exists([id.as_str()])
}

/// Removes what is over the limit and says how many went; see [`crate::incident_store::INCIDENTS_MAX`] for the order.
pub(super) fn trim(sql: &Connection, count_max: usize) -> rusqlite::Result<usize> {
    let count = usize::try_from(count(sql)?).unwrap_or(usize::MAX);
    match count.saturating_sub(count_max) {
        0 => Ok(0),
        excess => remove(sql, excess),
    }
}

/// The incidents that were asked for, the last opened first.
pub(super) fn list(sql: &Connection, query: &IncidentQuery) -> rusqlite::Result<Loaded<Incident>> {
    let (since, until): (Time, Time) = query.window();
    let mut select = sql.prepare_cached(
        "SELECT id, body FROM incidents
         WHERE (?1 OR state = 'open')
           AND (opened_ns BETWEEN ?2 AND ?3 OR updated_ns BETWEEN ?2 AND ?3)
         ORDER BY opened_ns DESC, id DESC LIMIT ?4",
    )?;
    let rows = select.query_map(
        params![query.include_closed, since.ns(), until.ns(), row_limit(query.limit)],
        incident_of,
    )?;
    Ok(Loaded::collect(rows.collect::<rusqlite::Result<Vec<_>>>()?))
}

/// Those that were closed as attacks, the last opened first.
pub(super) fn attacks(sql: &Connection) -> rusqlite::Result<Loaded<Incident>> {
    // The text only spares reading most of the others whole: somebody's label may hold it as well.
    let mut select = sql.prepare_cached(
        "SELECT id, body FROM incidents WHERE state = 'closed' AND body LIKE '%\"verdict\":\"malicious\"%'
         ORDER BY opened_ns DESC, id DESC LIMIT ?1",
    )?;
    let rows = select.query_map([row_limit(ATTACKS_MAX)], incident_of)?;
    let mut loaded = Loaded::collect(rows.collect::<rusqlite::Result<Vec<_>>>()?);
    loaded.rows.retain(is_attack);
    Ok(loaded)
}

/// The incident of that name, when there is one.
pub(super) fn find(
    sql: &Connection,
    id: &IncidentId,
) -> rusqlite::Result<Option<Result<Incident, StoreError>>> {
    sql.prepare_cached("SELECT id, body FROM incidents WHERE id = ?1")?
        .query_row([id.as_str()], incident_of)
        .optional()
}

fn incident_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Result<Incident, StoreError>> {
    Ok(stored::decode(&text(row, 0)?, &text(row, 1)?))
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Open => "open",
        State::Closed => "closed",
    }
}
