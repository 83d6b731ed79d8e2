//! A made-up host that acts: containers start, spend and end second by second, told as the events Tidewatch would see.
//!
//! Not here: any expectation of what should be found.

use model::approval::{Approval, Scope};
use model::coverage::{Health, Source, SourceReport};
use model::event::{Body, CgroupPath, Event, Exec, Exit, FileOrigin, Streams};
use model::ids::{CgroupId, Namespaces, NodeId, ProcessKey};
use model::program::Descent;
use model::runtime::{ContainerFacts, RunState};
use model::time::Time;
use model::untrusted::Untrusted;
use model::usage::{DeepUsage, EngineRole, EngineUsage, HostUsage, KernelCounts, LogSize, Pressure, Usage};
use std::collections::BTreeMap;
use std::time::Duration;

/// Pid of the made-up `dockerd`.
const ENGINE_PID: u32 = 100;
/// Namespaces of the host's init.
pub const HOST: Namespaces = Namespaces { pid: 1, mnt: 2, net: 3 };
/// When every scene begins.
pub const START: Time = Time::from_secs(1_800_000_000);

/// A container of the scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Actor(u64);

impl Actor {
    /// Its cgroup.
    pub fn cgroup(self) -> CgroupId {
        CgroupId(self.0)
    }

    /// Its first process.
    pub fn process(self) -> ProcessKey {
        ProcessKey { pid: self.0 as u32, start_ns: self.0 * 10_000_000 }
    }

    /// The runtime's id: 64 hexadecimal digits.
    pub fn id(self) -> Untrusted {
        Untrusted::new(&format!("{:064x}", self.0))
    }

    /// Its first program, in namespaces of its own.
    pub fn exec(self, command: &str) -> Exec {
        let own = self.0 as u32;
        let namespaces = Namespaces { pid: own, mnt: own + 1, net: own + 2 };
        exec(self.process(), self.cgroup(), namespaces, command)
    }
}

/// What one container spends in one second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spends {
    /// CPU of its own cgroup, in cores.
    pub own_cores: f64,
    /// Bytes its log grows by.
    pub log_bytes: u64,
    /// CPU of its shim, in cores.
    pub shim_cores: f64,
}

/// What a container has spent so far.
#[derive(Clone, Debug)]
struct Books {
    usage: Usage,
    counts: KernelCounts,
    deep: DeepUsage,
    /// `None` before its log is known.
    log_bytes: Option<u64>,
    /// `None` before its shim spends anything.
    shim_ns: Option<u64>,
}

impl Books {
    fn new(cgroup: CgroupId) -> Self {
        let usage = Usage { cgroup, cpu_ns: Some(0), ..Usage::default() };
        let counts = KernelCounts { cgroup, ..KernelCounts::default() };
        let deep = DeepUsage { cgroup, ..DeepUsage::default() };
        Self { usage, counts, deep, log_bytes: None, shim_ns: None }
    }

    fn spend(&mut self, spent: &Spends) {
        self.usage.cpu_ns = self.usage.cpu_ns.map(|cpu| cpu + ns(spent.own_cores));
        self.log_bytes = self.log_bytes.map(|bytes| bytes + spent.log_bytes);
        if spent.shim_cores > 0.0 {
            *self.shim_ns.get_or_insert(0) += ns(spent.shim_cores);
        }
    }
}

/// Path of the cgroup that Docker makes for a container.
pub fn docker_path(actor: Actor) -> String {
    format!("/docker/{}", actor.id())
}

/// A made-up host and what happened on it so far.
#[derive(Clone, Debug)]
pub struct Scene {
    now: Time,
    seqs: BTreeMap<Source, u64>,
    events: Vec<Event>,
    actors: BTreeMap<Actor, Books>,
    next: u64,
    host: HostUsage,
    root_counts: KernelCounts,
    engine_cpu_ns: u64,
    other_cores: f64,
}

