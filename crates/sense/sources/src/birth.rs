//! Looks at how a process is set up that may begin a container: as soon as it is known to live in namespaces of its own,
//! in a thread of its own, so that nobody else waits for `/proc`.
//!
//! Not here: reading it (`hostfs::setup`); whether it is a container's first one, which is for the fold to say.

mod desk;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, bounded, never, select};
use deadline::pulse::{Pulse, Watched};
use hostfs::error::HostfsError;
use hostfs::layout::CgroupLayout;
use hostfs::root::HostRoot;
use hostfs::setup::{Look, SetupReader};
use model::authority::Executable;
use model::coverage::{Loss, Source};
use model::event::Body;
use model::ids::{CgroupId, Namespaces, ProcessKey};
use model::setup::Setup;
use model::untrusted::Untrusted;

use self::desk::{Admission, Desk, Place};
use crate::outlet::{Outlet, Stop};

/// Processes that may wait to be looked at; a look takes about 0.2 ms.
const QUEUE_MAX: usize = 1024;
/// Looks in one second, of all containers together: a tenth of a core.
const LOOKS_PER_SECOND_MAX: u32 = 500;
/// When a process is looked at again: twice if it is called like a runtime's process or its maker on the host may still be
/// furnishing its root; always if it still has the host's root, or is called so, root on the host cloned it, and it
/// executes nothing yet. A busy host lets a runtime wait for seconds; the last look is taken whatever it shows, since the
/// process may only imitate.
const AGAIN_AFTER: [Duration; 5] = [
    Duration::from_millis(150),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(4),
];
/// A look takes a millisecond at most, but for what it asks of a file system, which has a deadline.
const SILENT_MAX: Duration = Duration::from_secs(5);
/// How often losses are told.
const TELL_LOSSES_EVERY: Duration = Duration::from_secs(1);
/// Names of the processes by which runtimes make a container, until it executes its own program.
const RUNTIMES: [&str; 7] =
    ["runc", "runc:[1:CHILD]", "runc:[2:INIT]", "crun", "exe", "containerd-shim", "conmon"];

const FULL: &str = "setups: too many at once";
const UNREADABLE: &str = "setups: unreadable";

/// What an event says about the beginning of containers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sign {
    /// A process runs in these namespaces and in this cgroup.
    Runs(ProcessKey, Namespaces, CgroupId),
    /// A process ended.
    Ended(ProcessKey),
}

impl Sign {
    /// Of any event; most say nothing.
    pub(crate) fn of(body: &Body) -> Option<Self> {
        match body {
            Body::Exec(exec) | Body::Process(exec) => {
                Some(Self::Runs(exec.process, exec.namespaces, exec.cgroup))
            }
            Body::CgroupAttached(attach) => {
                attach.namespaces.map(|namespaces| Self::Runs(attach.process, namespaces, attach.cgroup))
            }
            Body::Exit(exit) => Some(Self::Ended(exit.process)),
            _ => None,
        }
    }
}

/// Where processes are shown that may begin a container. Cheap to clone; shared by the sources that find them.
#[derive(Clone, Debug)]
pub struct Births {
    host: Namespaces,
    desk: Arc<Mutex<Desk>>,
    queue: Sender<Wanted>,
}

/// A process that is to be looked at.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    source: Source,
    process: ProcessKey,
    place: Place,
    /// Whether it was reported before, and one look says whether that still holds.
    is_review: bool,
}

impl Births {
    /// Takes note of what a source has just told; never waits.
    pub(crate) fn note(&self, source: Source, sign: Sign) {
        match sign {
            Sign::Ended(process) => lock(&self.desk).forget(process),
            Sign::Runs(_, namespaces, _) if self.is_hosts(namespaces) => {}
            Sign::Runs(process, namespaces, cgroup) => {
                let place = Place { pid_ns: namespaces.pid, mnt_ns: namespaces.mnt, cgroup };
                let mut desk = lock(&self.desk);
                let wanted = Wanted { source, process, place, is_review: false };
                if desk.admit(place, process) && self.queue.try_send(wanted).is_err() {
                    desk.forget(process);
                    desk.lose(source, cgroup, FULL);
                }
            }
        }
    }

    /// Has those looked at again that still had the host's root: they can change it at any time, and no event says so.
    pub(crate) fn review(&self, source: Source) {
        let mut desk = lock(&self.desk);
        for (place, process) in desk.with_hosts_root() {
            let wanted = Wanted { source, process, place, is_review: true };
            if desk.admit(place, process) && self.queue.try_send(wanted).is_err() {
                // The next scan asks again.
                desk.put_back(place);
            }
        }
    }

