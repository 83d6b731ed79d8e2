//! Builds expectations: a nightly backup that somebody declared, one that was learned, and edges.
//!
//! Not here: whether they hold.

use model::expectation::{
    EdgePattern, EndpointPattern, Expectation, Expected, LEARNED, LabelPattern, Recurrence, Schedule, When,
};
use model::ids::WorkloadKey;
use model::time::Time;
use model::traffic::{Direction, Protocol};
use model::untrusted::Untrusted;

/// When they were made: 2026-01-31 12:00:00.
const CREATED: Time = Time::from_secs(1_769_860_800);

/// The subject of its text form: `image:…` or `workload:…`.
pub fn subject(text: &str) -> Expected {
    match text.split_once(':') {
        Some(("image", pattern)) => Expected::Image { pattern: pattern.into() },
        Some((_, pattern)) => Expected::Workload { pattern: pattern.into() },
        None => Expected::Workload { pattern: text.into() },
    }
}

/// Busy from two o'clock each night for an hour, for 90 days.
pub fn declared(subject_text: &str) -> Expectation {
    scheduled(subject_text, "0 2 * * *", 3600)
}

/// Busy when a schedule says, for so many seconds.
pub fn scheduled(subject_text: &str, cron: &str, lasting_seconds: u64) -> Expectation {
    let when = When::Schedule(Schedule { cron: Untrusted::new(cron), lasting_seconds });
    let why = ("the nightly backup".into(), "ann".into());
    let mut expectation = Expectation::new(subject(subject_text), when, why, CREATED);
    expectation.expires = Some(Time::from_secs(1_769_860_800 + 90 * 86_400));
    expectation
}

/// Busy about two o'clock each night, four times so far.
pub fn learned(workload: &str) -> Expectation {
    let first = Time::from_secs(1_769_824_800);
    let recurrence = Recurrence {
        workload: WorkloadKey::new(workload),
        digest: "sha256:00".into(),
        judge: "excess".into(),
        metric: "own_cpu_cores".into(),
        period_seconds: 86_400,
        first,
        last: Time::from_secs(1_769_824_800 + 3 * 86_400),
        due: Time::from_secs(1_769_824_800 + 4 * 86_400),
        seen: 4,
        missed: 0,
        peaks: (0.9, 1.0),
        lasting_seconds: 600,
    };
    let why = ("seen 4 times at 02:00 UTC".into(), LEARNED.into());
    Expectation::new(
        Expected::Workload { pattern: workload.into() },
        When::Recurrence(Box::new(recurrence)),
        why,
        CREATED,
    )
}

/// Edges with every kind of end, and that one workload talks to nobody else; for good.
pub fn edges() -> [Expectation; 4] {
    let named = |name: &str| EndpointPattern::Workload { pattern: name.into() };
    let label = LabelPattern { key: "app".into(), values: vec!["web".into(), "till".into()], is_not: true };
    let pods = || EndpointPattern::Labels { namespace: Some("shop".into()), labels: vec![label.clone()] };
    let outside =
        EndpointPattern::Network { prefix: "203.0.113.0/24".into(), except: vec!["203.0.113.128/25".into()] };
    let domain = EndpointPattern::Domain { pattern: "*.example.com".into() };
    let edge = |from, to| EdgePattern { from, to, ports: None, protocol: None, side: None };
    let to_outside = EdgePattern {
        ports: Some((8000, 8099)),
        protocol: Some(Protocol::TCP),
        side: Some(Direction::Out),
        ..edge(pods(), outside)
    };
    let from_anybody =
        EdgePattern { protocol: Some(Protocol::UDP), ..edge(EndpointPattern::Any, EndpointPattern::Host) };
    let subjects = [
        Expected::Edge(Box::new(edge(named("compose:shop/*"), domain))),
        Expected::Edge(Box::new(to_outside)),
        Expected::Edge(Box::new(from_anybody)),
        Expected::NothingElse { who: named("db"), direction: Direction::In },
    ];
    let why = || (Untrusted::new("the shop"), Untrusted::new("ann"));
    subjects.map(|subject| Expectation::new(subject, When::Always, why(), CREATED))
}
