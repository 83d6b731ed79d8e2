//! Finds the host's container engines, wherever they are, and has each followed: by their usual sockets, by their daemons,
//! by whoever listens at a socket named like theirs, and by the shims and monitors of their containers.
//!
//! Not here: what engines claim (`containers`, `podman`); whether an engine may be there (`detect`).

mod engine;

mod followers;

mod health;

mod names;

mod registry;

mod relay;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, select};
use deadline::pulse::{Pulse, Watched};
use hostfs::daemons::DaemonFinder;
use hostfs::error::HostfsError;
use hostfs::layout::CgroupLayout;
use hostfs::root::HostRoot;
use serde::{Deserialize, Serialize};

use crate::containers::ContainersConfig;
use crate::containers::follow_config::FollowConfig;
use crate::engines::names::kind_by_name;
use crate::engines::registry::Registry;
use crate::outlet::{Outlet, Stop};
use crate::podman::PodmanNote;

/// Pids of programs just executed that may wait to be looked at; what is beyond is found by the next look around.
pub const NOTICES_MAX: usize = 1024;
/// Stores of Podman's that may wait to be looked at.
pub const PODMAN_NOTES_MAX: usize = 1024;
/// Looking around takes about a millisecond for a hundred processes.
const LOOK_INTERVAL_MS_MIN: u64 = 100;
const LOOK_INTERVAL_MS_MAX: u64 = 60_000;
/// For people, as in `names.rs`.
const NAMES_LIST: &str = "docker.sock, containerd.sock, crio.sock, cri-dockerd.sock";
/// How often a daemon that has only started is asked for its sockets.
const EVERY_WHEN_STARTING: Duration = Duration::from_millis(200);

/// How engines beside the one that Tidewatch is told to follow are found and followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnginesConfig {
    /// Time between two looks around, in milliseconds.
    pub look_interval_ms: u64,
    /// Sockets that are looked for beside the usual ones, by the host's paths.
    pub sockets: Vec<PathBuf>,
    /// How each is followed.
    pub follow: FollowConfig,
}

impl Default for EnginesConfig {
    fn default() -> Self {
        Self { look_interval_ms: 1000, sockets: Vec::new(), follow: FollowConfig::default() }
    }
}

impl EnginesConfig {
    /// What is wrong with the settings, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let is_interval = (LOOK_INTERVAL_MS_MIN..=LOOK_INTERVAL_MS_MAX).contains(&self.look_interval_ms);
        let interval = (!is_interval).then(|| {
            let told = self.look_interval_ms;
            format!(
                "look_interval_ms is {told}; it must lie between {LOOK_INTERVAL_MS_MIN} and {LOOK_INTERVAL_MS_MAX}"
            )
        });
        let nameless = self.sockets.iter().filter(|path| !path.is_absolute() || kind_by_name(path).is_none());
        let sockets = nameless.map(|path| {
            format!("sockets: {path:?} must be an absolute path that ends as an engine's socket does: {NAMES_LIST}")
        });
        interval.into_iter().chain(sockets).collect()
    }
}

/// A look at every process of a full host takes a second.
const SILENT_MAX: Duration = Duration::from_secs(10);

/// The settings of this room, and of the Docker engine that is followed anyway.
pub type Settings = (EnginesConfig, ContainersConfig);

/// Pids of programs just executed that may tell of an engine, and what was found out about stores of Podman.
pub type Queues = (Receiver<u32>, Sender<PodmanNote>);

/// Starts the thread that finds engines, until `stop` is asked.
///
/// # Errors
/// When the host's own namespaces cannot be read.
pub fn spawn(
    (root, layout): (&HostRoot, &CgroupLayout),
    settings: Settings,
    (notices, notes): Queues,
    outlet: &Outlet,
    stop: &Stop,
) -> Result<Watched, HostfsError> {
    let finder = DaemonFinder::new(root, layout)?;
    let (root, own, stop) = (root.clone(), outlet.clone(), stop.clone());
    Ok(outlet.spawn("engines", SILENT_MAX, move |pulse| {
        let every = Duration::from_millis(settings.0.look_interval_ms.max(1));
        let registry = Registry::new(&root, finder, settings, &own);
        look_until(registry, every, (&notices, &notes), (&own, pulse), &stop);
        pulse.retire();
    }))
}

fn look_until(
    mut registry: Registry,
    every: Duration,
    (notices, notes): (&Receiver<u32>, &Sender<PodmanNote>),
    (outlet, pulse): (&Outlet, &Pulse),
    stop: &Stop,
) {
    let followed = registry.followed().clone();
    let mut next = Instant::now();
    // Nobody is left who could notice anything: looking around finds it, later.
    let mut notices = notices.clone();
    while !stop.is_set() {
        pulse.beat();
        select! {
            recv(notices) -> pid => match pid {
                Ok(pid) => {
                    registry.notice(pid);
                    next = next.min(Instant::now() + EVERY_WHEN_STARTING);
                }
                Err(_) => notices = crossbeam_channel::never(),
            },
            recv(followed) -> event => event.into_iter().for_each(|event| registry.take(event, outlet)),
            recv(stop.closed()) -> _ => break,
            recv(at(next)) -> _ => {
                registry.look(outlet);
                let pause = if registry.is_one_starting() { EVERY_WHEN_STARTING } else { every };
                next = Instant::now() + pause;
            }
        }
        for note in registry.podman_notes() {
            // A full queue: the store's other monitors, or the look through homes, tell of it.
            drop(notes.try_send(note));
        }
    }
    registry.stop();
}

#[cfg(test)]
mod tests {
    use super::EnginesConfig;

    #[test]
    fn settings_that_would_load_the_host_or_find_nothing_are_refused_by_name() {
        assert!(EnginesConfig::default().problems().is_empty());
        let sockets = vec!["/srv/containerd.sock".into(), "docker.sock".into(), "/srv/x.sock".into()];
        let config = EnginesConfig { look_interval_ms: 0, sockets, ..EnginesConfig::default() };
        let problems = config.problems();
        let named =
            ["look_interval_ms is 0;", "sockets: \"docker.sock\" must", "sockets: \"/srv/x.sock\" must"];
        let are_named = problems.iter().zip(named).all(|(problem, start)| problem.starts_with(start));
        assert!(problems.len() == named.len() && are_named, "{problems:?}");
    }
}