    fn is_hosts(&self, namespaces: Namespaces) -> bool {
        namespaces.pid == self.host.pid && namespaces.mnt == self.host.mnt
    }
}

/// Starts the thread that looks. Fails when the host's own namespaces cannot be read.
pub fn spawn(
    root: &HostRoot,
    layout: &CgroupLayout,
    outlet: Outlet,
    stop: Stop,
) -> Result<(Births, Watched), HostfsError> {
    let (births, looking) = prepare(root, layout, outlet)?;
    Ok((births, looking.spawn(stop)))
}

/// Where processes are shown, and the thread that looks at them, yet to be started. Fails when the host's own namespaces
/// cannot be read.
pub fn prepare(
    root: &HostRoot,
    layout: &CgroupLayout,
    outlet: Outlet,
) -> Result<(Births, Looking), HostfsError> {
    let reader = SetupReader::new(root, layout)?;
    let (queue, wanted) = bounded(QUEUE_MAX);
    let desk = Arc::new(Mutex::new(Desk::default()));
    let births = Births { host: reader.host_namespaces(), desk: Arc::clone(&desk), queue };
    Ok((births, Looking { reader, desk, outlet, wanted }))
}

/// The thread that looks, which can be started anew when it died.
#[derive(Debug)]
pub struct Looking {
    reader: SetupReader,
    desk: Arc<Mutex<Desk>>,
    outlet: Outlet,
    wanted: Receiver<Wanted>,
}

impl Looking {
    /// Starts it.
    pub fn spawn(&self, stop: Stop) -> Watched {
        let (reader, desk, outlet) = (self.reader.clone(), Arc::clone(&self.desk), self.outlet.clone());
        let looker = Looker { reader, desk, outlet, later: BTreeMap::new(), number: 0, looks: 0 };
        let wanted = self.wanted.clone();
        self.outlet.spawn("births", SILENT_MAX, move |pulse| {
            looker.run(&wanted, pulse, &stop);
            pulse.retire();
        })
    }
}

struct Looker {
    reader: SetupReader,
    desk: Arc<Mutex<Desk>>,
    outlet: Outlet,
    /// Looks that are due later, in their order; as many at most as looks were made in the last moments.
    later: BTreeMap<(Instant, u64), Later>,
    number: u64,
    /// Looks since losses were told, a second ago at most.
    looks: u32,
}

struct Later {
    wanted: Wanted,
    /// When it was looked at before.
    earlier: Option<Earlier>,
}

/// What came of earlier looks.
struct Earlier {
    looks: usize,
    /// What is reported if the process ends before the next one; `None` when the look showed an intermediate step of its
    /// maker, which says nothing about the container.
    setup: Option<Box<Setup>>,
}

impl Looker {
    fn run(mut self, queue: &Receiver<Wanted>, pulse: &Pulse, stop: &Stop) {
        let closed = never();
        let mut tell = Instant::now() + TELL_LOSSES_EVERY;
        while !stop.is_set() {
            pulse.beat();
            let may_look = self.looks < LOOKS_PER_SECOND_MAX;
            let due = self.later.keys().next().map(|(due, _)| *due).filter(|_| may_look);
            select! {
                recv(if may_look { queue } else { &closed }) -> wanted => match wanted {
                    Ok(wanted) => self.look(wanted, None),
                    // Nobody is left who could want anything; what was put off is still due.
                    Err(_) if self.later.is_empty() => return self.tell_losses(),
                    Err(_) => { let _stopped = stop.wait(AGAIN_AFTER[0]); }
                },
                recv(stop.closed()) -> _ => return,
                recv(at(due.map_or(tell, |due| due.min(tell)))) -> _ => {}
            }
            self.catch_up();
            if Instant::now() >= tell {
                tell = Instant::now() + TELL_LOSSES_EVERY;
                self.looks = 0;
                self.tell_losses();
            }
        }
    }

    fn catch_up(&mut self) {
        while let Some(entry) = self.later.first_entry()
            && entry.key().0 <= Instant::now()
            && self.looks < LOOKS_PER_SECOND_MAX
        {
            let Later { wanted, earlier } = entry.remove();
            self.look(wanted, earlier);
        }
    }

