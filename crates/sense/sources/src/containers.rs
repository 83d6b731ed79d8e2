//! Keeps the engine's claims about containers in step: connects, follows, resynchronises, and says how it is.
//!
//! Not here: the protocol (`containers` crate), one connection's life (`session.rs`), and any trust in what the
//! engine says. An engine that is slow or gone costs nobody but this thread anything.

mod roster;

mod lane;

mod mirror;

mod images;

mod swarm;

mod session;

pub mod containerd;

pub mod cri;

pub mod follow_config;

mod overdue;

mod asked;

mod follower;

mod following;

use std::io;
use std::time::Duration;

use containers::docker::{Docker, DockerConfig};
use containers::error::CallError;
use deadline::pulse::{Pulse, Watched};
use model::authority::Authority;
use model::coverage::{Health, Source, SourceReport};
use model::event::Body;
use model::untrusted::Untrusted;
use model::view::{EngineSeen, EngineState, View};
use serde::{Deserialize, Serialize};

use crate::containers::session::Session;
use crate::outlet::{Outlet, Stop};

/// How often to look whether stop was asked: what an end of the program waits for.
const STOP_CHECK: Duration = Duration::from_millis(100);

/// Whatever waits for an engine lets the event loop go on.
pub(crate) const SILENT_MAX: Duration = Duration::from_secs(5);

/// How the Docker engine is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContainersConfig {
    /// Whose account it is; another one's is told with each event, and its health as that of an engine.
    #[serde(skip)]
    pub view: View,
    /// Where the engine is and how long to wait for its answers.
    pub docker: DockerConfig,
    /// Time between two signs of life, in milliseconds.
    pub ping_interval_ms: u64,
    /// Time between two comparisons with the engine's whole list, in milliseconds: engines drop events that a
    /// busy reader does not take within 0.1 s, and tell nobody.
    pub compare_interval_ms: u64,
    /// Time between two looks for an engine on a host that has none, in milliseconds.
    pub absent_interval_ms: u64,
    /// Shortest wait before connecting again, in milliseconds; doubles up to the longest.
    pub reconnect_min_ms: u64,
    /// Longest wait before connecting again, in milliseconds.
    pub reconnect_max_ms: u64,
    /// Most containers followed; running ones come first, the rest is counted as lost.
    pub containers_max: usize,
}

impl Default for ContainersConfig {
    fn default() -> Self {
        Self {
            view: View::default(),
            docker: DockerConfig::default(),
            ping_interval_ms: 2000,
            compare_interval_ms: 60_000,
            absent_interval_ms: 3000,
            reconnect_min_ms: 200,
            reconnect_max_ms: 5000,
            containers_max: 10_000,
        }
    }
}

/// Starts the thread that follows the engine until `stop` is asked.
pub fn spawn(config: ContainersConfig, outlet: Outlet, stop: Stop) -> Watched {
    let name = thread_name("docker", &config.view);
    outlet.clone().spawn(&name, SILENT_MAX, move |pulse| {
        let reporter = Reporter { outlet, view: config.view.clone(), last: None };
        let mut follower = Follower { config, reporter, was_there: false };
        while !stop.is_set() {
            pulse.beat();
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(follower.follow_until(&stop, pulse)),
                Err(error) => follower.has_no_runtime(&error, &stop),
            }
        }
        pulse.retire();
    })
}

/// What the thread is called that follows an engine: the engine of this host needs no place.
fn thread_name(kind: &str, view: &View) -> String {
    if view.is_default() { kind.to_owned() } else { format!("{kind} {}", view.place) }
}

/// Tells changes of this source's health, each once.
struct Reporter {
    outlet: Outlet,
    view: View,
    last: Option<(Health, Untrusted)>,
}

impl Reporter {
    fn report(&mut self, health: Health, reason: &str) {
        let now = (health, Untrusted::new(reason));
        if self.last.as_ref() == Some(&now) {
            return;
        }
        self.last = Some(now.clone());
        let (health, reason) = now;
        let body = match self.view.is_default() {
            true => Body::Report(SourceReport { source: Source::Docker, health, reason }),
            false => Body::Engine(Box::new(seen(self.view.clone(), health, reason))),
        };
        self.outlet.send_now(Source::Docker, body);
    }
}

/// How an engine is, by what is known of it here: nothing of its process.
fn seen(view: View, health: Health, reason: Untrusted) -> EngineSeen {
    let state = match health {
        Health::Up => EngineState::Answers,
        Health::Degraded => EngineState::Doubtful,
        Health::Down => EngineState::Silent,
        Health::Absent => EngineState::Gone,
    };
    EngineSeen {
        view,
        state,
        reason,
        process: None,
        program: Untrusted::default(),
        cgroup: Untrusted::default(),
        is_standard: false,
        part_of: None,
        authority: Authority::default(),
        executable: None,
    }
}

struct Follower {
    config: ContainersConfig,
    reporter: Reporter,
    /// Whether an engine was ever seen: losing one is another thing than never having had one.
    was_there: bool,
}

impl Follower {
    async fn follow_until(&mut self, stop: &Stop, pulse: &Pulse) {
        tokio::select! {
            () = self.follow() => {}
            () = asked(stop, pulse) => {}
        }
    }

    async fn follow(&mut self) {
        let mut wait_ms = self.config.reconnect_min_ms;
        loop {
            let (problem, was_in_step) = self.connection().await;
            if was_in_step {
                wait_ms = self.config.reconnect_min_ms;
            }
            // The engine of this host should be there once it was; another one may well have been taken away.
            let may_be_absent = !self.was_there || !self.config.view.is_default();
            if matches!(problem, CallError::Absent { .. }) && may_be_absent {
                self.reporter.report(Health::Absent, &problem.to_string());
                pause(self.config.absent_interval_ms).await;
                continue;
            }
            self.was_there = true;
            self.reporter.report(Health::Down, &problem.to_string());
            pause(wait_ms).await;
            wait_ms = wait_ms.saturating_mul(2).min(self.config.reconnect_max_ms);
        }
    }

    /// Follows one connection to its end: why it ended, and whether it had come as far as being in step.
    async fn connection(&mut self) -> (CallError, bool) {
        let docker = match Docker::connect(self.config.docker.clone()).await {
            Ok(docker) => docker,
            Err(problem) => return (problem, false),
        };
        self.was_there = true;
        let mut session = Session::new(docker, &self.config, &mut self.reporter);
        let problem = session.follow().await;
        (problem, session.is_in_step())
    }

    /// Out of file descriptors, most likely: nothing to do but to say so and try again.
    fn has_no_runtime(&mut self, error: &io::Error, stop: &Stop) {
        self.reporter.report(Health::Down, &format!("no event loop: {error}"));
        stop.wait(Duration::from_millis(self.config.reconnect_max_ms));
    }
}

/// Waits for the stop, and shows meanwhile that the event loop runs.
async fn asked(stop: &Stop, pulse: &Pulse) {
    while !stop.is_set() {
        pulse.beat();
        tokio::time::sleep(STOP_CHECK).await;
    }
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
