//! Cases of integrity, each attack beside its quiet twin: what could not be seen, when we did not run, who interfered.

use std::time::Duration;

use model::coverage::{Loss, SourceReport};
use model::ids::CgroupId;
use model::integrity::Integrity;
use model::untrusted::Untrusted;
use testkit::scene::Actor;

use super::*;

fn told(scene: &mut Scene, fact: Integrity) {
    scene.emit(Source::Engine, Body::Integrity(Box::new(fact)));
}

/// Findings of this family; one line for each judge and subject with its heaviest bits.
fn watched(act: impl FnOnce(&mut Scene)) -> String {
    let mut scene = Scene::new(2);
    act(&mut scene);
    let judged = judged(scene.take());
    let lines = judged.lines().filter(|line| {
        let id = line.split(' ').next().unwrap_or_default();
        judges_of_integrity().contains(&id)
    });
    lines.map(|line| format!("{line}\n")).collect()
}

fn judges_of_integrity() -> Vec<&'static str> {
    let ids = judge_ids();
    let first = ids.iter().position(|id| *id == BLIND).expect("it is a judge");
    ids[first..].to_vec()
}

fn after(fact: Integrity) -> String {
    watched(|scene| {
        scene.seconds(700, &[], 0.0);
        told(scene, fact);
    })
}

/// The host spends CPU time for so long while nothing of ours runs; things happen on it or do not.
#[derive(Clone, Copy)]
struct Absence {
    seconds: u64,
    does_host_run: bool,
    does_something_happen: bool,
    suspended_ms: Option<u64>,
    starved_ms: Option<u64>,
    pressure_percent: f32,
}

const SIGSTOP: Absence = Absence {
    seconds: 20,
    does_host_run: true,
    does_something_happen: true,
    suspended_ms: None,
    starved_ms: None,
    pressure_percent: 0.0,
};

fn absent(absence: Absence) -> String {
    watched(|scene| {
        scene.seconds(5, &[], 0.0);
        scene.press(absence.pressure_percent);
        let from = scene.now();
        scene.pause(Duration::from_secs(absence.seconds));
        if absence.does_host_run {
            spend_idle(scene, Duration::from_secs(absence.seconds));
        }
        let Absence { suspended_ms, starved_ms, .. } = absence;
        let until = scene.now();
        told(scene, Integrity::Late { from, until, suspended_ms, starved_ms });
        if absence.does_something_happen {
            let exec = Box::new(scene.next_actor().exec("miner"));
            scene.emit_at(from.plus(Duration::from_secs(2)), Source::Kernel, Body::Exec(exec));
        }
        scene.seconds(3, &[], 0.0);
    })
}

/// The host idles for so long, as `/proc/stat` shows it.
fn spend_idle(scene: &mut Scene, span: Duration) {
    scene.change_host(|host| host.cpu.idle_ns += span.as_nanos() as u64 * u64::from(host.cores));
}

#[test]
fn a_stop_by_a_signal_is_enough_alone_when_the_host_ran_and_something_happened() {
    assert_eq!(absent(SIGSTOP), "stopped node 13.0\n");
}

#[test]
fn a_suspended_laptop_and_a_paused_machine_weigh_nothing() {
    let paused = Absence { seconds: 5, does_host_run: false, does_something_happen: false, ..SIGSTOP };
    assert_eq!(absent(paused), "stopped node 1.0\n");
    let suspended = Absence { seconds: 28_800, suspended_ms: Some(28_790_000), ..paused };
    assert_eq!(absent(suspended), "stopped node 1.0\n");
}

#[test]
fn a_loaded_host_starves_us_and_does_not_stop_us() {
    let starved = Absence { seconds: 4, starved_ms: Some(3_600), ..SIGSTOP };
    assert_eq!(absent(starved), "stopped node 3.0\n");
    let loaded = Absence { seconds: 4, pressure_percent: 80.0, ..SIGSTOP };
    assert_eq!(absent(loaded), "stopped node 6.0\n");
    // Load that is only made to cover a stop is found out by what we waited for.
    let covered = Absence { pressure_percent: 80.0, starved_ms: Some(40), ..SIGSTOP };
    assert_eq!(absent(covered), "stopped node 13.0\n");
}

