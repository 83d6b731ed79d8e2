//! The question and the answer as the kernel's netlink writes them (`linux/netfilter/nfnetlink_conntrack.h`).
//!
//! Headers and the frames of attributes are the library's. Not here: any of an entry's attributes but its two tuples.

use std::net::{IpAddr, SocketAddr};

use model::traffic::Protocol;
use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, ErrorMessage, NLA_F_NESTED, NLM_F_REQUEST, NetlinkBuffer,
    NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable, NlasIterator,
    parse_ip, parse_u8, parse_u16_be,
};
use rustix::io::Errno;

use crate::error::ConntrackError;

/// `NFNL_SUBSYS_CTNETLINK`, the upper byte of a message's type.
const SUBSYSTEM: u16 = 1 << 8;
/// `IPCTNL_MSG_CT_NEW`: what a question is answered by.
const NEW: u16 = SUBSYSTEM;
/// `IPCTNL_MSG_CT_GET`.
const ASK: u16 = SUBSYSTEM | 1;
/// `struct nfgenmsg`: family, version, resource.
const FAMILY_HEADER_BYTES: usize = 4;
/// `AF_INET` and `AF_INET6`.
const FAMILIES: [u8; 2] = [2, 10];

/// `CTA_TUPLE_IP` and `CTA_TUPLE_PROTO`.
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
/// `CTA_IP_V4_SRC`, `CTA_IP_V4_DST`, `CTA_IP_V6_SRC`, `CTA_IP_V6_DST`.
const V4_SOURCE: u16 = 1;
const V4_DESTINATION: u16 = 2;
const V6_SOURCE: u16 = 3;
const V6_DESTINATION: u16 = 4;
/// `CTA_PROTO_NUM`, `CTA_PROTO_SRC_PORT`, `CTA_PROTO_DST_PORT`.
const PROTOCOL: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;

/// Protocols whose tuples have ports. Those of ICMP have a type and an id instead.
const WITH_PORTS: [Protocol; 3] = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];

/// Which of an entry's tuples a question is about (`CTA_TUPLE_ORIG`, `CTA_TUPLE_REPLY`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Of the packets of whoever opened the connection.
    Original = 1,
    /// Of those that answer.
    Reply = 2,
}

/// Packets of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    protocol: Protocol,
    /// Who sends them.
    pub(crate) source: SocketAddr,
    /// Whom they are sent to.
    pub(crate) destination: SocketAddr,
}

/// A connection as it is tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Before any address was translated.
    pub(crate) original: Tuple,
    /// What an answer looks like that is still to be translated back.
    pub(crate) reply: Tuple,
}

