//! The tables, and how a database of an earlier version gets them.
//!
//! A migration that was ever shipped is never edited; the next one changes what it made.

use std::path::Path;

use rusqlite::Connection;
use rusqlite_migration::{Error, M, MigrationDefinitionError, Migrations};

use crate::error::StoreError;

const STEPS: &[M<'_>] = &[M::up(INCIDENTS_AND_APPROVALS), M::up(EXPECTATIONS), M::up(FACTS)];

const INCIDENTS_AND_APPROVALS: &str = "
    -- The body holds the whole incident as versioned JSON; the other columns are there to be asked for.
    CREATE TABLE incidents (
        id         TEXT PRIMARY KEY NOT NULL,
        node       TEXT NOT NULL,
        subject    TEXT NOT NULL,
        workload   TEXT,
        state      TEXT NOT NULL,
        severity   INTEGER NOT NULL,
        bits       REAL NOT NULL,
        opened_ns  INTEGER NOT NULL,
        updated_ns INTEGER NOT NULL,
        body       TEXT NOT NULL
    ) STRICT;
    CREATE INDEX incidents_by_opening ON incidents (opened_ns, id);
    -- The order in which they go when there are too many: without it each change under a flood sorts all of them.
    CREATE INDEX incidents_by_worth ON incidents (state = 'open', severity, updated_ns, id);

    -- Rows stay when they are revoked, so that a number is never given twice.
    CREATE TABLE approvals (
        id         INTEGER PRIMARY KEY AUTOINCREMENT,
        scope_key  TEXT NOT NULL,
        scope      TEXT NOT NULL,
        owner      TEXT NOT NULL,
        at_ns      INTEGER NOT NULL,
        note       TEXT NOT NULL,
        revoked_ns INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX approvals_in_force ON approvals (scope_key) WHERE revoked_ns IS NULL;

    -- AUTOINCREMENT remembers the highest number ever given, which shows that the last entries were removed.
    CREATE TABLE audit (
        id     INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ns  INTEGER NOT NULL,
        owner  TEXT NOT NULL,
        action TEXT NOT NULL,
        detail TEXT NOT NULL,
        hash   TEXT NOT NULL
    ) STRICT;
    CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
    CREATE TRIGGER audit_keeps_words BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;

    CREATE TABLE meta (
        key   TEXT PRIMARY KEY NOT NULL,
        value INTEGER NOT NULL
    ) STRICT;
    ";

const EXPECTATIONS: &str = "
    -- The body holds the whole expectation as versioned JSON; the other columns are there to be asked for.
    CREATE TABLE expectations (
        id         TEXT PRIMARY KEY NOT NULL,
        created_ns INTEGER NOT NULL,
        expires_ns INTEGER,
        body       TEXT NOT NULL
    ) STRICT;

    -- What explained a finding, and how often: expectations, and the built-in kinds that have no row above.
    CREATE TABLE explained (
        id       TEXT PRIMARY KEY NOT NULL,
        count    INTEGER NOT NULL,
        last_ns  INTEGER NOT NULL,
        sentence TEXT NOT NULL
    ) STRICT;
    ";

const FACTS: &str = "
    -- What is true of the whole database, and of the run that writes it; numbers are in `meta`.
    CREATE TABLE facts (
        key   TEXT PRIMARY KEY NOT NULL,
        value TEXT NOT NULL
    ) STRICT;
    ";

const MIGRATIONS: Migrations<'_> = Migrations::from_slice(STEPS);

/// Brings the tables up to date; one process at a time.
pub(super) fn migrate(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    MIGRATIONS.to_latest(conn).map_err(|error| match error {
        Error::MigrationDefinition(MigrationDefinitionError::DatabaseTooFarAhead) => {
            StoreError::Schema { path: path.to_owned(), writer: "a newer" }
        }
        source => StoreError::Migration { path: path.to_owned(), source },
    })
}

/// Makes sure that the tables are those of this version.
pub(super) fn check(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let pending = MIGRATIONS
        .pending_migrations(conn)
        .map_err(|source| StoreError::Migration { path: path.to_owned(), source })?;
    match pending {
        0 => Ok(()),
        1.. => Err(StoreError::Schema { path: path.to_owned(), writer: "an older" }),
        ..0 => Err(StoreError::Schema { path: path.to_owned(), writer: "a newer" }),
    }
}

#[cfg(test)]
mod tests {
    use super::MIGRATIONS;

    #[test]
    fn the_migrations_run_on_an_empty_database() {
        MIGRATIONS.validate().unwrap();
    }
}
