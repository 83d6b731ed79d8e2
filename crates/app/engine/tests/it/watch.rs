//! Tidewatch under attack: stopped, killed, flooded, its clock set. Each row with what was seen meanwhile and how soon.

use std::time::Duration;

use engine::fold::Fold;
use model::approval::Scope;
use model::coverage::{Health, Loss, Source};
use model::event::{Body, Event};
use model::ids::CgroupId;
use model::incident::{Change, ChangeKind, Incident};
use model::integrity::Integrity;
use model::privilege::{HostMount, Privileges};
use model::time::Time;
use model::untrusted::Untrusted;
use proptest::prelude::{ProptestConfig, prop, proptest};
use testkit::scene::{Actor, Scene, Spends, digest};

use crate::scenes::{approve, ordinary_host};
use crate::stage::{carried_over, last_forms, new_fold, step_all, strategies};

fn told(scene: &mut Scene, fact: Integrity) {
    scene.emit(Source::Engine, Body::Integrity(Box::new(fact)));
}

fn incidents_of(scene: &mut Scene) -> Vec<Incident> {
    last_forms(&step_all(&mut new_fold(), &scene.take()))
}

fn by_judge<'a>(incidents: &'a [Incident], judge: &str) -> Option<&'a Incident> {
    incidents.iter().find(|incident| incident.findings.iter().any(|finding| finding.judge == judge))
}

/// The host goes on for so long, and nothing of ours does.
fn stop(scene: &mut Scene, span: Duration) -> (Time, Time) {
    let from = scene.now();
    scene.pause(span);
    scene.change_host(|host| host.cpu.idle_ns += span.as_nanos() as u64 * u64::from(host.cores));
    (from, scene.now())
}

#[test]
fn a_stop_of_twenty_seconds_with_a_ghost_meanwhile_is_two_incidents_within_three_seconds() {
    let (mut scene, _) = ordinary_host(2);
    scene.seconds(10, &[], 0.0);
    let (from, until) = stop(&mut scene, Duration::from_secs(20));
    told(&mut scene, Integrity::late(from, until));
    let ghost = scene.next_actor();
    let begun = Body::Exec(Box::new(ghost.exec("miner")));
    scene.emit_at(from.plus(Duration::from_secs(5)), Source::Kernel, begun);
    scene.set_up(ghost, |_| ());
    scene.seconds(4, &[], 0.0);
    let incidents = incidents_of(&mut scene);
    let stopped = by_judge(&incidents, "stopped").expect("the stop is an incident");
    assert!(stopped.opened.since(until) <= Duration::from_secs(3), "{}", stopped.opened);
    assert_eq!((stopped.subject.workload(), stopped.bits >= 12.5), (None, true));
    assert!(stopped.summary.contains("did not run for 20.0 s"), "{}", stopped.summary);
    assert_eq!(stopped.severity.name(), "high", "interference with Tidewatch is not lowered");
    let ghost = by_judge(&incidents, "ghost").expect("what began meanwhile is judged");
    assert!(ghost.opened.since(until) <= Duration::from_secs(3));
    let gap =
        ghost.coverage.blind.iter().find(|blind| blind.source == Source::Engine).expect("the gap is told");
    assert_eq!((gap.since, gap.until), (from, Some(until)));
}

#[test]
fn a_paused_machine_a_suspended_laptop_and_a_loaded_host_open_nothing() {
    let pause = |suspended_ms: Option<u64>, starved_ms: Option<u64>, does_host_run: bool| {
        let (mut scene, _) = ordinary_host(2);
        scene.seconds(10, &[], 0.0);
        let from = scene.now();
        match does_host_run {
            true => drop(stop(&mut scene, Duration::from_secs(5))),
            false => scene.pause(Duration::from_secs(5)),
        }
        let until = scene.now();
        told(&mut scene, Integrity::Late { from, until, suspended_ms, starved_ms });
        scene.seconds(10, &[], 0.0);
        incidents_of(&mut scene)
    };
    assert_eq!(pause(None, None, false), [], "a migration");
    assert_eq!(pause(Some(4_990), None, false), [], "a laptop");
    assert_eq!(pause(None, Some(4_500), true), [], "a loaded host");
}