    fn look(&mut self, wanted: Wanted, earlier: Option<Earlier>) {
        let Wanted { process, place, .. } = wanted;
        let admission = lock(&self.desk).begin(place, process, earlier.is_some(), Instant::now());
        let is_nobodys = earlier.as_ref().is_some_and(|earlier| earlier.setup.is_none());
        match admission {
            Admission::Needless => return,
            // Its runtime's process came to nothing, or what became of it was told or lost already.
            Admission::Forgotten if is_nobodys => return,
            Admission::At(due) => return self.put_off(due, wanted, earlier),
            Admission::Forgotten | Admission::Now => {}
        }
        self.looks += 1;
        let looks = earlier.as_ref().map_or(0, |earlier| earlier.looks);
        match self.reader.look(process) {
            Ok(look) => match again_after(&look, looks).filter(|_| !wanted.is_review) {
                Some(wait) => {
                    lock(&self.desk).hold(place, process);
                    let setup = self.report_or_keep(wanted, look, looks);
                    let earlier = Earlier { looks: looks + 1, setup };
                    self.put_off(Instant::now() + wait, wanted, Some(earlier));
                }
                None => self.tell(wanted, look.setup),
            },
            Err(error) => self.fail(wanted, earlier, &error),
        }
    }

    /// What is to be reported if the process ends before the next look. That it has the host's root is reported at the second
    /// look: its next root may come at any time, and is reported then.
    fn report_or_keep(&self, wanted: Wanted, look: Look, looks: usize) -> Option<Box<Setup>> {
        if is_unfinished(&look, looks) {
            return None;
        }
        if looks > 0 && !look.setup.has_own_root {
            self.tell(wanted, look.setup);
            return None;
        }
        Some(Box::new(look.setup))
    }

    /// What was seen of a process that ended before the second look is all that there will ever be.
    fn fail(&mut self, wanted: Wanted, earlier: Option<Earlier>, error: &HostfsError) {
        match earlier.and_then(|earlier| earlier.setup) {
            Some(setup) => self.tell(wanted, *setup),
            // Nothing is lost that was told: its end is, and the inventory says that nobody could look before it.
            None if error.is_gone() => {}
            None => lock(&self.desk).lose(wanted.source, wanted.place.cgroup, UNREADABLE),
        }
        lock(&self.desk).forget(wanted.process);
    }

    fn tell(&self, wanted: Wanted, setup: Setup) {
        if lock(&self.desk).is_news(wanted.place, &setup) {
            self.outlet.send_now(wanted.source, Body::Setup(Box::new(setup)));
        }
    }

    fn put_off(&mut self, due: Instant, wanted: Wanted, earlier: Option<Earlier>) {
        self.number += 1;
        self.later.insert((due, self.number), Later { wanted, earlier });
    }

    fn tell_losses(&self) {
        let losses = lock(&self.desk).take_losses();
        for ((source, cgroup, stage), count) in losses {
            let loss = Loss { source, cgroup, count, stage: Untrusted::new(stage) };
            self.outlet.send_now(source, Body::Lost(loss));
        }
    }
}

/// How long to wait before another look: its runtime is still at work on it, or it has yet to change its root, as those do
/// that are made by hand. `None` when this look is the last.
fn again_after(look: &Look, looks: usize) -> Option<Duration> {
    let most = match (is_runtimes(look), clones_maker(look)) {
        (true, Some(maker)) if maker.is_roots() => AGAIN_AFTER.len(),
        (true, _) => 2,
        (false, _) if is_furnished_later(look) => 2,
        (false, _) if !look.setup.has_own_root => AGAIN_AFTER.len(),
        (false, _) => 0,
    };
    AGAIN_AFTER[..most].get(looks).copied()
}

/// Whether this look shows an intermediate step of whoever makes the container, and nothing of the container. What still
/// runs there at the second look has begun its work.
fn is_unfinished(look: &Look, looks: usize) -> bool {
    is_runtimes(look) || (looks == 0 && is_furnished_later(look))
}

/// Its rights may be those of its runtime also when it executed while it was looked at.
fn is_runtimes(look: &Look) -> bool {
    look.names.iter().any(|name| RUNTIMES.contains(&name.raw()))
}

/// Whether it is at work on its own root: it runs what its maker on the host runs, which is not there. A sandbox passes
/// through a directory that holds nothing but the mounts it is to have.
fn is_furnished_later(look: &Look) -> bool {
    look.setup.has_own_root && !look.setup.runs_hosts_file && clones_maker(look).is_some()
}

/// The host's own file that it runs, if it was cloned by a process of the host and has executed nothing since.
fn clones_maker(look: &Look) -> Option<&Executable> {
    let maker = look.setup.makers.first().filter(|_| look.is_cloned)?;
    maker.executable.as_deref().filter(|executable| executable.is_hosts)
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}
