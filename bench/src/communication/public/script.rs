//! What a log tells, as the kernel would tell it of containers: contacts, closes, counts, questions and answers, in order of time.
//!
//! Not here: telling it (`stage.rs`).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use formats::record::{End, FlowRecord, NameRecord, Outcome, Parsed};
use model::event::{Body, Socket, SocketState};
use model::ids::CgroupId;
use model::time::Time;
use model::traffic::{Direction, DnsMessage, FlowCounts, FlowKey, Protocol};

/// The cgroup of the first container.
const CGROUP_FIRST: u64 = 1_000;
/// What goes over a long connection is told second by second, of one that lasts longer in so many parts.
const PARTS_MAX: u64 = 3_600;
/// The port of name servers.
const DNS_PORT: u16 = 53;
/// Bytes of a message about a name, beside the name: its header, the question's end, and an address with its own.
const DNS_BYTES: usize = 18;
const DNS_ADDRESS_BYTES: usize = 28;

/// Who plays: each private address that opens something, and the cgroup of the container that has it.
pub(super) type Cast = BTreeMap<IpAddr, CgroupId>;

/// One thing that the kernel sees.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// A socket meets an address; told when it is the first time in a while.
    Contact(Socket),
    /// Told each time.
    Tell(Body),
    /// Summed up until the second ends.
    Count(CgroupId, FlowKey, FlowCounts),
}

/// Everything that happens.
#[derive(Debug, Default)]
pub(super) struct Script {
    cast: Cast,
    acts: Vec<(Time, Act)>,
}

impl Script {
    pub(super) fn of(parsed: &Parsed) -> Self {
        let mut script = Self { cast: cast(parsed), acts: Vec::new() };
        for flow in &parsed.flows {
            script.flow(flow);
        }
        for name in &parsed.names {
            script.name(name);
            // A log of names alone leaves out what carried them.
            if parsed.flows.is_empty() && !name.is_answer {
                script.flow(&carrier(name));
            }
        }
        script.acts.sort_by_key(|(at, _)| *at);
        script
    }

    pub(super) fn cast(&self) -> &Cast {
        &self.cast
    }

    pub(super) fn acts(&self) -> &[(Time, Act)] {
        &self.acts
    }

    pub(super) fn is_empty(&self) -> bool {
        self.acts.is_empty()
    }

    /// When the first thing happens.
    pub(super) fn first(&self) -> Option<Time> {
        self.acts.first().map(|(at, _)| *at)
    }

    /// Both ends see it, when both are containers.
    fn flow(&mut self, flow: &FlowRecord) {
        let ends = flow.source.socket().zip(flow.destination.socket());
        let (Some(at), Some((source, destination))) = (flow.at, ends) else { return };
        let sides = [(Direction::Out, source, destination), (Direction::In, destination, source)];
        for (direction, local, remote) in sides {
            if let Some(&cgroup) = self.cast.get(&local.ip()) {
                let side = Side { cgroup, direction, protocol: flow.protocol, local, remote };
                side.tell(flow, at, &mut self.acts);
            }
        }
    }

    fn name(&mut self, name: &NameRecord) {
        let (Some(at), Some(&cgroup)) = (name.at, self.cast.get(&name.source)) else { return };
        let message = DnsMessage {
            cgroup,
            server: name.server,
            is_answer: name.is_answer,
            name: name.name.clone(),
            record_type: name.record_type,
            code: name.code,
            addresses: name.addresses.clone(),
            bytes: bytes(name) as u32,
        };
        self.acts.push((at, Act::Tell(Body::Dns(Box::new(message)))));
    }
}

/// One end of a flow, as the kernel of its container sees it.
struct Side {
    cgroup: CgroupId,
    direction: Direction,
    protocol: Protocol,
    local: SocketAddr,
    remote: SocketAddr,
}

