//! What else an operator of a slow host asks for: levels that have an end, who spends outside containers, open cases.
//!
//! Not here: the lines of the host's books (`state::HostSpent`). Every list is bounded.

use std::time::Duration;

use model::incident::{Incident, IncidentId, Severity};
use model::untrusted::Untrusted;
use model::usage::EngineRole;
use serde::{Deserialize, Serialize};
use state::{Course, Object, State};

use crate::fold::Fold;

/// Growth of a level is told over this long.
const GROWTH_WINDOW: Duration = Duration::from_secs(20);

/// Most processes and most incidents told.
const PROCESSES_MAX: usize = 12;
const INCIDENTS_MAX: usize = 32;

/// The host beyond the lines of its books.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HostDetail {
    /// Tasks now.
    pub tasks: Option<u64>,
    /// Tasks that run or wait to run.
    pub tasks_runnable: Option<u64>,
    /// Kernel objects that no cgroup counts.
    pub objects: Vec<ObjectStatus>,
    /// Disks that containers can fill.
    pub disks: Vec<DiskStatus>,
    /// Services of the host and processes of engines that spent most in the last second.
    pub spenders: Vec<SpenderStatus>,
    /// The busiest processes of the host, while the books do not balance.
    pub processes: Vec<ProcessStatus>,
    /// Incidents that nobody closed, most urgent first.
    pub incidents: Vec<IncidentStatus>,
}

/// A level that has an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LevelStatus {
    /// In use.
    pub used: f64,
    /// The most there can be; `None` when only memory is the limit.
    pub limit: Option<f64>,
    /// The share of the limit that is used, 0 to 1.
    pub used_share: Option<f64>,
    /// Growth a second; `None` before that is known.
    pub growth_per_second: Option<f64>,
    /// Seconds until the limit is reached if it goes on like this; `None` when it does not rise.
    pub full_in_seconds: Option<f64>,
}

/// One kind of kernel object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObjectStatus {
    /// Which.
    pub object: Object,
    /// How many there are.
    #[serde(flatten)]
    pub level: LevelStatus,
}

/// One disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DiskStatus {
    /// The directory it was found at.
    pub path: Untrusted,
    /// Its space in bytes.
    pub bytes: LevelStatus,
    /// Its inodes; `None` where their number is not fixed.
    pub inodes: Option<LevelStatus>,
}

/// A service of the host or a process of an engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpenderStatus {
    /// Its part in the engine; null for a service.
    pub role: Option<EngineRole>,
    /// Path of the service's cgroup, or name of the program.
    pub name: Untrusted,
    /// Its process; null for a service.
    pub pid: Option<u32>,
    /// CPU in cores.
    pub cpu_cores: f64,
}

/// One process of the host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// Its process.
    pub pid: u32,
    /// Program name.
    pub name: Untrusted,
    /// Path of its cgroup.
    pub cgroup: Untrusted,
    /// CPU spent since the reading before, usually 2 s earlier, in seconds.
    pub cpu_seconds: f64,
}

/// One open incident.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IncidentStatus {
    /// Its name.
    pub id: IncidentId,
    /// How urgent.
    pub severity: Severity,
    /// Evidence in bits.
    pub bits: f64,
    /// What happens, in one sentence.
    pub summary: String,
}

pub(super) fn detail(fold: &Fold) -> HostDetail {
    let state = fold.state();
    let reading = state.host_reading();
    HostDetail {
        tasks: reading.map(|host| host.tasks),
        tasks_runnable: reading.map(|host| host.runnable),
        objects: state
            .objects()
            .map(|(object, course)| ObjectStatus { object, level: level(course) })
            .collect(),
        disks: disks(state),
        spenders: spenders(state),
        processes: processes(state),
        incidents: incidents(fold),
    }
}

fn level(course: &Course) -> LevelStatus {
    let growth = course.growth(GROWTH_WINDOW);
    LevelStatus {
        used: course.used(),
        limit: course.limit(),
        used_share: course.share(),
        growth_per_second: growth.map(|growth| growth.rate()),
        full_in_seconds: course.limit().and_then(|limit| growth?.seconds_to(limit)),
    }
}

fn disks(state: &State) -> Vec<DiskStatus> {
    let disk = |(path, disk): (&Untrusted, &state::Disk)| DiskStatus {
        path: path.clone(),
        bytes: level(&disk.bytes),
        inodes: disk.inodes.limit().map(|_| level(&disk.inodes)),
    };
    state.disks().map(disk).collect()
}

fn spenders(state: &State) -> Vec<SpenderStatus> {
    let spender = |it: &state::Spender| SpenderStatus {
        role: it.role,
        name: it.name.clone(),
        pid: it.pid,
        cpu_cores: it.cores,
    };
    state.spenders().iter().map(spender).collect()
}

fn processes(state: &State) -> Vec<ProcessStatus> {
    let process = |it: &model::usage::ProcessUsage| ProcessStatus {
        pid: it.process.pid,
        name: it.name.clone(),
        cgroup: it.cgroup_path.clone(),
        cpu_seconds: it.spent_ns as f64 / 1e9,
    };
    state.processes().iter().take(PROCESSES_MAX).map(process).collect()
}

fn incidents(fold: &Fold) -> Vec<IncidentStatus> {
    let mut open: Vec<&Incident> = fold.triage().open_incidents().collect();
    open.sort_by(|a, b| b.severity.cmp(&a.severity).then(b.bits.total_cmp(&a.bits)).then(a.id.cmp(&b.id)));
    let incident = |it: &&Incident| IncidentStatus {
        id: it.id.clone(),
        severity: it.severity,
        bits: it.bits,
        summary: it.summary.clone(),
    };
    open.iter().take(INCIDENTS_MAX).map(incident).collect()
}
