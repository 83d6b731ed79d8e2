//! Follows one containerd socket, in all its namespaces.
//!
//! Not here: the protocol (`containers` crate), the life of a connection (`following.rs`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use containers::containerd::Containerd;
use containers::error::CallError;
use containers::notice::{Entries, Notice, Place};
use deadline::pulse::Watched;
use futures_util::Stream;
use model::coverage::Source;
use model::runtime::ContainerFacts;
use model::untrusted::Untrusted;
use model::view::EngineKind;

use crate::containers::asked::Asked;
use crate::containers::follow_config::FollowConfig;
use crate::containers::follower;
use crate::outlet::{Outlet, Stop};

/// Starts the thread that follows the daemon at a socket until `stop` is asked.
pub fn spawn(socket: PathBuf, settings: FollowConfig, outlet: Outlet, stop: Stop) -> Watched {
    follower::spawn::<Containerd>(socket, settings, outlet, stop)
}

impl Asked for Containerd {
    const KIND: EngineKind = EngineKind::Containerd;
    const SOURCE: Source = Source::Containerd;
    const STANDARD: &'static [&'static str] = &[
        "/run/containerd/containerd.sock",
        "/run/docker/containerd/containerd.sock",
        "/var/run/docker/containerd/containerd.sock",
        "/run/k3s/containerd/containerd.sock",
    ];
    const POLLED: Option<Duration> = None;

    async fn connect(socket: &Path, call_timeout_ms: u64) -> Result<Self, CallError> {
        Self::connect(socket, call_timeout_ms).await
    }

    async fn ping(&self) -> Result<(), CallError> {
        self.ping().await
    }

    async fn namespaces(&self) -> Result<(Vec<Untrusted>, usize), CallError> {
        self.namespaces().await
    }

    async fn list(&self, namespace: &Untrusted, entries_max: usize) -> Result<Entries, CallError> {
        self.list(namespace, entries_max).await
    }

    async fn facts(&self, place: &Place) -> Result<ContainerFacts, CallError> {
        self.facts(place).await
    }

    fn forget(&self, place: &Place) {
        self.forget(place);
    }

    fn watch(&self) -> impl Stream<Item = Result<Notice, CallError>> + use<> {
        self.watch()
    }
}