impl Side {
    fn tell(&self, flow: &FlowRecord, at: Time, acts: &mut Vec<(Time, Act)>) {
        let ended = at.plus(flow.lasted);
        // Where there are no connections, the first packet stands for one, whether it is answered or not. What a log does not
        // say is given the benefit of the doubt.
        if self.protocol.has_connections() && flow.outcome.has_failed() {
            // Who is tried and does not accept sees no connection.
            if self.direction == Direction::Out {
                acts.push((ended, Act::Contact(self.socket(SocketState::Failed))));
                acts.push((ended, self.count(FlowCounts { failed: 1, ..FlowCounts::default() })));
            }
            return;
        }
        let met = match self.direction {
            Direction::Out => SocketState::Connected,
            Direction::In => SocketState::Accepted,
        };
        acts.push((at, Act::Contact(self.socket(met))));
        acts.push((at, self.count(FlowCounts { opened: 1, ..FlowCounts::default() })));
        let all = self.counts(flow);
        self.spread(&all, at, flow.lasted, acts);
        if self.protocol.has_connections() {
            acts.push((ended, Act::Tell(Body::Socket(Box::new(self.closed(&all, flow.lasted))))));
            let lasted_ms = flow.lasted.as_millis() as u64;
            acts.push((ended, self.count(FlowCounts { closed: 1, lasted_ms, ..FlowCounts::default() })));
        }
    }

    /// Evenly over the seconds that it lasted.
    fn spread(&self, all: &FlowCounts, at: Time, lasted: Duration, acts: &mut Vec<(Time, Act)>) {
        let parts = (lasted.as_secs() + 1).min(PARTS_MAX);
        for part in 0..parts {
            let share = |count: u64| count * (part + 1) / parts - count * part / parts;
            let counts = FlowCounts {
                sent_bytes: share(all.sent_bytes),
                received_bytes: share(all.received_bytes),
                sent_packets: share(all.sent_packets),
                received_packets: share(all.received_packets),
                ..FlowCounts::default()
            };
            if !counts.is_empty() {
                acts.push((at.plus(lasted * part as u32 / parts as u32), self.count(counts)));
            }
        }
    }

    fn counts(&self, flow: &FlowRecord) -> FlowCounts {
        let forth = FlowCounts {
            sent_bytes: flow.sent_bytes,
            received_bytes: flow.received_bytes,
            sent_packets: flow.sent_packets,
            received_packets: flow.received_packets,
            ..FlowCounts::default()
        };
        match self.direction {
            Direction::Out => forth,
            Direction::In => FlowCounts {
                sent_bytes: flow.received_bytes,
                received_bytes: flow.sent_bytes,
                sent_packets: flow.received_packets,
                received_packets: flow.sent_packets,
                ..forth
            },
        }
    }

    fn socket(&self, state: SocketState) -> Socket {
        let opened_by = Some(self.direction);
        Socket {
            protocol: self.protocol,
            opened_by,
            ..Socket::new(self.cgroup, state, self.local, self.remote)
        }
    }

    fn closed(&self, all: &FlowCounts, lasted: Duration) -> Socket {
        Socket {
            sent_bytes: all.sent_bytes,
            received_bytes: all.received_bytes,
            lasted_ms: lasted.as_millis() as u64,
            ..self.socket(SocketState::Closed)
        }
    }

    fn count(&self, counts: FlowCounts) -> Act {
        let (direction, protocol, remote) = (self.direction, self.protocol, self.remote.ip());
        let port = match direction {
            Direction::Out => self.remote.port(),
            Direction::In => self.local.port(),
        };
        Act::Count(self.cgroup, FlowKey { direction, protocol, remote, port }, counts)
    }
}

fn cast(parsed: &Parsed) -> Cast {
    let openers = parsed.flows.iter().filter(|flow| flow.at.is_some()).filter_map(|flow| flow.source.address);
    let askers = parsed.names.iter().filter(|name| name.at.is_some()).map(|name| name.source);
    let mut private: Vec<IpAddr> = openers.chain(askers).filter(is_private).collect();
    private.sort_unstable();
    private.dedup();
    private.into_iter().zip((CGROUP_FIRST..).map(CgroupId)).collect()
}

