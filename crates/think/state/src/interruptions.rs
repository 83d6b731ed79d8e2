//! When Tidewatch itself did not run: stopped, suspended, starved, killed; and since when it knows this host.
//!
//! Why it did not run is told by the host's own clocks: while a process is stopped its host goes on spending or idling CPU
//! time, and while a virtual machine is paused, or a laptop sleeps, it does not. Not here: whether that is bad (`detect`).

use std::collections::VecDeque;
use std::time::Duration;

use model::identity::Container;
use model::time::Time;
use model::usage::CpuTimes;
use serde::{Deserialize, Serialize};

/// Readings of the host's CPU time that are kept, one a second: the last before a stop, and the first after it.
const READINGS_MAX: usize = 8;
/// Stops that wait until it is known what the host did meanwhile.
const WAITING_MAX: usize = 16;
/// How long a stop waits for the events that were buffered meanwhile, and how long for a reading of the host.
const DRAINED_AFTER: Duration = Duration::from_secs(1);
const READ_AFTER: Duration = Duration::from_secs(4);
/// What happens so close to either end of a stop may have been before or after it.
const EDGE: Duration = Duration::from_millis(500);
/// A host that ran has spent or idled at least this share of a stop.
const RAN_SHARE_MIN: f64 = 0.5;

/// Ticks are half a second apart; one that is later than this is late. The rim tells of those beyond [`LATE_MAX`].
const LATE_MIN: Duration = Duration::from_millis(1_200);
const LATE_MAX: Duration = Duration::from_secs(3);
const TICK: Duration = Duration::from_millis(500);
/// The span over which what was late halves.
const LATE_HALF_LIFE: Duration = Duration::from_secs(30);
/// Late by so much within the last half minute is told, and again whenever it has gone on for as long.
const LATE_TOLD: f64 = 8.0;
const LATE_TOLD_AGAIN: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Interruptions {
    /// When this host was first looked at with this data directory.
    first_look: Option<Time>,
    down: Option<Down>,
    unclean: Option<Unclean>,
    /// Whether the store is another one than that of the runs before: its word about when this host was first watched is
    /// worth nothing.
    is_store_new: bool,
    readings: VecDeque<(Time, CpuTimes)>,
    waiting: VecDeque<Stop>,
    last_tick: Option<Time>,
    late_secs: f64,
    late_told: Option<Time>,
    #[serde(skip)]
    fresh: Vec<Stop>,
    #[serde(skip)]
    fresh_late: Option<Duration>,
}

/// The time before this run in which Tidewatch did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Down {
    /// The last sign of life of the run before.
    pub last: Time,
    /// When this run began.
    pub until: Time,
}

/// That the run before did not end in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unclean {
    /// Whether the host was booted since.
    pub rebooted: bool,
    /// How often within a day; 0 where that is not known.
    pub times: u64,
}

/// A stop of ours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// The last time we ran before it.
    pub from: Time,
    /// When we ran again.
    pub until: Time,
    /// For how long the host was suspended, in milliseconds, where that is known.
    pub suspended_ms: Option<u64>,
    /// For how long we waited for a CPU, in milliseconds, where that is known.
    pub starved_ms: Option<u64>,
    /// Whether the host ran all the while; `None` where nobody read it.
    pub host_ran: Option<bool>,
    /// Events of the kernel that happened well within it.
    pub events: u64,
}

impl Stop {
    /// How long it took.
    pub fn lasted(&self) -> Duration {
        self.until.since(self.from)
    }

    /// Whether something happened at that time.
    pub fn spans(&self, at: Time) -> bool {
        at > self.from.plus(EDGE) && at.plus(EDGE) < self.until
    }
}

impl Interruptions {
    /// Another event: what was told with the last one is no news any more.
    pub(crate) fn pass(&mut self) {
        self.fresh.clear();
        self.fresh_late = None;
    }

    pub(crate) fn first_look(&mut self, at: Time) {
        self.first_look = Some(at);
    }

    pub(crate) fn resumed(&mut self, last: Time, until: Time) {
        self.down = Some(Down { last, until });
    }

    pub(crate) fn killed(&mut self, last: Time, unclean: Unclean, at: Time) {
        self.unclean = Some(unclean);
        // The gap may be told of by this alone.
        self.down.get_or_insert(Down { last, until: at });
    }

    /// The store is not that of the runs before.
    pub(crate) fn store_is_new(&mut self) {
        self.is_store_new = true;
    }

    pub(crate) fn late(&mut self, stop: Stop) {
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(stop);
    }