impl Scene {
    /// A quiet host with so many cores, every source up, the runtime's list empty, and one second of history.
    pub fn new(cores: u32) -> Self {
        let mut scene = Self {
            now: START,
            seqs: BTreeMap::new(),
            events: Vec::new(),
            actors: BTreeMap::new(),
            next: 1_000,
            host: HostUsage {
                cores,
                memory_total_bytes: 8 << 30,
                memory_available_bytes: 6 << 30,
                ..HostUsage::default()
            },
            root_counts: KernelCounts { cgroup: CgroupId(1), ..KernelCounts::default() },
            engine_cpu_ns: 0,
            other_cores: 0.0,
        };
        for source in [Source::Kernel, Source::Scan, Source::Cgroups, Source::Host, Source::Docker] {
            scene.report(source, Health::Up, "");
        }
        scene.emit(
            Source::Scan,
            Body::Process(Box::new(exec(ProcessKey { pid: 1, start_ns: 0 }, CgroupId(1), HOST, "init"))),
        );
        scene.emit(Source::Docker, Body::listed(Vec::new()));
        scene.count_host(|_| ());
        scene.second(&[], 0.0);
        scene
    }

    /// The time the scene has come to.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Takes the events that happened since the last call.
    pub fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Puts events back that were taken, changed by the caller.
    pub fn put_back(&mut self, mut events: Vec<Event>) {
        events.append(&mut self.events);
        self.events = events;
    }

    /// A source tells how it is.
    pub fn report(&mut self, source: Source, health: Health, reason: &str) {
        let report = SourceReport { source, health, reason: Untrusted::new(reason) };
        self.emit(source, Body::Report(report));
    }

    /// Docker starts a container: the kernel sees its cgroup and first program, then Docker claims it.
    pub fn start(&mut self, name: &str, image: &str, command: &str) -> Actor {
        let actor = self.start_unclaimed(command);
        self.claim(actor, name, image, |facts| facts.command = Untrusted::new(command));
        actor
    }

    /// As `start`, before Docker says anything.
    pub fn start_unclaimed(&mut self, command: &str) -> Actor {
        let actor = Actor(self.next);
        let path = format!("/docker/{}", actor.id());
        self.appear(&path, command)
    }

    /// Somebody makes a container by hand, in a cgroup of this path.
    pub fn appear(&mut self, path: &str, command: &str) -> Actor {
        self.appear_with(path, command, |_| ())
    }

    /// As `appear`, its first program started some other way.
    pub fn appear_with(&mut self, path: &str, command: &str, change: impl FnOnce(&mut Exec)) -> Actor {
        let actor = Actor(self.next);
        self.next += 1;
        let cgroup = actor.cgroup();
        self.emit(Source::Kernel, Body::CgroupCreated(CgroupPath { cgroup, path: Untrusted::new(path) }));
        let mut exec = actor.exec(command);
        change(&mut exec);
        self.emit(Source::Kernel, Body::Exec(Box::new(exec)));
        self.actors.insert(actor, Books::new(cgroup));
        actor
    }

    /// A scan finds a container that has run for so long already.
    pub fn find(&mut self, path: &str, command: &str, age: Duration) -> Actor {
        let actor = Actor(self.next);
        self.next += 1;
        let cgroup = actor.cgroup();
        self.emit(Source::Scan, Body::CgroupCreated(CgroupPath { cgroup, path: Untrusted::new(path) }));
        let started = self.now.minus(age);
        self.emit_at(started, Source::Scan, Body::Process(Box::new(actor.exec(command))));
        self.actors.insert(actor, Books::new(cgroup));
        actor
    }

    /// The container that starts next, for events that come before it does.
    pub fn next_actor(&self) -> Actor {
        Actor(self.next)
    }

    /// Docker claims a container; `change` may alter the facts.
    pub fn claim(&mut self, actor: Actor, name: &str, image: &str, change: impl FnOnce(&mut ContainerFacts)) {
        let mut facts = self.facts(actor);
        facts.name = Untrusted::new(name);
        facts.image = Untrusted::new(image);
        facts.digest = digest(image);
        change(&mut facts);
        self.emit(Source::Docker, Body::Container(Box::new(facts)));
        if let Some(books) = self.actors.get_mut(&actor) {
            books.log_bytes.get_or_insert(0);
        }
    }

