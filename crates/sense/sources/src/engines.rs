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
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, bounded, select};
use hostfs::daemons::DaemonFinder;
use hostfs::error::HostfsError;
use hostfs::layout::CgroupLayout;
use hostfs::root::HostRoot;
use serde::{Deserialize, Serialize};

use crate::containers::ContainersConfig;
use crate::containers::follow_config::FollowConfig;
use crate::engines::registry::Registry;
use crate::outlet::{Outlet, Stop};
use crate::podman::{self, PodmanNote};

/// Pids of programs just executed that may wait to be looked at; what is beyond is found by the next look around.
pub const NOTICES_MAX: usize = 1024;
/// Stores of Podman's that may wait to be looked at.
const PODMAN_NOTES_MAX: usize = 1024;
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

/// The settings of this room, and of the Docker engine that is followed anyway.
pub type Settings = (EnginesConfig, ContainersConfig);

/// Starts the thread that finds engines and the one that follows Podman, until `stop` is asked. `notices` are pids of
/// programs just executed that may tell of an engine.
///
/// # Errors
/// When the host's own namespaces cannot be read.
pub fn spawn(
    (root, layout): (&HostRoot, &CgroupLayout),
    settings: Settings,
    notices: Receiver<u32>,
    outlet: &Outlet,
    stop: &Stop,
) -> Result<[JoinHandle<()>; 2], HostfsError> {
    let finder = DaemonFinder::new(root, layout)?;
    let (notes, podman_notes) = bounded(PODMAN_NOTES_MAX);
    let podman = podman::spawn(root.clone(), podman_notes, outlet.clone(), stop.clone());
    let (root, outlet, stop) = (root.clone(), outlet.clone(), stop.clone());
    let find = move || {
        let every = Duration::from_millis(settings.0.look_interval_ms.max(1));
        let registry = Registry::new(&root, finder, settings, &outlet);
        look_until(registry, every, (&notices, &notes), &outlet, &stop);
    };
    // PANIC: at start-up only; a system that gives no thread can run no sensor.
    let engines = std::thread::Builder::new().name("engines".into()).spawn(find).expect("a thread");
    Ok([engines, podman])
}

fn look_until(
    mut registry: Registry,
    every: Duration,
    (notices, notes): (&Receiver<u32>, &Sender<PodmanNote>),
    outlet: &Outlet,
    stop: &Stop,
) {
    let followed = registry.followed().clone();
    let mut next = Instant::now();
    // Nobody is left who could notice anything: looking around finds it, later.
    let mut notices = notices.clone();
    while !stop.is_set() {
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
