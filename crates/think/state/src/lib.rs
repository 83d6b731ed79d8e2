//! What is normal and allowed here, and what is spent: the memory that judges compare against.
//!
//! Not here: any claim (`detect`). A pure function of the observations so far; everything is bounded.

mod quantities;

mod account;

mod recent;

mod trend;

mod waits;

mod booking;

mod ledger;

mod levels;

mod room;

mod lives;

mod baselines;

mod histories;

mod deepen;

mod distress;

mod approvals;

mod authority;

mod engines;

mod command;

mod files_run;

mod conduct;

mod images;

mod hours;

mod outflow;
mod provenance;

mod config;

pub mod policy;

mod sources;

mod losses;

mod interruptions;

mod integrity;

pub mod series;

pub mod traffic;

pub mod graph;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::approval::Approval;
use model::event::Body;
use model::finding::Finding;
use model::identity::{Container, News, Observation};
use model::ids::{CgroupId, WorkloadKey};
use model::novelty::{Novelty, Rate};
use model::time::Time;
use model::untrusted::Untrusted;
use model::usage::{HostUsage, ProcessUsage};
use serde::{Deserialize, Serialize};

pub use crate::account::{Account, Spent};
use crate::approvals::Approvals;
pub use crate::authority::Authority;
use crate::baselines::Baselines;
pub use crate::baselines::Usual;
use crate::booking::booked_cores;
pub use crate::booking::{Cost, CostClass};
pub use crate::command::{Command, command};
use crate::conduct::Conduct;
pub use crate::conduct::{Client, Early};
pub use crate::config::CommunicationConfig;
use crate::deepen::Closeness;
pub use crate::deepen::{DEEP_MAX, Deepen};
use crate::engines::Engines;
pub use crate::engines::{EngineStanding, ReplacedBy, Replacement};
use crate::graph::Graph;
use crate::histories::{Histories, Scale};
pub use crate::histories::{Measure, Record};
use crate::hours::Hours;
use crate::images::Images;
pub use crate::images::Swapped;
use crate::interruptions::Interruptions;
pub use crate::interruptions::{Down, Stop, Unclean};
use crate::ledger::Ledger;
pub use crate::ledger::{HostSpent, Spender};
use crate::levels::Levels;
pub use crate::levels::{Course, Disk, Object};
pub use crate::lives::End;
use crate::lives::Lives;
pub use crate::losses::Flood;
use crate::losses::Losses;
pub use crate::outflow::Total;
use crate::policy::Policy;
pub use crate::quantities::{Quantities, Quantity};
pub use crate::recent::SecondCost;
use crate::series::Series;
pub use crate::sources::Outage;
use crate::sources::Sources;
pub use crate::trend::{Growth, Trend};
pub use crate::waits::{Resource, Waits};

/// How long after a finding nothing of that workload is learned: an attack must not become normal.
const FLAGGED_FOR: Duration = Duration::from_secs(300);

/// Weight from which a finding keeps its workload from being learned; an approved batch job that is merely busy
/// weighs less, and its busy hours are its normal.
const FLAG_BITS_MIN: f64 = 4.0;

/// The stages `compare` and `learn`: all they know, serialisable so that a recording can carry it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    communication: CommunicationConfig,
    approvals: Approvals,
    policy: Policy,
    baselines: Baselines,
    ledger: Ledger,
    levels: Levels,
    lives: Lives,
    histories: Histories,
    /// What the second that was just closed shows to be more than ever; gone with the next one.
    #[serde(skip)]
    records: Vec<Record>,
    closeness: Closeness,
    /// Since when the host is in distress without a pause.
    distressed_since: Option<Time>,
    /// The host's busiest processes, while they are asked for.
    processes: Vec<ProcessUsage>,
    sources: Sources,
    #[serde(default)]
    losses: Losses,
    #[serde(default)]
    interruptions: Interruptions,
    #[serde(default)]
    engines: Engines,
    #[serde(default)]
    conduct: Conduct,
    #[serde(default)]
    images: Images,
    #[serde(default)]
    hours: Hours,
    /// What of its conduct is new about the last event, for its novelty.
    #[serde(skip)]
    first: Novelty,
    /// The container whose start was counted last: its kind is settled in several steps.
    #[serde(default)]
    starts_counted: Option<CgroupId>,
    graph: Graph,
    #[serde(default)]
    outflows: outflow::Outflows,
    host_net_ns: Option<u32>,
    /// Time of the first event ever seen.
    first_event: Option<Time>,
    now: Time,
}

impl State {
    /// What is known before anything is seen.
    pub fn new(communication: CommunicationConfig) -> Self {
        Self { graph: Graph::new(communication.clone()), communication, ..Self::default() }
    }

