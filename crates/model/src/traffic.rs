//! Traffic: what sockets and packets show of who talks to whom, and the names by which people speak of it.
//!
//! Not here: whose address is whose (`enrich`), and what is usual (`state`).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::SocketState;
use crate::identity::Container;
use crate::ids::{CgroupId, WorkloadKey};
use crate::time::Time;
use crate::untrusted::Untrusted;

/// Most lines of one [`Flows`] event; a cgroup that talks to more addresses in a second has several.
pub const FLOWS_MAX: usize = 128;

/// Networks that are nobody's outside: private (RFC 1918, RFC 4193), shared (RFC 6598), link-local and loopback.
pub const OWN_NETWORKS: [&str; 9] = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

/// Whether an address lies in one of [`OWN_NETWORKS`].
pub fn is_own(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let is_shared = first == 100 && second & 0xc0 == 64;
            v4.is_private() || is_shared || v4.is_link_local() || v4.is_loopback()
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback(),
    }
}

/// Most addresses kept of one DNS answer.
pub const DNS_ADDRESSES_MAX: usize = 16;

/// A protocol above IP, by its number (IANA).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Protocol(pub u8);

impl Protocol {
    /// Internet control messages of IPv4.
    pub const ICMP: Self = Self(1);
    /// The transmission control protocol.
    pub const TCP: Self = Self(6);
    /// User datagrams.
    pub const UDP: Self = Self(17);
    /// Internet control messages of IPv6.
    pub const ICMPV6: Self = Self(58);
    /// The stream control transmission protocol.
    pub const SCTP: Self = Self(132);

    /// Whether it has connections and ports that the kernel's tables show: TCP.
    pub fn has_connections(self) -> bool {
        self == Self::TCP
    }

    /// The protocol of that name or number.
    pub fn parse(text: &str) -> Option<Self> {
        let known = [Self::ICMP, Self::TCP, Self::UDP, Self::ICMPV6, Self::SCTP];
        let named = known.into_iter().find(|protocol| protocol.to_string() == text.to_ascii_lowercase());
        named.or_else(|| text.parse().ok().map(Self))
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(crate) fn is_tcp(&self) -> bool {
        *self == Self::TCP
    }
}

impl Default for Protocol {
    fn default() -> Self {
        Self::TCP
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ICMP => f.pad("icmp"),
            Self::TCP => f.pad("tcp"),
            Self::UDP => f.pad("udp"),
            Self::ICMPV6 => f.pad("icmpv6"),
            Self::SCTP => f.pad("sctp"),
            Self(number) => f.pad(&number.to_string()),
        }
    }
}

/// Which end opened a connection, or sent the first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The cgroup did.
    Out,
    /// The other end did.
    In,
}

/// What one cgroup exchanges with one address: the other end's port when the cgroup opens, its own when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FlowKey {
    /// Who opens.
    pub direction: Direction,
    /// Above IP.
    pub protocol: Protocol,
    /// The other end, or the [`Crowd`] that was counted in one line.
    pub remote: IpAddr,
    /// The port that is served; 0 for protocols without ports.
    pub port: u16,
}

/// What went over a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowCounts {
    /// Connections that were made.
    pub opened: u64,
    /// Connections that could not be made.
    pub failed: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Payload bytes of TCP, else bytes of packets with their IP headers.
    pub sent_bytes: u64,
    /// The same, received.
    pub received_bytes: u64,
    /// Packets; what offload keeps together is one, except of TCP, which counts segments.
    pub sent_packets: u64,
    /// The same, received.
    pub received_packets: u64,
    /// How long the connections that ended had lasted, in milliseconds in all.
    pub lasted_ms: u64,
}

/// What flows without a line of their own in the kernel's table are counted in: one line for each scope and protocol. Its
/// address is of 100::/64, which goes nowhere (RFC 6666).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crowd {
    /// The host to itself.
    Loopback,
    /// Private and shared networks, single links, and addresses for many.
    Inside,
    /// Any other address.
    Outside,
    /// It is not told: recordings from before scopes were told apart.
    Untold,
}