#[test]
fn a_stop_in_which_nothing_happened_hides_nothing_and_is_a_lead() {
    assert_eq!(absent(Absence { does_something_happen: false, ..SIGSTOP }), "stopped node 8.0\n");
}

#[test]
fn stops_that_are_each_too_short_add_up() {
    let stops = |millis: u64, runs: u64| {
        watched(|scene| {
            for _ in 0..20 {
                scene.pause(Duration::from_millis(millis));
                for _ in 0..runs {
                    scene.pause(Duration::from_millis(500));
                    scene.readings(&[], 0.0);
                }
            }
        })
    };
    assert_eq!(stops(2_400, 1), "stopped node 13.0\n");
    assert_eq!(stops(1_500, 8), "stopped node 8.0\n");
    // A tick that is late now and then is how busy hosts are.
    assert_eq!(stops(900, 30), "");
}

#[test]
fn a_kill_is_a_lead_and_with_a_suspect_container_started_meanwhile_enough_alone() {
    let killed = |rebooted: bool, is_approved: bool, command: &'static str| {
        watched(|scene| {
            let last = scene.now().minus(Duration::from_secs(60));
            scene.emit(Source::Engine, Body::Resumed { last });
            told(scene, Integrity::Killed { last, rebooted, times: 1 });
            approve_image(scene, "web");
            let actor = scene.find("/docker/x", command, Duration::from_secs(30));
            let image = if is_approved { "web" } else { "busybox" };
            scene.claim(actor, "found", image, |_| ());
            scene.seconds(5, &[], 0.0);
        })
    };
    assert_eq!(killed(false, false, "miner"), "killed node 13.0\n");
    assert_eq!(killed(false, true, "httpd"), "killed node 5.0\n");
    assert_eq!(killed(true, false, "miner"), "killed node 2.0\n", "a reboot starts everything anew");
}

#[test]
fn an_end_in_order_is_no_kill_and_what_started_meanwhile_is_judged_for_itself() {
    let restarted = watched(|scene| {
        let last = scene.now().minus(Duration::from_secs(60));
        scene.emit(Source::Engine, Body::Resumed { last });
        let actor = scene.find("/docker/x", "miner", Duration::from_secs(30));
        scene.claim(actor, "found", "busybox", |_| ());
        scene.seconds(5, &[], 0.0);
    });
    assert_eq!(restarted, "");
}

#[test]
fn being_killed_again_and_again_weighs_more_each_time() {
    let bits: Vec<String> = [1, 3, 4, 7]
        .map(|times| after(Integrity::Killed { last: testkit::scene::START, rebooted: false, times }))
        .into();
    assert_eq!(bits, ["killed node 5.0\n", "killed node 7.0\n", "killed node 9.0\n", "killed node 13.0\n"]);
}

fn lose(scene: &mut Scene, cgroup: Option<CgroupId>, count: u64, stage: &str) {
    let loss = Loss { source: Source::Kernel, cgroup, count, stage: Untrusted::new(stage) };
    scene.emit(Source::Kernel, Body::Lost(loss));
}

#[test]
fn a_flood_names_its_container_and_a_build_that_loses_a_little_does_not_page() {
    let flood = |per_second: u64, seconds: u64| {
        watched(|scene| {
            let noisy = scene.start("noisy", "busybox", "sh");
            for _ in 0..seconds {
                lose(scene, Some(noisy.cgroup()), per_second, "budget");
                scene.second(&[], 0.0);
            }
        })
    };
    assert_eq!(flood(20_000, 1), "flooded noisy 13.0\n");
    assert_eq!(flood(2_000, 3), "flooded noisy 13.0\n");
    assert_eq!(flood(300, 5), "flooded noisy 6.0\n");
    assert_eq!(flood(20, 60), "");
}