    /// Takes the observation into the books and tells how unusual it is.
    pub fn compare(&mut self, seen: &Observation) -> Novelty {
        let event = &seen.event;
        self.now = self.now.max(event.time);
        if self.first_event.is_none() {
            self.first_event = Some(event.time);
            // When exactly we first looked, in nanoseconds, is known to nobody in a container.
            self.graph.begin(event.seen.ns().unsigned_abs());
        }
        if let (Body::Exit(exit), Some(container)) = (&event.body, &seen.identity.container) {
            // Before the news: how its first process ended is part of its end.
            self.lives.exited(container, exit);
        }
        self.first = Novelty::default();
        self.engines.pass();
        for news in &seen.identity.news {
            self.take_news(news);
        }
        self.take_body(seen);
        self.watch_ourselves(seen);
        self.notice_conduct(seen);
        self.follow_traffic(seen);
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
        self.note_edges(findings, now);
        self.learn_images(seen, findings);
        if matches!(seen.event.body, Body::Host(_)) {
            self.learn_second(now);
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

    /// Which services of the host and which engines' processes spent most in the last second, busiest first.
    pub fn spenders(&self) -> &[Spender] {
        self.ledger.spenders()
    }

    /// The last reading of the host.
    pub fn host_reading(&self) -> Option<&HostUsage> {
        self.ledger.reading()
    }

    /// What is usual for a workload; `None` without enough history.
    pub fn usual(&self, workload: &WorkloadKey) -> Option<&Usual> {
        self.baselines.usual(workload)
    }

    /// CPU in cores that is usual for the account's workload.
    pub fn usual_cores(&self, account: &Account) -> Option<f64> {
        self.usual(account.workload()).map(|usual| usual.mean(Quantity::OwnCpu))
    }

    /// What the second that was just closed shows to be more than ever, of all workloads.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The series of a workload's metric.
    pub fn series(&self, workload: &WorkloadKey, measure: Measure) -> Option<&Series> {
        self.histories.series(workload, measure)
    }

    /// How far all metrics of a workload stand out from the last minutes, together, in deviations.
    pub fn spikes(&self, workload: &WorkloadKey) -> f64 {
        self.histories.spikes(workload)
    }

    /// Who talks to whom.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Kernel objects of the host that no cgroup counts, and how they move.
    pub fn objects(&self) -> impl Iterator<Item = (Object, &Course)> {
        self.levels.objects()
    }

    /// The disks that containers can fill, by the directory they were found at.
    pub fn disks(&self) -> impl Iterator<Item = (&Untrusted, &Disk)> {
        self.levels.disks()
    }

    /// Ends of a workload's containers within the last `span`, oldest first.
    pub fn ends(&self, workload: &WorkloadKey, span: Duration) -> impl Iterator<Item = &End> {
        self.lives.ends(workload, self.now, span)
    }

    /// What should be looked at closely now.
    pub fn deepen(&self) -> &Deepen {
        self.closeness.plan()
    }

    /// The busiest processes of the host, as last told; empty while nobody asks for them.
    pub fn processes(&self) -> &[ProcessUsage] {
        &self.processes
    }

    /// Whether nothing can be said yet about what is usual for it: it ran before Tidewatch did, and too little of its
    /// workload was seen since.
    pub fn is_without_history(&self, account: &Account) -> bool {
        let started = account.container().key.started;
        self.usual(account.workload()).is_none() && self.first_event.is_none_or(|first| started < first)
    }

    /// Approvals in force.
    pub fn approvals(&self) -> impl Iterator<Item = &Approval> {
        self.approvals.iter()
    }

    /// Approvals in force that are about a container, oldest first; not those of edges and ports.
    pub fn approvals_about(&self, container: &Container) -> Vec<&Approval> {
        self.approvals.about(container)
    }

    /// What people declared about who may talk to whom.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How communication is judged.
    pub fn communication(&self) -> &CommunicationConfig {
        &self.communication
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
            News::Appeared(container) | News::Tallied(container) => self.open(container),
            // One that ended is judged late; by then its cgroup may be another container's.
            News::Settled(container) if container.ended.is_some() && !self.has_account_of(container) => {}
            News::Settled(container) => {
                self.open(container);
                if self.ran_before_us(container) {
                    self.engines.runs(container);
                }
                if let Some(account) = self.ledger.account(container.key.cgroup) {
                    self.closeness.notice(account, self.now);
                }
            }
            News::Ended(container) => {
                self.open(container);
                self.lives.ended(container);
                self.conduct.ended(container);
                self.graph.ended(container.key.cgroup);
            }
        }
    }

    fn has_account_of(&self, container: &Container) -> bool {
        let account = self.ledger.account(container.key.cgroup);
        account.is_some_and(|account| account.container().key == container.key)
    }

    fn open(&mut self, container: &Arc<Container>) {
        let provenance = self.approvals.provenance(container);
        self.ledger.open(container, provenance);
    }

    fn take_body(&mut self, seen: &Observation) {
        let at = seen.event.time;
        let container = seen.identity.container.as_ref();
        match &seen.event.body {
            Body::Approved(approval) => {
                self.approvals.add(approval);
                self.review_provenance();
            }
            Body::EngineExec { .. } => {
                if let Some(container) = container {
                    self.ledger.engine_exec(container.key.cgroup);
                }
            }
            Body::Revoked { id } => {
                self.approvals.revoke(*id);
                self.review_provenance();
            }
            Body::Engine(seen) => self.engines.seen(seen, self.first_event, at),
            Body::EngineWork(work) => self.images.worked(work, at),
            Body::Expected(expectation) => self.policy.add(expectation),
            Body::Unexpected { id } => self.policy.remove(id),
            Body::Process(exec) if exec.process.pid == 1 => {
                self.host_net_ns = Some(exec.namespaces.net);
                self.engines.booted(at, exec.process.start_ns);
            }
            // Cloned or ended, and no program was executed.
            Body::Process(exec) if exec.lineage.is_some() => {}
            Body::Exec(exec) | Body::Process(exec) => self.notice_program(exec, container, at),
            Body::Exit(exit) => self.ledger.exited(container, exit),
            Body::Usage(usage) => self.ledger.usage(usage, at),
            Body::Counts(counts) => {
                let watched_since = self.first_event;
                let is_whole =
                    container.is_some_and(|it| watched_since.is_some_and(|since| it.key.started > since));
                self.ledger.counts(counts, container, is_whole);
            }
            Body::Log(log) => {
                if let Some(container) = container {
                    self.ledger.log(container.key.cgroup, log, at);
                }
            }
            Body::Deep(deep) => self.ledger.deep(deep, self.closeness.is_suspect(deep.cgroup), at),
            Body::Processes(processes) => self.processes.clone_from(processes),
            Body::Host(host) => self.close(host, at),
            _ => {}
        }
    }

    fn close(&mut self, host: &HostUsage, at: Time) {
        self.ledger.close(host, at);
        self.distressed_since = self.distress().is_some().then(|| self.distressed_since.unwrap_or(at));
        self.levels.read(host, at);
        self.read_histories(host, at);
        let before = self.closeness.plan().clone();
        self.closeness.decide(self.ledger.host(), &self.levels, self.ledger.accounts(), at);
        let after = self.closeness.plan();
        for cgroup in before.cgroups.difference(&after.cgroups) {
            self.ledger.forget_deep(*cgroup);
        }
        if !after.host {
            self.processes.clear();
        }
    }

    /// Each workload's second, beside its history. What is flagged is judged and not learned.
    fn read_histories(&mut self, host: &HostUsage, at: Time) {
        self.records.clear();
        if self.ledger.host().is_none() {
            return;
        }
        let scale =
            Scale { cores: f64::from(host.cores.max(1)), memory_bytes: host.memory_total_bytes as f64 };
        for account in self.ledger.accounts().filter(|account| account.is_running()) {
            self.histories.read(account, scale, at);
        }
        let baselines = &self.baselines;
        self.records = self.histories.close(at, |workload| !baselines.is_flagged(workload, at));
    }

    /// What a closed second teaches: the rates of every running workload, unless it is flagged, and while the host is
    /// not in distress, how long tasks usually wait.
    fn learn_second(&mut self, now: Time) {
        self.ledger.learn_idle(now);
        let is_calm = self.distress().is_none();
        for account in self.ledger.accounts_mut() {
            if let Some(latest) = account.latest().filter(|_| is_calm).copied() {
                account.waits.learn(latest.seconds);
            }
            if let Some(spent) = account.settled() {
                self.baselines.learn(account.workload(), &spent, now);
            }
            if let Some(program) = account.settled_program(now) {
                self.baselines.learn_program(account.workload(), &program, now);
            }
        }
    }

    fn review_provenance(&mut self) {
        let approvals = &self.approvals;
        self.ledger.review(|container| approvals.provenance(container));
    }

    fn novelty(&self, seen: &Observation) -> Novelty {
        let first = self.first;
        let Some(container) = &seen.identity.container else { return first };
        let age = seen.event.time.since(container.key.started);
        let Some(account) = self.ledger.account(container.key.cgroup) else {
            return Novelty { age, ..first };
        };
        let is_reading = matches!(seen.event.body, Body::Usage(_));
        let cpu_cores = account.spent(ledger::WINDOW).filter(|_| is_reading).map(|spent| {
            let usual = self.baselines.usual(account.workload());
            Rate {
                now: spent.own_cores(),
                usual: usual.map(|usual| usual.mean(Quantity::OwnCpu)),
                history: usual.map(Usual::history).unwrap_or_default(),
            }
        });
        Novelty { provenance: account.provenance(), age, cpu_cores, ..first }
    }
}

#[cfg(test)]
mod tests;
