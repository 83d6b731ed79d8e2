//! Statuses to be shown: the sample attack on a busy host, an empty host, many containers, hostile names.
//!
//! Not here: what should be shown of them.

use engine::status::activity::{Activity, Counted, Limits, Wait, Waiting};
use engine::status::host::{
    DiskStatus, HostDetail, IncidentStatus, LevelStatus, ObjectStatus, SpenderStatus,
};
use engine::status::involved::Involved;
use engine::status::{ContainerStatus, CostStatus, SourceStatus, Status};
use model::coverage::{Coverage, Health, Source};
use model::identity::Kind;
use model::ids::NodeId;
use model::incident::{IncidentId, Severity};
use model::novelty::Provenance;
use model::untrusted::Untrusted;
use model::usage::{EngineRole, Pressure};
use serde_json::json;
use testkit::incidents::HOSTILE;

const GB: u64 = 1_000_000_000;

/// A managed container of an approved image that costs so much, own and out of band.
pub(super) fn container(name: &str, cgroup_id: u64, (own, others): (f64, f64)) -> ContainerStatus {
    let seconds = 12;
    ContainerStatus {
        name: Untrusted::new(name),
        id: Untrusted::new("4f1c0a6de9f2"),
        image: Untrusted::new("shop/web:1.4"),
        kind: Kind::Managed,
        workload: "compose:shop/web".to_owned(),
        provenance: Provenance::Approved,
        cgroup: Untrusted::new("/docker/4f1c0a6de9f2"),
        cgroup_id,
        pid: Some(712),
        started: "2026-01-31T11:02:03.000Z".to_owned(),
        own_cpu_cores: Some(own),
        out_of_band_cpu_cores: Some(others),
        costs: Vec::new(),
        own_cpu_cores_by_second: (0..seconds).map(|at| own * f64::from(at) / 8.0).collect(),
        out_of_band_cpu_cores_by_second: (0..seconds).map(|at| others * f64::from(at) / 8.0).collect(),
        own_usual_cpu_cores: Some(0.25),
        activity: Some(Activity {
            io_bytes_per_second: Some(0.0),
            io_operations_per_second: Some(0.0),
            counted: Some(Counted {
                packet_bytes_per_second: 1_500.0,
                packets_per_second: 12.0,
                ..Counted::default()
            }),
            ..Activity::default()
        }),
        limits: Limits { tasks: Some(9), ..Limits::default() },
        waiting: Waiting::default(),
        held: None,
        incidents: Vec::new(),
        memory_bytes: Some(48_000_000),
        log_bytes_per_second: Some(120.0),
    }
}

/// Two cores on which an unapproved container makes the engine pay, beside a web server that waits, one at its limit,
/// a ghost, and one that has just begun.
pub(super) fn attack() -> Status {
    let web = ContainerStatus {
        waiting: Waiting { cpu: Wait { share: 0.42, usual_share: Some(0.03) }, ..Waiting::default() },
        ..container("web", 10, (0.31, 0.02))
    };
    let batch = ContainerStatus {
        activity: Some(Activity {
            io_bytes_per_second: Some(4.2e6),
            throttled_share: Some(0.6),
            ..Activity::default()
        }),
        limits: Limits { cpu_limit_cores: Some(0.2), memory_limit_bytes: Some(GB), ..Limits::default() },
        memory_bytes: Some(730_000_000),
        log_bytes_per_second: None,
        ..container("batch", 11, (0.2, 0.0))
    };
    let ghost = ContainerStatus {
        kind: Kind::Ghost,
        image: Untrusted::default(),
        provenance: Provenance::Unclaimed,
        ..container("sh -c sleep", 12, (0.0, 0.0))
    };
    let new = ContainerStatus {
        own_cpu_cores: None,
        out_of_band_cpu_cores: None,
        own_cpu_cores_by_second: Vec::new(),
        out_of_band_cpu_cores_by_second: Vec::new(),
        activity: None,
        memory_bytes: None,
        log_bytes_per_second: None,
        ..container("just-begun", 13, (0.0, 0.0))
    };
    let mut status = Status { containers: vec![ghost, web, new, batch, attacker()], ..empty() };
    status.incidents_open = 2;
    status.host_detail = detail();
    let host = status.host.insert(Default::default());
    (host.seconds, host.cores, host.busy_cores) = (5.0, 2, 1.83);
    (host.container_cores, host.engine_cores, host.shim_cores) = (0.55, 0.98, 0.02);
    (host.service_cores, host.kernel_thread_cores, host.softirq_cores) = (0.11, 0.06, 0.03);
    (host.residual_cores, host.iowait_cores) = (0.08, 0.04);
    (host.memory_total_bytes, host.memory_available_bytes) = (8 * GB, 3 * GB);
    let waited = |percent| Some(Pressure { some_avg10_percent: percent, ..Pressure::default() });
    host.pressures.cpu = waited(34.0);
    host.pressures.memory = waited(0.0);
    host.pressures.io = waited(12.0);
    status
}

