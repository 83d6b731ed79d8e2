//! The books of one container: what it did, spent and held, second by second.
//!
//! Not here: what others spent on its behalf (`booking.rs`), which needs the books of all.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use model::identity::Container;
use model::ids::WorkloadKey;
use model::novelty::Provenance;
use model::time::Time;
use model::untrusted::Untrusted;
use model::usage::{DeepUsage, LogSize, Usage};
use serde::{Deserialize, Serialize};

use crate::booking::{Booked, Cost, Drive};
use crate::ledger::WINDOW;
use crate::quantities::{Quantities, Quantity};
use crate::recent::{Recent, SecondCost};
use crate::trend::Trend;
use crate::waits::Waits;

/// Seconds of history kept per container; the longest window any judge asks for.
pub(crate) const ENTRIES_MAX: usize = 10;

/// How long a program runs without a finding before it is learned, and how many may wait for that.
const SETTLED_AFTER: Duration = Duration::from_secs(ENTRIES_MAX as u64);
const PROGRAMS_WAITING_MAX: usize = 16;

/// A container younger than this at its first reading has spent everything we read since it started; an older
/// one spent an unknown part before we looked.
const YOUNG_SECONDS: f64 = 5.0;

/// Seconds over which that is judged: periods are read every fifth second (`hostfs`), and a window must hold a reading.
const THROTTLED_SECONDS: f64 = 6.0;

/// Share of its scheduler periods in which a container hits its CPU limit, from which it counts as held back.
const THROTTLED_SHARE: f64 = 0.25;

/// What one container did and spent over a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Length of the span in seconds, counted from the container's start when that lies within.
    pub seconds: f64,
    /// What it did in that time.
    pub quantities: Quantities,
}

impl Spent {
    /// The sum of one quantity over the span.
    pub fn of(&self, quantity: Quantity) -> f64 {
        self.quantities.of(quantity)
    }

    /// One quantity a second.
    pub fn rate(&self, quantity: Quantity) -> f64 {
        self.quantities.of(quantity) / self.seconds.max(1e-3)
    }

    /// CPU of its own cgroup in cores.
    pub fn own_cores(&self) -> f64 {
        self.rate(Quantity::OwnCpu)
    }

    fn add(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.quantities.add_all(&other.quantities);
    }
}

/// The books of one container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    container: Arc<Container>,
    workload: WorkloadKey,
    provenance: Provenance,
    /// Closed seconds, oldest first.
    entries: VecDeque<Spent>,
    /// The second being filled.
    open: Spent,
    last: Last,
    /// CPU of its own cgroup in cores.
    cpu: Trend,
    /// Memory that cannot be dropped, in bytes.
    memory: Trend,
    /// Page cache that can be dropped, as last told.
    cache_bytes: u64,
    /// Growth of its log, in bytes since it was first seen.
    log: Trend,
    pub(crate) waits: Waits,
    throttled_since: Option<Time>,
    /// Programs it ran that are not learned yet, oldest first.
    programs: VecDeque<(Time, Untrusted)>,
    /// The last program it ran that was new to its workload.
    stranger: Option<(Time, Untrusted)>,
    /// What it does that makes others spend.
    drive: Drive,
    /// What others spent on its behalf in each closed second, oldest first: as long as `entries` once they are booked.
    booked: VecDeque<Booked>,
    /// What others spend on its behalf, by class, as of the last closed second.
    pub(crate) costs: Vec<Cost>,
    /// What it cost in each of the last seconds.
    recent: Recent,
    flagged_until: Time,
}

/// Where the engine takes what the container prints.
enum Output {
    /// Into a file whose size is read.
    File,
    /// To whoever is attached, or into files of its own.
    Streamed,
    /// To another daemon, entry by entry.
    Shipped,
}

/// The last readings, for the differences.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Last {
    usage: Option<Usage>,
    log_bytes: Option<u64>,
    shim_ns: Option<u64>,
    deep: Option<(Time, DeepUsage)>,
}

impl Account {
    pub(crate) fn new(container: &Arc<Container>, provenance: Provenance) -> Self {
        Self {
            workload: container.workload(),
            container: Arc::clone(container),
            provenance,
            entries: VecDeque::with_capacity(ENTRIES_MAX),
            open: Spent::default(),
            last: Last::default(),
            cpu: Trend::default(),
            memory: Trend::default(),
            cache_bytes: 0,
            log: Trend::default(),
            waits: Waits::default(),
            throttled_since: None,
            programs: VecDeque::new(),
            stranger: None,
            drive: Drive::default(),
            booked: VecDeque::with_capacity(ENTRIES_MAX),
            costs: Vec::new(),
            recent: Recent::default(),
            flagged_until: Time::default(),
        }
    }

