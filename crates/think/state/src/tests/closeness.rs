//! What is looked at closely, and what the first look tells.

use model::ids::ProcessKey;
use model::usage::{DiskSpace, EngineRole, EngineUsage, HostUsage};

use super::*;

/// A container whose output goes to no file of the engine's.
fn unfiled(scene: &mut Scene) -> Actor {
    let actor = scene.start_unclaimed("yes");
    scene.claim(actor, "atk", "busybox", |facts| {
        facts.log_driver = "none".into();
        facts.log_path = None;
    });
    actor
}

/// The events without the readings of logs, which such a container has none of.
fn without_logs(scene: &mut Scene) -> Vec<Event> {
    scene.take().into_iter().filter(|event| !matches!(event.body, Body::Log(_))).collect()
}

/// In how many of the next seconds it is looked at.
fn look_seconds(books: &mut Books, scene: &mut Scene, actor: Actor, seconds: u32) -> usize {
    let looked_at = (0..seconds).filter(|_| {
        scene.second(&[], 0.0);
        books.take(without_logs(scene));
        books.state.deepen().cgroups.contains(&actor.cgroup())
    });
    looked_at.count()
}

#[test]
fn a_new_container_is_looked_at_and_later_in_rounds_until_it_is_seen_to_hold_much() {
    let mut scene = Scene::new(2);
    let actor = scene.start("app", "app", "serve");
    let mut books = Books::default();
    let mut looks = |seconds, watches| {
        scene.look(actor, |deep| deep.inotify_watches = Some(watches));
        look_seconds(&mut books, &mut scene, actor, seconds)
    };
    assert!((29..=33).contains(&looks(60, 100)));
    let of_rounds = looks(600, 100);
    assert!((2..=6).contains(&of_rounds), "two looks in ten minutes: {of_rounds} s");
    looks(300, 100);
    assert_eq!(looks(60, 60_000), 60, "it is looked at for as long as it holds them");
}

#[test]
fn a_new_container_without_log_file_is_looked_at_from_its_claim_on() {
    let mut scene = Scene::new(2);
    let actor = unfiled(&mut scene);
    let mut books = Books::default();
    books.take(without_logs(&mut scene));
    assert!(
        books.state.deepen().cgroups.contains(&actor.cgroup()),
        "before the books of a second are closed"
    );
    let looks = look_seconds(&mut books, &mut scene, actor, 600);
    assert!((45..60).contains(&looks), "for a while, and twice in rounds of five minutes: {looks} s");
}

/// The readings of the host among the events.
fn hosts(events: &mut [Event]) -> impl Iterator<Item = &mut HostUsage> {
    events.iter_mut().filter_map(|event| match &mut event.body {
        Body::Host(host) => Some(&mut **host),
        _ => None,
    })
}

/// The host has a logger that has used so many cores until this second.
fn add_logger(host: &mut HostUsage, second: u64, cores: f64) {
    host.engines.push(EngineUsage {
        process: ProcessKey { pid: 77, start_ns: 1 },
        role: EngineRole::Logger,
        name: "journald".into(),
        container_id: None,
        cpu_ns: (second as f64 * cores * 1e9) as u64,
    });
}

/// Whether an old container with a log file is looked at after five seconds in which the host changes.
fn is_looked_at(change: impl Fn(&mut HostUsage, u64)) -> bool {
    let mut scene = Scene::new(2);
    let app = scene.start("app", "app", "serve");
    let mut books = Books::default();
    scene.seconds(60, &[], 0.0);
    books.take(scene.take());
    scene.seconds(5, &[], 0.0);
    let mut events = scene.take();
    hosts(&mut events).zip(0..).for_each(|(host, second)| change(host, second));
    books.take(events);
    books.state.deepen().cgroups.contains(&app.cgroup())
}

