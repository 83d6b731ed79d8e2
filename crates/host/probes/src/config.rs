//! Settings of the probes.
//!
//! Not here: finding out which hierarchy a host has, which `hostfs` does.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The cgroup hierarchy whose numbers identify containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hierarchy {
    /// cgroup v2, alone or beside v1 (hybrid).
    #[default]
    Unified,
    /// No cgroup v2 mounted: the v1 `cpuacct` hierarchy. There a socket knows no cgroup, so accepted connections are
    /// booked on `CgroupId(0)`.
    V1Cpuacct {
        /// Its number in `/proc/cgroups`.
        hierarchy_id: u32,
    },
}

/// Settings of the probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbesConfig {
    /// Size of the ring buffer in bytes; rounded up to a power of two, at least 64 KiB and at most 1 GiB. Default 4 MiB.
    pub ring_bytes: u32,
    /// Events a second one cgroup may cause for long. Default 2,000, at least 1.
    pub budget_per_second: u32,
    /// Events one cgroup may cause at once. Default 4,000, at least 1.
    pub budget_burst: u32,
    /// The same for the root cgroup, where a host without systemd runs everything of its own; twice as many at once.
    /// Default 20,000, at least 1.
    pub host_budget_per_second: u32,
    /// The hierarchy of this host; found out, not configured.
    #[serde(skip)]
    pub hierarchy: Hierarchy,
    /// Where cgroup v2 is mounted, for programs that are attached there; found out, not configured.
    #[serde(skip)]
    pub unified: Option<PathBuf>,
}

impl Default for ProbesConfig {
    fn default() -> Self {
        Self {
            ring_bytes: 4 << 20,
            budget_per_second: 2_000,
            budget_burst: 4_000,
            host_budget_per_second: 20_000,
            hierarchy: Hierarchy::Unified,
            unified: None,
        }
    }
}

impl ProbesConfig {
    /// The ring buffer's size as the kernel wants it.
    pub(crate) fn ring_bytes_rounded(&self) -> u32 {
        self.ring_bytes.clamp(64 << 10, 1 << 30).next_power_of_two()
    }
}

#[cfg(test)]
mod tests {
    use super::ProbesConfig;

    #[test]
    fn any_ring_size_becomes_one_the_kernel_takes() {
        let rounded =
            |ring_bytes| ProbesConfig { ring_bytes, ..ProbesConfig::default() }.ring_bytes_rounded();
        assert_eq!([0, 65_537, 4 << 20, u32::MAX].map(rounded), [64 << 10, 128 << 10, 4 << 20, 1 << 30]);
    }

    #[test]
    fn a_misspelt_setting_is_refused() {
        let error = serde_json::from_str::<ProbesConfig>(r#"{"budget_per_seconds": 5}"#).unwrap_err();
        assert!(error.to_string().contains("budget_per_seconds"));
    }
}
