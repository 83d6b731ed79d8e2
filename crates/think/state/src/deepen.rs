//! What should be looked at more closely, because the books do not balance or a level moves.
//!
//! Not here: looking (`sources`). Looking at each process of a container costs more than reading its cgroup, so it is
//! asked for only while it can tell something, and of few. But some kernel objects have no level that could move
//! (inotify watches): so every new container is looked at, and the others in rounds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::ids::CgroupId;
use model::time::Time;
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::booking::{CostClass, booked_cores};
use crate::ledger::HostSpent;
use crate::levels::{Course, Levels};

/// Most containers looked at closely at once.
pub const DEEP_MAX: usize = 32;

/// Most suspects among them: some room stays for the rounds.
const SUSPECTS_MAX: usize = 24;

/// CPU that no line of the books accounts for, from which the host's processes are asked for, in cores.
const RESIDUAL_CORES: f64 = 0.25;

/// CPU of engines, clients and loggers that nobody is booked for, from which containers without a log file are
/// looked at, in cores.
const UNBOOKED_CORES: f64 = 0.15;

/// How long a new container is looked at in any case: that is where the attack begins.
const YOUNG: Duration = Duration::from_secs(30);

/// How long a look lasts once it was asked for.
const HELD: Duration = Duration::from_secs(20);

/// In which time the rounds come by every container, and how long each look of a round lasts.
const ROUND_SECONDS: f64 = 300.0;
const LOOK: Duration = Duration::from_secs(2);

/// Objects of a kind that no cgroup counts from which the look at who holds them does not end.
const HELD_BY_FEW: u64 = 10_000;
const PTYS_HELD_BY_FEW: u64 = 256;

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
    /// Looked at because they may be the cause of something, and until when.
    suspects: BTreeMap<CgroupId, Time>,
    /// Looked at whatever happens, and until when.
    rounds: BTreeMap<CgroupId, Time>,
    /// The last one that the rounds have come by, and how many they should have come by since.
    rounds_at: CgroupId,
    rounds_due: f64,
    plan: Deepen,
}

impl Closeness {
    pub(crate) fn plan(&self) -> &Deepen {
        &self.plan
    }

    /// Whether what the processes of a container write is to be told: where only some are looked at, who writes a
    /// little would stand for all who write.
    pub(crate) fn is_suspect(&self, cgroup: CgroupId) -> bool {
        self.suspects.contains_key(&cgroup)
    }

