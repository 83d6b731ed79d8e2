//! Cases of the judges, each beside its quiet twin: scenes folded through the real inventory and the real books.

mod counting;

mod provenance;

mod silence;

mod spending;

mod talking;

mod watching;

use enrich::Enrich;
use expect_test::{Expect, expect};
use model::approval::Scope;
use model::coverage::{Health, Source};
use model::event::{Body, Event};
use model::ids::{NodeId, WorkloadKey};
use model::time::Time;
use model::view::{EngineState, View};
use testkit::provenance::helper;
use testkit::scene::{Scene, Spends, digest};

use super::*;

/// What a busy engine and a container that prints without end spend, as measured.
const PRINTS: Spends = Spends { own_cores: 0.01, log_bytes: 36_000_000, shim_cores: 0.0 };
const BUSY: Spends = Spends { own_cores: 1.0, log_bytes: 0, shim_cores: 0.0 };

/// Judges a scene from its beginning.
fn findings(events: Vec<Event>) -> Vec<Finding> {
    findings_of(Detect::default(), events)
}

fn findings_of(mut detect: Detect, events: Vec<Event>) -> Vec<Finding> {
    let (mut enrich, mut state) = (Enrich::default(), State::default());
    let judge = |event| {
        let seen = enrich.identify(event);
        let novelty = state.compare(&seen);
        let findings = detect.judge(&seen, &novelty, &state);
        state.learn(&seen, &findings);
        findings
    };
    events.into_iter().flat_map(judge).collect()
}

