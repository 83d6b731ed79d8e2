//! Out-of-band cost booked back to the container that causes it: what others spent, shared by what drives them.
//!
//! Gao et al., "Houdini's Escape" (CCS 2019) names the classes. Not here: whether a cost is too much (`detect`).

use serde::{Deserialize, Serialize};

use crate::account::{Account, Spent};
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

    /// Who spends it.
    fn pool(self) -> Pool {
        match self {
            Self::EngineLog | Self::EngineCalls => Pool::Engine,
            Self::AttachedClient => Pool::Clients,
            Self::SystemLog => Pool::Loggers,
            Self::DataSync => Pool::Writeback,
            Self::CrashHelpers => Pool::Helpers,
            Self::Softirq => Pool::Softirq,
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

/// Every class.
const CLASSES: [CostClass; 7] = [
    CostClass::EngineLog,
    CostClass::EngineCalls,
    CostClass::AttachedClient,
    CostClass::SystemLog,
    CostClass::DataSync,
    CostClass::CrashHelpers,
    CostClass::Softirq,
];

/// What drives a class of cost, and what one unit of it costs.
struct Driver {
    class: CostClass,
    quantity: Quantity,
    /// What a unit usually costs, in CPU seconds: how a pool is shared between drivers of different kinds.
    usual_seconds: f64,
    /// The most that a unit is believed to cost: what is beyond belongs to somebody else.
    seconds_max: f64,
    /// How much of what was done in a second still makes others work in the next one, 0 to 1.
    memory: f64,
}

impl Driver {
    /// Whether it goes on costing after it was done, even when whoever did it has ended.
    fn is_buffered(&self) -> bool {
        self.memory >= BUFFERED
    }
}

/// What is done within a second or two: readings of who did and of who paid fall into different seconds.
const PROMPT: f64 = 0.5;

/// What only a close look tells, every other second.
const LOOKED_AT: f64 = 0.7;

/// What waits in buffers: an engine takes a megabyte of output at once and hands it on line by line, for ten seconds
/// and more when lines are short, while the container writes nothing.
const BUFFERED: f64 = 0.9;

/// Costs of a unit, measured with Docker 20.10 on a virtual machine of two cores, and bounds that leave room for
/// slower ones. A byte of log file: 28 ns at worst, with lines of two bytes. A byte that goes to another daemon may be
/// dear: an entry of two bytes costs a journal as much as one of a hundred, 15 us a byte. A program run by the engine:
/// 13 ms of its daemons and shim.
const DRIVERS: [Driver; 15] = [
    driver(CostClass::EngineLog, Quantity::LogBytes, (28e-9, 200e-9), PROMPT),
    driver(CostClass::EngineLog, Quantity::StreamedBytes, (28e-9, 200e-9), LOOKED_AT),
    driver(CostClass::EngineLog, Quantity::ShippedBytes, (2e-6, 20e-6), BUFFERED),
    driver(CostClass::EngineCalls, Quantity::EngineExecs, (13e-3, 100e-3), PROMPT),
    driver(CostClass::EngineCalls, Quantity::EngineCalls, (1e-3, 100e-3), PROMPT),
    driver(CostClass::AttachedClient, Quantity::LogBytes, (5e-9, 200e-9), PROMPT),
    driver(CostClass::AttachedClient, Quantity::StreamedBytes, (5e-9, 200e-9), LOOKED_AT),
    driver(CostClass::AttachedClient, Quantity::ShippedBytes, (5e-9, 20e-6), LOOKED_AT),
    driver(CostClass::SystemLog, Quantity::UnshippedBytes, (100e-9, 20e-6), LOOKED_AT),
    driver(CostClass::SystemLog, Quantity::ShippedBytes, (2e-6, 20e-6), BUFFERED),
    driver(CostClass::DataSync, Quantity::WholeSyncs, (1e-3, 50e-3), PROMPT),
    driver(CostClass::DataSync, Quantity::FileSyncs, (100e-6, 5e-3), PROMPT),
    driver(CostClass::CrashHelpers, Quantity::Crashes, (20e-3, 2.0), PROMPT),
    driver(CostClass::CrashHelpers, Quantity::ModuleRequests, (2e-3, 500e-3), PROMPT),
    driver(CostClass::Softirq, Quantity::Packets, (1e-6, 10e-6), PROMPT),
];

const fn driver(
    class: CostClass,
    quantity: Quantity,
    (usual_seconds, seconds_max): (f64, f64),
    memory: f64,
) -> Driver {
    Driver { class, quantity, usual_seconds, seconds_max, memory }
}

/// Cores spent on what waits in buffers from which they are not empty.
const BUFFERED_CORES: f64 = 0.05;

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
    /// Whether it still goes on, as of the last closed second.
    pub goes_on: bool,
}

/// What drives each class now: by driver, the units a second of the last seconds, the newer the more.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Drive([f32; DRIVERS.len()]);

impl Drive {
    /// Adds the `nth` second since counting began, counted from 1.
    pub(crate) fn follow(&mut self, quantities: &Quantities, seconds: f64, nth: usize) {
        for (mean, driver) in self.0.iter_mut().zip(&DRIVERS) {
            // A plain mean while there is less to remember than the memory holds: an attack weighs from its first second.
            let weight = (1.0 - driver.memory).max(1.0 / nth.max(1) as f64);
            let rate = quantities.of(driver.quantity) / seconds.max(1e-3);
            *mean += ((rate - f64::from(*mean)) * weight) as f32;
        }
    }

    /// Whoever ended makes nobody work any more, but for what waits in buffers.
    pub(crate) fn end(&mut self) {
        for (mean, driver) in self.0.iter_mut().zip(&DRIVERS) {
            if !driver.is_buffered() {
                *mean = 0.0;
            }
        }
    }

    /// What it should make each pool spend by usual unit costs, in cores.
    pub(crate) fn expected(&self) -> Pools {
        let mut pools = Pools::default();
        for (rate, driver) in self.each() {
            pools[driver.class.pool() as usize] += rate * driver.usual_seconds;
        }
        pools
    }

    /// What is booked to whoever drives so in a second of the host: its share of what was spent above idle.
    pub(crate) fn book(&self, above_idle_seconds: &Pools, expected: &Pools, seconds: f64) -> Booked {
        let mut booked = Booked::default();
        for (rate, driver) in self.each() {
            let pool = driver.class.pool() as usize;
            let share = (rate * driver.usual_seconds / expected[pool].max(1e-12)).min(1.0);
            let due = above_idle_seconds[pool] * share;
            booked.due[driver.class as usize] += due as f32;
            booked.seconds[driver.class as usize] += due.min(rate * seconds * driver.seconds_max) as f32;
        }
        booked
    }

    /// The drivers of one class, each with the units a second now.
    fn of(&self, class: CostClass) -> impl Iterator<Item = (f64, &'static Driver)> {
        self.each().filter(move |(_, driver)| driver.class == class)
    }

    fn each(&self) -> impl Iterator<Item = (f64, &'static Driver)> {
        self.0.iter().map(|rate| f64::from(*rate)).zip(&DRIVERS)
    }

    /// The share of one class of all that drives its pool.
    fn share(&self, class: CostClass, expected: &Pools) -> f64 {
        let own: f64 = self.of(class).map(|(rate, driver)| rate * driver.usual_seconds).sum();
        own / expected[class.pool() as usize].max(1e-12)
    }
}

/// What others spent on one container's behalf in one second, in CPU seconds by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Booked {
    /// Its share of what was spent.
    due: [f32; CLASSES.len()],
    /// Of that, what its doings can have cost.
    seconds: [f32; CLASSES.len()],
}

