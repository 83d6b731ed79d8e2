//! What is normal and allowed here, and what is spent: the memory that judges compare against.
//!
//! Not here: any claim (`detect`). A pure function of the observations so far; everything is bounded.

mod account;

mod approvals;

mod baselines;

mod ledger;

mod sources;

pub mod series;

use std::collections::BTreeSet;
use std::time::Duration;

use model::approval::Approval;
use model::coverage::{Coverage, Health, Source};
use model::event::Body;
use model::finding::Finding;
use model::identity::{Container, News, Observation};
use model::ids::CgroupId;
use model::novelty::{Novelty, Provenance, Rate};
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

pub use crate::account::{Account, Spent};
use crate::approvals::Approvals;
use crate::baselines::Baselines;
use crate::ledger::Ledger;
pub use crate::ledger::{HostSpent, LogCost};
use crate::sources::Sources;

/// How long after a finding nothing of that workload is learned: an attack must not become normal.
const FLAGGED_FOR: Duration = Duration::from_secs(300);

/// Weight from which a finding keeps its workload from being learned; an approved batch job that is merely busy
/// weighs less, and its busy hours are its normal.
const FLAG_BITS_MIN: f64 = 4.0;

/// The stages `compare` and `learn`: all they know, serialisable so that a recording can carry it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    approvals: Approvals,
    baselines: Baselines,
    ledger: Ledger,
    sources: Sources,
    /// Time of the first event ever seen.
    first_event: Option<Time>,
    now: Time,
}

impl State {
    /// Takes the observation into the books and tells how unusual it is.
    pub fn compare(&mut self, seen: &Observation) -> Novelty {
        let event = &seen.event;
        self.now = self.now.max(event.time);
        self.first_event.get_or_insert(event.time);
        for news in &seen.identity.news {
            self.take_news(news);
        }
        match &event.body {
            Body::Approved(approval) => {
                self.approvals.add(approval);
                self.review_provenance();
            }
            Body::Revoked { id } => {
                self.approvals.revoke(*id);
                self.review_provenance();
            }
            Body::Report(report) => self.sources.report(report, event.time),
            Body::Lost(loss) => self.sources.lost(loss),
            Body::Resumed { last } => self.sources.gap(*last, event.time),
            Body::Usage(usage) => self.ledger.usage(usage, event.time),
            Body::Log(log) => {
                if let Some(container) = &seen.identity.container {
                    self.ledger.log(container.key.cgroup, log, event.time);
                }
            }
            Body::Host(host) => self.ledger.close(host, event.time),
            _ => {}
        }
        self.novelty(seen)
    }

    /// Learns what is normal from an observation that was judged: nothing that was flagged.
    pub fn learn(&mut self, seen: &Observation, findings: &[Finding]) {
        let now = seen.event.time;
        for finding in findings.iter().filter(|finding| finding.bits >= FLAG_BITS_MIN) {
            if let Some(container) = &finding.container {
                self.ledger.flag(container.cgroup_id, now.plus(FLAGGED_FOR));
            }
            if let Some(workload) = finding.subject.workload() {
                self.baselines.flag(workload, now.plus(FLAGGED_FOR), now);
            }
        }
        match &seen.event.body {
            Body::Usage(usage) => {
                if let Some(account) = self.ledger.account(usage.cgroup)
                    && let Some(spent) = account.latest()
                {
                    self.baselines.learn(account.workload(), spent, now);
                }
            }
            Body::Host(_) => self.ledger.learn_engine_idle(now),
            _ => {}
        }
    }

    /// The books of one container.
    pub fn account(&self, cgroup: CgroupId) -> Option<&Account> {
        self.ledger.account(cgroup)
    }

    /// The books of all containers, ordered by cgroup.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.ledger.accounts()
    }

    /// What the host spent over the last seconds.
    pub fn host(&self) -> Option<&HostSpent> {
        self.ledger.host()
    }

    /// What the engine spent on copying a container's log, over the last seconds.
    pub fn log_cost(&self, cgroup: CgroupId) -> Option<LogCost> {
        self.ledger.log_cost(cgroup)
    }

    /// CPU in cores that is usual for the account's workload.
    pub fn usual_cores(&self, account: &Account) -> Option<f64> {
        self.baselines.usual(account.workload()).map(|(cores, _)| cores)
    }

    /// Whether the container ran already when Tidewatch first looked at this host and nobody had approved anything.
    pub fn is_from_before(&self, container: &Container) -> bool {
        self.approvals.is_empty() && self.first_event.is_none_or(|first| container.key.started < first)
    }

    /// What people said about a container's image and workload.
    pub fn provenance(&self, container: &Container) -> Provenance {
        self.approvals.provenance(container)
    }

    /// Approvals in force.
    pub fn approvals(&self) -> impl Iterator<Item = &Approval> {
        self.approvals.iter()
    }

    /// What can be seen now, and what could not in the last hour.
    pub fn coverage(&self) -> Coverage {
        self.sources.coverage(self.now)
    }

    /// Every source that told how it is.
    pub fn sources(&self) -> impl Iterator<Item = (Source, Health, &Untrusted)> {
        self.sources.iter()
    }

    /// Time of the latest event.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The cgroups that have books, for checking bounds.
    pub fn cgroups(&self) -> BTreeSet<CgroupId> {
        self.ledger.accounts().map(|account| account.container().key.cgroup).collect()
    }

    fn take_news(&mut self, news: &News) {
        match news {
            News::Appeared(container) | News::Settled(container) | News::Ended(container) => {
                let provenance = self.approvals.provenance(container);
                self.ledger.open(container, provenance);
            }
        }
    }

    fn review_provenance(&mut self) {
        let approvals = &self.approvals;
        self.ledger.review(|container| approvals.provenance(container));
    }

    fn novelty(&self, seen: &Observation) -> Novelty {
        let Some(container) = &seen.identity.container else { return Novelty::default() };
        let age = seen.event.time.since(container.key.started);
        let Some(account) = self.ledger.account(container.key.cgroup) else {
            return Novelty { age, ..Novelty::default() };
        };
        let is_reading = matches!(seen.event.body, Body::Usage(_));
        let cpu_cores = account.spent(ledger::WINDOW).filter(|_| is_reading).map(|spent| {
            let usual = self.baselines.usual(account.workload());
            Rate {
                now: spent.own_cores(),
                usual: usual.map(|(cores, _)| cores),
                history: usual.map(|(_, history)| history).unwrap_or_default(),
            }
        });
        Novelty { provenance: account.provenance(), age, cpu_cores }
    }
}

#[cfg(test)]
mod tests;
