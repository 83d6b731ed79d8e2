//! Histories of workloads: replicas count once, a new version starts from the old one, an attack is kept out.

use super::*;

fn cpu(own_cores: f64) -> Spends {
    prints(own_cores, 0)
}

/// Mean CPU that the history of the only workload of a scene tells, in cores.
fn mean(books: &Books, actor: Actor) -> f64 {
    let workload = books.state.account(actor.cgroup()).unwrap().workload().clone();
    let usual = books.state.series(&workload, Measure::Cpu).unwrap().usual().unwrap();
    (usual.mean * 100.0).round() / 100.0
}

#[test]
fn a_scale_out_changes_nothing_and_the_busiest_replica_counts() {
    let mut scene = Scene::new(4);
    let first = scene.start("web-1", "web", "serve");
    scene.seconds(620, &[(first, cpu(0.3))], 0.0);
    let more: Vec<(Actor, Spends)> =
        (2..6).map(|n| (scene.start(&format!("web-{n}"), "web", "serve"), cpu(0.2))).collect();
    let all: Vec<(Actor, Spends)> = std::iter::once((first, cpu(0.3))).chain(more).collect();
    scene.seconds(620, &all, 0.0);
    assert_eq!(mean(&Books::of(scene), first), 0.3);
}

#[test]
fn a_new_image_of_a_workload_starts_from_what_was_normal_for_the_old_one() {
    let mut scene = Scene::new(4);
    let old = scene.start("web", "web", "serve");
    scene.seconds(620, &[(old, cpu(0.4))], 0.0);
    scene.end(old);
    let new = scene.start_unclaimed("serve");
    scene.claim(new, "web", "web", |facts| {
        facts.command = "serve".into();
        facts.digest = digest("another");
    });
    scene.seconds(3, &[(new, cpu(0.4))], 0.0);
    assert_eq!(mean(&Books::of(scene), new), 0.4);
}

#[test]
fn training_one_workload_moves_no_other() {
    let mut scene = Scene::new(4);
    let trainer = scene.start("trainer", "busybox", "train");
    let other = scene.start("web", "web", "serve");
    let mut books = Books::default();
    for day in 0..4 {
        for step in 0..144 {
            let noise = f64::from(step * 13 % 7) * 0.01;
            scene.pause(Duration::from_secs(9));
            let rate = |cores: f64| cpu(cores * 10.0);
            scene.second(&[(trainer, rate(0.1 + f64::from(day) * 0.05)), (other, rate(0.2 + noise))], 0.0);
        }
        books.take(scene.take());
    }
    let alone = {
        let mut scene = Scene::new(4);
        let _trainer = scene.start("trainer", "busybox", "train");
        let other = scene.start("web", "web", "serve");
        for _day in 0..4 {
            for step in 0..144 {
                let noise = f64::from(step * 13 % 7) * 0.01;
                scene.pause(Duration::from_secs(9));
                scene.second(&[(other, cpu((0.2 + noise) * 10.0))], 0.0);
            }
        }
        let books = Books::of(scene);
        serde_json::to_string(books.state.series(&WorkloadKey::new("web [serve]"), Measure::Cpu).unwrap())
            .unwrap()
    };
    let trained = books.state.series(&WorkloadKey::new("web [serve]"), Measure::Cpu).unwrap();
    assert_eq!(
        serde_json::to_string(trained).unwrap(),
        alone,
        "another workload's series knows nothing of it"
    );
}
