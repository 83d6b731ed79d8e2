//! Cases of the judges, each beside its quiet twin: scenes folded through the real inventory and the real books.

use enrich::Enrich;
use expect_test::{Expect, expect};
use model::approval::Scope;
use model::event::Event;
use model::ids::WorkloadKey;
use testkit::scene::{Scene, Spends, digest};

use super::*;

/// What a busy engine and a container that prints without end spend, as measured.
const PRINTS: Spends = Spends { own_cores: 0.01, log_bytes: 36_000_000, shim_cores: 0.0 };
const BUSY: Spends = Spends { own_cores: 1.0, log_bytes: 0, shim_cores: 0.0 };

/// Judges a scene from its beginning; one line for each judge and subject with its heaviest bits, in order of first
/// appearance.
fn judged(events: Vec<Event>) -> String {
    let (mut enrich, mut state, mut detect) = (Enrich::default(), State::default(), Detect::default());
    let mut lines: Vec<(String, f64)> = Vec::new();
    for event in events {
        let seen = enrich.identify(event);
        let novelty = state.compare(&seen);
        let findings = detect.judge(&seen, &novelty, &state);
        state.learn(&seen, &findings);
        for finding in findings {
            let who =
                finding.container.as_ref().map_or("node".to_owned(), |container| container.name.to_string());
            let line = format!("{} {who}", finding.judge);
            match lines.iter_mut().find(|(known, _)| *known == line) {
                Some((_, bits)) => *bits = bits.max(finding.bits),
                None => lines.push((line, finding.bits)),
            }
        }
    }
    lines.iter().map(|(line, bits)| format!("{line} {bits:.1}\n")).collect()
}

fn check(act: impl FnOnce(&mut Scene), expected: &Expect) {
    let mut scene = Scene::new(2);
    act(&mut scene);
    expected.assert_eq(&judged(scene.take()));
}

fn approve_image(scene: &mut Scene, image: &str) {
    scene.approve(1, Scope::Digest { digest: digest(image), image: image.into() });
}

