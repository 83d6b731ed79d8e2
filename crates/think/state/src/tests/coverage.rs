//! Cases of coverage: what could be seen, what could not, and for how long that is told.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;

/// Plays a scene; then what could be seen and what could not.
fn check_coverage(act: impl FnOnce(&mut Scene), expected: &Expect) {
    let mut scene = Scene::new(4);
    act(&mut scene);
    let coverage = Books::of(scene).state.coverage();
    let seen: Vec<&str> = coverage.seen.iter().map(|source| source.name()).collect();
    let mut text = format!("seen {}, lost {}\n", seen.join(" "), coverage.lost_events);
    for blind in &coverage.blind {
        let second = |time: Time| time.since(START).as_secs();
        let until = blind.until.map_or("now".to_owned(), |until| second(until).to_string());
        writeln!(
            text,
            "{} {:?} {}..{until}: {}",
            blind.source,
            blind.health,
            second(blind.since),
            blind.reason
        )
        .unwrap();
    }
    expected.assert_eq(&text);
}

#[test]
fn a_source_that_is_down_is_blind_until_it_is_back() {
    check_coverage(
        |scene| {
            scene.report(Source::Docker, Health::Down, "connection refused");
            scene.seconds(5, &[], 0.0);
            scene.report(Source::Docker, Health::Down, "connection refused");
            scene.report(Source::Kernel, Health::Degraded, "no socket events");
        },
        &expect![[r#"
            seen kernel scan cgroups host, lost 0
            kernel Degraded 6..now: no socket events
            docker Down 1..now: connection refused
        "#]],
    );
    check_coverage(
        |scene| {
            scene.report(Source::Docker, Health::Down, "connection refused");
            scene.seconds(5, &[], 0.0);
            scene.report(Source::Docker, Health::Up, "");
            scene.seconds(5, &[], 0.0);
        },
        &expect![[r#"
            seen kernel scan cgroups host docker, lost 0
            docker Down 1..6: connection refused
        "#]],
    );
}

#[test]
fn a_gap_is_told_for_an_hour() {
    let gap = |seconds: u64| {
        let mut scene = Scene::new(4);
        scene.report(Source::Docker, Health::Down, "connection refused");
        scene.second(&[], 0.0);
        scene.report(Source::Docker, Health::Up, "");
        scene.pause(Duration::from_secs(seconds));
        scene.emit(Source::Engine, Body::Tick);
        Books::of(scene).state.coverage().blind.len()
    };
    assert_eq!((gap(3_600), gap(3_601)), (1, 0));
}

#[test]
fn a_source_that_is_absent_is_neither_seen_nor_blind() {
    check_coverage(
        |scene| scene.report(Source::Docker, Health::Absent, "no socket"),
        &expect![[r#"
        seen kernel scan cgroups host, lost 0
    "#]],
    );
}

#[test]
fn the_time_we_did_not_run_and_what_was_lost_are_told() {
    check_coverage(
        |scene| {
            scene.pause(Duration::from_secs(100));
            let last = START.plus(Duration::from_secs(40));
            scene.emit(Source::Engine, Body::Resumed { last });
            for count in [3, 4] {
                let loss = Loss {
                    source: Source::Kernel,
                    cgroup: Some(CgroupId(7)),
                    count,
                    stage: Untrusted::new("ring buffer"),
                };
                scene.emit(Source::Kernel, Body::Lost(loss));
            }
        },
        &expect![[r#"
            seen kernel scan cgroups host docker, lost 7
            engine Down 40..101: Tidewatch was not running
        "#]],
    );
}

#[test]
fn a_source_that_flaps_loses_none_of_its_gaps_and_pushes_out_nobodys() {
    let mut scene = Scene::new(4);
    let last = START.minus(Duration::from_secs(60));
    scene.emit(Source::Engine, Body::Resumed { last });
    for number in 0..100 {
        scene.report(Source::Docker, Health::Down, &format!("failure {number}"));
        scene.pause(Duration::from_secs(1));
        scene.report(Source::Docker, Health::Up, "");
        scene.pause(Duration::from_secs(1));
    }
    let now = scene.now();
    let blind = Books::of(scene).state.coverage().blind;
    let of = |source| blind.iter().filter(|gap| gap.source == source).collect::<Vec<_>>();
    assert_eq!(of(Source::Engine).len(), 1, "the gap in our own run is still told");
    let docker = of(Source::Docker);
    assert_eq!(docker.len(), 8);
    assert!(now.since(docker[0].since) >= Duration::from_secs(200), "the first failure is not forgotten");
    assert_eq!(docker[7].reason.raw(), "failure 99");
}
