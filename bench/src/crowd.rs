//! A made-up host full of containers: each event is made from numbers alone, so that telling of ten thousand
//! containers keeps nothing in memory that could be mistaken for the fold's own state.
//!
//! Not here: how often what happens (`streams.rs`).

use std::net::IpAddr;
use std::time::Duration;

use model::approval::{Approval, Scope};
use model::coverage::{Health, Source, SourceReport};
use model::event::{Attach, Body, CgroupPath, Event, Exec, Exit, FileOrigin, Socket, SocketState, Streams};
use model::ids::{CgroupId, Namespaces, NodeId, ProcessKey};
use model::runtime::{ContainerFacts, RunState};
use model::time::Time;
use model::traffic::{Direction, Flow, FlowCounts, FlowKey, Flows, Protocol};
use model::untrusted::Untrusted;
use model::usage::{
    CpuTimes, EngineRole, EngineUsage, HostUsage, KernelCounts, LogSize, Pressure, Pressures, Usage,
};

const HOST: Namespaces = Namespaces { pid: 1, mnt: 2, net: 3 };
const HOST_CGROUP: CgroupId = CgroupId(1);
const CGROUP_FIRST: u64 = 1_000;
const LOG_BYTES_PER_SECOND: u64 = 400;

/// What kind of containers they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// Workloads: containers share one when there are more of them.
    services: u64,
    /// Of a core, spent by every container.
    own_cores: f64,
    /// What a person approved: a pattern of image names.
    approved: &'static str,
    /// Labels of each container beyond those that an orchestrator sets; each has a value of its own.
    labels: usize,
}

/// Approved services that do little.
pub(crate) const CALM: Life =
    Life { services: 1_500, own_cores: 0.01, approved: "registry.example/shop/*", labels: 0 };

/// The same with 64 labels each.
pub(crate) const LABELLED: Life = Life { labels: 58, ..CALM };

/// The worst for the fold: one workload that nobody approved, busy in every container, so that each reading is a finding
/// against the same subject.
pub(crate) const HERD: Life =
    Life { services: 1, own_cores: 0.95, approved: "registry.example/other/*", labels: 0 };

/// Stamps events: one clock, numbers dense per source.
#[derive(Debug)]
pub(crate) struct Crowd {
    life: Life,
    node: NodeId,
    now: Time,
    second: u64,
    numbers: [u64; Source::ALL.len()],
}

impl Crowd {
    pub(crate) fn new(life: Life) -> Self {
        Self {
            life,
            node: NodeId::new("bench"),
            now: Time::from_secs(1_800_000_000),
            second: 0,
            numbers: [0; Source::ALL.len()],
        }
    }

    pub(crate) fn pass_a_second(&mut self) {
        self.now = self.now.plus(Duration::from_secs(1));
        self.second += 1;
    }

    pub(crate) fn event(&mut self, source: Source, body: Body) -> Event {
        let number = &mut self.numbers[source as usize];
        let event =
            Event { node: self.node.clone(), source, seq: *number, time: self.now, seen: self.now, body };
        *number += 1;
        event
    }

    /// The host before any container: every source up, its init, nothing claimed, all images approved.
    pub(crate) fn begin(&mut self) -> Vec<Event> {
        let mut events: Vec<Event> = Source::ALL.map(|source| self.event(source, up(source))).into();
        let init = exec(ProcessKey { pid: 1, start_ns: 0 }, HOST_CGROUP, HOST, "/sbin/init");
        events.push(self.event(Source::Scan, Body::Process(Box::new(init))));
        events.push(self.event(Source::Docker, Body::listed(Vec::new())));
        events.push(self.event(Source::Operator, Body::Approved(Box::new(approval(self.life.approved)))));
        events.push(self.host(0));
        events
    }

    /// Docker starts a container, as its sources tell it.
    pub(crate) fn start(&mut self, container: u64) -> [Event; 4] {
        let (cgroup, path) = (cgroup(container), path(container));
        let moved_by = CgroupId(1);
        let attach = Attach {
            process: init(container),
            cgroup,
            path: path.clone(),
            namespaces: None,
            by_pid: 0,
            by_cgroup: moved_by,
        };
        [
            self.event(Source::Kernel, Body::CgroupCreated(CgroupPath { cgroup, path })),
            self.event(Source::Kernel, Body::CgroupAttached(attach)),
            self.exec_as(container, init(container)),
            self.event(Source::Docker, Body::Container(Box::new(self.facts(container)))),
        ]
    }

    /// A container ends.
    pub(crate) fn end(&mut self, container: u64) -> [Event; 3] {
        let gone = CgroupPath { cgroup: cgroup(container), path: path(container) };
        [
            self.exit(container, init(container)),
            self.event(Source::Kernel, Body::CgroupRemoved(gone)),
            self.event(Source::Docker, Body::gone(id(container))),
        ]
    }

    /// The number `turn` of the programs that a container executes.
    pub(crate) fn exec(&mut self, container: u64, turn: u64) -> Event {
        self.exec_as(container, child(container, turn))
    }

