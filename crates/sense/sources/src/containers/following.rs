//! One connection to an engine that has several views, from subscribing to its end: each namespace's list is told whole
//! once, and followed from then on.
//!
//! Changes are subscribed to before any list is asked for, and the lists are compared once more soon after, since no
//! engine confirms a subscription. Not here: connecting again (`follower.rs`).

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::time::{Duration, Instant};

use containers::containerd::NAMESPACES_MAX;
use containers::grpc::error::CallError;
use containers::notice::{Entries, Entry, Happened, Notice, Place};
use futures_util::StreamExt;
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use model::coverage::Loss;
use model::event::Body;
use model::runtime::{Administered, ContainerFacts, RunState};
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::EngineState;
use tokio::time::MissedTickBehavior;

use crate::containers::asked::Asked;
use crate::containers::follow_config::FollowConfig;
use crate::containers::follower::Teller;
use crate::containers::lane::Lane;
use crate::containers::roster::{Applied, Failed, Room, Roster};

/// Questions about containers that have just appeared, at a time.
const FRESH_MAX: usize = 16;

/// All other questions about containers at a time: few, so that a resynchronisation does not load a busy engine.
const OTHERS_MAX: usize = 8;

/// How often to look what is due.
const BEAT: Duration = Duration::from_millis(500);

/// Time between two signs of life.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// When the lists are compared for the first time: by then the engine has long taken the subscription.
const SETTLED: Duration = Duration::from_secs(1);

/// The state of one connection.
pub(crate) struct Following<'a, E> {
    engine: E,
    settings: &'a FollowConfig,
    teller: &'a mut Teller,
    namespaces: BTreeMap<Untrusted, Namespace>,
    fresh: Lane<Place>,
    others: Lane<Place>,
    calls: FuturesUnordered<LocalBoxFuture<'static, Answer>>,
    failing: BTreeMap<Place, CallError>,
    pinging: bool,
    ping_problem: Option<CallError>,
    pinged: Instant,
    asking_for_namespaces: bool,
    namespaces_problem: Option<CallError>,
    /// Whether the first answer about namespaces has come.
    are_named: bool,
    looked: Instant,
    look_after: Duration,
}

/// One of the engine's views.
struct Namespace {
    roster: Roster,
    step: Step,
    listing: bool,
    problem: Option<CallError>,
}

/// How far the first resynchronisation of a namespace has come.
enum Step {
    Listing,
    /// The listed containers whose facts are still awaited.
    Inspecting(HashSet<Untrusted>),
    Done,
}

/// What a call brought.
enum Answer {
    Ping(Result<(), CallError>),
    Namespaces(Result<(Vec<Untrusted>, usize), CallError>),
    List(Untrusted, Result<Entries, CallError>),
    Facts { place: Place, number: u64, is_fresh: bool, facts: Box<Result<ContainerFacts, CallError>> },
}

impl<'a, E: Asked> Following<'a, E> {
    pub(crate) fn new(engine: E, settings: &'a FollowConfig, teller: &'a mut Teller) -> Self {
        Self {
            engine,
            settings,
            teller,
            namespaces: BTreeMap::new(),
            fresh: Lane::new(FRESH_MAX),
            others: Lane::new(OTHERS_MAX),
            calls: FuturesUnordered::new(),
            failing: BTreeMap::new(),
            pinging: false,
            ping_problem: None,
            pinged: Instant::now(),
            asking_for_namespaces: false,
            namespaces_problem: None,
            are_named: false,
            looked: Instant::now(),
            look_after: SETTLED,
        }
    }

    /// Whether every namespace's whole list has been told.
    pub(crate) fn is_in_step(&self) -> bool {
        self.are_named && self.namespaces.values().all(|it| matches!(it.step, Step::Done))
    }

    /// Follows the engine until it ends the connection.
    pub(crate) async fn follow(&mut self) -> CallError {
        let mut notices = pin!(self.engine.watch().fuse());
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.ask_for_namespaces();
        loop {
            self.start_inspections();
            tokio::select! {
                // In this order, so that the subscription is sent before anything is asked.
                biased;
                notice = notices.select_next_some() => match notice {
                    Ok(notice) => self.take_notice(notice),
                    Err(problem) => return problem,
                },
                Some(answer) = self.calls.next() => {
                    if let Some(problem) = self.take_answer(answer) {
                        return problem;
                    }
                }
                _ = beat.tick() => self.beat(),
            }
        }
    }

