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
use containers::image::is_digest;
use futures_util::StreamExt;
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use model::coverage::{Health, Loss, Source};
use model::event::Body;
use model::runtime::{Administered, ContainerFacts, ImageFacts, Orchestrated, RunState};
use model::time::Time;
use model::untrusted::Untrusted;
use tokio::time::MissedTickBehavior;

use crate::containers::images::Images;
use crate::containers::lane::Lane;
use crate::containers::roster::{Applied, Failed, Room, Roster};
use crate::containers::swarm::{self, Swarm};
use crate::containers::{ContainersConfig, Reporter};

/// Inspections of containers that have just appeared, at a time.
const FRESH_MAX: usize = 16;

/// All other inspections at a time: few, so that a resynchronisation does not load a busy engine.
const OTHERS_MAX: usize = 8;

/// How long facts wait for what is told of the image; then they are told without it, and again with it.
const IMAGE_WAIT: Duration = Duration::from_millis(150);

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
    images: Images,
    swarm: Swarm,
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
    Facts(Inspected),
    /// Facts and what is told of their image; `None` when that took too long.
    Joined(Inspected, Option<ImageFacts>),
    Image(Untrusted, Result<ImageFacts, DockerError>),
    Swarm(Untrusted, Orchestrated),
}

/// What an inspection brought.
struct Inspected {
    id: Untrusted,
    number: u64,
    is_fresh: bool,
    facts: Box<Result<ContainerFacts, DockerError>>,
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
            images: Images::default(),
            swarm: Swarm::new(),
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
            self.start_calls();
            tokio::select! {
                announced = announcements.select_next_some() => match announced {
                    Ok(announced) => self.take_announced(announced, begun),
                    Err(problem) => return problem,
                },
                Some(answer) = self.calls.next() => self.take_answer(answer),
                _ = beat.tick() => self.beat(),
            }
        }
    }

    fn take_announced(&mut self, announced: Announced, begun: Time) {
        match announced {
            Announced::Container(change) => self.take_change(&change),
            // What lies in the overlap may have been counted before.
            Announced::Administered { time, .. } if time.is_some_and(|time| time < begun) => {}
            // Who runs a container in the foreground attaches to it before it starts: that is no more than to start it.
            Announced::Administered { id, what: Administered::Attach, .. }
                if self.roster.is_unstarted(&id) => {}
            Announced::Administered { id, what, command, time } => {
                let view = self.config.view.clone();
                self.tell(time, Body::EngineExec { id, view, command, what });
            }
            Announced::Work { work, time } => {
                self.images.forget_answers();
                self.tell(time, Body::EngineWork(work));
            }
            Announced::ImagesAltered => self.images.forget_answers(),
            Announced::Service { change, time } => self.tell(time, Body::Service(change)),
        }
    }

    fn take_change(&mut self, change: &Change) {
        match change.kind {
            ChangeKind::Created | ChangeKind::Started => {
                if self.admit_new(&change.id) {
                    self.fresh.ask(&change.id);
                }
                self.roster.set_started(&change.id, change.kind == ChangeKind::Started);
            }
            ChangeKind::Died => {
                self.roster.set_started(&change.id, false);
                self.ask_again(&change.id);
            }
            ChangeKind::Altered => self.ask_again(&change.id),
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
            Answer::Facts(inspected) => self.take_inspected(inspected),
            Answer::Joined(inspected, image) => self.take_joined(inspected, image),
            Answer::Image(digest, image) => self.take_image(&digest, image),
            Answer::Swarm(id, word) => {
                if self.swarm.take(&id, word) {
                    self.others.ask(&id);
                }
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
            self.swarm.ask_again();
            self.images.take_unanswered().iter().for_each(|id| self.ask_again(id));
            self.ask_for_list();
        }
    }

    fn ask_for_list(&mut self) {
        self.listing = true;
        let docker = self.docker.clone();
        self.calls.push(async move { Answer::List(docker.list().await) }.boxed_local());
    }

    fn start_calls(&mut self) {
        while let Some(id) = self.fresh.start() {
            self.inspect(id, true);
        }
        while let Some(id) = self.others.start() {
            self.inspect(id, false);
        }
        while let Some((id, task)) = self.swarm.start() {
            let docker = self.docker.clone();
            let call = async move { Answer::Swarm(id.clone(), swarm::answer(&docker, &id, &task).await) };
            self.calls.push(call.boxed_local());
        }
    }

    fn inspect(&mut self, id: Untrusted, is_fresh: bool) {
        let docker = self.docker.clone();
        let number = self.roster.ask(&id);
        let call = async move {
            let facts = Box::new(docker.inspect(&id).await);
            Answer::Facts(Inspected { id, number, is_fresh, facts })
        };
        self.calls.push(call.boxed_local());
    }

    /// Facts wait a little for those of their image, unless these are known.
    fn take_inspected(&mut self, mut inspected: Inspected) {
        let Ok(facts) = &mut *inspected.facts else { return self.end_inspection(inspected) };
        if let Some(image) = self.images.known(&facts.digest, Instant::now()) {
            facts.image_facts = image.clone();
        } else if is_digest(facts.digest.raw()) {
            let (docker, digest) = (self.docker.clone(), facts.digest.clone());
            let call = async move {
                let image = tokio::time::timeout(IMAGE_WAIT, docker.image(&digest)).await;
                Answer::Joined(inspected, image.ok().and_then(Result::ok))
            };
            return self.calls.push(call.boxed_local());
        }
        self.end_inspection(inspected);
    }

    fn take_joined(&mut self, mut inspected: Inspected, image: Option<ImageFacts>) {
        if let Ok(facts) = &mut *inspected.facts {
            match image {
                Some(image) => {
                    self.images.keep(&facts.digest, image.clone(), Instant::now());
                    facts.image_facts = image;
                }
                None if self.images.wait(&facts.digest, &inspected.id) => {
                    let (docker, digest) = (self.docker.clone(), facts.digest.clone());
                    let call = async move { Answer::Image(digest.clone(), docker.image(&digest).await) };
                    self.calls.push(call.boxed_local());
                }
                None => {}
            }
        }
        self.end_inspection(inspected);
    }

    /// An image told of late: its containers are told again. An engine that fails at it is asked at the next comparison.
    fn take_image(&mut self, digest: &Untrusted, image: Result<ImageFacts, DockerError>) {
        let Ok(image) = image else { return self.images.fail(digest) };
        self.images.keep(digest, image, Instant::now());
        for id in self.images.waited(digest) {
            self.ask_again(&id);
        }
    }

    /// Asks for the facts of a container anew, if it is still there.
    fn ask_again(&mut self, id: &Untrusted) {
        if self.roster.contains(id) {
            self.others.ask(id);
        }
    }

    fn end_inspection(&mut self, inspected: Inspected) {
        let lane = if inspected.is_fresh { &mut self.fresh } else { &mut self.others };
        lane.end();
        self.take_facts(&inspected.id, inspected.number, *inspected.facts);
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
            if listed.state == RunState::Running {
                // Its start may have been among the announcements that were dropped.
                self.roster.set_started(&listed.id, true);
            }
            if self.roster.state(&listed.id) != Some(listed.state) && self.roster.admit(&listed.id) {
                self.others.ask(&listed.id);
            }
        }
        let listed: HashSet<_> = list.iter().map(|listed| &listed.id).collect();
        self.roster.ids().iter().filter(|id| !listed.contains(id)).for_each(|id| self.others.ask(id));
    }

    fn take_facts(&mut self, id: &Untrusted, number: u64, facts: Result<ContainerFacts, DockerError>) {
        match facts {
            Ok(facts) => self.take_known(number, facts),
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

    fn take_known(&mut self, number: u64, mut facts: ContainerFacts) {
        // Of what is gone nothing is asked, and nothing remembered.
        if !self.roster.contains(&facts.id) {
            return;
        }
        facts.view = self.config.view.clone();
        facts.orchestrated = self.swarm.word_on(&facts);
        let id = facts.id.clone();
        match self.roster.apply(number, &facts) {
            Applied::New => {
                self.reporter.outlet.send_now(Source::Docker, Body::Container(Box::new(facts)));
                self.succeeded(&id);
            }
            Applied::Unchanged => self.succeeded(&id),
            Applied::Stale => {}
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
        self.tell(time, Body::ContainerGone { id: id.clone(), view: self.config.view.clone() });
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
        self.images.forget(id);
        self.swarm.forget(id);
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
            let view = self.config.view.clone();
            self.reporter.outlet.send_now(Source::Docker, Body::ContainerList { ids, view });
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