fn attacker() -> ContainerStatus {
    let cost = |class: &str, cores, share, units_per_second| CostStatus {
        class: serde_json::from_value(json!(class)).unwrap(),
        cores,
        share,
        pool_cores: 1.0,
        units_per_second,
    };
    ContainerStatus {
        image: Untrusted::new("busybox"),
        workload: "busybox [yes]".to_owned(),
        provenance: Provenance::Unapproved,
        costs: vec![
            cost("softirq", 0.02, 0.4, 2_000.0),
            cost("engine_log", 0.97, 0.98, 36e6),
            cost("engine_calls", 0.001, 0.0, 0.0),
        ],
        incidents: vec![Involved {
            severity: Severity::Critical,
            id: IncidentId::from_text("TW-23f3ba2e152e"),
        }],
        memory_bytes: Some(1_050_000),
        log_bytes_per_second: Some(36e6),
        ..container("atk", 14, (0.04, 0.99))
    }
}

fn detail() -> HostDetail {
    let level = |used: f64, limit: f64, full_in_seconds| LevelStatus {
        used,
        limit: Some(limit),
        used_share: Some(used / limit),
        growth_per_second: Some(1.0),
        full_in_seconds,
    };
    let object =
        |name: &str, level| ObjectStatus { object: serde_json::from_value(json!(name)).unwrap(), level };
    HostDetail {
        tasks: Some(231),
        tasks_runnable: Some(9),
        objects: vec![
            object("files", level(9_000.0, 800_000.0, None)),
            object("ptys", level(3_900.0, 4_096.0, Some(12.3))),
        ],
        disks: vec![DiskStatus {
            path: Untrusted::new("/var/lib/docker"),
            bytes: level(55e9, 80e9, Some(754.0)),
            inodes: Some(level(1e5, 5e6, None)),
        }],
        spenders: vec![
            SpenderStatus {
                role: Some(EngineRole::Daemon),
                name: Untrusted::new("dockerd"),
                pid: Some(411),
                cpu_cores: 0.93,
            },
            SpenderStatus {
                role: None,
                name: Untrusted::new("/system.slice/postgresql.service"),
                pid: None,
                cpu_cores: 0.09,
            },
        ],
        processes: Vec::new(),
        incidents: vec![IncidentStatus {
            id: IncidentId::from_text("TW-23f3ba2e152e"),
            severity: Severity::Critical,
            bits: 16.7,
            summary: "container atk (image busybox): its own cgroup used 0.036 of a core, while the container engine \
                      spent 1.03 cores copying its output"
                .to_owned(),
        }],
    }
}

/// A host on which nothing runs, with an engine that does not answer.
pub(super) fn empty() -> Status {
    Status {
        version: "0.0.0".to_owned(),
        node: NodeId::new("shop-1"),
        since: "2026-01-31T11:00:00.000Z".to_owned(),
        now: "2026-01-31T12:00:09.000Z".to_owned(),
        containers: Vec::new(),
        sources: vec![SourceStatus {
            source: Source::Docker,
            health: Health::Down,
            reason: Untrusted::new("the engine does not answer"),
        }],
        coverage: Coverage::default(),
        blind_strategies: Vec::new(),
        host: None,
        host_detail: HostDetail::default(),
        incidents_open: 0,
        expectations: 0,
        approvals: 1,
        threshold_bits: 12.5,
        events: 99,
        inventory_dropped: 0,
        judges_failed: Vec::new(),
        hardening: Default::default(),
        integrity: Vec::new(),
        threads: Vec::new(),
        calls: Vec::new(),
        store: engine::status::StoreStatus::default(),
    }
}

/// So many equal containers.
pub(super) fn herd(count: u64) -> Status {
    let one = |at: u64| container(&format!("herd-{at:03}"), at + 1, (0.01, 0.01));
    Status { containers: (0..count).map(one).collect(), ..attack() }
}

/// The attack under names that try to steer the terminal, to reorder what is read, and to move columns.
pub(super) fn hostile() -> Status {
    let mut status = attack();
    let names = [HOSTILE, &"x".repeat(100_000), "日本語のコンテナの長い名前", "", "a\u{301}\u{301}b"];
    for (container, name) in status.containers.iter_mut().zip(names) {
        container.name = Untrusted::new(name);
        container.image = Untrusted::new(name);
        container.workload = name.to_owned();
        container.costs.clear();
    }
    status.host_detail.disks[0].path = Untrusted::new(HOSTILE);
    status.host_detail.spenders[0].name = Untrusted::new(HOSTILE);
    status.host_detail.incidents[0].summary = HOSTILE.to_owned();
    status.sources[0].reason = Untrusted::new(HOSTILE);
    status
}