    /// What an engine that follows its containers would tell of this one, without name and image.
    pub fn facts(&self, actor: Actor) -> ContainerFacts {
        ContainerFacts {
            id: actor.id(),
            pid: Some(actor.process().pid),
            state: RunState::Running,
            created: Some(self.now),
            started: Some(self.now),
            log_driver: Untrusted::new("json-file"),
            log_path: Some(Untrusted::new(&format!("/var/lib/docker/containers/{}-json.log", actor.id()))),
            ..ContainerFacts::default()
        }
    }

    /// A container's first process is killed.
    pub fn end(&mut self, actor: Actor) {
        self.exit(actor, 0, 9);
    }

    /// A container's first process ends by itself with that status.
    pub fn fail(&mut self, actor: Actor, status: u8) {
        self.exit(actor, status, 0);
    }

    fn exit(&mut self, actor: Actor, status: u8, signal: u8) {
        let exit = Exit {
            process: actor.process(),
            cgroup: actor.cgroup(),
            status,
            signal,
            core_dumped: false,
            name: Untrusted::new("ended"),
        };
        self.emit(Source::Kernel, Body::Exit(exit));
        self.actors.remove(&actor);
    }

    /// Somebody approves the image (by the digest `start` gives it) and, with a command, the workload.
    pub fn approve(&mut self, id: u64, scope: Scope) {
        let approval =
            Approval { id, scope, owner: "tester".into(), at: self.now, note: Untrusted::default() };
        self.emit(Source::Operator, Body::Approved(Box::new(approval)));
    }

    /// Host-wide CPU pressure from now on, in percent of the last 10 s.
    pub fn press(&mut self, cpu_some_percent: f32) {
        self.host.pressures.cpu =
            Some(Pressure { some_avg10_percent: cpu_some_percent, ..Pressure::default() });
    }

    /// Processes of the host, neither contained nor of the engine, spend so much from now on.
    pub fn host_spends(&mut self, cores: f64) {
        self.other_cores = cores;
    }

    /// What is read of a container's cgroup from now on changes.
    pub fn change(&mut self, actor: Actor, change: impl FnOnce(&mut Usage)) {
        if let Some(books) = self.actors.get_mut(&actor) {
            change(&mut books.usage);
        }
    }

    /// What is read of the host from now on changes.
    pub fn change_host(&mut self, change: impl FnOnce(&mut HostUsage)) {
        change(&mut self.host);
    }

    /// The kernel's probes counted something more in a container's cgroup.
    pub fn count(&mut self, actor: Actor, change: impl FnOnce(&mut KernelCounts)) {
        if let Some(books) = self.actors.get_mut(&actor) {
            change(&mut books.counts);
            let counts = books.counts;
            self.emit(Source::Kernel, Body::Counts(Box::new(counts)));
        }
    }

    /// The kernel's probes counted something more in the host's root cgroup.
    pub fn count_host(&mut self, change: impl FnOnce(&mut KernelCounts)) {
        change(&mut self.root_counts);
        let counts = self.root_counts;
        self.emit(Source::Kernel, Body::Counts(Box::new(counts)));
    }

    /// A container's processes were looked at closely.
    pub fn look(&mut self, actor: Actor, change: impl FnOnce(&mut DeepUsage)) {
        if let Some(books) = self.actors.get_mut(&actor) {
            change(&mut books.deep);
            let deep = books.deep.clone();
            self.emit(Source::Cgroups, Body::Deep(Box::new(deep)));
        }
    }

    /// A container runs another program.
    pub fn run(&mut self, actor: Actor, command: &str) {
        let mut exec = actor.exec(command);
        exec.process.pid += 1_000_000;
        self.emit(Source::Kernel, Body::Exec(Box::new(exec)));
    }

    /// Time passes in which nothing is read and nothing happens.
    pub fn pause(&mut self, span: Duration) {
        self.now = self.now.plus(span);
    }

