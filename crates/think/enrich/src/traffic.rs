//! Both ends of what went on between a container and somebody else.
//!
//! Who an address belongs to may be known only a moment later: until then, for a bounded time, what went on waits. Not
//! here: what is usual (`state`), and traffic of the host itself.

mod addresses;

mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use model::event::{Body, Event, Socket, SocketState};
use model::identity::{Container, News};
use model::ids::CgroupId;
use model::time::Time;
use model::traffic::{
    Crowd, Direction, DnsMessage, FlowKey, Flows, InterfaceAddress, Peer, Protocol, Talk, TalkKind, is_own,
};
use serde::{Deserialize, Serialize};

use crate::CLAIM_WAIT;
use crate::inventory::Inventory;
use crate::traffic::addresses::Addresses;
use crate::traffic::names::Names;

/// How long what went on may wait for its ends: as long as a container may wait for its runtime, and what an event needs
/// to get here.
const WAIT: Duration = CLAIM_WAIT.saturating_add(Duration::from_secs(1));

/// How much later than what they count the counts of flows may come.
const COUNTED_LATE: Duration = Duration::from_secs(2);

/// Most flows whose ends are remembered, and of these those of one cgroup; what goes beyond is told by its address alone.
const LINKS_MAX: usize = 65_536;
const LINKS_OF_ONE_MAX: usize = 8_192;
/// How long the ends of a flow are remembered after it was last heard of; the kernel tells its next contact anew.
const LINK_KEPT: Duration = Duration::from_secs(300);
/// How often those not heard of are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// Most flows that wait at once; more are told by their address alone.
const WAITING_MAX: usize = 4_096;
/// Most things that go on over one of them meanwhile: the kernel tells 32 ends at once and 8 a second, besides contact and counts.
const PARKED_MAX: usize = 64;

/// Who is at the ends of flows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Traffic {
    /// Network namespace of the host.
    host_net_ns: u32,
    interfaces: BTreeSet<IpNet>,
    addresses: Addresses,
    names: Names,
    #[serde(with = "model::pairs")]
    links: BTreeMap<Place, Link>,
    /// How many of them each cgroup has.
    #[serde(default)]
    held: BTreeMap<CgroupId, usize>,
    /// Flows whose ends are awaited, by until when.
    waiting: BTreeSet<(Time, Place)>,
    swept: Time,
    dropped: u64,
}

/// Whose flow, and which.
type Place = (CgroupId, FlowKey);

/// The other end of a flow.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Link {
    end: End,
    last: Time,
    /// The address and port that truly answer.
    remote: IpAddr,
    port: u16,
    /// The port at that address, before a container was found behind it.
    asked_port: u16,
    /// What went on while its ends were awaited.
    parked: Vec<(Time, TalkKind)>,
}

/// What is known of the other end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum End {
    /// Nothing yet.
    #[default]
    Awaited,
    /// A container, by its cgroup and start.
    Container(CgroupId, Time),
    /// The host.
    Host,
    /// An address of a private range.
    Inside,
    /// Any other address.
    Outside,
    /// The container itself: nothing that concerns anybody else.
    Itself,
}

impl Link {
    /// A flow whose other end is to be found, at the address that the host translates it to, if it does.
    fn new(key: FlowKey, translated: Option<SocketAddr>, at: Time) -> Self {
        // Whoever connects is translated, not what it connects to.
        let is_served = key.direction == Direction::Out;
        let port = translated.filter(|_| is_served).map_or(key.port, |truly| truly.port());
        let remote = translated.map_or(key.remote, |truly| truly.ip());
        Self { end: End::Awaited, last: at, remote, asked_port: port, port, parked: Vec::new() }
    }

    /// A flow goes on in the kernel's table when its address is given to another container.
    fn is_doubtful(&self, at: Time, addresses: &Addresses, inventory: &Inventory) -> bool {
        match self.end {
            End::Container(cgroup, started) => !inventory
                .container_of(cgroup)
                .is_some_and(|it| it.key.started == started && it.ended.is_none_or(|ended| at <= ended)),
            End::Inside => addresses.owner(self.remote, None, at).is_some(),
            _ => false,
        }
    }

    /// The end is looked for anew.
    fn doubt(&mut self) {
        self.end = End::Awaited;
        self.port = self.asked_port;
    }

