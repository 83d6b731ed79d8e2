//! Whom patterns mean, how declarations add up, and that it all is bounded and reads back.

use std::sync::Arc;
use std::time::Duration;

use model::expectation::{EndpointPattern, LabelPattern, When};
use model::fact::Fact;
use model::identity::Kind;
use model::ids::{CgroupId, ContainerKey, Namespaces, NodeId};
use model::runtime::RunState;
use model::untrusted::Untrusted;

use super::*;

const NOW: Time = Time::from_secs(1_800_000_000);

/// A container with labels, given as `key=value` texts.
fn container(cgroup: u64, labels: &[&str]) -> Container {
    let pair = |text: &&str| text.split_once('=').map(|(key, value)| (key.into(), value.into()));
    let facts = ContainerFacts {
        id: "c".into(),
        name: "c".into(),
        image: "app".into(),
        digest: "sha256:00".into(),
        command: "".into(),
        labels: labels.iter().filter_map(pair).collect(),
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
    let key = ContainerKey { node: NodeId::new("node"), cgroup: CgroupId(cgroup), started: NOW };
    Container {
        key,
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

fn workload(name: &str) -> Endpoint {
    Endpoint::Workload(WorkloadKey::new(name))
}

fn named(name: &str) -> EndpointPattern {
    EndpointPattern::Workload { pattern: name.into() }
}

fn network(prefix: &str, except: &[&str]) -> EndpointPattern {
    let except = except.iter().map(|text| (*text).into()).collect();
    EndpointPattern::Network { prefix: prefix.into(), except }
}

fn domain(pattern: &str) -> EndpointPattern {
    EndpointPattern::Domain { pattern: pattern.into() }
}

fn label(text: &str) -> LabelPattern {
    let (key, values) = text.split_once('=').unwrap_or((text, ""));
    let is_not = key.ends_with('!');
    let values = values.split('|').filter(|value| !value.is_empty()).map(Untrusted::new).collect();
    LabelPattern { key: key.trim_end_matches('!').into(), values, is_not }
}

fn labels(namespace: Option<&str>, texts: &[&str]) -> EndpointPattern {
    let labels = texts.iter().map(|text| label(text)).collect();
    EndpointPattern::Labels { namespace: namespace.map(Untrusted::new), labels }
}

fn edge(from: EndpointPattern, to: EndpointPattern) -> EdgePattern {
    EdgePattern { from, to, ports: None, protocol: None, side: None }
}

fn declared(edge: EdgePattern) -> Expectation {
    Expectation::new(Expected::Edge(Box::new(edge)), When::Always, ("fine".into(), "ann".into()), NOW)
}

fn alone(who: EndpointPattern, direction: Direction) -> Expectation {
    let subject = Expected::NothingElse { who, direction };
    Expectation::new(subject, When::Always, ("policy".into(), "ann".into()), NOW)
}

fn policy(given: &[Expectation]) -> Policy {
    let mut policy = Policy::default();
    given.iter().for_each(|expectation| policy.add(expectation));
    policy
}

/// What is said of web going to db, port 5432.
fn asked(policy: &Policy) -> &'static str {
    asked_of(policy, &workload("web [run]"), &workload("db [run]"))
}

fn asked_of(policy: &Policy, from: &Endpoint, to: &Endpoint) -> &'static str {
    word(&policy.verdict(&Side::named(from), &Side::named(to), (5432, Protocol::TCP), NOW))
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Expected(_) => "expected",
        Verdict::Isolated(_) => "isolated",
        Verdict::Unsaid => "unsaid",
    }
}

/// Whether the pattern means this side.
fn means(pattern: &EndpointPattern, side: Side<'_>) -> bool {
    Pattern::new(pattern).covers(&side)
}

#[test]
fn a_workload_is_meant_by_its_whole_name_its_short_name_and_a_glob() {
    let endpoint = workload("compose:shop/web registry/nginx");
    let with_brackets = workload("busybox [yes]");
    let side = Side::named(&endpoint);
    for pattern in
        ["compose:shop/web registry/nginx", "compose:shop/web", "compose:shop/*", "compose:*", "*nginx"]
    {
        assert!(means(&named(pattern), side), "{pattern}");
    }
    for pattern in ["compose:{shop,bank}/*", "compose:shop/[vw]eb*", "?ompose:*", "*"] {
        assert!(means(&named(pattern), side), "{pattern}");
    }
    for pattern in ["web", "compose:shop", "compose:shop/w", "compose:*/till*", "", "["] {
        assert!(!means(&named(pattern), side), "{pattern}");
    }
    assert!(means(&named("busybox [yes]"), Side::named(&with_brackets)), "brackets mean themselves");
    assert!(
        !means(&named("host"), Side::named(&Endpoint::Host))
            && means(&EndpointPattern::Host, Side::named(&Endpoint::Host))
    );
}

