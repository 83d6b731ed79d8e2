//! Flags a container that makes processes without end, or comes close to the number of tasks it or the host may have.
//!
//! Not here: builds and shells that fork much for a while in a workload that always does.

use model::finding::Finding;
use state::{Account, Quantity};

use crate::Case;

pub(crate) const ID: &str = "fork_storm";

/// Forks a second that no shell script needs.
const FORKS_MIN: f64 = 500.0;

/// How many times its usual or highest known rate is still usual.
const USUAL_FACTOR: f64 = 2.0;

/// Tasks at which a bomb is one, as a share of the container's limit, or in all where it has none.
const LIMIT_SHARE: f64 = 0.9;
const TASKS_MIN: u64 = 2_000;

/// Tasks without a limit that are many for one container, as a share of what the host may have.
const HOST_SHARE: f64 = 0.2;

/// Shortest span judged, in seconds.
const SECONDS_MIN: f64 = 1.9;

/// Forking much, and at the limit of what is there for all.
const FORKS_BITS: f64 = 8.0;
const TASKS_BITS: f64 = 9.0;

/// Judges every container when the books of a second are closed.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    if case.closed_books().is_none() {
        return;
    }
    let host_limit = case.state.host_reading().map_or(0, |host| host.tasks_limit);
    for account in case.running() {
        let forks = forks(case, account);
        let tasks = tasks(account, host_limit);
        let finding = match (forks, tasks) {
            (None, None) => continue,
            (Some(rate), None) => case
                .resource(account, ID, FORKS_BITS)
                .claiming(format!("it made {rate:.0} processes a second"))
                .explainable("forks_per_second", rate),
            (_, Some((tasks, limit))) => case
                .resource(account, ID, TASKS_BITS)
                .claiming(format!("it has {tasks} tasks of {limit} that it may have")),
        };
        let usage = account.usage();
        let mut finding = finding
            .with("forks_per_second", forks.unwrap_or_default())
            .with("tasks", usage.and_then(|usage| usage.pids).unwrap_or_default());
        if let Some((_, limit)) = tasks {
            finding = finding.with("tasks_limit", limit);
        }
        // Without a limit of its own, the tasks it takes are those of everybody.
        finding.harm = tasks.is_some() && usage.is_some_and(|usage| usage.pids_limit.is_none());
        out.push(finding);
    }
}

fn forks(case: &Case, account: &Account) -> Option<f64> {
    let spent = account.spent(4.0).filter(|spent| spent.seconds >= SECONDS_MIN)?;
    let rate = spent.rate(Quantity::Forks);
    let usual = case.state.usual(account.workload());
    let usual = usual.map_or(0.0, |it| it.mean(Quantity::Forks).max(it.peak(Quantity::Forks)));
    (rate >= FORKS_MIN.max(USUAL_FACTOR * usual)).then_some(rate)
}

fn tasks(account: &Account, host_limit: u64) -> Option<(u64, u64)> {
    let usage = account.usage()?;
    let tasks = usage.pids?;
    let (limit, share) = match usage.pids_limit {
        Some(limit) => (limit, LIMIT_SHARE),
        None => (host_limit, HOST_SHARE),
    };
    let is_many = limit > 0 && tasks as f64 >= share * limit as f64;
    // A small limit that is reached harms nobody but the container, and some run at theirs.
    let is_bomb = usage.pids_limit.is_none() || tasks >= 64;
    (is_many && is_bomb && (usage.pids_limit.is_some() || tasks >= TASKS_MIN)).then_some((tasks, limit))
}
