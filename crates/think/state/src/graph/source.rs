//! What one container meets: whether its first contacts tell of somebody who searches.
//!
//! Contacts count once for each address and port: who asks a dead server again and again searches nothing. Not here:
//! edges, which are the workload's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::event::SocketState;
use model::identity::Container;
use model::ids::CgroupId;
use model::time::Time;
use model::traffic::{FlowKey, Peer, Protocol, Talk, TalkKind};
use serde::{Deserialize, Serialize};

use crate::traffic::distinct::{Distinct, Salt};
use crate::traffic::scan::{FanOut, Scan, Verdict};

/// Containers whose contacts are followed.
const SOURCES_MAX: usize = 10_000;
/// Addresses and ports that a container is known to have met; when there are more it begins anew.
const MET_MAX: usize = 1_024;
/// Datagrams without an answer that are waited for, and for how long.
const UNANSWERED_MAX: usize = 128;
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Contacts of a crowd, told as one number, that count at most in one second: the test needs no more.
const CROWD_COUNTED_MAX: u64 = 32;

/// Destinations in ten minutes from which a container meets very many, and how many times the most it met before.
const FAN_OUT_MIN: f64 = 200.0;
const FAN_OUT_FACTOR: f64 = 4.0;

/// The contacts of all containers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sources {
    of: BTreeMap<CgroupId, Source>,
    salt: Salt,
}

/// The contacts of one container.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Source {
    container: Arc<Container>,
    scan: Scan,
    fan: FanOut,
    /// Most destinations in one of its earlier windows of ten minutes.
    usual_fan: Option<f64>,
    met: BTreeSet<(IpAddr, u16, Protocol)>,
    #[serde(with = "model::pairs")]
    unanswered: BTreeMap<FlowKey, Time>,
    /// Of what the test was about since it began.
    addresses: Distinct,
    ports: Distinct,
    latest: Option<(IpAddr, u16)>,
}

/// A container that searches, or meets very many.
#[derive(Clone, Debug)]
pub struct Scanning {
    /// Which.
    pub container: Arc<Container>,
    /// Whether its first contacts fail as those of a search do; else it only meets very many.
    pub is_search: bool,
    /// First contacts that the test rests on, and how many of them failed.
    pub contacts: u32,
    /// See `contacts`.
    pub failed: u32,
    /// Addresses that it met, about.
    pub addresses: f64,
    /// Ports that it met, about.
    pub ports: f64,
    /// Destinations in the last ten minutes, about, and the most in an earlier window.
    pub destinations: f64,
    /// See `destinations`.
    pub usual_destinations: Option<f64>,
    /// The last address and port.
    pub latest: Option<(IpAddr, u16)>,
}

impl Sources {
    /// Makes what nobody in a container knows part of every hash, so that nobody can choose destinations that collide.
    pub(super) fn begin(&mut self, secret: u64) {
        self.salt = Salt::new(secret);
    }

    pub(super) fn salt(&self) -> Salt {
        self.salt
    }

    pub(super) fn forget(&mut self, cgroup: CgroupId) {
        self.of.remove(&cgroup);
    }

    /// Takes what a container opened.
    pub(super) fn take(&mut self, talk: &Talk) -> Option<Scanning> {
        let salt = self.salt;
        match &talk.what {
            TalkKind::Contact { state, .. } => self.source(talk)?.meet(talk, *state, salt),
            TalkKind::Counted(counts) if counts.received_packets > 0 && is_datagram(talk) => {
                self.source(talk)?.answered(talk)
            }
            _ => None,
        }
    }

    /// Takes the line of the kernel's table for all that had no line of their own.
    pub(super) fn crowd(&mut self, talk: &Talk) -> Option<Scanning> {
        let TalkKind::Counted(counts) = &talk.what else { return None };
        let source = self.source(talk)?;
        let (failed, made) = (counts.failed.min(CROWD_COUNTED_MAX), counts.opened.min(CROWD_COUNTED_MAX));
        let outcomes =
            std::iter::repeat_n(true, failed as usize).chain(std::iter::repeat_n(false, made as usize));
        outcomes.filter_map(|failed| source.count(failed, talk.at)).last()
    }

    pub(super) fn time_passes(&mut self, now: Time) -> Vec<Scanning> {
        self.of.values_mut().filter_map(|source| source.time_passes(now)).collect()
    }

