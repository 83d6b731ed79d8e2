//! What declared edges take off findings about them, what cannot be declared, and how it is told and counted.

use model::expectation::{
    EdgePattern, EndpointPattern, Expectation, Expected, ExplanationKind, LabelPattern, When,
};
use model::traffic::{Direction, EdgeKey, Endpoint, Protocol};

use super::*;
use crate::expectations::check;

fn named(name: &str) -> EndpointPattern {
    EndpointPattern::Workload { pattern: name.into() }
}

fn edge(from: EndpointPattern, to: EndpointPattern) -> EdgePattern {
    EdgePattern { from, to, ports: None, protocol: None, side: None }
}

fn declared(subject: Expected) -> Expectation {
    Expectation::new(subject, When::Always, ("the shop's database".into(), "ann".into()), START)
}

fn web_to_db() -> Expectation {
    declared(Expected::Edge(Box::new(edge(named("web"), named("db")))))
}

fn contact(by: &Expectation) -> Finding {
    let workload = |name| Endpoint::Workload(WorkloadKey::new(name));
    let key = EdgeKey { from: workload("web"), to: workload("db"), port: 5432, protocol: Protocol::TCP };
    finding("new_edge", Family::Communication, 6.0).on_edge(&key).expected_by(&by.id)
}

impl Desk {
    fn knowing(expectations: &[Expectation]) -> Self {
        let mut desk = Self::new(Severity::Medium);
        for expectation in expectations {
            desk.body(Body::Expected(Box::new(expectation.clone())), Vec::new());
        }
        desk
    }

    /// What was told to have been explained.
    fn told(&mut self, finding: Finding) -> Vec<ExpectationChange> {
        let finding = Finding { at: self.now, ..finding };
        self.triage.weigh(&seen(self.now, Body::Tick), vec![finding]).expectations
    }
}

