//! Sockets of a process's network namespace that wait for others: those that listen, and those that take part below IP.
//!
//! Not here: connections, which the kernel tells; whose sockets they are, when several share the namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use model::traffic::Protocol;

use crate::error::HostfsError;
use crate::kept::read_into;
use crate::line_count::count_lines;
use crate::proc_dir::pid_path;
use crate::root::HostRoot;
use crate::text::{lines, number, split_once, value_of, words};

/// Most sockets told of one network namespace.
pub const LISTENERS_MAX: usize = 256;
/// About 7,000 sockets of one table.
const TABLE_BYTES_MAX: usize = 1024 * 1024;
/// Packet sockets that are counted.
const PACKET_SOCKETS_MAX: u64 = 1_000;

/// The kernel's tables. Those of IPv6 are missing where it is off.
const TABLES: [Table; 4] = [
    Table { path: "net/tcp", protocol: Protocol::TCP, count: ("net/sockstat", b"TCP: inuse ") },
    Table { path: "net/tcp6", protocol: Protocol::TCP, count: ("net/sockstat6", b"TCP6: inuse ") },
    Table { path: "net/udp", protocol: Protocol::UDP, count: ("net/sockstat", b"UDP: inuse ") },
    Table { path: "net/udp6", protocol: Protocol::UDP, count: ("net/sockstat6", b"UDP6: inuse ") },
];
const STATISTICS_BYTES_MAX: usize = 4096;
/// `TCP_LISTEN`; `TCP_CLOSE`, which is the state of a UDP socket without a peer.
const TCP_LISTENS: &[u8] = b"0A";
const UDP_WAITS: &[u8] = b"07";

/// A socket that waits for others to send to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// TCP or UDP. A UDP socket that only asks others, without naming one peer, looks the same.
    pub protocol: Protocol,
    /// Where; the address is unspecified for all of them.
    pub address: SocketAddr,
    /// The socket's inode number, as in the links of `/proc/PID/fd`.
    pub inode: u64,
}

/// What waits in one network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// At most [`LISTENERS_MAX`], TCP first.
    pub listeners: Vec<Listener>,
    /// Those beyond it, and one for each table that was too long to see the end of.
    pub left_out: u64,
}

/// One table, and the file and the line that say how many sockets there are in it.
struct Table {
    path: &'static str,
    protocol: Protocol,
    count: (&'static str, &'static [u8]),
}

/// The sockets that listen in the network namespace of a process. `Gone` when it ended. Whatever there is, a table of TCP
/// costs about 5 ms: the kernel walks through the connections of all namespaces. So only one with sockets is read.
pub fn listening(root: &HostRoot, pid: u32) -> Result<Listening, HostfsError> {
    let mut found = Listening::default();
    let mut text = Vec::new();
    for table in TABLES {
        if table.is_empty(root, pid, &mut text) {
            continue;
        }
        let path = pid_path(root, pid, table.path);
        match read_into(&path, &mut text, TABLE_BYTES_MAX).map_err(|errno| HostfsError::io(&path, errno)) {
            Ok(is_whole) => found.take(&text, is_whole, table.protocol),
            Err(error) if error.is_gone() && table.path.ends_with('6') => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// How many sockets of the network namespace of a process send and receive below IP (`AF_PACKET`); counting stops some
/// after 1,000.
pub fn packet_sockets(root: &HostRoot, pid: u32) -> Result<u64, HostfsError> {
    let path = pid_path(root, pid, "net/packet");
    let count =
        count_lines(&path, b"sk ", PACKET_SOCKETS_MAX).map_err(|errno| HostfsError::io(&path, errno))?;
    if count.fitting == 0 && count.is_whole {
        return Err(HostfsError::malformed(&path, "lacks its heading"));
    }
    Ok(count.lines.saturating_sub(1))
}

impl Table {
    /// Whether the kernel says so; when it says nothing, that is not known.
    fn is_empty(&self, root: &HostRoot, pid: u32, text: &mut Vec<u8>) -> bool {
        let (file, key) = self.count;
        let is_read = read_into(&pid_path(root, pid, file), text, STATISTICS_BYTES_MAX).is_ok();
        is_read && value_of(text, key) == Some(0)
    }
}

impl Listening {
    fn take(&mut self, table: &[u8], is_whole: bool, protocol: Protocol) {
        let mut last_waits = true;
        for row in lines(table).skip(1).filter_map(Row::parse) {
            last_waits = row.waits(protocol);
            if !last_waits {
                continue;
            }
            if self.listeners.len() < LISTENERS_MAX {
                self.listeners.push(Listener { protocol, address: row.local, inode: row.inode });
            } else {
                self.left_out += 1;
            }
        }
        // The kernel lists TCP's listening sockets before all others: the end of the rest is not missed.
        let is_missed = !is_whole && (protocol == Protocol::UDP || last_waits);
        self.left_out += u64::from(is_missed);
    }
}

/// One socket: `0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 uid timeout inode …`.
struct Row<'t> {
    local: SocketAddr,
    remote: SocketAddr,
    state: &'t [u8],
    inode: u64,
}

impl<'t> Row<'t> {
    fn parse(line: &'t [u8]) -> Option<Self> {
        let mut words = words(line).skip(1);
        let (local, remote) = (address(words.next()?)?, address(words.next()?)?);
        let state = words.next()?;
        Some(Self { local, remote, state, inode: number(words.nth(5)?)? })
    }

    fn waits(&self, protocol: Protocol) -> bool {
        let state = if protocol == Protocol::TCP { TCP_LISTENS } else { UDP_WAITS };
        self.state == state && self.remote.port() == 0 && self.local.port() != 0
    }
}

/// An address in words of the machine's own byte order, and a port: `0100007F:1F90`.
fn address(text: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = split_once(text, b':')?;
    let port = u16::try_from(hex(port).filter(|_| port.len() == 4)?).ok()?;
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(hex(ip)?.to_ne_bytes())),
        32 => {
            let mut bytes = [0; 16];
            for (word, digits) in bytes.chunks_exact_mut(4).zip(ip.chunks_exact(8)) {
                word.copy_from_slice(&hex(digits)?.to_ne_bytes());
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn hex(digits: &[u8]) -> Option<u32> {
    let is_plain = digits.iter().all(u8::is_ascii_hexdigit);
    u32::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| is_plain)?, 16).ok()
}

#[cfg(test)]
mod tests;
