//! A recording is read as it was written, and whatever else a file may hold is told with its line.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::net::SocketAddr;

use expect_test::{Expect, expect, expect_file};
use model::approval::{Approval, Scope};
use model::authority::Authority;
use model::confines::Confines;
use model::coverage::{Health, Loss, Source, SourceReport};
use model::event::{Attach, Body, CgroupPath, Exec, Exit, FileOrigin, Lineage, Socket, SocketState, Streams};
use model::expectation::ExpectationId;
use model::ids::{CgroupId, Namespaces, ProcessKey};
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
use model::usage::{
    CpuTimes, DeepUsage, DiskSpace, EngineRole, EngineUsage, HostUsage, KernelCounts, KernelObjects,
    KernelWork, Level, LogSize, Pressure, Pressures, ProcessUsage, ServiceUsage, Usage,
};
use model::view::{EngineKind, EngineSeen, EngineState, Standing, UnitChange, View};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use testkit::expectations::{declared, learned};
use testkit::incidents::{HOSTILE, IncidentBuilder};

use super::*;

const GOLDEN: &str = include_str!("../../test-data/recording-v1.jsonl");

const CGROUP: CgroupId = CgroupId(4711);

fn node() -> NodeId {
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

fn usage() -> Usage {
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
    ]
}

fn events() -> Vec<Event> {
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

fn path() -> &'static Path {
    Path::new("day.jsonl")
}

fn recorded(events: &[Event]) -> Vec<u8> {
    let mut writer = RecordingWriter::new(Vec::new(), path(), &node()).unwrap();
    events.iter().for_each(|event| writer.write(event).unwrap());
    assert_eq!(writer.bytes(), writer.out.len() as u64);
    writer.into_inner()
}

fn read(bytes: &[u8]) -> (Vec<Event>, Vec<String>, Option<u64>) {
    let mut reader = RecordingReader::new(bytes, path()).unwrap();
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for event in reader.by_ref() {
        match event {
            Ok(event) => good.push(event),
            Err(error) => bad.push(error.to_string()),
        }
    }
    (good, bad, reader.torn())
}

/// The name of the kind; a kind that is new has to be named here, and then `bodies` has to hold one.
fn kind(body: &Body) -> &'static str {
    match body {
        Body::Exec(_) => "exec",
        Body::Process(_) => "process",
        Body::Exit(_) => "exit",
        Body::CgroupCreated(_) => "cgroup_created",
        Body::CgroupRemoved(_) => "cgroup_removed",
        Body::CgroupAttached(_) => "cgroup_attached",
        Body::Socket(_) => "socket",
        Body::Flows(_) => "flows",
        Body::Dns(_) => "dns",
        Body::Interfaces(_) => "interfaces",
        Body::Counts(_) => "counts",
        Body::Usage(_) => "usage",
        Body::Log(_) => "log",
        Body::Deep(_) => "deep",
        Body::Processes(_) => "processes",
        Body::Host(_) => "host",
        Body::Container(_) => "container",
        Body::ContainerGone { .. } => "container_gone",
        Body::ContainerList { .. } => "container_list",
        Body::EngineExec { .. } => "engine_exec",
        Body::EngineWork(_) => "engine_work",
        Body::Service(_) => "service",
        Body::Approved(_) => "approved",
        Body::Revoked { .. } => "revoked",
        Body::Expected(_) => "expected",
        Body::Unexpected { .. } => "unexpected",
        Body::Restored(_) => "restored",
        Body::Closed { .. } => "closed",
        Body::Report(_) => "report",
        Body::Lost(_) => "lost",
        Body::Resumed { .. } => "resumed",
        Body::Own(_) => "own",
        Body::Engine(_) => "engine",
        Body::Units(_) => "units",
        Body::Setup(_) => "setup",
        Body::Integrity(_) => "integrity",
        Body::FirstLook { .. } => "first_look",
        Body::Tick => "tick",
    }
}

#[test]
fn version_1_holds_every_kind_and_is_read_as_it_was_shipped() {
    let (golden, problems, torn) = read(GOLDEN.as_bytes());
    assert!(problems.is_empty() && torn.is_none(), "{problems:?}");
    assert_eq!(golden, events());
    let kinds: BTreeMap<&str, usize> = golden.iter().map(|event| (kind(&event.body), 1)).collect();
    assert_eq!(kinds.len(), 38, "one of each kind: {kinds:?}");
    let named = |event: &Event| GOLDEN.contains(&format!("\"kind\":\"{}\"", kind(&event.body)));
    assert!(golden.iter().all(named));
}

#[test]
fn version_1_is_written_as_it_was_shipped() {
    let text = String::from_utf8(recorded(&events())).unwrap();
    expect_file!["../../test-data/recording-v1.jsonl"].assert_eq(&text);
}

