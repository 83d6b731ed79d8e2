//! The running engine: one loop that takes events in order, folds them, keeps what changed, and only then shows it.
//!
//! Not here: the fold (`fold.rs`) and the sources (`rim.rs`). All state of the run is owned by the loop's thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, never, select, tick};
use deadline::pulse::Pulses;
use hostfs::boot::{boot_id, machine_id};
use hostfs::error::HostfsError;
use hostfs::root::HostRoot;
use model::coverage::{Health, Source, SourceReport};
use model::event::{Body, Event};
use model::incident::{Change, Incident};
use model::integrity::Integrity;
use model::untrusted::Untrusted;
use sources::clock::{since_boot, wall_clock};
use sources::outlet::Stop;
use store::error::StoreError;
use store::journal::feed::JournalFeed;
use store::keeper::{Heartbeat, Keeper};
use store::place::{Claim, PlaceOpener};
use store::run::ThisRun;
use strategy::Strategies;

use crate::config::EngineConfig;
use crate::control::{Asked, Control};
use crate::fold::Fold;
use crate::live::guard::Guard;
use crate::live::keeping::Keeping;
use crate::recorder::Recorders;
use crate::rim::Rim;
use crate::seqs::Seqs;
use crate::status::{self, BlindStrategy, Status};
use crate::watchdog::{Moment, Watchdog};

mod answer;

pub mod guard;

mod deferred;

mod keeping;

/// How often time passes for the fold when nothing else happens: bounds how late a waiting judge wakes.
const TICK: Duration = Duration::from_millis(500);
/// Ticks between two statuses.
const STATUS_TICKS: u64 = 2;
/// The longest that one turn of the loop may take.
const ENGINE_SILENT_MAX: Duration = Duration::from_secs(3);
/// The longest that one write to a disk may take: a busy one needs seconds for what reaches the platter.
const STORE_SILENT_MAX: Duration = Duration::from_secs(5);
/// Events taken at once, before requests and time get their turn.
const BATCH_MAX: usize = 1_024;