/// The host's root directory is given to a container that started a while ago; a scan finds it.
fn host_root(scene: &mut Scene, age: Duration) -> Actor {
    let actor = scene.find("/docker/x", "sh", age);
    scene.claim(actor, "helper", "busybox", |facts| {
        let mount = HostMount { path: "/".into(), is_writable: true };
        facts.privileges = Some(Box::new(Privileges { mounts: vec![mount], ..Privileges::default() }));
    });
    actor
}

/// A run that follows another: this host was first looked at an hour ago, and nothing was seen for the last minute.
fn resumed(scene: &mut Scene, is_killed: bool) {
    let last = scene.now().minus(Duration::from_secs(60));
    scene.emit(Source::Engine, Body::FirstLook { at: scene.now().minus(Duration::from_secs(3_600)) });
    scene.emit(Source::Engine, Body::Resumed { last });
    if is_killed {
        told(scene, Integrity::Killed { last, rebooted: false, times: 1 });
    }
}

#[test]
fn a_container_with_the_hosts_root_that_started_while_we_were_down_opens_its_incident_at_once() {
    let started = |age: u64, is_killed: bool| {
        let mut scene = Scene::new(4);
        resumed(&mut scene, is_killed);
        host_root(&mut scene, Duration::from_secs(age));
        scene.seconds(3, &[], 0.0);
        incidents_of(&mut scene)
    };
    let clean = started(30, false);
    let incident = by_judge(&clean, "privilege").expect("it is judged like any other");
    assert!(incident.bits >= 12.5 && clean.len() == 1, "an end in order is no incident");
    assert!(incident.coverage.blind.iter().any(|blind| blind.source == Source::Engine), "the gap is named");
    let killed = started(30, true);
    assert!(by_judge(&killed, "privilege").is_some());
    let cover = by_judge(&killed, "killed").expect("the kill had a purpose");
    assert!(cover.summary.contains("helper"), "{}", cover.summary);
    assert_eq!(started(7_200, true), [], "what was there before the first look weighs less, as it did then");
}

#[test]
fn a_finding_of_an_earlier_run_is_never_replaced_by_a_lighter_one() {
    let mut scene = Scene::new(4);
    let actor = scene.start_unclaimed("sh");
    scene.claim(actor, "helper", "busybox", |facts| {
        facts.privileges = Some(Box::new(Privileges { is_privileged: true, ..Privileges::default() }));
    });
    scene.seconds(3, &[], 0.0);
    let [incident] = &incidents_of(&mut scene)[..] else { panic!("one incident") };
    let weight = |incident: &Incident, judge: &str| {
        incident.findings.iter().find(|finding| finding.judge == judge).map(|finding| finding.bits)
    };
    assert_eq!(weight(incident, "privilege"), Some(13.0));

    // The next run, whose data directory is older than the container by mistake: the worst case.
    let mut next = Scene::new(4);
    next.pause(Duration::from_secs(600));
    next.emit(Source::Engine, Body::Resumed { last: next.now() });
    next.emit(Source::Engine, Body::Restored(Box::new(incident.clone())));
    let again = next.find("/docker/x", "sh", Duration::from_secs(500));
    assert_eq!(again.cgroup(), actor.cgroup());
    next.claim(again, "helper", "busybox", |facts| {
        facts.privileges = Some(Box::new(Privileges { is_privileged: true, ..Privileges::default() }));
    });
    next.seconds(5, &[], 0.0);
    let changes = step_all(&mut new_fold(), &next.take());
    let last = last_forms(&changes).into_iter().next().unwrap_or_else(|| incident.clone());
    assert_eq!(last.id, incident.id);
    assert_eq!((weight(&last, "privilege"), last.bits >= incident.bits), (Some(13.0), true));
}

