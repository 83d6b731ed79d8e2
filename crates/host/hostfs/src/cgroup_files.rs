//! The files of one cgroup that are read, by version, and what their text means.
//!
//! Not here: when they are read, and what happens when one is missing (`cgroup.rs`).

use model::usage::{Pressure, Usage};

use self::Pace::{Cold, Hot, Slow};
use self::Place::{Unified, V1};
use crate::layout::{CgroupLayout, Controller};
use crate::text::{decimal, lines, number, split_once, value_of, words};

/// Text that no kernel file holds and no `parse` accepts: stands for a file that could not be read.
pub(crate) const UNREADABLE: &[u8] = b"? ?";

/// When a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pace {
    /// CPU, memory, tasks, block devices: every time.
    Hot,
    /// Limits, pressures, events: they change rarely.
    Cold,
    /// Statistics: they cost more than the rest.
    Slow,
}

/// The mount a file is found below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The v2 hierarchy.
    Unified,
    /// A v1 hierarchy.
    V1(Controller),
}

/// What has been read so far.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// The values.
    pub(crate) usage: Usage,
    /// v1 tells the CPU limit in two files.
    cfs_period_us: Option<u64>,
}

/// One file: `parse` sets all its fields, to `None` when it returns false.
#[derive(Debug)]
pub(crate) struct FileKind {
    /// Where.
    pub(crate) place: Place,
    /// Name in the cgroup's directory.
    pub(crate) name: &'static str,
    /// How often.
    pub(crate) pace: Pace,
    /// Whether the text was well formed.
    pub(crate) parse: fn(&[u8], &mut Draft) -> bool,
}

impl FileKind {
    const fn new(place: Place, name: &'static str, pace: Pace, parse: fn(&[u8], &mut Draft) -> bool) -> Self {
        Self { place, name, pace, parse }
    }
}

static CPU_V2: [FileKind; 1] = [FileKind::new(Unified, "cpu.stat", Hot, |text, draft| {
    draft.usage.cpu_ns = value_of(text, b"usage_usec ").map(us_to_ns);
    throttling(text, draft, b"throttled_usec ", 1000);
    draft.usage.cpu_ns.is_some()
})];
/// v2 counts CPU time even where the CPU controller itself is mounted as v1; throttling is then told there.
static CPU_V2_TIME: [FileKind; 1] = [FileKind::new(Unified, "cpu.stat", Hot, |text, draft| {
    draft.usage.cpu_ns = value_of(text, b"usage_usec ").map(us_to_ns);
    draft.usage.cpu_ns.is_some()
})];
static CPU_V1_TIME: [FileKind; 1] =
    [FileKind::new(V1(Controller::Cpuacct), "cpuacct.usage", Hot, |text, draft| {
        set(&mut draft.usage.cpu_ns, number(text))
    })];
