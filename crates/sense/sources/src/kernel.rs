//! The kernel's own account: events and counters of the BPF probes, in a thread of their own.
//!
//! Not here: the probes (`probes`), and polling where they cannot be loaded (`scan.rs`).

mod counters;

mod flows;

mod translation;

pub mod scripts;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use deadline::inherited::Inherited;
use deadline::pulse::{Pulse, Watched};
use deadline::workers::Workers;
use hostfs::root::HostRoot;
use model::coverage::{Health, Loss, Source, SourceReport};
use model::event::{Body, Exec};
use model::ids::CgroupId;
use model::integrity::Integrity;
use model::untrusted::Untrusted;
use probes::{Probes, ProbesConfig, ProbesError, ProgramState, Record};

use crate::birth::{Births, Sign};
use crate::kernel::counters::Counters;
use crate::kernel::flows::FlowTable;
use crate::kernel::scripts::Scripts;
use crate::kernel::translation::Translation;
use crate::outlet::{Outlet, Stop};
use crate::queue::Inlet;
use crate::sampler::Command;

/// How long one wait for records may keep the thread from noticing that it should stop.
const WAIT: Duration = Duration::from_millis(100);
/// How often counters are read.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Loading the probes is what takes longest.
const SILENT_MAX: Duration = Duration::from_secs(10);

/// Programs that must run for the kernel's view to replace scanning.
const ESSENTIAL: [&str; 3] = ["exec", "cgroup_mkdir", "cgroup_rmdir"];

/// What the kernel's account is handed on to, and what it is completed from.
#[derive(Clone, Debug)]
pub struct Links {
    /// Told of processes that may be an engine's.
    pub sampler: Inlet<Command>,
    /// Shown processes that may begin a container.
    pub births: Births,
    /// Told of pids of programs that may tell of an engine.
    pub engines: Sender<u32>,
    /// The way out.
    pub outlet: Outlet,
    /// The host.
    pub root: HostRoot,
    /// The probes and what was counted by them, once they are loaded.
    pub loaded: Inherited<Loaded>,
    /// Look for scripts in the roots of containers: [`scripts::workers`].
    pub scripts: Workers,
}

/// Loaded probes, and what was read of their tables so far. Both outlive the thread that reads: a process that is sealed can
/// load no others, and what was counted must not be counted again.
#[derive(Debug)]
pub struct Loaded {
    probes: Probes,
    counters: Counters,
    flows: FlowTable,
    lost: u64,
    malformed: u64,
}

impl Loaded {
    fn load(config: &ProbesConfig) -> Result<Self, ProbesError> {
        let (counters, flows) = (Counters::default(), FlowTable::default());
        Ok(Self { probes: Probes::load(config)?, counters, flows, lost: 0, malformed: 0 })
    }

    fn has_essential(&self) -> bool {
        let report = self.probes.report();
        let runs =
            |name: &str| report.iter().any(|p| p.name.contains(name) && p.state == ProgramState::Attached);
        ESSENTIAL.into_iter().all(runs)
    }
}

/// Loads the probes and follows them. Nothing is emitted before `first_scan` closes: only then is it known what the
/// host's own namespaces are. Where no probe loads, the thread says why and ends. A thread that is started in the place of one
/// that died goes on with its probes.
pub fn spawn(
    config: ProbesConfig,
    probes_work: Arc<AtomicBool>,
    first_scan: Receiver<()>,
    links: Links,
    stop: Stop,
) -> Watched {
    let outlet = links.outlet.clone();
    outlet.clone().spawn("kernel", SILENT_MAX, move |pulse| {
        let (works, inherited) = (Works(probes_work), links.loaded.clone());
        let follow = |loaded: &mut Loaded| follow(loaded, links, (&works, &first_scan), pulse, &stop);
        match inherited.with(|| Loaded::load(&config), follow) {
            Ok(Ok(())) => pulse.retire(),
            // It has died, and is started anew with the same probes.
            Ok(Err(error)) => report(&outlet, Health::Down, &error.to_string()),
            Err(error) => give_up(pulse, &outlet, &error),
        }
    })
}

/// Follows loaded probes until the stop.
fn follow(
    loaded: &mut Loaded,
    links: Links,
    (works, first_scan): (&Works, &Receiver<()>),
    pulse: &Pulse,
    stop: &Stop,
) -> Result<(), ProbesError> {
    works.0.store(loaded.has_essential(), Ordering::Release);
    let translation = Translation::open(&links.root.at("proc/1/ns/net"));
    report_programs(&loaded.probes, &translation, &links.outlet);
    while first_scan.recv_timeout(WAIT) == Err(RecvTimeoutError::Timeout) && !stop.is_set() {
        pulse.beat();
    }
    let mut follower = Follower::new(links, translation);
    while !stop.is_set() {
        pulse.beat();
        follower.round(loaded)?;
    }
    Ok(())
}

/// Whether the probes replace scanning; they do not once their reader has ended, however it did.
struct Works(Arc<AtomicBool>);

