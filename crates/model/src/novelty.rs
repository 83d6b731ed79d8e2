//! Novelty: how unusual an observation is, against which baseline.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What people said about the image and the workload of the container at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// Not known yet; judges wait.
    #[default]
    Pending,
    /// No runtime claims it, so there is no image to approve.
    Unclaimed,
    /// Nobody approved its image.
    Unapproved,
    /// Its image is approved, this workload is not.
    ImageApproved,
    /// Image and workload are approved.
    Approved,
}

impl Provenance {
    /// Whether nothing is known yet.
    pub fn is_pending(&self) -> bool {
        *self == Self::Pending
    }

    /// Whether somebody approved at least the image.
    pub fn is_approved(self) -> bool {
        matches!(self, Self::ImageApproved | Self::Approved)
    }
}

/// A rate now and what is usual for its workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Now.
    pub now: f64,
    /// Usual for this workload; `None` without history.
    pub usual: Option<f64>,
    /// How long the workload was observed to say so.
    pub history: Duration,
}

/// How unusual an observation is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Novelty {
    /// What people said about it.
    pub provenance: Provenance,
    /// Time since the container's first process.
    pub age: Duration,
    /// CPU in cores, for a reading of its cgroup.
    pub cpu_cores: Option<Rate>,
    /// How many files that are no image's came to light in the container so far, when the event shows one more; else 0.
    pub new_files: u64,
    /// How often a command that somebody outside runs was run in its workload from outside before.
    pub commanded_before: u32,
    /// How many containers of the workload started before, none of them near this time of day; `None` when some did or
    /// too few are known.
    pub unusual_hour: Option<u32>,
}
