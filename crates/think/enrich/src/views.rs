//! Which views there are and how far each can be relied on: engines, systemd.
//!
//! Not here: what they claim of single containers (`inventory.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::authority::Authority;
use model::coverage::{Health, Source, SourceReport};
use model::identity::Container;
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::{EngineKind, EngineSeen, EngineState, UnitChange, View};
use serde::{Deserialize, Serialize};

use crate::made_by::{MadeBy, made_by};
use crate::shares::has_place;
use crate::{ANSWER_WAIT, SILENCE_DOUBT};

/// Most engines remembered; a host has a handful.
const ENGINES_MAX: usize = 64;
/// Most units remembered; a busy host has a few hundred.
const UNITS_MAX: usize = 16_384;

/// An engine that is found within this time of the first word about any view was here before.
const FOUND_AT_START: Duration = Duration::from_secs(10);

/// Whether a view's silence about a container means anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RuntimeView {
    /// Not asked yet.
    #[default]
    Unknown,
    /// There is no such runtime here: nothing it could claim.
    Absent,
    /// It told its whole list at this time and is followed since.
    Synced(Time),
    /// Since this time it answers, but not about every container: its silence about one says nothing.
    Doubtful(Time),
    /// Since this time it does not answer: its silence says nothing.
    Lost(Time),
}

impl RuntimeView {
    /// Whether that it does not claim a container says something.
    pub(crate) fn is_telling(self) -> bool {
        matches!(self, Self::Absent | Self::Synced(_))
    }

    /// Since when it does not say everything; `None` when it does, or was not asked yet.
    fn silent_since(self) -> Option<Time> {
        match self {
            Self::Doubtful(since) | Self::Lost(since) => Some(since),
            Self::Unknown | Self::Absent | Self::Synced(_) => None,
        }
    }
}

/// One engine: how it is, and how far the kernel confirms that it is one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Engine {
    /// How it is.
    pub(crate) state: RuntimeView,
    /// Which containers it can have made.
    authority: Authority,
    /// Whether it has told its list, or was here when the host was first looked at.
    is_known: bool,
    /// Whether it is where its packages put it.
    is_standard: bool,
}

impl Engine {
    /// A silence goes on from when it began, whatever is said of it in between.
    fn become_silent(&mut self, silent: fn(Time) -> RuntimeView, at: Time) {
        self.state = silent(self.state.silent_since().unwrap_or(at));
    }

    fn answer(&mut self, at: Time) {
        self.is_known = true;
        if !matches!(self.state, RuntimeView::Synced(_)) {
            self.state = RuntimeView::Synced(at);
        }
    }

    fn take(&mut self, seen: &EngineSeen) {
        if !seen.authority.is_unknown() {
            self.authority = seen.authority.clone();
        }
        self.is_standard |= seen.is_standard;
    }

    /// Whether it may still claim a container that its helper has made: one from before its silence as long as that lasts;
    /// one from during it, which it may have been about to make, for a bounded time. It must be one that was known.
    fn may_yet_claim(&self, made: MadeBy<'_>, started: Time, first: Time, now: Time) -> bool {
        let is_its = match &self.authority {
            Authority::Host => made.uid() == 0,
            Authority::User { uid } => made.uid() == *uid,
            Authority::Unknown => made.uid() == 0 && self.is_standard,
            Authority::Refused { .. } => false,
        };
        let since = self.state.silent_since().unwrap_or(first);
        let is_from_before = started.plus(SILENCE_DOUBT) < since;
        let is_in_time = self.authority != Authority::Unknown && now < started.plus(ANSWER_WAIT);
        is_its && self.is_known && !self.state.is_telling() && (is_from_before || is_in_time)
    }
}

/// All views but the kernel's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Views {
    /// The Docker engine that Tidewatch is told to follow.
    docker: Engine,
    /// Every other engine, by its view without a namespace.
    #[serde(with = "model::pairs")]
    engines: BTreeMap<View, Engine>,
    systemd: Systemd,
    /// When the first word about a view came.
    #[serde(default)]
    first: Option<Time>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Systemd {
    /// Whether it manages this host; `None` before it was looked at.
    is_manager: Option<bool>,
    units: BTreeSet<Untrusted>,
}

/// What systemd says of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitWord {
    /// It runs.
    Runs,
    /// It is not known.
    Unknown,
    /// systemd does not manage this host.
    NoManager,
    /// Nobody looked.
    NotAsked,
}

impl Views {
    /// A source tells how it is.
    pub(crate) fn reports(&mut self, report: &SourceReport, at: Time) {
        let first = *self.first.get_or_insert(at);
        if report.source != Source::Docker {
            return;
        }
        let docker = &mut self.docker;
        docker.is_known |= at.since(first) < FOUND_AT_START;
        docker.is_standard = true;
        match (report.health, docker.state) {
            (Health::Absent, _) => docker.state = RuntimeView::Absent,
            (Health::Down, _) => docker.become_silent(RuntimeView::Lost, at),
            (Health::Degraded, RuntimeView::Synced(_)) => docker.become_silent(RuntimeView::Doubtful, at),
            (Health::Up, RuntimeView::Doubtful(_)) => docker.answer(at),
            // After a loss, what it claims is known again only with its list.
            (Health::Up | Health::Degraded, _) => {}
        }
    }