#[test]
fn a_flood_from_many_cgroups_each_below_notice_is_found_together() {
    let many = watched(|scene| {
        let noisy: Vec<Actor> = (0..60).map(|at| scene.start(&format!("n{at}"), "busybox", "sh")).collect();
        for _ in 0..4 {
            noisy.iter().for_each(|one| lose(scene, Some(one.cgroup()), 40, "budget"));
            scene.second(&[], 0.0);
        }
    });
    assert_eq!(many, "flooded node 13.0\n");
}

#[test]
fn a_queue_that_overflows_names_who_sends_most() {
    let queue = |runs: u32| {
        watched(|scene| {
            let noisy = scene.start("noisy", "busybox", "sh");
            for _ in 0..3 {
                (0..runs).for_each(|_| scene.run(noisy, "true"));
                lose(scene, None, 3_000, "queue of the engine");
                scene.second(&[], 0.0);
            }
        })
    };
    assert_eq!(queue(200), "flooded noisy 13.0\n");
    assert_eq!(queue(0), "flooded node 13.0\n");
}

#[test]
fn a_source_is_blind_when_it_stays_away_and_not_for_the_seconds_of_an_upgrade() {
    let away = |source: Source, seconds: u32| {
        watched(|scene| {
            scene.report(source, Health::Down, "connection refused");
            scene.seconds(seconds, &[], 0.0);
            scene.report(source, Health::Up, "");
            scene.seconds(5, &[], 0.0);
        })
    };
    assert_eq!(away(Source::Docker, 8), "");
    assert_eq!(away(Source::Docker, 60), "blind node 5.0\n");
    assert_eq!(away(Source::Kernel, 15), "blind node 9.0\n");
}

#[test]
fn a_source_that_never_worked_here_is_hardly_a_word() {
    let never = watched(|scene| {
        scene.report(Source::Cri, Health::Down, "no permission");
        scene.seconds(60, &[], 0.0);
    });
    assert_eq!(never, "blind node 1.0\n");
}

#[test]
fn a_source_that_flaps_is_blind_though_it_is_never_away_for_long() {
    let flapping = watched(|scene| {
        for number in 0..30 {
            scene.report(Source::Docker, Health::Down, &format!("reset {number}"));
            scene.seconds(4, &[], 0.0);
            scene.report(Source::Docker, Health::Up, "");
            scene.seconds(3, &[], 0.0);
        }
    });
    assert_eq!(flapping, "blind node 7.0\n");
}

#[test]
fn a_source_that_reports_to_be_well_and_delivers_nothing_is_blind() {
    let silent = watched(|scene| {
        for _ in 0..40 {
            scene.pause(Duration::from_millis(500));
            scene.emit(Source::Engine, Body::Tick);
        }
    });
    assert_eq!(silent, "blind node 9.0\n");
    // While we did not run ourselves, nobody was silent.
    let stopped = watched(|scene| {
        scene.pause(Duration::from_secs(60));
        scene.emit(Source::Engine, Body::Tick);
        scene.seconds(5, &[], 0.0);
    });
    assert_eq!(stopped, "");
}

#[test]
fn what_only_root_can_do_to_us_is_enough_alone() {
    let text = Untrusted::new;
    for (fact, line) in [
        (Integrity::ProbeDetached { program: text("exec") }, "probe_detached node 13.0\n"),
        (Integrity::Tampered { what: text("process"), how: text("traced by pid 7") }, "tampered node 13.0\n"),
        (
            Integrity::StoreMovedAside {
                what: text("database"),
                reason: text("corrupt"),
                kept_as: text("x"),
            },
            "store_changed node 13.0\n",
        ),
        (
            Integrity::StoreChanged {
                what: text("database"),
                expected: text("9 incidents"),
                found: text("0"),
            },
            "store_changed node 13.0\n",
        ),
        (
            Integrity::FileChanged { path: text("/usr/bin/tidewatch"), how: text("written") },
            "file_changed node 13.0\n",
        ),
        (Integrity::Died { thread: text("scan"), reason: text("panicked") }, "dead_source node 13.0\n"),
        (Integrity::Untracked { table: text("cgroups"), count: 9, by: text("/x") }, "untracked node 13.0\n"),
    ] {
        assert_eq!(after(fact.clone()), line, "{fact:?}");
    }
}

