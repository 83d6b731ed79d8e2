//! The latest of each waits, within bounds, and nothing is announced twice.

use model::incident::Severity;
use proptest::prelude::*;
use testkit::expectations::learned;
use testkit::incidents::IncidentBuilder;

use super::*;

fn explained(id: &str, secs: i64) -> ExpectationChange {
    let (id, at) = (ExpectationId::from_text(id), Time::from_secs(secs));
    ExpectationChange::Explained { id, at, count: 1, sentence: format!("at {secs}") }
}

fn change(kind: ChangeKind) -> Change {
    Change { kind, incident: IncidentBuilder::attack().build() }
}

fn kinds(waiting: Waiting) -> Vec<ChangeKind> {
    waiting.into_stored().map(|change| change.kind).collect()
}

#[test]
fn an_incident_that_opens_and_grows_before_it_is_stored_is_announced_as_opened() {
    let mut waiting = Waiting::default();
    waiting.add_incident(change(ChangeKind::Opened), Instant::now());
    waiting.add_incident(change(ChangeKind::Updated), Instant::now());
    assert_eq!(kinds(waiting), [ChangeKind::Opened]);
}

#[test]
fn what_was_shown_as_not_stored_is_not_announced_again() {
    let mut waiting = Waiting::default();
    waiting.add_incident(change(ChangeKind::Opened), Instant::now());
    assert_eq!(waiting.show(|_| true).len(), 1);
    assert_eq!(waiting.show(|_| true), [], "once");
    waiting.add_incident(change(ChangeKind::Updated), Instant::now());
    assert_eq!(waiting.show(|_| true).len(), 1, "a new change is shown");
    assert_eq!(kinds(waiting), [ChangeKind::Updated]);
}

#[test]
fn explanations_add_up_while_the_store_fails() {
    let mut waiting = Waiting::default();
    (1..=2_000).for_each(|secs| waiting.add_expectation(explained("rollout", secs)));
    let taken = std::mem::take(&mut waiting);
    waiting.add_expectation(explained("rollout", 2_001));
    waiting.put_back(taken);
    let [ExpectationChange::Explained { count, sentence, .. }] = &waiting.expectations()[..] else {
        panic!("one");
    };
    assert_eq!((*count, sentence.as_str()), (2_001, "at 2001"));
}

#[test]
fn expectations_that_wait_are_bounded_and_counted() {
    let mut waiting = Waiting::default();
    (0..2_000).for_each(|secs| waiting.add_expectation(explained(&format!("EX-{secs}"), secs)));
    assert_eq!((waiting.expectations().len(), waiting.dropped), (WAITING_MAX, 1_000));
}

#[test]
fn what_was_taken_back_does_not_come_back() {
    let mut waiting = Waiting::default();
    let learned = learned("batch [sum]");
    waiting.add_expectation(ExpectationChange::Learned(Box::new(learned.clone())));
    waiting.add_expectation(explained(learned.id.as_str(), 5));
    waiting.forget_expectation(&learned.id);
    assert_eq!(waiting.expectations(), []);
}

#[test]
fn an_incident_that_no_store_can_keep_is_shown_and_keeps_no_other_out() {
    let mut waiting = Waiting::default();
    let mut bad = change(ChangeKind::Opened);
    bad.incident.bits = f64::NAN;
    waiting.add_incident(bad, Instant::now());
    assert_eq!((waiting.show(|_| false).len(), waiting.len(), waiting.dropped), (1, 0, 1));
}

proptest! {
    /// Whatever comes in whatever order, with stores that fail in between: the latest state of each incident is what waits.
    #[test]
    fn the_latest_of_each_waits(steps in proptest::collection::vec((0..5_u8, 0..4_u8, any::<bool>()), 1..60)) {
        let mut waiting = Waiting::default();
        let mut latest: BTreeMap<IncidentId, f64> = BTreeMap::new();
        let mut flight: Option<Waiting> = None;
        for (number, (workload, severity, fails)) in steps.into_iter().enumerate() {
            let severity = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical][usize::from(severity)];
            let mut incident =
                IncidentBuilder::attack().workload(&format!("w{workload}")).severity(severity).build();
            incident.bits = number as f64;
            latest.insert(incident.id.clone(), incident.bits);
            waiting.add_incident(Change { kind: ChangeKind::Updated, incident }, Instant::now());
            match flight.take() {
                Some(taken) if fails => waiting.put_back(taken),
                Some(taken) => taken.into_stored().for_each(|change| {
                    if latest.get(&change.incident.id) == Some(&change.incident.bits) {
                        latest.remove(&change.incident.id);
                    }
                }),
                None if fails => flight = Some(std::mem::take(&mut waiting)),
                None => {}
            }
        }
        if let Some(taken) = flight {
            waiting.put_back(taken);
        }
        let left: BTreeMap<IncidentId, f64> =
            waiting.incidents().into_iter().map(|incident| (incident.id, incident.bits)).collect();
        prop_assert_eq!(left, latest);
    }
}
