//! One event of every kind, with every field that a recording can hold.

use std::net::SocketAddr;

use model::approval::{Approval, Scope};
use model::authority::Authority;
use model::confines::Confines;
use model::coverage::{Health, Loss, Source, SourceReport};
use model::event::{
    Attach, Body, CgroupPath, Event, Exec, Exit, FileOrigin, Lineage, Socket, SocketState, Streams,
};
use model::expectation::ExpectationId;
use model::ids::{CgroupId, Namespaces, NodeId, ProcessKey};
use model::incident::{Closing, IncidentId, Verdict};
use model::integrity::Integrity;
use model::privilege::{Capabilities, HostMount, NamespaceKind, Privileges};
use model::program::Descent;
use model::runtime::{
    ContainerFacts, Deploy, EngineWork, ImageFacts, ImageWork, Orchestrated, OrderedBy, RunState,
    ServiceChange,
};
use model::setup::{Maker, Setup};
use model::time::Time;
use model::traffic::{Direction, DnsMessage, Flow, FlowCounts, FlowKey, Flows, InterfaceAddress, Protocol};
use model::untrusted::Untrusted;
use model::usage::{
    CpuTimes, DeepUsage, DiskSpace, EngineRole, EngineUsage, HostUsage, KernelCounts, KernelObjects,
    KernelWork, Level, LogSize, Pressure, Pressures, ProcessUsage, ServiceUsage, Usage,
};
use model::view::{EngineKind, EngineSeen, EngineState, Standing, UnitChange, View};
use testkit::expectations::{declared, learned};
use testkit::incidents::{HOSTILE, IncidentBuilder};

const CGROUP: CgroupId = CgroupId(4711);

pub(super) fn node() -> NodeId {
    NodeId::new("shop-1")
}
const PROCESS: ProcessKey = ProcessKey { pid: 4242, start_ns: 81_230_000_000 };

fn exec() -> Box<Exec> {
    Box::new(Exec {
        process: PROCESS,
        parent_pid: 1,
        uid: 0,
        cgroup: CGROUP,
        namespaces: Namespaces { pid: 4_026_532_001, mnt: 4_026_532_002, net: 4_026_532_003 },
        name: "yes".into(),
        path: "/bin/yes".into(),
        args: HOSTILE.into(),
        streams: Streams::default(),
        origin: FileOrigin::default(),
        script: Untrusted::default(),
        is_by_loader: false,
        file: None,
        descent: Descent::default(),
        lineage: None,
        confines: None,
    })
}

/// With everything that came later.
fn exec_in_full() -> Exec {
    let lineage = Lineage {
        parent_cgroup: CgroupId(1),
        parent_namespaces: Namespaces { pid: 4_026_531_836, mnt: 4_026_531_841, net: 4_026_531_840 },
        login_uid: Some(1000),
        has_terminal: true,
        user_ns: 4_026_531_837,
    };
    Exec {
        streams: Streams { sockets: 3, remote: Some(SocketAddr::from(([203, 0, 113, 9], 4444))) },
        origin: FileOrigin::Written,
        script: HOSTILE.into(),
        lineage: Some(lineage),
        confines: Some(Confines { has_own_root: true, pid_inside: 1, ..Confines::default() }),
        ..*exec()
    }
}

fn facts() -> ContainerFacts {
    ContainerFacts {
        id: "4f1c".into(),
        name: "eager_tesla".into(),
        image: "busybox".into(),
        digest: "sha256:9211".into(),
        command: "yes".into(),
        labels: vec![("team".into(), HOSTILE.into())],
        labels_dropped: 2,
        pid: Some(4242),
        state: RunState::Running,
        created: Some(Time::from_secs(1)),
        started: None,
        log_driver: "json-file".into(),
        log_path: Some("/var/lib/docker/containers/4f1c/4f1c-json.log".into()),
        network_mode: Untrusted::default(),
        addresses: Vec::new(),
        published: Vec::new(),
        ..ContainerFacts::default()
    }
}

fn facts_in_full() -> ContainerFacts {
    ContainerFacts {
        view: View::new(EngineKind::Containerd, "/run/x.sock").of_namespace(&HOSTILE.into()),
        image_facts: ImageFacts {
            digests: vec!["sha256:00".into()],
            is_local: true,
            parent: "sha256:01".into(),
            signers: vec![HOSTILE.into()],
        },
        privileges: Some(Box::new(privileges())),
        health_check: "/bin/sh -c true".into(),
        root: "/run/root".into(),
        cgroup: "/default/x".into(),
        orchestrated: Some(Orchestrated {
            name: "swarm".into(),
            standing: Standing::Denied,
            reason: HOSTILE.into(),
            ordered_by: OrderedBy::HostFile,
        }),
        ..facts()
    }
}

fn privileges() -> Privileges {
    Privileges {
        is_privileged: true,
        capabilities: Capabilities::ALL,
        host_namespaces: vec![NamespaceKind::Pid, NamespaceKind::Net],
        without_seccomp: true,
        is_unconfined: true,
        mounts: vec![HostMount { path: HOSTILE.into(), is_writable: true }],
        devices: vec!["/dev/kvm".into()],
    }
}

