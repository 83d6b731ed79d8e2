//! What should be looked at more closely, because the books do not balance or a level moves.
//!
//! Not here: looking (`sources`). Looking at each process of a container costs more than reading its cgroup, so it is
//! asked for only while it can tell something, and of few.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::ids::CgroupId;
use model::time::Time;
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::booking::CostClass;
use crate::ledger::HostSpent;
use crate::levels::{Course, Levels};

/// Most containers looked at closely at once.
pub const DEEP_MAX: usize = 32;

/// CPU that no line of the books accounts for, from which the host's processes are asked for, in cores.
const RESIDUAL_CORES: f64 = 0.25;

/// CPU of engines, clients and loggers that nobody is booked for, from which containers without a log file are
/// looked at, in cores.
const UNBOOKED_CORES: f64 = 0.15;

/// How long a new container whose output goes to no file is looked at in any case: that is where the attack begins.
const YOUNG: Duration = Duration::from_secs(30);

/// How long a look lasts once it was asked for.
const HELD: Duration = Duration::from_secs(20);

/// Growth of a host-wide level within the window that asks for its cause: objects, or share of the limit.
const MOVED_BY: f64 = 1_000.0;
const MOVED_SHARE: f64 = 0.02;
const MOVED_WINDOW: Duration = Duration::from_secs(6);
/// Growth of what is on a disk within that window that asks for its cause, and how soon it must be full at that rate.
const FILLED_BYTES_MIN: f64 = 16e6;
const FILLED_WITHIN: Duration = Duration::from_secs(3600);
/// Share of a limit in use from which its users are always looked at.
const HIGH_SHARE: f64 = 0.6;

/// What to look at closely now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deepen {
    /// The processes of the host.
    pub host: bool,
    /// The processes of these containers.
    pub cgroups: BTreeSet<CgroupId>,
}

/// Decides what to look at, and for how long.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Closeness {
    host_until: Time,
    cgroups_until: BTreeMap<CgroupId, Time>,
    plan: Deepen,
}

impl Closeness {
    pub(crate) fn plan(&self) -> &Deepen {
        &self.plan
    }

    /// A new container whose output goes to no file is looked at from the first moment it is known.
    pub(crate) fn notice(&mut self, account: &Account, now: Time) {
        let age = now.since(account.container().key.started);
        let cgroup = account.container().key.cgroup;
        if age < YOUNG && is_unfiled(account) && account.is_running() && self.plan.cgroups.len() < DEEP_MAX {
            self.cgroups_until.insert(cgroup, now.plus(HELD));
            self.plan.cgroups.insert(cgroup);
        }
    }

    /// Decides anew when the books of a second are closed.
    pub(crate) fn decide<'a>(
        &mut self,
        host: Option<&HostSpent>,
        levels: &Levels,
        accounts: impl Iterator<Item = &'a Account>,
        now: Time,
    ) {
        let until = now.plus(HELD);
        if host.is_some_and(|host| host.residual_cores >= RESIDUAL_CORES) {
            self.host_until = until;
        }
        let accounts: Vec<&Account> = accounts.filter(|account| account.is_running()).collect();
        let is_unbooked = host.is_some_and(|host| unbooked_cores(host, &accounts) >= UNBOOKED_CORES);
        let has_moved = levels.objects().any(|(_, course)| has_moved(course))
            || levels.disks().any(|(_, disk)| is_filling(&disk.bytes));
        let is_logging = host.is_some_and(|host| unbooked_logger_cores(host, &accounts) >= UNBOOKED_CORES);
        let mut wanted: Vec<&Account> = accounts
            .iter()
            .copied()
            .filter(|account| {
                let age = now.since(account.container().key.started);
                has_moved || is_logging || (is_unfiled(account) && (is_unbooked || age < YOUNG))
            })
            .collect();
        // What people approved is looked at last.
        wanted.sort_by_key(|account| {
            (account.provenance().is_approved(), std::cmp::Reverse(account.container().key.started))
        });
        for account in wanted.into_iter().take(DEEP_MAX) {
            self.cgroups_until.insert(account.container().key.cgroup, until);
        }
        let running: BTreeSet<CgroupId> =
            accounts.iter().map(|account| account.container().key.cgroup).collect();
        self.cgroups_until.retain(|cgroup, until| *until > now && running.contains(cgroup));
        while self.cgroups_until.len() > DEEP_MAX {
            let first = self.cgroups_until.iter().min_by_key(|(_, until)| **until).map(|(cgroup, _)| *cgroup);
            first.map(|cgroup| self.cgroups_until.remove(&cgroup));
        }
        self.plan =
            Deepen { host: self.host_until > now, cgroups: self.cgroups_until.keys().copied().collect() };
    }
}

/// CPU of those who copy output, beyond their idle cost and what is booked to containers.
fn unbooked_cores(host: &HostSpent, accounts: &[&Account]) -> f64 {
    let copies =
        |class| matches!(class, CostClass::EngineLog | CostClass::AttachedClient | CostClass::SystemLog);
    let booked: f64 = accounts
        .iter()
        .flat_map(|account| account.costs())
        .filter(|cost| copies(cost.class))
        .map(|cost| cost.attributed_cores)
        .sum();
    let spent = host.engine_cores - host.engine_idle_cores + host.client_cores + host.logger_cores;
    spent + host.shim_cores - booked
}

/// Whether it is known, and known to have no log file.
fn is_unfiled(account: &Account) -> bool {
    let facts = account.container().facts.known();
    facts.is_some_and(|facts| facts.log_path.is_none()) && !account.has_log_file()
}

/// CPU of the host's loggers that nobody is booked for: a container with a log file of its own may write to their
/// socket as well.
fn unbooked_logger_cores(host: &HostSpent, accounts: &[&Account]) -> f64 {
    let costs = accounts.iter().flat_map(|account| account.costs());
    let of_loggers = costs.filter(|cost| cost.class == CostClass::SystemLog);
    host.logger_cores - of_loggers.map(|cost| cost.attributed_cores).sum::<f64>()
}

/// Data is written back late and by others, so that who fills a disk is seen only in what processes write.
fn is_filling(course: &Course) -> bool {
    let Some((growth, limit)) = course.growth(MOVED_WINDOW).zip(course.limit()) else { return false };
    let is_soon = growth.seconds_to(limit).is_some_and(|left| left <= FILLED_WITHIN.as_secs_f64());
    is_soon && growth.by >= FILLED_BYTES_MIN
}

fn has_moved(course: &Course) -> bool {
    let grown = course.growth(MOVED_WINDOW).map_or(0.0, |growth| growth.by);
    let enough = course.limit().map_or(MOVED_BY, |limit| MOVED_BY.min(MOVED_SHARE * limit));
    grown >= enough.max(16.0) || course.share().is_some_and(|share| share >= HIGH_SHARE)
}
