//! Who talks to whom: edges between workloads and with the outside, and what each step shows to be new about them.
//!
//! Bounded: of a workload that has too many edges, and of all, the ones that were seen least and the longest ago make
//! room. Not here: any claim (`detect`), what is allowed (`policy.rs`), and who the ends are (`enrich`).

mod edge;

mod edges;

mod endpoint;

mod follow;

mod listeners;

mod names;

mod source;

mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::event::{Socket, SocketState};
use model::identity::Container;
use model::ids::{CgroupId, WorkloadKey};
use model::time::Time;
use model::traffic::{
    Crowd, Direction, DnsMessage, EdgeKey, Endpoint, FlowCounts, Peer, Protocol, Talk, TalkKind,
};
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use crate::CommunicationConfig;
pub use crate::graph::edge::{Edge, Volume};
use crate::graph::edges::Edges;
use crate::graph::listeners::Listeners;
pub use crate::graph::listeners::{Listener, Opening};
pub use crate::graph::names::Asked;
use crate::graph::names::Questions;
pub use crate::graph::source::Scanning;
use crate::graph::source::Sources;
use crate::traffic::novelty::{Novelty, maturity, score};

/// Most edges of one workload, and of all.
pub const EDGES_OF_ONE_MAX: usize = 4_096;
/// See [`EDGES_OF_ONE_MAX`].
pub const EDGES_MAX: usize = 65_536;
/// Which share of them makes room at once, as a divisor.
const EVICTED_SHARE: usize = 16;
/// Most workloads whose habits are known; the one seen the longest ago makes room.
const WORKLOADS_MAX: usize = 4_096;

/// Flows told at once that count for how often a workload makes new edges.
const FLOWS_TAKEN_MAX: u64 = 300;

/// The graph, and what the last step showed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Graph {
    edges: Edges,
    habits: BTreeMap<WorkloadKey, Habits>,
    /// How many workloads know each other end.
    #[serde(with = "model::pairs")]
    known_by: BTreeMap<Endpoint, u32>,
    listeners: Listeners,
    sources: Sources,
    questions: Questions,
    config: CommunicationConfig,
    forgotten: u64,
    #[serde(skip)]
    news: GraphNews,
}

/// How a workload usually meets others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Habits {
    first: Time,
    last: Time,
    novelty: Novelty,
    /// Edges it has, both those it opens and those by which it is opened.
    edges: usize,
    /// Of those that it opens, those that lead outside.
    outside: usize,
}

/// What one step showed; gone with the next.
#[derive(Clone, Debug, Default)]
pub struct GraphNews {
    /// First contacts: with somebody new, or after a while.
    pub meetings: Vec<Meeting>,
    /// Edges to the outside that were used just now.
    pub used: Vec<Use>,
    /// What containers exchanged with addresses outside that there are too many of to tell them apart.
    pub crowds: Vec<(Arc<Container>, FlowCounts)>,
    /// Ports that somebody began to serve.
    pub openings: Vec<Opening>,
    /// Containers whose first contacts tell of a search.
    pub scans: Vec<Scanning>,
    /// Domains that somebody asked about.
    pub asked: Vec<Asked>,
}

/// A first contact.
#[derive(Clone, Debug)]
pub struct Meeting {
    /// Who, whom, which service.
    pub edge: Arc<EdgeKey>,
    /// The container that opened it, or that was opened when the opener is none of ours.
    pub container: Arc<Container>,
    /// The container at the other end, when it is one.
    pub other: Option<Arc<Container>>,
    /// The address at the other end.
    pub address: std::net::IpAddr,
    /// The name that it was looked up by.
    pub name: Option<Untrusted>,
    /// When.
    pub at: Time,
    /// How it went.
    pub state: SocketState,
    /// Program that opened it.
    pub program: Untrusted,
    /// Whether the workload never had this edge before.
    pub is_new: bool,
    /// How unusual a new edge is for the workload (ALGORITHMS §3.1), in log10 units; 0 for one that is not new.
    pub score: f64,
    /// How well the workload is known, 0 to 1: a day of watching makes 0.63.
    pub maturity: f64,
    /// Whether the workload never went outside before.
    pub is_first_outside: bool,
    /// Workloads that know the other end, this one not counted.
    pub known_by: u32,
}

/// An edge to the outside that was used just now.
#[derive(Clone, Debug)]
pub struct Use {
    /// Which.
    pub edge: Arc<EdgeKey>,
    /// By whom.
    pub container: Arc<Container>,
    /// What went over it since it was read before; none with a contact or an end.
    pub counts: FlowCounts,
}