    /// A program on the host, outside all containers.
    pub(crate) fn exec_on_host(&mut self, turn: u64) -> Event {
        let exec = exec(child(0, turn), CgroupId(2), HOST, "/usr/sbin/cron -f");
        self.event(Source::Kernel, Body::Exec(Box::new(exec)))
    }

    /// The end of that program.
    pub(crate) fn exit_of(&mut self, container: u64, turn: u64) -> Event {
        self.exit(container, child(container, turn))
    }

    pub(crate) fn socket(&mut self, container: u64, turn: u64, state: SocketState) -> Event {
        let local = (address(container), 8080).into();
        let remote = ([10, 1, 0, turn as u8], 40_000 + (turn % 20_000) as u16).into();
        let socket = Socket {
            sent_bytes: 2_000,
            received_bytes: 900,
            ..Socket::new(cgroup(container), state, local, remote)
        };
        self.event(Source::Kernel, Body::Socket(Box::new(socket)))
    }

    /// A first contact of one container with another.
    pub(crate) fn contact(&mut self, from: u64, to: u64) -> Event {
        self.meets(from, address(to))
    }

    /// A first contact of a container with one of many networks outside.
    pub(crate) fn contact_outside(&mut self, from: u64, network: u64) -> Event {
        self.meets(from, IpAddr::from([60 + (network >> 16) as u8, (network >> 8) as u8, network as u8, 7]))
    }

    fn meets(&mut self, from: u64, to: IpAddr) -> Event {
        let own = (address(from), 40_000).into();
        let socket = Socket::new(cgroup(from), SocketState::Connected, own, (to, 8080).into());
        self.event(Source::Kernel, Body::Socket(Box::new(socket)))
    }

    /// What a container exchanged with others since the reading before.
    pub(crate) fn flows(&mut self, from: u64, to: &[u64]) -> Event {
        let counts = FlowCounts { opened: 3, closed: 3, sent_bytes: 900, ..FlowCounts::default() };
        let key = |to: &u64| FlowKey {
            direction: Direction::Out,
            protocol: Protocol::TCP,
            remote: address(*to),
            port: 8080,
        };
        let flows = to.iter().map(|to| Flow { key: key(to), counts }).collect();
        self.event(Source::Kernel, Body::Flows(Box::new(Flows { cgroup: cgroup(from), flows })))
    }

    pub(crate) fn counts(&mut self, container: u64) -> Event {
        let counts =
            KernelCounts { cgroup: cgroup(container), execs: self.second, ..KernelCounts::default() };
        self.event(Source::Kernel, Body::Counts(Box::new(counts)))
    }

    /// The reading of a container's cgroup: every file there, nothing unusual in it.
    pub(crate) fn usage(&mut self, container: u64) -> Event {
        let usage = Usage {
            cgroup: cgroup(container),
            cpu_ns: Some(self.spent_ns(self.life.own_cores)),
            memory_bytes: Some(50 << 20),
            pids: Some(7),
            io_read_bytes: Some(1 << 20),
            io_write_bytes: Some(self.second * 4_096),
            io_operations: Some(self.second),
            oom_kills: Some(0),
            pressures: calm(),
            ..Usage::default()
        };
        self.event(Source::Cgroups, Body::Usage(Box::new(usage)))
    }

    pub(crate) fn log(&mut self, container: u64) -> Event {
        let log = LogSize {
            container_id: id(container),
            path: log_path(container),
            bytes: self.second * LOG_BYTES_PER_SECOND,
        };
        self.event(Source::Host, Body::Log(Box::new(log)))
    }

    /// The reading of the host, with the engine's daemon and one shim for each of the containers.
    pub(crate) fn host(&mut self, containers: u64) -> Event {
        let engine = |pid, role, name: &str, container_id| EngineUsage {
            process: ProcessKey { pid, start_ns: 0 },
            role,
            name: Untrusted::new(name),
            container_id,
            cpu_ns: self.spent_ns(0.001),
        };
        let shims = (0..containers)
            .map(|n| engine(200_000 + n as u32, EngineRole::Shim, "containerd-shim", Some(id(n))));
        let engines =
            std::iter::once(engine(100, EngineRole::Daemon, "dockerd", None)).chain(shims).collect();
        let busy = self.life.own_cores * containers as f64;
        let usage = HostUsage {
            cores: 16,
            cpu: CpuTimes {
                user_ns: self.spent_ns(busy),
                idle_ns: self.spent_ns(16.0),
                ..CpuTimes::default()
            },
            kernel_threads_ns: Some(self.spent_ns(0.01)),
            engines,
            memory_total_bytes: 64 << 30,
            memory_available_bytes: 32 << 30,
            pressures: calm(),
            tasks: 5 * containers,
            tasks_limit: 4_194_304,
            runnable: 2,
            ..HostUsage::default()
        };
        self.event(Source::Host, Body::Host(Box::new(usage)))
    }

