//! Integrity: a fact about Tidewatch itself that bears on what it could see, noticed by the rim and judged by the fold.
//!
//! Not here: lost events (`coverage::Loss`) and the health of a source (`coverage::SourceReport`).

use serde::{Deserialize, Serialize};

use crate::time::Time;
use crate::untrusted::Untrusted;

/// A fact about Tidewatch itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fact")]
pub enum Integrity {
    /// The engine did not run although nothing ended it: stopped by a signal, suspended with its host, or starved of CPU.
    Late {
        /// The last time it ran.
        from: Time,
        /// When it ran again.
        until: Time,
        /// For how much of that the host itself was suspended, in milliseconds; `None` where that is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        suspended_ms: Option<u64>,
        /// For how much of that the thread was ready and waited for a CPU, in milliseconds; `None` where that is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        starved_ms: Option<u64>,
    },
    /// A thread or a call on a worker has not reported within its deadline.
    Overdue {
        /// The thread, or the call, by the name that `status` shows.
        thread: Untrusted,
        /// How long ago it reported last, in milliseconds.
        silent_ms: u64,
    },
    /// A thread ended although nothing asked it to.
    Died {
        /// The thread, by the name that `status` shows.
        thread: Untrusted,
        /// The panic's message; empty when it returned.
        reason: Untrusted,
    },
    /// A thread that was overdue reports again.
    Recovered {
        /// The thread, by the name that `status` shows.
        thread: Untrusted,
        /// How long it was silent, in milliseconds.
        silent_ms: u64,
    },
    /// The wall clock was set while the host ran.
    ClockStepped {
        /// By how much, in milliseconds; negative when it was set back.
        by_ms: i64,
    },
    /// The run before this one ended without stopping in order: killed, crashed, or the host lost power.
    Killed {
        /// The last time that run is known to have been alive.
        last: Time,
        /// Whether the host was started anew since then, which ends every process.
        rebooted: bool,
        /// How often a run ended so within the last day, this time included; 0 where that is not known.
        #[serde(default)]
        times: u64,
    },
    /// Something cannot be stored: it is shown, marked, and kept in memory.
    NotStored {
        /// `incidents`, `approvals`, `expectations` or `journal`.
        what: Untrusted,
        /// How many wait to be stored.
        waiting: u64,
        /// How many were given up for lack of room, in all.
        dropped: u64,
        /// Why.
        reason: Untrusted,
    },
    /// What could not be stored is stored now.
    StoredAgain {
        /// `incidents`, `approvals`, `expectations` or `journal`.
        what: Untrusted,
    },
    /// A store was unusable; it was moved aside and a new one begun.
    StoreMovedAside {
        /// `database` or `journal`.
        what: Untrusted,
        /// Corrupt, not a file, of another host.
        reason: Untrusted,
        /// Where it is now; empty when it could not be moved.
        kept_as: Untrusted,
    },
    /// A store holds less than, or something else than, what was last noted of it in a second place.
    StoreChanged {
        /// `database`, `journal` or `audit`.
        what: Untrusted,
        /// What was noted last.
        expected: Untrusted,
        /// What was found.
        found: Untrusted,
    },
    /// A probe is no longer attached, or another one stands in its place.
    ProbeDetached {
        /// The program.
        program: Untrusted,
    },
    /// A file of ours changed while we ran: the program, the settings, a strategy.
    FileChanged {
        /// The file.
        path: Untrusted,
        /// Replaced, removed, written.
        how: Untrusted,
    },
    /// A table of ours is full: what came after it is not told apart.
    Untracked {
        /// Which: `cgroups`, `flows`, `containers`, `labels`.
        table: Untrusted,
        /// How often since the last time this was noted.
        count: u64,
        /// Who filled it, where that is known: the parent cgroup's path, the user, the container.
        by: Untrusted,
    },
    /// Something more was asked of us than can be taken: control clients, say.
    Refused {
        /// What was refused.
        what: Untrusted,
        /// How often since the last time this was noted.
        count: u64,
    },
    /// Our own process was interfered with: traced, started with a foreign library, its protection removed.
    Tampered {
        /// What was touched: `process`, `environment`, `protection`.
        what: Untrusted,
        /// How, and by whom where that is known.
        how: Untrusted,
    },
}

impl Integrity {
    /// The engine did not run in between; why is not known.
    pub fn late(from: Time, until: Time) -> Self {
        Self::Late { from, until, suspended_ms: None, starved_ms: None }
    }
}