    /// A new container whose output goes to no file is looked at from the first moment it is known.
    pub(crate) fn notice(&mut self, account: &Account, now: Time) {
        let cgroup = account.container().key.cgroup;
        let is_new = is_young(account, now) && account.is_running();
        if is_new && is_unfiled(account) && self.plan.cgroups.len() < DEEP_MAX {
            self.suspects.insert(cgroup, now.plus(HELD));
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
        if host.is_some_and(|host| host.residual_cores >= RESIDUAL_CORES) {
            self.host_until = now.plus(HELD);
        }
        let accounts: Vec<&Account> = accounts.filter(|account| account.is_running()).collect();
        let mut running: Vec<CgroupId> =
            accounts.iter().map(|account| account.container().key.cgroup).collect();
        running.sort_unstable();
        self.suspect(host, levels, &accounts, now);
        self.keep_looking(&accounts, now);
        self.go_round(&running, now);
        let goes_on =
            |cgroup: &CgroupId, until: &mut Time| *until > now && running.binary_search(cgroup).is_ok();
        self.suspects.retain(goes_on);
        self.rounds.retain(goes_on);
        while self.suspects.len() > SUSPECTS_MAX {
            let first = self.suspects.iter().min_by_key(|(_, until)| **until).map(|(cgroup, _)| *cgroup);
            first.map(|cgroup| self.suspects.remove(&cgroup));
        }
        let mut cgroups: BTreeSet<CgroupId> = self.suspects.keys().copied().collect();
        let on_rounds = self.rounds.keys().filter(|cgroup| !self.suspects.contains_key(cgroup));
        cgroups.extend(on_rounds.take(DEEP_MAX - cgroups.len()).copied());
        self.plan = Deepen { host: self.host_until > now, cgroups };
    }

    /// Those that may be why a level moves, or why others spend what nobody is booked for.
    fn suspect(&mut self, host: Option<&HostSpent>, levels: &Levels, accounts: &[&Account], now: Time) {
        let is_unbooked = host.is_some_and(|host| unbooked_cores(host, accounts) >= UNBOOKED_CORES);
        let has_moved = levels.objects().any(|(_, course)| has_moved(course))
            || levels.disks().any(|(_, disk)| is_filling(&disk.bytes));
        let is_logging = host.is_some_and(|host| unbooked_logger_cores(host, accounts) >= UNBOOKED_CORES);
        let wanted = accounts.iter().filter(|account| {
            has_moved || is_logging || (is_unfiled(account) && (is_unbooked || is_young(account, now)))
        });
        for account in first_of(wanted, SUSPECTS_MAX) {
            self.suspects.insert(account.container().key.cgroup, now.plus(HELD));
        }
    }

    /// The new ones, and those known to hold much.
    fn keep_looking(&mut self, accounts: &[&Account], now: Time) {
        let cgroup = |account: &&Account| account.container().key.cgroup;
        let stays = accounts.iter().filter(|account| {
            (is_young(account, now) || holds_much(account)) && !self.suspects.contains_key(&cgroup(account))
        });
        let stays = first_of(stays, DEEP_MAX / 2);
        self.rounds.extend(stays.iter().map(|account| (cgroup(account), now.plus(LOOK))));
    }

    /// The next ones of the rounds; `running` ascends.
    fn go_round(&mut self, running: &[CgroupId], now: Time) {
        self.rounds_due += running.len() as f64 / ROUND_SECONDS;
        let (come_by, ahead) = running.split_at(running.partition_point(|cgroup| *cgroup <= self.rounds_at));
        for cgroup in ahead.iter().chain(come_by).take(self.rounds_due as usize) {
            self.rounds.insert(*cgroup, now.plus(LOOK));
            self.rounds_at = *cgroup;
        }
        self.rounds_due = self.rounds_due.fract();
    }
}

/// What people approved comes last, then the newest first.
fn first_of<'a>(accounts: impl Iterator<Item = &'a &'a Account>, most: usize) -> Vec<&'a Account> {
    let mut accounts: Vec<&Account> = accounts.copied().collect();
    accounts.sort_by_cached_key(|account| {
        (account.provenance().is_approved(), std::cmp::Reverse(account.container().key.started))
    });
    accounts.truncate(most);
    accounts
}

fn is_young(account: &Account, now: Time) -> bool {
    now.since(account.container().key.started) < YOUNG
}

fn holds_much(account: &Account) -> bool {
    account.deep().is_some_and(|(_, deep)| {
        let most = deep.files.max(deep.inotify_watches).unwrap_or_default();
        most >= HELD_BY_FEW || deep.ptys.unwrap_or_default() >= PTYS_HELD_BY_FEW
    })
}

/// CPU of those who copy output, beyond their idle cost and what is booked to containers.
fn unbooked_cores(host: &HostSpent, accounts: &[&Account]) -> f64 {
    let copies =
        |class| matches!(class, CostClass::EngineLog | CostClass::AttachedClient | CostClass::SystemLog);
    let spent = host.engine_cores - host.engine_idle_cores + host.client_cores + host.logger_cores;
    spent + host.shim_cores - booked_cores(accounts.iter().copied(), copies)
}

/// Whether it is known, and known to have no log file.
fn is_unfiled(account: &Account) -> bool {
    let facts = account.container().facts.known();
    facts.is_some_and(|facts| facts.log_path.is_none()) && !account.has_log_file()
}

/// CPU of the host's loggers that nobody is booked for: a container with a log file of its own may write to their
/// socket as well.
fn unbooked_logger_cores(host: &HostSpent, accounts: &[&Account]) -> f64 {
    host.logger_cores - booked_cores(accounts.iter().copied(), |class| class == CostClass::SystemLog)
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
