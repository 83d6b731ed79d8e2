//! What findings weigh together, when that opens, updates and closes an incident, and that it is bounded.

mod expected;

mod edges;

mod changing;

mod recurring;

use std::fmt::Write as _;
use std::time::Duration;

use expect_test::{Expect, expect};
use model::coverage::Source;
use model::event::Event;
use model::finding::{ContainerRef, Family};
use model::identity::Identity;
use model::ids::{CgroupId, NodeId, WorkloadKey};
use model::incident::{INCIDENT_FINDINGS_MAX, Verdict};
use model::novelty::Provenance;
use model::time::Time;
use model::untrusted::Untrusted;
use proptest::prelude::{ProptestConfig, Strategy, prop, proptest};

use super::*;

const START: Time = Time::from_secs(1_800_000_000);
const STRATEGY: &str = "container-monitoring-bypass";

/// A finding about a container of the workload `web`, without harm.
fn finding(judge: &'static str, family: Family, bits: f64) -> Finding {
    let node = NodeId::new("node");
    let mut finding =
        Finding::about_node(&node, judge, family, START, bits).claiming(format!("{judge} claims"));
    finding.strategy = Arc::from(STRATEGY);
    of_container(in_workload(finding, "web"), 7)
}

fn in_workload(finding: Finding, workload: &str) -> Finding {
    let subject =
        Subject::Workload { node: finding.subject.node().clone(), workload: WorkloadKey::new(workload) };
    Finding { subject, ..finding }
}

fn of_container(finding: Finding, cgroup: u64) -> Finding {
    let container = ContainerRef {
        name: Untrusted::new(&format!("c{cgroup}")),
        id: Untrusted::default(),
        image: Untrusted::new("app"),
        digest: Untrusted::default(),
        cgroup: Untrusted::default(),
        cgroup_id: CgroupId(cgroup),
        started: START,
    };
    Finding { container: Some(container), ..finding }
}

fn harming(finding: Finding) -> Finding {
    Finding { harm: true, ..finding }
}

fn out_of_band(bits: f64) -> Finding {
    harming(finding("out_of_band_log", Family::Resource, bits))
}

fn excess(bits: f64) -> Finding {
    finding("excess", Family::Resource, bits)
}

fn unapproved(bits: f64) -> Finding {
    finding("unapproved_image", Family::Provenance, bits)
}

/// The stage with a clock of its own, which every finding is stamped with.
struct Desk {
    triage: Triage,
    now: Time,
}

impl Desk {
    fn new(priority: Severity) -> Self {
        let priorities = BTreeMap::from([(Arc::from(STRATEGY), priority)]);
        Self { triage: Triage::new(TriageConfig::default(), priorities), now: START }
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now.plus(span);
    }

    fn body(&mut self, body: Body, findings: Vec<Finding>) -> Vec<Change> {
        let now = self.now;
        let findings = findings.into_iter().map(|finding| Finding { at: now, ..finding }).collect();
        self.triage.weigh(&seen(now, body), findings).incidents
    }

    fn find(&mut self, findings: Vec<Finding>) -> Vec<Change> {
        self.body(Body::Tick, findings)
    }

    fn close(&mut self, id: &IncidentId) -> Vec<Change> {
        let (verdict, note) = (Verdict::Benign, Untrusted::new("a batch job"));
        let closing = Closing { at: self.now, verdict, note, owner: "tester".into() };
        self.body(Body::Closed { id: id.clone(), closing }, Vec::new())
    }
}

fn seen(time: Time, body: Body) -> Observation {
    let node = NodeId::new("node");
    let event = Event { node, source: Source::Engine, seq: 0, time, seen: time, body };
    Observation { event, identity: Identity::default() }
}

/// Weighs findings one after the other at one time; what the subject's incident then says for itself.
fn check(findings: Vec<Finding>, expected: &Expect) {
    check_priority(Severity::Medium, findings, expected);
}

fn check_priority(priority: Severity, findings: Vec<Finding>, expected: &Expect) {
    let mut desk = Desk::new(priority);
    desk.find(findings);
    let mut text = String::new();
    for incident in desk.triage.open_incidents() {
        writeln!(text, "{} {:.1} bits: {}", incident.severity.name(), incident.bits, incident.summary)
            .unwrap();
        incident.reasons.iter().for_each(|reason| writeln!(text, "- {reason}").unwrap());
    }
    expected.assert_eq(&text);
}

