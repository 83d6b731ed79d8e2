//! A fact in one of three states: a name or an image arrives later than the process it describes, or never.

use serde::{Deserialize, Serialize};

use crate::time::Time;
use crate::untrusted::Untrusted;

/// What we know of something that another view has to tell us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact<T> {
    /// Asked, not answered; judges wait a bounded time counted from `since`.
    Pending {
        /// When we began to wait.
        since: Time,
    },
    /// Answered.
    Known(T),
    /// Will not be answered.
    Failed {
        /// Why, in words for people.
        reason: Untrusted,
    },
}

impl<T> Fact<T> {
    /// The value, when known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Pending { .. } | Self::Failed { .. } => None,
        }
    }

    /// Whether an answer may still come.
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::Pending { .. })
    }
}