#[test]
fn restored_weights_go_on_fading_and_do_not_begin_anew() {
    let weight_after = |hours: u64| {
        let mut scene = Scene::new(4);
        let actor = scene.start_unclaimed("sh");
        scene.claim(actor, "helper", "busybox", |facts| {
            facts.privileges = Some(Box::new(Privileges { is_privileged: true, ..Privileges::default() }));
        });
        scene.seconds(3, &[], 0.0);
        let incident = incidents_of(&mut scene).remove(0);
        let mut next = Scene::new(4);
        next.pause(Duration::from_secs(3_600 * hours));
        next.emit(Source::Engine, Body::Restored(Box::new(incident)));
        let mut fold = new_fold();
        step_all(&mut fold, &next.take());
        fold.triage().open_incidents().map(|incident| incident.findings[0].at).max()
    };
    assert_eq!(weight_after(1), weight_after(12), "a restart renews nothing");
}

#[test]
fn a_flood_is_an_incident_about_its_container_and_others_say_what_was_lost_meanwhile() {
    let (mut scene, _) = ordinary_host(2);
    scene.seconds(5, &[], 0.0);
    let noisy = scene.start("noisy", "shop/web", "nginx");
    let begun = scene.now();
    for _ in 0..3 {
        scene.second(&[], 0.0);
        let (cgroup, stage) = (Some(noisy.cgroup()), Untrusted::new("budget"));
        let loss = Loss { source: Source::Kernel, cgroup, count: 190_000, stage };
        scene.emit(Source::Kernel, Body::Lost(loss));
    }
    let ghost = scene.appear("/hidden", "miner");
    scene.set_up(ghost, |_| ());
    scene.seconds(4, &[], 0.0);
    let incidents = incidents_of(&mut scene);
    let flood = by_judge(&incidents, "flooded").expect("the flood is an incident");
    assert_eq!(flood.container.as_ref().map(|it| it.name.raw()), Some("noisy"));
    assert!(flood.opened.since(begun) <= Duration::from_secs(2), "{}", flood.opened);
    let ghost = by_judge(&incidents, "ghost").expect("and so is what it was to hide");
    let lost: Vec<_> = ghost.coverage.lost.iter().map(|lost| (lost.about.raw(), lost.count)).collect();
    assert_eq!(lost, [("noisy", 570_000)]);
}

#[test]
fn losses_are_kept_of_the_heaviest_and_the_rest_is_summed() {
    let mut scene = Scene::new(4);
    for number in 0..5_000_u64 {
        let (cgroup, stage) = (Some(CgroupId(10_000 + number)), Untrusted::new("budget"));
        let loss = Loss { source: Source::Kernel, cgroup, count: 1 + number % 7, stage };
        scene.emit(Source::Kernel, Body::Lost(loss));
    }
    let mut fold = new_fold();
    step_all(&mut fold, &scene.take());
    let all: u64 = (0..5_000).map(|number| 1 + number % 7).sum();
    let coverage = fold.state().coverage();
    assert_eq!((coverage.lost_events, coverage.lost.len()), (all, 8));
    assert!(serde_json::to_string(&fold).unwrap().len() < 200_000, "what is kept is bounded");
}

