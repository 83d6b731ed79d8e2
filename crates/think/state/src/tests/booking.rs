//! The books: who pays for what others spend, each beside the case that costs nothing.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use model::runtime::ContainerFacts;
use model::usage::{LogSize, Usage};
use proptest::prelude::{Strategy as _, prop, proptest};

use super::*;

/// Plays a scene on four cores; then what each container spent, one line each, and what the host did.
fn check_costs(act: impl FnOnce(&mut Scene), costs: &Expect) {
    let mut scene = Scene::new(4);
    act(&mut scene);
    costs.assert_eq(&costs_of(&Books::of(scene).state));
}

fn costs_of(state: &State) -> String {
    let mut text = String::new();
    for account in state.accounts() {
        let name = account.container().name();
        let Some(spent) = account.spent(ledger::WINDOW) else {
            writeln!(text, "{name}: no books yet").unwrap();
            continue;
        };
        writeln!(text, "{name}: {:.1} s, own {:.3}", spent.seconds, spent.own_cores()).unwrap();
        for cost in account.costs() {
            writeln!(
                text,
                "  {}: of {:.3} cores {:.3}, share {:.2}, {:.0}/s",
                cost.class.name(),
                cost.pool_cores,
                cost.attributed_cores,
                cost.share,
                cost.units_per_second
            )
            .unwrap();
        }
    }
    match state.host() {
        Some(host) => writeln!(
            text,
            "host: {:.1} s, busy {:.3}, engine {:.3} (idle {:.3}), containers {:.3}, shims {:.3}",
            host.seconds,
            host.busy_cores,
            host.engine_cores,
            host.engine_idle_cores,
            host.container_cores,
            host.shim_cores
        ),
        None => writeln!(text, "host: no books yet"),
    }
    .unwrap();
    text
}

fn log_cost(books: &Books, actor: Actor) -> Cost {
    let account = books.state.account(actor.cgroup()).unwrap();
    *account.costs().iter().find(|cost| cost.class == CostClass::EngineLog).unwrap()
}

/// A reading of a container's cgroup, made by hand.
fn reading(actor: Actor, cpu_ns: u64) -> Body {
    Body::Usage(Box::new(Usage { cgroup: actor.cgroup(), cpu_ns: Some(cpu_ns), ..Usage::default() }))
}

fn log_size(actor: Actor, bytes: u64) -> Body {
    Body::Log(Box::new(LogSize { container_id: actor.id(), path: Untrusted::new("/log"), bytes }))
}

