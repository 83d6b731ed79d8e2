//! Reads once a second what is spent: every watched cgroup, every watched log, the engines and the host.
//!
//! Which cgroups and logs those are is told by commands: what a container is, is decided in one place (`enrich`).
//! Not here: differences and rates; what is read on demand (`sampler/deep.rs`), or told when it changes
//! (`sampler/addresses.rs`).

pub mod deep;

mod addresses;

mod logs;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, at, select};
use deadline::pulse::Watched;
use hostfs::cgroup::CgroupReader;
use hostfs::disk::DiskReader;
use hostfs::engine::EngineReader;
use hostfs::error::HostfsError;
use hostfs::host::HostReader;
use hostfs::layout::CgroupLayout;
use hostfs::log::LogReader;
use hostfs::objects::ObjectsReader;
use hostfs::root::HostRoot;
use hostfs::services::{SERVICES_MAX, ServicesReader};
use model::coverage::{Health, Source, SourceReport};
use model::event::Body;
use model::ids::CgroupId;
use model::untrusted::Untrusted;
use model::usage::LogSize;

use self::addresses::Addresses;
use self::deep::Deep;
use self::logs::Logs;
use crate::outlet::{Outlet, Stop};

/// The beat of the books.
const EVERY: Duration = Duration::from_secs(1);
/// How often all processes are looked through for engines and kernel threads, and what changes slowly is read.
const LOOK_AROUND_BEATS: u64 = 5;
/// Ten thousand cgroups take seconds.
const SILENT_MAX: Duration = Duration::from_secs(10);
/// Most cgroups and most logs read.
const WATCHED_MAX: usize = 10_000;

/// What the sampler is told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Read this cgroup from now on.
    WatchCgroup {
        /// Its number.
        cgroup: CgroupId,
        /// Its path below the hierarchy's root.
        path: PathBuf,
    },
    /// No longer read it.
    ForgetCgroup {
        /// Its number.
        cgroup: CgroupId,
    },
    /// Read the size of this container's log from now on.
    WatchLog {
        /// The runtime's id of the container.
        container_id: Untrusted,
        /// The file.
        path: Untrusted,
    },
    /// No longer read it.
    ForgetLog {
        /// The runtime's id of the container.
        container_id: Untrusted,
    },
    /// A process was executed that may belong to a container engine.
    NoticeEngine {
        /// Its pid.
        pid: u32,
    },
    /// Look at the processes of this cgroup, which is watched, one by one from now on ([`Body::Deep`] every other
    /// beat); at most [`deep::DEEPENED_MAX`] at once.
    Deepen {
        /// Its number.
        cgroup: CgroupId,
    },
    /// No longer look at them.
    Shallow {
        /// Its number.
        cgroup: CgroupId,
    },
    /// Whether to tell which processes of the host are the busiest ([`Body::Processes`] every other beat).
    DeepenHost(bool),
}

/// Settings of the sampler.
#[derive(Clone, Debug)]
pub struct SamplerConfig {
    /// Directories whose file systems containers can fill.
    pub disks: Vec<String>,
}

/// Reads the watched things of one host.
#[derive(Debug)]
pub struct Sampler {
    root: HostRoot,
    layout: CgroupLayout,
    host: HostReader,
    engines: EngineReader,
    services: ServicesReader,
    objects: ObjectsReader,
    disks: DiskReader,
    disk_space: Vec<model::usage::DiskSpace>,
    cgroups: BTreeMap<CgroupId, CgroupReader>,
    logs: Logs,
    addresses: Addresses,
    deep: Deep,
    beats: u64,
    engines_problem: Option<String>,
    disks_problem: Option<String>,
    problem: String,
    refused: u64,
}

impl Sampler {
    /// A sampler that watches the host and no container yet.
    pub fn new(root: &HostRoot, layout: &CgroupLayout, config: &SamplerConfig) -> Result<Self, HostfsError> {
        Ok(Self {
            root: root.clone(),
            layout: layout.clone(),
            host: HostReader::open(root)?,
            engines: EngineReader::new(root)?,
            services: ServicesReader::new(layout),
            objects: ObjectsReader::new(root),
            disks: DiskReader::new(root, config.disks.iter().map(String::as_str)),
            disk_space: Vec::new(),
            cgroups: BTreeMap::new(),
            logs: Logs::new(root),
            addresses: Addresses::new(root),
            deep: Deep::default(),
            beats: 0,
            engines_problem: None,
            disks_problem: None,
            problem: String::new(),
            refused: 0,
        })
    }

    /// Carries out a command; a newly watched thing is read at once, so that its first second is booked whole.
    pub fn obey(&mut self, command: Command, outlet: &Outlet) {
        match command {
            Command::WatchCgroup { cgroup, path } => self.watch_cgroup(cgroup, &path, outlet),
            Command::ForgetCgroup { cgroup } => {
                self.cgroups.remove(&cgroup);
                self.deep.shallow(cgroup);
            }
            Command::WatchLog { container_id, path } => {
                if self.has_room(self.logs.len()) {
                    let log = LogReader::new(&self.root, &container_id, path.raw());
                    let size = self.logs.watch(&container_id, log);
                    tell_logs(size, outlet);
                }
            }
            Command::ForgetLog { container_id } => self.logs.forget(&container_id),
            Command::NoticeEngine { pid } => {
                self.engines.notice(pid);
            }
            Command::Deepen { cgroup } => {
                // One that is not watched (any more) is gone or about to go.
                if let Some(reader) = self.cgroups.get(&cgroup) {
                    self.deep.deepen((&self.root, &self.layout), cgroup, reader.path(), outlet);
                }
            }
            Command::Shallow { cgroup } => self.deep.shallow(cgroup),
            Command::DeepenHost(deep) => self.deep.deepen_host(&self.root, &self.layout, deep),
        }
    }