    /// A view told its whole list.
    pub(crate) fn listed(&mut self, view: &View, at: Time) {
        if view.is_default() {
            self.docker.answer(at);
        }
    }

    /// An engine was found, or has changed.
    pub(crate) fn engine(&mut self, seen: &EngineSeen, at: Time) {
        let first = *self.first.get_or_insert(at);
        // How the default one is comes with its reports and its list.
        if seen.view.is_default() {
            self.docker.take(seen);
            return;
        }
        let key = seen.view.of_namespace(&Untrusted::default());
        if seen.state == EngineState::Gone || seen.authority.is_refused() {
            self.engines.remove(&key);
            return;
        }
        let taken = || self.engines.values().map(|engine| &engine.authority);
        if !self.engines.contains_key(&key) && !has_place(taken(), &seen.authority, ENGINES_MAX) {
            return;
        }
        let engine = self.engines.entry(key).or_default();
        engine.take(seen);
        engine.is_known |= at.since(first) < FOUND_AT_START;
        match seen.state {
            EngineState::Answers => engine.answer(at),
            EngineState::Silent => engine.become_silent(RuntimeView::Lost, at),
            EngineState::Doubtful => engine.become_silent(RuntimeView::Doubtful, at),
            EngineState::Gone => {}
        }
    }

    pub(crate) fn units(&mut self, change: &UnitChange) {
        self.systemd.is_manager = Some(change.is_manager);
        for unit in &change.ended {
            self.systemd.units.remove(unit);
        }
        let room = UNITS_MAX.saturating_sub(self.systemd.units.len());
        self.systemd.units.extend(change.started.iter().take(room).cloned());
    }

    pub(crate) fn unit(&self, name: &str) -> UnitWord {
        match self.systemd.is_manager {
            None => UnitWord::NotAsked,
            Some(false) => UnitWord::NoManager,
            Some(true) if self.systemd.units.contains(&Untrusted::new(name)) => UnitWord::Runs,
            // Also when the list is full and may lack it: a limit confirms nothing.
            Some(true) => UnitWord::Unknown,
        }
    }

    /// Whether systemd manages this host, as far as is known.
    pub(crate) fn is_systemd_manager(&self) -> bool {
        self.systemd.is_manager == Some(true)
    }

    /// Every engine that is there, and whether its silence says something.
    pub(crate) fn engines(&self) -> impl Iterator<Item = (View, RuntimeView)> {
        let default = std::iter::once((View::default(), self.docker.state));
        default
            .filter(|(_, state)| *state != RuntimeView::Absent)
            .chain(self.engines.iter().map(|(view, engine)| (view.clone(), engine.state)))
    }

    /// The engines of a kind.
    pub(crate) fn of_kind(&self, kind: EngineKind) -> impl Iterator<Item = (View, RuntimeView)> {
        self.engines().filter(move |(view, _)| view.engine == kind)
    }

    /// Whether an engine does not say everything.
    pub(crate) fn is_any_silent(&self) -> bool {
        self.engines().any(|(_, state)| !state.is_telling())
    }

    /// The silent engine that a container waits for: its helper has made it, as the kernel shows, and it may yet claim it.
    pub(crate) fn awaited(&self, container: &Container, now: Time) -> Option<(View, RuntimeView)> {
        let made = made_by(container)?;
        let first = self.first.unwrap_or(now);
        let default = std::iter::once((View::default(), &self.docker));
        let mut all = default.chain(self.engines.iter().map(|(view, engine)| (view.clone(), engine)));
        let found = all.find(|(view, engine)| {
            made.is_for(view) && engine.may_yet_claim(made, container.key.started, first, now)
        });
        found.map(|(view, engine)| (view, engine.state))
    }

    /// Whether an engine of a kind that does not answer may still have to say something about a container that another
    /// engine claims.
    pub(crate) fn may_yet_speak(&self, kind: EngineKind, started: Time, now: Time) -> bool {
        let default = std::iter::once((EngineKind::Docker, &self.docker));
        let mut of_kind = default
            .chain(self.engines.iter().map(|(view, engine)| (view.engine, engine)))
            .filter(|(of, engine)| *of == kind && !matches!(engine.authority, Authority::User { .. }));
        let since = |engine: &Engine| engine.state.silent_since().unwrap_or(now);
        of_kind.any(|(_, engine)| {
            let is_from_before = started.plus(SILENCE_DOUBT) < since(engine);
            !engine.state.is_telling() && (is_from_before || now < started.plus(ANSWER_WAIT))
        })
    }

    /// When the engine whose helper made a container came to be in step; `None` when none has or made it.
    pub(crate) fn synced(&self, made: MadeBy<'_>) -> Option<Time> {
        let times =
            self.engines().filter(|(view, _)| made.is_for(view)).filter_map(|(_, state)| match state {
                RuntimeView::Synced(at) => Some(at),
                _ => None,
            });
        times.max()
    }
}