#[test]
fn the_budget_of_false_incidents_is_the_threshold() {
    let bits = |budget: f64| TriageConfig { false_incidents_per_node_day: budget }.threshold_bits();
    let tenths = |budget: f64| format!("{:.1}", bits(budget));
    assert_eq!(
        [tenths(0.01), tenths(0.05), tenths(0.5), tenths(100.0)],
        ["14.8", "12.5", "9.2", "1.5"].map(str::to_owned)
    );
    assert_eq!(TriageConfig::default().threshold_bits(), bits(0.05));
}

#[test]
fn a_budget_that_makes_no_sense_is_refused_with_its_range() {
    let problem = |budget: f64| TriageConfig { false_incidents_per_node_day: budget }.problem();
    for budget in [0.0, -1.0, 1e9, f64::NAN, f64::INFINITY] {
        assert!(problem(budget).is_some_and(|text| text.contains("between 0.0001 and 100")), "{budget}");
    }
    assert_eq!((problem(0.0001), problem(100.0)), (None, None));
    assert!(serde_json::from_str::<TriageConfig>(r#"{"false_incidents": 1}"#).is_err());
}

#[test]
fn what_stays_below_the_threshold_opens_nothing() {
    check(vec![out_of_band(12.4)], &expect![[""]]);
    check(
        vec![out_of_band(12.5)],
        &expect![[r#"
        medium 12.5 bits: container c7 (image app): out_of_band_log claims
        - out_of_band_log says 12.5 bits: out_of_band_log claims
        - 12.5 bits in all, 12.5 make an incident
        - severity medium: the strategy's priority is medium, kept: others are harmed, one family stands alone
    "#]],
    );
}

#[test]
fn across_families_bits_add_and_their_agreement_weighs_more() {
    check(
        vec![unapproved(4.0), excess(8.0)],
        &expect![[r#"
        medium 13.0 bits: container c7 (image app): excess claims; unapproved_image claims
        - excess says 8.0 bits: excess claims
        - unapproved_image says 4.0 bits: unapproved_image claims
        - resource and provenance agree: 1.0 bits more
        - 13.0 bits in all, 12.5 make an incident
        - severity medium: the strategy's priority is medium, kept: 2 families agree, nobody is harmed
    "#]],
    );
    check(vec![unapproved(4.0), excess(7.0)], &expect![[""]]);
}

#[test]
fn within_a_family_the_weightiest_counts_and_harm_counts_for_itself() {
    check(vec![excess(8.0), finding("fork_storm", Family::Resource, 7.9)], &expect![[""]]);
    check(
        vec![excess(8.0), out_of_band(9.0), harming(finding("saturation", Family::Resource, 3.0))],
        &expect![[r#"
            medium 17.0 bits: container c7 (image app): out_of_band_log claims
            - out_of_band_log says 9.0 bits: out_of_band_log claims
            - excess says 8.0 bits: excess claims
            - 17.0 bits in all, 12.5 make an incident
            - severity medium: the strategy's priority is medium, kept: others are harmed, one family stands alone
        "#]],
    );
}

#[test]
fn other_families_add_without_agreement() {
    let judged = [("edge", Family::Communication, 6.0), ("ghost", Family::Provenance, 7.0)];
    check(
        judged.map(|(judge, family, bits)| finding(judge, family, bits)).to_vec(),
        &expect![[r#"
        medium 13.0 bits: container c7 (image app): ghost claims; edge claims
        - ghost says 7.0 bits: ghost claims
        - edge says 6.0 bits: edge claims
        - 13.0 bits in all, 12.5 make an incident
        - severity medium: the strategy's priority is medium, kept: 2 families agree, nobody is harmed
    "#]],
    );
}

#[test]
fn severity_follows_the_strategy_harm_and_agreement_and_says_so() {
    for (priority, findings, expected) in [
        (Severity::Medium, vec![out_of_band(13.0), unapproved(4.0)], "high"),
        (Severity::Medium, vec![out_of_band(13.0)], "medium"),
        (Severity::Medium, vec![excess(9.0), unapproved(4.0)], "medium"),
        (Severity::Medium, vec![excess(13.0)], "low"),
        (Severity::High, vec![out_of_band(13.0), unapproved(4.0)], "critical"),
        (Severity::Critical, vec![out_of_band(13.0), unapproved(4.0)], "critical"),
        (Severity::Critical, vec![excess(13.0)], "high"),
        (Severity::Low, vec![excess(13.0)], "low"),
    ] {
        let mut desk = Desk::new(priority);
        desk.find(findings);
        let incident = desk.triage.open_incidents().next().unwrap();
        assert_eq!(incident.severity.name(), expected, "{:?}", incident.reasons);
        let told = format!("severity {expected}: the strategy's priority is {}", priority.name());
        assert!(incident.reasons.last().unwrap().starts_with(&told), "{:?}", incident.reasons);
    }
}

#[test]
fn a_judge_that_no_strategy_uses_counts_as_medium() {
    let mut desk = Desk::new(Severity::Critical);
    desk.find(vec![Finding { strategy: Arc::from(""), ..out_of_band(13.0) }]);
    assert_eq!(desk.triage.open_incidents().next().unwrap().severity, Severity::Medium);
}

#[test]
fn spending_fades_by_half_in_thirty_minutes_and_provenance_in_six_hours() {
    let opens = |first: Finding, wait: Duration, second: Finding| {
        let mut desk = Desk::new(Severity::Medium);
        desk.find(vec![first]);
        desk.pass(wait);
        !desk.find(vec![second]).is_empty()
    };
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    assert!(opens(excess(12.0), minutes(29), unapproved(5.5)));
    assert!(!opens(excess(12.0), minutes(31), unapproved(5.4)));
    assert!(opens(unapproved(12.0), minutes(359), excess(5.5)));
    assert!(!opens(unapproved(12.0), minutes(361), excess(5.4)));
    let edge = || finding("edge", Family::Communication, 12.0);
    assert!(opens(edge(), minutes(24 * 60 - 1), unapproved(6.5)));
    assert!(!opens(edge(), minutes(24 * 60 + 20), unapproved(6.4)));
}

#[test]
fn an_approval_settles_what_was_held_against_the_origin_before() {
    let findings = |provenance: Provenance| {
        let mut desk = Desk::new(Severity::Medium);
        desk.find(vec![of_container(unapproved(4.0), 7)]);
        let mut later = of_container(out_of_band(13.0), 7);
        later.provenance = provenance;
        desk.find(vec![later])[0].incident.findings.len()
    };
    assert_eq!(findings(Provenance::Unapproved), 2);
    assert_eq!(findings(Provenance::Approved), 1);
}

#[test]
fn an_incidents_weight_is_the_highest_it_had() {
    let mut desk = Desk::new(Severity::Medium);
    desk.find(vec![out_of_band(13.0)]);
    desk.pass(Duration::from_secs(3600));
    let changes = desk.find(vec![out_of_band(2.0)]);
    assert_eq!(changes[0].kind, ChangeKind::Updated);
    assert_eq!(changes[0].incident.bits, 13.0);
}

#[test]
fn it_opens_once_and_keeps_its_name() {
    let mut desk = Desk::new(Severity::Medium);
    let opened = desk.find(vec![out_of_band(13.0)]);
    assert_eq!(opened.iter().map(|change| change.kind).collect::<Vec<_>>(), [ChangeKind::Opened]);
    desk.pass(Duration::from_secs(2));
    let updated = desk.find(vec![unapproved(4.0)]);
    assert_eq!(updated.iter().map(|change| change.kind).collect::<Vec<_>>(), [ChangeKind::Updated]);
    let (first, second) = (&opened[0].incident, &updated[0].incident);
    assert_eq!((&first.id, first.opened), (&second.id, second.opened));
    assert_eq!(first.id, IncidentId::derive(&first.subject, START));
    assert_eq!(second.families, [Family::Resource, Family::Provenance]);
}

#[test]
fn names_differ_by_subject_and_by_time() {
    let id = |workload: &str, wait: u64| {
        let mut desk = Desk::new(Severity::Medium);
        desk.pass(Duration::from_secs(wait));
        desk.find(vec![in_workload(out_of_band(13.0), workload)])[0].incident.id.clone()
    };
    assert_eq!(id("web", 0), id("web", 0));
    assert_ne!(id("web", 0), id("web", 1));
    assert_ne!(id("web", 0), id("shop", 0));
}

#[test]
fn workloads_are_weighed_each_for_itself_and_apart_from_the_node() {
    let mut desk = Desk::new(Severity::Medium);
    let node = harming(Finding::about_node(&NodeId::new("node"), "saturation", Family::Resource, START, 9.0));
    desk.find(vec![in_workload(excess(9.0), "shop"), in_workload(unapproved(9.0), "web"), node]);
    assert_eq!(desk.triage.open_incidents().count(), 0);
    assert_eq!(desk.triage.subjects.len(), 3);
}

#[test]
fn while_only_figures_change_it_is_told_once_a_second_then_every_ten() {
    let mut desk = Desk::new(Severity::Medium);
    desk.find(vec![out_of_band(13.0)]);
    let mut told = |seconds: u32| -> usize {
        let mut changes = 0;
        for _ in 0..seconds * 4 {
            desk.pass(Duration::from_millis(250));
            changes += desk.find(vec![out_of_band(13.0)]).len();
        }
        changes
    };
    assert_eq!(told(59), 59);
    told(1);
    assert_eq!(told(100), 10);
}

#[test]
fn what_matters_is_told_at_once() {
    let mut desk = Desk::new(Severity::Medium);
    desk.find(vec![out_of_band(13.0)]);
    desk.pass(Duration::from_secs(3600));
    desk.find(vec![out_of_band(13.0)]);
    let mut told = |finding: Finding| {
        desk.pass(Duration::from_millis(100));
        desk.find(vec![finding]).len()
    };
    assert_eq!(told(out_of_band(13.4)), 0, "a rise within the noise");
    assert_eq!(told(out_of_band(13.5)), 1, "a rise");
    assert_eq!(told(of_container(out_of_band(13.0), 8)), 1, "another container");
    assert_eq!(told(of_container(out_of_band(13.0), 8)), 0, "the same again");
    assert_eq!(told(unapproved(0.1)), 1, "another family");
}

#[test]
fn the_latest_finding_of_a_judge_about_a_container_stands_for_the_earlier_ones() {
    let mut desk = Desk::new(Severity::Medium);
    desk.find(vec![out_of_band(13.0), of_container(out_of_band(14.0), 8), unapproved(4.0)]);
    desk.pass(Duration::from_secs(5));
    let changes = desk.find(vec![out_of_band(15.0)]);
    let incident = &changes[0].incident;
    let bits: Vec<f64> = incident.findings.iter().map(|finding| finding.bits).collect();
    assert_eq!(bits, [15.0, 14.0, 4.0]);
    assert_eq!(incident.containers, 2);
    assert_eq!(
        incident.container.as_ref().unwrap().cgroup_id,
        CgroupId(7),
        "the one of the weightiest finding"
    );
}

#[test]
fn it_is_closed_once_and_opens_anew_only_by_new_findings() {
    let mut desk = Desk::new(Severity::Medium);
    let first = desk.find(vec![unapproved(9.0), excess(4.0)])[0].incident.id.clone();
    desk.pass(Duration::from_secs(60));
    let closed = desk.close(&first);
    assert_eq!(closed.len(), 1);
    assert_eq!((closed[0].kind, closed[0].incident.state), (ChangeKind::Closed, State::Closed));
    assert_eq!(closed[0].incident.closing.as_ref().unwrap().note.raw(), "a batch job");
    assert_eq!(closed[0].incident.updated, desk.now);
    assert_eq!(desk.triage.open_incidents().count(), 0);
    assert!(desk.close(&first).is_empty(), "nothing is left to close");

    desk.pass(Duration::from_secs(1));
    assert!(desk.find(vec![excess(4.0)]).is_empty(), "what led to the first is settled with it");
    let again = desk.find(vec![unapproved(9.0)]);
    assert_eq!(again[0].kind, ChangeKind::Opened);
    assert_ne!(again[0].incident.id, first);
}

#[test]
fn a_restored_incident_goes_on_under_its_name() {
    let mut desk = Desk::new(Severity::Medium);
    let before = desk.find(vec![out_of_band(13.0), unapproved(4.0)]).pop().unwrap().incident;
    let mut next_run = Desk::new(Severity::Medium);
    next_run.pass(Duration::from_secs(120));
    assert!(next_run.body(Body::Restored(Box::new(before.clone())), Vec::new()).is_empty());
    assert_eq!(next_run.triage.open_incidents().collect::<Vec<_>>(), [&before]);
    let changes = next_run.find(vec![out_of_band(13.0)]);
    assert_eq!(changes[0].kind, ChangeKind::Updated);
    let after = &changes[0].incident;
    assert_eq!((&after.id, after.opened, after.findings.len()), (&before.id, before.opened, 2));
    assert_eq!(next_run.close(&before.id).len(), 1);
}

#[test]
fn a_closed_incident_is_not_restored() {
    let mut desk = Desk::new(Severity::Medium);
    let id = desk.find(vec![out_of_band(13.0)])[0].incident.id.clone();
    let closed = desk.close(&id).pop().unwrap().incident;
    desk.body(Body::Restored(Box::new(closed)), Vec::new());
    assert_eq!(desk.triage.open_incidents().count(), 0);
}

#[test]
fn sixty_four_findings_are_kept_the_weightiest_among_them_and_the_rest_counted() {
    let mut desk = Desk::new(Severity::Medium);
    desk.find(vec![of_container(out_of_band(13.0), 1)]);
    for cgroup in 2..=99 {
        desk.find(vec![of_container(excess(1.0), cgroup)]);
    }
    desk.pass(Duration::from_secs(1));
    desk.find(vec![of_container(excess(1.0), 100)]);
    let incident = desk.triage.open_incidents().next().unwrap();
    assert_eq!((incident.findings.len(), incident.findings_dropped), (INCIDENT_FINDINGS_MAX, 36));
    assert_eq!(incident.findings[0].bits, 13.0);
    assert_eq!(incident.findings.last().unwrap().container.as_ref().unwrap().cgroup_id, CgroupId(100));
}

#[test]
fn the_subject_silent_for_longest_makes_room_and_incidents_stay() {
    let mut desk = Desk::new(Severity::Medium);
    desk.find(vec![in_workload(out_of_band(13.0), "attack")]);
    for number in 0..SUBJECTS_MAX + 10 {
        desk.pass(Duration::from_millis(1));
        desk.find(vec![in_workload(excess(1.0), &format!("flood {number}"))]);
    }
    assert_eq!(desk.triage.subjects.len(), SUBJECTS_MAX);
    assert_eq!(desk.triage.open_incidents().count(), 1);
    let is_known = |number: usize| {
        let finding = in_workload(excess(1.0), &format!("flood {number}"));
        desk.triage.subjects.contains_key(&finding.subject)
    };
    assert_eq!((is_known(10), is_known(11), is_known(SUBJECTS_MAX + 9)), (false, true, true));
}

#[test]
fn incidents_on_every_subject_are_bounded_too_also_when_restored() {
    let mut desk = Desk::new(Severity::Medium);
    let incident = desk.find(vec![out_of_band(13.0)]).pop().unwrap().incident;
    for number in 0..SUBJECTS_MAX + 10 {
        let subject = in_workload(out_of_band(13.0), &format!("restored {number}")).subject;
        let incident = Incident { subject, ..incident.clone() };
        desk.body(Body::Restored(Box::new(incident)), Vec::new());
    }
    assert_eq!(desk.triage.subjects.len(), SUBJECTS_MAX);
    desk.pass(Duration::from_secs(1));
    let changes = desk.find(vec![in_workload(out_of_band(13.0), "new")]);
    assert_eq!(changes[0].kind, ChangeKind::Opened);
    assert_eq!(desk.triage.subjects.len(), SUBJECTS_MAX);
}

/// Seconds that pass, which workload, which container, which judge, its bits.
type Told = (u16, u8, u8, u8, f64);

fn told() -> impl Strategy<Value = Vec<Told>> {
    prop::collection::vec((0..400_u16, 0..6_u8, 0..120_u8, 0..4_u8, 0.0..15.0_f64), 1..300)
}

fn made(&(_, workload, cgroup, judge, bits): &Told) -> Finding {
    let finding = match judge {
        0 => out_of_band(bits),
        1 => excess(bits),
        2 => unapproved(bits),
        _ => finding("edge", Family::Communication, bits),
    };
    of_container(in_workload(finding, &workload.to_string()), u64::from(cgroup))
}

fn weighed(desk: &mut Desk, told: &[Told]) -> Vec<Change> {
    let one = |told: &Told| {
        desk.pass(Duration::from_secs(u64::from(told.0)));
        desk.find(vec![made(told)])
    };
    told.iter().flat_map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_same_findings_make_the_same_incidents_also_after_being_written_down(told in told(), cut in 0.0..1.0_f64) {
        let all = weighed(&mut Desk::new(Severity::Medium), &told);
        let (first, rest) = told.split_at((told.len() as f64 * cut) as usize);
        let mut desk = Desk::new(Severity::Medium);
        let mut changes = weighed(&mut desk, first);
        let text = serde_json::to_string(&desk.triage).unwrap();
        desk.triage = serde_json::from_str(&text).unwrap();
        changes.extend(weighed(&mut desk, rest));
        assert_eq!(changes, all);
    }

    #[test]
    fn what_is_held_is_bounded_and_an_incident_says_no_more_than_its_findings(told in told()) {
        let mut desk = Desk::new(Severity::Medium);
        let changes = weighed(&mut desk, &told);
        assert!(desk.triage.subjects.len() <= 6);
        for Change { incident, .. } in changes {
            assert!(incident.findings.len() <= INCIDENT_FINDINGS_MAX);
            assert!(incident.bits >= 12.4 && incident.bits <= 4.0 * 15.0 + 1.0, "{}", incident.bits);
            assert!(incident.findings.iter().all(|finding| finding.subject == incident.subject));
            assert!(incident.opened <= incident.updated);
        }
    }
}
