//! Incidents, approvals, expectations and the audit trail in one SQLite file, `tidewatch.db`.
//!
//! Not here: events, see `journal.rs`. One process writes at a time and waits for another at most [`BUSY_TIMEOUT`].

mod approvals;
mod audit_rows;
mod expectations;
mod facts;
mod incidents;
pub mod keeping;
mod schema;

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::approval::{APPROVALS_MAX, Approval, Scope};
use model::incident::{Change, Incident, IncidentId};
use model::time::Time;
use model::untrusted::Untrusted;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

use crate::audit::{Act, AuditEntry};
use crate::database::keeping::{DATABASE_BYTES_MAX, INCIDENTS_BYTES_MAX};
use crate::error::StoreError;
use crate::incident_store::{INCIDENTS_MAX, IncidentQuery, IncidentStore, Loaded, check_scope};
use crate::private_file;
use crate::run::{LastRun, ThisRun};

/// Name of the database in the data directory.
pub const DATABASE_FILE: &str = "tidewatch.db";

/// How long a call waits for another process that writes: commands write for milliseconds, and the engine must not
/// stand still for longer than its queue of events lasts.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Held by the process that makes or migrates the database.
const SET_UP_LOCK: &str = "tidewatch.lock";

/// The write-ahead log is cut back to this after a checkpoint, in bytes.
const WAL_BYTES_MAX: i64 = 16 << 20;

/// An open database.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    conn: Connection,
    incidents_max: usize,
    incidents_bytes_max: u64,
}

impl Database {
    /// Opens the database in a data directory, for reading and writing; makes both when they are missing.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        private_file::make_dir(dir)?;
        let path = database_path(dir)?;
        // SQLite gives its write-ahead log and shared memory the mode of the database file.
        private_file::ensure(&path)?;
        let conn = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let mut database =
            Self { path, conn, incidents_max: INCIDENTS_MAX, incidents_bytes_max: INCIDENTS_BYTES_MAX };
        database.read(tune)?;
        if !database.is_set_up()? {
            // SQLite does not wait, but fails, when two connections switch a new file to the log at once, and two
            // migrations at once would both begin at the same version.
            let _alone = private_file::lock(&database.path.with_file_name(SET_UP_LOCK))?;
            database.read(|sql| sql.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())))?;
            schema::migrate(&mut database.conn, &database.path)?;
        }
        Ok(database)
    }

    /// Opens an existing database for reading only, beside a process that writes to it.
    pub fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        if !dir.join(DATABASE_FILE).exists() {
            return Err(StoreError::Missing { path: dir.join(DATABASE_FILE) });
        }
        let path = database_path(dir)?;
        let conn = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        schema::check(&conn, &path)?;
        Ok(Self { path, conn, incidents_max: INCIDENTS_MAX, incidents_bytes_max: INCIDENTS_BYTES_MAX })
    }

    /// The same database with another limit than [`INCIDENTS_MAX`].
    #[must_use]
    pub fn with_incidents_max(mut self, count: usize) -> Self {
        self.incidents_max = count;
        self
    }

    /// What the run before this one noted of itself.
    pub fn last_run(&self) -> Result<LastRun, StoreError> {
        self.read(facts::last_run)
    }

    /// Notes that a run began.
    pub fn begin_run(&mut self, run: &ThisRun) -> Result<(), StoreError> {
        self.write(|writing| writing.run(|sql| facts::begin_run(sql, run)))
    }

    /// Notes that the run ended because it was asked to.
    pub fn end_run(&mut self, at: Time) -> Result<(), StoreError> {
        self.write(|writing| writing.run(|sql| facts::end_run(sql, at)))
    }

    /// The same database with another limit than [`INCIDENTS_BYTES_MAX`].
    #[must_use]
    pub fn with_incidents_bytes_max(mut self, bytes: u64) -> Self {
        self.incidents_bytes_max = bytes;
        self
    }

    fn is_set_up(&self) -> Result<bool, StoreError> {
        let mode: String = self.read(|sql| sql.pragma_query_value(None, "journal_mode", |row| row.get(0)))?;
        Ok(mode == "wal" && schema::check(&self.conn, &self.path).is_ok())
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        query(&self.conn).map_err(StoreError::sqlite(&self.path))
    }

    /// Does `work` in one transaction; an error undoes all of it.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&Writing<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // Immediate: taking the write lock first waits for another writer, upgrading a read lock would just fail.
        let sql = Transaction::new(&mut self.conn, TransactionBehavior::Immediate)
            .map_err(StoreError::sqlite(&self.path))?;
        let writing = Writing { sql, path: &self.path };
        let result = work(&writing)?;
        writing.sql.commit().map_err(StoreError::sqlite(&self.path))?;
        Ok(result)
    }
}

impl IncidentStore for Database {
    fn record(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let limits = self.limits();
        self.write(|writing| keeping::record(writing, changes, limits))
    }

    fn incidents(&self, query: &IncidentQuery) -> Result<Loaded<Incident>, StoreError> {
        self.read(|sql| incidents::list(sql, query))
    }

    fn incident(&self, id: &IncidentId) -> Result<Option<Incident>, StoreError> {
        self.read(|sql| incidents::find(sql, id))?.transpose()
    }

    fn attacks(&self) -> Result<Loaded<Incident>, StoreError> {
        self.read(incidents::attacks)
    }

