//! How Tidewatch is and what it sees now, for people and machines.
//!
//! Not here: incidents, which have a form of their own (`report`).

pub mod activity;

pub mod host;

pub mod involved;

pub mod integrity;

pub mod pulse;

use hardening::Hardening;
use model::coverage::{Coverage, Health, Source};
use model::identity::{Container, Kind};
use model::ids::NodeId;
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};
use state::{Account, Cost, CostClass, HostSpent, Quantity, SecondCost, State};

use crate::fold::Fold;
use crate::status::activity::{Activity, Held, Limits, Waiting};
use crate::status::host::HostDetail;
use crate::status::integrity::IntegrityStatus;
use crate::status::involved::{Involved, Involvements};
use crate::status::pulse::{CallsStatus, ThreadStatus};

/// One container as it is now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Name people know it by.
    pub name: Untrusted,
    /// The runtime's id; empty when none claims it.
    pub id: Untrusted,
    /// Image as asked for; empty when unknown.
    pub image: Untrusted,
    /// Managed, ghost, service, or not settled.
    pub kind: Kind,
    /// Its workload.
    pub workload: String,
    /// What people said about it: `approved`, `unapproved`, …
    pub provenance: model::novelty::Provenance,
    /// Path of its cgroup.
    pub cgroup: Untrusted,
    /// Number of its cgroup.
    pub cgroup_id: u64,
    /// First process, by the host's count.
    pub pid: Option<u32>,
    /// When its first process was seen, RFC 3339.
    pub started: String,
    /// CPU of its own cgroup in cores.
    pub own_cpu_cores: Option<f64>,
    /// CPU that others spent for it, in cores.
    pub out_of_band_cpu_cores: Option<f64>,
    /// The same by class.
    #[serde(default)]
    pub costs: Vec<CostStatus>,
    /// CPU of its own cgroup in each of the last seconds, in cores, oldest first; at most half a minute.
    #[serde(default)]
    pub own_cpu_cores_by_second: Vec<f64>,
    /// CPU that others spent for it in each of the same seconds, in cores.
    #[serde(default)]
    pub out_of_band_cpu_cores_by_second: Vec<f64>,
    /// CPU of its own cgroup that is usual for its workload, in cores; `None` without enough history.
    #[serde(default)]
    pub own_usual_cpu_cores: Option<f64>,
    /// What it does; `None` before the first second is closed.
    #[serde(default)]
    pub activity: Option<Activity>,
    /// What it may have.
    #[serde(default)]
    pub limits: Limits,
    /// What its tasks wait for.
    #[serde(default)]
    pub waiting: Waiting,
    /// What its processes hold, while it is looked at closely.
    #[serde(default)]
    pub held: Option<Held>,
    /// Open incidents that name it, most urgent first.
    #[serde(default)]
    pub incidents: Vec<Involved>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Growth of its log in bytes per second.
    pub log_bytes_per_second: Option<f64>,
}

/// What one class of out-of-band cost comes to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CostStatus {
    /// Which class.
    pub class: CostClass,
    /// CPU in cores.
    pub cores: f64,
    /// Its share of all that drives the cost, 0 to 1: how sure the booking is.
    pub share: f64,
    /// CPU of all who spend for this class, for whomever, in cores.
    #[serde(default)]
    pub pool_cores: f64,
    /// What drives it, a second: bytes for output, else calls, crashes, packets.
    #[serde(default)]
    pub units_per_second: f64,
}

/// One source as it is now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Which.
    pub source: Source,
    /// How it is.
    pub health: Health,
    /// What is missing and why.
    pub reason: Untrusted,
}

/// A strategy that cannot see what it needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BlindStrategy {
    /// Which strategy.
    pub strategy: String,
    /// What is lost.
    pub lost: String,
}

/// How the store and the journal are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Whether everything that was shown is stored.
    pub stored: bool,
    /// Incidents, decisions and expectations that wait in memory to be stored.
    pub waiting: u64,
    /// Incidents and expectations given up because too many waited.
    pub dropped: u64,
    /// Why nothing is stored; empty while all is well.
    pub reason: Untrusted,
    /// Whether room is held for a disk that is full.
    pub has_reserve: bool,
    /// Events that are missing in the journal.
    pub journal_lost: u64,
    /// Why events are missing in the journal; empty while none are lost.
    pub journal_reason: Untrusted,
    /// Files in the journal's directory that are not segments of this program.
    pub journal_foreign: u64,
}

