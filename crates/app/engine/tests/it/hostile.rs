//! Everything an attacker can choose, chosen badly: text that steers terminals, numbers that overflow.

use std::time::Duration;

use model::coverage::{Health, Loss, Source};
use model::event::{Attach, Body, CgroupPath, Event, Socket, SocketState};
use model::ids::{CgroupId, ProcessKey};
use model::integrity::Integrity;
use model::time::Time;
use model::untrusted::Untrusted;
use model::usage::{CpuTimes, EngineRole, EngineUsage, HostUsage, KernelCounts, LogSize, Usage};
use report::style::Style;
use report::text::incident_text;
use testkit::incidents::HOSTILE;
use testkit::scene::{Scene, Spends};

use crate::stage::{last_forms, new_fold, printed, recorded, replayed, step_all};

/// The sample attack in which every text is hostile.
fn hostile_attack() -> Vec<Event> {
    let bad = || Untrusted::new(HOSTILE);
    let mut scene = Scene::new(4);
    scene.report(Source::Kernel, Health::Degraded, HOSTILE);
    let attack = scene.appear(HOSTILE, HOSTILE);
    scene.claim(attack, HOSTILE, HOSTILE, |facts| {
        facts.digest = bad();
        facts.command = bad();
        facts.log_driver = bad();
        facts.log_path = Some(bad());
        facts.labels = vec![
            (bad(), bad()),
            ("com.docker.compose.project".into(), bad()),
            ("com.docker.compose.service".into(), bad()),
        ];
    });
    scene.appear(&format!("/{HOSTILE}"), HOSTILE);
    scene.emit(
        Source::Kernel,
        Body::Lost(Loss { source: Source::Kernel, cgroup: None, count: 1, stage: bad() }),
    );
    let prints = Spends { own_cores: 0.008, log_bytes: 36_000_000, shim_cores: 0.0 };
    scene.seconds(6, &[(attack, prints)], 0.93);
    scene.take()
}

#[test]
fn hostile_text_everywhere_hides_nothing_and_steers_nothing() {
    let events = hostile_attack();
    let incidents = last_forms(&step_all(&mut new_fold(), &events));
    assert_eq!(incidents.len(), 1);
    let steers = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    let pages = [printed(&incidents), incident_text(&incidents[0], Style::PLAIN)];
    for page in pages {
        assert!(!page.contains(steers), "{page:?}");
        assert!(page.contains("eager") || page.contains("script"), "the name is shown as text: {page}");
    }
    assert_eq!(printed(&replayed(&recorded(&events, None)).incidents), printed(&incidents));
}

#[test]
fn text_as_long_as_it_may_be_is_cut_and_still_one_incident() {
    let long = "x".repeat(100_000);
    let mut scene = Scene::new(4);
    let attack = scene.start(&long, &long, &long);
    let prints = Spends { own_cores: 0.008, log_bytes: 36_000_000, shim_cores: 0.0 };
    scene.seconds(3, &[(attack, prints)], 0.93);
    let changes = step_all(&mut new_fold(), &scene.take());
    assert_eq!(last_forms(&changes).len(), 1);
    assert!(serde_json::to_string(&changes[0]).unwrap().len() < 20_000);
}

/// Readings at the ends of their ranges.
fn absurd_bodies(cgroup: CgroupId, id: &Untrusted, number: u64) -> Vec<Body> {
    let process = ProcessKey { pid: u32::MAX, start_ns: number };
    let cpu = CpuTimes {
        user_ns: number,
        system_ns: number,
        idle_ns: number,
        iowait_ns: number,
        irq_ns: number,
        softirq_ns: number,
        steal_ns: number,
    };
    let engine = |role, pid| EngineUsage {
        process: ProcessKey { pid, start_ns: 0 },
        role,
        name: Untrusted::default(),
        container_id: Some(id.clone()),
        cpu_ns: number,
    };
    let engines = vec![
        engine(EngineRole::Daemon, 1),
        engine(EngineRole::Daemon, 2),
        engine(EngineRole::Daemon, 2),
        engine(EngineRole::Shim, 3),
    ];
    let host = HostUsage {
        cores: number as u32,
        cpu,
        kernel_threads_ns: Some(number),
        engines,
        tasks: number,
        ..HostUsage::default()
    };
    let address = "[::1]:65535".parse().unwrap();
    vec![
        Body::Usage(Box::new(Usage {
            cgroup,
            cpu_ns: Some(number),
            cpu_limit_cores: Some(f32::MIN_POSITIVE),
            ..Usage::default()
        })),
        Body::Log(Box::new(LogSize { container_id: id.clone(), path: Untrusted::default(), bytes: number })),
        Body::Host(Box::new(host)),
        Body::Counts(Box::new(KernelCounts { cgroup, forks: number, ..KernelCounts::default() })),
        Body::Lost(Loss { source: Source::Kernel, cgroup: None, count: number, stage: Untrusted::default() }),
        Body::CgroupAttached(Attach {
            process,
            cgroup,
            path: Untrusted::default(),
            namespaces: None,
            by_pid: 0,
            by_cgroup: cgroup,
        }),
        Body::CgroupRemoved(CgroupPath { cgroup: CgroupId(number), path: Untrusted::default() }),
        Body::Socket(Box::new(Socket {
            sent_bytes: number,
            received_bytes: number,
            lasted_ms: number,
            ..Socket::new(cgroup, SocketState::Closed, address, address)
        })),
        Body::Revoked { id: number },
        Body::Tick,
    ]
    .into_iter()
    .chain(absurd_facts(id, number))
    .collect()
}

/// What Tidewatch notices about itself, likewise.
fn absurd_facts(id: &Untrusted, number: u64) -> Vec<Body> {
    vec![
        Body::Resumed { last: Time::from_ns(i64::MIN) },
        Body::FirstLook { at: Time::from_ns(i64::MAX) },
        Body::Integrity(Box::new(Integrity::late(Time::from_ns(i64::MIN), Time::from_ns(i64::MAX)))),
        Body::Integrity(Box::new(Integrity::ClockStepped { by_ms: i64::MAX })),
        Body::Integrity(Box::new(Integrity::Overdue { thread: id.clone(), silent_ms: number })),
        Body::Integrity(Box::new(Integrity::Killed {
            last: Time::from_ns(i64::MIN),
            rebooted: false,
            times: number,
        })),
    ]
}

#[test]
fn numbers_and_times_at_the_ends_of_their_ranges_break_nothing() {
    let mut scene = Scene::new(4);
    let app = scene.start("app", "app", "serve");
    scene.second(&[(app, Spends::default())], 0.0);
    let numbers = [0, u64::MAX, 1, u64::MAX - 1, u64::MAX / 2];
    // In seconds that follow one another first, so that the books are closed on such numbers.
    for number in numbers.into_iter().chain(numbers) {
        scene.pause(Duration::from_secs(1));
        for body in absurd_bodies(app.cgroup(), &app.id(), number) {
            scene.emit(Source::Host, body);
        }
    }
    for time in [Time::from_ns(i64::MIN), Time::from_ns(i64::MAX), Time::default(), scene.now()] {
        for body in absurd_bodies(app.cgroup(), &app.id(), u64::MAX) {
            scene.emit_at(time, Source::Host, body);
        }
    }
    let mut fold = new_fold();
    let changes = step_all(&mut fold, &scene.take());
    assert_eq!(fold.failed_judges(), Vec::<String>::new());
    printed(&last_forms(&changes));
    let text = serde_json::to_string(&fold).unwrap();
    assert!(serde_json::from_str::<engine::fold::Fold>(&text).is_ok(), "no figure in it is not a number");
}