#[test]
fn a_dead_thread_takes_its_source_out_of_what_is_seen_and_names_the_strategies_it_blinds() {
    let mut scene = Scene::new(4);
    told(&mut scene, Integrity::Died { thread: "kernel".into(), reason: "panicked".into() });
    scene.second(&[], 0.0);
    let mut fold = new_fold();
    let incidents = last_forms(&step_all(&mut fold, &scene.take()));
    assert!(by_judge(&incidents, "dead_source").is_some());
    let coverage = fold.state().coverage();
    assert!(!coverage.seen.contains(&Source::Kernel));
    assert!(strategies().blind(&coverage).iter().any(|blind| blind.source == Source::Kernel));
    let health =
        fold.state().sources().find(|(source, ..)| *source == Source::Kernel).map(|(_, health, _)| health);
    assert_eq!(health, Some(Health::Down), "its last report says otherwise");

    // The rim starts it anew, and says so of its source.
    scene.report(Source::Kernel, Health::Down, "its thread ended");
    scene.report(Source::Kernel, Health::Up, "");
    step_all(&mut fold, &scene.take());
    let coverage = fold.state().coverage();
    assert!(coverage.seen.contains(&Source::Kernel));
    assert!(coverage.blind.iter().all(|blind| blind.until.is_some()), "{:?}", coverage.blind);
}

#[test]
fn a_blind_source_names_the_strategies_that_lack_it() {
    let mut scene = Scene::new(4);
    scene.report(Source::Kernel, Health::Down, "probes were unloaded");
    scene.seconds(12, &[], 0.0);
    let mut fold = new_fold();
    let mut heard = Vec::new();
    for event in scene.take() {
        fold.step_with(event, |findings| heard.extend(findings.iter().cloned()));
    }
    let blind = heard.iter().find(|finding| finding.judge == "blind").expect("it is told");
    let named: Vec<&str> = blind.evidence.iter().map(|(name, _)| name.as_ref()).collect();
    assert!(named.contains(&"blind_strategy") && named.contains(&"lost"), "{named:?}");
}

#[test]
fn an_upgrade_of_tidewatch_and_one_of_docker_open_nothing() {
    let (mut scene, ordinary) = ordinary_host(4);
    scene.seconds(5, &[], 0.0);
    told(&mut scene, Integrity::FileChanged { path: "/usr/bin/tidewatch".into(), how: "replaced".into() });
    scene.report(Source::Docker, Health::Down, "connection refused");
    scene.seconds(45, &[], 0.0);
    scene.report(Source::Docker, Health::Up, "");
    scene.emit(Source::Docker, Body::listed(ordinary.iter().map(|actor| actor.id()).collect()));
    scene.seconds(5, &[], 0.0);
    told(&mut scene, Integrity::ClockStepped { by_ms: -1_000 });
    scene.seconds(5, &[], 0.0);
    assert_eq!(incidents_of(&mut scene), []);

    let mut next = Scene::new(4);
    resumed(&mut next, false);
    approve(&mut next, 1, "web", "web [nginx]");
    let web = next.find("/docker/web", "nginx", Duration::from_secs(30));
    next.claim(web, "web", "web", |facts| facts.command = "nginx".into());
    next.seconds(5, &[], 0.0);
    assert_eq!(incidents_of(&mut next), []);
}

/// Containers come and go while the clock is set again and again; every event is stamped by the clock as it is then.
fn under_steps(steps: &[(u8, i64)]) -> (Vec<Event>, usize) {
    let mut scene = Scene::new(4);
    let scope = Scope::Digest { digest: digest("web"), image: "web".into() };
    scene.approve(1, scope);
    let mut events = scene.take();
    let mut offset_ms = 0;
    for (number, (seconds, step_ms)) in steps.iter().enumerate() {
        let actor = scene.start(&format!("c{number}"), "web", "serve");
        stamp(&mut scene, offset_ms, &mut events);
        offset_ms += step_ms;
        scene.seconds(u32::from(*seconds), &[(actor, Spends::default())], 0.0);
        stamp(&mut scene, offset_ms, &mut events);
        scene.end(actor);
        stamp(&mut scene, offset_ms, &mut events);
    }
    let left = scene.start_unclaimed("waits");
    scene.seconds(12, &[(left, Spends::default())], 0.0);
    stamp(&mut scene, offset_ms, &mut events);
    (events, steps.len())
}