    fn incidents_dropped(&self) -> Result<u64, StoreError> {
        let found = self.read(|sql| meta(sql, "incidents_dropped"))?;
        Ok(found.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    }

    fn approve(
        &mut self,
        scope: &Scope,
        owner: &Untrusted,
        note: &Untrusted,
        at: Time,
    ) -> Result<Approval, StoreError> {
        check_scope(scope)?;
        let wanted = Approval { id: 0, scope: scope.clone(), owner: owner.clone(), at, note: note.clone() };
        self.write(|writing| {
            if let Some(in_force) = writing.run(|sql| approvals::find(sql, scope))? {
                return in_force;
            }
            if writing.run(approvals::count)? >= APPROVALS_MAX {
                return Err(StoreError::TooManyApprovals { limit: APPROVALS_MAX });
            }
            let approval = approvals::insert(writing, wanted)?;
            writing.run(|sql| audit_rows::append(sql, &Act::approve(&approval)))?;
            Ok(approval)
        })
    }

    fn revoke(&mut self, id: u64, owner: &Untrusted, at: Time) -> Result<Option<Approval>, StoreError> {
        self.write(|writing| {
            let Some(approval) = writing.run(|sql| approvals::revoke(sql, id, at))?.transpose()? else {
                return Ok(None);
            };
            writing.run(|sql| audit_rows::append(sql, &Act::revoke(&approval, owner, at)))?;
            Ok(Some(approval))
        })
    }

    fn approvals(&self) -> Result<Loaded<Approval>, StoreError> {
        self.read(approvals::list)
    }

    fn audit(&self, limit: usize) -> Result<Loaded<AuditEntry>, StoreError> {
        self.read(|sql| audit_rows::list(sql, limit))
    }

    fn verify_audit(&self) -> Result<u64, StoreError> {
        self.read(audit_rows::verify)?
    }

    fn beat(&mut self, at: Time) -> Result<(), StoreError> {
        self.write(|writing| writing.run(|sql| set_meta(sql, "last_beat_ns", at.ns())))
    }

    fn last_beat(&self) -> Result<Option<Time>, StoreError> {
        Ok(self.read(|sql| meta(sql, "last_beat_ns"))?.map(Time::from_ns))
    }
}

/// A transaction, and the place for its errors.
struct Writing<'a> {
    sql: Transaction<'a>,
    path: &'a Path,
}

impl Writing<'_> {
    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        work(&self.sql).map_err(StoreError::sqlite(self.path))
    }

    /// Does the work for one item. An item that is refused by itself leaves nothing behind; its reason is added to `refused`.
    fn attempt(
        &self,
        refused: &mut Vec<Untrusted>,
        work: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.run(|sql| sql.execute_batch("SAVEPOINT item"))?;
        match work() {
            Err(error) if error.refuses_item() => {
                refused.push(Untrusted::new(&error.to_string()));
                self.run(|sql| sql.execute_batch("ROLLBACK TO item; RELEASE item"))
            }
            // The whole transaction is undone, and the savepoint with it.
            Err(error) => Err(error),
            Ok(()) => self.run(|sql| sql.execute_batch("RELEASE item")),
        }
    }
}

/// What holds for one connection only, so is said at each opening.
fn tune(sql: &Connection) -> rusqlite::Result<()> {
    // NORMAL: a commit has been handed to the kernel when `record` returns, so kill -9 takes nothing. Only a power
    // cut can take commits that the kernel had not written back (some 30 s); it takes the last ones and corrupts
    // nothing. FULL would wait for the disk on each commit, and the attack we are here for is one that writes a
    // hundred megabytes of log a second to that same disk: the sensor would stand still exactly then.
    sql.pragma_update(None, "synchronous", "normal")?;
    sql.pragma_update(None, "foreign_keys", true)?;
    // A schema that somebody planted in the file must not call functions.
    sql.pragma_update(None, "trusted_schema", false)?;
    let pages: i64 = sql.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages_max = DATABASE_BYTES_MAX.cast_signed() / pages.max(512);
    sql.pragma_update_and_check(None, "max_page_count", pages_max, |_| Ok(()))?;
    sql.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES_MAX, |_| Ok(()))
}

/// Links are followed up to the data directory, which the operator chose, but not in it.
fn database_path(dir: &Path) -> Result<PathBuf, StoreError> {
    Ok(dir.canonicalize().map_err(StoreError::io(dir))?.join(DATABASE_FILE))
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let conn = Connection::open_with_flags(path, flags).map_err(StoreError::sqlite(path))?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(StoreError::sqlite(path))?;
    Ok(conn)
}

fn meta(sql: &Connection, key: &str) -> rusqlite::Result<Option<i64>> {
    sql.prepare_cached("SELECT value FROM meta WHERE key = ?1")?.query_row([key], |row| row.get(0)).optional()
}

fn set_meta(sql: &Connection, key: &str, value: i64) -> rusqlite::Result<()> {
    sql.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?.execute((key, value))?;
    Ok(())
}

fn count_dropped(sql: &Connection, dropped: usize) -> rusqlite::Result<()> {
    let so_far = meta(sql, "incidents_dropped")?.unwrap_or(0);
    set_meta(sql, "incidents_dropped", so_far.saturating_add(i64::try_from(dropped).unwrap_or(i64::MAX)))
}

/// A count of rows for SQLite, which counts in `i64`.
fn row_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The text in a column, whatever bytes are there: a row that was damaged is a problem of that row only.
fn text(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<String> {
    let bytes = row.get_ref(column)?.as_bytes_or_null()?.unwrap_or_default();
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests;