impl Booked {
    pub(crate) fn total_seconds(&self) -> f64 {
        self.seconds.iter().map(|seconds| f64::from(*seconds)).sum()
    }

    fn add(&mut self, other: &Self) {
        for class in 0..CLASSES.len() {
            self.due[class] += other.due[class];
            self.seconds[class] += other.seconds[class];
        }
    }
}

/// What the pools spent over a container's window, and what drives them in all now.
pub(crate) struct Spending {
    /// CPU seconds.
    pub(crate) spent: Pools,
    /// Of that, above idle.
    pub(crate) above_idle: Pools,
    /// In cores.
    pub(crate) expected: Pools,
}

/// What is booked to containers of some classes, in cores.
pub(crate) fn booked_cores<'a>(
    accounts: impl IntoIterator<Item = &'a Account>,
    is_of: impl Fn(CostClass) -> bool,
) -> f64 {
    let costs = accounts.into_iter().flat_map(Account::costs);
    costs.filter(|cost| is_of(cost.class)).map(|cost| cost.attributed_cores).sum()
}

/// The costs of one container over its last `books` closed seconds.
pub(crate) fn costs(
    account: &Account,
    window_seconds: f64,
    spending: impl Fn(usize) -> Spending,
) -> Vec<Cost> {
    let Some((own, books)) = account.spent_over(window_seconds) else { return Vec::new() };
    let shim_seconds = own.of(Quantity::ShimCpu);
    if shim_seconds <= 0.0 && !account.drive().each().any(|driver| drives(&own, driver)) {
        return Vec::new();
    }
    let spending = spending(books);
    let mut booked = Booked::default();
    account.booked(books).for_each(|second| booked.add(second));
    let costs = CLASSES.iter().filter_map(|class| cost(account, *class, &own, (&booked, &spending)));
    let mut costs: Vec<Cost> = costs.collect();
    add_shim(&mut costs, shim_seconds, &own);
    costs
}