#[test]
fn a_recording_cut_anywhere_gives_the_events_before_the_cut_and_says_so() {
    let all = &events()[..6];
    let whole = recorded(all);
    let header = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for end in header..whole.len() {
        let (good, problems, torn) = read(&whole[..end]);
        let lines = whole[header..end].iter().filter(|&&byte| byte == b'\n').count();
        let at_event = matches!(whole[end], b'\n') || whole[end - 1] == b'\n';
        assert_eq!(torn, (!at_event).then_some(lines as u64 + 2), "cut at {end}");
        assert!(problems.is_empty() && good[..] == all[..good.len()] && good.len() >= lines, "cut at {end}");
    }
}

fn check_line(line: &[u8], problem: &Expect) {
    let whole = recorded(&events()[..2]);
    let mut bytes = whole.clone();
    bytes.extend_from_slice(line);
    bytes.push(b'\n');
    bytes.extend_from_slice(whole.splitn(2, |&byte| byte == b'\n').nth(1).unwrap());
    let (good, problems, torn) = read(&bytes);
    assert_eq!((good.len(), torn), (4, None), "the lines around it are read");
    problem.assert_eq(&problems.join("\n"));
}

#[test]
fn a_bad_line_is_told_with_its_number_and_the_next_is_read() {
    check_line(b"", &expect!["day.jsonl:4: EOF while parsing a value, column 0"]);
    check_line(b"\x00\xff", &expect!["day.jsonl:4: expected value, column 1"]);
    check_line(b"{\"node\":\"a\"}", &expect!["day.jsonl:4: missing field `source`, column 12"]);
    check_line(
        ["{\"x\":", &"[".repeat(100_000)].concat().as_bytes(),
        &expect!["day.jsonl:4: EOF while parsing a list, column 100005"],
    );
    check_line(&vec![b'x'; LINE_BYTES_MAX + 1], &expect!["day.jsonl:4: longer than 1048576 bytes"]);
    check_line(
        "{\"node\":\"a\",\"source\":\"\x1b[2J\"}".as_bytes(),
        &expect![[
            r#"day.jsonl:4: control character (\\u0000-\\u001F) found while parsing a string, column 23"#
        ]],
    );
    check_line(
        b"{\"checkpoint\":{},\"checkpoint_version\":1}",
        &expect!["day.jsonl:4: missing field `node`, column 40"],
    );
}

fn check_header(text: &[u8], problem: &Expect) {
    problem.assert_eq(&RecordingReader::new(text, path()).unwrap_err().to_string());
}

