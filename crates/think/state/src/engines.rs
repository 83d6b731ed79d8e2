//! Container engines of this host: which were here from the start, which run its containers, which came later.
//!
//! Not here: what they claim (`enrich`), who approved them (`approvals.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::authority::{Authority, Executable};
use model::identity::Container;
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::{EngineKind, EngineSeen, EngineState, View};
use serde::{Deserialize, Serialize};

/// Most engines remembered, also those that are gone: the same one that comes again is no new one.
const ENGINES_MAX: usize = 256;
/// Most views that run containers; containerd has one for each namespace.
const HOMES_MAX: usize = 256;
/// What has no start of its own and is found within this time of the first look was there before it.
const FOUND_AT_START: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Engines {
    #[serde(with = "model::pairs")]
    known: BTreeMap<View, Known>,
    /// Views that ran containers when nobody had approved anything yet.
    homes: BTreeSet<View>,
    /// When the host was booted: starts of processes are counted from then.
    #[serde(default)]
    boot: Option<Time>,
    /// The engine that the last event was about, when it had never been seen.
    #[serde(skip)]
    fresh: Option<EngineSeen>,
    /// The same, when it is served by another executable than before.
    #[serde(skip)]
    replaced: Option<Replacement>,
}

/// A known engine of the host that is served by another executable than it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The engine as it is now.
    pub now: EngineSeen,
    /// What served it before.
    pub before: Executable,
    /// How far the two differ.
    pub by: ReplacedBy,
}

/// What serves a known engine now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplacedBy {
    /// Another file at the same path, as an upgrade leaves it.
    Version,
    /// Another program of the host's.
    Program,
    /// A process that cannot have made the host's containers.
    Imitation,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    seen: EngineSeen,
    is_from_before: bool,
}

impl Known {
    /// Whether a process of another executable than before serves it now.
    fn replaced_by(&self, seen: &EngineSeen) -> Option<Replacement> {
        let before = self.seen.executable.as_ref().filter(|_| self.seen.authority == Authority::Host)?;
        let now = seen.executable.as_ref().filter(|now| !now.is_file_of(before))?;
        let by = match seen.authority {
            Authority::Unknown => return None,
            Authority::User { .. } | Authority::Refused { .. } => ReplacedBy::Imitation,
            Authority::Host if now.path != before.path => ReplacedBy::Program,
            Authority::Host => ReplacedBy::Version,
        };
        Some(Replacement { now: seen.clone(), before: before.clone(), by })
    }

    /// Whoever talks to an engine knows how it is, whoever found it what it is: neither tells both.
    fn take(&mut self, seen: &EngineSeen) {
        let before = &mut self.seen;
        (before.state, before.reason) = (seen.state, seen.reason.clone());
        before.process = seen.process.or(before.process);
        before.is_standard |= seen.is_standard;
        // What serves it unverified takes no verified executable's place.
        if seen.executable.is_some() && (!seen.authority.is_unknown() || before.executable.is_none()) {
            before.executable.clone_from(&seen.executable);
        }
        if !seen.authority.is_unknown() {
            before.authority.clone_from(&seen.authority);
        }
        for (before, now) in [(&mut before.program, &seen.program), (&mut before.cgroup, &seen.cgroup)] {
            if !now.is_empty() {
                before.clone_from(now);
            }
        }
        if seen.part_of.is_some() {
            before.part_of.clone_from(&seen.part_of);
        }
    }
}

/// What an engine is to this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineStanding {
    /// Its containers are this host's: it ran them before we looked, or somebody approved it.
    Home,
    /// It was here when we first looked, or is where packages put it; this host's containers are another's.
    Installed,
    /// It came later, to a place of its own.
    New,
}

impl Engines {
    /// An engine was found, or has changed.
    pub(crate) fn seen(&mut self, seen: &EngineSeen, first_event: Option<Time>, now: Time) {
        self.pass();
        let key = seen.view.of_namespace(&Untrusted::default());
        if let Some(known) = self.known.get_mut(&key) {
            self.replaced = known.replaced_by(seen);
            if seen.authority.is_refused() && !known.seen.authority.is_refused() && self.replaced.is_none() {
                self.fresh = Some(seen.clone());
            }
            known.take(seen);
            return;
        }
        if self.known.len() >= ENGINES_MAX || seen.state == EngineState::Gone {
            return;
        }
        let is_from_before = first_event.is_none_or(|first| self.began(seen, now) <= first);
        let is_new = !is_from_before && seen.part_of.is_none() && !key.is_default();
        // A process that only looks like an engine is worth a word, however long it has been here.
        if is_new || seen.authority.is_refused() {
            self.fresh = Some(seen.clone());
        }
        self.known.insert(key, Known { seen: seen.clone(), is_from_before });
    }

    /// A process that a scan found: when it began by the wall clock, and since boot.
    pub(crate) fn booted(&mut self, began: Time, start_ns: u64) {
        self.boot.get_or_insert(began.minus(Duration::from_nanos(start_ns)));
    }

    /// When the host was booted.
    pub(crate) fn boot(&self) -> Option<Time> {
        self.boot
    }

    /// When an engine began; of one without a daemon, when it was found, less what finding it may take.
    fn began(&self, seen: &EngineSeen, now: Time) -> Time {
        match (seen.process, self.boot) {
            (Some(process), Some(boot)) => boot.plus(Duration::from_nanos(process.start_ns)),
            _ => now.minus(FOUND_AT_START),
        }
    }

    /// Another event: the engine it was about is no news any more.
    pub(crate) fn pass(&mut self) {
        self.fresh = None;
        self.replaced = None;
    }

    pub(crate) fn replaced(&self) -> Option<&Replacement> {
        self.replaced.as_ref()
    }

    pub(crate) fn fresh(&self) -> Option<&EngineSeen> {
        self.fresh.as_ref()
    }

    /// A container ran before we looked and before anybody approved anything: whoever runs it is at home here.
    pub(crate) fn runs(&mut self, container: &Container) {
        for facts in container.claims() {
            if self.homes.len() < HOMES_MAX {
                self.homes.insert(facts.view.clone());
            }
        }
    }

    /// What is known of an engine.
    pub(crate) fn engine(&self, view: &View) -> Option<&EngineSeen> {
        self.known.get(&view.of_namespace(&Untrusted::default())).map(|known| &known.seen)
    }

    /// What the engine of a view is to this host. `is_approved` says whether somebody approved a view.
    pub(crate) fn standing(&self, view: &View, is_approved: impl Fn(&View) -> bool) -> EngineStanding {
        let whole = view.of_namespace(&Untrusted::default());
        let serves_kubelet = || self.homes.iter().any(|home| home.engine == EngineKind::Cri);
        if is_approved(view) || self.homes.contains(view) || (whole.is_default() && !serves_kubelet()) {
            return EngineStanding::Home;
        }
        match self.known.get(&whole) {
            Some(known) if known.seen.authority.is_refused() => EngineStanding::New,
            Some(known) if known.is_from_before || known.seen.is_standard || known.seen.part_of.is_some() => {
                EngineStanding::Installed
            }
            None if whole.is_default() => EngineStanding::Installed,
            Some(_) | None => EngineStanding::New,
        }
    }

    /// Whether this host has an engine that its containers are run by.
    pub(crate) fn has_home(&self) -> bool {
        !self.homes.is_empty() || self.known.contains_key(&View::default())
    }
}