    /// The container.
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// Calls of an engine in the last closed second and since.
    pub(crate) fn engine_calls(&self) -> f64 {
        self.open.of(Quantity::EngineCalls) + self.lately(Quantity::EngineCalls)
    }

    /// Its workload.
    pub fn workload(&self) -> &WorkloadKey {
        &self.workload
    }

    /// What people said about it.
    pub fn provenance(&self) -> Provenance {
        self.provenance
    }

    /// Whether it still runs, as far as we know.
    pub fn is_running(&self) -> bool {
        self.container.ended.is_none()
    }

    /// The last reading of its cgroup.
    pub fn usage(&self) -> Option<&Usage> {
        self.last.usage.as_ref()
    }

    /// The last deep reading of it and when that was; `None` while it is not looked at deeply.
    pub fn deep(&self) -> Option<(Time, &DeepUsage)> {
        self.last.deep.as_ref().map(|(at, deep)| (*at, deep))
    }

    /// What it spent over the last `window_seconds` of closed books, or since its start if that is less;
    /// `None` before the first second is closed, and of one without length.
    pub fn spent(&self, window_seconds: f64) -> Option<Spent> {
        self.spent_over(window_seconds).map(|(spent, _)| spent)
    }

    /// As `spent`, with the number of closed books it is the sum of.
    pub(crate) fn spent_over(&self, window_seconds: f64) -> Option<(Spent, usize)> {
        let mut sum = Spent::default();
        let mut books = 0;
        for entry in self.entries.iter().rev() {
            if sum.seconds + 0.5 >= window_seconds {
                break;
            }
            sum.add(entry);
            books += 1;
        }
        // Books that were closed twice at one moment have no length, and no rate.
        (sum.seconds > 0.0).then_some((sum, books))
    }

    /// The closed second that now leaves the window of the judges: none of them has found anything in it, or it would
    /// be flagged, so that it can be learned.
    pub(crate) fn settled(&self) -> Option<Spent> {
        self.entries.front().filter(|_| self.entries.len() == ENTRIES_MAX).copied()
    }

    /// The last second whose books are closed.
    pub fn latest(&self) -> Option<&Spent> {
        self.entries.back()
    }

    /// What it did in the last closed second. What only a close look tells is read every other second, so that two count.
    pub(crate) fn lately(&self, quantity: Quantity) -> f64 {
        let is_deep = quantity.needs_a_close_look();
        self.entries.iter().rev().take(if is_deep { 2 } else { 1 }).map(|entry| entry.of(quantity)).sum()
    }

    /// What it cost in each of the last closed seconds, at most half a minute of them, oldest first.
    pub fn cost_by_second(&self) -> impl Iterator<Item = SecondCost> {
        self.recent.iter()
    }

    /// What others spend on its behalf, by class.
    pub fn costs(&self) -> &[Cost] {
        &self.costs
    }

    /// CPU in cores that others spend on its behalf.
    pub fn out_of_band_cores(&self) -> f64 {
        // Not `sum`: that of nothing is minus zero, and shows.
        self.costs.iter().fold(0.0, |sum, cost| sum + cost.attributed_cores)
    }

    /// What it truly costs: its own CPU and what it makes others spend over the ledger's window, in cores.
    pub fn true_cores(&self) -> f64 {
        self.spent(WINDOW).map_or(0.0, |spent| spent.own_cores()) + self.out_of_band_cores()
    }

    /// How its own CPU goes, in cores.
    pub fn cpu(&self) -> &Trend {
        &self.cpu
    }

    /// How its memory goes, page cache that can be dropped left out.
    pub fn memory(&self) -> &Trend {
        &self.memory
    }

    /// How its log file goes.
    pub fn log(&self) -> &Trend {
        &self.log
    }

    /// How long its tasks wait, against usual.
    pub fn waits(&self) -> &Waits {
        &self.waits
    }

    /// How long it has hit its CPU limit without a pause.
    pub fn throttled_for(&self, now: Time) -> Duration {
        self.throttled_since.map(|since| now.since(since)).unwrap_or_default()
    }

    /// The last program it ran that its workload never ran before, and when.
    pub fn stranger(&self) -> Option<(Time, &Untrusted)> {
        self.stranger.as_ref().map(|(at, name)| (*at, name))
    }

    fn output(&self) -> Output {
        let Some(facts) = self.container.facts.known() else { return Output::Streamed };
        match facts.log_driver.raw() {
            _ if self.has_log_file() => Output::File,
            "" | "none" | "local" | "json-file" => Output::Streamed,
            _ => Output::Shipped,
        }
    }