fn is_private(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

/// The packet that a question goes in.
fn carrier(question: &NameRecord) -> FlowRecord {
    let (source, server) = (End::at(question.source, 0), End::at(question.server, DNS_PORT));
    FlowRecord {
        outcome: Outcome::Made,
        sent_bytes: bytes(question) as u64,
        sent_packets: 1,
        ..FlowRecord::new(question.at, Protocol::UDP, source, server)
    }
}

/// The least that such a message has.
fn bytes(name: &NameRecord) -> usize {
    DNS_BYTES + name.name.raw().len() + DNS_ADDRESS_BYTES * name.addresses.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(source: &str, destination: &str, outcome: Outcome) -> FlowRecord {
        let end = |text: &str| {
            let socket: SocketAddr = text.parse().unwrap();
            End::at(socket.ip(), socket.port())
        };
        let mut flow =
            FlowRecord::new(Some(Time::from_secs(100)), Protocol::TCP, end(source), end(destination));
        (flow.outcome, flow.sent_bytes, flow.received_bytes) = (outcome, 1_000, 77);
        flow.lasted = Duration::from_secs(30);
        flow
    }

    fn script(flows: &[FlowRecord]) -> Script {
        Script::of(&Parsed { flows: flows.to_vec(), ..Parsed::default() })
    }

    fn contacts(script: &Script) -> Vec<(i64, u64, SocketState)> {
        let contact = |(at, act): &(Time, Act)| match act {
            Act::Contact(socket) => Some((at.ns() / 1_000_000_000, socket.cgroup.0, socket.state)),
            _ => None,
        };
        script.acts().iter().filter_map(contact).collect()
    }

    #[test]
    fn what_went_over_a_flow_is_told_whole_on_both_sides() {
        let between = script(&[
            flow("10.0.0.5:40000", "10.0.0.7:80", Outcome::Made),
            flow("10.0.0.7:40000", "192.0.2.1:443", Outcome::Refused),
        ]);
        let mut sums: BTreeMap<(CgroupId, FlowKey), FlowCounts> = BTreeMap::new();
        for (_, act) in between.acts() {
            if let Act::Count(cgroup, key, counts) = act {
                sums.entry((*cgroup, *key)).or_default().add(counts);
            }
        }
        let told: Vec<_> = sums
            .iter()
            .map(|((cgroup, key), sum)| {
                (cgroup.0, key.port, sum.opened, sum.failed, sum.sent_bytes, sum.received_bytes)
            })
            .collect();
        assert_eq!(told, [(1000, 80, 1, 0, 1_000, 77), (1001, 443, 0, 1, 0, 0), (1001, 80, 1, 0, 77, 1_000)]);
    }

    #[test]
    fn a_failure_is_told_when_it_is_known_and_only_to_who_tried() {
        let tried = script(&[
            flow("10.0.0.5:40000", "10.0.0.7:80", Outcome::Unanswered),
            flow("10.0.0.7:40000", "192.0.2.1:443", Outcome::Made),
        ]);
        assert_eq!(contacts(&tried), [(100, 1001, SocketState::Connected), (130, 1000, SocketState::Failed)]);
    }

    #[test]
    fn addresses_that_are_public_or_open_nothing_are_no_containers() {
        let script = script(&[flow("192.0.2.9:40000", "10.0.0.7:80", Outcome::Made)]);
        assert!(script.cast().is_empty() && script.is_empty());
    }

    #[test]
    fn a_question_alone_is_carried_by_a_packet() {
        let question = NameRecord {
            at: Some(Time::from_secs(5)),
            source: [10, 0, 0, 5].into(),
            server: [10, 0, 0, 1].into(),
            name: "shop.example".into(),
            record_type: 1,
            code: 0,
            is_answer: false,
            addresses: Vec::new(),
        };
        let script = Script::of(&Parsed { names: vec![question], ..Parsed::default() });
        let told = script.acts().iter().filter(|(_, act)| matches!(act, Act::Tell(Body::Dns(_)))).count();
        assert_eq!((told, contacts(&script)), (1, vec![(5, 1000, SocketState::Connected)]));
    }
}