    /// A thing that went on with its ends as they are known.
    fn talk(
        &self,
        (cgroup, key): Place,
        (at, what): (Time, TalkKind),
        names: &Names,
        inventory: &Inventory,
    ) -> Option<Talk> {
        let container = inventory.container_of(cgroup)?;
        let peer = match &self.end {
            End::Awaited | End::Itself => return None,
            End::Container(cgroup, started) => {
                let there = inventory.container_of(*cgroup);
                Peer::Container(there.filter(|container| container.key.started == *started)?.clone())
            }
            End::Host => Peer::Host,
            End::Inside => Peer::Inside(self.remote),
            End::Outside => {
                let name = names.of(cgroup, self.remote).cloned();
                Peer::Outside { address: self.remote, name }
            }
        };
        let (container, key) = (container.clone(), FlowKey { port: self.port, ..key });
        Some(Talk { container, peer, key, address: self.remote, at, what })
    }
}

impl Traffic {
    /// The host's own network namespace.
    pub(crate) fn host_is(&mut self, net_ns: u32) {
        self.host_net_ns = net_ns;
    }

    /// How much was not taken in because a limit was reached.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes in what appeared, was claimed and ended.
    pub(crate) fn watch(&mut self, news: &[News]) {
        for news in news {
            match news {
                News::Settled(container) => self.addresses.claimed(container),
                News::Ended(container) => {
                    self.addresses.ended(container);
                    self.names.forget(container.key.cgroup);
                }
                News::Appeared(_) | News::Tallied(_) => {}
            }
        }
    }

    /// Gives what went on whose ends are known now.
    pub(crate) fn identify(&mut self, event: &Event, inventory: &Inventory) -> Vec<Talk> {
        let mut talks = Vec::new();
        match &event.body {
            Body::Socket(socket) => self.socket(socket, event.time, inventory, &mut talks),
            Body::Flows(flows) => self.flows(flows, event.time, inventory, &mut talks),
            Body::Dns(message) => self.learn_names(message, event.time, inventory),
            Body::Interfaces(interfaces) => self.interfaces_are(interfaces),
            Body::Tick => {
                self.sweep(event.time);
                self.release(event.time, inventory, &mut talks);
            }
            Body::Container(_) => self.release(event.time, inventory, &mut talks),
            _ => {}
        }
        talks
    }

    /// Networks come and go while flows go on: whoever had, or has now, one of the host's addresses is looked for anew.
    fn interfaces_are(&mut self, interfaces: &[InterfaceAddress]) {
        self.interfaces = interfaces.iter().filter_map(network).collect();
        let own: BTreeSet<IpAddr> = self.interfaces.iter().map(IpNet::addr).collect();
        for link in self.links.values_mut() {
            let is_ours = link.remote.is_loopback() || own.contains(&link.remote);
            let is_wrong = match link.end {
                End::Host => !is_ours,
                End::Inside => is_ours,
                _ => false,
            };
            if is_wrong {
                link.doubt();
            }
        }
    }

    fn socket(&mut self, socket: &Socket, at: Time, inventory: &Inventory, talks: &mut Vec<Talk>) {
        let Some(container) = inventory.container_of(socket.cgroup) else { return };
        self.learn_address(socket, container);
        let Some(key) = socket.flow() else { return };
        let place = (socket.cgroup, key);
        let what = match socket.state {
            SocketState::Closed => {
                let opened = at.minus(Duration::from_millis(socket.lasted_ms));
                TalkKind::Closed {
                    opened,
                    sent_bytes: socket.sent_bytes,
                    received_bytes: socket.received_bytes,
                }
            }
            SocketState::Listening => return,
            state => {
                self.begin(place, socket, at);
                TalkKind::Contact { state, program: socket.program.clone() }
            }
        };
        self.take(place, (at, what), inventory, talks);
    }

    fn flows(&mut self, flows: &Flows, at: Time, inventory: &Inventory, talks: &mut Vec<Talk>) {
        if inventory.container_of(flows.cgroup).is_none() {
            return;
        }
        talks.reserve(flows.flows.len());
        for flow in &flows.flows {
            let place = (flows.cgroup, flow.key);
            self.take(place, (at, TalkKind::Counted(flow.counts)), inventory, talks);
        }
    }

    /// A first contact: whoever was at the other end before need not be there now.
    fn begin(&mut self, place: Place, socket: &Socket, at: Time) {
        let link = Link::new(place.1, socket.translated, at);
        match self.links.get_mut(&place) {
            Some(before) => *before = Link { parked: std::mem::take(&mut before.parked), ..link },
            None => self.insert(place, link),
        }
    }

    fn insert(&mut self, place: Place, link: Link) {
        let held = self.held.get(&place.0).copied().unwrap_or(0);
        if self.links.len() < LINKS_MAX && held < LINKS_OF_ONE_MAX {
            self.links.insert(place, link);
            self.held.insert(place.0, held + 1);
        } else {
            self.dropped += 1;
        }
    }