    /// Whether the engine writes a file of what it prints.
    pub fn has_log_file(&self) -> bool {
        self.last.log_bytes.is_some()
    }

    pub(crate) fn age_seconds(&self, at: Time) -> f64 {
        at.since(self.container.key.started).as_secs_f64()
    }

    pub(crate) fn is_flagged(&self, now: Time) -> bool {
        now < self.flagged_until
    }

    pub(crate) fn flag(&mut self, until: Time) {
        self.flagged_until = self.flagged_until.max(until);
    }

    pub(crate) fn update(&mut self, container: &Arc<Container>, provenance: Provenance) {
        self.workload = container.workload();
        self.container = Arc::clone(container);
        self.provenance = provenance;
    }

    pub(crate) fn review(&mut self, provenance: Provenance) {
        self.provenance = provenance;
    }

    /// Adds to the second being filled.
    pub(crate) fn book(&mut self, quantity: Quantity, more: f64) {
        self.open.quantities.add(quantity, more);
    }

    pub(crate) fn read_usage(&mut self, usage: &Usage, at: Time) {
        let is_young = self.age_seconds(at) <= YOUNG_SECONDS;
        let last = self.last.usage.replace(usage.clone());
        let grown = |pick: &dyn Fn(&Usage) -> Option<u64>| match (&last, pick(usage)) {
            (Some(last), Some(now)) => now.saturating_sub(pick(last).unwrap_or(now)) as f64,
            (None, Some(now)) if is_young => now as f64,
            _ => 0.0,
        };
        let io = |usage: &Usage| Some(usage.io_read_bytes?.saturating_add(usage.io_write_bytes?));
        let waited = |pressure: Option<model::usage::Pressure>| pressure.map(|it| it.some_total_us);
        for (quantity, more) in [
            (Quantity::OwnCpu, grown(&|usage| usage.cpu_ns) / 1e9),
            (Quantity::IoBytes, grown(&io)),
            (Quantity::IoOperations, grown(&|usage| usage.io_operations)),
            (Quantity::Periods, grown(&|usage| usage.periods)),
            (Quantity::ThrottledPeriods, grown(&|usage| usage.throttled_periods)),
            (Quantity::OomKills, grown(&|usage| usage.oom_kills)),
            (Quantity::WaitedCpu, grown(&|usage| waited(usage.pressures.cpu)) / 1e6),
            (Quantity::WaitedMemory, grown(&|usage| waited(usage.pressures.memory)) / 1e6),
            (Quantity::WaitedIo, grown(&|usage| waited(usage.pressures.io)) / 1e6),
        ] {
            self.book(quantity, more);
        }
        self.read_memory(usage, last.as_ref(), at);
    }

    /// What cannot be dropped: all but page cache, which is told in full only now and then and is taken for the same until
    /// it is told anew.
    fn read_memory(&mut self, usage: &Usage, last: Option<&Usage>, at: Time) {
        let Some(bytes) = usage.memory_bytes.or(usage.memory_working_set_bytes) else { return };
        let told = usage.memory_working_set_bytes;
        if let Some(working) = told.filter(|_| last.and_then(|last| last.memory_working_set_bytes) != told) {
            self.cache_bytes = bytes.saturating_sub(working);
        }
        self.memory.read(bytes.saturating_sub(self.cache_bytes) as f64, at);
    }

    pub(crate) fn read_log(&mut self, log: &LogSize, at: Time) {
        let grown = match self.last.log_bytes {
            // A smaller size means that the oldest rotated file was deleted; what was written meanwhile is unknown.
            Some(last) => log.bytes.saturating_sub(last),
            None if self.age_seconds(at) <= YOUNG_SECONDS => log.bytes,
            None => 0,
        };
        self.book(Quantity::LogBytes, grown as f64);
        self.last.log_bytes = Some(log.bytes);
        self.log.read(log.bytes as f64, at);
    }

