//! From who is at the other end to the name that an edge has for it: one that survives restarts and new addresses.
//!
//! Not here: whose address it is (`enrich`).

use std::net::IpAddr;

use model::traffic::{Direction, Endpoint, Peer};
use model::untrusted::Untrusted;

use crate::traffic::domain::registered_domain;

/// Length of the prefix that stands for a foreign network, in bits: what is commonly the smallest that is routed.
const PREFIX_V4: u8 = 24;
const PREFIX_V6: u8 = 48;

/// The name of the other end; `None` for everybody on a network at once, who is no other end.
pub(super) fn of(
    peer: &Peer,
    direction: Direction,
    is_internal: impl Fn(IpAddr) -> bool,
) -> Option<Endpoint> {
    Some(match peer {
        Peer::Container(container) => Endpoint::Workload(container.workload()),
        Peer::Host => Endpoint::Host,
        Peer::Inside(address) if is_for_many(*address) => return None,
        Peer::Inside(address) => Endpoint::Inside(prefix(*address)),
        Peer::Outside { address, .. } if is_internal(*address) => Endpoint::Inside(prefix(*address)),
        Peer::Outside { .. } if direction == Direction::In => Endpoint::Anybody,
        Peer::Outside { address, name } => {
            let domain = name.as_ref().and_then(|name| registered_domain(name.raw()).map(Untrusted::new));
            Endpoint::Outside(domain.unwrap_or_else(|| prefix(*address)))
        }
    })
}

fn is_for_many(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}

fn prefix(address: IpAddr) -> Untrusted {
    let text = match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/{PREFIX_V4}")
        }
        IpAddr::V6(v6) => {
            let kept = u128::from(v6) & (u128::MAX << (128 - u32::from(PREFIX_V6)));
            format!("{}/{PREFIX_V6}", std::net::Ipv6Addr::from(kept))
        }
    };
    Untrusted::new(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(address: &str, name: Option<&str>) -> String {
        let peer = Peer::Outside { address: address.parse().unwrap(), name: name.map(Untrusted::new) };
        of(&peer, Direction::Out, |_| false).unwrap().to_string()
    }

    #[test]
    fn a_name_stands_for_all_addresses_behind_it_and_a_prefix_for_those_without() {
        assert_eq!(outside("203.0.113.7", Some("cdn-7.api.example.co.uk")), "example.co.uk");
        assert_eq!(outside("203.0.113.7", None), "203.0.113.0/24");
        assert_eq!(outside("2001:db8:1:2::3", None), "2001:db8:1::/48");
    }

    #[test]
    fn whoever_comes_from_outside_is_anybody_and_a_broadcast_is_nobody() {
        let peer = Peer::Outside { address: [203, 0, 113, 7].into(), name: None };
        assert_eq!(of(&peer, Direction::In, |_| false), Some(Endpoint::Anybody));
        assert_eq!(of(&Peer::Inside([255, 255, 255, 255].into()), Direction::Out, |_| false), None);
        assert_eq!(of(&Peer::Inside([224, 0, 0, 251].into()), Direction::Out, |_| false), None);
    }
}
