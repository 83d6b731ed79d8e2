//! One connection to an engine, from subscribing to its end.
//!
//! Changes are subscribed to before the list is asked for, so nothing falls between. Everything asked of the
//! engine runs side by side; an engine that hangs on one answer delays that one. Not here: connecting again.

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::time::{Duration, Instant};

use containers::announced::Announced;
use containers::change::{Change, ChangeKind};
use containers::docker::{Docker, Listed};
use containers::error::DockerError;
use futures_util::StreamExt;
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use model::coverage::{Health, Loss, Source};
use model::event::Body;
use model::runtime::{ContainerFacts, RunState};
use model::time::Time;
use model::untrusted::Untrusted;
use tokio::time::MissedTickBehavior;

use crate::containers::lane::Lane;
use crate::containers::roster::{Applied, Failed, Room, Roster};
use crate::containers::{ContainersConfig, Reporter};

/// Inspections of containers that have just appeared, at a time.
const FRESH_MAX: usize = 16;

/// All other inspections at a time: few, so that a resynchronisation does not load a busy engine.
const OTHERS_MAX: usize = 8;

/// Changes are asked for from this long before the subscription: the engine answers a subscription before it is
/// in force, and replays what it remembers. What comes twice is told once.
const OVERLAP: Duration = Duration::from_secs(1);

/// The state of one connection.
pub(crate) struct Session<'a> {
    docker: Docker,
    config: &'a ContainersConfig,
    reporter: &'a mut Reporter,
    roster: Roster,
    fresh: Lane,
    others: Lane,
    calls: FuturesUnordered<LocalBoxFuture<'static, Answer>>,
    step: Step,
    failing: BTreeMap<Untrusted, DockerError>,
    pinging: bool,
    ping_problem: Option<DockerError>,
    listing: bool,
    list_problem: Option<DockerError>,
    listed: Instant,
}

/// How far the first resynchronisation has come.
enum Step {
    Listing,
    /// The listed containers whose facts are still awaited.
    Inspecting(HashSet<Untrusted>),
    Done,
}

/// What a call brought.
enum Answer {
    Ping(Result<(), DockerError>),
    List(Result<Vec<Listed>, DockerError>),
    Facts { id: Untrusted, number: u64, is_fresh: bool, facts: Box<Result<ContainerFacts, DockerError>> },
}

impl<'a> Session<'a> {
    pub(crate) fn new(docker: Docker, config: &'a ContainersConfig, reporter: &'a mut Reporter) -> Self {
        Self {
            docker,
            config,
            reporter,
            roster: Roster::new(config.containers_max),
            fresh: Lane::new(FRESH_MAX),
            others: Lane::new(OTHERS_MAX),
            calls: FuturesUnordered::new(),
            step: Step::Listing,
            failing: BTreeMap::new(),
            pinging: false,
            ping_problem: None,
            listing: false,
            list_problem: None,
            listed: Instant::now(),
        }
    }

    /// Whether the engine's whole list has been told.
    pub(crate) fn is_in_step(&self) -> bool {
        matches!(self.step, Step::Done)
    }

    /// Follows the engine until it ends the stream of changes, or fails to give a usable one.
    pub(crate) async fn follow(&mut self) -> DockerError {
        let begun = self.reporter.outlet.now();
        let since = begun.minus(OVERLAP);
        let mut announcements = pin!(self.docker.watch(since).fuse());
        let mut beat = tokio::time::interval(Duration::from_millis(self.config.ping_interval_ms.max(1)));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.ask_for_list();
        loop {
            self.start_inspections();
            tokio::select! {
                announced = announcements.select_next_some() => match announced {
                    Ok(Announced::Container(change)) => self.take_change(&change),
                    // What lies in the overlap may have been counted before.
                    Ok(Announced::Exec { time, .. }) if time.is_some_and(|time| time < begun) => {}
                    Ok(Announced::Exec { id, time }) => self.tell(time, Body::ran_in(id)),
                    Ok(Announced::Work { work, time }) => self.tell(time, Body::EngineWork(work)),
                    Ok(Announced::Service { change, time }) => self.tell(time, Body::Service(change)),
                    Err(problem) => return problem,
                },
                Some(answer) = self.calls.next() => self.take_answer(answer),
                _ = beat.tick() => self.beat(),
            }
        }
    }