    fn exec_as(&mut self, container: u64, process: ProcessKey) -> Event {
        let exec = exec(process, cgroup(container), namespaces(container), &self.command(container));
        self.event(Source::Kernel, Body::Exec(Box::new(exec)))
    }

    fn exit(&mut self, container: u64, process: ProcessKey) -> Event {
        let exit = Exit {
            process,
            cgroup: cgroup(container),
            status: 0,
            signal: 0,
            core_dumped: false,
            name: Untrusted::new("node"),
        };
        self.event(Source::Kernel, Body::Exit(exit))
    }

    fn facts(&self, container: u64) -> ContainerFacts {
        let service = container % self.life.services;
        let labels = [
            ("com.docker.compose.config-hash", format!("{service:064x}")),
            ("com.docker.compose.container-number", (container / self.life.services + 1).to_string()),
            ("com.docker.compose.project", "shop".to_owned()),
            ("com.docker.compose.project.working_dir", "/srv/shop".to_owned()),
            ("com.docker.compose.service", format!("service-{service}")),
            ("org.opencontainers.image.source", "https://code.example/shop".to_owned()),
        ];
        let mut labels: Vec<_> =
            labels.map(|(key, value)| (Untrusted::new(key), Untrusted::new(&value))).into();
        labels.extend((0..self.life.labels).map(|number| {
            let value = format!("{container:08}-{number:04}-of-this-container-alone");
            (Untrusted::new(&format!("example.shop/annotation-{number:02}")), Untrusted::new(&value))
        }));
        labels.sort_unstable();
        ContainerFacts {
            id: id(container),
            name: Untrusted::new(&format!("shop-service-{service}-{container}")),
            image: Untrusted::new(&format!("registry.example/shop/image-{}:1.2", service % 40)),
            digest: Untrusted::new(&format!("sha256:{:064x}", service % 40)),
            command: Untrusted::new(&self.command(container)),
            labels,
            labels_dropped: 0,
            pid: Some(init(container).pid),
            state: RunState::Running,
            created: Some(self.now),
            started: Some(self.now),
            log_driver: Untrusted::new("json-file"),
            network_mode: Untrusted::default(),
            addresses: vec![address(container)],
            published: Vec::new(),
            log_path: Some(log_path(container)),
            ..ContainerFacts::default()
        }
    }

    fn command(&self, container: u64) -> String {
        let service = container % self.life.services;
        format!("node /srv/app/server.js --service=service-{service} --port=8080")
    }

    fn spent_ns(&self, cores: f64) -> u64 {
        (self.second as f64 * cores * 1e9) as u64
    }
}

fn up(source: Source) -> Body {
    Body::Report(SourceReport { source, health: Health::Up, reason: Untrusted::default() })
}

fn approval(pattern: &str) -> Approval {
    let scope = Scope::Pattern { pattern: Untrusted::new(pattern) };
    Approval { id: 1, scope, owner: "bench".into(), at: Time::default(), note: Untrusted::default() }
}

fn cgroup(container: u64) -> CgroupId {
    CgroupId(CGROUP_FIRST + container)
}

fn id(container: u64) -> Untrusted {
    // Spread over all digits, as the runtime's random ids are.
    let spread = (container + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Untrusted::new(&format!("{spread:016x}{container:048x}"))
}

fn path(container: u64) -> Untrusted {
    Untrusted::new(&format!("/docker/{}", id(container).raw()))
}

fn log_path(container: u64) -> Untrusted {
    let id = id(container);
    Untrusted::new(&format!("/var/lib/docker/containers/{0}/{0}-json.log", id.raw()))
}

fn init(container: u64) -> ProcessKey {
    ProcessKey { pid: 300_000 + container as u32, start_ns: container * 10_000_000 }
}

fn child(container: u64, turn: u64) -> ProcessKey {
    ProcessKey { pid: (1_000_000 + turn % 3_000_000) as u32, start_ns: (container + turn) * 10_000_000 }
}

/// Its address on the host's bridge.
fn address(container: u64) -> IpAddr {
    IpAddr::from([10, 0, (container >> 8) as u8, container as u8])
}

fn namespaces(container: u64) -> Namespaces {
    let first = 4_026_532_000 + 3 * container as u32;
    Namespaces { pid: first, mnt: first + 1, net: first + 2 }
}

fn exec(process: ProcessKey, cgroup: CgroupId, namespaces: Namespaces, command: &str) -> Exec {
    Exec {
        process,
        parent_pid: 1,
        uid: 1000,
        cgroup,
        namespaces,
        name: Untrusted::new("node"),
        path: Untrusted::new("/usr/local/bin/node"),
        args: Untrusted::new(command),
        streams: Streams::default(),
        origin: FileOrigin::default(),
        script: Untrusted::default(),
        is_by_loader: false,
        file: None,
        descent: model::program::Descent::default(),
        lineage: None,
        confines: None,
    }
}

fn calm() -> Pressures {
    let pressure = Some(Pressure { some_avg10_percent: 0.2, ..Pressure::default() });
    Pressures { cpu: pressure, memory: pressure, io: pressure }
}
