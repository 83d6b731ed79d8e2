//! What is wrong with a file of policies, and where.

use std::fmt;

use serde_saphyr::Spanned;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, as it was called.
    pub source: String,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong, in words. Foreign text in it is already escaped.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.source, self.line, self.message)
    }
}

/// Most problems told of one file.
const PROBLEMS_MAX: usize = 100;

/// Gathers problems.
#[derive(Debug)]
pub(crate) struct Problems {
    source: String,
    found: Vec<Problem>,
}

impl Problems {
    pub(crate) fn of(source: &str) -> Self {
        Self { source: model::untrusted::Untrusted::new(source).to_string(), found: Vec::new() }
    }

    pub(crate) fn note(&mut self, line: u64, message: impl Into<String>) {
        if self.found.len() < PROBLEMS_MAX {
            let (source, message) = (self.source.clone(), message.into());
            self.found.push(Problem { source, line, message });
        }
    }

    pub(crate) fn note_at<T>(&mut self, value: &Spanned<T>, message: impl Into<String>) {
        self.note(value.referenced.line(), message);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn into_vec(mut self) -> Vec<Problem> {
        self.found.sort();
        self.found
    }
}