    fn take_notice(&mut self, notice: Notice) {
        match notice.happened {
            Happened::Appeared(place) => {
                if self.admit_new(&place) {
                    self.fresh.ask(&place);
                }
            }
            Happened::Altered(place) => {
                if self.knows(&place) {
                    self.others.ask(&place);
                }
            }
            Happened::Destroyed(place) => self.gone(&place, notice.time),
            Happened::Exec(place) => {
                let view = self.teller.view(&place.namespace);
                // What is run is not announced.
                let command = Untrusted::default();
                let body = Body::EngineExec { id: place.id, view, command, what: Administered::Exec };
                self.tell(notice.time, body);
            }
            Happened::NamespaceMade(namespace) => self.enter(&namespace),
            Happened::NamespaceGone(namespace) => self.leave(&namespace),
        }
    }

    /// Takes in what a call brought; a problem that ends the connection is given back.
    fn take_answer(&mut self, answer: Answer) -> Option<CallError> {
        match answer {
            Answer::Ping(result) => {
                self.pinging = false;
                self.ping_problem = result.err();
                // One that is slow is waited for; to one that is gone we must connect again.
                if matches!(self.ping_problem, Some(CallError::Failed { .. } | CallError::Unserved { .. })) {
                    return self.ping_problem.clone();
                }
            }
            Answer::Namespaces(result) => {
                self.asking_for_namespaces = false;
                self.looked = Instant::now();
                self.namespaces_problem =
                    result.map(|(names, left)| self.take_namespaces(&names, left)).err();
            }
            Answer::List(namespace, result) => {
                let entry = self.namespaces.get_mut(&namespace)?;
                entry.listing = false;
                match result {
                    Ok(entries) => {
                        entry.problem = None;
                        self.take_list(&namespace, entries);
                    }
                    Err(problem) => entry.problem = Some(problem),
                }
            }
            Answer::Facts { place, number, is_fresh, facts } => {
                let lane = if is_fresh { &mut self.fresh } else { &mut self.others };
                lane.end();
                self.take_facts(&place, number, *facts);
            }
        }
        self.assess();
        None
    }

    /// A sign of life is due, or a second look at what is not as it should be.
    fn beat(&mut self) {
        if !self.pinging && self.pinged.elapsed() >= PING_INTERVAL {
            self.pinging = true;
            self.pinged = Instant::now();
            let engine = self.engine.clone();
            self.calls.push(async move { Answer::Ping(engine.ping().await) }.boxed_local());
        }
        self.failing.keys().for_each(|place| self.others.ask(place));
        let has_problem =
            self.namespaces_problem.is_some() || self.namespaces.values().any(|it| it.problem.is_some());
        if !self.asking_for_namespaces && (has_problem || self.looked.elapsed() >= self.look_after) {
            self.look_after = E::POLLED.unwrap_or(Duration::from_millis(self.settings.compare_interval_ms));
            self.ask_for_namespaces();
        }
    }

    fn ask_for_namespaces(&mut self) {
        self.asking_for_namespaces = true;
        let engine = self.engine.clone();
        self.calls.push(async move { Answer::Namespaces(engine.namespaces().await) }.boxed_local());
    }

    fn ask_for_list(&mut self, namespace: &Untrusted) {
        let Some(entry) = self.namespaces.get_mut(namespace) else { return };
        if std::mem::replace(&mut entry.listing, true) {
            return;
        }
        let (engine, namespace, max) = (self.engine.clone(), namespace.clone(), self.settings.containers_max);
        let call = async move {
            let result = engine.list(&namespace, max).await;
            Answer::List(namespace, result)
        };
        self.calls.push(call.boxed_local());
    }

    fn start_inspections(&mut self) {
        while let Some(place) = self.fresh.start() {
            self.inspect(place, true);
        }
        while let Some(place) = self.others.start() {
            self.inspect(place, false);
        }
    }

    fn inspect(&mut self, place: Place, is_fresh: bool) {
        let engine = self.engine.clone();
        let number = self.namespaces.get_mut(&place.namespace).map_or(0, |it| it.roster.ask(&place.id));
        let call = async move {
            let facts = Box::new(engine.facts(&place).await);
            Answer::Facts { place, number, is_fresh, facts }
        };
        self.calls.push(call.boxed_local());
    }

    /// All namespaces: what is new is entered, what is gone is left, and all are looked at.
    fn take_namespaces(&mut self, names: &[Untrusted], left: usize) {
        if !self.are_named {
            self.lose(left);
        }
        self.are_named = true;
        let gone: Vec<_> = self.namespaces.keys().filter(|name| !names.contains(name)).cloned().collect();
        gone.iter().for_each(|namespace| self.leave(namespace));
        for namespace in names {
            self.enter(namespace);
            self.ask_for_list(namespace);
        }
    }

