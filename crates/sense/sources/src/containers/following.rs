//! One connection to an engine that has several views, from subscribing to its end: each namespace's list is told whole
//! once, and followed from then on.
//!
//! Changes are subscribed to before any list is asked for, and the lists are compared once more soon after, since no
//! engine confirms a subscription. Not here: connecting again (`follower.rs`).

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use containers::containerd::NAMESPACES_MAX;
use containers::error::CallError;
use containers::notice::{Entries, Happened, Notice, Place};
use futures_util::StreamExt;
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use model::event::Body;
use model::runtime::{Administered, ContainerFacts, RunState};
use model::untrusted::Untrusted;
use model::view::EngineState;
use tokio::time::MissedTickBehavior;

use crate::containers::asked::Asked;
use crate::containers::follow_config::FollowConfig;
use crate::containers::follower::Teller;
use crate::containers::lane::Lanes;
use crate::containers::mirror::{Cause, Due, Mirror, failing_reason, lost};
use crate::containers::overdue::Overdue;

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
    namespaces: BTreeMap<Untrusted, Mirror>,
    lanes: Lanes<Place>,
    calls: FuturesUnordered<LocalBoxFuture<'static, Answer>>,
    pinging: bool,
    ping_problem: Option<CallError>,
    pinged: Instant,
    asking_for_namespaces: bool,
    namespaces_problem: Option<CallError>,
    /// Whether the first answer about namespaces has come.
    are_named: bool,
    looked: Instant,
    look_after: Duration,
    /// How often everything was asked for anew when this was done last.
    asked_anew: u64,
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
            asked_anew: teller.outlet.asked_anew(),
            engine,
            settings,
            teller,
            namespaces: BTreeMap::new(),
            lanes: Lanes::new(),
            calls: FuturesUnordered::new(),
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
        self.are_named && self.namespaces.values().all(Mirror::is_in_step)
    }

    /// Follows the engine until it ends the connection.
    pub(crate) async fn follow(&mut self) -> CallError {
        let mut notices = pin!(self.engine.watch().fuse());
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.ask_for_namespaces();
        loop {
            self.settle();
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
                // What is in a namespace may be announced before the namespace is.
                self.enter(&place.namespace);
                self.with(&place, |mirror, id| mirror.appear(id));
            }
            Happened::Altered(place) => self.with(&place, |mirror, id| mirror.alter(id)),
            Happened::Destroyed(place) => self.with(&place, |mirror, id| mirror.gone(id, notice.time)),
            Happened::Exec(place) => {
                let view = self.teller.view(&place.namespace);
                // What is run is not announced.
                let command = Untrusted::default();
                let body = Body::EngineExec { id: place.id, view, command, what: Administered::Exec };
                self.teller.outlet.send_announced(E::SOURCE, notice.time, body);
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
            Answer::List(namespace, mut list) => {
                let mirror = self.namespaces.get_mut(&namespace)?;
                for entry in list.iter_mut().flat_map(|list| &mut list.taken) {
                    entry.state = state(mirror, &entry.id, entry.state);
                }
                mirror.take_list(list);
            }
            Answer::Facts { place, number, is_fresh, mut facts } => {
                self.lanes.end(is_fresh);
                self.with(&place, |mirror, id| {
                    if let Ok(facts) = &mut *facts {
                        facts.state = state(mirror, id, facts.state);
                    }
                    mirror.take_facts(id, number, *facts);
                });
            }
        }
        self.settle();
        self.assess();
        None
    }

    /// A sign of life is due, or a second look at what is not as it should be.
    fn beat(&mut self) {
        self.assess();
        if !self.pinging && self.pinged.elapsed() >= PING_INTERVAL {
            self.pinging = true;
            self.pinged = Instant::now();
            let engine = self.engine.clone();
            self.calls.push(async move { Answer::Ping(engine.ping().await) }.boxed_local());
        }
        self.namespaces.values_mut().for_each(Mirror::ask_failing);
        let has_problem = self.namespaces_problem.is_some()
            || self.namespaces.values().any(|it| it.list_problem().is_some());
        let asked_anew = self.teller.outlet.asked_anew();
        let is_due = self.looked.elapsed() >= self.look_after || asked_anew != self.asked_anew;
        if !self.asking_for_namespaces && (has_problem || is_due) {
            self.asked_anew = asked_anew;
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
        if !self.namespaces.get_mut(namespace).is_some_and(Mirror::start_listing) {
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
        while let Some((place, is_fresh)) = self.lanes.start() {
            self.inspect(place, is_fresh);
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
        let mirror = Mirror::new(E::SOURCE, self.teller.view(namespace), self.settings.containers_max);
        self.namespaces.insert(namespace.clone(), mirror);
        self.ask_for_list(namespace);
    }

    fn leave(&mut self, namespace: &Untrusted) {
        let Some(mirror) = self.namespaces.get_mut(namespace) else { return };
        mirror.leave();
        self.settle();
        self.namespaces.remove(namespace);
    }

    /// Does something with what is known of a container's namespace, if it is followed.
    fn with(&mut self, place: &Place, take: impl FnOnce(&mut Mirror, &Untrusted)) {
        if let Some(mirror) = self.namespaces.get_mut(&place.namespace) {
            take(mirror, &place.id);
        }
    }

    /// Does what is due. New containers are asked about first, announced or not: some engines announce none.
    fn settle(&mut self) {
        for (namespace, mirror) in &mut self.namespaces {
            let place = |id| Place { namespace: namespace.clone(), id };
            for due in mirror.take_due() {
                match due {
                    Due::Tell(time, body) => self.teller.outlet.send_announced(E::SOURCE, time, body),
                    Due::Ask(id, cause) => self.lanes.ask(&place(id), cause != Cause::Known),
                    Due::Forget(id) => {
                        let place = place(id);
                        self.lanes.forget(&place);
                        self.engine.forget(&place);
                    }
                }
            }
        }
    }

    fn lose(&self, namespaces: usize) {
        if let Some(body) = lost(E::SOURCE, namespaces) {
            self.teller.outlet.send_now(E::SOURCE, body);
        }
    }

    /// Tells how the engine is. Before its lists are told it is said to be nothing, whatever it answers: its containers
    /// would be taken for unclaimed.
    fn assess(&mut self) {
        let list_problem = self.namespaces.values().find_map(Mirror::list_problem);
        let list_problem = self.namespaces_problem.as_ref().or(list_problem).map(ToString::to_string);
        let now = Instant::now();
        let overdue = Overdue::of_all(self.namespaces.values().filter_map(|mirror| mirror.overdue(now)));
        let list_problem = list_problem.or_else(|| overdue.map(|overdue| overdue.reason()));
        let silence = self.ping_problem.as_ref().map(ToString::to_string);
        match (silence, self.is_in_step(), list_problem.or_else(|| failing_reason(self.namespaces.values())))
        {
            (Some(reason), _, _) | (None, false, Some(reason)) => {
                self.teller.tell::<E>(EngineState::Silent, &reason);
            }
            (None, true, Some(reason)) => self.teller.tell::<E>(EngineState::Doubtful, &reason),
            (None, true, None) => self.teller.tell::<E>(EngineState::Answers, ""),
            (None, false, None) => {}
        }
    }
}

/// Where a container is in its life. One that has ended is told of as made and not started: containerd keeps no more of
/// it when its task is deleted.
fn state(mirror: &Mirror, id: &Untrusted, now: RunState) -> RunState {
    let told = mirror.roster.state(id);
    let has_run = matches!(told, Some(RunState::Running | RunState::Paused | RunState::Exited));
    if has_run && now == RunState::Created { RunState::Exited } else { now }
}

#[cfg(test)]
mod tests;