impl Graph {
    /// A graph of nothing yet, judged by these settings.
    pub(crate) fn new(config: CommunicationConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// How well a workload is known, 0 to 1.
    pub(crate) fn maturity(&self, workload: &WorkloadKey, now: Time) -> f64 {
        let since = self.watched_since(workload);
        since.map_or(0.0, |since| maturity(now.since(since), self.known_after()))
    }

    /// Whether the other end lies beyond this host and every network of one's own.
    pub fn is_outside(&self, peer: &Peer) -> bool {
        matches!(peer, Peer::Outside { address, .. } if !self.config.is_internal(*address))
    }

    fn known_after(&self) -> Duration {
        Duration::from_secs(self.config.mature_after_seconds)
    }

    /// Forgets what the step before showed.
    pub(crate) fn begin_step(&mut self) {
        let GraphNews { meetings, used, crowds, openings, scans, asked } = &mut self.news;
        asked.clear();
        meetings.clear();
        used.clear();
        crowds.clear();
        openings.clear();
        scans.clear();
    }

    /// What this step showed.
    pub fn news(&self) -> &GraphNews {
        &self.news
    }

    /// An edge.
    pub fn edge(&self, key: &EdgeKey) -> Option<&Edge> {
        self.edges.get(key)
    }

    /// All edges, ordered by who opens.
    pub fn edges(&self) -> impl Iterator<Item = (&EdgeKey, &Edge)> {
        self.edges.iter().map(|(key, edge)| (&**key, edge))
    }

    /// Workloads that know the other end.
    pub fn known_by(&self, end: &Endpoint) -> u32 {
        self.known_by.get(end).copied().unwrap_or(0)
    }

    /// Workloads whose habits are known.
    pub fn workloads(&self) -> usize {
        self.habits.len()
    }

    /// Since when the workload is watched.
    pub fn watched_since(&self, workload: &WorkloadKey) -> Option<Time> {
        self.habits.get(workload).map(|habits| habits.first)
    }

    /// What was served, by workload and port.
    pub fn listeners(&self) -> impl Iterator<Item = (&WorkloadKey, &Listener)> {
        self.listeners.iter()
    }

    /// Edges that were forgotten to make room for others.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// A judge spoke about an edge.
    pub(crate) fn note(&mut self, key: &EdgeKey, judge: &str, at: Time) {
        if let Some(edge) = self.edges.edge_mut(key) {
            edge.note(judge, at);
        }
    }

    /// A container listens on a port. Until its facts are settled nobody can say which workload does.
    pub(crate) fn listens(&mut self, socket: &Socket, container: &Arc<Container>, at: Time) {
        if socket.local.ip().is_loopback() {
            return;
        }
        if container.facts.is_pending() {
            self.listeners.wait(container.key.cgroup, socket, at);
            return;
        }
        let opening = self.listeners.open(socket, container, at);
        self.news.openings.extend(opening);
    }

    /// A container's facts are settled: from now on its workload is watched, whether it meets anybody or not.
    pub(crate) fn settled(&mut self, container: &Arc<Container>, now: Time) {
        let workload = container.workload();
        self.make_room(&workload);
        self.habits.entry(workload).or_insert_with(|| Habits::new(now)).last = now;
        for (at, socket) in self.listeners.awaited(container.key.cgroup) {
            self.listens(&socket, container, at);
        }
    }

    /// A container asks for a name, or is answered.
    pub(crate) fn asks(&mut self, message: &DnsMessage, asker: (&Arc<Container>, &WorkloadKey), at: Time) {
        let salt = self.sources.salt();
        self.news.asked.extend(self.questions.take(message, asker, at, salt));
    }

    /// Makes what nobody in a container knows part of every hash.
    pub(crate) fn begin(&mut self, secret: u64) {
        self.sources.begin(secret);
    }

    /// A container ended: what it met is its own no more.
    pub(crate) fn ended(&mut self, cgroup: CgroupId) {
        self.sources.forget(cgroup);
    }

    /// Time passes: datagrams that nobody answered in time count as failures.
    pub(crate) fn time_passes(&mut self, now: Time) {
        self.news.scans.extend(self.sources.time_passes(now));
    }

    /// Takes in one thing that went on.
    pub(crate) fn take(&mut self, talk: &Talk) {
        if let Some(crowd) = Crowd::of(talk.address) {
            // The line of the kernel's table for all that had no line of their own: whom it was with is unknown.
            self.news.scans.extend(self.sources.crowd(talk));
            if let (Crowd::Outside, Direction::Out, TalkKind::Counted(counts)) =
                (crowd, talk.key.direction, &talk.what)
            {
                self.news.crowds.push((Arc::clone(&talk.container), *counts));
            }
            return;
        }
        let is_own = talk.key.direction == Direction::Out || !matches!(talk.peer, Peer::Container(_));
        let Some(number) = self.edge_of(talk, is_own) else { return };
        if is_own {
            self.use_edge(number, talk);
            if talk.key.direction == Direction::Out {
                self.news.scans.extend(self.sources.take(talk));
            }
        }
    }

    /// The edge that something went over, met if it is a contact or was not known; `None` for what is no edge.
    fn edge_of(&mut self, talk: &Talk, is_own: bool) -> Option<usize> {
        let routed = self.edges.routed(talk);
        let (state, program) = match (&talk.what, routed) {
            (TalkKind::Contact { state, program }, _) => (Some(*state), program.clone()),
            (_, Some(number)) => return Some(number),
            _ => (None, Untrusted::default()),
        };
        let key = Arc::new(self.edge_key(talk)?);
        let known = self.edges.number(&key);
        let number = match (state, known) {
            (None, Some(number)) => number,
            // Its contact was lost, or forgotten: the flow itself shows that there was one.
            (state, known) => {
                let state = state.unwrap_or(SocketState::Connected);
                self.meet((&key, known), talk, (state, program), is_own)?
            }
        };
        self.edges.route(talk, number);
        Some(number)
    }

    /// The edge that something went on over; `None` for what is no edge, as broadcasts are.
    fn edge_key(&self, talk: &Talk) -> Option<EdgeKey> {
        let own = Endpoint::Workload(talk.container.workload());
        let other = endpoint::of(&talk.peer, talk.key.direction, |address| self.config.is_internal(address))?;
        let (from, to) = match talk.key.direction {
            Direction::Out => (own, other),
            Direction::In => (other, own),
        };
        Some(EdgeKey { from, to, port: talk.key.port, protocol: talk.key.protocol })
    }

    /// A contact on an edge, known or not: its number.
    fn meet(
        &mut self,
        (key, known): (&Arc<EdgeKey>, Option<usize>),
        talk: &Talk,
        (state, program): (SocketState, Untrusted),
        is_own: bool,
    ) -> Option<usize> {
        if known.is_some() && !is_own {
            return known;
        }
        let is_new = known.is_none();
        let novelty = self.weigh_novelty(key, is_new, talk.at);
        let number = known.or_else(|| self.insert(key, talk.at));
        let (container, other) = ends(talk);
        self.news.meetings.push(Meeting {
            edge: Arc::clone(key),
            container,
            other,
            address: talk.address,
            name: match &talk.peer {
                Peer::Outside { name, .. } => name.clone(),
                _ => None,
            },
            at: talk.at,
            state,
            program,
            is_new,
            score: novelty.score,
            maturity: novelty.maturity,
            is_first_outside: novelty.is_first_outside,
            known_by: novelty.known_by,
        });
        number
    }

    fn weigh_novelty(&mut self, key: &EdgeKey, is_new: bool, at: Time) -> Unusual {
        let known_by = self.known_by(&key.to);
        let (workloads, known_after) = (self.habits.len(), self.known_after());
        let Endpoint::Workload(workload) = opener(key) else { return Unusual::default() };
        self.make_room(workload);
        let habits = self.habits.entry(workload.clone()).or_insert_with(|| Habits::new(at));
        habits.last = habits.last.max(at);
        let age = at.since(habits.first);
        let maturity = maturity(age, known_after);
        let unusual = || score(habits.novelty.rate(), maturity, workloads, known_by as usize);
        let score = if is_new { unusual() } else { 0.0 };
        let is_first_outside = is_new && key.to.is_outside() && habits.outside == 0;
        habits.novelty.take(is_new);
        Unusual { score, maturity, is_first_outside, known_by }
    }

    fn insert(&mut self, key: &Arc<EdgeKey>, at: Time) -> Option<usize> {
        let Endpoint::Workload(workload) = opener(key) else { return None };
        let own = self.habits.get(workload).map_or(0, |habits| habits.edges);
        if own >= EDGES_OF_ONE_MAX {
            self.evict(Some(opener(key)), EDGES_OF_ONE_MAX / EVICTED_SHARE);
        } else if self.edges.len() >= EDGES_MAX {
            self.evict(None, EDGES_MAX / EVICTED_SHARE);
        }
        if !self.knows(&key.from, &key.to) {
            *self.known_by.entry(key.to.clone()).or_default() += 1;
        }
        if let Some(habits) = self.habits.get_mut(workload) {
            habits.edges += 1;
            habits.outside += usize::from(key.to.is_outside());
        }
        Some(self.edges.add(Arc::clone(key), Edge::new(key, at)))
    }

    /// The edges that were used least often, of equals those used the longest ago, make room: many at once, because to find
    /// them all are looked at.
    fn evict(&mut self, of: Option<&Endpoint>, count: usize) {
        let candidates = self.edges.iter().filter(|(key, _)| of.is_none_or(|of| opener(key) == of));
        let mut candidates: Vec<_> = candidates.map(|(key, edge)| (edge.worth(), Arc::clone(key))).collect();
        if candidates.len() > count {
            candidates.select_nth_unstable(count);
            candidates.truncate(count);
        }
        candidates.iter().for_each(|(_, key)| self.forget(key));
    }

    fn forget(&mut self, key: &EdgeKey) {
        self.edges.remove(key);
        self.forgotten += 1;
        if !self.knows(&key.from, &key.to)
            && let Some(known_by) = self.known_by.get_mut(&key.to)
        {
            *known_by -= 1;
            if *known_by == 0 {
                self.known_by.remove(&key.to);
            }
        }
        if let Endpoint::Workload(workload) = opener(key)
            && let Some(habits) = self.habits.get_mut(workload)
        {
            // Habits that made room for others began anew, and know of fewer edges than there are.
            habits.edges = habits.edges.saturating_sub(1);
        }
    }

    /// Whether any edge leads from the one to the other.
    fn knows(&self, from: &Endpoint, to: &Endpoint) -> bool {
        let first = EdgeKey { from: from.clone(), to: to.clone(), port: 0, protocol: Protocol(0) };
        self.edges.keys_from(first).next().is_some_and(|key| key.from == *from && key.to == *to)
    }

    fn use_edge(&mut self, number: usize, talk: &Talk) {
        let Some((key, edge)) = self.edges.numbered(number) else { return };
        edge.take(talk);
        if let TalkKind::Counted(counts) = &talk.what
            && counts.opened > 1
            && let Endpoint::Workload(workload) = opener(key)
            && let Some(habits) = self.habits.get_mut(workload)
        {
            // The contact itself was taken already; its memory is no longer than this.
            (1..counts.opened.min(FLOWS_TAKEN_MAX)).for_each(|_| habits.novelty.take(false));
        }
        if key.to.is_outside() {
            let counts = match &talk.what {
                TalkKind::Counted(counts) => *counts,
                _ => FlowCounts::default(),
            };
            let (edge, container) = (Arc::clone(key), Arc::clone(&talk.container));
            self.news.used.push(Use { edge, container, counts });
        }
    }

    fn make_room(&mut self, workload: &WorkloadKey) {
        crate::room::make_room(&mut self.habits, workload, WORKLOADS_MAX, |habits| habits.last);
    }
}

/// How unusual a contact is.
#[derive(Default)]
struct Unusual {
    score: f64,
    maturity: f64,
    is_first_outside: bool,
    known_by: u32,
}

impl Habits {
    fn new(at: Time) -> Self {
        Self { first: at, last: at, novelty: Novelty::default(), edges: 0, outside: 0 }
    }
}

/// The workload whose habit an edge is: the opener, or of an edge that somebody else opens the opened one.
fn opener(key: &EdgeKey) -> &Endpoint {
    if matches!(key.from, Endpoint::Workload(_)) { &key.from } else { &key.to }
}

/// The container that opens and the one that is opened; of an edge from outside the one that is opened, and none.
fn ends(talk: &Talk) -> (Arc<Container>, Option<Arc<Container>>) {
    match (&talk.peer, talk.key.direction) {
        (Peer::Container(peer), Direction::In) => (Arc::clone(peer), Some(Arc::clone(&talk.container))),
        (Peer::Container(peer), Direction::Out) => (Arc::clone(&talk.container), Some(Arc::clone(peer))),
        _ => (Arc::clone(&talk.container), None),
    }
}
