//! One connection to an engine, from subscribing to its end.
//!
//! Changes are subscribed to before the list is asked for, so nothing falls between. Everything asked of the
//! engine runs side by side; an engine that hangs on one answer delays that one. Not here: connecting again.

use std::pin::pin;
use std::time::{Duration, Instant};

use containers::announced::Announced;
use containers::change::{Change, ChangeKind};
use containers::docker::Docker;
use containers::error::CallError;
use containers::image::is_digest;
use containers::notice::Entries;
use futures_util::StreamExt;
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use model::coverage::{Health, Source};
use model::event::Body;
use model::runtime::{Administered, ContainerFacts, ImageFacts, Orchestrated};
use model::time::Time;
use model::untrusted::Untrusted;
use tokio::time::MissedTickBehavior;

use crate::clock::wall_clock;
use crate::containers::images::Images;
use crate::containers::lane::Lanes;
use crate::containers::mirror::{Cause, Due, Mirror, failing_reason};
use crate::containers::overdue::Overdue;
use crate::containers::swarm::{self, Swarm};
use crate::containers::{ContainersConfig, Reporter};

/// How long facts wait for what is told of the image; then they are told without it, and again with it.
const IMAGE_WAIT: Duration = Duration::from_millis(150);

/// Longest time between two looks at what the engine has not answered.
const BEAT_MS_MAX: u64 = 500;

/// Changes are asked for from this long before the subscription: the engine answers a subscription before it is
/// in force, and replays what it remembers. What comes twice is told once.
const OVERLAP: Duration = Duration::from_secs(1);

/// The state of one connection.
pub(crate) struct Session<'a> {
    docker: Docker,
    config: &'a ContainersConfig,
    reporter: &'a mut Reporter,
    mirror: Mirror,
    lanes: Lanes<Untrusted>,
    images: Images,
    swarm: Swarm,
    calls: FuturesUnordered<LocalBoxFuture<'static, Answer>>,
    pinging: bool,
    ping_problem: Option<CallError>,
    /// How often everything was asked for anew when the list was asked for last.
    asked_anew: u64,
    /// When a sign of life was asked for; `None` before the first time.
    pinged: Option<Instant>,
    listed: Instant,
}

/// What a call brought.
enum Answer {
    Ping(Result<(), CallError>),
    List(Result<Entries, CallError>),
    Facts(Inspected),
    /// Facts and what is told of their image; `None` when that took too long.
    Joined(Inspected, Option<ImageFacts>),
    Image(Untrusted, Result<ImageFacts, CallError>),
    Swarm(Untrusted, Orchestrated),
}

/// What an inspection brought.
struct Inspected {
    id: Untrusted,
    number: u64,
    is_fresh: bool,
    facts: Box<Result<ContainerFacts, CallError>>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(docker: Docker, config: &'a ContainersConfig, reporter: &'a mut Reporter) -> Self {
        Self {
            docker,
            config,
            asked_anew: reporter.outlet.asked_anew(),
            reporter,
            mirror: Mirror::new(Source::Docker, config.view.clone(), config.containers_max),
            lanes: Lanes::new(),
            images: Images::default(),
            swarm: Swarm::new(),
            calls: FuturesUnordered::new(),
            pinging: false,
            ping_problem: None,
            pinged: None,
            listed: Instant::now(),
        }
    }

    /// Whether the engine's whole list has been told.
    pub(crate) fn is_in_step(&self) -> bool {
        self.mirror.is_in_step()
    }