    fn take_change(&mut self, change: &Change) {
        match change.kind {
            ChangeKind::Created | ChangeKind::Started => {
                if self.admit_new(&change.id) {
                    self.fresh.ask(&change.id);
                }
            }
            ChangeKind::Died | ChangeKind::Altered => {
                if self.roster.contains(&change.id) {
                    self.others.ask(&change.id);
                }
            }
            ChangeKind::Destroyed => self.gone(&change.id, change.time),
        }
    }

    fn take_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Ping(result) => {
                self.pinging = false;
                self.ping_problem = result.err();
            }
            Answer::List(result) => {
                self.listing = false;
                self.listed = Instant::now();
                self.list_problem = result.map(|list| self.take_list(list)).err();
            }
            Answer::Facts { id, number, is_fresh, facts } => {
                let lane = if is_fresh { &mut self.fresh } else { &mut self.others };
                lane.end();
                self.take_facts(&id, number, *facts);
            }
        }
        self.assess();
    }

    /// A sign of life is due, and a second look at what is not as it should be.
    fn beat(&mut self) {
        if !self.pinging {
            self.pinging = true;
            let docker = self.docker.clone();
            self.calls.push(async move { Answer::Ping(docker.ping().await) }.boxed_local());
        }
        self.failing.keys().for_each(|id| self.others.ask(id));
        let is_due = self.listed.elapsed() >= Duration::from_millis(self.config.compare_interval_ms);
        if !self.listing && (is_due || self.list_problem.is_some()) {
            self.ask_for_list();
        }
    }

    fn ask_for_list(&mut self) {
        self.listing = true;
        let docker = self.docker.clone();
        self.calls.push(async move { Answer::List(docker.list().await) }.boxed_local());
    }

    fn start_inspections(&mut self) {
        while let Some(id) = self.fresh.start() {
            self.inspect(id, true);
        }
        while let Some(id) = self.others.start() {
            self.inspect(id, false);
        }
    }

    fn inspect(&mut self, id: Untrusted, is_fresh: bool) {
        let docker = self.docker.clone();
        let number = self.roster.ask(&id);
        let call = async move {
            let facts = Box::new(docker.inspect(&id).await);
            Answer::Facts { id, number, is_fresh, facts }
        };
        self.calls.push(call.boxed_local());
    }

    fn take_list(&mut self, list: Vec<Listed>) {
        match self.step {
            Step::Listing => self.begin(list),
            Step::Inspecting(_) | Step::Done => self.compare(&list),
        }
    }

    /// The first list: all of it is inspected, what may run first, so that it is the stopped that find no room.
    fn begin(&mut self, mut list: Vec<Listed>) {
        list.sort_by_key(|listed| matches!(listed.state, RunState::Created | RunState::Exited));
        let all = list.len();
        let admitted: Vec<_> =
            list.into_iter().map(|listed| listed.id).filter(|id| self.roster.admit(id)).collect();
        self.lose(all - admitted.len());
        admitted.iter().for_each(|id| self.others.ask(id));
        self.step = Step::Inspecting(admitted.into_iter().collect());
        self.end_if_inspected();
    }

    /// A later list: what differs from what was told is inspected. The list may be older than a change, so it
    /// settles nothing by itself.
    fn compare(&mut self, list: &[Listed]) {
        for listed in list {
            if self.roster.state(&listed.id) != Some(listed.state) && self.roster.admit(&listed.id) {
                self.others.ask(&listed.id);
            }
        }
        let listed: HashSet<_> = list.iter().map(|listed| &listed.id).collect();
        self.roster.ids().iter().filter(|id| !listed.contains(id)).for_each(|id| self.others.ask(id));
    }

    fn take_facts(&mut self, id: &Untrusted, number: u64, facts: Result<ContainerFacts, DockerError>) {
        match facts {
            Ok(facts) => match self.roster.apply(number, &facts) {
                Applied::New => {
                    self.reporter.outlet.send_now(Source::Docker, Body::Container(Box::new(facts)));
                    self.succeeded(id);
                }
                Applied::Unchanged => self.succeeded(id),
                Applied::Stale => {}
            },
            Err(DockerError::Gone { .. }) => self.gone(id, None),
            Err(problem) => match self.roster.fail(number, id) {
                // Among the others: a container the engine hangs on must not take two turns from the new ones.
                Failed::Retry => self.others.ask(id),
                Failed::Unknown => {
                    self.failing.insert(id.clone(), problem);
                    self.inspected(id);
                }
                Failed::Stale => {}
            },
        }
    }

    fn succeeded(&mut self, id: &Untrusted) {
        self.failing.remove(id);
        self.inspected(id);
    }

    fn gone(&mut self, id: &Untrusted, time: Option<Time>) {
        if !self.roster.remove(id) {
            return;
        }
        self.forget(id);
        self.tell(time, Body::gone(id.clone()));
        self.inspected(id);
    }

    fn tell(&self, time: Option<Time>, body: Body) {
        // The engine's clock is the host's; a time to come would be a lie.
        let now = self.reporter.outlet.now();
        self.reporter.outlet.send(Source::Docker, time.map_or(now, |time| time.min(now)), body);
    }

    fn forget(&mut self, id: &Untrusted) {
        self.fresh.forget(id);
        self.others.forget(id);
        self.failing.remove(id);
    }

    fn admit_new(&mut self, id: &Untrusted) -> bool {
        match self.roster.admit_new(id) {
            Room::Yes => true,
            Room::No => {
                self.lose(1);
                false
            }
            Room::Instead(stopped) => {
                self.forget(&stopped);
                self.inspected(&stopped);
                self.lose(1);
                true
            }
        }
    }

    /// One awaited answer less; with the last, the whole list is told.
    fn inspected(&mut self, id: &Untrusted) {
        if let Step::Inspecting(awaited) = &mut self.step {
            awaited.remove(id);
            self.end_if_inspected();
        }
    }

    fn end_if_inspected(&mut self) {
        if matches!(&self.step, Step::Inspecting(awaited) if awaited.is_empty()) {
            self.step = Step::Done;
            // Not the list as it came: containers have come and gone since.
            let ids = self.roster.ids();
            self.reporter.outlet.send_now(Source::Docker, Body::listed(ids));
        }
    }

    fn lose(&self, containers: usize) {
        if containers == 0 {
            return;
        }
        let count = u64::try_from(containers).unwrap_or(u64::MAX);
        let loss = Loss { source: Source::Docker, cgroup: None, count, stage: "containers_max".into() };
        self.reporter.outlet.send_now(Source::Docker, Body::Lost(loss));
    }

    /// Reports how the source is. Before the first list is told it is not up, whatever the engine answers:
    /// containers would be taken for unclaimed.
    fn assess(&mut self) {
        let degraded = self.list_problem.as_ref().map(ToString::to_string).or_else(|| self.failing_reason());
        match (&self.ping_problem, self.is_in_step(), degraded) {
            (Some(problem), _, _) => self.reporter.report(Health::Down, &problem.to_string()),
            (None, true, None) => self.reporter.report(Health::Up, ""),
            (None, true, Some(reason)) => self.reporter.report(Health::Degraded, &reason),
            (None, false, Some(reason)) if self.list_problem.is_some() => {
                self.reporter.report(Health::Down, &reason);
            }
            (None, false, _) => {}
        }
    }

    fn failing_reason(&self) -> Option<String> {
        let (id, problem) = self.failing.first_key_value()?;
        let more = match self.failing.len() {
            1 => String::new(),
            failing => format!(" and {} more", failing - 1),
        };
        Some(format!("container {id}{more}: {problem}"))
    }
}