#[test]
fn a_container_that_makes_the_engine_copy_its_log_is_found_in_its_second_second() {
    check(
        |scene| {
            approve_image(scene, "web");
            let web = scene.start("web", "web", "httpd");
            scene.seconds(5, &[(web, Spends { own_cores: 0.02, log_bytes: 300, shim_cores: 0.0 })], 0.01);
            let attack = scene.start("atk", "busybox", "yes");
            scene.seconds(2, &[(attack, PRINTS)], 0.95);
        },
        &expect![[r#"
            unapproved_image atk 4.0
            out_of_band_log atk 13.0
        "#]],
    );
}

#[test]
fn an_approved_image_that_makes_others_pay_is_found_all_the_same() {
    check(
        |scene| {
            approve_image(scene, "busybox");
            let attack = scene.start("atk", "busybox", "yes");
            scene.seconds(3, &[(attack, PRINTS)], 0.95);
        },
        &expect![[r#"
            out_of_band_log atk 13.0
        "#]],
    );
}

#[test]
fn a_burst_of_a_megabyte_of_log_is_nothing() {
    check(
        |scene| {
            approve_image(scene, "web");
            let web = scene.start("web", "web", "httpd");
            scene.second(&[(web, Spends { own_cores: 0.05, log_bytes: 1 << 20, shim_cores: 0.0 })], 0.1);
            scene.seconds(5, &[], 0.0);
        },
        &expect![[""]],
    );
}

#[test]
fn an_image_import_is_not_blamed_on_a_trickle_of_log() {
    check(
        |scene| {
            approve_image(scene, "web");
            let web = scene.start("web", "web", "httpd");
            scene.seconds(20, &[(web, Spends { own_cores: 0.01, log_bytes: 2_000, shim_cores: 0.0 })], 1.0);
        },
        &expect![[""]],
    );
}

#[test]
fn a_container_that_ended_is_no_longer_judged() {
    let mut scene = Scene::new(2);
    let attack = scene.start("atk", "busybox", "yes");
    scene.seconds(3, &[(attack, PRINTS)], 0.95);
    let before = judged(scene.clone().take());
    scene.end(attack);
    scene.seconds(5, &[], 0.9);
    assert_eq!(judged(scene.take()), before);
}

#[test]
fn a_busy_loop_weighs_what_its_provenance_says() {
    check(
        |scene| {
            approve_image(scene, "batch");
            scene.approve(
                2,
                Scope::Workload { workload: WorkloadKey::new("batch [sum]"), digest: digest("batch") },
            );
            let approved = scene.start("batch", "batch", "sum");
            let image_only = scene.start("other", "batch", "mine");
            let unapproved = scene.start("miner", "miner", "mine");
            let busy = [(approved, BUSY), (image_only, BUSY), (unapproved, BUSY)];
            scene.seconds(7, &busy, 0.0);
        },
        &expect![[r#"
            unapproved_image miner 4.0
            excess batch 2.0
            excess other 4.0
            excess miner 8.0
        "#]],
    );
}

#[test]
fn a_short_start_up_is_no_excess() {
    check(
        |scene| {
            approve_image(scene, "web");
            let web = scene.start("web", "web", "httpd");
            scene.seconds(3, &[(web, BUSY)], 0.0);
            scene.seconds(10, &[], 0.0);
        },
        &expect![[""]],
    );
}

#[test]
fn a_container_that_nobody_claims_is_a_ghost_after_two_seconds_and_its_burn_weighs_more() {
    check(
        |scene| {
            let ghost = scene.appear("/hidden", "miner --quiet");
            scene.seconds(8, &[(ghost, BUSY)], 0.0);
        },
        &expect![[r#"
            ghost miner --quiet 6.0
            excess miner --quiet 8.0
        "#]],
    );
}

#[test]
fn saturation_names_its_culprit_and_nobody_when_the_host_itself_is_busy() {
    check(
        |scene| {
            approve_image(scene, "batch");
            let batch = scene.start("batch", "batch", "sum");
            scene.press(40.0);
            scene.seconds(3, &[(batch, Spends { own_cores: 1.9, log_bytes: 0, shim_cores: 0.0 })], 0.0);
        },
        &expect![[r#"
            saturation batch 3.0
        "#]],
    );
    check(
        |scene| {
            approve_image(scene, "batch");
            let batch = scene.start("batch", "batch", "sum");
            scene.press(40.0);
            scene.host_spends(1.7);
            scene.seconds(3, &[(batch, Spends { own_cores: 0.3, log_bytes: 0, shim_cores: 0.0 })], 0.0);
        },
        &expect![[r#"
            saturation node 2.0
        "#]],
    );
}

#[test]
fn what_ran_before_the_first_look_weighs_less() {
    let mut scene = Scene::new(2);
    let path = format!("/docker/{}", scene.next_actor().id());
    let old = scene.find(&path, "httpd", std::time::Duration::from_secs(3600));
    scene.claim(old, "old", "web", |_| ());
    scene.start("new", "web", "httpd");
    expect![[r#"
        unapproved_image old 2.0
        unapproved_image new 4.0
    "#]]
    .assert_eq(&judged(scene.take()));
}

#[test]
fn a_judge_that_panics_is_asked_no_more_and_that_is_a_finding() {
    let mut scene = Scene::new(2);
    let event = scene.take().remove(0);
    let seen = Enrich::default().identify(event);
    let (state, novelty) = (State::default(), Novelty::default());
    let case = Case { seen: &seen, novelty: &novelty, state: &state };
    let mut detect = Detect::default();
    let mut findings = Vec::new();
    detect.ask("broken", |_, _| panic!("a bug"), &case, &mut findings);
    assert_eq!(findings.iter().map(|finding| &*finding.judge).collect::<Vec<_>>(), [JUDGE_FAILED]);
    assert_eq!(detect.failed().collect::<Vec<_>>(), ["broken"]);
}
