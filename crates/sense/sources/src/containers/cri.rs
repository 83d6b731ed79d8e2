//! Follows what serves the kubelet at one socket: pods' sandboxes and their containers.
//!
//! Not here: the protocol and why its events are not listened to (`containers` crate), the life of a connection
//! (`following.rs`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use containers::cri::Cri;
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

/// Time between two comparisons with the lists: both come from the engine's memory.
const POLL: Duration = Duration::from_millis(500);

/// Starts the thread that follows what serves the kubelet at a socket until `stop` is asked, or until the engine there
/// says that it does not.
pub fn spawn(socket: PathBuf, settings: FollowConfig, outlet: Outlet, stop: Stop) -> Watched {
    follower::spawn::<Cri>(socket, settings, outlet, stop)
}

impl Asked for Cri {
    const KIND: EngineKind = EngineKind::Cri;
    const SOURCE: Source = Source::Cri;
    const STANDARD: &'static [&'static str] =
        &["/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/k3s/containerd/containerd.sock"];
    const POLLED: Option<Duration> = Some(POLL);

    async fn connect(socket: &Path, call_timeout_ms: u64) -> Result<Self, CallError> {
        Self::connect(socket, call_timeout_ms).await
    }

    async fn ping(&self) -> Result<(), CallError> {
        self.ping().await
    }

    async fn namespaces(&self) -> Result<(Vec<Untrusted>, usize), CallError> {
        Ok((vec![Untrusted::default()], 0))
    }

    async fn list(&self, _: &Untrusted, entries_max: usize) -> Result<Entries, CallError> {
        self.list(entries_max).await
    }

    async fn facts(&self, place: &Place) -> Result<ContainerFacts, CallError> {
        self.facts(&place.id).await
    }

    fn forget(&self, _: &Place) {}

    fn watch(&self) -> impl Stream<Item = Result<Notice, CallError>> + use<> {
        futures_util::stream::pending()
    }
}
