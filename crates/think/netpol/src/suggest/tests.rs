//! What a graph is written as, and that what is read back from it allows what was seen and nothing else.

use std::sync::Arc;

use expect_test::{expect, expect_file};
use model::expectation::{Expectation, When};
use model::fact::Fact;
use model::graph::{ListenerView, Mode};
use model::identity::{Container, Kind};
use model::ids::{CgroupId, ContainerKey, Namespaces, NodeId};
use model::runtime::{ContainerFacts, RunState};
use model::time::Time;
use model::untrusted::Untrusted;
use proptest::prelude::{Strategy, any, prop, proptest};
use proptest::sample::select;
use state::policy::{Policy, Side, Verdict};

use super::*;
use crate::import::import;

const AT: Time = Time::from_secs(1_800_000_000);

fn end(name: &str) -> Endpoint {
    match name.split_once(':') {
        Some(("in", name)) => Endpoint::Inside(name.into()),
        Some(("out", name)) => Endpoint::Outside(name.into()),
        _ if name == "host" => Endpoint::Host,
        _ if name == "anybody" => Endpoint::Anybody,
        _ => Endpoint::Workload(WorkloadKey::new(name)),
    }
}

fn edge(from: &str, to: &str, port: u16, protocol: Protocol, standing: Standing) -> EdgeView {
    EdgeView {
        key: EdgeKey { from: end(from), to: end(to), port, protocol },
        standing,
        first: AT,
        last: AT,
        opened: 1,
        failed: 0,
        sent_bytes: 0,
        received_bytes: 0,
        containers: 1,
        period_seconds: None,
        judges: Vec::new(),
    }
}

fn view(edges: Vec<EdgeView>) -> GraphView {
    let (node, listeners) = (NodeId::new("shop-1"), Vec::new());
    GraphView { node, at: AT, mode: Mode::Open, edges, listeners, forgotten: 0, names: BTreeMap::new() }
}

/// A container with these labels.
fn container(labels: &BTreeMap<String, String>) -> Container {
    let facts = ContainerFacts {
        id: "c".into(),
        name: "c".into(),
        image: "app".into(),
        digest: "sha256:00".into(),
        command: "".into(),
        labels: labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect(),
        labels_dropped: 0,
        pid: None,
        state: RunState::Running,
        created: None,
        started: None,
        log_driver: "none".into(),
        log_path: None,
        network_mode: "".into(),
        addresses: Vec::new(),
        published: Vec::new(),
        ..ContainerFacts::default()
    };
    Container {
        key: ContainerKey { node: NodeId::new("n"), cgroup: CgroupId(0), started: AT },
        kind: Kind::Managed,
        cgroup_path: "/c".into(),
        namespaces: Namespaces::default(),
        init: None,
        program: "".into(),
        facts: Fact::Known(Arc::new(facts)),
        root: None,
        has_own_files: None,
        ended: None,
        setup: Fact::Failed { reason: Untrusted::default() },
        tally: Arc::default(),
        others: Vec::new(),
    }
}

