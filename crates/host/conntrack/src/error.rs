//! What can go wrong when asking.
//!
//! Not here: that a connection is not tracked, which is an answer.

use std::io;
use std::path::PathBuf;

/// A question that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ConntrackError {
    /// No socket.
    #[error("cannot ask the kernel's connection tracking: {0}")]
    Open(#[source] io::Error),
    /// The namespace cannot be entered.
    #[error("network namespace {path:?}: {source}")]
    Namespace {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The kernel refused, for instance because the right to ask is missing.
    #[error("connection tracking: {0}")]
    Refused(#[source] io::Error),
    /// The kernel did not answer in time.
    #[error("connection tracking did not answer")]
    NoAnswer,
    /// What came is not what the kernel answers.
    #[error("connection tracking: the answer is malformed: {0}")]
    Malformed(String),
}
