//! What engines list, and what one with several views announces: which container of which namespace something happened
//! to.
//!
//! Not here: Docker's announcements (`announced.rs`), which tell more, and any facts, which are asked for.

use model::runtime::RunState;
use model::time::Time;
use model::untrusted::Untrusted;

/// A container in the namespace that the engine keeps it in (empty where engines have none).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The namespace.
    pub namespace: Untrusted,
    /// The engine's id of the container.
    pub id: Untrusted,
}

/// A line of an engine's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The engine's id of the container.
    pub id: Untrusted,
    /// Where it is in its life.
    pub state: RunState,
}

/// A whole list, or as much of it as was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// The lines.
    pub taken: Vec<Entry>,
    /// Lines beyond the limit.
    pub left: usize,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A container was made or started.
    Appeared(Place),
    /// Something about it changed, its end among others.
    Altered(Place),
    /// It is no more.
    Destroyed(Place),
    /// Somebody has the engine run a program in it.
    Exec(Place),
    /// There is a namespace that was not there, or that may have been missed.
    NamespaceMade(Untrusted),
    /// A namespace is no more.
    NamespaceGone(Untrusted),
}

/// One announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When, by the engine's clock.
    pub time: Option<Time>,
    /// What.
    pub happened: Happened,
}
