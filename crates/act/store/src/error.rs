//! Everything that can go wrong with what is kept, each with its place.

use std::io;
use std::path::{Path, PathBuf};

use model::untrusted::Untrusted;
use rusqlite::ErrorCode;

/// What went wrong, and where.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or a directory could not be made, read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no database yet.
    #[error("{path} does not exist: has tidewatch run on this host, with this data directory?")]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error("database {path}: {source}")]
    Database {
        /// Which database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The tables could not be brought up to date.
    #[error("database {path}: its tables could not be brought up to date: {source}")]
    Migration {
        /// Which database.
        path: PathBuf,
        /// What the migration said.
        source: rusqlite_migration::Error,
    },
    /// The tables are of another version than this program can read.
    #[error("database {path} was written by {writer} version of tidewatch")]
    Schema {
        /// Which database.
        path: PathBuf,
        /// `a newer` or `an older`.
        writer: &'static str,
    },
    /// One row cannot be read; the others can.
    #[error("table {table}, row {id}: {problem}")]
    Row {
        /// Which table.
        table: &'static str,
        /// The row's key.
        id: Untrusted,
        /// What is wrong with it.
        problem: Untrusted,
    },
    /// A number that JSON cannot hold: writing it would make a row that nobody can read back.
    #[error("incident {id}: {field} is not a finite number, so it was not stored")]
    NotFinite {
        /// Which incident.
        id: Untrusted,
        /// Which number.
        field: &'static str,
    },
    /// As many approvals are in force as there may be.
    #[error("{limit} approvals are in force and no more are taken: revoke some, or approve by pattern")]
    TooManyApprovals {
        /// How many there may be.
        limit: usize,
    },
    /// As many expectations are in force as there may be.
    #[error("{limit} expectations are in force and no more are taken: remove some, or use a pattern")]
    TooManyExpectations {
        /// How many there may be.
        limit: usize,
    },
    /// An approval lists more rights than a container can have.
    #[error("{given} rights are too many for one approval; at most {limit} are taken")]
    TooManyRights {
        /// How many were given.
        given: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The audit trail was changed behind our back.
    #[error("the audit trail is broken at row {id}: {problem}")]
    Audit {
        /// The first row that does not fit.
        id: u64,
        /// What does not fit.
        problem: &'static str,
    },
    /// The file is no recording, or one of a later version.
    #[error("{path}: {problem}")]
    Header {
        /// Which file.
        path: PathBuf,
        /// What is wrong with its first line.
        problem: Untrusted,
    },
    /// One line of a recording cannot be read; the others can.
    #[error("{path}:{line}: {problem}")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// What is wrong with it.
        problem: Untrusted,
    },
    /// An event or a checkpoint is longer than a line may be.
    #[error("{path}: {what} of {bytes} bytes is over the limit of {limit} and was not written")]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// `an event` or `a checkpoint`.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Another Tidewatch runs on the data directory.
    #[error("another Tidewatch runs on the data directory {path}")]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// The file holds a database that SQLite finds faults in.
    #[error("database {path} is damaged: {fault}")]
    Damaged {
        /// Which database.
        path: PathBuf,
        /// The first fault.
        fault: Untrusted,
    },
    /// As many decisions wait for the store as may wait.
    #[error("{limit} decisions wait to be stored and no more are taken")]
    TooManyDecisions {
        /// How many may wait.
        limit: usize,
    },
    /// The journal lost events.
    #[error("{lost} events were not kept: {source}")]
    Lost {
        /// How many at most, since the last error.
        lost: u64,
        /// The first failure.
        source: Box<StoreError>,
    },
}

impl StoreError {
    /// Whether giving up room on the disk may help: no space, no quota, or a write that failed for no better reason.
    pub fn may_be_full(&self) -> bool {
        if let Self::Io { source, .. } = self {
            return matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        }
        // SQLite says "full" for ENOSPC alone: a quota is a failed write, and a log or an index that could not be made or made
        // longer is an error of its own.
        let codes = [ErrorCode::DiskFull, ErrorCode::SystemIoFailure, ErrorCode::CannotOpen];
        self.sqlite_error()
            .and_then(|(_, source)| source.sqlite_error_code())
            .is_some_and(|code| codes.contains(&code))
    }

    /// Whether the item itself is refused: no later attempt and no other store would keep it.
    pub fn refuses_item(&self) -> bool {
        matches!(
            self,
            Self::TooManyApprovals { .. }
                | Self::TooManyExpectations { .. }
                | Self::TooManyRights { .. }
                | Self::NotFinite { .. }
                | Self::Row { .. }
        ) || self.sqlite_error().and_then(|(_, source)| source.sqlite_error_code()) == Some(ErrorCode::TooBig)
    }

    /// What cannot be used whatever is tried again, and has to go out of the way: not a database, a damaged one, not a file.
    pub fn unsound(&self) -> Option<&Path> {
        match self {
            Self::Damaged { path, .. } => Some(path),
            Self::Io { path, source } => {
                let kinds = [io::ErrorKind::InvalidInput, io::ErrorKind::IsADirectory];
                kinds.contains(&source.kind()).then_some(path)
            }
            _ => {
                let (path, source) = self.sqlite_error()?;
                is_unsound(source).then_some(path)
            }
        }
    }

    fn sqlite_error(&self) -> Option<(&Path, &rusqlite::Error)> {
        match self {
            Self::Database { path, source } => Some((path, source)),
            Self::Migration { path, source: rusqlite_migration::Error::RusqliteError { err, .. } } => {
                Some((path, err))
            }
            _ => None,
        }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn sqlite(path: &Path) -> impl FnOnce(rusqlite::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Database { path, source }
    }

    // A parser's message may quote the row, which may quote an attacker: it is foreign text as well.
    pub(crate) fn row(table: &'static str, id: &str, problem: &impl ToString) -> Self {
        Self::Row { table, id: Untrusted::new(id), problem: Untrusted::new(&problem.to_string()) }
    }
}

/// Not a database, a damaged one, or one whose tables are not ours.
fn is_unsound(error: &rusqlite::Error) -> bool {
    let codes = [ErrorCode::NotADatabase, ErrorCode::DatabaseCorrupt, ErrorCode::Unknown];
    let by_code = error.sqlite_error_code().is_some_and(|code| codes.contains(&code));
    by_code
        || matches!(
            error,
            rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..)
        )
}