#[test]
fn what_happens_to_honest_hosts_as_well_is_a_lead() {
    let text = Untrusted::new;
    let not_stored = |dropped| Integrity::NotStored {
        what: text("incidents"),
        waiting: 3,
        dropped,
        reason: text("no space"),
    };
    let overdue = |silent_ms| Integrity::Overdue { thread: text("birth"), silent_ms };
    for (fact, line) in [
        (
            Integrity::FileChanged { path: text("/usr/bin/tidewatch"), how: text("replaced") },
            "file_changed node 5.0\n",
        ),
        (
            Integrity::FileChanged { path: text("/etc/tidewatch.toml"), how: text("written") },
            "file_changed node 4.0\n",
        ),
        (not_stored(0), "store_changed node 4.0\n"),
        (not_stored(1), "store_changed node 9.0\n"),
        (overdue(3_000), "dead_source node 3.0\n"),
        (overdue(20_000), "dead_source node 6.0\n"),
        (overdue(90_000), "dead_source node 9.0\n"),
        (Integrity::Untracked { table: text("labels"), count: 9, by: text("web") }, "untracked node 6.0\n"),
        (Integrity::Refused { what: text("control clients"), count: 2 }, "refused node 2.0\n"),
        (Integrity::Refused { what: text("control clients"), count: 200 }, "refused node 6.0\n"),
        (Integrity::ClockStepped { by_ms: 1_000 }, "clock_stepped node 1.0\n"),
        (Integrity::ClockStepped { by_ms: -1_000 }, "clock_stepped node 1.0\n"),
        (Integrity::ClockStepped { by_ms: 3_600_000 }, "clock_stepped node 4.0\n"),
        (Integrity::ClockStepped { by_ms: -3_600_000 }, "clock_stepped node 8.0\n"),
        (Integrity::Recovered { thread: text("birth"), silent_ms: 9 }, ""),
        (Integrity::StoredAgain { what: text("incidents") }, ""),
    ] {
        assert_eq!(after(fact.clone()), line, "{fact:?}");
    }
}

#[test]
fn the_first_step_of_a_time_service_after_a_boot_is_hardly_a_word() {
    let first = watched(|scene| {
        scene.seconds(30, &[], 0.0);
        told(scene, Integrity::ClockStepped { by_ms: -86_400_000 });
    });
    assert_eq!(first, "clock_stepped node 2.0\n");
}

#[test]
fn a_reading_that_was_cut_by_a_limit_is_a_finding() {
    let cut = watched(|scene| {
        let loss = Loss { source: Source::Docker, cgroup: None, count: 40, stage: "containers_max".into() };
        scene.emit(Source::Docker, Body::Lost(loss));
    });
    assert_eq!(cut, "untracked node 4.0\n");
}

#[test]
fn no_claim_of_this_family_can_be_explained_away() {
    let mut scene = Scene::new(2);
    let noisy = scene.start("noisy", "busybox", "sh");
    lose(&mut scene, Some(noisy.cgroup()), 20_000, "budget");
    told(&mut scene, Integrity::ProbeDetached { program: "exec".into() });
    scene.emit(
        Source::Docker,
        Body::Report(SourceReport { source: Source::Docker, health: Health::Down, reason: "refused".into() }),
    );
    scene.seconds(20, &[], 0.0);
    let claims = findings(scene.take()).into_iter().filter(|finding| finding.family == Family::Integrity);
    let claims: Vec<Finding> = claims.collect();
    assert!(claims.len() >= 3);
    assert!(claims.iter().all(|finding| !finding.may_be_explained() && finding.explained.is_empty()));
}