/// The message that asks for the entry which has this tuple.
pub(crate) fn question(side: Side, tuple: Tuple, sequence: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    header.sequence_number = sequence;
    let payload = NetlinkPayload::InnerMessage(Question { side, tuple });
    let mut message = NetlinkMessage::new(header, payload);
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// What the kernel says to question `sequence`; `None` when it is the answer to another one.
pub(crate) fn answer(bytes: &[u8], sequence: u32) -> Option<Result<Option<Entry>, ConntrackError>> {
    let malformed = |error: DecodeError| ConntrackError::Malformed(error.to_string());
    match NetlinkBuffer::new_checked(bytes) {
        Ok(buffer) if buffer.sequence_number() != sequence => None,
        Ok(_) => Some(NetlinkMessage::deserialize(bytes).map_err(malformed).and_then(found)),
        Err(error) => Some(Err(malformed(error))),
    }
}

fn found(message: NetlinkMessage<Entry>) -> Result<Option<Entry>, ConntrackError> {
    match message.payload {
        NetlinkPayload::InnerMessage(entry) => Ok(Some(entry)),
        NetlinkPayload::Error(error) => refused(&error),
        _ => Err(ConntrackError::Malformed("neither an entry nor a refusal".to_owned())),
    }
}

fn refused(error: &ErrorMessage) -> Result<Option<Entry>, ConntrackError> {
    match error.to_io() {
        io if io.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => Ok(None),
        io => Err(ConntrackError::Refused(io)),
    }
}

impl Tuple {
    /// Of packets from one address to the other; `None` for protocols without ports and for addresses of two families.
    pub(crate) fn new(protocol: Protocol, source: SocketAddr, destination: SocketAddr) -> Option<Self> {
        let (source, destination) = (plain(source), plain(destination));
        let is_tracked = WITH_PORTS.contains(&protocol) && source.is_ipv4() == destination.is_ipv4();
        is_tracked.then_some(Self { protocol, source, destination })
    }

    fn nested(self, side: Side) -> DefaultNla {
        let [source, destination] =
            if self.source.is_ipv4() { [V4_SOURCE, V4_DESTINATION] } else { [V6_SOURCE, V6_DESTINATION] };
        let ip = [address(source, self.source), address(destination, self.destination)];
        let proto = [
            DefaultNla::new(PROTOCOL, vec![self.protocol.0]),
            DefaultNla::new(SOURCE_PORT, self.source.port().to_be_bytes().to_vec()),
            DefaultNla::new(DESTINATION_PORT, self.destination.port().to_be_bytes().to_vec()),
        ];
        nest(side as u16, &[nest(TUPLE_IP, &ip), nest(TUPLE_PROTO, &proto)])
    }

    fn parse(attributes: &[u8]) -> Result<Self, DecodeError> {
        let (mut ips, mut protocol, mut ports) = ([None; 2], None, [0; 2]);
        for attribute in NlasIterator::new(attributes) {
            let attribute = attribute?;
            match attribute.kind() {
                TUPLE_IP => ips = addresses(attribute.value())?,
                TUPLE_PROTO => (protocol, ports) = protocol_and_ports(attribute.value())?,
                _ => {}
            }
        }
        let (Some(protocol), [Some(source), Some(destination)]) = (protocol, ips) else {
            return Err("a tuple lacks an address or its protocol".into());
        };
        let [source_port, destination_port] = ports;
        let source = SocketAddr::new(source, source_port);
        Ok(Self { protocol, source, destination: SocketAddr::new(destination, destination_port) })
    }
}

/// IPv4 behind an IPv6 socket is tracked as IPv4; scopes and flow labels are not tracked.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn address(kind: u16, address: SocketAddr) -> DefaultNla {
    let bytes = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    DefaultNla::new(kind, bytes)
}

fn nest(kind: u16, parts: &[DefaultNla]) -> DefaultNla {
    let mut bytes = vec![0; parts.buffer_len()];
    parts.emit(&mut bytes);
    DefaultNla::new(kind | NLA_F_NESTED, bytes)
}

fn addresses(attributes: &[u8]) -> Result<[Option<IpAddr>; 2], DecodeError> {
    let mut ips = [None; 2];
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        match attribute.kind() {
            V4_SOURCE | V6_SOURCE => ips[0] = Some(parse_ip(attribute.value())?),
            V4_DESTINATION | V6_DESTINATION => ips[1] = Some(parse_ip(attribute.value())?),
            _ => {}
        }
    }
    Ok(ips)
}

fn protocol_and_ports(attributes: &[u8]) -> Result<(Option<Protocol>, [u16; 2]), DecodeError> {
    let (mut protocol, mut ports) = (None, [0; 2]);
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        match attribute.kind() {
            PROTOCOL => protocol = Some(Protocol(parse_u8(attribute.value())?)),
            SOURCE_PORT => ports[0] = parse_u16_be(attribute.value())?,
            DESTINATION_PORT => ports[1] = parse_u16_be(attribute.value())?,
            _ => {}
        }
    }
    Ok((protocol, ports))
}

struct Question {
    side: Side,
    tuple: Tuple,
}

impl NetlinkSerializable for Question {
    fn message_type(&self) -> u16 {
        ASK
    }

    fn buffer_len(&self) -> usize {
        FAMILY_HEADER_BYTES + self.tuple.nested(self.side).buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer[0] = FAMILIES[usize::from(!self.tuple.source.is_ipv4())];
        self.tuple.nested(self.side).emit(&mut buffer[FAMILY_HEADER_BYTES..]);
    }
}

impl NetlinkDeserializable for Entry {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        let attributes = payload.get(FAMILY_HEADER_BYTES..).filter(|_| header.message_type == NEW);
        let (mut original, mut reply) = (None, None);
        for attribute in NlasIterator::new(attributes.ok_or("no entry")?) {
            let attribute = attribute?;
            match attribute.kind() {
                kind if kind == Side::Original as u16 => original = Some(Tuple::parse(attribute.value())?),
                kind if kind == Side::Reply as u16 => reply = Some(Tuple::parse(attribute.value())?),
                _ => {}
            }
        }
        let tuples = original.zip(reply).ok_or("an entry lacks one of its tuples")?;
        Ok(Self { original: tuples.0, reply: tuples.1 })
    }
}

#[cfg(test)]
mod tests;