    /// The kernel tells of something that happened then.
    pub(crate) fn happened(&mut self, at: Time) {
        for stop in self.waiting.iter_mut().filter(|stop| stop.spans(at)) {
            stop.events = stop.events.saturating_add(1);
        }
    }

    pub(crate) fn read(&mut self, cpu: CpuTimes, cores: u32, at: Time) {
        if self.readings.len() >= READINGS_MAX {
            self.readings.pop_front();
        }
        self.readings.push_back((at, cpu));
        for stop in self.waiting.iter_mut().filter(|stop| stop.host_ran.is_none()) {
            stop.host_ran = ran(&self.readings, stop, cores);
        }
        self.settle(at);
    }

    pub(crate) fn tick(&mut self, at: Time) {
        if let Some(step) = self.last_tick.map(|last| at.since(last)) {
            self.late_secs *= 0.5_f64.powf(step.as_secs_f64() / LATE_HALF_LIFE.as_secs_f64());
            if (LATE_MIN..=LATE_MAX).contains(&step) {
                self.late_secs += step.saturating_sub(TICK).as_secs_f64();
            }
        }
        self.last_tick = Some(self.last_tick.map_or(at, |last| last.max(at)));
        let is_due = self.late_told.is_none_or(|told| at.since(told) >= LATE_TOLD_AGAIN);
        if self.late_secs >= LATE_TOLD && is_due {
            self.late_told = Some(at);
            self.fresh_late = Some(Duration::from_secs_f64(self.late_secs));
        }
        self.settle(at);
    }

    /// Stops of which it is known now what the host did meanwhile.
    pub(crate) fn fresh(&self) -> &[Stop] {
        &self.fresh
    }

    /// How late we were in all lately, each time by less than is told as a stop.
    pub(crate) fn fresh_late(&self) -> Option<Duration> {
        self.fresh_late
    }

    pub(crate) fn down(&self) -> Option<&Down> {
        self.down.as_ref()
    }

    pub(crate) fn unclean(&self) -> Option<&Unclean> {
        self.unclean.as_ref()
    }

    /// Whether a container ran when this host was first watched: nobody can have said anything of it before. `began` is when
    /// this run began.
    pub(crate) fn is_from_before(&self, container: &Container, began: Option<Time>) -> bool {
        let started = container.key.started;
        match self.down {
            _ if self.is_store_new => false,
            None => self.first_look.or(began).is_none_or(|first| started < first),
            // The clock was set back while we were down: when anything started says nothing.
            Some(down) if down.last > down.until => false,
            Some(down) => started < self.first_look.unwrap_or(down.last).min(down.last),
        }
    }

    /// Whether a container started while Tidewatch did not run before this run.
    pub(crate) fn is_from_the_gap(&self, container: &Container) -> bool {
        let started = container.key.started;
        self.down.is_some_and(|down| started > down.last && started < down.until)
    }

    fn settle(&mut self, at: Time) {
        let (waiting, settled): (VecDeque<Stop>, VecDeque<Stop>) = self.waiting.drain(..).partition(|stop| {
            let waits = if stop.host_ran.is_some() { DRAINED_AFTER } else { READ_AFTER };
            at < stop.until.plus(waits)
        });
        self.waiting = waiting;
        self.fresh.extend(settled);
    }
}

/// Whether the host spent or idled CPU time all through a stop; `None` until it was read after it.
fn ran(readings: &VecDeque<(Time, CpuTimes)>, stop: &Stop, cores: u32) -> Option<bool> {
    let before = readings.iter().rev().find(|(at, _)| *at <= stop.from.plus(EDGE))?;
    let after = readings.iter().find(|(at, _)| at.plus(EDGE) >= stop.until)?;
    let passed = total(&after.1).saturating_sub(total(&before.1)) as f64 / 1e9 / f64::from(cores.max(1));
    // What passed outside the stop, between the readings, ran in any case.
    let outside = after.0.since(before.0).saturating_sub(stop.lasted()).as_secs_f64();
    Some(passed - outside >= stop.lasted().as_secs_f64() * RAN_SHARE_MIN)
}

/// CPU time of all kinds; what a hypervisor took is not the host's.
fn total(cpu: &CpuTimes) -> u64 {
    let CpuTimes { user_ns, system_ns, idle_ns, iowait_ns, irq_ns, softirq_ns, steal_ns: _ } = *cpu;
    [system_ns, idle_ns, iowait_ns, irq_ns, softirq_ns]
        .iter()
        .fold(user_ns, |sum, ns| sum.saturating_add(*ns))
}