fn setup() -> Setup {
    Setup {
        process: PROCESS,
        cgroup: CGROUP,
        program: "sh".into(),
        cgroup_path: "/x".into(),
        namespaces: Namespaces { pid: 1, mnt: 2, net: 3 },
        root: HOSTILE.into(),
        has_own_root: true,
        runs_hosts_file: false,
        has_own_users: true,
        privileges: privileges(),
        makers: vec![Maker { pid: 4, name: "unshare".into(), args: HOSTILE.into(), executable: None }],
    }
}

fn engine_seen() -> EngineSeen {
    EngineSeen {
        view: View::new(EngineKind::Podman, "/var/lib/containers/storage"),
        state: EngineState::Doubtful,
        reason: HOSTILE.into(),
        process: Some(PROCESS),
        program: "/usr/bin/podman".into(),
        cgroup: "/x".into(),
        is_standard: true,
        part_of: Some(View::default()),
        authority: Authority::default(),
        executable: None,
    }
}

fn pressures() -> Pressures {
    let pressure = Pressure {
        some_avg10_percent: 12.34,
        some_avg60_percent: 0.1,
        full_avg10_percent: 3.3,
        some_total_us: 18_446_744_073_709_551_615,
    };
    Pressures { cpu: Some(pressure), memory: None, io: Some(pressure) }
}

pub(super) fn usage() -> Usage {
    Usage {
        cgroup: CGROUP,
        cpu_ns: Some(38_000_000),
        cpu_limit_cores: Some(0.7),
        memory_bytes: Some(1 << 20),
        pressures: pressures(),
        ..Usage::default()
    }
}

fn host() -> HostUsage {
    let engine = EngineUsage {
        process: PROCESS,
        role: EngineRole::Shim,
        name: "containerd-shim".into(),
        container_id: Some("4f1c".into()),
        cpu_ns: 4_440_000_000,
    };
    let disk = DiskSpace {
        path: "/var/lib/docker".into(),
        total_bytes: 1 << 40,
        free_bytes: 1 << 39,
        inodes_total: 1000,
        inodes_free: 10,
    };
    HostUsage {
        cores: 2,
        cpu: CpuTimes {
            user_ns: 1,
            system_ns: 2,
            idle_ns: 3,
            iowait_ns: 4,
            irq_ns: 5,
            softirq_ns: 6,
            steal_ns: 7,
        },
        kernel_threads_ns: Some(8),
        engines: vec![engine],
        pressures: pressures(),
        disks: vec![disk],
        ..HostUsage::default()
    }
}

/// With the fields that came after the first recordings.
fn usage_in_full() -> Usage {
    Usage {
        memory_working_set_bytes: Some(1 << 20),
        memory_swap_bytes: Some(4096),
        major_faults: Some(9),
        oom_events: Some(2),
        ..usage()
    }
}

/// Likewise.
fn host_in_full() -> HostUsage {
    HostUsage {
        kernel_work: Some(KernelWork { writeback_ns: 5, softirq_ns: 3 }),
        services: vec![ServiceUsage { path: "/system.slice/ssh.service".into(), cpu_ns: 6 }],
        objects: KernelObjects {
            files: Some(Level { used: 7, limit: Some(65_536) }),
            inodes: Some(Level { used: 8, limit: None }),
            ..KernelObjects::default()
        },
        ..host()
    }
}

/// Likewise.
fn counts_in_full() -> KernelCounts {
    KernelCounts {
        cgroup: CGROUP,
        threads: 1,
        ended_cpu_ns: 2,
        helpers: 3,
        helper_cpu_ns: 4,
        module_requests: 5,
        engine_calls: 6,
        sent_packets: 7,
        sent_packet_bytes: 8,
        received_packets: 9,
        received_packet_bytes: 10,
        whole_syncs: 11,
        file_syncs: 12,
        ..KernelCounts::default()
    }
}

fn deep() -> DeepUsage {
    DeepUsage { cgroup: CGROUP, processes: 2, files: Some(17), left_out: 1, ..DeepUsage::default() }
}

fn process_usage() -> ProcessUsage {
    ProcessUsage {
        process: PROCESS,
        cgroup_path: "/docker/4f1c".into(),
        name: "yes".into(),
        cpu_ns: 30_000_000,
        spent_ns: 20_000_000,
    }
}

fn socket() -> Box<Socket> {
    let (local, remote) = (SocketAddr::from(([10, 0, 0, 2], 40_000)), "[2001:db8::1]:443".parse().unwrap());
    let socket = Socket::new(CGROUP, SocketState::Connected, local, remote);
    Box::new(Socket { sent_bytes: 10, received_bytes: 20, ..socket })
}

fn flow() -> Flow {
    let remote = "2001:db8::1".parse().unwrap();
    let key = FlowKey { direction: Direction::Out, protocol: Protocol::UDP, remote, port: 443 };
    Flow { key, counts: FlowCounts { opened: 1, sent_bytes: u64::MAX, ..FlowCounts::default() } }
}