impl Drop for Works {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The thread ends as it should: it has said why.
fn give_up(pulse: &Pulse, outlet: &Outlet, error: &ProbesError) {
    report(outlet, Health::Down, &error.to_string());
    pulse.retire();
}

struct Follower {
    sampler: Inlet<Command>,
    births: Births,
    engines: Sender<u32>,
    outlet: Outlet,
    counted_at: Instant,
    root: HostRoot,
    translation: Translation,
    scripts: Scripts,
}

impl Follower {
    fn new(links: Links, translation: Translation) -> Self {
        let Links { sampler, births, engines, outlet, root, scripts, loaded: _ } = links;
        Self {
            sampler,
            births,
            engines,
            outlet,
            counted_at: Instant::now(),
            translation,
            scripts: Scripts::of(&root, scripts),
            root,
        }
    }

    fn round(&mut self, loaded: &mut Loaded) -> Result<(), ProbesError> {
        let counters = &mut loaded.counters;
        let given = loaded.probes.poll(WAIT, |record| self.take(record, counters))?;
        if self.counted_at.elapsed() >= COUNT_EVERY {
            self.counted_at = Instant::now();
            self.each_second(loaded)?;
            if given == 0 {
                self.tally(loaded)?;
            }
        }
        Ok(())
    }

    fn each_second(&mut self, loaded: &mut Loaded) -> Result<(), ProbesError> {
        for name in loaded.probes.lost() {
            let program = Untrusted::new(name);
            let fact = Integrity::ProbeDetached { program };
            self.outlet.send_now(Source::Kernel, Body::Integrity(Box::new(fact)));
        }
        self.count(loaded)?;
        for (cgroup, count) in self.scripts.next_second() {
            self.lose(Some(cgroup), count, "scripts");
        }
        for body in loaded.flows.look(&mut loaded.probes)? {
            self.outlet.send_now(Source::Kernel, body);
        }
        Ok(())
    }

    fn take(&mut self, mut record: Record, counters: &mut Counters) {
        let time = self.outlet.clock().boot().plus(Duration::from_nanos(record.ktime_boot_ns));
        match &mut record.body {
            Body::Socket(socket) => self.translation.fill(socket),
            Body::Exec(exec) => {
                self.scripts.fill(exec);
                if may_be_engine(exec) {
                    // A full queue of commands only delays the engine's process to the next look around.
                    let pid = exec.process.pid;
                    let _is_noticed = self.sampler.offer(Command::NoticeEngine { pid });
                    let _delayed = self.engines.try_send(pid);
                }
            }
            Body::CgroupRemoved(at) => counters.removed(at.cgroup),
            _ => {}
        }
        let sign = Sign::of(&record.body);
        self.outlet.send(Source::Kernel, time, record.body);
        if let Some(sign) = sign {
            self.births.note(Source::Kernel, sign);
        }
    }

    fn count(&self, Loaded { probes, counters, flows, .. }: &mut Loaded) -> Result<(), ProbesError> {
        let (told, gone) = counters.read(probes, &self.root)?;
        told.into_iter().for_each(|body| self.outlet.send_now(Source::Kernel, body));
        gone.into_iter().try_for_each(|cgroup| flows.forget(probes, cgroup))
    }

    /// What the kernel handed over must be what we took out.
    fn tally(&self, loaded: &mut Loaded) -> Result<(), ProbesError> {
        let lost = loaded.probes.submitted()?.saturating_sub(loaded.probes.received());
        self.lose(None, lost.saturating_sub(loaded.lost), "between kernel and reader");
        loaded.lost = loaded.lost.max(lost);
        let malformed = loaded.probes.malformed();
        self.lose(None, malformed - loaded.malformed, "malformed records");
        loaded.malformed = malformed;
        Ok(())
    }

    fn lose(&self, cgroup: Option<CgroupId>, count: u64, stage: &str) {
        if count > 0 {
            let loss = Loss { source: Source::Kernel, cgroup, count, stage: Untrusted::new(stage) };
            self.outlet.send_now(Source::Kernel, Body::Lost(loss));
        }
    }
}

/// Whether the sampler should look at the process now instead of at its next look around. Loggers live long enough.
fn may_be_engine(exec: &Exec) -> bool {
    let name = exec.name.raw();
    ["docker", "containerd", "conmon", "crio", "podman"].iter().any(|prefix| name.starts_with(prefix))
        || ["ctr", "nerdctl", "crictl"].contains(&name)
}

fn report_programs(probes: &Probes, translation: &Translation, outlet: &Outlet) {
    let mut missing: Vec<String> = probes
        .report()
        .iter()
        .filter(|program| program.state == ProgramState::Missing)
        .map(|program| format!("{} ({}): {}", program.name, program.purpose, program.reason))
        .collect();
    missing.extend(translation.problem().map(str::to_owned));
    let health = if missing.is_empty() { Health::Up } else { Health::Degraded };
    report(outlet, health, &missing.join("; "));
}

fn report(outlet: &Outlet, health: Health, reason: &str) {
    let report = SourceReport { source: Source::Kernel, health, reason: Untrusted::new(reason) };
    outlet.send_now(Source::Kernel, Body::Report(report));
}
