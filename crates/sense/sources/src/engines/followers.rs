//! Starts and stops those who follow an engine that was found.
//!
//! Not here: how an engine is followed (`containers`).

use std::path::Path;

use deadline::pulse::Watched;
use model::view::{EngineKind, View};

use crate::containers::{self, ContainersConfig, containerd, cri};
use crate::engines::Settings;
use crate::outlet::{Outlet, Stop, Stopper};

/// Somebody who follows an engine; is told to stop when dropped.
#[derive(Debug)]
pub(crate) struct Follower {
    stopper: Stopper,
    thread: Watched,
}

impl Follower {
    fn start(spawn: impl FnOnce(Stop) -> Watched) -> Self {
        let (stopper, stop) = Stop::new();
        Self { stopper, thread: spawn(stop) }
    }

    /// Tells it to stop, without waiting for it.
    pub(crate) fn stop(self) -> Watched {
        drop(self.stopper);
        self.thread
    }
}

/// Starts whoever follows an engine of that kind at a socket: containerd may serve the kubelet from the same one.
pub(crate) fn start(
    kind: EngineKind,
    (reach, view): (&Path, &View),
    settings: &Settings,
    outlet: &Outlet,
) -> Vec<Follower> {
    let (socket, follow) = (reach.to_path_buf(), settings.0.follow.clone());
    let outlet = outlet.clone();
    match kind {
        EngineKind::Docker => {
            let mut config = ContainersConfig { view: view.clone(), ..settings.1.clone() };
            config.docker.socket = socket;
            vec![Follower::start(|stop| containers::spawn(config, outlet, stop))]
        }
        EngineKind::Containerd => {
            let (of_cri, also) = ((socket.clone(), follow.clone()), outlet.clone());
            vec![
                Follower::start(|stop| containerd::spawn(socket, follow, outlet, stop)),
                Follower::start(|stop| cri::spawn(of_cri.0, of_cri.1, also, stop)),
            ]
        }
        EngineKind::Cri => vec![Follower::start(|stop| cri::spawn(socket, follow, outlet, stop))],
        // Its files are followed instead.
        EngineKind::Podman => Vec::new(),
    }
}