    /// What its processes hold and, when that counts, wrote: the first reading that counts holds all they ever did.
    pub(crate) fn read_deep(&mut self, deep: &DeepUsage, counts_writes: bool, at: Time) {
        let is_young = self.age_seconds(at) <= YOUNG_SECONDS;
        let written_chars_bytes = deep.written_chars_bytes.filter(|_| counts_writes);
        let deep = DeepUsage { written_chars_bytes, ..deep.clone() };
        let last = self.last.deep.replace((at, deep)).and_then(|(_, last)| last.written_chars_bytes);
        let grown = match (last, written_chars_bytes) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            (None, Some(now)) if is_young => now,
            _ => 0,
        };
        self.book(Quantity::WrittenBytes, grown as f64);
    }

    /// It runs a program, perhaps one that is new to its workload.
    pub(crate) fn runs(&mut self, name: &Untrusted, is_new: bool, at: Time) {
        if is_new {
            self.stranger = Some((at, name.clone()));
        }
        let is_waiting = self.programs.iter().any(|(_, waiting)| waiting == name);
        if !is_waiting && self.programs.len() < PROGRAMS_WAITING_MAX {
            self.programs.push_back((at, name.clone()));
        }
    }

    /// The next program that has run for long enough without a finding to be learned.
    pub(crate) fn settled_program(&mut self, now: Time) -> Option<Untrusted> {
        self.programs.front().filter(|(at, _)| now.since(*at) >= SETTLED_AFTER)?;
        self.programs.pop_front().map(|(_, name)| name)
    }

    /// It is no longer looked at deeply.
    pub(crate) fn forget_deep(&mut self) {
        self.last.deep = None;
    }

    pub(crate) fn read_shim(&mut self, cpu_ns: u64, at: Time) {
        let spent_ns = match self.last.shim_ns {
            Some(last) => cpu_ns.saturating_sub(last),
            None if self.age_seconds(at) <= YOUNG_SECONDS => cpu_ns,
            None => 0,
        };
        self.book(Quantity::ShimCpu, spent_ns as f64 / 1e9);
        self.last.shim_ns = Some(cpu_ns);
    }

    /// Closes the second that ended at `at`, `span_seconds` after the one before.
    pub(crate) fn close(&mut self, at: Time, span_seconds: f64) {
        let has_ended =
            self.container.ended.is_some_and(|ended| at.since(ended).as_secs_f64() > span_seconds);
        self.open.seconds = if has_ended { 0.0 } else { span_seconds.min(self.age_seconds(at).max(1e-3)) };
        let written = self.open.of(Quantity::WrittenBytes);
        match self.output() {
            Output::File => self.book(Quantity::UnshippedBytes, written),
            Output::Streamed => {
                self.book(Quantity::StreamedBytes, written);
                self.book(Quantity::UnshippedBytes, written);
            }
            Output::Shipped => self.book(Quantity::ShippedBytes, written),
        }
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
            self.booked.pop_front();
        }
        self.waits.close(&self.open);
        self.drive.follow(&self.open.quantities, span_seconds, self.entries.len() + 1);
        if has_ended {
            self.drive.end();
        }
        self.entries.push_back(std::mem::take(&mut self.open));
        self.mind_limit(at);
        if let Some(spent) = self.spent(2.0) {
            self.cpu.read(spent.own_cores(), at);
        }
    }

    /// Books what others spent on its behalf in the last closed second.
    pub(crate) fn book_second(&mut self, booked: Booked, span_seconds: f64) {
        let own = self.latest().copied().unwrap_or_default();
        let others =
            booked.total_seconds() / span_seconds + own.of(Quantity::ShimCpu) / own.seconds.max(1e-3);
        self.recent.push(own.own_cores(), others);
        self.booked.push_back(booked);
    }

    /// What others spent on its behalf in each of the last `books` seconds, the newest first.
    pub(crate) fn booked(&self, books: usize) -> impl Iterator<Item = &Booked> {
        self.booked.iter().rev().take(books)
    }

    pub(crate) fn drive(&self) -> &Drive {
        &self.drive
    }

    /// Forgets the seconds before a gap: rates across it would be guesses.
    pub(crate) fn forget_seconds(&mut self) {
        self.entries.clear();
        self.booked.clear();
        self.drive = Drive::default();
        self.costs.clear();
        self.recent = Recent::default();
        self.throttled_since = None;
        self.open = Spent::default();
    }

    /// Whether it hits its limit, over the last few seconds: a single one is a burst.
    fn mind_limit(&mut self, at: Time) {
        let Some(spent) = self.spent(THROTTLED_SECONDS) else { return };
        let periods = spent.of(Quantity::Periods);
        let is_held = periods > 0.0 && spent.of(Quantity::ThrottledPeriods) >= THROTTLED_SHARE * periods;
        self.throttled_since =
            is_held.then(|| self.throttled_since.unwrap_or_else(|| at.minus(self.told_of())));
    }

    /// The time of which the last reading of periods tells: since the one before, or since the start.
    fn told_of(&self) -> Duration {
        let newest_first = self.entries.iter().rev().enumerate();
        let since_before =
            newest_first.take_while(|(nth, entry)| *nth == 0 || entry.of(Quantity::Periods) <= 0.0);
        Duration::from_secs_f64(since_before.map(|(_, entry)| entry.seconds).sum())
    }
}
