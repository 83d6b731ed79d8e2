//! What is usual, what is allowed and what can be seen: each beside the case that must not count.

mod booking;

mod closeness;

mod coverage;

mod graph;

mod histories;

mod provenance;

use std::time::Duration;

use enrich::Enrich;
use model::approval::Scope;
use model::coverage::{Health, Loss, Source};
use model::event::{Body, Event};
use model::finding::{Family, Finding};
use model::ids::{CgroupId, WorkloadKey};
use model::novelty::Provenance;
use model::untrusted::Untrusted;
use model::usage::Level;
use testkit::scene::{Actor, START, Scene, Spends, digest};

use super::*;

const MB: u64 = 1_000_000;

/// The two stages before any judge, as the fold runs them.
#[derive(Default)]
struct Books {
    enrich: Enrich,
    state: State,
    novelties: Vec<Novelty>,
}

impl Books {
    fn of(mut scene: Scene) -> Self {
        let mut books = Self::default();
        books.take(scene.take());
        books
    }

    fn take(&mut self, events: Vec<Event>) {
        for event in events {
            let seen = self.enrich.identify(event);
            self.novelties.push(self.state.compare(&seen));
            self.state.learn(&seen, &[]);
        }
    }

    fn container(&self, actor: Actor) -> &Container {
        let mut containers = self.enrich.containers();
        containers.find(|container| container.key.cgroup == actor.cgroup()).unwrap()
    }

    fn provenance(&self, actor: Actor) -> Provenance {
        self.state.provenance(self.container(actor))
    }
}

fn prints(own_cores: f64, log_bytes: u64) -> Spends {
    Spends { own_cores, log_bytes, shim_cores: 0.0 }
}

/// What is usual for the only workload of a scene, in cores.
fn usual(books: &Books, actor: Actor) -> Option<f64> {
    let account = books.state.account(actor.cgroup())?;
    books.state.usual_cores(account).map(|cores| (cores * 1e6).round() / 1e6)
}

#[test]
fn a_minute_of_history_makes_a_mean_usual_and_a_restart_keeps_it() {
    let mut scene = Scene::new(4);
    let web = scene.start("web", "app", "serve");
    let mut books = Books::default();
    scene.seconds(68, &[(web, prints(0.3, 0))], 0.0);
    books.take(scene.take());
    assert_eq!(usual(&books, web), None);
    scene.seconds(2, &[(web, prints(0.3, 0))], 0.0);
    books.take(scene.take());
    assert!((usual(&books, web).unwrap() - 0.3).abs() < 1e-9);
    scene.end(web);
    let again = scene.start("web", "app", "serve");
    scene.seconds(2, &[(again, prints(0.9, 0))], 0.0);
    books.novelties.clear();
    books.take(scene.take());
    let rates: Vec<Rate> = books.novelties.iter().filter_map(|novelty| novelty.cpu_cores).collect();
    let last = rates.last().unwrap();
    assert!((last.now - 0.9).abs() < 1e-6 && (last.usual.unwrap() - 0.3).abs() < 0.02, "{last:?}");
    assert!(last.history >= Duration::from_secs(60));
}

#[test]
fn nothing_that_was_flagged_becomes_usual() {
    let learned = |bits: f64| {
        let mut scene = Scene::new(4);
        let web = scene.start("web", "app", "serve");
        let mut books = Books::default();
        books.take(scene.take());
        scene.seconds(120, &[(web, prints(2.0, 0))], 0.0);
        for event in scene.take() {
            let at = event.time;
            let seen = books.enrich.identify(event);
            books.state.compare(&seen);
            let finding = Finding::about(books.container(web), "excess", Family::Resource, at, bits);
            books.state.learn(&seen, &[finding]);
        }
        usual(&books, web)
    };
    assert_eq!(learned(8.0), None);
    assert!(learned(2.0).is_some_and(|cores| cores > 1.9), "what is merely busy is learned");
}

#[test]
fn after_five_minutes_without_a_finding_it_is_learned_again() {
    let mut scene = Scene::new(4);
    let web = scene.start("web", "app", "serve");
    scene.second(&[], 0.0);
    let mut books = Books::default();
    books.take(scene.take());
    let flag = Finding::about(books.container(web), "excess", Family::Resource, scene.now(), 8.0);
    scene.emit(Source::Engine, Body::Tick);
    let seen = books.enrich.identify(scene.take().remove(0));
    books.state.learn(&seen, &[flag]);
    scene.seconds(299, &[(web, prints(0.5, 0))], 0.0);
    books.take(scene.take());
    assert_eq!(usual(&books, web), None);
    scene.seconds(62, &[(web, prints(0.5, 0))], 0.0);
    books.take(scene.take());
    assert!(usual(&books, web).is_some());
}

#[test]
fn a_restart_does_not_clear_the_flag_of_a_workload() {
    let mut scene = Scene::new(4);
    let web = scene.start("web", "app", "serve");
    scene.second(&[], 0.0);
    let mut books = Books::default();
    books.take(scene.take());
    let flag = Finding::about(books.container(web), "excess", Family::Resource, scene.now(), 8.0);
    scene.emit(Source::Engine, Body::Tick);
    let seen = books.enrich.identify(scene.take().remove(0));
    books.state.learn(&seen, &[flag]);
    scene.end(web);
    let again = scene.start("web-2", "app", "serve");
    scene.seconds(120, &[(again, prints(0.5, 0))], 0.0);
    books.take(scene.take());
    assert_eq!(usual(&books, again), None);
}

#[test]
fn four_thousand_and_ninety_six_workloads_are_remembered_and_the_stalest_makes_room() {
    let mut baselines = Baselines::default();
    let mut spent = Spent { seconds: 61.0, ..Spent::default() };
    spent.quantities.add(Quantity::OwnCpu, 6.1);
    let workload = |number: i64| WorkloadKey::new(&format!("workload {number}"));
    for number in 0..4_096 {
        baselines.learn(&workload(number), &spent, Time::from_secs(number));
    }
    baselines.learn(&workload(0), &spent, Time::from_secs(5_000));
    baselines.learn(&workload(9_999), &spent, Time::from_secs(5_001));
    assert!(baselines.usual(&workload(0)).is_some(), "seen again just before");
    assert!(baselines.usual(&workload(1)).is_none(), "not seen for longest");
    assert!(baselines.usual(&workload(2)).is_some());
    assert!(baselines.usual(&workload(9_999)).is_some());
}

#[test]
fn a_history_that_a_foreign_recording_claims_breaks_nothing() {
    let workload = WorkloadKey::new("workload");
    let zeros = serde_json::to_string(&Quantities::default()).unwrap();
    for seconds in ["1e300", "-1.0"] {
        let text = format!(
            r#"{{"workloads":{{"workload":{{"means":{zeros},"peaks":{zeros},"programs":[],"seconds":{seconds},"last":0,
                "flagged_until":0}}}}}}"#
        );
        let baselines: Baselines = serde_json::from_str(&text).unwrap();
        assert_eq!(baselines.usual(&workload), None, "{seconds}");
    }
}
