//! The host's own addresses, with the lengths of their networks' prefixes.
//!
//! Read from `/proc/1/net`, so that they are the host's wherever we run. Not here: names of interfaces, and who else is
//! in these networks.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::traffic::InterfaceAddress;

use crate::error::HostfsError;
use crate::kept::read_into;
use crate::root::HostRoot;
use crate::text::{lines, number, words};

/// Most addresses told; a node whose services have addresses of its own (IPVS) has hundreds.
pub const ADDRESSES_MAX: usize = 1024;
/// About 60,000 routes.
const ROUTES_BYTES_MAX: usize = 4 * 1024 * 1024;
/// About 9,000 addresses.
const V6_BYTES_MAX: usize = 512 * 1024;

/// What is known of the host's addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// Sorted, IPv4 first; at most [`ADDRESSES_MAX`].
    pub addresses: Vec<InterfaceAddress>,
    /// Those beyond it, and one for each table that was too long to see the end of.
    pub left_out: u64,
    /// How long the tables were that this was read from, in bytes.
    pub read_bytes: usize,
}

/// The host's own addresses: about 50 µs.
pub fn interface_addresses(root: &HostRoot) -> Result<Interfaces, HostfsError> {
    let mut text = Vec::new();
    let mut read = |path: &str, bytes_max| {
        let path = root.at(path);
        let is_whole =
            read_into(&path, &mut text, bytes_max).map_err(|errno| HostfsError::io(&path, errno))?;
        Ok((std::mem::take(&mut text), is_whole))
    };
    let (routes, is_whole) = read("proc/1/net/fib_trie", ROUTES_BYTES_MAX)?;
    let mut found = Routes::parse(&routes).addresses();
    let mut left_out = u64::from(!is_whole);
    let mut read_bytes = routes.len();
    match read("proc/1/net/if_inet6", V6_BYTES_MAX) {
        Ok((table, is_whole)) => {
            found.extend(lines(&table).filter_map(v6_address));
            left_out += u64::from(!is_whole);
            read_bytes += table.len();
        }
        // IPv6 is off.
        Err(error) if error.is_gone() => {}
        Err(error) => return Err(error),
    }
    left_out += found.len().saturating_sub(ADDRESSES_MAX) as u64;
    Ok(Interfaces { addresses: found.into_iter().take(ADDRESSES_MAX).collect(), left_out, read_bytes })
}

/// What the kernel's IPv4 routes say of its own addresses. It lists the addresses without their networks: these show as
/// routes to what is directly connected, each with its broadcast address.
#[derive(Default)]
struct Routes {
    own: BTreeSet<Ipv4Addr>,
    broadcast: BTreeSet<Ipv4Addr>,
    connected: BTreeSet<(Ipv4Addr, u8)>,
}

impl Routes {
    /// A line `|-- 172.17.0.1` for a destination, and below it `/32 host LOCAL` for each of its routes.
    fn parse(table: &[u8]) -> Self {
        let mut routes = Self::default();
        let mut destination = None;
        for line in lines(table).map(<[u8]>::trim_ascii_start) {
            if let Some(leaf) = line.strip_prefix(b"|-- ") {
                destination = std::str::from_utf8(leaf).ok().and_then(|leaf| leaf.trim().parse().ok());
            } else if let Some((destination, route)) = destination.zip(line.strip_prefix(b"/")) {
                routes.take(destination, route);
            }
        }
        routes
    }

    fn take(&mut self, destination: Ipv4Addr, route: &[u8]) -> Option<()> {
        let mut words = words(route);
        let bits = u8::try_from(number(words.next()?)?).ok().filter(|&bits| bits <= 32)?;
        let [scope, kind] = [words.next()?, words.next()?];
        match (scope, kind, bits) {
            (b"host", b"LOCAL", 32) => self.own.insert(destination),
            (b"link", b"BROADCAST", 32) => self.broadcast.insert(destination),
            (b"host", b"LOCAL", _) | (b"link", b"UNICAST", 1..=31) => {
                self.connected.insert((destination, bits))
            }
            _ => false,
        };
        Some(())
    }

    fn addresses(&self) -> BTreeSet<InterfaceAddress> {
        let with_prefix = |&own: &Ipv4Addr| {
            let bits = (1..32).rev().find(|&bits| self.is_in_network(own, bits)).unwrap_or(32);
            InterfaceAddress { address: IpAddr::V4(own), prefix_bits: bits }
        };
        self.own.iter().map(with_prefix).collect()
    }

    /// A route through a tunnel is connected as well, but has no broadcast address: it is no network of ours. Networks of
    /// two addresses (31 bits) have none either.
    fn is_in_network(&self, own: Ipv4Addr, bits: u8) -> bool {
        let hosts = u32::MAX >> bits;
        let last = Ipv4Addr::from(own.to_bits() | hosts);
        self.connected.contains(&(Ipv4Addr::from(own.to_bits() & !hosts), bits))
            && (bits == 31 || self.broadcast.contains(&last))
    }
}

/// `fe80…d8a0 03 40 20 80 docker0`: address, number, length of the prefix, scope, flags in hexadecimal, and the name.
fn v6_address(line: &[u8]) -> Option<InterfaceAddress> {
    let mut words = words(line);
    let digits = std::str::from_utf8(words.next().filter(|digits| digits.len() == 32)?).ok()?;
    let bits = std::str::from_utf8(words.nth(1)?).ok()?;
    let address = Ipv6Addr::from(u128::from_str_radix(digits, 16).ok()?);
    let prefix_bits = u8::from_str_radix(bits, 16).ok().filter(|&bits| bits <= 128)?;
    Some(InterfaceAddress { address: IpAddr::V6(address), prefix_bits })
}

#[cfg(test)]
mod tests;
