//! The sensor's own threads, and the calls of theirs that may never return, as `status` shows them.
//!
//! Not here: what follows from silence, which is judged as any other event.

use std::time::Instant;

use deadline::pulse::{Life, Pulses, Vital};
use deadline::workers::Counts;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

/// One thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadStatus {
    /// Its name.
    pub name: Untrusted,
    /// How it is.
    pub state: ThreadState,
    /// Why it ended; empty while it runs.
    #[serde(default)]
    pub reason: Untrusted,
    /// How long ago it last showed that it runs, in milliseconds.
    pub silent_ms: u64,
    /// How long it may be silent, in milliseconds.
    pub silent_max_ms: u64,
}

/// How a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThreadState {
    /// It runs.
    Runs,
    /// It should have shown that it runs.
    Overdue,
    /// It ended although nothing asked it to.
    Died,
}

/// Calls of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallsStatus {
    /// What they are about.
    pub about: String,
    /// How many were begun.
    pub begun: u64,
    /// How many missed their deadline.
    pub abandoned: u64,
    /// Of these, how many have returned since.
    pub recovered: u64,
    /// How many were not made because too many had not returned.
    pub refused: u64,
    /// How long the oldest that has not returned is overdue, in milliseconds.
    pub oldest_ms: Option<u64>,
}

pub(crate) fn threads(pulses: &Pulses) -> Vec<ThreadStatus> {
    pulses.vitals().iter().map(thread).collect()
}

fn thread(vital: &Vital) -> ThreadStatus {
    let (state, reason) = match &vital.life {
        Life::Panicked(reason) | Life::NotStarted(reason) => (ThreadState::Died, Untrusted::new(reason)),
        Life::Returned => (ThreadState::Died, Untrusted::new("it returned")),
        Life::Runs | Life::Retired if vital.is_overdue() => (ThreadState::Overdue, Untrusted::default()),
        Life::Runs | Life::Retired => (ThreadState::Runs, Untrusted::default()),
    };
    ThreadStatus {
        name: Untrusted::new(&vital.thread),
        state,
        reason,
        silent_ms: millis(vital.silent),
        silent_max_ms: millis(vital.silent_max),
    }
}

pub(crate) fn calls(about: &str, counts: &Counts) -> CallsStatus {
    let overdue = |since: Instant| millis(Instant::now().saturating_duration_since(since));
    CallsStatus {
        about: about.to_owned(),
        begun: counts.begun,
        abandoned: counts.abandoned,
        recovered: counts.recovered,
        refused: counts.refused,
        oldest_ms: counts.oldest.map(|(_, since)| overdue(since)),
    }
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
