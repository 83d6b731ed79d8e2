//! Finds what is there: cgroups and processes, at the start and from time to time after.
//!
//! With kernel probes it only makes up for events they may have lost; without them it is how containers are found
//! at all, so it runs every second. Not here: readings of usage (`sampler.rs`).

mod listeners;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::Sender;
use deadline::pulse::Watched;
use hostfs::boot::boot_time;
use hostfs::error::HostfsError;
use hostfs::layout::CgroupLayout;
use hostfs::root::HostRoot;
use hostfs::scan::ProcessScan;
use hostfs::tree::{Cgroup, CgroupTree};
use model::coverage::{Health, Loss, Source, SourceReport};
use model::event::{Body, CgroupPath, Exec};
use model::ids::CgroupId;
use model::time::Time;
use model::untrusted::Untrusted;

use self::listeners::Listeners;
use crate::birth::{Births, Sign};
use crate::clock::{since_boot, wall_clock};
use crate::outlet::{Outlet, Stop};

/// Pause between scans while the kernel probes tell of everything.
const EVERY_WITH_PROBES: Duration = Duration::from_secs(30);
/// Pause between scans when they are all there is: half of it is the mean delay before a container is found.
const EVERY_ALONE: Duration = Duration::from_millis(500);

/// A scan of a host with tens of thousands of processes takes seconds.
const SILENT_MAX: Duration = Duration::from_secs(15);

/// One host's scanner.
#[derive(Debug)]
pub struct Scanner {
    layout: CgroupLayout,
    processes: ProcessScan,
    listeners: Listeners,
    cgroups: HashMap<CgroupId, PathBuf>,
    left_out: u64,
    boot: Time,
    /// Whether the clocks of this system are those of the host: then its boot is told by them, as for all other events.
    is_live: bool,
    births: Option<Births>,
}

impl Scanner {
    /// A scanner that has found nothing yet.
    pub fn new(root: &HostRoot, layout: &CgroupLayout) -> Result<Self, HostfsError> {
        let processes = ProcessScan::new(root, layout)?;
        Ok(Self {
            layout: layout.clone(),
            listeners: Listeners::new(root, processes.host_namespaces().net),
            processes,
            cgroups: HashMap::new(),
            left_out: 0,
            boot: boot_time(root)?,
            is_live: is_live(root)?,
            births: None,
        })
    }

    /// The same scanner, which shows what it finds to those who look at the beginning of containers.
    #[must_use]
    pub fn showing(self, births: Births) -> Self {
        Self { births: Some(births), ..self }
    }

    /// Emits what is new and what is gone since the last scan: cgroups first, so that processes find theirs named, and
    /// sockets last, when it is known whose they are.
    pub fn scan(&mut self, outlet: &Outlet) -> Result<(), HostfsError> {
        let tree = CgroupTree::walk(&self.layout)?;
        let scanned = self.processes.scan()?;
        self.tell_cgroups(&tree.cgroups, outlet);
        self.listeners.forget(&scanned.gone);
        for &process in &scanned.gone {
            self.show(Sign::Ended(process));
            outlet.send_now(Source::Scan, Body::Vanished(process));
        }
        for exec in scanned.found {
            self.listeners.note(&exec);
            let started = self.started(&exec, outlet);
            let sign = Sign::Runs(exec.process, exec.namespaces, exec.cgroup);
            outlet.send(Source::Scan, started, Body::Process(Box::new(exec)));
            self.show(sign);
        }
        if let Some(births) = &self.births {
            births.review(Source::Scan);
        }
        self.catch_up(outlet);
        let unlisted = scanned.left_out + scanned.unreadable;
        let left_out = tree.left_out + tree.unreadable + unlisted + self.listeners.left_out();
        if left_out > self.left_out {
            outlet.send_now(Source::Scan, lost(left_out - self.left_out));
        }
        self.left_out = left_out;
        Ok(())
    }