    /// One beat: cgroups and logs first, then the host, whose reading closes the books of the second; deep readings,
    /// which may take long, come after it.
    pub fn beat(&mut self, outlet: &Outlet) {
        self.cgroups.retain(|_, reader| read_cgroup(reader, outlet));
        tell_logs(self.logs.read(), outlet);
        self.look_around();
        self.read_disks();
        self.addresses.beat(self.beats, outlet);
        let unread = self.read_host(outlet).err().map(|error| error.to_string());
        self.deep.beat(self.beats, outlet);
        let problem = self.problems(unread).join("; ");
        if problem != self.problem || self.beats == 0 {
            report(&problem, outlet);
            self.problem = problem;
        }
        self.beats += 1;
    }

    fn problems(&self, unread: Option<String>) -> Vec<String> {
        let refused = (self.refused > 0).then(|| {
            format!(
                "{} cgroups or logs are not read: more than {WATCHED_MAX}, or refused by the system",
                self.refused
            )
        });
        let left_out = self.services.left_out();
        let unlisted = (left_out > 0).then(|| {
            format!("{left_out} services are not read: more than {SERVICES_MAX}, or too many groups")
        });
        let (engines, disks) = (self.engines_problem.clone(), self.disks_problem.clone());
        let (addresses, deep) = (self.addresses.problem(), self.deep.problem());
        let silent = self.logs.silent();
        let logs = (silent > 0).then(|| format!("{silent} log files do not answer"));
        let silent = self.disks.silent();
        let roots = (silent > 0).then(|| format!("{silent} directories of runtimes do not answer"));
        [unread, engines, disks, roots, logs, refused, unlisted, addresses, deep]
            .into_iter()
            .flatten()
            .collect()
    }

    fn watch_cgroup(&mut self, cgroup: CgroupId, path: &std::path::Path, outlet: &Outlet) {
        if !self.has_room(self.cgroups.len()) || self.cgroups.contains_key(&cgroup) {
            return;
        }
        // A cgroup that is gone before it is read first: its removal is told by the kernel or the scan.
        match CgroupReader::open(&self.layout, path, cgroup) {
            Ok(mut reader) => {
                if read_cgroup(&mut reader, outlet) {
                    self.services.exclude(path);
                    self.cgroups.insert(cgroup, reader);
                }
            }
            Err(error) => self.refused += u64::from(!error.is_gone()),
        }
    }

    fn has_room(&mut self, watched: usize) -> bool {
        let has_room = watched < WATCHED_MAX;
        self.refused += u64::from(!has_room);
        has_room
    }

    /// What changes slowly or costs more; a problem with it stands until the next look.
    fn look_around(&mut self) {
        if !self.beats.is_multiple_of(LOOK_AROUND_BEATS) {
            return;
        }
        self.engines_problem = self.engines.refresh().err().map(|error| error.to_string());
        self.services.refresh(self.cgroups.values().map(CgroupReader::path));
        self.objects.refresh();
    }

    /// Two calls a disk; one that fills is full within seconds, so that it is asked at every beat.
    fn read_disks(&mut self) {
        match self.disks.read() {
            Ok(space) => (self.disk_space, self.disks_problem) = (space, None),
            Err(error) => self.disks_problem = Some(error.to_string()),
        }
    }

    fn read_host(&mut self, outlet: &Outlet) -> Result<(), HostfsError> {
        let mut usage = self.host.read()?;
        let at = outlet.now();
        usage.engines = self.engines.read();
        usage.kernel_threads_ns = self.engines.kernel_threads_ns();
        usage.kernel_work = self.engines.kernel_work();
        usage.services = self.services.read();
        usage.objects = self.objects.read(usage.tasks, usage.tasks_limit);
        usage.disks.clone_from(&self.disk_space);
        outlet.send(Source::Host, at, Body::Host(Box::new(usage)));
        Ok(())
    }
}

/// Runs a sampler in a thread of its own.
pub fn spawn(mut sampler: Sampler, commands: Receiver<Command>, outlet: Outlet, stop: Stop) -> Watched {
    outlet.clone().spawn("sampler", SILENT_MAX, move |pulse| {
        let mut next = Instant::now();
        while !stop.is_set() {
            pulse.beat();
            select! {
                recv(commands) -> command => match command {
                    Ok(command) => sampler.obey(command, &outlet),
                    Err(_) => break,
                },
                recv(stop.closed()) -> _ => break,
                recv(at(next)) -> _ => {
                    sampler.beat(&outlet);
                    // After a pause (a suspended host) beats that were missed are not made up for.
                    next = (next + EVERY).max(Instant::now() + EVERY / 4);
                }
            }
        }
        pulse.retire();
    })
}

/// Emits one reading; false when the cgroup is gone. Another failure is told by the values that are missing.
fn read_cgroup(reader: &mut CgroupReader, outlet: &Outlet) -> bool {
    match reader.read() {
        Ok(usage) => {
            outlet.send_now(Source::Cgroups, Body::Usage(Box::new(usage)));
            true
        }
        Err(error) => !error.is_gone(),
    }
}

fn tell_logs(sizes: impl IntoIterator<Item = LogSize>, outlet: &Outlet) {
    for size in sizes {
        outlet.send_now(Source::Host, Body::Log(Box::new(size)));
    }
}

fn report(problem: &str, outlet: &Outlet) {
    let health = if problem.is_empty() { Health::Up } else { Health::Degraded };
    for source in [Source::Host, Source::Cgroups] {
        let report = SourceReport { source, health, reason: Untrusted::new(problem.trim()) };
        outlet.send_now(source, Body::Report(report));
    }
}