fn stamp(scene: &mut Scene, offset_ms: i64, events: &mut Vec<Event>) {
    let moved = |at: Time| Time::from_ns(at.ns() + offset_ms * 1_000_000);
    events.extend(scene.take().into_iter().map(|mut event| {
        (event.time, event.seen) = (moved(event.time), moved(event.seen));
        event
    }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_clock_that_is_set_loses_no_end_and_keeps_nothing_waiting(
        steps in prop::collection::vec((0..3_u8, -3_600_000..3_600_000_i64), 1..8),
    ) {
        let (events, containers) = under_steps(&steps);
        let mut fold = new_fold();
        let mut ended = 0;
        for event in events {
            let step = fold.step(event);
            ended += step.news.iter().filter(|news| matches!(news, model::identity::News::Ended(_))).count();
        }
        assert_eq!(ended, containers, "each end is seen once");
        let running: Vec<_> = fold.enrich().containers().filter(|it| it.ended.is_none()).collect();
        assert_eq!(running.len(), 1);
        assert!(!running[0].facts.is_pending(), "nothing waits for a time that never comes");
    }

    #[test]
    fn a_time_to_come_from_an_engine_ends_no_wait_early(ahead_secs in 1..1_000_000_u64) {
        let mut scene = Scene::new(4);
        let actor = scene.start_unclaimed("serve");
        let future = scene.now().plus(Duration::from_secs(ahead_secs));
        scene.emit_at(future, Source::Docker, Body::ran_in(actor.id()));
        scene.emit(Source::Engine, Body::Tick);
        let mut fold = new_fold();
        step_all(&mut fold, &scene.take());
        assert!(fold.enrich().containers().all(|it| it.facts.is_pending()), "its engine has its time");
        assert!(fold.state().now() <= scene.now());
    }

    #[test]
    fn whatever_is_told_of_ourselves_the_core_is_the_same_after_being_written_down(
        facts in prop::collection::vec((0..9_u8, 0..100_000_u64), 1..40),
        cut in 0.0..1.0_f64,
    ) {
        let mut scene = Scene::new(4);
        for (kind, number) in facts {
            told_any(&mut scene, kind, number);
            scene.seconds(1, &[], 0.0);
        }
        let events = scene.take();
        let mut once = new_fold();
        let lived: Vec<Change> = step_all(&mut once, &events);
        let (first, rest) = events.split_at((events.len() as f64 * cut) as usize);
        let mut carried: Fold = new_fold();
        let mut changes = step_all(&mut carried, first);
        carried = carried_over(&carried);
        changes.extend(step_all(&mut carried, rest));
        assert_eq!(changes, lived);
        let opened = lived.iter().filter(|change| change.kind == ChangeKind::Opened).count();
        assert!(opened <= 2, "all of it is about the node, or about one container");
    }
}

fn told_any(scene: &mut Scene, kind: u8, number: u64) {
    let (now, thread) = (scene.now(), Untrusted::new(&format!("thread {}", number % 100)));
    let loss = |cgroup, stage: &str| {
        Body::Lost(Loss { source: Source::Kernel, cgroup, count: number, stage: Untrusted::new(stage) })
    };
    match kind {
        0 => told(scene, Integrity::late(now.minus(Duration::from_millis(number)), now)),
        1 => told(scene, Integrity::Overdue { thread, silent_ms: number }),
        2 => told(scene, Integrity::Died { thread, reason: "".into() }),
        3 => told(scene, Integrity::Recovered { thread, silent_ms: number }),
        4 => told(scene, Integrity::ClockStepped { by_ms: 50_000 - number as i64 }),
        5 => scene.emit(Source::Kernel, loss(Some(CgroupId(number % 400)), "budget")),
        6 => scene.emit(Source::Kernel, loss(None, "queue")),
        7 => scene.report(Source::Docker, Health::Down, &format!("{number}")),
        _ => scene.report(Source::Docker, Health::Up, ""),
    }
}
