//! What a follower asks of an engine, whichever kind it is.
//!
//! Not here: Docker, which tells more than this and is followed by `session.rs`.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use containers::error::CallError;
use containers::notice::{Entries, Notice, Place};
use futures_util::Stream;
use model::coverage::Source;
use model::runtime::ContainerFacts;
use model::untrusted::Untrusted;
use model::view::EngineKind;

/// A connection to an engine. Clones share it; calls may run side by side.
pub(crate) trait Asked: Clone + 'static {
    /// What kind of engine.
    const KIND: EngineKind;
    /// The source that its events are from.
    const SOURCE: Source;
    /// The sockets that packages of such engines make.
    const STANDARD: &'static [&'static str];
    /// Time between two comparisons with the whole lists, where the engine does not announce changes.
    const POLLED: Option<Duration>;

    fn connect(socket: &Path, call_timeout_ms: u64) -> impl Future<Output = Result<Self, CallError>>;

    fn ping(&self) -> impl Future<Output = Result<(), CallError>>;

    /// The namespaces, and how many there are beyond those that are taken.
    fn namespaces(&self) -> impl Future<Output = Result<(Vec<Untrusted>, usize), CallError>>;

    fn list(
        &self,
        namespace: &Untrusted,
        entries_max: usize,
    ) -> impl Future<Output = Result<Entries, CallError>>;

    fn facts(&self, place: &Place) -> impl Future<Output = Result<ContainerFacts, CallError>>;

    /// A container is no more.
    fn forget(&self, place: &Place);

    /// What is announced; ends with an error, or never says anything.
    fn watch(&self) -> impl Stream<Item = Result<Notice, CallError>> + use<Self>;
}
