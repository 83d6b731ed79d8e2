//! Rows of the tables `expectations` and `explained`.

use std::collections::BTreeMap;

use model::expectation::{Expectation, ExpectationChange, ExpectationId, Tally};
use model::time::Time;
use model::untrusted::Untrusted;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Database, Writing, audit_rows, row_limit, text};
use crate::audit::Act;
use crate::error::StoreError;
use crate::expectation_store::{EXPIRED_KEPT, ExpectationStore, place, tallied};
use crate::incident_store::Loaded;
use crate::stored;

type Read = Result<Expectation, StoreError>;

impl ExpectationStore for Database {
    fn declare(&mut self, wanted: &[Expectation]) -> Result<Vec<Expectation>, StoreError> {
        self.write(|writing| {
            // A row that cannot be read stands in nobody's way; it is told where rows are listed.
            let declared = place(writing.run(list)?.rows, wanted)?;
            for new in &declared.new {
                put(writing, new)?;
                writing.run(|sql| audit_rows::append(sql, &Act::expect(new)))?;
            }
            if let Some(latest) = declared.new.iter().map(|new| new.created).max() {
                writing.run(|sql| trim(sql, latest))?;
            }
            Ok(declared.kept)
        })
    }

    fn undeclare(
        &mut self,
        id: &ExpectationId,
        owner: &Untrusted,
        at: Time,
    ) -> Result<Option<Expectation>, StoreError> {
        self.write(|writing| {
            let Some(expectation) = writing.run(|sql| remove(sql, id))?.transpose()? else {
                return Ok(None);
            };
            writing.run(|sql| audit_rows::append(sql, &Act::unexpect(&expectation, owner, at)))?;
            Ok(Some(expectation))
        })
    }

    fn record_expectations(&mut self, changes: &[ExpectationChange]) -> Result<(), StoreError> {
        self.write(|writing| record(writing, changes))
    }

    fn expectations(&self) -> Result<Loaded<Expectation>, StoreError> {
        self.read(list)
    }

    fn tallies(&self) -> Result<BTreeMap<ExpectationId, Tally>, StoreError> {
        self.read(tallies)
    }
}

/// Keeps what was learned, and adds what was explained to the tallies.
pub(super) fn record(writing: &Writing<'_>, changes: &[ExpectationChange]) -> Result<(), StoreError> {
    for change in changes {
        match change {
            ExpectationChange::Learned(expectation) => keep(writing, expectation)?,
            ExpectationChange::Dropped { id } => drop(writing.run(|sql| remove(sql, id))?),
            ExpectationChange::Explained { .. } => {}
        }
    }
    for (id, tally) in tallied(changes) {
        writing.run(|sql| count(sql, id, &tally))?;
    }
    Ok(())
}

/// Keeps an expectation that somebody declared, with its entry in the audit trail.
pub(super) fn declare_one(writing: &Writing<'_>, declared: &Expectation) -> Result<(), StoreError> {
    put(writing, declared)?;
    writing.run(|sql| audit_rows::append(sql, &Act::expect(declared)))?;
    writing.run(|sql| trim(sql, declared.created))
}

/// Keeps what was learned, and makes room when it has just expired.
fn keep(writing: &Writing<'_>, learned: &Expectation) -> Result<(), StoreError> {
    put(writing, learned)?;
    learned.expires.map_or(Ok(()), |expires| writing.run(|sql| trim(sql, expires)))
}

/// Keeps an expectation as it is now.
fn put(writing: &Writing<'_>, expectation: &Expectation) -> Result<(), StoreError> {
    let body = stored::encode_expectation(expectation)?;
    writing.run(|sql| {
        sql.prepare_cached(
            "INSERT OR REPLACE INTO expectations (id, created_ns, expires_ns, body) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            expectation.id.as_str(),
            expectation.created.ns(),
            expectation.expires.map(Time::ns),
            body
        ])
    })?;
    Ok(())
}

/// All of them, oldest first.
fn list(sql: &Connection) -> rusqlite::Result<Loaded<Expectation>> {
    let mut select = sql.prepare_cached("SELECT id, body FROM expectations ORDER BY created_ns, id")?;
    let rows = select.query_map([], expectation_of)?;
    Ok(Loaded::collect(rows.collect::<rusqlite::Result<Vec<_>>>()?))
}

/// Removes one with its tally and gives it, when there is one of that name.
pub(super) fn remove(sql: &Connection, id: &ExpectationId) -> rusqlite::Result<Option<Read>> {
    sql.prepare_cached("DELETE FROM explained WHERE id = ?1")?.execute([id.as_str()])?;
    sql.prepare_cached("DELETE FROM expectations WHERE id = ?1 RETURNING id, body")?
        .query_row([id.as_str()], expectation_of)
        .optional()
}

/// Removes the longest expired ones beyond [`EXPIRED_KEPT`].
fn trim(sql: &Connection, now: Time) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "DELETE FROM expectations WHERE id IN (SELECT id FROM expectations
         WHERE expires_ns <= ?1 ORDER BY expires_ns DESC, id LIMIT -1 OFFSET ?2)",
    )?
    .execute(params![now.ns(), row_limit(EXPIRED_KEPT)])?;
    sql.prepare_cached(
        "DELETE FROM explained WHERE id LIKE 'EX-%' AND id NOT IN (SELECT id FROM expectations)",
    )?
    .execute([])?;
    Ok(())
}

/// Adds what was explained to its tally.
fn count(sql: &Connection, id: &ExpectationId, tally: &Tally) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "INSERT INTO explained (id, count, last_ns, sentence) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (id) DO UPDATE SET count = count + ?2, last_ns = ?3, sentence = ?4",
    )?
    .execute(params![
        id.as_str(),
        row_limit(usize::try_from(tally.count).unwrap_or(usize::MAX)),
        tally.last.map_or(0, Time::ns),
        tally.sentence
    ])?;
    Ok(())
}

/// How often each explained something.
fn tallies(sql: &Connection) -> rusqlite::Result<BTreeMap<ExpectationId, Tally>> {
    let mut select = sql.prepare_cached("SELECT id, count, last_ns, sentence FROM explained")?;
    let rows = select.query_map([], |row| {
        let tally = Tally {
            count: row.get::<_, i64>(1)?.max(0).cast_unsigned(),
            last: Some(Time::from_ns(row.get(2)?)),
            // Whoever can write the file may have written anything here: bounded like all foreign text.
            sentence: Untrusted::new(&text(row, 3)?).raw().to_owned(),
        };
        Ok((ExpectationId::from_text(&text(row, 0)?), tally))
    })?;
    rows.collect()
}

fn expectation_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Read> {
    Ok(stored::decode_expectation(&text(row, 0)?, &text(row, 1)?))
}
