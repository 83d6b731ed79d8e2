//! What can go wrong between an engine and us; every case names the socket it happened on.
//!
//! Not here: errors of the libraries, which end as bounded text in a reason.

use std::error::Error;

use model::untrusted::Untrusted;

/// Longest chain of causes followed; real ones have about four.
const CAUSES_MAX: usize = 16;

/// A call that gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is no socket file: no engine is installed, or it is stopped.
    #[error("{socket}: no such socket")]
    Absent {
        /// Path of the socket.
        socket: Untrusted,
    },
    /// The engine did not answer in time.
    #[error("{socket}: {call}: no answer within {after_ms} ms")]
    Timeout {
        /// Path of the socket.
        socket: Untrusted,
        /// What was asked.
        call: &'static str,
        /// How long we waited, in milliseconds.
        after_ms: u64,
    },
    /// The engine does not know what it was asked about, or no longer.
    #[error("{socket}: {call}: {reason}")]
    Gone {
        /// Path of the socket.
        socket: Untrusted,
        /// What was asked.
        call: &'static str,
        /// What the engine says.
        reason: Untrusted,
    },
    /// The engine does not serve this call.
    #[error("{socket}: {call}: not served here")]
    Unserved {
        /// Path of the socket.
        socket: Untrusted,
        /// What was asked.
        call: &'static str,
    },
    /// The text is no container id, so it was not put into a request.
    #[error("{socket}: {id} is not a container id of 64 hexadecimal digits")]
    BadId {
        /// Path of the socket.
        socket: Untrusted,
        /// The text.
        id: Untrusted,
    },
    /// The connection failed, or the answer was a refusal or nonsense.
    #[error("{socket}: {call}: {reason}")]
    Failed {
        /// Path of the socket.
        socket: Untrusted,
        /// What was asked.
        call: &'static str,
        /// What the library or the engine says.
        reason: Untrusted,
    },
    /// The stream of changes ended, which an engine does only when it stops.
    #[error("{socket}: the engine closed the event stream")]
    Ended {
        /// Path of the socket.
        socket: Untrusted,
    },
}

impl CallError {
    /// Whether the engine says that there is no such thing.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }
}

/// What the error comes down to. The texts around the innermost cause only name layers of the library.
pub(crate) fn reason(error: &(dyn Error + 'static)) -> Untrusted {
    let innermost = std::iter::successors(Some(error), |&error| error.source()).take(CAUSES_MAX).last();
    Untrusted::new(&innermost.unwrap_or(error).to_string())
}
