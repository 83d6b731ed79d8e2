//! Out-of-band cost booked back to the container that causes it: what others spent, shared by what drives them.
//!
//! Gao et al., "Houdini's Escape" (CCS 2019) names the classes. Not here: whether a cost is too much (`detect`).

use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::quantities::{Quantities, Quantity};

/// Who spends on behalf of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(usize)]
pub(crate) enum Pool {
    /// The container engines' daemons.
    Engine,
    /// Attached clients, which copy a container's output to whoever watches it.
    Clients,
    /// The daemons that write the host's logs.
    Loggers,
    /// Kernel threads that write to disks and journals.
    Writeback,
    /// Programs that the kernel starts by itself: handlers of core dumps, `modprobe`.
    Helpers,
    /// Software interrupts: packets.
    Softirq,
}

/// How many pools there are.
pub(crate) const POOLS: usize = Pool::Softirq as usize + 1;

/// CPU seconds by pool.
pub(crate) type Pools = [f64; POOLS];

/// Class of out-of-band cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostClass {
    /// The engine copies what the container prints.
    EngineLog,
    /// The engine answers calls: programs run in the container, questions asked.
    EngineCalls,
    /// An attached client copies what the container prints.
    AttachedClient,
    /// The host's logger writes what the container prints or logs.
    SystemLog,
    /// Kernel threads write data back because the container asked for it.
    DataSync,
    /// Helpers that the kernel starts because something crashed or is missing.
    CrashHelpers,
    /// Packets are handled in software interrupts.
    Softirq,
}

impl CostClass {
    /// The words used in tables and sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::EngineLog => "engine copies its output",
            Self::EngineCalls => "engine answers calls",
            Self::AttachedClient => "client copies its output",
            Self::SystemLog => "host's logger",
            Self::DataSync => "data written back",
            Self::CrashHelpers => "kernel helpers",
            Self::Softirq => "packets",
        }
    }

    /// One or two words, where there is little room.
    pub fn short_name(self) -> &'static str {
        match self {
            Self::EngineLog => "engine log",
            Self::EngineCalls => "engine calls",
            Self::AttachedClient => "client",
            Self::SystemLog => "host log",
            Self::DataSync => "sync",
            Self::CrashHelpers => "helpers",
            Self::Softirq => "packets",
        }
    }

    /// What drives it, its unit last.
    pub fn driver_name(self) -> &'static str {
        match self {
            Self::EngineLog | Self::AttachedClient | Self::SystemLog => "output_bytes_per_second",
            Self::EngineCalls => "calls_per_second",
            Self::DataSync => "syncs_per_second",
            Self::CrashHelpers => "crashes_and_module_requests_per_second",
            Self::Softirq => "packets_per_second",
        }
    }
}

/// What drives a pool, and what one unit of it costs.
struct Driver {
    class: CostClass,
    pool: Pool,
    quantity: Quantity,
    /// What a unit usually costs, in CPU seconds: how a pool is shared between drivers of different kinds.
    usual_seconds: f64,
    /// The most that a unit is believed to cost: what is beyond belongs to somebody else.
    seconds_max: f64,
}

/// Costs of a unit, measured with Docker 20.10 on a virtual machine of two cores, and bounds that leave room for
/// slower ones. A byte of log file: 28 ns at worst, with lines of two bytes. A byte that goes elsewhere may be dear:
/// an entry of two bytes costs a journal as much as one of a hundred. A program run by the engine: 13 ms of its
/// daemons and shim.
const DRIVERS: [Driver; 12] = [
    driver(CostClass::EngineLog, Pool::Engine, Quantity::LogBytes, (28e-9, 200e-9)),
    driver(CostClass::EngineLog, Pool::Engine, Quantity::UnfiledBytes, (28e-9, 20e-6)),
    driver(CostClass::EngineCalls, Pool::Engine, Quantity::EngineExecs, (13e-3, 100e-3)),
    driver(CostClass::EngineCalls, Pool::Engine, Quantity::EngineCalls, (1e-3, 100e-3)),
    driver(CostClass::AttachedClient, Pool::Clients, Quantity::LogBytes, (5e-9, 200e-9)),
    driver(CostClass::AttachedClient, Pool::Clients, Quantity::UnfiledBytes, (5e-9, 20e-6)),
    driver(CostClass::SystemLog, Pool::Loggers, Quantity::WrittenBytes, (100e-9, 20e-6)),
    driver(CostClass::DataSync, Pool::Writeback, Quantity::WholeSyncs, (1e-3, 50e-3)),
    driver(CostClass::DataSync, Pool::Writeback, Quantity::FileSyncs, (100e-6, 5e-3)),
    driver(CostClass::CrashHelpers, Pool::Helpers, Quantity::Crashes, (20e-3, 2.0)),
    driver(CostClass::CrashHelpers, Pool::Helpers, Quantity::ModuleRequests, (2e-3, 500e-3)),
    driver(CostClass::Softirq, Pool::Softirq, Quantity::Packets, (1e-6, 10e-6)),
];

