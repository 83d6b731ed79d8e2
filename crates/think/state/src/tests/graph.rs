//! Edges: one for all containers of a workload, the right one when an address changes hands, and bounded.

use expect_test::expect;
use model::event::SocketState;
use model::traffic::{EdgeKey, Endpoint, FlowCounts};
use testkit::traffic::{inner, outer};

use super::*;
use crate::graph::{EDGES_MAX, EDGES_OF_ONE_MAX};

/// Long enough for the last of what was counted to be told.
const LATER: Duration = Duration::from_secs(5);

fn opened(count: u64) -> FlowCounts {
    FlowCounts { opened: count, closed: count, ..FlowCounts::default() }
}

fn edges(books: &Books) -> String {
    let lines = books.state.graph().edges().map(|(key, edge)| {
        format!(
            "{key}: opened {} by {}, known by {}",
            edge.counts().opened,
            edge.users().len(),
            books.known(key)
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl Books {
    fn known(&self, key: &EdgeKey) -> u32 {
        self.state.graph().known_by(&key.to)
    }
}

#[test]
fn all_containers_of_a_workload_share_an_edge() {
    let mut scene = Scene::new(2);
    let (one, other) = (scene.start_at("web-1", "web", 2), scene.start_at("web-2", "web", 3));
    scene.start_at("db", "db", 4);
    for web in [one, other] {
        scene.meets(web, SocketState::Connected, (inner(4), 5432));
        scene.pause(LATER);
        scene.carries(web, (inner(4), 5432), opened(3));
    }
    expect!["web [serve] -> db [serve]:5432/tcp: opened 6 by 2, known by 1"]
        .assert_eq(&edges(&Books::of(scene)));
}

#[test]
fn a_flow_that_goes_on_with_another_is_on_another_edge() {
    let mut scene = Scene::new(2);
    let web = scene.start_at("web", "web", 2);
    let flow = |scene: &mut Scene, counts| {
        scene.pause(LATER);
        scene.carries(web, (inner(4), 5432), counts);
        scene.carries(web, (inner(4), 5432), counts);
    };
    let db = scene.start_at("db", "db", 4);
    flow(&mut scene, opened(3));
    scene.end(db);
    scene.pause(LATER);
    scene.start_at("cache", "cache", 4);
    flow(&mut scene, opened(5));
    let again = scene.start_at("db", "db", 5);
    scene.pause(LATER);
    scene.carries(web, (inner(5), 5432), opened(1));
    scene.end(again);
    expect![[r#"
        web [serve] -> cache [serve]:5432/tcp: opened 10 by 1, known by 1
        web [serve] -> db [serve]:5432/tcp: opened 7 by 1, known by 1"#]]
    .assert_eq(&edges(&Books::of(scene)));
}

#[test]
fn the_outside_is_told_apart_by_what_it_was_looked_up_by_also_when_that_changes() {
    let mut scene = Scene::new(2);
    let web = scene.start_at("web", "web", 2);
    for (name, count) in [("api.example.com", 1), ("cdn.example.org", 2)] {
        scene.is_told(web, name, outer(7));
        scene.carries(web, (outer(7), 443), opened(count));
        scene.carries(web, (outer(7), 443), opened(count));
    }
    expect![[r#"
        web [serve] -> example.com:443/tcp: opened 2 by 1, known by 1
        web [serve] -> example.org:443/tcp: opened 4 by 1, known by 1"#]]
    .assert_eq(&edges(&Books::of(scene)));
}

fn other_workload() -> Endpoint {
    Endpoint::Workload(WorkloadKey::new("other [serve]"))
}

/// Contacts of one workload with that many ports, the first of which is used often.
fn crowd(scene: &mut Scene, name: &str, last: u8, ports: u16) {
    let source = scene.start_at(name, name, last);
    let busy = (outer(last), 1);
    scene.meets(source, SocketState::Connected, busy);
    scene.carries(source, busy, opened(20));
    for port in 2..=ports {
        scene.meets(source, SocketState::Connected, (outer(last), port));
    }
}

#[test]
fn of_a_workload_with_too_many_edges_those_used_least_and_longest_ago_make_room() {
    let mut scene = Scene::new(2);
    let other = scene.start_at("other", "other", 3);
    scene.meets(other, SocketState::Connected, (outer(3), 1));
    crowd(&mut scene, "web", 2, EDGES_OF_ONE_MAX as u16 + 1);
    let books = Books::of(scene);
    let graph = books.state.graph();
    let is_there = |port: u16| graph.edges().any(|(key, _)| key.port == port && key.from != other_workload());
    assert_eq!(graph.edges().count(), 1 + EDGES_OF_ONE_MAX * 15 / 16 + 1);
    assert_eq!(graph.forgotten(), EDGES_OF_ONE_MAX as u64 / 16);
    assert!(is_there(1) && is_there(EDGES_OF_ONE_MAX as u16 + 1), "the busy and the newest stay");
    assert!(!is_there(2) && is_there(EDGES_OF_ONE_MAX as u16), "the oldest go first");
    assert!(graph.edges().any(|(key, _)| key.from == other_workload()));
    let network = Endpoint::Outside("203.0.113.0/24".into());
    assert_eq!(graph.known_by(&network), 2, "both still know the network");
}

#[test]
fn all_edges_together_stay_bounded_and_a_checkpoint_holds_them() {
    let mut scene = Scene::new(2);
    for last in 2..=18 {
        crowd(&mut scene, &format!("web-{last}"), last, EDGES_OF_ONE_MAX as u16);
        // Longer than the ends of a flow are remembered, of which there are no more than edges.
        scene.pause(Duration::from_secs(400));
        scene.emit(Source::Engine, Body::Tick);
    }
    let books = Books::of(scene);
    let graph = books.state.graph();
    assert!(graph.edges().count() <= EDGES_MAX && graph.forgotten() > 0);
    let carried: State = serde_json::from_str(&serde_json::to_string(&books.state).unwrap()).unwrap();
    let both = graph.edges().zip(carried.graph().edges());
    assert_eq!(both.filter(|(one, other)| one.0 == other.0).count(), graph.edges().count());
}
