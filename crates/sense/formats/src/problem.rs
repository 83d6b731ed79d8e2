//! What could not be read of a log, where, and why: bad input is a value.
//!
//! Not here: what becomes of it; whoever reads the log counts it for its source and shows it.

use model::untrusted::Untrusted;

/// Most problems kept of one reading; all are counted.
pub const PROBLEMS_MAX: usize = 64;

/// Longest line that is read, in bytes: the longest honest ones, alerts with packets in them, have tens of kilobytes.
pub const LINE_BYTES_MAX: usize = 256 << 10;

/// Longest piece of a log that a problem repeats, in bytes.
const QUOTED_BYTES_MAX: usize = 120;

/// One line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Problem {
    /// Which line, from 1; of a log that is one JSON array, which element.
    pub line: u64,
    /// Why.
    pub reason: Reason,
}

/// Why a line could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Longer than [`LINE_BYTES_MAX`].
    #[error("{bytes} bytes long; at most {LINE_BYTES_MAX} are read")]
    TooLong {
        /// How long.
        bytes: usize,
    },
    /// Not text.
    #[error("not UTF-8")]
    NotText,
    /// Not the JSON that it should be; in the words of the parser.
    #[error("{0}")]
    Json(Untrusted),
    /// Columns before any line that names them.
    #[error("no line before it names the columns")]
    NoHeading,
    /// More names of columns than are read.
    #[error("{count} columns; at most {count_max} are read")]
    TooManyColumns {
        /// How many.
        count: usize,
        /// How many are read.
        count_max: usize,
    },
    /// Another number of columns than the heading names: cut off, or torn.
    #[error("{found} columns instead of {expected}")]
    Columns {
        /// How many the heading names.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// Something needed is not there.
    #[error("no {field}")]
    Missing {
        /// What.
        field: &'static str,
    },
    /// A value that cannot be.
    #[error("{field} is {value:?}")]
    Value {
        /// What.
        field: &'static str,
        /// The value, cut.
        value: Untrusted,
    },
}

impl Reason {
    pub(crate) fn value(field: &'static str, value: &str) -> Self {
        Self::Value { field, value: Untrusted::bounded(value, QUOTED_BYTES_MAX) }
    }
}

impl From<serde_json::Error> for Reason {
    fn from(error: serde_json::Error) -> Self {
        // It may repeat text of the log.
        Self::Json(Untrusted::bounded(&error.to_string(), QUOTED_BYTES_MAX))
    }
}

/// All problems of one reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// The first of them, at most [`PROBLEMS_MAX`].
    pub kept: Vec<Problem>,
    /// How many there were.
    pub count: u64,
}

impl Problems {
    pub(crate) fn add(&mut self, line: u64, reason: Reason) {
        self.count += 1;
        if self.kept.len() < PROBLEMS_MAX {
            self.kept.push(Problem { line, reason });
        }
    }
}
