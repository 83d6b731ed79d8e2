//! What declared schedules take off, what they never touch, and how that is told and counted.

use model::expectation::{Expectation, ExpectationId};
use testkit::expectations::scheduled;

use super::*;

/// Busy in the five minutes from the start of the cases on (2027-01-15 08:00 UTC).
fn morning(subject: &str) -> Expectation {
    scheduled(subject, "0 8 * * *", 300)
}

fn busy(bits: f64) -> Finding {
    excess(bits).explainable("own_cpu_cores", 1.0)
}

impl Desk {
    fn expecting(expectations: &[Expectation]) -> Self {
        let mut desk = Self::new(Severity::Medium);
        for expectation in expectations {
            // The cases play a year after the samples were made.
            let expectation = Expectation { expires: None, ..expectation.clone() };
            desk.body(Body::Expected(Box::new(expectation)), Vec::new());
        }
        desk
    }

    fn explained(&mut self, finding: Finding) -> Weighed {
        let finding = Finding { at: self.now, ..finding };
        self.triage.weigh(&seen(self.now, Body::Tick), vec![finding])
    }

    /// How often it is told that something was explained.
    fn counts(&mut self, finding: Finding) -> usize {
        self.explained(finding).expectations.len()
    }
}

#[test]
fn busy_in_its_window_is_half_a_bit_and_outside_it_is_busy() {
    let mut desk = Desk::expecting(&[morning("image:app")]);
    assert_eq!(desk.counts(busy(8.0)), 1);
    desk.pass(Duration::from_secs(299));
    assert_eq!(desk.counts(busy(8.0)), 0, "the same spell");
    desk.pass(Duration::from_secs(1));
    assert_eq!(desk.counts(busy(8.0)), 0, "the window is closed");
    desk.pass(Duration::from_secs(86_100));
    assert_eq!(desk.counts(busy(8.0)), 1, "the next day");
}

#[test]
fn what_explains_is_told_with_the_finding_and_its_figures() {
    let mut desk = Desk::expecting(&[morning("image:app")]);
    let told = desk.explained(busy(8.0)).expectations;
    let [ExpectationChange::Explained { count: 1, sentence, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!(sentence, "excess of c7, 8.0 to 0.5 bits");
}

#[test]
fn an_image_that_nobody_approved_and_is_busy_opens_an_incident_only_outside_the_window() {
    let opens = |desk: &mut Desk| !desk.find(vec![unapproved(4.0), busy(8.0)]).is_empty();
    let mut desk = Desk::expecting(&[morning("workload:web")]);
    assert!(!opens(&mut desk));
    desk.pass(Duration::from_secs(300));
    assert!(opens(&mut desk));
}

#[test]
fn an_incident_says_what_was_lowered_on_it_and_why() {
    let mut desk = Desk::expecting(&[morning("image:app")]);
    let changes = desk.find(vec![busy(8.0), out_of_band(13.0)]);
    let incident = &changes.last().unwrap().incident;
    let lowered = incident.reasons.iter().find(|reason| reason.contains("lowered")).unwrap();
    let text = lowered.replace(morning("image:app").id.as_str(), "EX-…");
    expect!["excess lowered from 8.0 to 0.5 bits by schedule EX-…: ann expects it in the window that opened at 2027-01-15T08:00:00.000Z: the nightly backup"].assert_eq(&text);
    let explained = incident.findings.iter().find(|finding| !finding.explained.is_empty()).unwrap();
    assert_eq!((explained.bits, explained.explained[0].bits_before), (0.5, 8.0));
}

#[test]
fn what_harms_or_makes_others_pay_or_is_nobodys_is_never_explained_away() {
    let mut desk = Desk::expecting(&[morning("image:**"), morning("workload:**")]);
    let kernel_objects = finding("kernel_objects", Family::Resource, 6.0);
    let integrity = finding("judge_failed", Family::Integrity, 6.0).explainable("own_cpu_cores", 1.0);
    let talks = finding("beacon", Family::Communication, 6.0).explainable("own_cpu_cores", 1.0);
    let harmful = harming(busy(8.0));
    for finding in [
        harmful,
        out_of_band(13.0),
        unapproved(4.0).explainable("own_cpu_cores", 1.0),
        kernel_objects,
        integrity,
        talks,
    ] {
        let (judge, bits) = (finding.judge.clone(), finding.bits);
        assert_eq!(desk.counts(finding), 0, "{judge}");
        let dossier = desk.triage.subjects.values().next().unwrap();
        let kept = dossier.findings().iter().find(|kept| kept.judge == judge && kept.bits == bits);
        assert!(kept.is_some_and(|kept| kept.explained.is_empty()), "{judge}");
    }
}

#[test]
fn a_subject_is_a_glob_and_a_workload_also_its_own_name() {
    let explains = |subject: &str, workload: &str| {
        let mut desk = Desk::expecting(&[morning(subject)]);
        desk.counts(in_workload(busy(8.0), workload)) > 0
    };
    assert!(explains("image:app", "w") && explains("image:a*", "w") && !explains("image:b*", "w"));
    assert!(explains("workload:busybox [yes]", "busybox [yes]"), "brackets mean themselves");
    assert!(explains("workload:compose:shop/*", "compose:shop/web nginx"));
    assert!(explains("workload:compose:*", "compose:shop/web nginx"), "a workload has no parts");
    assert!(!explains("workload:", "w"));
}

#[test]
fn an_expired_and_a_removed_expectation_explain_nothing() {
    let mut expired = morning("image:app");
    expired.expires = Some(START);
    let mut desk = Desk::new(Severity::Medium);
    desk.body(Body::Expected(Box::new(expired)), Vec::new());
    assert_eq!(desk.counts(busy(8.0)), 0);

    let kept = morning("image:app");
    let mut desk = Desk::expecting(std::slice::from_ref(&kept));
    desk.body(Body::Unexpected { id: kept.id }, Vec::new());
    assert_eq!(desk.counts(busy(8.0)), 0);
}

#[test]
fn a_finding_that_weighs_less_already_is_left_as_it_is() {
    let mut desk = Desk::expecting(&[morning("image:app")]);
    assert_eq!(desk.counts(busy(0.4)), 0);
}

#[test]
fn nonsense_in_a_recording_covers_nothing_and_hostile_words_are_shown_escaped() {
    let mut desk = Desk::expecting(&[scheduled("image:app", "every morning", 300), morning("image:a[")]);
    assert_eq!(desk.counts(busy(8.0)), 0);
    let hostile = Expectation { reason: "\u{1b}[2J\u{202e}".into(), ..morning("image:app") };
    let mut desk = Desk::expecting(&[hostile]);
    desk.explained(busy(8.0));
    let dossier = desk.triage.subjects.values().next().unwrap();
    let sentence = &dossier.findings()[0].explained[0].sentence;
    assert!(!sentence.contains(['\u{1b}', '\u{202e}']), "{sentence:?}");
}

#[test]
fn no_more_expectations_are_known_than_there_may_be() {
    let mut desk = Desk::new(Severity::Medium);
    for number in 0..model::expectation::EXPECTATIONS_MAX + 10 {
        let expectation = morning(&format!("image:team/{number}"));
        desk.body(Body::Expected(Box::new(expectation)), Vec::new());
    }
    assert_eq!(desk.triage.expectations(), model::expectation::EXPECTATIONS_MAX);
    desk.body(Body::Unexpected { id: ExpectationId::from_text("EX-none") }, Vec::new());
}
