//! How engines that are found beside the one that Tidewatch is told to follow are followed.
//!
//! Not here: that one's settings (`containers.rs`).

use serde::{Deserialize, Serialize};

/// How one socket of containerd, or of what serves the kubelet, is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FollowConfig {
    /// Longest wait for an answer, in milliseconds.
    pub call_timeout_ms: u64,
    /// Shortest wait before connecting again, in milliseconds; doubles up to the longest.
    pub reconnect_min_ms: u64,
    /// Longest wait before connecting again, in milliseconds.
    pub reconnect_max_ms: u64,
    /// Time between two comparisons with the engine's whole lists, in milliseconds, where it announces changes.
    pub compare_interval_ms: u64,
    /// Most containers followed of one namespace; what is left out at first is counted as lost.
    pub containers_max: usize,
}

impl Default for FollowConfig {
    fn default() -> Self {
        Self {
            call_timeout_ms: 2000,
            reconnect_min_ms: 200,
            reconnect_max_ms: 5000,
            compare_interval_ms: 60_000,
            containers_max: 10_000,
        }
    }
}
