//! What threads, calls and clocks show becomes facts, each once, and the health of sources follows.

use super::*;

const NOW: Time = Time::from_secs(1_769_860_800);
const SECOND: Duration = Duration::from_secs(1);

fn report(source: Source, health: Health, reason: &str) -> Body {
    Body::Report(SourceReport { source, health, reason: Untrusted::new(reason) })
}

/// Facts and reports as short text.
fn shown(bodies: &[Body]) -> Vec<String> {
    let show = |body: &Body| match body {
        Body::Integrity(fact) => match &**fact {
            Integrity::Overdue { thread, .. } => format!("overdue {thread}"),
            Integrity::Died { thread, reason } => format!("died {thread}: {reason}"),
            Integrity::Recovered { thread, .. } => format!("recovered {thread}"),
            other => format!("{other:?}"),
        },
        Body::Report(report) => {
            let reason = report.reason.raw().split(" since ").next().unwrap_or_default();
            format!("{} {:?} {reason}", report.source, report.health)
        }
        other => format!("{other:?}"),
    };
    bodies.iter().map(show).collect()
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        std::thread::yield_now();
    }
}

#[test]
fn a_tick_that_is_late_by_more_than_three_seconds_is_a_fact_and_the_first_is_none() {
    let mut watchdog = Watchdog::default();
    let first = Moment::now(NOW);
    let after = |passed: Duration, suspended: Duration, waited_ns: u64| Moment {
        at: NOW.plus(passed),
        boot: first.boot + passed,
        awake: first.awake + (passed - suspended),
        waited_ns: Some(waited_ns),
    };
    assert_eq!(watchdog.tick(after(Duration::ZERO, Duration::ZERO, 0)), None);
    assert_eq!(watchdog.tick(after(SECOND * 3, Duration::ZERO, 0)), None);
    assert!(!watchdog.is_late(first.boot + SECOND * 6));
    assert!(watchdog.is_late(first.boot + SECOND * 7));
    let late = watchdog.tick(after(SECOND * 23, SECOND * 5, 2_000_000_000));
    let (from, until) = (NOW.plus(SECOND * 3), NOW.plus(SECOND * 23));
    let (suspended_ms, starved_ms) = (Some(5_000), Some(2_000));
    assert_eq!(late, Some(Integrity::Late { from, until, suspended_ms, starved_ms }));
}

#[test]
fn a_silent_thread_degrades_its_source_until_it_reports_again() {
    let (mut watchdog, pulses) = (Watchdog::default(), Pulses::default());
    watchdog.note(&report(Source::Systemd, Health::Up, ""));
    let pulse = pulses.begin("units", SECOND);
    assert!(watchdog.look(&pulses, &[], NOW).is_empty());
    wait_until(|| pulse.vital().is_overdue());
    let first = watchdog.look(&pulses, &[], NOW);
    assert_eq!(shown(&first), ["overdue units", "systemd Degraded its thread units is silent"]);
    first.iter().for_each(|body| watchdog.note(body));
    assert!(watchdog.look(&pulses, &[], NOW).is_empty(), "what comes back as an event is said once");
    pulse.beat();
    let then = watchdog.look(&pulses, &[], NOW);
    assert_eq!(shown(&then), ["recovered units", "systemd Up "]);
    assert!(watchdog.look(&pulses, &[], NOW).is_empty(), "each once");
}

#[test]
fn a_thread_that_panicked_is_down_whatever_its_source_said_last() {
    let (mut watchdog, pulses) = (Watchdog::default(), Pulses::default());
    watchdog.note(&report(Source::Podman, Health::Up, ""));
    let thread = pulses.spawn("podman", SECOND * 60, |_| panic!("on purpose")).unwrap();
    wait_until(|| thread.pulse().vital().life != Life::Runs);
    let first = watchdog.look(&pulses, &[], NOW);
    assert_eq!(shown(&first), ["died podman: on purpose", "podman Down its thread podman ended: on purpose"]);
    assert!(watchdog.look(&pulses, &[], NOW).is_empty(), "each once");
    thread.pulse().retire();
    watchdog.note(&report(Source::Podman, Health::Absent, "no store of Podman"));
    assert!(watchdog.look(&pulses, &[], NOW).is_empty(), "started anew, it speaks for itself");
}

#[test]
fn a_source_whose_thread_the_system_does_not_give_is_down_and_says_why() {
    let (mut watchdog, pulses) = (Watchdog::default(), Pulses::default());
    watchdog.note(&report(Source::Systemd, Health::Up, ""));
    let _lacking = pulses.not_started("units", SECOND, &std::io::Error::other("full"));
    let first = watchdog.look(&pulses, &[], NOW);
    let why = "no thread for it: full";
    let down = format!("systemd Down its thread units ended: {why}");
    assert_eq!(shown(&first), [format!("died units: {why}"), down]);
}

#[test]
fn a_call_that_does_not_return_degrades_the_source_that_made_it() {
    let (mut watchdog, pulses) = (Watchdog::default(), Pulses::default());
    watchdog.note(&report(Source::Host, Health::Up, ""));
    let stuck = Counts {
        begun: 9,
        abandoned: 2,
        unfinished: 2,
        oldest: Some(("log file", Instant::now())),
        ..Counts::default()
    };
    let first = watchdog.look(&pulses, &[(stuck.clone(), Source::Host)], NOW);
    assert_eq!(shown(&first), ["overdue log file", "host Degraded log file (2 do not return),"]);
    first.iter().for_each(|body| watchdog.note(body));
    assert!(watchdog.look(&pulses, &[(stuck, Source::Host)], NOW.plus(SECOND)).is_empty(), "each once");
    let then = watchdog.look(&pulses, &[(Counts::default(), Source::Host)], NOW);
    assert_eq!(shown(&then), ["recovered log file", "host Up "]);
}