static CPU_LIMIT_V2: [FileKind; 1] = [FileKind::new(Unified, "cpu.max", Cold, cpu_max)];
static CPU_LIMIT_V1: [FileKind; 3] = [
    FileKind::new(V1(Controller::Cpu), "cpu.cfs_period_us", Cold, |text, draft| {
        set(&mut draft.cfs_period_us, number(text))
    }),
    FileKind::new(V1(Controller::Cpu), "cpu.cfs_quota_us", Cold, cfs_quota),
    FileKind::new(V1(Controller::Cpu), "cpu.stat", Cold, |text, draft| {
        throttling(text, draft, b"throttled_time ", 1);
        draft.usage.periods.is_some()
    }),
];
static MEMORY_V2: [FileKind; 5] = [
    FileKind::new(Unified, "memory.current", Hot, |text, draft| {
        set(&mut draft.usage.memory_bytes, number(text))
    }),
    FileKind::new(Unified, "memory.max", Cold, |text, draft| {
        limit(&mut draft.usage.memory_limit_bytes, text)
    }),
    FileKind::new(Unified, "memory.events", Cold, |text, draft| {
        draft.usage.oom_events = value_of(text, b"oom ");
        set(&mut draft.usage.oom_kills, value_of(text, b"oom_kill "))
    }),
    FileKind::new(Unified, "memory.stat", Slow, |text, draft| {
        draft.usage.major_faults = value_of(text, b"pgmajfault ");
        working_set(text, b"inactive_file ", draft)
    }),
    FileKind::new(Unified, "memory.swap.current", Slow, |text, draft| {
        set(&mut draft.usage.memory_swap_bytes, number(text))
    }),
];
static MEMORY_V1: [FileKind; 4] = [
    FileKind::new(V1(Controller::Memory), "memory.usage_in_bytes", Hot, |text, draft| {
        set(&mut draft.usage.memory_bytes, number(text))
    }),
    FileKind::new(V1(Controller::Memory), "memory.limit_in_bytes", Cold, |text, draft| {
        limit(&mut draft.usage.memory_limit_bytes, text)
    }),
    FileKind::new(V1(Controller::Memory), "memory.oom_control", Cold, |text, draft| {
        set(&mut draft.usage.oom_kills, value_of(text, b"oom_kill "))
    }),
    FileKind::new(V1(Controller::Memory), "memory.stat", Slow, |text, draft| {
        // Without the prefix these tell of the group alone and not of those below it.
        draft.usage.major_faults = value_of(text, b"total_pgmajfault ");
        // There is no such line where swap is not counted.
        draft.usage.memory_swap_bytes = value_of(text, b"total_swap ");
        working_set(text, b"total_inactive_file ", draft)
    }),
];
static PIDS_V2: [FileKind; 2] = pids(Unified);
static PIDS_V1: [FileKind; 2] = pids(V1(Controller::Pids));
static IO_V2: [FileKind; 1] = [FileKind::new(Unified, "io.stat", Hot, io_stat)];
static IO_V1: [FileKind; 2] = [
    FileKind::new(V1(Controller::Blkio), "blkio.throttle.io_service_bytes", Hot, |text, draft| {
        let sums = blkio(text);
        draft.usage.io_read_bytes = sums.map(|(read, _)| read);
        draft.usage.io_write_bytes = sums.map(|(_, write)| write);
        sums.is_some()
    }),
    FileKind::new(V1(Controller::Blkio), "blkio.throttle.io_serviced", Hot, |text, draft| {
        set(&mut draft.usage.io_operations, blkio(text).map(|(read, write)| read.saturating_add(write)))
    }),
];
static PRESSURES: [FileKind; 3] = [
    FileKind::new(Unified, "cpu.pressure", Cold, |text, draft| {
        set(&mut draft.usage.pressures.cpu, pressure(text))
    }),
    FileKind::new(Unified, "memory.pressure", Cold, |text, draft| {
        set(&mut draft.usage.pressures.memory, pressure(text))
    }),
    FileKind::new(Unified, "io.pressure", Cold, |text, draft| {
        set(&mut draft.usage.pressures.io, pressure(text))
    }),
];

const fn pids(place: Place) -> [FileKind; 2] {
    [
        FileKind::new(place, "pids.current", Hot, |text, draft| set(&mut draft.usage.pids, number(text))),
        FileKind::new(place, "pids.max", Cold, |text, draft| limit(&mut draft.usage.pids_limit, text)),
    ]
}