fn names() -> Box<DnsMessage> {
    Box::new(DnsMessage {
        cgroup: CGROUP,
        server: [127, 0, 0, 11].into(),
        is_answer: true,
        name: HOSTILE.into(),
        record_type: 16,
        code: 3,
        addresses: vec![[203, 0, 113, 7].into()],
        bytes: 90,
    })
}

fn approval() -> Box<Approval> {
    let scope = Scope::Digest { digest: "sha256:9211".into(), image: "busybox".into() };
    Box::new(Approval { id: 3, scope, owner: "ann".into(), at: Time::from_secs(2), note: "ours".into() })
}

fn closing() -> Closing {
    Closing { at: Time::from_secs(9), verdict: Verdict::Benign, note: "a test".into(), owner: "ann".into() }
}

/// One event body of each kind.
fn bodies() -> Vec<Body> {
    let path = || CgroupPath { cgroup: CGROUP, path: "/docker/4f1c".into() };
    let exit = Exit {
        process: PROCESS,
        cgroup: CGROUP,
        status: 0,
        signal: 11,
        core_dumped: true,
        name: "yes".into(),
    };
    let report = SourceReport { source: Source::Docker, health: Health::Degraded, reason: "slow".into() };
    vec![
        Body::Exec(exec()),
        Body::Process(exec()),
        Body::Exit(exit),
        Body::CgroupCreated(path()),
        Body::CgroupRemoved(path()),
        Body::CgroupAttached(Attach {
            process: PROCESS,
            cgroup: CGROUP,
            path: "/docker/4f1c".into(),
            namespaces: None,
            by_pid: 0,
            by_cgroup: CgroupId(0),
        }),
        Body::Socket(socket()),
        Body::Flows(Box::new(Flows { cgroup: CGROUP, flows: vec![flow()] })),
        Body::Dns(names()),
        Body::Interfaces(vec![InterfaceAddress { address: [172, 17, 0, 1].into(), prefix_bits: 16 }]),
        Body::Counts(Box::new(KernelCounts {
            cgroup: CGROUP,
            forks: 7,
            no_room: u64::MAX,
            crowded: 7,
            ..KernelCounts::default()
        })),
        Body::Usage(Box::new(usage())),
        Body::Log(Box::new(LogSize {
            container_id: "4f1c".into(),
            path: "/a.log".into(),
            bytes: 98_304_000,
        })),
        Body::Host(Box::new(host())),
        Body::Container(Box::new(facts())),
        Body::gone("4f1c".into()),
        Body::listed(vec!["4f1c".into(), "5a2d".into()]),
        Body::Approved(approval()),
        Body::Revoked { id: 3 },
        Body::Restored(Box::new(IncidentBuilder::attack().hostile().build())),
        Body::Closed { id: IncidentId::from_text("TW-0123456789ab"), closing: closing() },
        Body::Report(report),
        Body::Lost(Loss { source: Source::Kernel, cgroup: Some(CGROUP), count: 5, stage: "budget".into() }),
        Body::Resumed { last: Time::from_secs(1) },
        Body::Tick,
        Body::Deep(Box::new(deep())),
        Body::Processes(vec![process_usage()]),
        Body::Usage(Box::new(usage_in_full())),
        Body::Host(Box::new(host_in_full())),
        Body::EngineWork(EngineWork::new(ImageWork::Import, HOSTILE.into())),
        Body::Service(ServiceChange { service: "web".into(), deploy: Deploy::ScaleOut }),
        Body::Expected(Box::new(declared("image:backup"))),
        Body::Expected(Box::new(learned("batch [sum]"))),
        Body::Unexpected { id: ExpectationId::from_text("EX-0123456789ab") },
        Body::Counts(Box::new(counts_in_full())),
        Body::ran_in("4f1c".into()),
    ]
}

/// What came with the views of engines beside Docker.
fn later_bodies() -> Vec<Body> {
    vec![
        Body::Own(CGROUP),
        Body::Engine(Box::new(engine_seen())),
        Body::Units(UnitChange {
            is_manager: true,
            started: vec!["nginx.service".into(), HOSTILE.into()],
            ended: vec!["old.scope".into()],
        }),
        Body::Setup(Box::new(setup())),
        Body::Container(Box::new(facts_in_full())),
        Body::Exec(Box::new(exec_in_full())),
        Body::Integrity(Box::new(Integrity::Overdue { thread: "birth".into(), silent_ms: 4_000 })),
        Body::FirstLook { at: Time::from_secs(1) },
        Body::Vanished(PROCESS),
    ]
}

pub(super) fn events() -> Vec<Event> {
    let stamp = |(seq, body)| Event {
        node: node(),
        source: Source::Kernel,
        seq,
        time: Time::from_ns(1_769_860_800_123_456_789),
        seen: Time::from_ns(1_769_860_800_123_999_999),
        body,
    };
    (0..).zip(bodies().into_iter().chain(later_bodies())).map(stamp).collect()
}