fn labelled(pairs: &[(&str, &str)]) -> Container {
    container(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
}

/// Two workloads that their labels tell: one of Kubernetes, one of Compose.
fn known() -> BTreeMap<WorkloadKey, Pods> {
    let web = labelled(&[
        ("io.kubernetes.pod.namespace", "shop"),
        ("app", "web"),
        ("io.kubernetes.pod.name", "web-1"),
    ]);
    let db = labelled(&[("io.kubernetes.pod.namespace", "data"), ("app.kubernetes.io/name", "postgres")]);
    let till = labelled(&[("com.docker.compose.project", "shop"), ("com.docker.compose.service", "till")]);
    [("web", web), ("db", db), ("till", till)]
        .map(|(name, container)| (WorkloadKey::new(name), Pods::of(&container).unwrap()))
        .into()
}

/// All workloads as a host of Kubernetes has them, in two namespaces; or those of a Docker host, where some have no label.
fn known_on(is_kubernetes: bool) -> BTreeMap<WorkloadKey, Pods> {
    let kubernetes = |(number, name): (usize, &&str)| {
        let namespace = if number % 2 == 0 { "shop" } else { "data" };
        let app = format!("app-{number}");
        let container = labelled(&[("io.kubernetes.pod.namespace", namespace), ("app", &app)]);
        (WorkloadKey::new(name), Pods::of(&container).unwrap())
    };
    let compose = |name: &&str| {
        let container =
            labelled(&[("com.docker.compose.project", "shop"), ("com.docker.compose.service", name)]);
        (WorkloadKey::new(name), Pods::of(&container).unwrap())
    };
    match is_kubernetes {
        true => WORKLOADS.iter().enumerate().map(kubernetes).collect(),
        false => WORKLOADS[..3].iter().map(compose).collect(),
    }
}

#[test]
fn a_graph_is_written_as_one_policy_for_each_workload() {
    let (tcp, learned) = (Protocol::TCP, Standing::Learned);
    let graph = view(vec![
        edge("web", "db", 5432, tcp, learned),
        edge("web", "db", 5433, tcp, Standing::New),
        edge("web", "in:10.96.0.0/24", 53, Protocol::UDP, learned),
        edge("web", "out:example.com", 443, tcp, Standing::Expected),
        edge("web", "out:203.0.113.0/24", 443, tcp, Standing::Unexpected),
        edge("anybody", "web", 80, tcp, Standing::Approved),
        edge("host", "web", 80, tcp, learned),
        edge("busybox [a]", "busybox [b]", 0, Protocol::ICMP, learned),
    ]);
    expect_file!["../../test-data/suggested.yaml"].assert_eq(&suggest(&graph, &known(), false));
    let all = suggest(&graph, &known(), true);
    assert!(all.contains("5433") && all.contains("203.0.113.0/24"), "{all}");
}

#[test]
fn nothing_is_written_as_a_comment() {
    expect![[r#"
        # What talks to what on shop-1, as seen until 2027-01-15T08:00:00.000Z.
        # Nothing does.
    "#]]
    .assert_eq(&suggest(&view(Vec::new()), &known(), true));
}

#[test]
fn hostile_names_stay_in_comments_and_hostile_labels_select_nothing() {
    let nasty = "x\n---\nkind: Secret\u{1b}[2J\u{2028}#\"";
    let graph = view(vec![edge(nasty, &format!("out:{nasty}"), 443, Protocol::TCP, Standing::Learned)]);
    let text = suggest(&graph, &BTreeMap::new(), false);
    assert!(text.lines().all(|line| !line.starts_with("kind: Secret")), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{2028}']), "{text}");
    assert_eq!(text.lines().filter(|line| *line == "---").count(), 1);
    assert!(import(&text, "t").is_ok());
    assert_eq!(Pods::of(&labelled(&[("app", nasty)])), None);
    assert_eq!(
        Pods::of(&labelled(&[("io.kubernetes.pod.namespace", "shop")])),
        None,
        "no label tells it apart"
    );
    let by_container = Pods::of(&labelled(&[("io.kubernetes.container.name", "web")])).unwrap();
    assert_eq!(by_container, Pods::called("web"));
}

#[test]
fn a_workload_that_only_listens_has_a_policy_too() {
    let mut graph = view(Vec::new());
    let (workload, protocol, standing) = (end("idle"), Protocol::TCP, Standing::New);
    graph.listeners.push(ListenerView { workload, port: 80, protocol, standing, first: AT });
    let said = import(&suggest(&graph, &known(), false), "t").unwrap();
    assert_eq!(said.len(), 2, "isolated in both directions: {said:?}");
}

const WORKLOADS: [&str; 6] = ["web", "db", "till", "busybox [a]", "busybox [b]", "swarm:a b"];
const OTHERS: [&str; 6] =
    ["host", "anybody", "in:10.1.2.0/24", "in:fd00::/64", "out:203.0.113.0/24", "out:example.com"];
const SERVICES: [(u16, Protocol); 4] =
    [(80, Protocol::TCP), (81, Protocol::TCP), (80, Protocol::UDP), (80, Protocol::SCTP)];

fn edges() -> impl Strategy<Value = Vec<EdgeView>> {
    let ends: Vec<&str> = WORKLOADS.iter().chain(&OTHERS).copied().collect();
    let pair = (select(WORKLOADS.to_vec()), select(ends), any::<bool>());
    let drawn = (pair, select(SERVICES.to_vec()), any::<bool>());
    let edge = drawn.prop_map(|((own, other, opens), (port, protocol), is_new)| {
        let (from, to) = if opens { (own, other) } else { (other, own) };
        edge(from, to, port, protocol, if is_new { Standing::New } else { Standing::Learned })
    });
    prop::collection::vec(edge, 1..12)
}

/// What the graph has an edge for, as far as policies can tell outsiders apart: one that is known by name, or that is anybody, is
/// everybody outside.
fn is_seen(edges: &[EdgeView], asked: &EdgeKey) -> bool {
    let means = |seen: &Endpoint, asked: &Endpoint| {
        let is_all = *seen == end("anybody") || *seen == end("out:example.com");
        seen == asked || (is_all && asked.is_outside())
    };
    edges.iter().filter(|edge| edge.standing == Standing::Learned).any(|edge| {
        let key = &edge.key;
        means(&key.from, &asked.from)
            && means(&key.to, &asked.to)
            && (key.port, key.protocol) == (asked.port, asked.protocol)
    })
}

fn policy(said: Vec<(model::expectation::Expected, String)>) -> Policy {
    let mut policy = Policy::default();
    for (subject, reason) in said {
        let why = (Untrusted::new(&reason), "ann".into());
        policy.add(&Expectation::new(subject, When::Always, why, AT));
    }
    policy
}

proptest! {
    #[test]
    fn what_is_read_back_allows_what_was_seen_and_nothing_else(edges in edges(), is_kubernetes in any::<bool>()) {
        let graph = view(edges.clone());
        let known = known_on(is_kubernetes);
        let named = named(&graph, &known);
        let containers: BTreeMap<Endpoint, Arc<Container>> = named
            .iter()
            .map(|(workload, pods)| {
                let mut labels = pods.labels.clone();
                labels.extend(pods.namespace.iter().map(|name| (crate::pods::NAMESPACE_LABEL.to_owned(), name.clone())));
                (Endpoint::Workload((*workload).clone()), Arc::new(container(&labels)))
            })
            .collect();
        // Each is another container of its workload: one that talks to itself is never kept from it.
        let another = |container: &Container| {
            let key = ContainerKey { cgroup: CgroupId(1), ..container.key.clone() };
            Container { key, ..container.clone() }
        };
        let policy = policy(import(&suggest(&graph, &known, false), "t").unwrap());
        let ends: Vec<Endpoint> = containers.keys().cloned().chain(OTHERS.map(end)).collect();
        for from in &ends {
            for to in ends.iter().filter(|to| containers.contains_key(*to) || containers.contains_key(from)) {
                let second = containers.get(to).map(|container| another(container));
                let from_side = Side { container: containers.get(from).map(Arc::as_ref), ..Side::named(from) };
                let to_side = Side { container: second.as_ref(), ..Side::named(to) };
                for (port, protocol) in SERVICES {
                    let asked = EdgeKey { from: from.clone(), to: to.clone(), port, protocol };
                    let verdict = policy.verdict(&from_side, &to_side, (port, protocol), AT);
                    let is_right = match (&verdict, is_seen(&edges, &asked)) {
                        // Nobody can keep a node and its pods apart, so no policy speaks of them.
                        (Verdict::Unsaid, _) => *from == Endpoint::Host || *to == Endpoint::Host,
                        (Verdict::Expected(_), is_seen) => is_seen,
                        (Verdict::Isolated(_), is_seen) => !is_seen,
                    };
                    assert!(is_right, "{asked}: {verdict:?}");
                }
            }
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "(?s).{0,200}", keys in prop::collection::vec("[a-zA-Z]{1,12}: [^\n]{0,20}\n", 0..8)) {
        drop(import(&text, "t"));
        let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n";
        drop(import(&(head.to_owned() + &keys.concat()), "t"));
    }
}