/// Why the engine cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The host cannot be read.
    #[error("cannot read this host: {0}")]
    Host(#[from] HostfsError),
    /// The store cannot be used.
    #[error("cannot use the data directory: {0}")]
    Store(#[from] StoreError),
    /// The control socket cannot be made.
    #[error("control socket {path:?}: {source}")]
    Control {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// What the engine tells the one who runs it.
#[derive(Debug)]
pub enum Notice {
    /// At the start: what an earlier run left open.
    StillOpen(Vec<Incident>),
    /// Incidents changed; they are stored already.
    Changed(Vec<Change>),
    /// Incidents changed, and could not be stored yet; each is repeated as [`Notice::Changed`] when it is.
    NotStored(Vec<Change>),
    /// A second passed.
    Status(Box<Status>),
    /// Something of our own needs a person: data could not be kept. Empty when that is over.
    Trouble(String),
}

/// The one who runs the engine.
pub trait Show {
    /// Is told what happened.
    fn show(&mut self, notice: Notice);

    /// Whether a status is wanted each second: making one costs time for every container.
    fn wants_status(&self) -> bool {
        true
    }
}

/// A running Tidewatch.
#[derive(Debug)]
pub struct Engine {
    rim: Rim,
    control: Control,
    fold: Fold,
    seqs: Seqs,
    recorders: Recorders,
    keeping: Keeping,
    strategies: Arc<Strategies>,
    since: model::time::Time,
    /// The kernel's id of this boot; empty when it cannot be read.
    boot_id: String,
    events: u64,
    ticks: u64,
    /// Changes that wait for the next ones.
    aside: Vec<Change>,
    trouble: String,
    guard: Guard,
    watchdog: Watchdog,
}

impl Engine {
    /// Opens the data directory, starts every source, and takes up what the last run left open.
    pub fn start(
        dir: &Path,
        config: &EngineConfig,
        strategies: Arc<Strategies>,
        guard: Guard,
        pulses: Pulses,
    ) -> Result<Self, EngineError> {
        let claim = Claim::new(dir)?;
        let control = Control::listen(dir, &pulses)?;
        let root = HostRoot::new(&config.host_root);
        let text = |text: Result<Untrusted, HostfsError>| {
            text.map_or_else(|_| String::new(), |id| id.raw().to_owned())
        };
        let (boot_id, machine) = (text(boot_id(&root)), text(machine_id(&root)));
        let run = ThisRun { begun: wall_clock(), boot_id: boot_id.clone(), first_look: None };
        let opener = PlaceOpener::new(dir, &machine, run);
        let (store_beats, journal_beats) = (heartbeat(&pulses, "store"), heartbeat(&pulses, "journal"));
        let rim = Rim::start(config, pulses)?;
        let journal = JournalFeed::start(dir, rim.outlet.node(), config.journal, journal_beats)?;
        // Last: it notes that a run began, and one that does not begin would count as killed.
        let keeper = Keeper::start(Box::new(opener), store_beats)?;
        let mut engine = Self {
            control,
            fold: Fold::new(&strategies, config.fold()),
            seqs: Seqs::default(),
            recorders: Recorders::default(),
            keeping: Keeping::new(claim, keeper, journal),
            strategies,
            since: rim.outlet.now(),
            boot_id,
            rim,
            events: 0,
            ticks: 0,
            aside: Vec::new(),
            trouble: String::new(),
            guard,
            watchdog: Watchdog::default(),
        };
        engine.await_store();
        engine.report_self();
        Ok(engine)
    }

    /// Runs until asked to stop; `show` is told what changed, after it was stored.
    pub fn run(mut self, stop: &Stop, show: &mut dyn Show) -> Result<(), EngineError> {
        show.show(Notice::StillOpen(self.fold.triage().open_incidents().cloned().collect()));
        let ticks = tick(TICK);
        let queue = self.rim.queue.clone();
        let asked = self.control.asked().clone();
        let pulse = self.rim.outlet.pulses().begin("engine", ENGINE_SILENT_MAX);
        let mut stored = self.keeping.keeper.news().clone();
        self.keep_and_show(Vec::new(), show);
        loop {
            pulse.beat();
            select! {
                recv(queue) -> event => {
                    if let Ok(event) = event {
                        // A stop is told before what happened meanwhile, which is held against it.
                        if self.watchdog.is_late(since_boot()) {
                            self.time_passes(show);
                        }
                        self.take_batch(event, &queue, show);
                    }
                }
                recv(asked) -> asked => {
                    if let Ok(Asked { request, reply }) = asked {
                        self.respond(request, reply, show);
                    }
                }
                recv(stored) -> news => match news {
                    Ok(news) => self.take_news(news, show),
                    // Its thread has ended by a bug of ours: nothing is stored any more, and everything is shown.
                    Err(_) => stored = never(),
                },
                recv(ticks) -> _ => self.time_passes(show),
                recv(stop.closed()) -> _ => break,
            }
        }
        pulse.retire();
        self.end(show);
        Ok(())
    }

    fn take_batch(&mut self, first: Event, queue: &Receiver<Event>, show: &mut dyn Show) {
        let mut changes = Vec::new();
        let rest = queue.clone();
        for event in std::iter::once(first).chain(rest.try_iter().take(BATCH_MAX)) {
            if let Some(loss) = self.seqs.arrived(&event) {
                changes.extend(self.own(Source::Engine, Body::Lost(loss)));
            }
            changes.extend(self.take(event));
        }
        self.keep_and_show(changes, show);
    }

    fn take(&mut self, event: Event) -> Vec<Change> {
        self.watchdog.note(&event.body);
        self.keeping.journal.append(&event);
        self.recorders.take(&event);
        self.guard.seal_after(&event);
        self.events += 1;
        let closes_books = matches!(event.body, Body::Host(_));
        let step = self.fold.step(event);
        self.rim.steer(&step.news);
        if closes_books || !step.news.is_empty() {
            self.rim.deepen(self.fold.state().deepen());
        }
        step.expectations.into_iter().for_each(|change| self.keeping.keeper.add_expectation(change));
        step.changes
    }

    /// Folds an event of our own.
    fn own(&mut self, source: Source, body: Body) -> Vec<Change> {
        let event = self.rim.outlet.stamp(source, self.rim.outlet.now(), body);
        // Our own events never queue, so nothing can be missing before them.
        let _never = self.seqs.arrived(&event);
        self.take(event)
    }

    /// Folds an event of our own for one who has no use for what it changes: any event lets time pass, and what changes with
    /// it is kept and shown with the next changes.
    fn own_aside(&mut self, source: Source, body: Body) {
        let changes = self.own(source, body);
        self.aside.extend(changes);
    }

    fn time_passes(&mut self, show: &mut dyn Show) {
        let mut changes = self.look_after_ourselves();
        changes.extend(self.own(Source::Engine, Body::Tick));
        for fact in self.guard.noticed(self.ticks, &self.control) {
            changes.extend(self.own(Source::Engine, Body::Integrity(Box::new(fact))));
        }
        self.ticks += 1;
        changes.extend(self.tend_store(show));
        self.keep_and_show(changes, show);
        if self.ticks.is_multiple_of(STATUS_TICKS) && show.wants_status() {
            show.show(Notice::Status(Box::new(self.status())));
        }
    }

    /// What is noticed about Tidewatch itself; and what died is started anew.
    fn look_after_ourselves(&mut self) -> Vec<Change> {
        let (outlet, mut bodies) = (self.rim.outlet.clone(), Vec::new());
        if let Some(late) = self.watchdog.tick(Moment::now(outlet.now())) {
            // No thread could run meanwhile, and whatever happened then is to be looked at.
            outlet.pulses().forgive();
            outlet.ask_anew();
            bodies.push(Body::Integrity(Box::new(late)));
        }
        let step = outlet.clock().take_step();
        bodies.extend(step.map(|by_ms| Body::Integrity(Box::new(Integrity::ClockStepped { by_ms }))));
        bodies.extend(self.watchdog.look(outlet.pulses(), &self.rim.pools(), outlet.now()));
        if self.rim.restart_dead() {
            let containers = self.fold.enrich().containers();
            let running = containers.filter(|container| container.ended.is_none()).cloned();
            self.rim.steer_anew(running);
        }
        bodies.into_iter().flat_map(|body| self.own(Source::Engine, body)).collect()
    }

    fn note_trouble(&mut self, trouble: Option<String>, show: &mut dyn Show) {
        let trouble = trouble.unwrap_or_default();
        if trouble != self.trouble {
            self.trouble.clone_from(&trouble);
            self.report_self();
            show.show(Notice::Trouble(trouble));
        }
    }

    fn report_self(&mut self) {
        let health = if self.trouble.is_empty() { Health::Up } else { Health::Degraded };
        let reason = Untrusted::new(&self.trouble);
        self.own_aside(Source::Engine, Body::Report(SourceReport { source: Source::Engine, health, reason }));
    }

    fn status(&self) -> Status {
        let state = self.fold.state();
        let coverage = state.coverage();
        let blind = self.strategies.blind(&coverage);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: self.rim.outlet.node().clone(),
            since: status::time(self.since),
            now: status::time(self.rim.outlet.now()),
            containers: status::container_rows(&self.fold),
            sources: status::source_rows(state),
            blind_strategies: blind
                .into_iter()
                .map(|blind| BlindStrategy { strategy: blind.slug.to_string(), lost: blind.lost })
                .collect(),
            coverage,
            integrity: status::integrity::of(&self.fold),
            host: state.host().cloned(),
            host_detail: status::host_detail(&self.fold),
            incidents_open: self.fold.triage().open_incidents().count(),
            approvals: state.approvals().count(),
            expectations: self.fold.triage().expectations(),
            threshold_bits: self.fold.triage().threshold_bits(),
            events: self.events,
            inventory_dropped: self.fold.enrich().dropped(),
            judges_failed: self.fold.failed_judges(),
            hardening: self.guard.in_force(),
            threads: status::pulse::threads(self.rim.outlet.pulses()),
            calls: self.rim.calls(),
            store: self.store_status(),
        }
    }

    fn end(mut self, show: &mut dyn Show) {
        self.keep_and_show(Vec::new(), show);
        let now = self.rim.outlet.now();
        self.keeping.end(now, show);
        self.rim.stop();
    }
}

fn heartbeat(pulses: &Pulses, thread: &str) -> Heartbeat {
    let pulse = pulses.begin(thread, STORE_SILENT_MAX);
    Box::new(move || pulse.beat())
}