#[test]
fn what_is_no_recording_is_refused_by_its_first_line() {
    check_header(b"", &expect!["day.jsonl: is empty, not even a header was written"]);
    check_header(
        b"time,cpu\n1,2\n",
        &expect![
            "day.jsonl: is no recording of tidewatch, its first line is no header: expected ident, column 2"
        ],
    );
    check_header(
        br#"{"tidewatch":"events","version":2,"node":"a"}"#,
        &expect!["day.jsonl: is of version 2, this program reads up to 1"],
    );
    check_header(
        br#"{"tidewatch":"rows","version":1,"node":"a"}"#,
        &expect![[r#"day.jsonl: holds "rows", not "events""#]],
    );
    check_header(
        br#"{"tidewatch":"events","version":-1,"node":"a"}"#,
        &expect![
            "day.jsonl: is no recording of tidewatch, its first line is no header: invalid value: integer `-1`, expected u32, column 34"
        ],
    );
    check_header(
        &vec![b' '; LINE_BYTES_MAX * 2],
        &expect![
            "day.jsonl: is no recording of tidewatch, its first line is no header: EOF while parsing a value, column 1048577"
        ],
    );
}

#[test]
fn a_header_alone_is_an_empty_recording_with_a_node() {
    let bytes = recorded(&[]);
    assert_eq!(RecordingReader::new(&bytes[..], path()).unwrap().node(), &node());
    assert_eq!(read(&bytes), (Vec::new(), Vec::new(), None));
}

#[test]
fn a_checkpoint_comes_back_as_it_was_given() {
    let state = (7_u8, vec![0.1_f64 + 0.2, 1e-320], HOSTILE.to_owned());
    let mut writer = RecordingWriter::with_checkpoint(Vec::new(), path(), &node(), 5, &state).unwrap();
    events().iter().for_each(|event| writer.write(event).unwrap());
    let bytes = writer.into_inner();
    let mut reader = RecordingReader::new(&bytes[..], path()).unwrap();
    let checkpoint = reader.take_checkpoint().unwrap();
    assert_eq!(checkpoint.version, 5);
    assert_eq!(checkpoint.parse::<(u8, Vec<f64>, String)>().unwrap(), state);
    assert_eq!(checkpoint.parse::<serde_json::Value>().unwrap()[0], 7);
    let error = checkpoint.parse::<u8>().unwrap_err().to_string();
    assert!(error.starts_with("day.jsonl:2: "), "{error}");
    assert_eq!(reader.map(Result::unwrap).collect::<Vec<_>>(), events());
}

#[test]
fn a_checkpoint_may_be_longer_than_an_event_but_is_bounded_too() {
    let long = "x".repeat(LINE_BYTES_MAX * 2);
    let bytes = RecordingWriter::with_checkpoint(Vec::new(), path(), &node(), 1, &long).unwrap().into_inner();
    let checkpoint = RecordingReader::new(&bytes[..], path()).unwrap().take_checkpoint().unwrap();
    assert_eq!(checkpoint.parse::<String>().unwrap(), long);

    let too_long = "x".repeat(CHECKPOINT_BYTES_MAX);
    let refused = RecordingWriter::with_checkpoint(Vec::new(), path(), &node(), 1, &too_long).unwrap_err();
    assert!(matches!(refused, StoreError::TooLong { .. }), "{refused}");

    let start = recorded(&[]).into_iter().chain(CHECKPOINT_START.iter().copied()).collect::<Vec<u8>>();
    let endless = BufReader::new(
        Cursor::new(start).chain(io::repeat(b'1').take(CHECKPOINT_BYTES_MAX as u64 + (1 << 20))),
    );
    let error = RecordingReader::new(endless, path()).unwrap_err();
    assert_eq!(error.to_string(), "day.jsonl:2: the checkpoint is longer than 67108864 bytes");
}

#[test]
fn a_second_line_that_is_too_long_for_an_event_is_one_problem() {
    let mut bytes = recorded(&[]);
    bytes.resize(bytes.len() + LINE_BYTES_MAX + 1, b'x');
    bytes.push(b'\n');
    bytes.extend_from_slice(recorded(&events()[..1]).splitn(2, |&byte| byte == b'\n').nth(1).unwrap());
    let (good, problems, torn) = read(&bytes);
    assert_eq!((good.len(), torn), (1, None));
    assert_eq!(problems, ["day.jsonl:2: longer than 1048576 bytes"]);
}

#[test]
fn an_event_longer_than_a_line_is_refused_and_nothing_of_it_is_written() {
    let mut writer = RecordingWriter::new(Vec::new(), path(), &node()).unwrap();
    let ids = vec![Untrusted::new(&"x".repeat(512)); 3000];
    let mut event = events().remove(0);
    event.body = Body::listed(ids);
    let error = writer.write(&event).unwrap_err();
    assert!(matches!(error, StoreError::TooLong { what: "an event", .. }), "{error}");
    assert_eq!(writer.into_inner(), recorded(&[]));
}

#[test]
fn a_reader_that_fails_is_told_once_and_ends() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let input = BufReader::new(Cursor::new(recorded(&events()[..3])).chain(Fails));
    let told: Vec<_> = RecordingReader::new(input, path()).unwrap().map(|event| event.is_ok()).collect();
    assert_eq!(told, [true, true, true, false]);
}

#[test]
fn a_full_disk_is_an_error_with_the_path() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let error = RecordingWriter::new(full, Path::new("/dev/full"), &node()).unwrap_err();
    assert!(error.to_string().starts_with("/dev/full: No space left"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_after_the_header_are_read_without_a_panic(noise: Vec<u8>) {
        let (good, ..) = read(&[recorded(&[]), noise].concat());
        prop_assert!(good.is_empty());
    }

    #[test]
    fn any_byte_changed_costs_at_most_the_lines_it_touches(at in any::<proptest::sample::Index>(), byte: u8) {
        let mut bytes = recorded(&events());
        let header = recorded(&[]).len();
        let at = header + at.index(bytes.len() - header);
        bytes[at] = byte;
        let (good, problems, torn) = read(&bytes);
        let lost = events().len().saturating_sub(good.len());
        prop_assert!(lost <= 2 && problems.len() <= 2);
        prop_assert!(torn.is_none() || at + 1 >= bytes.len());
    }

    #[test]
    fn any_numbers_and_texts_come_back_equal(ns: i64, number: f64, single: f32, count: u64, text: String) {
        let mut incident = IncidentBuilder::attack().workload(&text).opened(Time::from_ns(ns)).build();
        incident.findings[0].evidence[0].1 = model::finding::Value::Count(count);
        incident.bits = if number.is_finite() { number } else { 0.0 };
        let limit = Some(single).filter(|limit| limit.is_finite());
        let mut sent = events();
        sent.truncate(2);
        sent[0].body = Body::Restored(Box::new(incident));
        sent[1].body = Body::Usage(Box::new(Usage { cpu_limit_cores: limit, ..usage() }));
        let (good, problems, _) = read(&recorded(&sent));
        prop_assert_eq!(problems, Vec::<String>::new());
        prop_assert_eq!(good, sent);
    }
}
