//! What can go wrong between an engine and us; every case names the socket it happened on.
//!
//! Not here: errors of the HTTP library, which end as bounded text in a reason.

use std::error::Error;

use model::untrusted::Untrusted;

/// Longest chain of causes followed; real ones have about four.
const CAUSES_MAX: usize = 16;

/// A call to a Docker engine that gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DockerError {
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
    /// The engine does not know the container, or no longer.
    #[error("{socket}: no container {id}")]
    Gone {
        /// Path of the socket.
        socket: Untrusted,
        /// The id asked for.
        id: Untrusted,
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

/// What the error comes down to. The texts around the innermost cause only name layers of the library.
pub(crate) fn reason(error: &(dyn Error + 'static)) -> Untrusted {
    let innermost = std::iter::successors(Some(error), |&error| error.source()).take(CAUSES_MAX).last();
    Untrusted::new(&innermost.unwrap_or(error).to_string())
}
