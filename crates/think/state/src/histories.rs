//! The history of each workload: one series for each of its metrics, judged and learned second by second.
//!
//! Of a workload's replicas the one that takes most counts, so that a scale-out changes nothing and one replica that goes
//! astray shows. Not here: what follows from an excess (`detect`).

use std::collections::BTreeMap;

use model::ids::WorkloadKey;
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::quantities::Quantity;
use crate::room::make_room;
use crate::series::metric::Metric;
use crate::series::spikes;
use crate::series::{Excess, Series};

/// Most workloads with a history: at 23 kB each, 48 MB. The one not seen for longest makes room.
const WORKLOADS_MAX: usize = 2_048;

/// Seconds over which a value is taken: one second of CPU is mostly noise.
const VALUE_SECONDS: f64 = 2.0;

/// What is followed of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// CPU in cores.
    Cpu,
    /// Memory that cannot be dropped, in bytes.
    Memory,
    /// Tasks.
    Pids,
    /// Bytes on block devices a second.
    IoBytes,
    /// Operations on block devices a second.
    IoOperations,
    /// Bytes of packets a second.
    NetBytes,
    /// Packets a second.
    NetPackets,
    /// Bytes of log a second.
    LogBytes,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Cpu,
        Self::Memory,
        Self::Pids,
        Self::IoBytes,
        Self::IoOperations,
        Self::NetBytes,
        Self::NetPackets,
        Self::LogBytes,
    ];

    /// The words used in sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Memory => "memory",
            Self::Pids => "tasks",
            Self::IoBytes => "disk traffic",
            Self::IoOperations => "disk operations",
            Self::NetBytes => "network traffic",
            Self::NetPackets => "packets",
            Self::LogBytes => "log",
        }
    }

    /// A value in words, with its unit.
    pub fn words(self, value: f64) -> String {
        match self {
            Self::Cpu => format!("{value:.2} cores"),
            Self::Memory => format!("{:.0} MB", value / 1e6),
            Self::Pids => format!("{value:.0} tasks"),
            Self::IoBytes | Self::NetBytes | Self::LogBytes => format!("{:.1} MB a second", value / 1e6),
            Self::IoOperations | Self::NetPackets => format!("{value:.0} a second"),
        }
    }

    /// Now; `None` where it could not be read.
    fn of(self, account: &Account) -> Option<f64> {
        let spent = account.spent(VALUE_SECONDS)?;
        match self {
            Self::Cpu => Some(spent.own_cores()),
            Self::Memory => account.memory().now(),
            Self::Pids => account.usage()?.pids.map(|pids| pids as f64),
            Self::IoBytes => Some(spent.rate(Quantity::IoBytes)),
            Self::IoOperations => Some(spent.rate(Quantity::IoOperations)),
            Self::NetBytes => Some(spent.rate(Quantity::PacketBytes)),
            Self::NetPackets => Some(spent.rate(Quantity::Packets)),
            Self::LogBytes => Some(spent.rate(Quantity::LogBytes)),
        }
    }

    /// What is large for it and what is worth a word (ALGORITHMS §0.4): a tenth of the container's limit; without one a
    /// quarter of a core, 2 % of the host's memory, and for traffic a tenth of what a disk or a link of today takes.
    fn metric(self, account: &Account, host: Scale) -> Metric {
        let usage = account.usage();
        match self {
            Self::Cpu => match usage.and_then(|usage| usage.cpu_limit_cores) {
                Some(limit) => Metric::limited(f64::from(limit)),
                None => Metric::resource(host.cores, 0.25_f64.min(0.1 * host.cores)),
            },
            Self::Memory => match usage.and_then(|usage| usage.memory_limit_bytes) {
                Some(limit) if (limit as f64) < host.memory_bytes => Metric::limited(limit as f64),
                _ => Metric::resource(host.memory_bytes, 0.02 * host.memory_bytes),
            },
            Self::Pids => match usage.and_then(|usage| usage.pids_limit) {
                Some(limit) => Metric::limited(limit as f64),
                None => Metric::limited(1_000.0),
            },
            Self::IoBytes | Self::NetBytes => Metric::limited(100e6),
            Self::IoOperations => Metric::limited(2_000.0),
            Self::NetPackets => Metric::limited(100e3),
            Self::LogBytes => Metric::limited(10e6),
        }
    }
}

