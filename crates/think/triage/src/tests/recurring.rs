//! Learning through the whole stage: from findings and ticks to what is told, and what keeps it from being learned.

use std::sync::Arc;

use model::expectation::{Expectation, RECURRENCE_SEEN_MIN, When};
use model::fact::Fact;
use model::identity::{Container, Kind, News};
use model::ids::{ContainerKey, Namespaces};
use model::novelty::Provenance;
use model::runtime::{ContainerFacts, RunState};

use super::*;

/// A batch job of an approved image.
fn batch(bits: f64) -> Finding {
    let mut finding = in_workload(excess(bits).explainable("own_cpu_cores", 1.0), "app [sum]");
    finding.provenance = Provenance::Approved;
    if let Some(container) = &mut finding.container {
        container.digest = "sha256:00".into();
    }
    finding
}

impl Desk {
    /// Five minutes of a finding every ten seconds, then quiet for the rest of a day; gives what was learned meanwhile.
    fn day(&mut self, finding: &Finding) -> Vec<Expectation> {
        let mut learned = Vec::new();
        for step in 0..8_640 {
            let findings =
                if step < 30 { vec![Finding { at: self.now, ..finding.clone() }] } else { Vec::new() };
            let told = self.triage.weigh(&seen(self.now, Body::Tick), findings).expectations;
            learned.extend(told.into_iter().filter_map(|change| match change {
                ExpectationChange::Learned(known) => Some(*known),
                _ => None,
            }));
            self.pass(Duration::from_secs(10));
        }
        learned
    }

    fn days(&mut self, count: usize, finding: &Finding) -> Vec<Expectation> {
        (0..count).flat_map(|_| self.day(finding)).collect()
    }

    /// What the next finding weighs.
    fn weight(&mut self, finding: &Finding) -> f64 {
        self.find(vec![finding.clone()]);
        let subject = finding.subject.clone();
        self.triage.subjects[&subject]
            .findings()
            .iter()
            .find(|kept| kept.judge == finding.judge)
            .unwrap()
            .bits
    }

    fn close_as(&mut self, verdict: Verdict) {
        let ids: Vec<IncidentId> = self.triage.open_incidents().map(|incident| incident.id.clone()).collect();
        for id in ids {
            let closing = Closing { at: self.now, verdict, note: "looked at".into(), owner: "ann".into() };
            self.body(Body::Closed { id, closing }, Vec::new());
        }
    }
}

fn seen_times(known: &Expectation) -> u32 {
    let When::Recurrence(recurrence) = &known.when else { panic!("a recurrence") };
    recurrence.seen
}

#[test]
fn a_daily_batch_job_is_learned_on_its_fourth_day_and_weighs_less_from_the_fifth_on() {
    let mut desk = Desk::new(Severity::Medium);
    let learned = desk.days(4, &batch(4.0));
    assert_eq!(learned.iter().map(seen_times).collect::<Vec<_>>(), [2, 3, RECURRENCE_SEEN_MIN]);
    assert_eq!(desk.weight(&batch(4.0)), 1.8);
    let harmful = Finding { at: desk.now, ..harming(batch(4.0)) };
    assert_eq!(desk.weight(&harmful), 4.0);
    assert_eq!(desk.weight(&batch(4.0)), 4.0, "its subject has just done harm");
}

#[test]
fn while_an_incident_is_open_nothing_is_learned() {
    let mut desk = Desk::new(Severity::Medium);
    assert_eq!(desk.days(6, &batch(13.0)), []);
    assert_eq!(desk.triage.open_incidents().count(), 1);
}

#[test]
fn what_was_closed_as_an_attack_is_never_learned_and_what_was_fine_is() {
    let learned_after = |verdict| {
        let mut desk = Desk::new(Severity::Medium);
        desk.find(vec![batch(13.0)]);
        desk.close_as(verdict);
        desk.pass(Duration::from_secs(86_400));
        desk.days(5, &batch(4.0)).len()
    };
    assert_eq!(learned_after(Verdict::Malicious), 0);
    assert_eq!(learned_after(Verdict::Benign), 4);
}

#[test]
fn an_attack_of_an_earlier_run_is_remembered() {
    let mut desk = Desk::new(Severity::Medium);
    let opened = desk.find(vec![batch(13.0)]).pop().unwrap().incident;
    let closing =
        Closing { at: desk.now, verdict: Verdict::Malicious, note: "a miner".into(), owner: "ann".into() };
    let mut later = Desk::new(Severity::Medium);
    later.body(Body::Restored(Box::new(opened.closed(&closing))), Vec::new());
    assert_eq!(later.triage.open_incidents().count(), 0);
    assert_eq!(later.days(5, &batch(4.0)), []);
}

#[test]
fn another_image_of_the_workload_unlearns_it() {
    let mut desk = Desk::new(Severity::Medium);
    desk.days(4, &batch(4.0));
    assert_eq!(desk.triage.expectations(), 1);
    let told = desk.settles("sha256:01");
    assert!(
        matches!(&told[..], [ExpectationChange::Learned(known)] if known.expires == Some(desk.now)),
        "{told:?}"
    );
    assert_eq!(desk.triage.expectations(), 0);
    assert_eq!(desk.weight(&batch(4.0)), 4.0);
}

#[test]
fn the_same_image_started_again_unlearns_nothing() {
    let mut desk = Desk::new(Severity::Medium);
    desk.days(4, &batch(4.0));
    assert_eq!(desk.settles("sha256:00"), []);
    assert_eq!(desk.weight(&batch(4.0)), 1.8);
}

impl Desk {
    /// A container of the workload `app [sum]` settles.
    fn settles(&mut self, digest: &str) -> Vec<ExpectationChange> {
        let facts = ContainerFacts {
            id: "4f1c".into(),
            name: "batch".into(),
            image: "app:1".into(),
            digest: digest.into(),
            command: "sum".into(),
            labels: Vec::new(),
            labels_dropped: 0,
            pid: None,
            state: RunState::Running,
            created: None,
            started: None,
            log_driver: Untrusted::default(),
            log_path: None,
            network_mode: Untrusted::default(),
            addresses: Vec::new(),
            published: Vec::new(),
            ..ContainerFacts::default()
        };
        let container = Container {
            key: ContainerKey { node: NodeId::new("node"), cgroup: CgroupId(9), started: self.now },
            kind: Kind::Managed,
            cgroup_path: Untrusted::default(),
            namespaces: Namespaces::default(),
            init: None,
            program: Untrusted::default(),
            facts: Fact::Known(Arc::new(facts)),
            root: None,
            has_own_files: None,
            ended: None,
            setup: Fact::Failed { reason: Untrusted::default() },
            tally: Arc::default(),
            others: Vec::new(),
        };
        let mut seen = seen(self.now, Body::Host(Box::default()));
        seen.identity.news.push(News::Settled(Arc::new(container)));
        self.triage.weigh(&seen, Vec::new()).expectations
    }
}
