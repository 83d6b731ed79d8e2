//! What foreign logs tell, in one form: flows, questions and answers about names.
//!
//! Not here: what could not be read (`problem.rs`).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::time::Time;
use model::traffic::Protocol;
use model::untrusted::Untrusted;

use crate::problem::Problems;

/// One end of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Its address; `None` where the log names the end and gives no address.
    pub address: Option<IpAddr>,
    /// Its port; 0 for protocols without ports, and where the log gives none.
    pub port: u16,
    /// How the log calls it, `namespace/pod` say; empty where it gives no name.
    pub name: Untrusted,
}

impl End {
    /// The end at this address.
    pub fn at(address: IpAddr, port: u16) -> Self {
        Self { address: Some(address), port, name: Untrusted::default() }
    }

    /// Address and port, when the log gives an address.
    pub fn socket(&self) -> Option<SocketAddr> {
        self.address.map(|address| SocketAddr::new(address, self.port))
    }
}

/// How a flow went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Both ends spoke.
    Made,
    /// The other end, or somebody on the way, said no.
    Refused,
    /// Nothing came back.
    Unanswered,
    /// The log does not say, or saw too little of it.
    #[default]
    Unknown,
}

impl Outcome {
    /// Whether it is known that nothing came of it.
    pub fn has_failed(self) -> bool {
        matches!(self, Self::Refused | Self::Unanswered)
    }
}

/// One flow: who opened it, to whom, and what went over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    /// When it began; `None` where the log tells no time.
    pub at: Option<Time>,
    /// Who opened it, or sent the first packet that was seen.
    pub source: End,
    /// The other end.
    pub destination: End,
    /// Above IP.
    pub protocol: Protocol,
    /// How it went.
    pub outcome: Outcome,
    /// Bytes from the source: payload in Zeek's logs, whole frames in those of Argus and Suricata; 0 where the log does
    /// not say, as in all counts here.
    pub sent_bytes: u64,
    /// Bytes to the source.
    pub received_bytes: u64,
    /// Packets from the source.
    pub sent_packets: u64,
    /// Packets to the source.
    pub received_packets: u64,
    /// From its first packet to its last; zero where the log does not say.
    pub lasted: Duration,
}

impl FlowRecord {
    /// A flow of which nothing more is known.
    pub fn new(at: Option<Time>, protocol: Protocol, source: End, destination: End) -> Self {
        Self {
            at,
            source,
            destination,
            protocol,
            outcome: Outcome::Unknown,
            sent_bytes: 0,
            received_bytes: 0,
            sent_packets: 0,
            received_packets: 0,
            lasted: Duration::ZERO,
        }
    }

    /// The same flow, opened by the other end.
    #[must_use]
    pub(crate) fn turned(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            sent_bytes: self.received_bytes,
            received_bytes: self.sent_bytes,
            sent_packets: self.received_packets,
            received_packets: self.sent_packets,
            ..self
        }
    }
}

/// A question about a name, or its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRecord {
    /// When it was sent; `None` where the log tells no time.
    pub at: Option<Time>,
    /// Who asks.
    pub source: IpAddr,
    /// Who is asked.
    pub server: IpAddr,
    /// The name asked for, without the final dot.
    pub name: Untrusted,
    /// The type asked for: 1 is A, 16 is TXT, 28 is AAAA; 0 where the log does not say.
    pub record_type: u16,
    /// Response code of an answer; 0 is fine, 3 says that there is no such name.
    pub code: u8,
    /// Whether it is an answer.
    pub is_answer: bool,
    /// Addresses in the answer, at most [`model::traffic::DNS_ADDRESSES_MAX`].
    pub addresses: Vec<IpAddr>,
}

/// What a log told. Of the lines that are not blank and no heading, each is counted once: as a record, as another's, or as
/// a problem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// In the order of the log.
    pub flows: Vec<FlowRecord>,
    /// In the order of the log; a line that tells a question with its answer gives both.
    pub names: Vec<NameRecord>,
    /// Lines that told of a flow or a name.
    pub records: u64,
    /// Lines that are well-formed and tell of neither.
    pub others: u64,
    /// Events that the log itself says it lost.
    pub lost: u64,
    /// What could not be read.
    pub problems: Problems,
}