#[test]
fn a_container_with_a_log_file_is_looked_at_only_when_something_moves() {
    let disk = |per_second: u64| {
        move |host: &mut HostUsage, second: u64| {
            let total_bytes = 10_000_000_000;
            let free_bytes = total_bytes / 2 - second * per_second;
            let path = "/var/lib/docker".into();
            host.disks = vec![DiskSpace { path, total_bytes, free_bytes, inodes_total: 0, inodes_free: 0 }];
        }
    };
    let logger = |cores: f64| move |host: &mut HostUsage, second: u64| add_logger(host, second, cores);
    assert!(!is_looked_at(|_, _| ()));
    assert!(is_looked_at(|host, second| {
        host.objects.files = Some(Level { used: 1_000 + second * 2_000, limit: Some(1_000_000) });
    }));
    assert!(is_looked_at(disk(40_000_000)), "a disk that is full within minutes");
    assert!(!is_looked_at(disk(1_000_000)), "a disk that is full within hours");
    assert!(
        is_looked_at(logger(0.4)),
        "a log file of its own does not keep it from writing to the log of the host"
    );
    assert!(!is_looked_at(logger(0.05)));
}

#[test]
fn the_first_look_at_a_young_container_holds_all_it_wrote_and_at_an_old_one_nothing() {
    let written = |age_seconds: u32| {
        let mut scene = Scene::new(2);
        let actor = unfiled(&mut scene);
        scene.seconds(age_seconds, &[], 0.0);
        scene.look(actor, |deep| deep.written_chars_bytes = Some(50_000_000));
        scene.second(&[], 0.0);
        let mut books = Books::default();
        books.take(without_logs(&mut scene));
        let account = books.state.account(actor.cgroup()).unwrap();
        account.latest().unwrap().of(Quantity::StreamedBytes)
    };
    assert_eq!(written(1), 50_000_000.0);
    assert_eq!(written(20), 0.0);
}

#[test]
fn who_is_looked_at_in_rounds_does_not_stand_for_all_who_write() {
    let written = |logger_cores: f64| {
        let mut scene = Scene::new(2);
        let app = scene.start("app", "app", "serve");
        let mut books = Books::default();
        for second in 1..=10u64 {
            scene.look(app, |deep| deep.written_chars_bytes = Some(second * 1_000_000));
            scene.second(&[], 0.0);
            let mut events = scene.take();
            hosts(&mut events).for_each(|host| add_logger(host, second, logger_cores));
            books.take(events);
        }
        books.state.account(app.cgroup()).unwrap().latest().unwrap().of(Quantity::UnshippedBytes)
    };
    assert_eq!(written(0.0), 0.0);
    assert_eq!(written(0.8), 1_000_000.0);
}

#[test]
fn cpu_that_no_line_accounts_for_asks_for_the_hosts_processes() {
    let asks = |other_cores: f64| {
        let mut scene = Scene::new(2);
        scene.host_spends(other_cores);
        scene.seconds(5, &[], 0.0);
        Books::of(scene).state.deepen().host
    };
    assert!(asks(0.9));
    assert!(!asks(0.1));
}

#[test]
fn no_more_than_thirty_two_containers_are_looked_at_and_the_unapproved_first() {
    let mut scene = Scene::new(2);
    scene.approve(1, Scope::Digest { digest: digest("web"), image: "web".into() });
    let trusted: Vec<Actor> = (0..40).map(|n| scene.start(&format!("web-{n}"), "web", "serve")).collect();
    let stranger = scene.start("stranger", "busybox", "open");
    for second in 0..5 {
        scene.change_host(|host| {
            host.objects.files = Some(Level { used: second * 5_000, limit: Some(1_000_000) });
        });
        scene.second(&[], 0.0);
    }
    let books = Books::of(scene);
    let deep = &books.state.deepen().cgroups;
    assert_eq!(deep.len(), DEEP_MAX);
    assert!(deep.contains(&stranger.cgroup()));
    assert!(trusted.iter().any(|actor| deep.contains(&actor.cgroup())));
}