    /// Follows the engine until it ends the stream of changes, or fails to give a usable one.
    pub(crate) async fn follow(&mut self) -> CallError {
        // The engine tells times by the wall clock.
        let begun = wall_clock();
        let since = begun.minus(OVERLAP);
        let mut announcements = pin!(self.docker.watch(since).fuse());
        let beat_ms = self.config.ping_interval_ms.clamp(1, BEAT_MS_MAX);
        let mut beat = tokio::time::interval(Duration::from_millis(beat_ms));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.ask_for_list();
        loop {
            self.settle();
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
                if self.mirror.roster.is_unstarted(&id) => {}
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
                self.mirror.appear(&change.id);
                self.mirror.roster.set_started(&change.id, change.kind == ChangeKind::Started);
            }
            ChangeKind::Died => {
                self.mirror.roster.set_started(&change.id, false);
                self.mirror.alter(&change.id);
            }
            ChangeKind::Altered => self.mirror.alter(&change.id),
            ChangeKind::Destroyed => self.mirror.gone(&change.id, change.time),
        }
    }

    fn take_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Ping(result) => {
                self.pinging = false;
                self.ping_problem = result.err();
            }
            Answer::List(list) => {
                self.listed = Instant::now();
                self.mirror.take_list(list);
            }
            Answer::Facts(inspected) => self.take_inspected(inspected),
            Answer::Joined(inspected, image) => self.take_joined(inspected, image),
            Answer::Image(digest, image) => self.take_image(&digest, image),
            Answer::Swarm(id, word) => {
                if self.swarm.take(&id, word) {
                    self.mirror.alter(&id);
                }
            }
        }
        self.settle();
        self.assess();
    }

    /// What is unanswered is looked at; and when a sign of life is due, what is not as it should be.
    fn beat(&mut self) {
        self.assess();
        let interval = Duration::from_millis(self.config.ping_interval_ms);
        if self.pinged.is_some_and(|at| at.elapsed() < interval) {
            return;
        }
        self.pinged = Some(Instant::now());
        if !self.pinging {
            self.pinging = true;
            let docker = self.docker.clone();
            self.calls.push(async move { Answer::Ping(docker.ping().await) }.boxed_local());
        }
        self.mirror.ask_failing();
        let asked_anew = self.reporter.outlet.asked_anew();
        let is_due = self.listed.elapsed() >= Duration::from_millis(self.config.compare_interval_ms)
            || asked_anew != self.asked_anew;
        if (is_due || self.mirror.list_problem().is_some()) && self.ask_for_list() {
            self.asked_anew = asked_anew;
            self.swarm.ask_again();
            self.images.take_unanswered().iter().for_each(|id| self.mirror.alter(id));
        }
    }

    /// Asks for the list, unless it is awaited already; whether it was asked for.
    fn ask_for_list(&mut self) -> bool {
        if !self.mirror.start_listing() {
            return false;
        }
        let docker = self.docker.clone();
        self.calls.push(async move { Answer::List(docker.list().await) }.boxed_local());
        true
    }

    fn start_calls(&mut self) {
        while let Some((id, is_fresh)) = self.lanes.start() {
            self.inspect(id, is_fresh);
        }
        while let Some((id, task)) = self.swarm.start() {
            let docker = self.docker.clone();
            let call = async move { Answer::Swarm(id.clone(), swarm::answer(&docker, &id, &task).await) };
            self.calls.push(call.boxed_local());
        }
    }

    fn inspect(&mut self, id: Untrusted, is_fresh: bool) {
        let docker = self.docker.clone();
        let number = self.mirror.roster.ask(&id);
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
    fn take_image(&mut self, digest: &Untrusted, image: Result<ImageFacts, CallError>) {
        let Ok(image) = image else { return self.images.fail(digest) };
        self.images.keep(digest, image, Instant::now());
        for id in self.images.waited(digest) {
            self.mirror.alter(&id);
        }
    }

    fn end_inspection(&mut self, inspected: Inspected) {
        let Inspected { id, number, is_fresh, mut facts } = inspected;
        self.lanes.end(is_fresh);
        // Of what is gone nothing is asked, and nothing remembered.
        if let Ok(facts) = &mut *facts
            && self.mirror.roster.contains(&id)
        {
            facts.orchestrated = self.swarm.word_on(facts);
        }
        self.mirror.take_facts(&id, number, *facts);
    }

    /// Does what is due. New containers that were missed wait with the others.
    fn settle(&mut self) {
        for due in self.mirror.take_due() {
            match due {
                Due::Tell(time, body) => self.tell(time, body),
                Due::Ask(id, cause) => self.lanes.ask(&id, cause == Cause::Announced),
                Due::Forget(id) => {
                    self.lanes.forget(&id);
                    self.images.forget(&id);
                    self.swarm.forget(&id);
                }
            }
        }
    }

    fn tell(&self, time: Option<Time>, body: Body) {
        self.reporter.outlet.send_announced(Source::Docker, time, body);
    }

    /// Reports how the source is. Before the first list is told it is not up, whatever the engine answers:
    /// containers would be taken for unclaimed.
    fn assess(&mut self) {
        let list_problem = self.mirror.list_problem();
        let overdue = self.mirror.overdue(Instant::now());
        let degraded = list_problem
            .map(ToString::to_string)
            .or_else(|| overdue.as_ref().map(Overdue::reason))
            .or_else(|| failing_reason([&self.mirror]));
        match (&self.ping_problem, self.is_in_step(), degraded) {
            (Some(problem), _, _) => self.reporter.report(Health::Down, &problem.to_string()),
            (None, false, Some(reason)) if matches!(overdue, Some(Overdue::List { .. })) => {
                self.reporter.report(Health::Down, &reason);
            }
            (None, false, Some(reason)) if overdue.is_some() => {
                self.reporter.report(Health::Degraded, &reason);
            }
            (None, true, None) => self.reporter.report(Health::Up, ""),
            (None, true, Some(reason)) => self.reporter.report(Health::Degraded, &reason),
            (None, false, Some(reason)) if list_problem.is_some() => {
                self.reporter.report(Health::Down, &reason);
            }
            (None, false, _) => {}
        }
    }
}