    fn enter(&mut self, namespace: &Untrusted) {
        if self.namespaces.contains_key(namespace) {
            return;
        }
        if self.namespaces.len() >= NAMESPACES_MAX {
            self.lose(1);
            return;
        }
        let roster = Roster::new(self.settings.containers_max);
        let entry = Namespace { roster, step: Step::Listing, listing: false, problem: None };
        self.namespaces.insert(namespace.clone(), entry);
        self.ask_for_list(namespace);
    }

    /// A namespace is no more; so is whatever was in it.
    fn leave(&mut self, namespace: &Untrusted) {
        let Some(entry) = self.namespaces.remove(namespace) else { return };
        for id in entry.roster.ids() {
            self.forget(&Place { namespace: namespace.clone(), id });
        }
        let view = self.teller.view(namespace);
        self.teller.outlet.send_now(E::SOURCE, Body::ContainerList { ids: Vec::new(), view });
    }

    fn take_list(&mut self, namespace: &Untrusted, list: Entries) {
        let Some(entry) = self.namespaces.get(namespace) else { return };
        match entry.step {
            Step::Listing => self.begin(namespace, list),
            Step::Inspecting(_) | Step::Done => self.compare(namespace, &list.taken),
        }
    }

    /// The first list: all of it is asked about, what may run first, so that it is the stopped that find no room.
    fn begin(&mut self, namespace: &Untrusted, list: Entries) {
        let Some(entry) = self.namespaces.get_mut(namespace) else { return };
        let (mut taken, left) = (list.taken, list.left);
        taken.sort_by_key(|it| matches!(it.state, RunState::Created | RunState::Exited));
        let all = taken.len();
        let admitted: Vec<_> =
            taken.into_iter().map(|it| it.id).filter(|id| entry.roster.admit(id)).collect();
        for id in &admitted {
            self.others.ask(&Place { namespace: namespace.clone(), id: id.clone() });
        }
        let lost = left + all - admitted.len();
        entry.step = Step::Inspecting(admitted.into_iter().collect());
        self.lose(lost);
        self.end_if_inspected(namespace);
    }

    /// A later list: what differs from what was told is asked about. The list may be older than a change, so it settles
    /// nothing by itself.
    fn compare(&mut self, namespace: &Untrusted, list: &[Entry]) {
        let Some(entry) = self.namespaces.get_mut(namespace) else { return };
        let place = |id: &Untrusted| Place { namespace: namespace.clone(), id: id.clone() };
        for listed in list {
            let told = entry.roster.state(&listed.id);
            let is_told_as_ended = told == Some(RunState::Exited) && has_ended(told, listed.state);
            if told == Some(listed.state) || is_told_as_ended {
                continue;
            }
            let is_new = !entry.roster.contains(&listed.id);
            if entry.roster.admit(&listed.id) {
                let lane = if is_new { &mut self.fresh } else { &mut self.others };
                lane.ask(&place(&listed.id));
            }
        }
        let listed: HashSet<_> = list.iter().map(|listed| &listed.id).collect();
        entry
            .roster
            .ids()
            .iter()
            .filter(|id| !listed.contains(id))
            .for_each(|id| self.others.ask(&place(id)));
    }

    fn take_facts(&mut self, place: &Place, number: u64, facts: Result<ContainerFacts, CallError>) {
        let Some(entry) = self.namespaces.get_mut(&place.namespace) else { return };
        match facts {
            Ok(mut facts) => {
                if has_ended(entry.roster.state(&place.id), facts.state) {
                    facts.state = RunState::Exited;
                }
                match entry.roster.apply(number, &facts) {
                    Applied::New => {
                        self.teller.outlet.send_now(E::SOURCE, Body::Container(Box::new(facts)));
                        self.succeeded(place);
                    }
                    Applied::Unchanged => self.succeeded(place),
                    Applied::Stale => {}
                }
            }
            Err(problem) if problem.is_gone() => self.gone(place, None),
            Err(problem) => match entry.roster.fail(number, &place.id) {
                // Among the others: a container the engine hangs on must not take two turns from the new ones.
                Failed::Retry => self.others.ask(place),
                Failed::Unknown => {
                    self.failing.insert(place.clone(), problem);
                    self.inspected(place);
                }
                Failed::Stale => {}
            },
        }
    }