    fn source(&mut self, talk: &Talk) -> Option<&mut Source> {
        let cgroup = talk.container.key.cgroup;
        if self.of.len() >= SOURCES_MAX && !self.of.contains_key(&cgroup) {
            return None;
        }
        Some(self.of.entry(cgroup).or_insert_with(|| Source::new(&talk.container)))
    }
}

impl Source {
    fn new(container: &Arc<Container>) -> Self {
        Self {
            container: Arc::clone(container),
            scan: Scan::default(),
            fan: FanOut::default(),
            usual_fan: None,
            met: BTreeSet::new(),
            unanswered: BTreeMap::new(),
            addresses: Distinct::default(),
            ports: Distinct::default(),
            latest: None,
        }
    }

    fn meet(&mut self, talk: &Talk, state: SocketState, salt: Salt) -> Option<Scanning> {
        let met = (talk.address, talk.key.port, talk.key.protocol);
        let destination = destination_hash(met, salt);
        let closed = self.fan.take(talk.at, destination);
        self.learn_fan(closed);
        let destinations = self.fan.count(talk.at);
        let is_far_more = destinations >= FAN_OUT_FACTOR * self.usual_fan.unwrap_or(0.0);
        let met_very_many = destinations >= FAN_OUT_MIN && is_far_more;
        if self.met.len() >= MET_MAX {
            self.met.clear();
        }
        if !self.met.insert(met) {
            return None;
        }
        self.addresses.insert(salt.hash(talk.address.to_string().as_bytes()));
        self.ports.insert(salt.hash(&talk.key.port.to_le_bytes()));
        self.latest = Some((talk.address, talk.key.port));
        if !is_datagram(talk) {
            let search = self.count(state == SocketState::Failed, talk.at);
            return search.or_else(|| met_very_many.then(|| self.scanning(false, talk.at)));
        }
        let is_for_many = matches!(&talk.peer, Peer::Inside(address) if address.is_multicast());
        if !is_for_many && self.unanswered.len() < UNANSWERED_MAX {
            self.unanswered.insert(talk.key, talk.at);
        }
        met_very_many.then(|| self.scanning(false, talk.at))
    }

    fn answered(&mut self, talk: &Talk) -> Option<Scanning> {
        self.unanswered.remove(&talk.key)?;
        self.count(false, talk.at)
    }

    fn time_passes(&mut self, now: Time) -> Option<Scanning> {
        let closed = self.fan.close(now);
        self.learn_fan(closed);
        let mut found = None;
        while let Some(key) = self.late(now) {
            self.unanswered.remove(&key);
            found = self.count(true, now).or(found);
        }
        found
    }

    /// What it met in a window that is over.
    fn learn_fan(&mut self, closed: Option<f64>) {
        self.usual_fan = match (self.usual_fan, closed) {
            (Some(usual), Some(closed)) => Some(usual.max(closed)),
            (usual, closed) => usual.or(closed),
        };
    }

    fn late(&self, now: Time) -> Option<FlowKey> {
        let late = self.unanswered.iter().find(|(_, at)| now.since(**at) >= ANSWER_WITHIN);
        late.map(|(key, _)| *key)
    }

    /// One more outcome of a first contact.
    fn count(&mut self, failed: bool, at: Time) -> Option<Scanning> {
        match self.scan.take(failed) {
            Verdict::Open => None,
            Verdict::Usual => {
                (self.addresses, self.ports) = (Distinct::default(), Distinct::default());
                None
            }
            Verdict::Scan => Some(self.scanning(true, at)),
        }
    }

    /// What is told of it.
    fn scanning(&self, is_search: bool, at: Time) -> Scanning {
        Scanning {
            container: Arc::clone(&self.container),
            is_search,
            contacts: self.scan.contacts(),
            failed: self.scan.failed(),
            addresses: self.addresses.count(),
            ports: self.ports.count(),
            destinations: self.fan.count(at),
            usual_destinations: self.usual_fan,
            latest: self.latest,
        }
    }
}

/// Whether only an answer tells that it succeeded.
fn is_datagram(talk: &Talk) -> bool {
    !talk.key.protocol.has_connections()
}

fn destination_hash((address, port, protocol): (IpAddr, u16, Protocol), salt: Salt) -> u64 {
    salt.hash(format!("{address} {port} {protocol}").as_bytes())
}