#[test]
fn labels_are_those_of_the_container_and_a_container_without_facts_has_none() {
    let web = container(1, &["io.kubernetes.pod.namespace=shop", "app=web", "tier=front"]);
    let endpoint = workload("web");
    let side = Side { container: Some(&web), ..Side::named(&endpoint) };
    for (namespace, texts, is_meant) in [
        (Some("shop"), &[][..], true),
        (Some("bank"), &[], false),
        (None, &["app=web"], true),
        (Some("shop"), &["app=web", "tier=front|back"], true),
        (Some("shop"), &["app=web", "tier=back"], false),
        (None, &["app"], true),
        (None, &["other"], false),
        (None, &["app!=web|till"], false),
        (None, &["app!=till"], true),
        (None, &["other!=x"], true),
        (None, &["other!"], true),
        (None, &["app!"], false),
    ] {
        assert_eq!(means(&labels(namespace, texts), side), is_meant, "{namespace:?} {texts:?}");
    }
    let unknown = Container { facts: Fact::Pending { since: NOW }, ..web.clone() };
    assert!(!means(&labels(None, &["other!"]), Side { container: Some(&unknown), ..side }));
    assert!(!means(&labels(None, &["other!"]), Side::named(&endpoint)));
}

#[test]
fn a_network_is_meant_by_address_or_by_what_it_is_called() {
    let (inside, outside) =
        (Endpoint::Inside("10.1.2.0/24".into()), Endpoint::Outside("203.0.113.0/24".into()));
    let at = |address: &str| Side { address: Some(address.parse().unwrap()), ..Side::named(&inside) };
    let ten = network("10.0.0.0/8", &["10.9.0.0/16"]);
    assert!(means(&ten, at("10.1.2.3")) && means(&ten, at("::ffff:10.1.2.3")));
    assert!(!means(&ten, at("10.9.1.1")) && !means(&ten, at("11.0.0.1")) && !means(&ten, at("fd00::1")));
    assert!(means(&network("2001:db8::/32", &[]), at("2001:db8::7")));
    assert!(means(&network("10.1.2.3", &[]), at("10.1.2.3")), "an address is the network of itself");
    assert!(means(&ten, Side::named(&inside)) && !means(&ten, Side::named(&outside)));
    assert!(
        !means(&network("10.0.0.0/8", &["10.1.2.128/25"]), Side::named(&inside)),
        "a part of it is left out"
    );
    for unreadable in [network("10.0.0.0/33", &[]), network("ten", &[]), network("10.0.0.0/8", &["x"])] {
        assert!(!means(&unreadable, at("10.1.2.3")), "{unreadable}");
    }
}

#[test]
fn anybody_outside_is_meant_by_all_addresses_without_ones_own() {
    let own = ["10.0.0.0/8", "172.16.0.0/12", "192.168.1.0/24"];
    let by_domain = Endpoint::Outside("example.com".into());
    for endpoint in [&Endpoint::Anybody, &by_domain] {
        assert!(means(&network("0.0.0.0/0", &own), Side::named(endpoint)));
        assert!(means(&network("::/0", &[]), Side::named(endpoint)));
        assert!(!means(&network("0.0.0.0/0", &["203.0.113.0/24"]), Side::named(endpoint)));
        assert!(!means(&network("203.0.113.0/24", &[]), Side::named(endpoint)));
    }
    assert!(!means(&network("0.0.0.0/0", &[]), Side::named(&workload("web"))));
}

#[test]
fn a_domain_is_meant_by_itself_what_lies_below_it_and_a_glob() {
    let outside = Endpoint::Outside("example.com".into());
    let called = |name: &'static str| Side { name: Some(name), ..Side::named(&outside) };
    assert!(means(&domain("example.com"), Side::named(&outside)), "by its registered domain");
    assert!(means(&domain("Example.com."), called("API.example.COM.")));
    assert!(means(&domain("*.example.com"), called("a.b.example.com")));
    assert!(means(&domain("api-*.example.com"), called("api-7.example.com")));
    assert!(!means(&domain("example.com"), called("notexample.com")));
    assert!(!means(&domain("api.example.com"), called("example.com")));
    assert!(!means(&domain("*.example.com"), called("example.com")));
    let by_prefix = Endpoint::Outside("203.0.113.0/24".into());
    assert!(!means(&domain("*"), Side::named(&by_prefix)), "a prefix is no name");
}