/// The files to read under this layout.
pub(crate) fn file_kinds(layout: &CgroupLayout) -> impl Iterator<Item = &'static FileKind> {
    let v1 = |controller| layout.v1(controller).is_some();
    let v2 = layout.unified().is_some();
    let pick = |controller, old: &'static [FileKind], new: &'static [FileKind]| match (v1(controller), v2) {
        (true, _) => old,
        (false, true) => new,
        (false, false) => &[],
    };
    let time: &[FileKind] = match (v2, v1(Controller::Cpu)) {
        (true, true) => &CPU_V2_TIME,
        (true, false) => &CPU_V2,
        (false, _) => &CPU_V1_TIME,
    };
    let sets: [&'static [FileKind]; 6] = [
        time,
        pick(Controller::Memory, &MEMORY_V1, &MEMORY_V2),
        pick(Controller::Pids, &PIDS_V1, &PIDS_V2),
        pick(Controller::Blkio, &IO_V1, &IO_V2),
        pick(Controller::Cpu, &CPU_LIMIT_V1, &CPU_LIMIT_V2),
        if v2 { &PRESSURES } else { &[] },
    ];
    sets.into_iter().flatten()
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=7539`, and a second line for `full` (absent for CPU before 5.13).
pub(crate) fn pressure(text: &[u8]) -> Option<Pressure> {
    let mut pressure = None;
    for line in lines(text) {
        let mut words = words(line);
        match words.next()? {
            b"some" => {
                pressure = Some(Pressure {
                    some_avg10_percent: decimal(words.next()?.strip_prefix(b"avg10=")?)?,
                    some_avg60_percent: decimal(words.next()?.strip_prefix(b"avg60=")?)?,
                    some_total_us: number(words.nth(1)?.strip_prefix(b"total=")?)?,
                    ..pressure.unwrap_or_default()
                });
            }
            b"full" => {
                pressure.as_mut()?.full_avg10_percent = decimal(words.next()?.strip_prefix(b"avg10=")?)?;
            }
            _ => return None,
        }
    }
    pressure
}

fn set<T>(field: &mut Option<T>, value: Option<T>) -> bool {
    *field = value;
    field.is_some()
}

/// A limit; `max` is v2's word for none, and v1 writes the largest number of whole pages.
fn limit(field: &mut Option<u64>, text: &[u8]) -> bool {
    const UNLIMITED_V1_MIN: u64 = 1 << 60;
    *field = number(text).filter(|&value| value < UNLIMITED_V1_MIN);
    field.is_some() || text.trim_ascii() == b"max" || number(text).is_some()
}

/// What `kubectl top` and the kubelet's evictions go by: memory less the cached files that nobody used lately. The
/// memory was read just before.
fn working_set(text: &[u8], inactive_key: &[u8], draft: &mut Draft) -> bool {
    let inactive = value_of(text, inactive_key);
    let memory = draft.usage.memory_bytes;
    draft.usage.memory_working_set_bytes =
        memory.zip(inactive).map(|(memory, inactive)| memory.saturating_sub(inactive));
    inactive.is_some()
}

fn throttling(text: &[u8], draft: &mut Draft, time_key: &[u8], ns_per_unit: u64) {
    draft.usage.periods = value_of(text, b"nr_periods ");
    draft.usage.throttled_periods = value_of(text, b"nr_throttled ");
    draft.usage.throttled_ns = value_of(text, time_key).map(|time| time.saturating_mul(ns_per_unit));
}

fn us_to_ns(us: u64) -> u64 {
    us.saturating_mul(1000)
}

/// `max 100000` or `50000 100000`: time and period in microseconds.
fn cpu_max(text: &[u8], draft: &mut Draft) -> bool {
    let (quota, period) = split_once(text, b' ').unwrap_or_default();
    draft.usage.cpu_limit_cores = cores(number(quota), number(period));
    draft.usage.cpu_limit_cores.is_some() || quota == b"max"
}

/// `-1` when unlimited, else the time per period in microseconds.
fn cfs_quota(text: &[u8], draft: &mut Draft) -> bool {
    draft.usage.cpu_limit_cores = cores(number(text), draft.cfs_period_us);
    draft.usage.cpu_limit_cores.is_some() || text.trim_ascii() == b"-1"
}

fn cores(quota_us: Option<u64>, period_us: Option<u64>) -> Option<f32> {
    let period_us = period_us.filter(|&period| period > 0)?;
    Some((quota_us? as f64 / period_us as f64) as f32)
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0` per device; a device without I/O is its number alone.
fn io_stat(text: &[u8], draft: &mut Draft) -> bool {
    let sums = io_sums(text);
    draft.usage.io_read_bytes = sums.map(|sums| sums.0);
    draft.usage.io_write_bytes = sums.map(|sums| sums.1);
    draft.usage.io_operations = sums.map(|sums| sums.2);
    sums.is_some()
}

fn io_sums(text: &[u8]) -> Option<(u64, u64, u64)> {
    let (mut read, mut write, mut operations) = (0u64, 0u64, 0u64);
    for word in lines(text).flat_map(|line| words(line).skip(1)) {
        let (key, value) = split_once(word, b'=')?;
        let sum = match key {
            b"rbytes" => &mut read,
            b"wbytes" => &mut write,
            b"rios" | b"wios" => &mut operations,
            _ => continue,
        };
        *sum = sum.saturating_add(number(value)?);
    }
    Some((read, write, operations))
}

/// `8:0 Read 4096`, `8:0 Write 0` and so on per device, then `Total 4096`: what was read and written on all.
fn blkio(text: &[u8]) -> Option<(u64, u64)> {
    let (mut read, mut write, mut total) = (0u64, 0u64, false);
    for line in lines(text) {
        let mut words = words(line);
        let sum = match (words.next()?, words.next()?) {
            (b"Total", _) => {
                total = true;
                continue;
            }
            (_, b"Read") => &mut read,
            (_, b"Write") => &mut write,
            _ => continue,
        };
        *sum = sum.saturating_add(number(words.next()?)?);
    }
    total.then_some((read, write))
}
