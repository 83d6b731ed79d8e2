//! Hubble: flows of Cilium as `hubble observe --output json` prints them, JSON lines.
//!
//! Written after cilium's `api/v1/flow/flow.proto`. Hubble tells of packets, of some of them, and of one packet at several points:
//! those of one connection are joined, and no bytes are claimed. Not here: requests of HTTP and Kafka.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::time::Time;
use model::traffic::Protocol;
use model::untrusted::Untrusted;
use serde::Deserialize;
use serde_json::Value;

use crate::field;
use crate::lines::{Line, Read, each_line};
use crate::problem::Reason;
use crate::record::{End, FlowRecord, NameRecord, Outcome, Parsed};

/// Most connections whose packets are joined in one reading; packets of further ones are flows of their own.
const JOINED_MAX: usize = 65_536;

/// Reads flows, and names where Cilium's proxy saw them.
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut joined = Joined::default();
    each_line(bytes, |line, parsed| {
        let said: Said = serde_json::from_str(line)?;
        if let Some(lost) = said.lost_events {
            parsed.lost = parsed.lost.saturating_add(lost.count()?);
            return Ok(Line::Other);
        }
        match said.flow {
            Some(flow) => read(&flow, parsed, &mut joined),
            // Older versions print the flow itself.
            None if line.contains("\"verdict\"") => read(&serde_json::from_str(line)?, parsed, &mut joined),
            None => Ok(Line::Other),
        }
    })
}

#[derive(Deserialize)]
struct Said {
    flow: Option<Flow>,
    lost_events: Option<LostEvents>,
}

#[derive(Deserialize)]
struct LostEvents {
    num_events_lost: Value,
}

impl LostEvents {
    /// JSON of protocol buffers writes numbers of 64 bits as text.
    fn count(&self) -> Result<u64, Reason> {
        let text = self.num_events_lost.as_str().and_then(|text| text.parse().ok());
        let count = self.num_events_lost.as_u64().or(text);
        count.ok_or_else(|| Reason::value("num_events_lost", &self.num_events_lost.to_string()))
    }
}

#[derive(Deserialize)]
struct Flow {
    time: Option<String>,
    #[serde(default)]
    verdict: String,
    #[serde(rename = "IP")]
    ip: Option<Ip>,
    l4: Option<Layer4>,
    l7: Option<Layer7>,
    #[serde(default)]
    source: Endpoint,
    #[serde(default)]
    destination: Endpoint,
    #[serde(default)]
    source_names: Vec<String>,
    #[serde(default)]
    destination_names: Vec<String>,
    is_reply: Option<bool>,
    /// The same in older versions, left out when it is false.
    reply: Option<bool>,
}

#[derive(Deserialize)]
struct Ip {
    source: String,
    destination: String,
}

#[derive(Deserialize)]
struct Layer4 {
    #[serde(rename = "TCP")]
    tcp: Option<Ports>,
    #[serde(rename = "UDP")]
    udp: Option<Ports>,
    #[serde(rename = "SCTP")]
    sctp: Option<Ports>,
    #[serde(rename = "ICMPv4")]
    icmp: Option<Icmp>,
    #[serde(rename = "ICMPv6")]
    icmpv6: Option<Icmp>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Ports {
    source_port: u16,
    destination_port: u16,
    flags: Flags,
}

#[derive(Deserialize)]
struct Icmp {}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default, rename_all = "UPPERCASE")]
struct Flags {
    syn: bool,
    ack: bool,
    rst: bool,
}

#[derive(Deserialize)]
struct Layer7 {
    #[serde(rename = "type", default)]
    kind: String,
    dns: Option<Dns>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Dns {
    query: String,
    qtypes: Vec<String>,
    rcode: u16,
    ips: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    namespace: String,
    pod_name: String,
    labels: Vec<String>,
}

impl Endpoint {
    /// The pod; else a name that it was looked up by; else what Cilium calls it: `reserved:world`.
    fn name(&self, names: &[String]) -> Untrusted {
        if !self.pod_name.is_empty() {
            return Untrusted::new(&format!("{}/{}", self.namespace, self.pod_name));
        }
        let reserved = || self.labels.iter().find(|label| label.starts_with("reserved:"));
        names.first().or_else(reserved).map(|name| Untrusted::new(name)).unwrap_or_default()
    }
}

/// The connections of one reading: who opened, to whom, and where their flow stands.
#[derive(Default)]
struct Joined(BTreeMap<Key, Connection>);

type Key = (u8, IpAddr, u16, IpAddr, u16);

struct Connection {
    /// Of the parsed flows.
    at: usize,
    /// Whether nothing but attempts to open it was seen.
    is_attempt: bool,
}

/// One packet, or one request, that Hubble told of, as its sender's.
struct Packet {
    at: Option<Time>,
    protocol: Protocol,
    source: IpAddr,
    destination: IpAddr,
    ports: Ports,
    /// What its sender and its receiver are called.
    names: [Untrusted; 2],
    /// Whether it goes to who opened; `None` when Hubble does not know.
    is_reply: Option<bool>,
    is_dropped: bool,
    is_request: bool,
}

impl Packet {
    fn key(&self) -> Key {
        let Ports { source_port, destination_port, .. } = self.ports;
        (self.protocol.0, self.source, source_port, self.destination, destination_port)
    }

