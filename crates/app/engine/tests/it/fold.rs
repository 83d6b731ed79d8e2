//! What a scene leads to: the attack is found and named at once, an ordinary hour is not.

use std::time::Duration;

use expect_test::expect;
use model::approval::Scope;
use model::coverage::{Health, Source};
use model::event::Body;
use model::incident::{Change, ChangeKind, Closing, Severity, Verdict};
use testkit::scene::{Scene, Spends, digest};

use crate::scenes::{approve, ordinary_host, ordinary_second, quiet_hour, sample_attack};
use crate::stage::{last_forms, new_fold, step_all};

fn changes(mut scene: Scene) -> Vec<Change> {
    step_all(&mut new_fold(), &scene.take())
}

#[test]
fn the_sample_command_among_eight_ordinary_containers_is_one_incident_within_two_seconds() {
    let changes = changes(sample_attack(8, 10));
    let opened: Vec<&Change> = changes.iter().filter(|change| change.kind == ChangeKind::Opened).collect();
    assert_eq!(opened.len(), 1);
    let incident = &opened[0].incident;
    let container = incident.container.as_ref().unwrap();
    assert_eq!((container.name.raw(), container.image.raw()), ("eager_tesla", "busybox"));
    assert!(incident.opened.since(container.started).as_secs() <= 2);
    let incidents = last_forms(&changes);
    assert_eq!(incidents.len(), 1, "nobody else is blamed");
    let incident = &incidents[0];
    assert!(incident.findings.iter().all(|finding| &*finding.strategy == "container-monitoring-bypass"));
    let told = format!("{}\n{}\n", incident.summary, incident.reasons.join("\n"));
    expect![[r#"
        container eager_tesla (image busybox): its own cgroup used 0.008 of a core, while the container engine spent 0.93 cores copying its output and its log grew by 36.0 MB a second; nobody approved its image busybox
        out_of_band_log says 13.0 bits: its own cgroup used 0.008 of a core, while the container engine spent 0.93 cores copying its output and its log grew by 36.0 MB a second
        log_fill says 5.0 bits: its log grew by 36.0 MB a second for 8 s
        unapproved_image says 4.0 bits: nobody approved its image busybox
        resource and provenance agree: 1.0 bits more
        23.0 bits in all, 12.5 make an incident
        severity critical: the strategy's priority is high, raised because others are harmed and 2 families agree
    "#]].assert_eq(&told);
}

#[test]
fn the_sample_command_with_an_approved_image_is_found_all_the_same() {
    let mut scene = Scene::new(4);
    approve(&mut scene, 1, "busybox", "busybox [yes]");
    let attack = scene.start("eager_tesla", "busybox", "yes");
    scene.seconds(3, &[(attack, Spends { own_cores: 0.008, log_bytes: 36_000_000, shim_cores: 0.0 })], 0.93);
    let incidents = last_forms(&changes(scene));
    assert_eq!(incidents.len(), 1);
    assert_eq!(incidents[0].opened.since(incidents[0].container.as_ref().unwrap().started).as_secs(), 1);
}

#[test]
fn an_hour_of_ordinary_work_is_quiet() {
    assert_eq!(changes(quiet_hour(8, |_| true)), []);
}

#[test]
fn an_unapproved_container_that_takes_a_core_is_an_incident_and_an_approved_one_is_not() {
    let burns = |is_approved: bool| {
        let (mut scene, ordinary) = ordinary_host(4);
        if is_approved {
            scene.approve(99, Scope::Digest { digest: digest("miner"), image: "miner".into() });
        }
        let miner = scene.start("miner", "miner", "mine");
        for second in 0..10 {
            let mut spends = ordinary_second(&ordinary, second);
            spends.push((miner, Spends { own_cores: 1.0, log_bytes: 0, shim_cores: 0.0 }));
            scene.second(&spends, 0.02);
        }
        last_forms(&changes(scene))
    };
    let incidents = burns(false);
    assert_eq!(incidents.len(), 1);
    assert_eq!(incidents[0].container.as_ref().unwrap().name.raw(), "miner");
    assert!(incidents[0].opened.since(incidents[0].container.as_ref().unwrap().started).as_secs() <= 6);
    assert_eq!(burns(true), []);
}

#[test]
fn a_container_made_by_hand_that_takes_a_core_is_an_incident() {
    let (mut scene, _) = ordinary_host(4);
    let ghost = scene.appear("/hidden", "xmrig --quiet");
    scene.seconds(10, &[(ghost, Spends { own_cores: 1.0, log_bytes: 0, shim_cores: 0.0 })], 0.0);
    let incidents = last_forms(&changes(scene));
    assert_eq!(incidents.len(), 1);
    expect![[r#"
        container xmrig --quiet (no image known): it used 1.00 of the host's 4 cores for 5 seconds; its workload has no history here; no container runtime claims it: xmrig --quiet runs in namespaces and a cgroup of its own
    "#]].assert_eq(&format!("{}\n", incidents[0].summary));
}

#[test]
fn an_attack_while_the_engine_does_not_answer_says_what_was_blind() {
    let (mut scene, _) = ordinary_host(4);
    scene.report(Source::Docker, Health::Down, "connection refused");
    let hidden = scene.start_unclaimed("mine");
    scene.seconds(10, &[(hidden, Spends { own_cores: 1.5, log_bytes: 0, shim_cores: 0.0 })], 0.0);
    let incidents = last_forms(&changes(scene));
    assert_eq!(incidents.len(), 1);
    let blind: Vec<Source> = incidents[0].coverage.blind.iter().map(|blind| blind.source).collect();
    assert_eq!(blind, [Source::Docker]);
}

#[test]
fn harm_and_a_second_family_make_it_as_urgent_as_can_be() {
    let incidents = last_forms(&changes(sample_attack(1, 3)));
    assert_eq!(incidents[0].severity, Severity::Critical);
}

#[test]
fn an_attack_that_goes_on_after_it_was_closed_opens_a_new_incident() {
    let mut scene = Scene::new(4);
    let attack = scene.start("eager_tesla", "busybox", "yes");
    let prints = Spends { own_cores: 0.008, log_bytes: 36_000_000, shim_cores: 0.0 };
    scene.seconds(3, &[(attack, prints)], 0.93);
    let mut fold = new_fold();
    let first = step_all(&mut fold, &scene.take()).pop().unwrap().incident;
    let (note, owner) = ("a drill".into(), "tester".into());
    let closing = Closing { at: scene.now(), verdict: Verdict::Test, note, owner };
    scene.emit(Source::Operator, Body::Closed { id: first.id.clone(), closing });
    let closed = step_all(&mut fold, &scene.take());
    assert_eq!(closed.iter().map(|change| change.kind).collect::<Vec<_>>(), [ChangeKind::Closed]);
    scene.seconds(2, &[(attack, prints)], 0.93);
    let again = step_all(&mut fold, &scene.take());
    assert_eq!(again[0].kind, ChangeKind::Opened);
    assert_ne!(again[0].incident.id, first.id);
}

#[test]
fn an_incident_goes_on_under_its_name_after_a_restart_of_ours() {
    let mut scene = Scene::new(4);
    let attack = scene.start("eager_tesla", "busybox", "yes");
    let prints = Spends { own_cores: 0.008, log_bytes: 36_000_000, shim_cores: 0.0 };
    scene.seconds(3, &[(attack, prints)], 0.93);
    let incident = step_all(&mut new_fold(), &scene.take()).pop().unwrap().incident;

    let mut next = Scene::new(4);
    next.pause(Duration::from_secs(600));
    next.emit(Source::Engine, Body::Resumed { last: scene.now() });
    next.emit(Source::Engine, Body::Restored(Box::new(incident.clone())));
    let attack = next.start("eager_tesla", "busybox", "yes");
    next.seconds(3, &[(attack, prints)], 0.93);
    let changes = changes(next);
    assert!(changes.iter().all(|change| change.kind == ChangeKind::Updated));
    let ids: Vec<_> = last_forms(&changes).into_iter().map(|incident| incident.id).collect();
    assert_eq!(ids, [incident.id]);
}