/// How large the host is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) cores: f64,
    pub(crate) memory_bytes: f64,
}

/// One metric of a workload that is more than ever.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Which workload.
    pub workload: WorkloadKey,
    /// Which metric.
    pub measure: Measure,
    /// What was found.
    pub excess: Excess,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct History {
    series: Vec<Series>,
    /// What its replicas take at most in the second being filled.
    now: Vec<Option<f64>>,
    /// Image of the last container that began; another one starts from what was normal for this one.
    digest: Untrusted,
    last: Time,
}

/// The histories of all workloads.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Histories {
    workloads: BTreeMap<WorkloadKey, History>,
}

impl Histories {
    /// Takes one container's last second.
    pub(crate) fn read(&mut self, account: &Account, host: Scale, now: Time) {
        if !self.workloads.contains_key(account.workload()) {
            make_room(&mut self.workloads, account.workload(), WORKLOADS_MAX, |history| history.last);
            self.workloads.insert(account.workload().clone(), History::new(account, host, now));
        }
        if let Some(history) = self.workloads.get_mut(account.workload()) {
            history.read(account, host, now);
        }
    }

    /// Judges the second of every workload that was read, and learns it where `may_learn` says so.
    pub(crate) fn close(&mut self, now: Time, may_learn: impl Fn(&WorkloadKey) -> bool) -> Vec<Record> {
        let mut records = Vec::new();
        for (workload, history) in &mut self.workloads {
            if history.last != now {
                continue;
            }
            let learn = may_learn(workload);
            for (measure, excess) in history.close(now, learn) {
                records.push(Record { workload: workload.clone(), measure, excess });
            }
        }
        records
    }

    /// The series of a workload's metric.
    pub(crate) fn series(&self, workload: &WorkloadKey, measure: Measure) -> Option<&Series> {
        self.workloads.get(workload)?.series.get(measure as usize)
    }

    /// How far all metrics of a workload stand out from the last minutes, together.
    pub(crate) fn spikes(&self, workload: &WorkloadKey) -> f64 {
        let series = self.workloads.get(workload).into_iter().flat_map(|history| &history.series);
        spikes::sum(series.map(Series::spike))
    }
}

impl History {
    fn new(account: &Account, host: Scale, now: Time) -> Self {
        let series = Measure::ALL.map(|measure| Series::new(measure.metric(account, host)));
        Self {
            series: series.into(),
            now: vec![None; Measure::ALL.len()],
            digest: digest(account),
            last: now,
        }
    }

    fn read(&mut self, account: &Account, host: Scale, now: Time) {
        self.last = now;
        let digest = digest(account);
        if digest != self.digest && !digest.is_empty() {
            if !self.digest.is_empty() {
                self.series.iter_mut().for_each(|series| *series = series.inherit(now));
            }
            self.digest = digest;
        }
        for ((measure, value), series) in Measure::ALL.iter().zip(&mut self.now).zip(&mut self.series) {
            let read = measure.of(account);
            let is_most = value.is_none_or(|most| read.is_some_and(|read| read > most));
            if is_most && read.is_some() {
                *value = read;
                series.set_metric(measure.metric(account, host));
            }
        }
    }

    fn close(&mut self, now: Time, learn: bool) -> impl Iterator<Item = (Measure, Excess)> {
        let values = self.now.iter_mut().map(Option::take).zip(&mut self.series);
        let excesses = values.map(move |(value, series)| series.sample(now, value?, learn));
        Measure::ALL.into_iter().zip(excesses).filter_map(|(measure, excess)| Some((measure, excess?)))
    }
}

fn digest(account: &Account) -> Untrusted {
    account.container().facts.known().map(|facts| facts.digest.clone()).unwrap_or_default()
}
