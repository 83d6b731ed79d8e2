//! What can go wrong between an engine that speaks gRPC and us; every case names the socket it happened on.
//!
//! Not here: errors of the library, which end as bounded text in a reason.

use model::untrusted::Untrusted;

/// A call that gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is no such socket.
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