/// Everything that is shown of a running Tidewatch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// This host.
    pub node: NodeId,
    /// When this run began, RFC 3339.
    pub since: String,
    /// Time of this status, RFC 3339.
    pub now: String,
    /// Running containers, ordered by cgroup.
    pub containers: Vec<ContainerStatus>,
    /// All sources that told how they are.
    pub sources: Vec<SourceStatus>,
    /// What cannot be seen now, and what could not in the last hour.
    pub coverage: Coverage,
    /// Strategies that lack telemetry.
    pub blind_strategies: Vec<BlindStrategy>,
    /// What was found about Tidewatch itself within the last day, newest first, incidents and leads.
    #[serde(default)]
    pub integrity: Vec<IntegrityStatus>,
    /// What the host spent over the last seconds.
    pub host: Option<HostSpent>,
    /// What else there is to tell about the host.
    #[serde(default)]
    pub host_detail: HostDetail,
    /// Incidents that nobody closed.
    pub incidents_open: usize,
    /// Approvals in force.
    pub approvals: usize,
    /// Expectations that are known, declared and learned.
    #[serde(default)]
    pub expectations: usize,
    /// Evidence that makes an incident, in bits.
    pub threshold_bits: f64,
    /// Events folded in this run.
    pub events: u64,
    /// Things not taken into the inventory because of its limits.
    pub inventory_dropped: u64,
    /// Judges that failed by a bug of ours and are no longer asked.
    pub judges_failed: Vec<String>,
    /// What protects the process itself.
    #[serde(default)]
    pub hardening: Hardening,
    /// The sensor's threads.
    #[serde(default)]
    pub threads: Vec<ThreadStatus>,
    /// Calls that may never return, by what they are about.
    #[serde(default)]
    pub calls: Vec<CallsStatus>,
    /// What is not stored, and why.
    #[serde(default)]
    pub store: StoreStatus,
}

pub(crate) fn container_rows(fold: &Fold) -> Vec<ContainerStatus> {
    let involvements = Involvements::of(fold);
    let running = fold.enrich().containers().filter(|container| container.ended.is_none());
    running
        .map(|container| ContainerStatus {
            incidents: involvements.on(container),
            ..row(container, fold.state())
        })
        .collect()
}

pub(crate) fn host_detail(fold: &Fold) -> HostDetail {
    host::detail(fold)
}

fn row(container: &Container, state: &State) -> ContainerStatus {
    let facts = container.facts.known();
    let account = state.account(container.key.cgroup);
    let spent = account.and_then(|account| account.spent(5.0));
    let by_second = |pick: fn(&SecondCost) -> f32| -> Vec<f64> {
        account
            .map(|it| it.cost_by_second().map(|second| rounded(pick(&second))).collect())
            .unwrap_or_default()
    };
    ContainerStatus {
        name: container.name().clone(),
        id: facts.map(|facts| facts.id.clone()).unwrap_or_default(),
        image: facts.map(|facts| facts.image.clone()).unwrap_or_default(),
        kind: container.kind,
        workload: container.workload().to_string(),
        provenance: state.provenance(container),
        cgroup: container.cgroup_path.clone(),
        cgroup_id: container.key.cgroup.0,
        pid: container.init.map(|init| init.pid),
        started: container.key.started.rfc3339(),
        own_cpu_cores: spent.map(|spent| spent.own_cores()),
        out_of_band_cpu_cores: spent.and(account).map(Account::out_of_band_cores),
        costs: account.map(|account| account.costs().iter().map(cost).collect()).unwrap_or_default(),
        own_cpu_cores_by_second: by_second(|second| second.own_cores),
        out_of_band_cpu_cores_by_second: by_second(|second| second.out_of_band_cores),
        own_usual_cpu_cores: account.and_then(|account| state.usual_cores(account)),
        activity: spent
            .zip(account)
            .map(|(spent, account)| activity::activity(account, &spent, are_probes_counting(state))),
        limits: account.map(activity::limits).unwrap_or_default(),
        waiting: account.map(activity::waiting).unwrap_or_default(),
        held: account.and_then(activity::held),
        incidents: Vec::new(),
        memory_bytes: account.and_then(|account| account.usage()?.memory_bytes),
        log_bytes_per_second: spent
            .filter(|_| account.is_some_and(Account::has_log_file))
            .map(|spent| spent.rate(Quantity::LogBytes)),
    }
}

fn are_probes_counting(state: &State) -> bool {
    let is_there = |health| matches!(health, Health::Up | Health::Degraded);
    state.sources().any(|(source, health, _)| source == Source::Kernel && is_there(health))
}

/// To a ten thousandth of a core: a line is drawn from it, and there are many.
fn rounded(cores: f32) -> f64 {
    (f64::from(cores) * 1e4).round() / 1e4
}

fn cost(cost: &Cost) -> CostStatus {
    CostStatus {
        class: cost.class,
        cores: cost.attributed_cores,
        share: cost.share,
        pool_cores: cost.pool_cores,
        units_per_second: cost.units_per_second,
    }
}

pub(crate) fn source_rows(state: &State) -> Vec<SourceStatus> {
    let row = |(source, health, reason): (Source, Health, &Untrusted)| SourceStatus {
        source,
        health,
        reason: reason.clone(),
    };
    state.sources().map(row).collect()
}

pub(crate) fn time(at: Time) -> String {
    at.rfc3339()
}