#[test]
fn a_finding_on_a_declared_edge_is_half_a_bit_and_says_who_expects_it() {
    let mut desk = Desk::knowing(&[web_to_db()]);
    let told = desk.told(contact(&web_to_db()));
    let [ExpectationChange::Explained { id, count: 1, sentence, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((id, sentence.as_str()), (&web_to_db().id, "new_edge of c7, 6.0 to 0.5 bits"));
    let dossier = desk.triage.subjects.values().next().unwrap();
    let explained = &dossier.findings()[0].explained[0];
    assert_eq!(explained.kind, ExplanationKind::Edge);
    assert_eq!(explained.sentence, "ann expects web -> db: the shop's database");
    assert_eq!((explained.bits_before, explained.bits_after), (6.0, 0.5));
    assert_eq!(desk.told(contact(&web_to_db())), [], "the same spell");
}

#[test]
fn only_an_edge_in_force_explains_and_only_what_may_be_explained() {
    let known = web_to_db();
    let expired = Expectation { expires: Some(START), ..known.clone() };
    let isolation = declared(Expected::NothingElse { who: named("web"), direction: Direction::Out });
    let quiet = Finding { bits: 0.4, ..contact(&known) };
    let elsewhere = Finding { family: Family::Integrity, ..contact(&known) };
    for (given, finding) in [
        (vec![], contact(&known)),
        (vec![expired.clone()], contact(&expired)),
        (vec![isolation.clone()], contact(&isolation)),
        (vec![known.clone()], Finding { expected_by: None, ..contact(&known) }),
        (vec![known.clone()], Finding { edge: None, ..contact(&known) }),
        (vec![known.clone()], harming(contact(&known))),
        (vec![known.clone()], quiet),
        (vec![known.clone()], elsewhere),
    ] {
        assert_eq!(Desk::knowing(&given).told(finding.clone()), [], "{finding:?}");
    }
    let mut desk = Desk::knowing(std::slice::from_ref(&known));
    desk.body(Body::Unexpected { id: known.id.clone() }, Vec::new());
    assert_eq!(desk.told(contact(&known)), []);
}

#[test]
fn hostile_words_of_an_edge_are_shown_escaped() {
    let hostile = declared(Expected::Edge(Box::new(edge(named("\u{1b}[2J\u{202e}"), named("db")))));
    let mut desk = Desk::knowing(std::slice::from_ref(&hostile));
    desk.told(contact(&hostile));
    let dossier = desk.triage.subjects.values().next().unwrap();
    let sentence = &dossier.findings()[0].explained[0].sentence;
    assert!(!sentence.contains(['\u{1b}', '\u{202e}']), "{sentence:?}");
}

fn problem(subject: &Expected, when: &When) -> String {
    check(subject, when, START).map_or_else(|error| error.to_string(), |()| "fine".to_owned())
}

#[test]
fn an_edge_that_means_nothing_cannot_be_declared() {
    let network = |prefix: &str, except: &[&str]| EndpointPattern::Network {
        prefix: prefix.into(),
        except: except.iter().map(|text| (*text).into()).collect(),
    };
    let label = |key: &str| LabelPattern { key: key.into(), values: Vec::new(), is_not: false };
    let labels = |labels| EndpointPattern::Labels { namespace: None, labels };
    let domain = |pattern: &str| EndpointPattern::Domain { pattern: pattern.into() };
    let any = || EndpointPattern::Any;
    let ports = |low, high| EdgePattern { ports: Some((low, high)), ..edge(named("web"), named("db")) };
    let cases = [
        edge(named("web [run"), named("db")),
        edge(named(""), named("db")),
        edge(any(), any()),
        EdgePattern { ports: Some((53, 53)), ..edge(any(), any()) },
        edge(named("web"), network("10.0.0.0/8", &["10.1.0.0/16", "10.2.3.4"])),
        edge(named("web"), network("10.0.0.0/33", &[])),
        edge(named("web"), network("10.0.0.0/8", &["11.0.0.0/8"])),
        edge(named("web"), domain("*.example.com")),
        edge(named("web"), domain(".")),
        edge(named("web"), domain("a[")),
        edge(named("web"), labels(Vec::new())),
        edge(named("web"), labels(vec![label("")])),
        edge(named("web"), labels((0..65).map(|number| label(&number.to_string())).collect())),
        ports(0, 80),
        ports(90, 80),
        EdgePattern { protocol: Some(Protocol::ICMP), ..ports(1, 2) },
    ];
    let told: String =
        cases
            .into_iter()
            .map(|edge| problem(&Expected::Edge(Box::new(edge)), &When::Always) + "\n")
            .map(|line| {
                if line.len() > 120 { format!("{}…\n", &line[line.len() - 60..].trim_end()) } else { line }
            })
            .collect();
    expect![[r#"
        fine
        : gives no name
        any -> any on every port expects everything: name one end, or a port
        fine
        fine
        10.0.0.0/33: 10.0.0.0/33 is no prefix of addresses
        10.0.0.0/8 (without 11.0.0.0/8): 11.0.0.0/8 is no prefix within it
        fine
        domain:.: gives no name
        domain:a[: error parsing glob 'a[': unclosed character class; missing ']'
        labels(): names neither a namespace nor a label
        labels(=*): a label has no name
        =*, 61=*, 62=*, 63=*, 64=*): 65 parts; at most 64 are taken…
        ports 0 to 80: a port is 1 to 65535
        ports 90 to 80: the lower one comes first
        ports 1 to 2: ICMP has no ports
    "#]]
    .assert_eq(&told);
}

#[test]
fn edges_hold_always_busy_containers_at_times_and_nobody_declares_a_recurrence() {
    let edge = web_to_db().subject;
    let scheduled = testkit::expectations::declared("workload:batch");
    let learned = testkit::expectations::learned("batch");
    let told = [
        problem(&edge, &scheduled.when),
        problem(&scheduled.subject, &When::Always),
        problem(&scheduled.subject, &learned.when),
        problem(&scheduled.subject, &scheduled.when),
    ];
    expect![[r#"
        web -> db: who talks to whom is expected always, not at times
        workload:batch: being busy is expected at times, not always
        workload:batch: a recurrence is learned and cannot be declared
        fine"#]]
    .assert_eq(&told.join("\n"));
}