#[test]
fn ports_and_protocols_are_those_declared() {
    let web_to_db = EdgePattern {
        ports: Some((5000, 5999)),
        protocol: Some(Protocol::TCP),
        ..edge(named("web"), named("db"))
    };
    let policy = policy(&[declared(web_to_db)]);
    let (web, db) = (workload("web"), workload("db"));
    for (from, to, port, protocol, said) in [
        (&web, &db, 5432, Protocol::TCP, "expected"),
        (&web, &db, 5999, Protocol::TCP, "expected"),
        (&web, &db, 6000, Protocol::TCP, "unsaid"),
        (&web, &db, 5432, Protocol::UDP, "unsaid"),
        (&db, &web, 5432, Protocol::TCP, "unsaid"),
    ] {
        let verdict = policy.verdict(&Side::named(from), &Side::named(to), (port, protocol), NOW);
        assert_eq!(word(&verdict), said, "{from} -> {to}:{port}/{protocol}");
    }
}

#[test]
fn an_isolated_end_needs_leave_of_its_own_and_a_person_gives_leave_for_both() {
    let out =
        |to: &str| declared(EdgePattern { side: Some(Direction::Out), ..edge(named("web"), named(to)) });
    let into =
        |from: &str| declared(EdgePattern { side: Some(Direction::In), ..edge(named(from), named("db")) });
    let web_out = || alone(named("web"), Direction::Out);
    let db_in = || alone(named("db"), Direction::In);
    for (given, said) in [
        (vec![], "unsaid"),
        (vec![out("db")], "expected"),
        (vec![into("web")], "expected"),
        (vec![web_out()], "isolated"),
        (vec![db_in()], "isolated"),
        (vec![alone(named("web"), Direction::In), alone(named("db"), Direction::Out)], "unsaid"),
        (vec![web_out(), out("db")], "expected"),
        (vec![web_out(), out("cache")], "isolated"),
        (vec![web_out(), out("cache"), out("db")], "expected"),
        (vec![web_out(), db_in(), out("db")], "isolated"),
        (vec![web_out(), db_in(), into("web")], "isolated"),
        (vec![web_out(), db_in(), out("db"), into("web")], "expected"),
        (vec![web_out(), db_in(), out("db"), into("batch")], "isolated"),
        (vec![web_out(), db_in(), declared(edge(named("web"), named("db")))], "expected"),
    ] {
        assert_eq!(
            asked(&policy(&given)),
            said,
            "{:?}",
            given.iter().map(|one| one.subject.to_string()).collect::<Vec<_>>()
        );
    }
}

#[test]
fn isolation_says_nothing_of_the_host_or_of_a_container_that_talks_to_itself() {
    let all = [alone(EndpointPattern::Any, Direction::In), alone(EndpointPattern::Any, Direction::Out)];
    let policy = policy(&all);
    let web = workload("web");
    assert_eq!(asked_of(&policy, &Endpoint::Host, &web), "unsaid");
    assert_eq!(asked_of(&policy, &web, &Endpoint::Host), "unsaid");
    let (one, two) = (container(1, &[]), container(2, &[]));
    let of = |container| Side { container: Some(container), ..Side::named(&web) };
    let said = |from, to| word(&policy.verdict(&of(from), &of(to), (80, Protocol::TCP), NOW));
    assert_eq!((said(&one, &one), said(&one, &two)), ("unsaid", "isolated"));
}

#[test]
fn what_expired_or_was_taken_back_does_not_hold() {
    let both = edge(named("web"), named("db"));
    let mut expired = declared(both.clone());
    expired.expires = Some(NOW);
    let mut isolation = alone(named("web"), Direction::Out);
    isolation.expires = Some(NOW);
    assert_eq!(asked(&policy(&[expired.clone(), isolation.clone()])), "unsaid");
    expired.expires = Some(NOW.plus(Duration::from_secs(1)));
    assert_eq!(asked(&policy(&[expired, isolation])), "expected");

    let kept = declared(both);
    let mut policy = policy(&[kept.clone(), alone(named("web"), Direction::Out)]);
    policy.remove(&kept.id);
    assert_eq!(asked(&policy), "isolated");
    policy.remove(&ExpectationId::from_text("EX-none"));
    policy.add(&kept);
    assert_eq!(asked(&policy), "expected");
}