    /// Emits some of what is due since the last scan and takes longer: sockets that listen in what was found.
    pub fn catch_up(&mut self, outlet: &Outlet) {
        self.listeners.tell(outlet);
    }

    fn tell_cgroups(&mut self, found: &[Cgroup], outlet: &Outlet) {
        let before = std::mem::take(&mut self.cgroups);
        for cgroup in found {
            if before.get(&cgroup.id) != Some(&cgroup.path) {
                outlet.send_now(Source::Scan, Body::CgroupCreated(cgroup.facts()));
            }
            self.cgroups.insert(cgroup.id, cgroup.path.clone());
        }
        let mut gone: Vec<(&CgroupId, &PathBuf)> =
            before.iter().filter(|(id, _)| !self.cgroups.contains_key(id)).collect();
        gone.sort();
        for (&cgroup, path) in gone {
            let path = Untrusted::new(&path.to_string_lossy());
            outlet.send_now(Source::Scan, Body::CgroupRemoved(CgroupPath { cgroup, path }));
        }
    }

    fn show(&self, sign: Sign) {
        if let Some(births) = &self.births {
            births.note(Source::Scan, sign);
        }
    }

    fn started(&self, exec: &Exec, outlet: &Outlet) -> Time {
        let boot = if self.is_live { outlet.clock().boot() } else { self.boot };
        boot.plus(Duration::from_nanos(exec.process.start_ns))
    }
}

/// Runs a scanner in a thread of its own. `first_done` is dropped when the first scan is over: until then nobody
/// knows what the host's own namespaces are.
pub fn spawn(
    mut scanner: Scanner,
    probes_work: Arc<AtomicBool>,
    mut first_done: Option<Sender<()>>,
    outlet: Outlet,
    stop: Stop,
) -> Watched {
    outlet.clone().spawn("scan", SILENT_MAX, move |pulse| {
        let mut health = None;
        while !stop.is_set() {
            pulse.beat();
            let asked = outlet.asked_anew();
            let report = match scanner.scan(&outlet) {
                Ok(()) => report(Health::Up, ""),
                Err(error) => report(Health::Down, &error.to_string()),
            };
            if health.as_ref() != Some(&report) {
                outlet.send_now(Source::Scan, Body::Report(report.clone()));
                health = Some(report);
            }
            first_done.take();
            let every = if probes_work.load(Ordering::Acquire) { EVERY_WITH_PROBES } else { EVERY_ALONE };
            wait(every, &probes_work, &stop, || {
                pulse.beat();
                scanner.catch_up(&outlet);
                outlet.asked_anew() == asked
            });
        }
        pulse.retire();
    })
}

/// Waits, with something to do every half second that may end it, but not longer than is right once the probes have failed.
fn wait(every: Duration, probes_work: &AtomicBool, stop: &Stop, mut meanwhile: impl FnMut() -> bool) {
    let mut waited = Duration::ZERO;
    let worked = probes_work.load(Ordering::Acquire);
    while waited < every && probes_work.load(Ordering::Acquire) == worked && !stop.wait(EVERY_ALONE) {
        waited += EVERY_ALONE;
        if !meanwhile() {
            return;
        }
    }
}

/// Whether this system's clocks tell the same boot as `/proc/stat`, whose `btime` is cut to whole seconds.
fn is_live(root: &HostRoot) -> Result<bool, HostfsError> {
    let (told, ours) = (boot_time(root)?, wall_clock().minus(since_boot()));
    Ok(told.since(ours).max(ours.since(told)) <= Duration::from_secs(2))
}

fn report(health: Health, reason: &str) -> SourceReport {
    SourceReport { source: Source::Scan, health, reason: Untrusted::new(reason) }
}

fn lost(count: u64) -> Body {
    Body::Lost(Loss { source: Source::Scan, cgroup: None, count, stage: Untrusted::new("scan limits") })
}