    /// What goes on over a flow that there is no room for: its bytes must not be hidden by how many others there are.
    fn tell_unlinked(&self, place: Place, what: (Time, TalkKind), inventory: &Inventory) -> Option<Talk> {
        let container = inventory.container_of(place.0)?;
        let mut link = Link::new(place.1, None, what.0);
        let found = self.end_of(container, &link, (place.1, what.0), inventory);
        (link.end, link.port) = found.unwrap_or_else(|| (end_by_address(link.remote), link.port));
        link.talk(place, what, &self.names, inventory)
    }

    /// One thing that went on: told when both ends are known, behind what waited for them, else kept until they are.
    fn take(
        &mut self,
        place: Place,
        (at, what): (Time, TalkKind),
        inventory: &Inventory,
        talks: &mut Vec<Talk>,
    ) {
        let believed = believed_at(at, &what);
        let is_awaited = match self.links.get_mut(&place) {
            Some(link) => {
                link.last = at;
                if link.is_doubtful(believed, &self.addresses, inventory) {
                    link.doubt();
                }
                link.end == End::Awaited
            }
            None => {
                self.insert(place, Link::new(place.1, None, at));
                true
            }
        };
        if is_awaited {
            self.resolve(place, believed, inventory);
            self.make_do(place, believed);
        }
        let Some(link) = self.links.get_mut(&place) else {
            talks.extend(self.tell_unlinked(place, (at, what), inventory));
            return;
        };
        if link.end == End::Awaited {
            self.park(place, (at, what));
            return;
        }
        let told = std::mem::take(&mut link.parked).into_iter().chain([(at, what)]);
        talks.extend(told.filter_map(|what| link.talk(place, what, &self.names, inventory)));
    }

    fn park(&mut self, place: Place, (at, what): (Time, TalkKind)) {
        let Some(link) = self.links.get_mut(&place) else { return };
        if link.parked.is_empty() {
            self.waiting.insert((at.plus(WAIT), place));
        }
        let has_room = link.parked.len() < PARKED_MAX;
        match (link.parked.last_mut(), what) {
            (Some((_, TalkKind::Counted(counts))), TalkKind::Counted(more)) => counts.add(&more),
            (_, what) if has_room => link.parked.push((at, what)),
            _ => self.dropped += 1,
        }
    }

    /// What has waited long enough, or can be told now.
    fn release(&mut self, now: Time, inventory: &Inventory, talks: &mut Vec<Talk>) {
        let waiting: Vec<(Time, Place)> = self.waiting.iter().copied().collect();
        for (until, place) in waiting {
            let at = until.minus(WAIT);
            self.resolve(place, at, inventory);
            let is_awaited = self.links.get(&place).is_some_and(|link| link.end == End::Awaited);
            if is_awaited && now < until {
                continue;
            }
            if is_awaited {
                self.give_up(place, at);
            }
            self.waiting.remove(&(until, place));
            let Some(link) = self.links.get_mut(&place) else { continue };
            let parked = std::mem::take(&mut link.parked).into_iter();
            talks.extend(parked.filter_map(|what| link.talk(place, what, &self.names, inventory)));
        }
    }

    /// Finds the other end, unless it is known or the container's own facts are awaited.
    fn resolve(&mut self, place: Place, at: Time, inventory: &Inventory) {
        let Some(link) = self.links.get(&place).filter(|link| link.end == End::Awaited) else { return };
        let Some(container) = inventory.container_of(place.0) else { return };
        if container.facts.is_pending() {
            return;
        }
        if let Some((end, port)) = self.end_of(container, link, (place.1, at), inventory)
            && let Some(link) = self.links.get_mut(&place)
        {
            link.end = end;
            link.port = port;
        }
    }

