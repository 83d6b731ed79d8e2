//! Starts, starts anew and stops those who follow an engine that was found.
//!
//! Not here: how an engine is followed (`containers`).

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Instant;

use deadline::pulse::Watched;
use deadline::restarted::Restarted;
use model::view::{EngineKind, View};

use crate::containers::follow_config::FollowConfig;
use crate::containers::{self, ContainersConfig, containerd, cri};
use crate::engines::Settings;
use crate::outlet::{Outlet, Stop, Stopper};

/// Somebody who follows an engine, started anew when it dies; is asked to stop when dropped.
#[derive(Debug)]
pub(crate) struct Follower {
    /// Whose views it fills.
    pub(crate) kind: EngineKind,
    stopper: Stopper,
    thread: Restarted<Infallible>,
}

impl Follower {
    fn start(kind: EngineKind, mut spawn: impl FnMut(Stop) -> Watched + Send + 'static) -> Self {
        let (stopper, stop) = Stop::new();
        let Ok(thread) = Restarted::new(Box::new(move || Ok(spawn(stop.clone()))));
        Self { kind, stopper, thread }
    }

    /// Starts it anew when it has died and its pause is over; whether nobody follows meanwhile.
    pub(crate) fn restart_if_dead(&mut self, now: Instant) -> bool {
        !self.thread.restart_if_dead(now) && self.thread.has_died()
    }

    /// Asks it to stop, without waiting for it.
    pub(crate) fn stop(self) -> Option<Watched> {
        drop(self.stopper);
        self.thread.give_up()
    }
}

/// Starts whoever follows an engine of that kind at a socket: containerd may serve the kubelet from the same one.
pub(crate) fn start(
    kind: EngineKind,
    (reach, view): (&Path, &View),
    settings: &Settings,
    outlet: &Outlet,
) -> Vec<Follower> {
    let at = (reach.to_path_buf(), settings.0.follow.clone(), outlet.clone());
    match kind {
        EngineKind::Docker => {
            let mut config = ContainersConfig { view: view.clone(), ..settings.1.clone() };
            config.docker.socket.clone_from(&at.0);
            let spawn = move |stop| containers::spawn(config.clone(), at.2.clone(), stop);
            vec![Follower::start(kind, spawn)]
        }
        EngineKind::Containerd => {
            vec![follower(kind, containerd::spawn, at.clone()), follower(EngineKind::Cri, cri::spawn, at)]
        }
        EngineKind::Cri => vec![follower(kind, cri::spawn, at)],
        // Its files are followed instead.
        EngineKind::Podman => Vec::new(),
    }
}

/// Where an engine is reached, how it is followed, and where its events go.
type At = (PathBuf, FollowConfig, Outlet);

/// How a follower's thread is started.
type Spawn = fn(PathBuf, FollowConfig, Outlet, Stop) -> Watched;

fn follower(kind: EngineKind, spawn: Spawn, at: At) -> Follower {
    Follower::start(kind, move |stop| {
        let (socket, follow, outlet) = at.clone();
        spawn(socket, follow, outlet, stop)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use deadline::pulse::Pulses;
    use deadline::restarted::PAUSE_MIN;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// A follower that panics when it is started first, and follows until it is asked to stop from then on.
    pub(crate) fn dies_at_first(pulses: &Pulses, starts: &Arc<AtomicU32>) -> Follower {
        let (pulses, starts) = (pulses.clone(), Arc::clone(starts));
        Follower::start(EngineKind::Containerd, move |stop| {
            let is_first = starts.fetch_add(1, Ordering::AcqRel) == 0;
            let follow = move |pulse: &deadline::pulse::Pulse| {
                assert!(!is_first, "on purpose");
                stop.wait(LONG);
                pulse.retire();
            };
            pulses.spawn("containerd", LONG, follow).unwrap()
        })
    }

    #[test]
    fn a_follower_that_died_is_started_anew_and_stops_when_it_is_asked() {
        let (pulses, starts) = (Pulses::default(), Arc::new(AtomicU32::new(0)));
        let mut follower = dies_at_first(&pulses, &starts);
        let is_dead = || pulses.vitals().iter().any(|vital| vital.life.is_death());
        while !is_dead() {
            std::thread::yield_now();
        }
        let now = Instant::now();
        assert!(follower.restart_if_dead(now), "not at once");
        assert!(!follower.restart_if_dead(now + PAUSE_MIN));
        assert_eq!((starts.load(Ordering::Acquire), is_dead()), (2, false));
        assert!(follower.stop().unwrap().join_until(Instant::now() + LONG));
    }
}
