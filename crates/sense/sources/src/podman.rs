//! Follows Podman's containers by the files that Podman keeps: of the administrator, of every user, and of whatever other
//! store a container's monitor names.
//!
//! Podman has no daemon. Its interface, where somebody serves it, is asked for what the files do not tell, labels and
//! health checks, and for nothing that they do. Not here: the database that these lie in, which can be read only with its lock.

mod asking;

mod facts;

mod followed;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, at, select};
use deadline::pulse::Watched;
use hostfs::podman::{Store, StoreRoots, standard_stores};
use hostfs::root::HostRoot;
use hostfs::unix_sockets::followed;
use model::coverage::{Health, Source, SourceReport};
use model::event::Body;
use model::ids::ProcessKey;
use model::untrusted::Untrusted;
use model::view::EngineState;

use self::followed::Followed;
use crate::outlet::{Outlet, Stop};

/// How often the lists are looked at.
const EVERY: Duration = Duration::from_millis(500);
/// How often after a monitor was started: the container's first process follows within moments.
const EVERY_WHEN_STARTING: Duration = Duration::from_millis(50);
/// How long after that.
const STARTING: Duration = Duration::from_secs(2);
/// How often users' homes are looked through.
const HOMES_EVERY: Duration = Duration::from_secs(5);
/// A look at all stores takes milliseconds.
const SILENT_MAX: Duration = Duration::from_secs(5);
/// Most stores followed.
const STORES_MAX: usize = 64;

/// What others found out about a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodmanNote {
    /// Its directories.
    pub roots: StoreRoots,
    /// Who serves Podman's interface to it, when that is what was found.
    pub server: Option<PodmanServer>,
}

/// `podman system service`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodmanServer {
    /// The process.
    pub process: ProcessKey,
    /// Its user, as the host numbers users.
    pub uid: u32,
    /// File that it executes.
    pub program: Untrusted,
    /// Path of its cgroup.
    pub cgroup: Untrusted,
}

/// Starts the thread that follows every store until `stop` is asked.
pub fn spawn(root: HostRoot, notes: Receiver<PodmanNote>, outlet: Outlet, stop: Stop) -> Watched {
    let mut follower = PodmanFollower::new(root);
    outlet.clone().spawn("podman", SILENT_MAX, move |pulse| {
        let mut next = Instant::now();
        while !stop.is_set() {
            pulse.beat();
            select! {
                recv(notes) -> note => match note {
                    Ok(note) => {
                        follower.note(note);
                        next = Instant::now();
                    }
                    Err(_) => break,
                },
                recv(stop.closed()) -> _ => break,
                recv(at(next)) -> _ => {
                    follower.look(&outlet);
                    next = Instant::now() + follower.pause();
                }
            }
        }
        pulse.retire();
    })
}

/// What was told of Podman so far.
#[derive(Debug)]
pub struct PodmanFollower {
    root: HostRoot,
    stores: BTreeMap<StoreRoots, Followed>,
    looked_for: Option<Instant>,
    starting: Option<Instant>,
    left_out: u64,
    health: Option<(Health, Untrusted)>,
}

impl PodmanFollower {
    /// A follower that has told nothing yet.
    pub fn new(root: HostRoot) -> Self {
        Self { root, stores: BTreeMap::new(), looked_for: None, starting: None, left_out: 0, health: None }
    }

    /// Follows a store that somebody found, and looks more often for a while.
    pub fn note(&mut self, mut note: PodmanNote) {
        note.roots.graphroot = self.place(&note.roots.graphroot);
        if note.server.is_none() {
            self.starting = Some(Instant::now());
        }
        self.look_for_stores();
        self.follow(note.roots.clone(), false);
        let known = self.stores.values_mut().find(|store| store.is_at(&note.roots));
        if let (Some(store), Some(server)) = (known, note.server) {
            store.is_served_by(server);
        }
    }

    /// Looks at every store and tells what differs from what was told.
    pub fn look(&mut self, outlet: &Outlet) {
        self.look_for_stores();
        for store in self.stores.values_mut() {
            store.look(&self.root, outlet);
        }
        self.stores.retain(|_, store| store.is_worth_following());
        self.report(outlet);
    }

    /// How long to wait before the next look.
    fn pause(&self) -> Duration {
        let is_starting = self.starting.is_some_and(|since| since.elapsed() < STARTING);
        if is_starting { EVERY_WHEN_STARTING } else { EVERY }
    }

    fn look_for_stores(&mut self) {
        if self.looked_for.is_some_and(|at| at.elapsed() < HOMES_EVERY) {
            return;
        }
        self.looked_for = Some(Instant::now());
        self.left_out = 0;
        for mut roots in standard_stores(&self.root) {
            roots.graphroot = self.place(&roots.graphroot);
            self.follow(roots, true);
        }
    }

    /// Where a directory leads; what a process sees below its own root is left to lead there.
    fn place(&self, graphroot: &Path) -> PathBuf {
        if graphroot.starts_with("/proc") { graphroot.to_path_buf() } else { followed(&self.root, graphroot) }
    }

    fn follow(&mut self, roots: StoreRoots, is_standard: bool) {
        // One store has one directory to keep things in, whatever is told of the other.
        if self.stores.values().any(|store| store.is_at(&roots)) {
            return;
        }
        if self.stores.len() < STORES_MAX {
            let store = Store::new(&self.root, roots.clone());
            self.stores.insert(roots, Followed::new(store, is_standard));
        } else {
            self.left_out += 1;
        }
    }

    fn report(&mut self, outlet: &Outlet) {
        let told: Vec<_> = self.stores.values().filter_map(Followed::told).collect();
        let mut problems: Vec<String> = told
            .iter()
            .filter(|seen| seen.state != EngineState::Answers)
            .map(|seen| format!("{}: {}", seen.view, seen.reason))
            .collect();
        if self.left_out > 0 {
            problems.push(format!("{} stores are not followed: more than {STORES_MAX}", self.left_out));
        }
        let health = match (told.is_empty(), problems.is_empty()) {
            (true, true) => Health::Absent,
            (_, false) => Health::Degraded,
            (false, true) => Health::Up,
        };
        let reason =
            if health == Health::Absent { "no store of Podman".to_owned() } else { problems.join("; ") };
        let now = (health, Untrusted::new(&reason));
        if self.health.as_ref() != Some(&now) {
            let (health, reason) = now.clone();
            let report = SourceReport { source: Source::Podman, health, reason };
            outlet.send_now(Source::Podman, Body::Report(report));
            self.health = Some(now);
        }
    }
}