/// Judges a scene from its beginning; one line for each judge and subject with its heaviest bits, in order of first
/// appearance.
fn judged(events: Vec<Event>) -> String {
    let mut lines: Vec<(String, f64)> = Vec::new();
    for finding in findings(events) {
        let who =
            finding.container.as_ref().map_or("node".to_owned(), |container| container.name.to_string());
        let line = format!("{} {who}", finding.judge);
        match lines.iter_mut().find(|(known, _)| *known == line) {
            Some((_, bits)) => *bits = bits.max(finding.bits),
            None => lines.push((line, finding.bits)),
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
        &expect![[r#"
            unbooked_engine node 3.0
        "#]],
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
fn a_container_that_spends_itself_what_its_log_costs_is_in_band() {
    check(
        |scene| {
            approve_image(scene, "web");
            let web = scene.start("web", "web", "httpd");
            let serves = Spends { own_cores: 0.3, log_bytes: 20_000_000, shim_cores: 0.0 };
            scene.seconds(5, &[(web, serves)], 0.8);
        },
        &expect![[""]],
    );
}

#[test]
fn a_quarter_of_a_core_of_copying_is_the_least_that_is_told() {
    let told = |engine_cores: f64| {
        let mut scene = Scene::new(2);
        approve_image(&mut scene, "app");
        let app = scene.start("app", "app", "say");
        scene.seconds(3, &[(app, PRINTS)], engine_cores);
        judged(scene.take())
    };
    assert_eq!(told(0.24), "");
    assert_eq!(told(0.26), "out_of_band_log app 7.8\n");
}

#[test]
fn less_than_a_third_of_what_is_logged_is_too_unsure_a_share() {
    let told = |others: u64| {
        let mut scene = Scene::new(4);
        approve_image(&mut scene, "app");
        let app = scene.start("app", "app", "say");
        let other = scene.start("other", "app", "serve");
        let talks = Spends { own_cores: 1.0, log_bytes: others, shim_cores: 0.0 };
        scene.seconds(3, &[(app, PRINTS), (other, talks)], 2.0);
        judged(scene.take()).lines().any(|line| line.starts_with("out_of_band_log app"))
    };
    assert!(told(PRINTS.log_bytes * 2));
    assert!(!told(PRINTS.log_bytes * 5 / 2));
}

#[test]
fn of_two_that_print_each_is_found_and_a_talker_beside_them_is_not() {
    check(
        |scene| {
            approve_image(scene, "app");
            let one = scene.start("one", "app", "yes");
            let two = scene.start("two", "app", "yes no");
            let talks = scene.start("talks", "app", "say");
            let talking = Spends { own_cores: 0.01, log_bytes: 1_000_000, shim_cores: 0.0 };
            scene.seconds(3, &[(one, PRINTS), (two, PRINTS), (talks, talking)], 1.2);
        },
        &expect![[r#"
            out_of_band_log one 12.5
            out_of_band_log two 12.5
        "#]],
    );
}

#[test]
fn a_shim_that_copies_output_counts_and_one_that_works_without_any_does_not() {
    check(
        |scene| {
            approve_image(scene, "app");
            let attached = scene.start("attached", "app", "cat");
            let moves = Spends { own_cores: 0.01, log_bytes: 5_000_000, shim_cores: 0.5 };
            scene.seconds(3, &[(attached, moves)], 0.0);
            let silent = scene.start("silent", "app", "sleep");
            scene.seconds(3, &[(silent, Spends { log_bytes: 0, ..moves })], 0.0);
        },
        &expect![[r#"
            out_of_band_log attached 12.3
        "#]],
    );
}

#[test]
fn what_is_claimed_a_unit_or_of_another_runtime_is_no_ghost() {
    check(
        |scene| {
            scene.units(true, &["cron.service"]);
            approve_image(scene, "web");
            let late = scene.start_unclaimed("httpd");
            scene.appear("/system.slice/cron.service", "cron -f");
            let lxc = scene.appear("/lxc.payload.web", "nginx");
            scene.set_up(lxc, |setup| setup.makers = vec![helper(60, "/usr/bin/lxc-start", 0)]);
            scene.second(&[], 0.0);
            scene.claim(late, "late", "web", |_| ());
            scene.seconds(10, &[], 0.0);
        },
        &expect![[""]],
    );
}

#[test]
fn a_container_of_a_silent_engine_weighs_less_than_a_ghost_for_a_minute() {
    let waits = |seconds: u32| {
        let mut scene = Scene::new(2);
        scene.engine(&View::default(), EngineState::Answers, |_| ());
        scene.report(Source::Docker, Health::Down, "connection refused");
        let miner = scene.start_unclaimed("miner");
        scene.set_up(miner, |_| ());
        scene.seconds(seconds, &[], 0.0);
        judged(scene.take())
    };
    assert_eq!(waits(50), "ghost miner 5.0\nblind node 5.0\n");
    assert_eq!(waits(61), "ghost miner 13.0\nblind node 5.0\nmasquerade miner 13.0\n");
}

#[test]
fn a_short_lived_process_tree_is_no_ghost() {
    check(
        |scene| {
            let build = scene.appear("/build", "cc");
            scene.second(&[], 0.0);
            scene.end(build);
            scene.seconds(5, &[], 0.0);
        },
        &expect![[""]],
    );
}

#[test]
fn an_approval_quiets_the_next_start_and_its_revocation_does_not() {
    check(
        |scene| {
            approve_image(scene, "web");
            scene.start("first", "web", "httpd");
            scene.second(&[], 0.0);
            scene.emit(Source::Operator, Body::Revoked { id: 1 });
            scene.start("second", "web", "httpd");
        },
        &expect![[r#"
            unapproved_image second 4.0
        "#]],
    );
}

#[test]
fn pressure_below_the_level_harms_nobody() {
    check(
        |scene| {
            approve_image(scene, "batch");
            let batch = scene.start("batch", "batch", "sum");
            scene.press(19.0);
            scene.seconds(3, &[(batch, BUSY)], 0.0);
        },
        &expect![[""]],
    );
}

#[test]
fn what_is_usual_for_a_workload_is_no_excess_also_after_a_restart() {
    check(
        |scene| {
            approve_image(scene, "batch");
            scene.approve(
                2,
                Scope::Workload { workload: WorkloadKey::new("batch [sum]"), digest: digest("batch") },
            );
            let first = scene.start("batch", "batch", "sum");
            scene.seconds(70, &[(first, Spends { own_cores: 0.7, log_bytes: 0, shim_cores: 0.0 })], 0.0);
            scene.end(first);
            let second = scene.start("batch", "batch", "sum");
            scene.seconds(20, &[(second, BUSY)], 0.0);
        },
        &expect![[""]],
    );
}

#[test]
fn a_finding_carries_its_figures_and_what_could_not_be_seen() {
    let mut scene = Scene::new(2);
    scene.report(Source::Kernel, Health::Degraded, "no socket events");
    approve_image(&mut scene, "busybox");
    let attack = scene.start("atk", "busybox", "yes");
    scene.seconds(2, &[(attack, PRINTS)], 0.95);
    let finding = findings(scene.take()).pop().unwrap();
    assert!(finding.harm);
    assert_eq!(finding.coverage.blind.iter().map(|blind| blind.source).collect::<Vec<_>>(), [Source::Kernel]);
    let figures: Vec<String> =
        finding.evidence.iter().map(|(name, value)| format!("{name} {value:?}")).collect();
    expect![[r#"
        its own cgroup used 0.010 of a core, while the container engine spent 0.95 cores copying its output and its log grew by 36.0 MB a second
        own_cpu_cores Measure(0.01)
        engine_cpu_cores Measure(0.95)
        engine_idle_cpu_cores Measure(0.0)
        attributed_cpu_cores Measure(0.95)
        client_cpu_cores Measure(0.0)
        attribution_share Measure(1.0)
        log_bytes_per_second Measure(36000000.0)
        window_seconds Measure(2.0)
        log_driver Text("json-file")
        log_path Text("/var/lib/docker/containers/00000000000000000000000000000000000000000000000000000000000003e8-json.log")
    "#]].assert_eq(&format!("{}\n{}\n", finding.claim, figures.join("\n")));
}

#[test]
fn hostile_names_stay_text_in_what_is_claimed() {
    let hostile = "\u{202e}x\x1b[2J\n<script>";
    let mut scene = Scene::new(2);
    let app = scene.start("x", hostile, hostile);
    scene.appear("/hidden", hostile);
    scene.seconds(8, &[(app, PRINTS)], 0.95);
    let found = findings(scene.take());
    assert!(found.len() > 3);
    for finding in found {
        assert!(!finding.claim.contains(['\u{202e}', '\x1b', '\n']), "{:?}", finding.claim);
    }
}

#[test]
fn a_judge_that_panics_is_asked_no_more_and_that_is_a_finding() {
    let mut scene = Scene::new(2);
    let attack = scene.start("atk", "busybox", "yes");
    scene.seconds(7, &[(attack, BUSY)], 0.0);
    let event = scene.clone().take().remove(0);
    let seen = Enrich::default().identify(event);
    let (state, novelty) = (State::default(), Novelty::default());
    let case = Case { seen: &seen, novelty: &novelty, state: &state };
    let mut detect = Detect::default();
    let mut out = Vec::new();
    let breaks = |_: &Case, out: &mut Vec<Finding>| {
        out.push(Finding::about_node(&NodeId::new("node"), "half", Family::Resource, Time::default(), 9.0));
        panic!("a bug");
    };
    detect.ask(resource::excess::ID, breaks, &case, &mut out);
    let judges: Vec<&str> = out.iter().map(|finding| &*finding.judge).collect();
    assert_eq!(judges, [JUDGE_FAILED], "what it said before it broke is not believed");
    assert_eq!(detect.failed().collect::<Vec<_>>(), ["excess"]);

    let text = serde_json::to_string(&detect).unwrap();
    let after: Detect = serde_json::from_str(&text).unwrap();
    let judges: Vec<String> =
        findings_of(after, scene.take()).iter().map(|finding| finding.judge.to_string()).collect();
    assert_eq!(judges, ["unapproved_image"], "the others go on, it is asked no more");
}

#[test]
fn on_a_contended_host_a_busy_loop_is_found_by_the_share_it_gets() {
    let contended = |host_cores: f64| {
        move |scene: &mut Scene| {
            let miner = scene.start("miner", "miner", "mine");
            scene.host_spends(host_cores);
            scene.seconds(7, &[(miner, Spends { own_cores: 0.5, log_bytes: 0, shim_cores: 0.0 })], 0.0);
        }
    };
    check(
        contended(1.45),
        &expect![[r#"
        unapproved_image miner 4.0
        excess miner 8.0
    "#]],
    );
    check(
        contended(0.5),
        &expect![[r#"
        unapproved_image miner 4.0
    "#]],
    );
}