fn cost(
    account: &Account,
    class: CostClass,
    own: &Spent,
    (booked, spending): (&Booked, &Spending),
) -> Option<Cost> {
    let drivers =
        || account.drive().of(class).filter(|driver| drives(own, *driver)).map(|(_, driver)| driver);
    drivers().next()?;
    let pool = class.pool() as usize;
    // What nobody spent is no cost; but a shim may have copied instead of the engine, and syncs make others wait.
    let may_cost_otherwise = matches!(class.pool(), Pool::Engine | Pool::Writeback);
    if spending.spent[pool] <= 0.0 && !may_cost_otherwise {
        return None;
    }
    let share = match spending.above_idle[pool] > 0.0 {
        true => f64::from(booked.due[class as usize]) / spending.above_idle[pool],
        false => account.drive().share(class, &spending.expected),
    };
    let last_seconds = account.booked(1).next().map_or(0.0, |last| f64::from(last.seconds[class as usize]));
    let goes_on = |driver: &Driver| {
        account.lately(driver.quantity) > 0.0 || (driver.is_buffered() && last_seconds >= BUFFERED_CORES)
    };
    Some(Cost {
        class,
        seconds: own.seconds,
        own_cores: own.own_cores(),
        pool_cores: spending.spent[pool] / own.seconds,
        attributed_cores: f64::from(booked.seconds[class as usize]) / own.seconds,
        share: share.min(1.0),
        units_per_second: drivers().map(|driver| own.of(driver.quantity)).sum::<f64>() / own.seconds,
        goes_on: drivers().any(goes_on),
    })
}

/// Whether the container did what costs, or what it did may still wait in a buffer.
fn drives(own: &Spent, (rate, driver): (f64, &Driver)) -> bool {
    own.of(driver.quantity) > 0.0 || (driver.is_buffered() && rate >= 1.0)
}

/// A shim serves only its container: its CPU is booked whole, to what the engine does most for it.
fn add_shim(costs: &mut Vec<Cost>, shim_seconds: f64, own: &Spent) {
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
        goes_on: false,
    });
}