    /// Who is at the other end, and the port that answers there; `None` while that may still be told.
    fn end_of(
        &self,
        container: &Container,
        link: &Link,
        (key, at): (FlowKey, Time),
        inventory: &Inventory,
    ) -> Option<(End, u16)> {
        let there = |end: End| Some((end, link.port));
        let shares_host = container.namespaces.net == self.host_net_ns;
        let to_itself = if shares_host { End::Host } else { End::Itself };
        match Crowd::of(link.remote) {
            Some(Crowd::Loopback) => return there(to_itself),
            Some(Crowd::Outside) => return there(End::Outside),
            Some(Crowd::Inside | Crowd::Untold) => return there(End::Inside),
            None if link.remote.is_loopback() => return there(to_itself),
            None => {}
        }
        let served = (key.direction == Direction::Out).then_some((key.protocol, link.port));
        if let Some((cgroup, started)) = self.addresses.owner(link.remote, served, at) {
            let owner = inventory.container_of(cgroup)?;
            if owner.key == container.key {
                return there(End::Itself);
            }
            let is_pending = owner.facts.is_pending() && owner.ended.is_none();
            return (!is_pending).then_some((End::Container(cgroup, started), link.port));
        }
        if self.interfaces.iter().any(|own| own.addr() == link.remote) {
            return Some(self.published(served, at).unwrap_or((End::Host, link.port)));
        }
        // That of a container which has not been told yet, or of a network that was made just now.
        let may_be_ours = is_own(link.remote)
            || self.interfaces.iter().any(|own| own.prefix_len() > 0 && own.contains(&link.remote));
        (!may_be_ours).then(|| (end_by_address(link.remote), link.port))
    }

    /// The container that a port of the host leads to.
    fn published(&self, served: Option<(Protocol, u16)>, at: Time) -> Option<(End, u16)> {
        let (protocol, port) = served?;
        let (cgroup, started, port) = self.addresses.behind_host_port(protocol, port, at)?;
        Some((End::Container(cgroup, started), port))
    }

    /// When too many wait already: what can be said now is better than nothing.
    fn make_do(&mut self, place: Place, at: Time) {
        let is_next = |link: &Link| link.end == End::Awaited && link.parked.is_empty();
        if self.waiting.len() >= WAITING_MAX && self.links.get(&place).is_some_and(is_next) {
            self.give_up(place, at);
        }
    }

    /// Nobody told of having the address: who had it last, if that was just before, else what the address itself says.
    fn give_up(&mut self, place: Place, at: Time) {
        let Some(link) = self.links.get(&place) else { return };
        let former =
            self.addresses.former(link.remote, at).map(|(cgroup, started)| End::Container(cgroup, started));
        let end = former.unwrap_or_else(|| end_by_address(link.remote));
        if let Some(link) = self.links.get_mut(&place) {
            link.end = end;
        }
    }

    /// The address by which a container is reached, as its own sockets show it.
    fn learn_address(&mut self, socket: &Socket, container: &Container) {
        let local = socket.local.ip();
        let net_ns = container.namespaces.net;
        let is_own = net_ns != self.host_net_ns && [0, net_ns].contains(&socket.net_ns);
        if !is_own || local.is_loopback() || local.is_unspecified() {
            return;
        }
        self.addresses.seen(local, container);
        if socket.state == SocketState::Accepted {
            self.addresses.serves((local, socket.protocol, socket.local.port()), container);
        }
    }

    fn learn_names(&mut self, message: &DnsMessage, at: Time, inventory: &Inventory) {
        if !message.is_answer || message.name.is_empty() {
            return;
        }
        if let Some(container) = inventory.container_of(message.cgroup) {
            self.names.learn(container.key.cgroup, message, at);
        }
    }

    fn sweep(&mut self, now: Time) {
        if now.since(self.swept) < SWEEP_EVERY {
            return;
        }
        self.swept = now;
        self.links.retain(|_, link| !link.parked.is_empty() || now.since(link.last) < LINK_KEPT);
        self.held.clear();
        for (cgroup, _) in self.links.keys() {
            *self.held.entry(*cgroup).or_default() += 1;
        }
        self.addresses.sweep(now);
    }
}

/// What can be said of an address that nobody here has. A neighbour in a public network is outside.
fn end_by_address(address: IpAddr) -> End {
    if is_private(address) { End::Inside } else { End::Outside }
}

/// The moment by which the other end is looked up: counts tell of the seconds before, an end of the whole connection.
fn believed_at(at: Time, what: &TalkKind) -> Time {
    match what {
        TalkKind::Contact { .. } => at,
        TalkKind::Closed { opened, .. } => *opened,
        TalkKind::Counted(_) => at.minus(COUNTED_LATE),
    }
}

/// The host's own address with the network that it is in; `None` for a prefix that no address has.
fn network(own: &InterfaceAddress) -> Option<IpNet> {
    IpNet::new(own.address, own.prefix_bits).ok()
}

/// Addresses that are nobody's on the Internet: of networks of one's own, and for many at once. Those set aside for
/// documentation are not among them: they stand for the Internet where one has none.
fn is_private(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    is_own(address) || is_broadcast || address.is_multicast() || address.is_unspecified()
}

#[cfg(test)]
mod tests;