    /// A second passes in which containers and the engine spend; the books are closed at its end.
    pub fn second(&mut self, spends: &[(Actor, Spends)], engine_cores: f64) {
        self.now = self.now.plus(Duration::from_secs(1));
        self.readings(spends, engine_cores);
    }

    /// Everything is read now: as `second`, but of the time that has passed already.
    pub fn readings(&mut self, spends: &[(Actor, Spends)], engine_cores: f64) {
        let spends: BTreeMap<Actor, Spends> = spends.iter().copied().collect();
        let mut busy = engine_cores + self.other_cores;
        for (actor, books) in &mut self.actors {
            let spent = spends.get(actor).copied().unwrap_or_default();
            busy += spent.own_cores + spent.shim_cores;
            books.spend(&spent);
        }
        for (actor, books) in self.actors.clone() {
            self.emit(Source::Cgroups, Body::Usage(Box::new(books.usage)));
            if let Some(bytes) = books.log_bytes {
                let path = Untrusted::new("/log");
                let log = LogSize { container_id: actor.id(), path, bytes };
                self.emit(Source::Host, Body::Log(Box::new(log)));
            }
        }
        self.close_books(busy, engine_cores);
        self.emit(Source::Engine, Body::Tick);
    }

    /// Several seconds alike.
    pub fn seconds(&mut self, count: u32, spends: &[(Actor, Spends)], engine_cores: f64) {
        (0..count).for_each(|_| self.second(spends, engine_cores));
    }

    /// Emits any other event now.
    pub fn emit(&mut self, source: Source, body: Body) {
        self.emit_at(self.now, source, body);
    }

    /// Emits an event now of what happened then.
    pub fn emit_at(&mut self, time: Time, source: Source, body: Body) {
        let seq = self.seqs.entry(source).or_default();
        let event = Event { node: NodeId::new("node"), source, seq: *seq, time, seen: self.now, body };
        *seq += 1;
        self.events.push(event);
    }

    fn close_books(&mut self, busy_cores: f64, engine_cores: f64) {
        self.engine_cpu_ns += ns(engine_cores);
        self.host.cpu.user_ns += ns(busy_cores);
        self.host.cpu.idle_ns += ns((f64::from(self.host.cores) - busy_cores).max(0.0));
        let daemon = EngineUsage {
            process: ProcessKey { pid: ENGINE_PID, start_ns: 0 },
            role: EngineRole::Daemon,
            name: Untrusted::new("dockerd"),
            container_id: None,
            cpu_ns: self.engine_cpu_ns,
        };
        let shims = self.actors.iter().filter_map(|(actor, books)| Some(shim(*actor, books.shim_ns?)));
        self.host.engines = std::iter::once(daemon).chain(shims).collect();
        self.emit(Source::Host, Body::Host(Box::new(self.host.clone())));
    }
}

/// The digest that the scene's images have: made from the name.
pub fn digest(image: &str) -> Untrusted {
    let sum = image.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    Untrusted::new(&format!("sha256:{sum:064x}"))
}

fn shim(actor: Actor, cpu_ns: u64) -> EngineUsage {
    EngineUsage {
        process: ProcessKey { pid: 10_000_000 + actor.0 as u32, start_ns: 0 },
        role: EngineRole::Shim,
        name: Untrusted::new("containerd-shim"),
        container_id: Some(actor.id()),
        cpu_ns,
    }
}

fn exec(process: ProcessKey, cgroup: CgroupId, namespaces: Namespaces, command: &str) -> Exec {
    Exec {
        process,
        parent_pid: 1,
        uid: 0,
        cgroup,
        namespaces,
        name: Untrusted::new(command.split(' ').next().unwrap_or_default()),
        path: Untrusted::new("/bin/program"),
        args: Untrusted::new(command),
        streams: Streams::default(),
        origin: FileOrigin::default(),
        script: Untrusted::default(),
        is_by_loader: false,
        file: None,
        descent: Descent::default(),
        lineage: None,
        confines: None,
    }
}

fn ns(cores: f64) -> u64 {
    (cores * 1e9) as u64
}