#[test]
fn the_verdict_names_the_first_by_name_whatever_the_order() {
    let both = [declared(edge(named("web"), named("db"))), declared(edge(named("w*"), EndpointPattern::Any))];
    let first = both.iter().map(|one| one.id.clone()).min().unwrap();
    let reversed = [both[1].clone(), both[0].clone()];
    let verdict = |given| {
        let (web, db) = (workload("web"), workload("db"));
        policy(given).verdict(&Side::named(&web), &Side::named(&db), (1, Protocol::TCP), NOW)
    };
    assert_eq!(verdict(&both), Verdict::Expected(first.clone()));
    assert_eq!(verdict(&reversed), Verdict::Expected(first));
}

#[test]
fn it_is_bounded_and_reads_back_as_it_was() {
    let mut policy = Policy::default();
    let numbered = |number: usize| declared(edge(named(&format!("w{number}")), named("db")));
    (0..EXPECTATIONS_MAX + 10).for_each(|number| policy.add(&numbered(number)));
    assert_eq!(policy.iter().count(), EXPECTATIONS_MAX);
    policy.add(&numbered(0));
    assert_eq!(policy.iter().count(), EXPECTATIONS_MAX, "the same again");
    let text = serde_json::to_string(&policy).unwrap();
    let back: Policy = serde_json::from_str(&text).unwrap();
    let said = |policy: &Policy, name: &str| asked_of(policy, &workload(name), &workload("db"));
    assert_eq!((said(&back, "w7"), said(&back, "w1005")), ("expected", "unsaid"));
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
}

#[test]
fn schedules_are_left_alone() {
    let mut policy = Policy::default();
    policy.add(&testkit::expectations::declared("workload:web"));
    assert_eq!(policy.iter().count(), 0);
}

/// Whether what web does there is expected, by a declared edge of its.
fn is_use_expected(edge: EdgePattern, to: &Side<'_>, service: (u16, Protocol)) -> bool {
    let web = workload("web [run]");
    policy(&[declared(edge)]).expected_use(&Side::named(&web), to, service, NOW).is_some()
}

#[test]
fn only_an_edge_that_a_person_declared_to_somebody_in_particular_says_that_its_use_is_expected() {
    let outside = Endpoint::Outside("203.0.113.0/24".into());
    let to = Side { address: Some([203, 0, 113, 7].into()), ..Side::named(&outside) };
    let is_expected = |edge| is_use_expected(edge, &to, (443, Protocol::TCP));
    let leading_to = |to| edge(named("web [run]"), to);
    assert!(is_expected(leading_to(network("203.0.113.0/24", &[]))));
    assert!(!is_expected(leading_to(network("198.51.100.0/24", &[]))));
    assert!(!is_expected(leading_to(network("0.0.0.0/0", &[]))), "everybody is nobody in particular");
    assert!(!is_expected(leading_to(EndpointPattern::Any)));
    let let_out = leading_to(network("203.0.113.0/24", &[]));
    assert!(
        !is_expected(EdgePattern { side: Some(Direction::Out), ..let_out }),
        "a network policy lets it out"
    );
}

#[test]
fn questions_about_a_domain_are_expected_by_edges_to_that_domain() {
    let (asked, name) = (Endpoint::Outside("example.com".into()), "4.3.2.1.list.example.com");
    let to = Side { name: Some(name), ..Side::named(&asked) };
    let is_expected = |to_end| is_use_expected(edge(named("web [run]"), to_end), &to, (53, Protocol::UDP));
    for (pattern, expected) in [
        ("example.com", true),
        ("list.example.com", true),
        ("example.org", false),
        ("*", false),
        ("*.com", false),
        ("com", false),
    ] {
        assert_eq!(is_expected(domain(pattern)), expected, "{pattern}");
    }
    assert!(!is_expected(network("0.0.0.0/0", &[])));
    let let_out = EdgePattern { ports: Some((53, 53)), ..edge(named("web [run]"), EndpointPattern::Any) };
    assert!(!is_use_expected(let_out, &to, (53, Protocol::UDP)), "asking at all is another thing");
}