#[test]
fn the_engines_cost_is_shared_by_bytes_logged() {
    check_costs(
        |scene| {
            let loud = scene.start("loud", "app", "yes");
            let talks = scene.start("talks", "app", "say");
            scene.start("silent", "app", "sleep");
            scene.seconds(5, &[(loud, prints(0.01, 30 * MB)), (talks, prints(0.2, 10 * MB))], 0.8);
        },
        &expect![[r#"
            loud: 5.0 s, own 0.010
              engine copies its output: of 0.800 cores 0.600, share 0.75, 30000000/s
            talks: 5.0 s, own 0.200
              engine copies its output: of 0.800 cores 0.200, share 0.25, 10000000/s
            silent: 5.0 s, own 0.000
            host: 5.0 s, busy 1.010, engine 0.800 (idle 0.000), containers 0.210, shims 0.000
        "#]],
    );
}

/// An engine takes a megabyte at once and hands it to a journal line by line, long after the container wrote it.
#[test]
fn output_that_waits_in_the_engine_is_booked_to_who_wrote_it() {
    let mut scene = Scene::new(4);
    let output_to = |scene: &mut Scene, name: &str, log_driver: &str| {
        let actor = scene.start_unclaimed("yes");
        scene.claim(actor, name, "app", |facts| {
            facts.log_driver = log_driver.into();
            facts.log_path = None;
        });
        actor
    };
    let loud = output_to(&mut scene, "loud", "none");
    for second in 1..=3 {
        scene.look(loud, |deep| deep.written_chars_bytes = Some(second * 50 * MB));
        scene.second(&[], 1.0);
    }
    scene.end(loud);
    let late = output_to(&mut scene, "late", "journald");
    scene.look(late, |deep| deep.written_chars_bytes = Some(MB));
    let mut books = Books::default();
    let mut booked = Vec::new();
    for _ in 0..12 {
        scene.second(&[], 1.0);
        books.take(scene.take().into_iter().filter(|event| !matches!(event.body, Body::Log(_))).collect());
        let cost = log_cost(&books, late);
        booked.push(cost.attributed_cores);
        assert!(cost.goes_on && cost.share > 0.6, "{cost:?}");
    }
    assert!(booked.iter().all(|cores| (0.6..=1.0).contains(cores)), "{booked:?}");
    assert!(
        booked[5..].iter().all(|cores| *cores > 0.99),
        "the other one's last second has left: {booked:?}"
    );
    scene.seconds(8, &[], 0.0);
    books.take(scene.take());
    let account = books.state.account(late.cgroup()).unwrap();
    assert!(account.costs().iter().all(|cost| !cost.goes_on), "{:?}", account.costs());
}

#[test]
fn each_second_costs_what_that_second_spent() {
    let mut scene = Scene::new(4);
    let web = scene.start("web", "app", "httpd");
    scene.seconds(2, &[(web, prints(0.2, 0))], 0.0);
    scene.seconds(1, &[(web, prints(0.1, 10 * MB))], 0.5);
    scene.seconds(1, &[(web, prints(0.3, 0))], 0.0);
    let books = Books::of(scene);
    let account = books.state.account(web.cgroup()).unwrap();
    let seconds =
        account.cost_by_second().map(|it| format!("{:.1}+{:.1}", it.own_cores, it.out_of_band_cores));
    assert_eq!(seconds.collect::<Vec<_>>(), ["0.2+0.0", "0.2+0.0", "0.1+0.5", "0.3+0.0"]);
}

#[test]
fn what_the_engine_spends_when_nothing_is_logged_is_nobodys() {
    check_costs(
        |scene| {
            scene.seconds(300, &[], 0.1);
            let loud = scene.start("loud", "app", "yes");
            scene.seconds(5, &[(loud, prints(0.01, 30 * MB))], 0.9);
        },
        &expect![[r#"
            loud: 5.0 s, own 0.010
              engine copies its output: of 0.900 cores 0.800, share 1.00, 30000000/s
            host: 5.0 s, busy 0.910, engine 0.900 (idle 0.100), containers 0.010, shims 0.000
        "#]],
    );
}

#[test]
fn the_engines_idle_cost_is_never_learned_from_a_burst() {
    check_costs(
        |scene| scene.seconds(300, &[], 3.0),
        &expect![[r#"
        host: 5.0 s, busy 3.000, engine 3.000 (idle 0.200), containers 0.000, shims 0.000
    "#]],
    );
}

#[test]
fn a_trickle_of_log_explains_no_image_import() {
    check_costs(
        |scene| {
            let web = scene.start("web", "app", "httpd");
            scene.seconds(5, &[(web, prints(0.01, 2_000))], 1.0);
        },
        &expect![[r#"
            web: 5.0 s, own 0.010
              engine copies its output: of 1.000 cores 0.000, share 1.00, 2000/s
            host: 5.0 s, busy 1.010, engine 1.000 (idle 0.000), containers 0.010, shims 0.000
        "#]],
    );
}

#[test]
fn a_shims_cost_is_its_containers_alone() {
    check_costs(
        |scene| {
            let execs = scene.start("execs", "app", "sleep");
            scene.start("silent", "app", "sleep");
            scene.seconds(5, &[(execs, Spends { own_cores: 0.1, log_bytes: 0, shim_cores: 0.3 })], 0.0);
        },
        &expect![[r#"
            execs: 5.0 s, own 0.100
              engine copies its output: of 0.300 cores 0.300, share 0.00, 0/s
            silent: 5.0 s, own 0.000
            host: 5.0 s, busy 0.400, engine 0.000 (idle 0.000), containers 0.100, shims 0.300
        "#]],
    );
}

#[test]
fn the_first_second_of_a_young_container_is_booked_whole() {
    check_costs(
        |scene| {
            let loud = scene.start("loud", "app", "yes");
            scene.second(&[(loud, prints(0.25, 20 * MB))], 0.8);
        },
        &expect![[r#"
            loud: 1.0 s, own 0.250
              engine copies its output: of 0.800 cores 0.800, share 1.00, 20000000/s
            host: 1.0 s, busy 1.050, engine 0.800 (idle 0.000), containers 0.250, shims 0.000
        "#]],
    );
}

#[test]
fn a_container_that_started_within_the_second_is_measured_by_its_own_age() {
    check_costs(
        |scene| {
            scene.pause(Duration::from_millis(600));
            let loud = scene.start("loud", "app", "yes");
            scene.pause(Duration::from_millis(400));
            scene.emit(Source::Cgroups, reading(loud, 10_000_000));
            scene.emit(Source::Host, log_size(loud, 10 * MB));
            scene.readings(&[], 0.4);
        },
        &expect![[r#"
            loud: 0.4 s, own 0.025
              engine copies its output: of 1.000 cores 1.000, share 1.00, 25000000/s
            host: 1.0 s, busy 0.400, engine 0.400 (idle 0.000), containers 0.010, shims 0.000
        "#]],
    );
}

#[test]
fn the_first_reading_of_an_old_container_is_only_a_base() {
    check_costs(
        |scene| {
            let path = format!("/docker/{}", scene.next_actor().id());
            let old = scene.find(&path, "httpd", Duration::from_secs(3600));
            scene.claim(old, "old", "app", |_| ());
            scene.second(&[(old, prints(0.9, 50 * MB))], 0.0);
            scene.seconds(2, &[(old, prints(0.1, 1_000))], 0.0);
        },
        &expect![[r#"
            old: 3.0 s, own 0.067
              engine copies its output: of 0.000 cores 0.000, share 1.00, 667/s
            host: 3.0 s, busy 0.367, engine 0.000 (idle 0.000), containers 0.067, shims 0.000
        "#]],
    );
}

#[test]
fn a_log_that_is_rotated_away_and_a_counter_that_runs_backwards_cost_nothing() {
    check_costs(
        |scene| {
            let web = scene.start("web", "app", "httpd");
            scene.second(&[(web, prints(0.5, 10 * MB))], 0.0);
            scene.emit(Source::Host, log_size(web, 100));
            scene.emit(Source::Cgroups, reading(web, 5));
            scene.emit(Source::Host, log_size(web, 1_100));
            scene.emit(Source::Cgroups, reading(web, 100_000_005));
            scene.end(web);
            scene.second(&[], 0.0);
        },
        &expect![[r#"
            web: 2.0 s, own 0.300
              engine copies its output: of 0.000 cores 0.000, share 1.00, 5000500/s
            host: 2.0 s, busy 0.250, engine 0.000 (idle 0.000), containers 0.300, shims 0.000
        "#]],
    );
}

#[test]
fn after_a_gap_the_books_start_over() {
    check_costs(
        |scene| {
            let web = scene.start("web", "app", "httpd");
            scene.seconds(3, &[(web, prints(1.0, MB))], 1.0);
            scene.pause(Duration::from_secs(10));
            scene.second(&[(web, prints(1.0, MB))], 1.0);
        },
        &expect![[r#"
            web: no books yet
            host: no books yet
        "#]],
    );
    check_costs(
        |scene| {
            let web = scene.start("web", "app", "httpd");
            scene.seconds(3, &[(web, prints(1.0, MB))], 1.0);
            scene.pause(Duration::from_secs(10));
            scene.second(&[(web, prints(1.0, MB))], 1.0);
            scene.second(&[(web, prints(0.5, MB))], 0.1);
        },
        &expect![[r#"
            web: 1.0 s, own 0.500
              engine copies its output: of 0.100 cores 0.100, share 1.00, 1000000/s
            host: 1.0 s, busy 0.600, engine 0.100 (idle 0.000), containers 0.500, shims 0.000
        "#]],
    );
}

#[test]
fn a_host_whose_clock_steps_back_starts_over_too() {
    let mut scene = Scene::new(4);
    let web = scene.start("web", "app", "httpd");
    scene.seconds(3, &[(web, prints(1.0, MB))], 1.0);
    let mut events = scene.take();
    scene.second(&[(web, prints(1.0, MB))], 1.0);
    events.extend(scene.take().into_iter().map(|event| Event { time: START, ..event }));
    let mut books = Books::default();
    books.take(events);
    assert_eq!(books.state.host(), None);
}

#[test]
fn a_share_is_never_more_than_all_of_it() {
    let mut scene = Scene::new(4);
    scene.pause(Duration::from_millis(600));
    let loud = scene.start("loud", "app", "yes");
    scene.pause(Duration::from_millis(400));
    scene.emit(Source::Cgroups, reading(loud, 10_000_000));
    scene.emit(Source::Host, log_size(loud, 40 * MB));
    scene.readings(&[], 0.4);
    let mut books = Books::default();
    for _ in 0..12 {
        books.take(scene.take());
        let cost = log_cost(&books, loud);
        assert!(cost.share <= 1.0, "{cost:?}");
        assert!(cost.attributed_cores <= cost.pool_cores + 1e-6, "{cost:?}");
        scene.second(&[(loud, prints(0.01, 100 * MB))], 0.9);
    }
}

#[test]
fn an_ended_containers_books_are_kept_for_ten_seconds() {
    let mut scene = Scene::new(4);
    let web = scene.start("web", "app", "httpd");
    scene.second(&[(web, prints(1.0, MB))], 1.0);
    scene.end(web);
    let mut books = Books::default();
    scene.seconds(9, &[], 0.0);
    books.take(scene.take());
    assert!(books.state.account(web.cgroup()).is_some_and(|account| !account.is_running()));
    scene.second(&[], 0.0);
    books.take(scene.take());
    assert!(books.state.cgroups().is_empty());
}

#[test]
fn a_new_container_in_the_same_cgroup_begins_with_empty_books() {
    let mut scene = Scene::new(4);
    let web = scene.start("web", "app", "httpd");
    scene.seconds(3, &[(web, prints(1.0, MB))], 1.0);
    scene.end(web);
    scene.second(&[], 0.0);
    let process = model::ids::ProcessKey { pid: 4242, start_ns: 7 };
    let again = model::event::Exec { process, ..web.exec("httpd") };
    scene.emit(Source::Kernel, Body::Exec(Box::new(again)));
    let books = Books::of(scene);
    assert!(books.state.account(web.cgroup()).is_some_and(|account| account.latest().is_none()));
}

/// One second of a made-up workload: whether it starts anew within it, what it spends and logs, what the engine spends.
type Second = (bool, f64, u64, f64);

fn seconds() -> impl proptest::strategy::Strategy<Value = Vec<Second>> {
    let second = (prop::bool::weighted(0.2), 0.0..2.0_f64, 0..200 * MB, 0.0..2.0_f64);
    prop::collection::vec(second, 1..40)
}

fn play(seconds: &[Second]) -> Vec<Event> {
    let mut scene = Scene::new(4);
    let mut actor = scene.start("app", "app", "0");
    for (at, &(restarts, own_cores, log_bytes, engine_cores)) in seconds.iter().enumerate() {
        scene.pause(Duration::from_millis(700));
        if restarts {
            scene.end(actor);
            actor = scene.start("app", "app", &at.to_string());
        }
        scene.pause(Duration::from_millis(300));
        scene.readings(&[(actor, prints(own_cores, log_bytes))], engine_cores);
    }
    scene.take()
}

proptest! {
    #[test]
    fn nobody_is_booked_more_than_was_spent(seconds in seconds().prop_map(|seconds| play(&seconds))) {
        let mut books = Books::default();
        for event in seconds {
            books.take(vec![event]);
            let state = &books.state;
            for cost in state.accounts().flat_map(Account::costs) {
                assert!((0.0..=1.0 + 1e-9).contains(&cost.share), "{cost:?}");
                assert!(cost.attributed_cores >= 0.0, "{cost:?}");
                assert!(cost.attributed_cores <= cost.pool_cores + 1e-6, "{cost:?}");
            }
        }
    }

    #[test]
    fn the_books_written_down_and_read_back_go_on_alike(
        seconds in seconds().prop_map(|seconds| play(&seconds)),
        cut in 0.0..1.0_f64,
    ) {
        let at = (seconds.len() as f64 * cut) as usize;
        let (first, rest) = seconds.split_at(at);
        let mut books = Books::default();
        books.take(first.to_vec());
        let text = serde_json::to_string(&books.state).unwrap();
        let mut again = Books {
            enrich: books.enrich.clone(),
            state: serde_json::from_str(&text).unwrap(),
            novelties: books.novelties.clone(),
        };
        books.take(rest.to_vec());
        again.take(rest.to_vec());
        assert_eq!(books.novelties, again.novelties);
        assert_eq!(costs_of(&books.state), costs_of(&again.state));
        assert_eq!(serde_json::to_string(&books.state).unwrap(), serde_json::to_string(&again.state).unwrap());
    }
}

#[test]
fn hostile_facts_are_booked_like_any_other() {
    let bad = |text: &mut Untrusted| *text = Untrusted::new(&"\u{202e}\n\0[*".repeat(500));
    let mut scene = Scene::new(4);
    let app = scene.start_unclaimed("x");
    scene.claim(app, "x", "x", |facts: &mut ContainerFacts| {
        [&mut facts.name, &mut facts.image, &mut facts.digest, &mut facts.command, &mut facts.log_driver]
            .into_iter()
            .for_each(bad);
    });
    scene.approve(1, Scope::Pattern { pattern: Untrusted::new(&"*".repeat(512)) });
    scene.seconds(3, &[(app, prints(f64::from(u32::MAX), u64::MAX / 8))], 0.1);
    let books = Books::of(scene);
    assert_eq!(books.provenance(app), Provenance::ImageApproved);
    assert!(log_cost(&books, app).attributed_cores.is_finite());
}