const fn driver(
    class: CostClass,
    pool: Pool,
    quantity: Quantity,
    (usual_seconds, seconds_max): (f64, f64),
) -> Driver {
    Driver { class, pool, quantity, usual_seconds, seconds_max }
}

/// What one class of cost came to for one container over the ledger's window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Which class.
    pub class: CostClass,
    /// Length of the window in seconds.
    pub seconds: f64,
    /// CPU of the container's own cgroup in cores: all that container metrics show.
    pub own_cores: f64,
    /// CPU of the pool in cores, with the container's own shim; its idle cost is not deducted.
    pub pool_cores: f64,
    /// The part of it booked back to this container, in cores.
    pub attributed_cores: f64,
    /// Its share of all that drives the pool, 0 to 1: how sure the booking is.
    pub share: f64,
    /// What drives it, a second: bytes for output, else calls, crashes, packets.
    pub units_per_second: f64,
    /// The same in the last closed second: zero once it is over.
    pub units_last_second: f64,
}

/// What all containers, or the host's own processes, should have made each pool spend, by usual unit costs.
pub(crate) fn expected(quantities: &Quantities) -> Pools {
    let mut pools = Pools::default();
    for driver in applicable(quantities) {
        pools[driver.pool as usize] += quantities.of(driver.quantity) * driver.usual_seconds;
    }
    pools
}

/// What the pools spent above idle over a container's window, and what drove them in all.
pub(crate) struct Spending {
    pub(crate) spent: Pools,
    pub(crate) idle: Pools,
    pub(crate) expected: Pools,
    pub(crate) seconds: f64,
}

/// The costs of one container over its last `books` closed seconds.
pub(crate) fn costs(
    account: &Account,
    window_seconds: f64,
    spending: impl Fn(usize) -> Spending,
) -> Vec<Cost> {
    let Some((own, books)) = account.spent_over(window_seconds) else { return Vec::new() };
    let shim_seconds = own.of(Quantity::ShimCpu);
    if applicable(&own.quantities).next().is_none() && shim_seconds <= 0.0 {
        return Vec::new();
    }
    let spending = spending(books);
    let mut costs: Vec<Cost> = Vec::new();
    for driver in applicable(&own.quantities) {
        let units = own.of(driver.quantity);
        let pool = driver.pool as usize;
        // What nobody spent is no cost; but a shim may have copied instead of the engine, and syncs make others wait.
        let may_cost_otherwise = matches!(driver.pool, Pool::Engine | Pool::Writeback);
        if spending.spent[pool] <= 0.0 && !may_cost_otherwise {
            continue;
        }
        let above_idle = (spending.spent[pool] - spending.idle[pool] * spending.seconds).max(0.0);
        let share = (units * driver.usual_seconds / spending.expected[pool].max(1e-12)).min(1.0);
        let cost = Cost {
            class: driver.class,
            seconds: own.seconds,
            own_cores: own.own_cores(),
            pool_cores: spending.spent[pool] / own.seconds,
            attributed_cores: (above_idle * share).min(units * driver.seconds_max) / own.seconds,
            share,
            units_per_second: units / own.seconds,
            units_last_second: account.lately(driver.quantity),
        };
        merge(&mut costs, cost);
    }
    add_shim(&mut costs, shim_seconds, &own);
    costs
}

/// Drivers that the container, or the host itself, has moved.
fn applicable(quantities: &Quantities) -> impl Iterator<Item = &'static Driver> {
    DRIVERS.iter().filter(|driver| quantities.of(driver.quantity) > 0.0)
}

/// Two drivers of one class add up; the surer one is told.
fn merge(costs: &mut Vec<Cost>, more: Cost) {
    match costs.iter_mut().find(|cost| cost.class == more.class) {
        Some(cost) => {
            cost.attributed_cores += more.attributed_cores;
            cost.pool_cores = cost.pool_cores.max(more.pool_cores);
            cost.share = (cost.share + more.share).min(1.0);
            cost.units_per_second += more.units_per_second;
            cost.units_last_second += more.units_last_second;
        }
        None => costs.push(more),
    }
}

/// A shim serves only its container: its CPU is booked whole, to what the engine does most for it.
fn add_shim(costs: &mut Vec<Cost>, shim_seconds: f64, own: &crate::account::Spent) {
    if shim_seconds <= 0.0 {
        return;
    }
    let cores = shim_seconds / own.seconds.max(1e-3);
    let of_engine = |cost: &&mut Cost| matches!(cost.class, CostClass::EngineLog | CostClass::EngineCalls);
    let busiest =
        costs.iter_mut().filter(of_engine).max_by(|a, b| a.attributed_cores.total_cmp(&b.attributed_cores));
    if let Some(cost) = busiest {
        cost.attributed_cores += cores;
        cost.pool_cores += cores;
        return;
    }
    costs.push(Cost {
        class: CostClass::EngineLog,
        seconds: own.seconds,
        own_cores: own.own_cores(),
        pool_cores: cores,
        attributed_cores: cores,
        share: 0.0,
        units_per_second: 0.0,
        units_last_second: 0.0,
    });
}
