//! One edge: since when, how much, how regularly.
//!
//! Not here: whether that is fine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use model::event::SocketState;
use model::ids::CgroupId;
use model::time::Time;
use model::traffic::{EdgeKey, FlowCounts, Peer, Talk, TalkKind};
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use crate::traffic::beacon::Beacon;

/// Containers of the workload that are told apart on one edge.
const USERS_MAX: usize = 64;
/// Span over which bytes are summed for `volume`.
const WINDOW: Duration = Duration::from_secs(60);
/// Weight of the newest window in what is usual.
const USUAL_WEIGHT: f64 = 0.1;

/// A pause that parts messages: two readings of the kernel's table, but for the jitter of the first.
const SILENCE: Duration = Duration::from_millis(1_500);

/// How long what was found about an edge marks it.
const JUDGED_FOR: Duration = Duration::from_secs(86_400);

/// An edge.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Edge {
    first: Time,
    last: Time,
    /// All that went over it. Contacts count as connections until the kernel's own counts come.
    counts: FlowCounts,
    users: BTreeSet<CgroupId>,
    address: Option<IpAddr>,
    name: Option<Untrusted>,
    /// Only of edges to the outside, where a rhythm tells something.
    rhythm: Option<Box<Beacon>>,
    volume: Volume,
    /// When it last sent over an open connection, or without one.
    sent: Time,
    /// Judges that spoke about it, and when last.
    judged: BTreeMap<String, Time>,
}

/// Bytes that leave over an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    began: Time,
    /// Sent since the window began.
    pub sent_bytes: u64,
    /// Received since then.
    pub received_bytes: u64,
    /// Sent in a usual window; `None` before the first is over.
    pub usual_bytes: Option<f64>,
}

impl Edge {
    pub(super) fn new(key: &EdgeKey, at: Time) -> Self {
        Self {
            first: at,
            last: at,
            counts: FlowCounts::default(),
            users: BTreeSet::new(),
            address: None,
            name: None,
            rhythm: key.to.is_outside().then(Box::default),
            volume: Volume { began: at, ..Volume::default() },
            sent: Time::default(),
            judged: BTreeMap::new(),
        }
    }

    /// When it was first seen.
    pub fn first(&self) -> Time {
        self.first
    }

    /// When it was last seen.
    pub fn last(&self) -> Time {
        self.last
    }

    /// All that went over it.
    pub fn counts(&self) -> &FlowCounts {
        &self.counts
    }

    /// Containers that used it, as far as they are told apart.
    pub fn users(&self) -> &BTreeSet<CgroupId> {
        &self.users
    }

    /// The address that answered last.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The name that it was looked up by.
    pub fn name(&self) -> Option<&Untrusted> {
        self.name.as_ref()
    }

    /// When connections come over it; `None` of edges within.
    pub fn rhythm(&self) -> Option<&Beacon> {
        self.rhythm.as_deref()
    }

    /// What left over it lately.
    pub fn volume(&self) -> &Volume {
        &self.volume
    }

    /// Judges that spoke about it within a day before it was last used.
    pub fn judges(&self) -> impl Iterator<Item = &str> {
        self.judged
            .iter()
            .filter(|(_, at)| self.last.since(**at) < JUDGED_FOR)
            .map(|(judge, _)| judge.as_str())
    }

    pub(super) fn note(&mut self, judge: &str, at: Time) {
        // There are no more judges than a hand can count.
        self.judged.insert(judge.to_owned(), at);
    }

    /// What is kept last: used often and lately.
    pub(super) fn worth(&self) -> (u64, Time) {
        (self.counts.opened.min(16), self.last)
    }

    pub(super) fn take(&mut self, talk: &Talk) {
        self.last = self.last.max(talk.at);
        self.address = Some(talk.address);
        if let Peer::Outside { name: Some(name), .. } = &talk.peer
            && self.name.as_ref() != Some(name)
        {
            self.name = Some(name.clone());
        }
        if self.users.len() < USERS_MAX {
            self.users.insert(talk.container.key.cgroup);
        }
        match &talk.what {
            TalkKind::Contact { state: SocketState::Failed, .. } => self.beat(talk.at, 0),
            TalkKind::Contact { .. } => {}
            TalkKind::Closed { opened, sent_bytes, .. } => self.beat(*opened, *sent_bytes),
            TalkKind::Counted(counts) => self.count(counts, talk),
        }
    }

    fn count(&mut self, counts: &FlowCounts, talk: &Talk) {
        self.counts.add(counts);
        self.volume.add(counts, talk.at);
        // What goes on over one connection, or without any, beats when it sends again after a second of silence: what is
        // sent all the time is told each second, and has no rhythm but ours.
        let is_message = !talk.key.protocol.has_connections() || (counts.opened == 0 && counts.closed == 0);
        if counts.sent_bytes > 0 && is_message {
            if talk.at.since(self.sent) >= SILENCE {
                self.beat(talk.at, counts.sent_bytes);
            }
            self.sent = talk.at;
        }
    }

    fn beat(&mut self, at: Time, sent_bytes: u64) {
        if let Some(rhythm) = &mut self.rhythm {
            rhythm.take(at, sent_bytes);
        }
    }
}

impl Volume {
    fn add(&mut self, counts: &FlowCounts, at: Time) {
        if at.since(self.began) >= WINDOW {
            let windows = (at.since(self.began).as_secs_f64() / WINDOW.as_secs_f64()).max(1.0);
            let rate = self.sent_bytes as f64 / windows;
            let usual = self.usual_bytes.unwrap_or(rate);
            self.usual_bytes = Some(usual + USUAL_WEIGHT * (rate - usual));
            (self.began, self.sent_bytes, self.received_bytes) = (at, 0, 0);
        }
        self.sent_bytes = self.sent_bytes.saturating_add(counts.sent_bytes);
        self.received_bytes = self.received_bytes.saturating_add(counts.received_bytes);
    }
}
