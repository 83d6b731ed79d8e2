//! Settings of how communication is judged.
//!
//! Not here: reading files, which `cli` does once.

use std::net::IpAddr;

use ipnet::IpNet;
use model::graph::Mode;
use model::traffic::is_own;
use serde::{Deserialize, Serialize};

/// Least and most of `mature_after_seconds`; the least is for trying it out.
const MATURE_SECONDS: std::ops::RangeInclusive<u64> = 10..=30 * 86_400;

/// Most networks of one's own.
const INTERNAL_MAX: usize = 256;

/// Settings of how communication is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommunicationConfig {
    /// `open` learns edges and judges them by how new and rare they are; `locked` makes a finding of whatever nobody
    /// approved or declared.
    pub mode: Mode,
    /// How long a workload is watched until what is new to it counts for 63 % (95 % after three times as long), in seconds.
    pub mature_after_seconds: u64,
    /// Networks of one's own beyond the private, shared and local ranges, as prefixes: what lies in them is not outside.
    pub internal: Vec<IpNet>,
}

impl Default for CommunicationConfig {
    fn default() -> Self {
        Self { mode: Mode::Open, mature_after_seconds: 86_400, internal: Vec::new() }
    }
}

impl CommunicationConfig {
    /// Everything that is wrong with the settings, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let (low, high) = (MATURE_SECONDS.start(), MATURE_SECONDS.end());
        if !MATURE_SECONDS.contains(&self.mature_after_seconds) {
            let given = self.mature_after_seconds;
            problems.push(format!("mature_after_seconds is {given}; it must lie between {low} and {high}"));
        }
        if self.internal.len() > INTERNAL_MAX {
            problems.push(format!(
                "internal has {} networks; at most {INTERNAL_MAX} are taken",
                self.internal.len()
            ));
        }
        // Everything would be inside, and nothing ever leave.
        let everything = self.internal.iter().filter(|network| network.prefix_len() == 0);
        problems.extend(everything.map(|network| format!("internal: {network} is the whole internet")));
        problems
    }

    /// Whether an address lies in a private, shared or local range, or in a network of one's own.
    pub fn is_internal(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_own(address) || self.internal.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use model::traffic::OWN_NETWORKS;

    use super::*;

    #[test]
    fn the_defaults_are_without_problems_and_senseless_settings_are_named() {
        assert_eq!(CommunicationConfig::default().problems(), Vec::<String>::new());
        let senseless = CommunicationConfig {
            mature_after_seconds: 5,
            internal: vec!["::/0".parse().unwrap()],
            ..CommunicationConfig::default()
        };
        assert_eq!(
            senseless.problems(),
            [
                "mature_after_seconds is 5; it must lie between 10 and 2592000",
                "internal: ::/0 is the whole internet"
            ]
        );
    }

    #[test]
    fn the_edges_of_every_own_network_are_told_apart() {
        for text in OWN_NETWORKS {
            let network: IpNet = text.parse().unwrap();
            let (first, last) = (network.network(), network.broadcast());
            assert!(is_own(first) && is_own(last), "{text}");
            let [before, after] = neighbours(first, last);
            assert!(!is_own(before) && !is_own(after), "{text}: {before}, {after}");
        }
    }

    /// The addresses just outside of a range.
    fn neighbours(first: IpAddr, last: IpAddr) -> [IpAddr; 2] {
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                [u32::from(first) - 1, u32::from(last) + 1].map(|bits| IpAddr::from(bits.to_be_bytes()))
            }
            (first, last) => {
                let bits = |address| match address {
                    IpAddr::V6(v6) => u128::from(v6),
                    IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
                };
                [bits(first) - 1, bits(last) + 1].map(|bits| IpAddr::from(bits.to_be_bytes()))
            }
        }
    }

    #[test]
    fn what_is_ones_own_is_the_private_ranges_and_what_is_named() {
        let config = CommunicationConfig {
            internal: vec!["203.0.113.0/24".parse().unwrap()],
            ..CommunicationConfig::default()
        };
        for inside in
            ["10.1.2.3", "100.64.0.1", "fe80::1", "fd00::1", "::ffff:192.168.1.1", "203.0.113.9", "127.0.0.1"]
        {
            assert!(config.is_internal(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["198.51.100.1", "2001:db8::1", "100.128.0.1", "172.32.0.1"] {
            assert!(!config.is_internal(outside.parse().unwrap()), "{outside}");
        }
    }
}