impl Crowd {
    /// The scope that an address stands for; `None` for an address that is one end's own.
    pub fn of(address: IpAddr) -> Option<Self> {
        match address {
            address if address.is_unspecified() => Some(Self::Untold),
            IpAddr::V6(v6) => match v6.segments() {
                [0x100, 0, 0, 0, 0, 0, 0, 1] => Some(Self::Loopback),
                [0x100, 0, 0, 0, 0, 0, 0, 2] => Some(Self::Inside),
                [0x100, 0, 0, 0, 0, 0, 0, 3] => Some(Self::Outside),
                _ => None,
            },
            IpAddr::V4(_) => None,
        }
    }

    /// The address that stands for it.
    pub fn address(self) -> IpAddr {
        let last = match self {
            Self::Untold => return IpAddr::from([0_u16; 8]),
            Self::Loopback => 1,
            Self::Inside => 2,
            Self::Outside => 3,
        };
        IpAddr::from([0x100, 0, 0, 0, 0, 0, 0, last])
    }
}

impl FlowCounts {
    /// Adds what went over it meanwhile.
    pub fn add(&mut self, more: &Self) {
        for (sum, more) in self.each_mut().into_iter().zip(more.each()) {
            *sum = sum.saturating_add(more);
        }
    }

    /// What was added since an earlier reading; counts that fell begin anew.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut grown = *self;
        let fell = self.each().into_iter().zip(earlier.each()).any(|(now, before)| now < before);
        if !fell {
            for (now, before) in grown.each_mut().into_iter().zip(earlier.each()) {
                *now -= before;
            }
        }
        grown
    }

    /// Whether nothing went over it.
    pub fn is_empty(&self) -> bool {
        self.each().into_iter().all(|count| count == 0)
    }

    fn each(&self) -> [u64; 8] {
        [
            self.opened,
            self.failed,
            self.closed,
            self.sent_bytes,
            self.received_bytes,
            self.sent_packets,
            self.received_packets,
            self.lasted_ms,
        ]
    }

    fn each_mut(&mut self) -> [&mut u64; 8] {
        [
            &mut self.opened,
            &mut self.failed,
            &mut self.closed,
            &mut self.sent_bytes,
            &mut self.received_bytes,
            &mut self.sent_packets,
            &mut self.received_packets,
            &mut self.lasted_ms,
        ]
    }
}

/// What went over one flow since the reading before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Which.
    #[serde(flatten)]
    pub key: FlowKey,
    /// What went over it.
    pub counts: FlowCounts,
}

/// What one cgroup exchanged since the reading before, by address: only what changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flows {
    /// Whose sockets.
    pub cgroup: CgroupId,
    /// At most [`FLOWS_MAX`].
    pub flows: Vec<Flow>,
}

/// A question or an answer of the domain name system, as one cgroup sent or received it over UDP port 53.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsMessage {
    /// Whose socket.
    pub cgroup: CgroupId,
    /// The name server.
    pub server: IpAddr,
    /// Whether it is an answer.
    pub is_answer: bool,
    /// The name asked for, without the final dot.
    pub name: Untrusted,
    /// The type asked for: 1 is A, 16 is TXT, 28 is AAAA.
    pub record_type: u16,
    /// Response code; 0 is fine, 3 says that there is no such name.
    pub code: u8,
    /// Addresses in the answer, at most [`DNS_ADDRESSES_MAX`].
    pub addresses: Vec<IpAddr>,
    /// Size of the message in bytes.
    pub bytes: u32,
}

