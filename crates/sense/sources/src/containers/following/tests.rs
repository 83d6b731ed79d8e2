//! One connection against an engine that is made up: what is told of it, in which order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use containers::notice::Entry;
use crossbeam_channel::Receiver;
use expect_test::{Expect, expect};
use futures_util::Stream;
use model::coverage::Source;
use model::event::Event;
use model::ids::NodeId;
use model::view::EngineKind;

use super::*;
use crate::outlet::Outlet;

/// An engine whose containers are `namespace/id` with a state, and whose announcements are sent by hand.
#[derive(Clone, Default)]
struct Fake(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    namespaces: Vec<&'static str>,
    containers: BTreeMap<(&'static str, &'static str), RunState>,
    /// Containers that it gives no facts of.
    broken: Vec<&'static str>,
    pings_hang: bool,
    lists: usize,
}

/// What is waited for, and what is done to the engine then.
type Then<'a> = (&'a str, &'a mut dyn FnMut(&Fake));

thread_local! {
    /// Where the announcements of this test's engine come from.
    static ANNOUNCED: RefCell<Vec<Result<Notice, CallError>>> = const { RefCell::new(Vec::new()) };
}

impl Asked for Fake {
    const KIND: EngineKind = EngineKind::Containerd;
    const SOURCE: Source = Source::Containerd;
    const STANDARD: &'static [&'static str] = &["/run/fake.sock"];
    const POLLED: Option<Duration> = None;

    async fn connect(_: &std::path::Path, _: u64) -> Result<Self, CallError> {
        Ok(Self::default())
    }

    async fn ping(&self) -> Result<(), CallError> {
        if self.0.borrow().pings_hang {
            return Err(CallError::Timeout { socket: "fake".into(), call: "Version", after_ms: 7 });
        }
        Ok(())
    }

    async fn namespaces(&self) -> Result<(Vec<Untrusted>, usize), CallError> {
        Ok((self.0.borrow().namespaces.iter().map(|name| Untrusted::new(name)).collect(), 0))
    }

    async fn list(&self, namespace: &Untrusted, entries_max: usize) -> Result<Entries, CallError> {
        let mut state = self.0.borrow_mut();
        state.lists += 1;
        let here = state.containers.iter().filter(|((it, _), _)| *it == namespace.raw());
        let all: Vec<_> =
            here.map(|((_, id), state)| Entry { id: Untrusted::new(id), state: *state }).collect();
        let left = all.len().saturating_sub(entries_max);
        Ok(Entries { taken: all.into_iter().take(entries_max).collect(), left })
    }

    async fn facts(&self, place: &Place) -> Result<ContainerFacts, CallError> {
        let state = self.0.borrow();
        if state.broken.contains(&place.id.raw()) {
            return Err(CallError::Timeout { socket: "fake".into(), call: "Get", after_ms: 7 });
        }
        let found = state
            .containers
            .iter()
            .find(|((namespace, id), _)| (*namespace, *id) == (place.namespace.raw(), place.id.raw()));
        let Some((_, state)) = found else {
            return Err(CallError::Gone { socket: "fake".into(), call: "Get", reason: "none".into() });
        };
        Ok(ContainerFacts {
            id: place.id.clone(),
            name: place.id.clone(),
            state: *state,
            ..ContainerFacts::default()
        })
    }

    fn forget(&self, _: &Place) {}

    fn watch(&self) -> impl Stream<Item = Result<Notice, CallError>> + use<> {
        futures_util::stream::unfold((), |()| async {
            loop {
                let next = ANNOUNCED.with_borrow_mut(|all| (!all.is_empty()).then(|| all.remove(0)));
                match next {
                    Some(next) => return Some((next, ())),
                    None => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        })
    }
}

fn announce(happened: Happened) {
    ANNOUNCED.with_borrow_mut(|all| all.push(Ok(Notice { time: None, happened })));
}

fn place(namespace: &str, id: &str) -> Place {
    Place { namespace: namespace.into(), id: id.into() }
}

fn line(event: &Event) -> String {
    let ids = |ids: &[Untrusted]| ids.iter().map(Untrusted::raw).collect::<Vec<_>>().join(" ");
    match &event.body {
        Body::Container(facts) => format!("container {} {:?}", facts.name, facts.state),
        Body::ContainerGone { id, view } => format!("gone {id} from {}", view.namespace),
        Body::ContainerList { ids: all, view } => format!("list of {}: {}", view.namespace, ids(all)),
        Body::Engine(seen) => format!("{:?} {}", seen.state, seen.reason).trim_end().to_owned(),
        Body::Lost(loss) => format!("lost {}", loss.count),
        Body::EngineExec { id, view, .. } => format!("exec in {id} of {}", view.namespace),
        other => format!("{other:?}"),
    }
}

/// Follows the engine until the last line begins so, then lets `then` change it, and so on: all lines.
async fn told(fake: &Fake, settings: &FollowConfig, steps: &mut [Then<'_>]) -> String {
    let (outlet, queue): (_, Receiver<Event>) = Outlet::new(NodeId::new("node"), 1000);
    let mut teller = Teller::new::<Fake>(std::path::Path::new("/run/fake.sock"), outlet);
    let mut following = Following::new(fake.clone(), settings, &mut teller);
    let mut lines = Vec::new();
    let watching = async {
        for (last, then) in steps.iter_mut() {
            wait_for(&queue, &mut lines, last).await;
            then(fake);
        }
    };
    tokio::select! {
        problem = following.follow() => panic!("ended: {problem}"),
        () = watching => {}
    }
    lines.join("\n") + "\n"
}

async fn wait_for(queue: &Receiver<Event>, lines: &mut Vec<String>, last: &str) {
    let begun = Instant::now();
    while !lines.last().is_some_and(|line| line.starts_with(last)) {
        assert!(begun.elapsed() < Duration::from_secs(10), "no {last:?} after {lines:#?}");
        match queue.try_recv() {
            Ok(event) => lines.push(line(&event)),
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

fn check(fake: &Fake, steps: &mut [Then<'_>], expected: &Expect) {
    check_with(fake, &FollowConfig::default(), steps, expected);
}

fn check_with(fake: &Fake, settings: &FollowConfig, steps: &mut [Then<'_>], expected: &Expect) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    expected.assert_eq(&runtime.block_on(told(fake, settings, steps)));
}

fn fake(containers: &[(&'static str, &'static str, RunState)]) -> Fake {
    let fake = Fake::default();
    for (namespace, id, state) in containers {
        let mut it = fake.0.borrow_mut();
        if !it.namespaces.contains(namespace) {
            it.namespaces.push(namespace);
        }
        it.containers.insert((namespace, id), *state);
    }
    fake
}

fn put(fake: &Fake, namespace: &'static str, id: &'static str, state: RunState) {
    fake.0.borrow_mut().containers.insert((namespace, id), state);
}

#[test]
fn every_namespaces_list_is_told_before_the_engine_is_said_to_answer() {
    let fake = fake(&[("a", "a1", RunState::Running), ("b", "b1", RunState::Exited)]);
    check(
        &fake,
        &mut [("Answers", &mut |_| {})],
        &expect![[r#"
        container a1 Running
        list of a: a1
        container b1 Exited
        list of b: b1
        Answers
    "#]],
    );
}

#[test]
fn the_first_container_of_a_new_namespace_is_told_with_it() {
    let fake = fake(&[("a", "a1", RunState::Running)]);
    let mut run = |fake: &Fake| {
        fake.0.borrow_mut().namespaces.push("new");
        put(fake, "new", "n1", RunState::Running);
        announce(Happened::NamespaceMade("new".into()));
        announce(Happened::Appeared(place("new", "n1")));
    };
    check(
        &fake,
        &mut [("Answers", &mut run), ("list of new: n1", &mut |_| {})],
        &expect![[r#"
        container a1 Running
        list of a: a1
        Answers
        container n1 Running
        list of new: n1
    "#]],
    );
}

#[test]
fn a_life_is_told_to_its_end_though_the_engine_forgets_that_it_ran() {
    let fake = fake(&[("a", "a1", RunState::Running)]);
    let mut end = |fake: &Fake| {
        put(fake, "a", "a1", RunState::Created);
        announce(Happened::Exec(place("a", "a1")));
        announce(Happened::Altered(place("a", "a1")));
    };
    let mut remove = |fake: &Fake| {
        fake.0.borrow_mut().containers.clear();
        announce(Happened::Destroyed(place("a", "a1")));
    };
    let mut leave = |fake: &Fake| {
        fake.0.borrow_mut().namespaces.clear();
        announce(Happened::NamespaceGone("a".into()));
    };
    let steps: &mut [Then<'_>] = &mut [
        ("Answers", &mut end),
        ("container a1 Exited", &mut remove),
        ("gone", &mut leave),
        ("list of a:", &mut |_| {}),
    ];
    check(
        &fake,
        steps,
        &expect![[r#"
        container a1 Running
        list of a: a1
        Answers
        exec in a1 of a
        container a1 Exited
        gone a1 from a
        list of a: 
    "#]],
    );
}

#[test]
fn what_was_not_announced_is_found_when_the_lists_are_compared() {
    let fake = fake(&[("a", "a1", RunState::Running), ("a", "a2", RunState::Running)]);
    let settings = FollowConfig { compare_interval_ms: 1, ..FollowConfig::default() };
    let mut change = |fake: &Fake| {
        fake.0.borrow_mut().containers.remove(&("a", "a1"));
        put(fake, "a", "a3", RunState::Running);
    };
    let mut both = |_: &Fake| {};
    check_with(
        &fake,
        &settings,
        &mut [("Answers", &mut change), ("gone a1", &mut both)],
        &expect![[r#"
        container a1 Running
        container a2 Running
        list of a: a1 a2
        Answers
        container a3 Running
        gone a1 from a
    "#]],
    );
}

#[test]
fn an_engine_that_gives_no_facts_of_one_container_is_doubtful_until_it_does() {
    let fake = fake(&[("a", "a1", RunState::Running), ("a", "a2", RunState::Running)]);
    fake.0.borrow_mut().broken.push("a1");
    let mut repair = |fake: &Fake| fake.0.borrow_mut().broken.clear();
    check(
        &fake,
        &mut [("Doubtful", &mut repair), ("Answers", &mut |_| {})],
        &expect![[r#"
        container a2 Running
        list of a: a1 a2
        Doubtful container a1: fake: Get: no answer within 7 ms
        container a1 Running
        Answers
    "#]],
    );
}

#[test]
fn an_engine_that_does_not_answer_is_silent_and_keeps_its_containers() {
    let fake = fake(&[("a", "a1", RunState::Running)]);
    let mut hang = |fake: &Fake| fake.0.borrow_mut().pings_hang = true;
    let mut repair = |fake: &Fake| fake.0.borrow_mut().pings_hang = false;
    let steps: &mut [Then<'_>] =
        &mut [("Answers", &mut hang), ("Silent", &mut repair), ("Answers", &mut |_| {})];
    check(
        &fake,
        steps,
        &expect![[r#"
        container a1 Running
        list of a: a1
        Answers
        Silent fake: Version: no answer within 7 ms
        Answers
    "#]],
    );
}

#[test]
fn what_finds_no_room_is_counted_and_a_new_one_takes_the_place_of_a_stopped_one() {
    let fake = fake(&[("a", "a1", RunState::Exited), ("a", "a2", RunState::Running)]);
    put(&fake, "a", "a3", RunState::Running);
    let settings = FollowConfig { containers_max: 2, ..FollowConfig::default() };
    let mut run = |fake: &Fake| {
        put(fake, "a", "a4", RunState::Running);
        announce(Happened::Appeared(place("a", "a4")));
    };
    check_with(
        &fake,
        &settings,
        &mut [("Answers", &mut run), ("container a4", &mut |_| {})],
        &expect![[r#"
        lost 1
        container a2 Running
        container a1 Exited
        list of a: a1 a2
        Answers
        lost 1
        container a4 Running
    "#]],
    );
}

#[test]
fn the_end_of_the_announcements_ends_the_connection() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (outlet, _queue) = Outlet::new(NodeId::new("node"), 10);
    let mut teller = Teller::new::<Fake>(std::path::Path::new("/run/fake.sock"), outlet);
    let settings = FollowConfig::default();
    let mut following = Following::new(Fake::default(), &settings, &mut teller);
    ANNOUNCED.with_borrow_mut(|all| all.push(Err(CallError::Ended { socket: "fake".into() })));
    let problem = runtime.block_on(following.follow());
    assert_eq!(problem, CallError::Ended { socket: "fake".into() });
}
