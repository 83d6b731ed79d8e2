//! The scenes: a host with eight ordinary containers, what an attacker does on it, and an hour without one.

use std::time::Duration;

use model::approval::Scope;
use model::coverage::{Health, Source};
use model::event::Body;
use model::ids::WorkloadKey;
use testkit::scene::{Actor, Scene, Spends, digest};

/// An ordinary container.
struct Ordinary {
    name: &'static str,
    image: &'static str,
    command: &'static str,
    /// Bytes it prints a second, at most three times in two.
    prints_bytes: u64,
}

const fn ordinary(
    name: &'static str,
    image: &'static str,
    command: &'static str,
    prints_bytes: u64,
) -> Ordinary {
    Ordinary { name, image, command, prints_bytes }
}

const ORDINARY: [Ordinary; 8] = [
    ordinary("web-1", "shop/web", "nginx", 4_000),
    ordinary("web-2", "shop/web", "nginx", 6_000),
    ordinary("api-1", "shop/api:1.4", "serve --port 80", 12_000),
    ordinary("api-2", "shop/api:1.4", "serve --port 80", 9_000),
    ordinary("queue", "shop/queue", "worker", 700),
    ordinary("cache", "cache:7", "cache-server", 0),
    ordinary("database", "database:16", "postgres", 300),
    ordinary("metrics", "metrics", "scrape", 50),
];

/// An image's approval, and the workload's that runs it.
pub(crate) fn approve(scene: &mut Scene, first_id: u64, image: &str, workload: &str) {
    scene.approve(first_id, Scope::Digest { digest: digest(image), image: image.into() });
    let workload = WorkloadKey::new(workload);
    scene.approve(first_id + 1, Scope::Workload { workload, digest: digest(image) });
}

/// A host of four cores on which so many of the ordinary containers have been approved and started.
pub(crate) fn ordinary_host(containers: usize) -> (Scene, Vec<Actor>) {
    let mut scene = Scene::new(4);
    for (id, Ordinary { image, command, .. }) in (1..).step_by(2).zip(&ORDINARY[..containers]) {
        let repository = image.split(':').next().unwrap_or(image);
        approve(&mut scene, id, image, &format!("{repository} [{command}]"));
    }
    let start = |one: &Ordinary| scene.start(one.name, one.image, one.command);
    let actors = ORDINARY[..containers].iter().map(start).collect();
    (scene, actors)
}

/// What the ordinary containers spend in a second: a little, never quite the same.
pub(crate) fn ordinary_second(actors: &[Actor], second: u64) -> Vec<(Actor, Spends)> {
    let spends = |(number, actor): (usize, &Actor)| {
        let wave = (second * 7 + number as u64 * 13) % 10;
        let own_cores = 0.02 + wave as f64 * 0.01;
        let log_bytes = ORDINARY[number].prints_bytes * (5 + wave) / 10;
        (*actor, Spends { own_cores, log_bytes, shim_cores: 0.0 })
    };
    actors.iter().enumerate().map(spends).collect()
}

/// `docker run --rm busybox yes` among ordinary containers, for so many seconds, ten seconds after they started:
/// the figures are those measured in the design.
pub(crate) fn sample_attack(containers: usize, seconds: u64) -> Scene {
    let (mut scene, ordinary) = ordinary_host(containers);
    for second in 0..10 {
        scene.second(&ordinary_second(&ordinary, second), 0.02);
    }
    let attack = scene.start("eager_tesla", "busybox", "yes");
    let prints = Spends { own_cores: 0.008, log_bytes: 36_000_000, shim_cores: 0.0 };
    for second in 10..10 + seconds {
        let mut spends = ordinary_second(&ordinary, second);
        spends.push((attack, prints));
        scene.second(&spends, 0.93);
    }
    scene.end(attack);
    scene.emit(Source::Docker, Body::gone(attack.id()));
    for second in 0..5 {
        scene.second(&ordinary_second(&ordinary, second), 0.02);
    }
    scene
}

/// When something out of the ordinary happens in the quiet hour, in seconds.
const ENGINE_LOST: u64 = 600;
const ENGINE_BACK: u64 = 620;
const NEW_VERSION: u64 = 1_200;
const BATCH: u64 = 1_800;
const BATCH_END: u64 = 2_100;
const BURST: u64 = 2_400;
const IMPORT: u64 = 3_000;
const IMPORT_END: u64 = 3_015;

/// Whether a second of the quiet hour is close to something that happens in it.
pub(crate) fn is_eventful(second: u64) -> bool {
    let happens = [ENGINE_LOST, ENGINE_BACK, NEW_VERSION, BATCH, BATCH_END, BURST, IMPORT, IMPORT_END];
    happens.iter().any(|at| (at.saturating_sub(3)..at + 15).contains(&second))
}

/// An hour of ordinary work, of which some seconds are read: an engine that is lost and comes back, a new version of
/// a service, a batch job that takes a whole core for five minutes, a burst of log, an image that is imported.
pub(crate) fn quiet_hour(containers: usize, is_read: impl Fn(u64) -> bool) -> Scene {
    let (mut scene, mut ordinary) = ordinary_host(containers);
    approve(&mut scene, 101, "batch", "batch [sum /data]");
    let mut batch = None;
    for second in 0..3_600 {
        quiet_second(&mut scene, &mut ordinary, &mut batch, second);
        if !is_read(second) {
            scene.pause(Duration::from_secs(1));
            continue;
        }
        let mut spends = ordinary_second(&ordinary, second);
        if second == BURST {
            spends[0].1.log_bytes = 1 << 20;
        }
        spends.extend(batch.map(|batch| (batch, Spends { own_cores: 1.0, log_bytes: 100, shim_cores: 0.0 })));
        let imports = (IMPORT..IMPORT_END).contains(&second);
        scene.second(&spends, if imports { 1.0 } else { 0.02 });
    }
    scene
}

fn quiet_second(scene: &mut Scene, ordinary: &mut [Actor], batch: &mut Option<Actor>, second: u64) {
    match second {
        ENGINE_LOST => scene.report(Source::Docker, Health::Down, "connection refused"),
        ENGINE_BACK => {
            scene.report(Source::Docker, Health::Up, "");
            let ids = ordinary.iter().map(|actor| actor.id()).collect();
            scene.emit(Source::Docker, Body::listed(ids));
        }
        NEW_VERSION => {
            scene.end(ordinary[0]);
            ordinary[0] = scene.start("web-1", "shop/web", "nginx");
        }
        BATCH => *batch = Some(scene.start("nightly", "batch", "sum /data")),
        BATCH_END => batch.take().into_iter().for_each(|batch| scene.end(batch)),
        _ => {}
    }
}
