//! Whose address it was at what time: addresses are given to another container as soon as one ends.
//!
//! Two views: what the runtime claims of a container, and what its own sockets show. Not here: names.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use model::identity::Container;
use model::ids::CgroupId;
use model::time::Time;
use model::traffic::Protocol;
use serde::{Deserialize, Serialize};

/// Most addresses, and most ports that several containers behind one address share.
const ADDRESSES_MAX: usize = 16_384;
/// Holders of one address that are told apart, the latest first.
const HOLDERS_MAX: usize = 4;
/// How long those that ended are remembered, for what is told late.
const ENDED_KEPT: Duration = Duration::from_secs(60);
/// How long before its first process was seen a container may have had its address, and after its end: clocks of the
/// runtime and the kernel, and packets on their way.
const SLACK: Duration = Duration::from_millis(200);

/// Who had which address.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Addresses {
    #[serde(with = "model::pairs")]
    holders: BTreeMap<IpAddr, Vec<Holder>>,
    #[serde(with = "model::pairs")]
    servers: BTreeMap<(IpAddr, Protocol, u16), Vec<Holder>>,
    #[serde(with = "model::pairs")]
    host_ports: BTreeMap<(Protocol, u16), Vec<Holder>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    cgroup: CgroupId,
    started: Time,
    ended: Option<Time>,
    /// Whether a runtime says so; else only its sockets do, which may be in another's namespace.
    is_claimed: bool,
    /// Of a port of the host: the container's port that it leads to.
    #[serde(default)]
    port: u16,
}

impl Addresses {
    /// A runtime tells of a container's addresses and of the host's ports that lead to it.
    pub(crate) fn claimed(&mut self, container: &Container) {
        let Some(facts) = container.facts.known() else { return };
        let holder = Holder { is_claimed: true, ..Holder::new(container) };
        for address in &facts.addresses {
            put(&mut self.holders, *address, holder);
        }
        for port in &facts.published {
            put(&mut self.host_ports, (port.protocol, port.host_port), Holder { port: port.port, ..holder });
        }
    }

    /// A container's own socket has this address.
    pub(crate) fn seen(&mut self, address: IpAddr, container: &Container) {
        put(&mut self.holders, address, Holder::new(container));
    }

    /// A container accepted a connection there: of several behind one address it is the one that serves this port.
    pub(crate) fn serves(&mut self, place: (IpAddr, Protocol, u16), container: &Container) {
        put(&mut self.servers, place, Holder::new(container));
    }

    /// A container ended, and its addresses are free.
    pub(crate) fn ended(&mut self, container: &Container) {
        let ended = container.ended;
        let is_it = |holder: &Holder| {
            holder.cgroup == container.key.cgroup && holder.started == container.key.started
        };
        let holders =
            self.holders.values_mut().chain(self.servers.values_mut()).chain(self.host_ports.values_mut());
        holders.flatten().filter(|holder| is_it(holder)).for_each(|holder| holder.ended = ended);
    }

    /// Who had the address then, and served that port.
    pub(crate) fn owner(
        &self,
        address: IpAddr,
        served: Option<(Protocol, u16)>,
        at: Time,
    ) -> Option<(CgroupId, Time)> {
        let server = served.and_then(|(protocol, port)| self.servers.get(&(address, protocol, port)));
        let by_port = server.and_then(|holders| best(holders, at));
        let by_address = || self.holders.get(&address).and_then(|holders| best(holders, at));
        by_port.or_else(by_address).map(|holder| (holder.cgroup, holder.started))
    }

    /// Who had the address last, of those that ended before that moment.
    pub(crate) fn former(&self, address: IpAddr, at: Time) -> Option<(CgroupId, Time)> {
        let holders = self.holders.get(&address)?;
        let ended = holders.iter().filter(|holder| holder.ended.is_some_and(|ended| ended <= at));
        ended.max_by_key(|holder| holder.ended).map(|holder| (holder.cgroup, holder.started))
    }

    /// Who was behind a port of the host then, and behind which port of its own.
    pub(crate) fn behind_host_port(
        &self,
        protocol: Protocol,
        port: u16,
        at: Time,
    ) -> Option<(CgroupId, Time, u16)> {
        let holders = self.host_ports.get(&(protocol, port))?;
        best(holders, at).map(|holder| (holder.cgroup, holder.started, holder.port))
    }

    /// Forgets those that ended a while ago.
    pub(crate) fn sweep(&mut self, now: Time) {
        let is_kept = |holder: &Holder| holder.ended.is_none_or(|ended| now.since(ended) < ENDED_KEPT);
        sweep(&mut self.holders, is_kept);
        sweep(&mut self.servers, is_kept);
        sweep(&mut self.host_ports, is_kept);
    }
}

impl Holder {
    fn new(container: &Container) -> Self {
        let (cgroup, started) = (container.key.cgroup, container.key.started);
        Self { cgroup, started, ended: container.ended, is_claimed: false, port: 0 }
    }

    fn had_it(&self, at: Time) -> bool {
        at >= self.started.minus(SLACK) && self.ended.is_none_or(|ended| at <= ended.plus(SLACK))
    }
}

/// Of those who had it then the one that started last, a claimed one before one that only seems so.
fn best(holders: &[Holder], at: Time) -> Option<&Holder> {
    holders.iter().filter(|holder| holder.had_it(at)).max_by_key(|holder| {
        // Within the slack around a change both had it: who still lives is likelier.
        (holder.ended.is_none(), holder.is_claimed, holder.started)
    })
}

fn put<K: Ord>(places: &mut BTreeMap<K, Vec<Holder>>, place: K, holder: Holder) {
    if places.len() >= ADDRESSES_MAX && !places.contains_key(&place) {
        return;
    }
    let holders = places.entry(place).or_default();
    let same = holders.iter_mut().find(|it| it.cgroup == holder.cgroup && it.started == holder.started);
    if let Some(same) = same {
        same.is_claimed |= holder.is_claimed;
        return;
    }
    holders.insert(0, holder);
    holders.truncate(HOLDERS_MAX);
}

fn sweep<K: Ord>(places: &mut BTreeMap<K, Vec<Holder>>, is_kept: impl Fn(&Holder) -> bool) {
    for holders in places.values_mut() {
        holders.retain(|holder| is_kept(holder));
    }
    places.retain(|_, holders| !holders.is_empty());
}