    fn knows(&self, place: &Place) -> bool {
        self.namespaces.get(&place.namespace).is_some_and(|it| it.roster.contains(&place.id))
    }

    fn succeeded(&mut self, place: &Place) {
        self.failing.remove(place);
        self.inspected(place);
    }

    fn gone(&mut self, place: &Place, time: Option<Time>) {
        let removed = self.namespaces.get_mut(&place.namespace).is_some_and(|it| it.roster.remove(&place.id));
        if !removed {
            return;
        }
        self.forget(place);
        let view = self.teller.view(&place.namespace);
        self.tell(time, Body::ContainerGone { id: place.id.clone(), view });
        self.inspected(place);
    }

    fn tell(&self, time: Option<Time>, body: Body) {
        // The engine's clock is the host's; a time to come would be a lie.
        let now = self.teller.outlet.now();
        self.teller.outlet.send(E::SOURCE, time.map_or(now, |time| time.min(now)), body);
    }

    fn forget(&mut self, place: &Place) {
        self.fresh.forget(place);
        self.others.forget(place);
        self.failing.remove(place);
        self.engine.forget(place);
    }

    fn admit_new(&mut self, place: &Place) -> bool {
        // What is in a namespace may be announced before the namespace is.
        self.enter(&place.namespace);
        let Some(entry) = self.namespaces.get_mut(&place.namespace) else { return false };
        match entry.roster.admit_new(&place.id) {
            Room::Yes => true,
            Room::No => {
                self.lose(1);
                false
            }
            Room::Instead(stopped) => {
                let stopped = Place { namespace: place.namespace.clone(), id: stopped };
                self.forget(&stopped);
                self.inspected(&stopped);
                self.lose(1);
                true
            }
        }
    }

    /// One awaited answer less; with the last, the namespace's whole list is told.
    fn inspected(&mut self, place: &Place) {
        let Some(entry) = self.namespaces.get_mut(&place.namespace) else { return };
        if let Step::Inspecting(awaited) = &mut entry.step {
            awaited.remove(&place.id);
            self.end_if_inspected(&place.namespace);
        }
    }

    fn end_if_inspected(&mut self, namespace: &Untrusted) {
        let Some(entry) = self.namespaces.get_mut(namespace) else { return };
        if matches!(&entry.step, Step::Inspecting(awaited) if awaited.is_empty()) {
            entry.step = Step::Done;
            // Not the list as it came: containers have come and gone since.
            let (ids, view) = (entry.roster.ids(), self.teller.view(namespace));
            self.teller.outlet.send_now(E::SOURCE, Body::ContainerList { ids, view });
        }
    }

    fn lose(&self, containers: usize) {
        if containers == 0 {
            return;
        }
        let count = u64::try_from(containers).unwrap_or(u64::MAX);
        let loss = Loss { source: E::SOURCE, cgroup: None, count, stage: "containers_max".into() };
        self.teller.outlet.send_now(E::SOURCE, Body::Lost(loss));
    }

    /// Tells how the engine is. Before its lists are told it is said to be nothing, whatever it answers: its containers
    /// would be taken for unclaimed.
    fn assess(&mut self) {
        let list_problem = self.namespaces.values().find_map(|it| it.problem.as_ref());
        let list_problem = self.namespaces_problem.as_ref().or(list_problem).map(ToString::to_string);
        let silence = self.ping_problem.as_ref().map(ToString::to_string);
        match (silence, self.is_in_step(), list_problem.or_else(|| self.failing_reason())) {
            (Some(reason), _, _) | (None, false, Some(reason)) => {
                self.teller.tell::<E>(EngineState::Silent, &reason);
            }
            (None, true, Some(reason)) => self.teller.tell::<E>(EngineState::Doubtful, &reason),
            (None, true, None) => self.teller.tell::<E>(EngineState::Answers, ""),
            (None, false, None) => {}
        }
    }

    fn failing_reason(&self) -> Option<String> {
        let (place, problem) = self.failing.first_key_value()?;
        let more = match self.failing.len() {
            1 => String::new(),
            failing => format!(" and {} more", failing - 1),
        };
        Some(format!("container {}{more}: {problem}", place.id))
    }
}

/// Whether a container has ended that the engine now tells of as one that was made and not started: containerd keeps no
/// more of it when its task is deleted.
fn has_ended(told: Option<RunState>, now: RunState) -> bool {
    let has_run = matches!(told, Some(RunState::Running | RunState::Paused | RunState::Exited));
    has_run && now == RunState::Created
}

#[cfg(test)]
mod tests;