/// An address and the length of its network's prefix, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InterfaceAddress {
    /// The host's own address.
    pub address: IpAddr,
    /// Length of the prefix in bits.
    pub prefix_bits: u8,
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq)]
pub enum Peer {
    /// A container of this host.
    Container(Arc<Container>),
    /// This host itself.
    Host,
    /// An address of a private, shared or local range that nobody here is known to have.
    Inside(IpAddr),
    /// Any other address, and the name the container looked it up by.
    Outside {
        /// The address.
        address: IpAddr,
        /// The name, when the container asked for one.
        name: Option<Untrusted>,
    },
}

/// One thing that happened between a container and somebody else, with both ends identified.
#[derive(Clone, Debug, PartialEq)]
pub struct Talk {
    /// Whose socket it is.
    pub container: Arc<Container>,
    /// Who is at the other end.
    pub peer: Peer,
    /// As the kernel tells it, but for the port, which is the one that truly answers.
    pub key: FlowKey,
    /// The address that truly answers.
    pub address: IpAddr,
    /// When it happened.
    pub at: Time,
    /// What happened.
    pub what: TalkKind,
}

/// What happened between two ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TalkKind {
    /// The first contact in a while.
    Contact {
        /// How it went: connected, accepted, failed.
        state: SocketState,
        /// Program that opened it; empty when the container did not, or it is unknown.
        program: Untrusted,
    },
    /// A connection ended.
    Closed {
        /// When it was opened.
        opened: Time,
        /// Payload bytes sent.
        sent_bytes: u64,
        /// Payload bytes received.
        received_bytes: u64,
    },
    /// What went over it since the reading before.
    Counted(FlowCounts),
}

/// The other end of an edge, as people speak of it: what survives restarts and new addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
pub enum Endpoint {
    /// A workload of this host.
    Workload(WorkloadKey),
    /// This host itself.
    Host,
    /// A private, shared or local network, as a prefix: `10.1.2.0/24`.
    Inside(Untrusted),
    /// Somebody outside, by registered domain (`example.com`) or prefix (`203.0.113.0/24`).
    Outside(Untrusted),
    /// Anybody outside: who opens connections to a public service is not told apart.
    Anybody,
}

impl Endpoint {
    /// Whether it lies beyond this host and its private networks.
    pub fn is_outside(&self) -> bool {
        matches!(self, Self::Outside(_) | Self::Anybody)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(workload) => workload.fmt(f),
            Self::Host => f.pad("host"),
            Self::Inside(name) | Self::Outside(name) => name.fmt(f),
            Self::Anybody => f.pad("anybody outside"),
        }
    }
}

/// Who talks to whom: one workload, the other end, and the service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EdgeKey {
    /// Who opens.
    pub from: Endpoint,
    /// Who is opened.
    pub to: Endpoint,
    /// The port that is served; 0 for protocols without ports.
    pub port: u16,
    /// Above IP.
    pub protocol: Protocol,
}

impl fmt::Display for EdgeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.from, self.to)?;
        if self.port != 0 {
            write!(f, ":{}", self.port)?;
        }
        write!(f, "/{}", self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_fell_begin_anew() {
        let earlier = FlowCounts { opened: 5, sent_bytes: 100, ..FlowCounts::default() };
        let later = FlowCounts { opened: 7, sent_bytes: 150, ..FlowCounts::default() };
        assert_eq!(later.since(&earlier), FlowCounts { opened: 2, sent_bytes: 50, ..FlowCounts::default() });
        let anew = FlowCounts { opened: 1, ..FlowCounts::default() };
        assert_eq!(anew.since(&earlier), anew);
    }

    #[test]
    fn a_protocol_reads_back_by_its_name_and_its_number() {
        for protocol in [Protocol::ICMP, Protocol::TCP, Protocol::UDP, Protocol(47)] {
            assert_eq!(Protocol::parse(&protocol.to_string()), Some(protocol));
        }
        assert_eq!(Protocol::parse("TCP"), Some(Protocol::TCP));
        assert_eq!(Protocol::parse("carrier pigeon"), None);
    }
}
