//! Which views there are and how far each can be relied on: engines, systemd.
//!
//! Not here: what they claim of single containers (`inventory.rs`).

use std::collections::{BTreeMap, BTreeSet};

use model::coverage::{Health, Source, SourceReport};
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::{EngineKind, EngineSeen, EngineState, UnitChange, View};
use serde::{Deserialize, Serialize};

/// Most engines remembered; a host has a handful.
const ENGINES_MAX: usize = 64;
/// Most units remembered; a busy host has a few hundred.
const UNITS_MAX: usize = 16_384;

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
    /// It answers, but not about every container: its silence about one says nothing.
    Doubtful,
    /// It does not answer: its silence says nothing.
    Lost,
}

impl RuntimeView {
    /// Whether that it does not claim a container says something.
    pub(crate) fn is_telling(self) -> bool {
        matches!(self, Self::Absent | Self::Synced(_))
    }
}

/// All views but the kernel's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Views {
    /// The Docker engine that Tidewatch is told to follow.
    docker: RuntimeView,
    /// Every other engine, by its view without a namespace.
    #[serde(with = "model::pairs")]
    engines: BTreeMap<View, RuntimeView>,
    systemd: Systemd,
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
        if report.source != Source::Docker {
            return;
        }
        self.docker = match (report.health, self.docker) {
            (Health::Absent, _) => RuntimeView::Absent,
            (Health::Down, _) => RuntimeView::Lost,
            (Health::Degraded, RuntimeView::Synced(_)) => RuntimeView::Doubtful,
            (Health::Up, RuntimeView::Doubtful) => RuntimeView::Synced(at),
            // After a loss, what it claims is known again only with its list.
            (Health::Up | Health::Degraded, view) => view,
        };
    }

    /// A view told its whole list.
    pub(crate) fn listed(&mut self, view: &View, at: Time) {
        if view.is_default() {
            self.docker = RuntimeView::Synced(at);
        }
    }

    /// An engine was found, or has changed.
    pub(crate) fn engine(&mut self, seen: &EngineSeen, at: Time) {
        // How the default one is comes with its reports and its list.
        if seen.view.is_default() {
            return;
        }
        let key = seen.view.of_namespace(&Untrusted::default());
        let state = match (seen.state, self.engines.get(&key)) {
            (EngineState::Answers, Some(known @ RuntimeView::Synced(_))) => *known,
            (EngineState::Answers, _) => RuntimeView::Synced(at),
            (EngineState::Silent, _) => RuntimeView::Lost,
            (EngineState::Doubtful, _) => RuntimeView::Doubtful,
            (EngineState::Gone, _) => {
                self.engines.remove(&key);
                return;
            }
        };
        if self.engines.len() < ENGINES_MAX || self.engines.contains_key(&key) {
            self.engines.insert(key, state);
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
            // A list that is full may lack it.
            Some(true)
                if self.systemd.units.len() >= UNITS_MAX
                    || self.systemd.units.contains(&Untrusted::new(name)) =>
            {
                UnitWord::Runs
            }
            Some(true) => UnitWord::Unknown,
        }
    }

    /// Whether systemd manages this host, as far as is known.
    pub(crate) fn is_systemd_manager(&self) -> bool {
        self.systemd.is_manager == Some(true)
    }

    /// Every engine that is there, and whether its silence says something.
    pub(crate) fn engines(&self) -> impl Iterator<Item = (View, RuntimeView)> {
        let default = std::iter::once((View::default(), self.docker));
        default
            .filter(|(_, state)| *state != RuntimeView::Absent)
            .chain(self.engines.iter().map(|(view, state)| (view.clone(), *state)))
    }

    /// The engines of a kind.
    pub(crate) fn of_kind(&self, kind: EngineKind) -> impl Iterator<Item = (View, RuntimeView)> {
        self.engines().filter(move |(view, _)| view.engine == kind)
    }

    /// The first engine whose silence says nothing, and how it is.
    pub(crate) fn unreliable(&self) -> Option<(View, RuntimeView)> {
        self.engines().find(|(_, state)| !state.is_telling())
    }

    /// When the last of the views came to be in step; `None` when none is.
    pub(crate) fn synced(&self) -> Option<Time> {
        let times = self.engines().filter_map(|(_, state)| match state {
            RuntimeView::Synced(at) => Some(at),
            _ => None,
        });
        times.max()
    }
}