    fn key_back(&self) -> Key {
        let (protocol, source, source_port, destination, destination_port) = self.key();
        (protocol, destination, destination_port, source, source_port)
    }
}

fn read(flow: &Flow, parsed: &mut Parsed, joined: &mut Joined) -> Read {
    let Some(packet) = packet(flow)? else { return Ok(Line::Other) };
    let is_reply = joined.is_reply(&packet);
    let name = name(flow, &packet, is_reply)?;
    joined.join(packet, is_reply, parsed);
    parsed.names.extend(name);
    Ok(Line::Record)
}

/// The packet; `None` of what has no addresses or no protocol that Hubble names.
fn packet(flow: &Flow) -> Result<Option<Packet>, Reason> {
    let (Some(ip), Some(l4)) = (&flow.ip, &flow.l4) else { return Ok(None) };
    let Some((protocol, ports)) = protocol(l4) else { return Ok(None) };
    Ok(Some(Packet {
        at: flow.time.as_deref().map(|text| field::time("time", text)).transpose()?,
        protocol,
        source: field::address("IP.source", &ip.source)?,
        destination: field::address("IP.destination", &ip.destination)?,
        ports,
        names: [flow.source.name(&flow.source_names), flow.destination.name(&flow.destination_names)],
        is_reply: flow.is_reply.or(flow.reply),
        is_dropped: matches!(flow.verdict.as_str(), "DROPPED" | "ERROR"),
        is_request: flow.l7.is_some(),
    }))
}

fn protocol(l4: &Layer4) -> Option<(Protocol, Ports)> {
    let Layer4 { tcp, udp, sctp, icmp, icmpv6 } = l4;
    let with_ports = [(Protocol::TCP, tcp), (Protocol::UDP, udp), (Protocol::SCTP, sctp)];
    let without = [(Protocol::ICMP, icmp), (Protocol::ICMPV6, icmpv6)];
    let first = with_ports.into_iter().find_map(|(protocol, ports)| Some((protocol, (*ports)?)));
    first.or_else(|| {
        without.into_iter().find_map(|(protocol, it)| it.as_ref().map(|_| (protocol, Ports::default())))
    })
}

impl Joined {
    /// Where Hubble does not know which way a packet goes, its flags do, or the connection that it is of; else the lower
    /// port is taken for the one that is served.
    fn is_reply(&self, packet: &Packet) -> bool {
        let Ports { source_port, destination_port, flags } = packet.ports;
        let by_flags = flags.syn.then_some(flags.ack);
        let by_connection = || {
            let forth = self.0.contains_key(&packet.key()).then_some(false);
            forth.or_else(|| self.0.contains_key(&packet.key_back()).then_some(true))
        };
        let by_port = || source_port != 0 && source_port < destination_port;
        packet.is_reply.or(by_flags).or_else(by_connection).unwrap_or_else(by_port)
    }

    fn join(&mut self, packet: Packet, is_reply: bool, parsed: &mut Parsed) {
        let key = if is_reply { packet.key_back() } else { packet.key() };
        let is_attempt = packet.ports.flags.syn && !is_reply;
        if let Some(connection) = self.0.get_mut(&key)
            && let Some(flow) = parsed.flows.get_mut(connection.at)
        {
            flow.outcome = outcome(&packet, is_reply, (flow.outcome, connection.is_attempt));
            let lasted = flow.at.zip(packet.at).map(|(first, last)| last.since(first));
            flow.lasted = flow.lasted.max(lasted.unwrap_or_default());
            connection.is_attempt &= is_attempt;
            return;
        }
        if self.0.len() < JOINED_MAX {
            self.0.insert(key, Connection { at: parsed.flows.len(), is_attempt });
        }
        parsed.flows.push(first_seen(packet, key, is_reply));
    }
}

/// The flow of a connection of which this is the first packet that Hubble tells of.
fn first_seen(packet: Packet, key: Key, is_reply: bool) -> FlowRecord {
    let outcome = outcome(&packet, is_reply, (Outcome::Unknown, false));
    let (protocol, source, source_port, destination, destination_port) = key;
    let [sender, receiver] = packet.names;
    let (opener, server) = if is_reply { (receiver, sender) } else { (sender, receiver) };
    let source = End { name: opener, ..End::at(source, source_port) };
    let destination = End { name: server, ..End::at(destination, destination_port) };
    FlowRecord { outcome, ..FlowRecord::new(packet.at, Protocol(protocol), source, destination) }
}

/// How a connection went, after one more packet of it. An attempt that nobody is seen to answer stays unknown: Hubble does not
/// tell of every packet.
fn outcome(packet: &Packet, is_reply: bool, (before, is_attempt): (Outcome, bool)) -> Outcome {
    let Flags { syn, rst, .. } = packet.ports.flags;
    let is_tcp = packet.protocol == Protocol::TCP;
    match before {
        Outcome::Made => Outcome::Made,
        _ if packet.is_dropped && !is_reply => Outcome::Refused,
        _ if packet.is_request => Outcome::Made,
        _ if is_tcp && rst => {
            if is_reply && is_attempt {
                Outcome::Refused
            } else {
                before
            }
        }
        _ if is_tcp && syn && !is_reply => before,
        _ if is_tcp || is_reply => Outcome::Made,
        _ => before,
    }
}

fn name(flow: &Flow, packet: &Packet, is_reply: bool) -> Result<Option<NameRecord>, Reason> {
    let Some(Layer7 { kind, dns: Some(dns) }) = &flow.l7 else { return Ok(None) };
    let is_answer = kind == "RESPONSE";
    let (source, server) =
        if is_reply { (packet.destination, packet.source) } else { (packet.source, packet.destination) };
    let code = u8::try_from(dns.rcode).map_err(|_| Reason::value("rcode", &dns.rcode.to_string()))?;
    Ok(Some(NameRecord {
        at: packet.at,
        source,
        server,
        name: field::name(&dns.query),
        record_type: dns.qtypes.first().map_or(0, |name| field::record_type(name)),
        code: if is_answer { code } else { 0 },
        is_answer,
        addresses: field::addresses(&dns.ips),
    }))
}

#[cfg(test)]
mod tests;
