//! The host's books: who spent what, second by second, closed on each reading of the host.
//!
//! Not here: how a cost is booked back to who causes it (`booking.rs`), and whether it is too much (`detect`).

mod grown;

mod lines;

mod spenders;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::event::Exit;
use model::identity::Container;
use model::ids::CgroupId;
use model::novelty::Provenance;
use model::time::Time;
use model::untrusted::Untrusted;
use model::usage::{DeepUsage, EngineRole, HostUsage, KernelCounts, LogSize, Usage};
use serde::{Deserialize, Serialize};

use crate::account::{Account, ENTRIES_MAX};
use crate::booking::{self, Drive, POOLS, Pools, Spending};
use crate::ledger::lines::HostSecond;
pub use crate::ledger::lines::HostSpent;
pub use crate::ledger::spenders::Spender;
use crate::quantities::{Quantities, Quantity};

/// Seconds over which costs are summed: long enough to even out the 10 ms ticks of `/proc/PID/stat`, short
/// enough that a container of two seconds fills it.
pub(crate) const WINDOW: f64 = 5.0;

/// A pause between two readings of the host longer than this is a gap: rates across it would be guesses.
const GAP_SECONDS: f64 = 10.0;

/// Most CPU a pool is believed to need when nothing drives it; higher readings are other work.
const IDLE_CORES_MAX: f64 = 0.2;

/// A pool is idle when what drives it should cost less than this, in cores.
const QUIET_CORES: f64 = 2e-3;

/// Age from which a container no longer keeps the engine busy with its start.
const UNDISTURBED_AFTER: Duration = Duration::from_secs(10);

/// How long the books of an ended container are kept.
const ENDED_KEPT: Duration = Duration::from_secs(10);

/// Cgroups whose counters are remembered; the host's own included.
const COUNTED_MAX: usize = 20_000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// Apart from the tree, whose nodes are half empty.
    accounts: BTreeMap<CgroupId, Box<Account>>,
    last: Option<(Time, HostUsage)>,
    seconds: VecDeque<HostSecond>,
    idle: Pools,
    spent: Option<HostSpent>,
    /// Who spent most of what no container did, in the last second; gone with the next one.
    #[serde(skip)]
    spenders: Vec<Spender>,
    /// The last counters of each cgroup.
    counted: BTreeMap<CgroupId, KernelCounts>,
    /// What cgroups that are no containers did in the second being filled.
    others: Quantities,
    /// What they do that makes others spend.
    others_drive: Drive,
    /// CPU seconds of helpers of the kernel in the second being filled.
    helper_seconds: f64,
}

impl Ledger {
    pub(crate) fn account(&self, cgroup: CgroupId) -> Option<&Account> {
        self.accounts.get(&cgroup).map(AsRef::as_ref)
    }

    pub(crate) fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values().map(AsRef::as_ref)
    }

    pub(crate) fn accounts_mut(&mut self) -> impl Iterator<Item = &mut Account> {
        self.accounts.values_mut().map(AsMut::as_mut)
    }

    pub(crate) fn host(&self) -> Option<&HostSpent> {
        self.spent.as_ref()
    }

    /// Who spent most of what no container did, in the last second.
    pub(crate) fn spenders(&self) -> &[Spender] {
        &self.spenders
    }

    /// The last reading of the host.
    pub(crate) fn reading(&self) -> Option<&HostUsage> {
        self.last.as_ref().map(|(_, usage)| usage)
    }

    pub(crate) fn open(&mut self, container: &Arc<Container>, provenance: Provenance) {
        let key = &container.key;
        match self.accounts.get_mut(&key.cgroup) {
            Some(account) if account.container().key == *key => account.update(container, provenance),
            _ => {
                self.accounts.insert(key.cgroup, Box::new(Account::new(container, provenance)));
            }
        }
    }

    pub(crate) fn review(&mut self, provenance: impl Fn(&Container) -> Provenance) {
        for account in self.accounts.values_mut() {
            let now = provenance(account.container());
            account.review(now);
        }
    }

    pub(crate) fn flag(&mut self, cgroup: CgroupId, until: Time) {
        if let Some(account) = self.accounts.get_mut(&cgroup) {
            account.flag(until);
        }
    }

    pub(crate) fn usage(&mut self, usage: &Usage, at: Time) {
        if let Some(account) = self.accounts.get_mut(&usage.cgroup) {
            account.read_usage(usage, at);
        }
    }

    pub(crate) fn log(&mut self, cgroup: CgroupId, log: &LogSize, at: Time) {
        if let Some(account) = self.accounts.get_mut(&cgroup) {
            account.read_log(log, at);
        }
    }

    pub(crate) fn deep(&mut self, deep: &DeepUsage, counts_writes: bool, at: Time) {
        if let Some(account) = self.accounts.get_mut(&deep.cgroup) {
            account.read_deep(deep, counts_writes, at);
        }
    }

    pub(crate) fn forget_deep(&mut self, cgroup: CgroupId) {
        if let Some(account) = self.accounts.get_mut(&cgroup) {
            account.forget_deep();
        }
    }

    /// A container runs a program, perhaps one that is new to its workload.
    pub(crate) fn runs(&mut self, program: &Untrusted, (cgroup, is_new): (CgroupId, bool), at: Time) {
        if let Some(account) = self.accounts.get_mut(&cgroup) {
            account.runs(program, is_new, at);
        }
    }

    /// Books something that an event told of one container.
    pub(crate) fn book(&mut self, cgroup: CgroupId, quantity: Quantity, more: f64) {
        if let Some(account) = self.accounts.get_mut(&cgroup) {
            account.book(quantity, more);
        }
    }

    /// The engine runs a program in a container: booked to the container that calls the engine most, if one does, else to
    /// the one that it runs in.
    pub(crate) fn engine_exec(&mut self, within: CgroupId) {
        let calls = |account: &Account| (account.engine_calls(), account.container().key.cgroup);
        let callers = self.accounts().map(calls).filter(|(calls, _)| *calls > 0.0);
        let caller = callers.max_by(|a, b| a.0.total_cmp(&b.0)).map_or(within, |(_, cgroup)| cgroup);
        self.book(caller, Quantity::EngineExecs, 1.0);
    }

    /// The end of a process: crashes are counted by the kernel as well, but only where its probes run.
    pub(crate) fn exited(&mut self, container: Option<&Arc<Container>>, exit: &Exit) {
        if let Some(container) = container
            && exit.signal != 0
            && exit.core_dumped
            && !self.counted.contains_key(&exit.cgroup)
        {
            self.book(container.key.cgroup, Quantity::Crashes, 1.0);
        }
    }

    /// What the probes counted for one cgroup. `is_whole` says that Tidewatch ran before the cgroup did, so that even
    /// the first reading holds nothing from before.
    pub(crate) fn counts(
        &mut self,
        counts: &KernelCounts,
        container: Option<&Arc<Container>>,
        is_whole: bool,
    ) {
        let is_known = self.counted.contains_key(&counts.cgroup);
        if !is_known && self.counted.len() >= COUNTED_MAX {
            // Those of containers stay, however many cgroups of others come.
            let mut cgroups = self.counted.keys();
            let other = cgroups.find(|cgroup| !self.accounts.contains_key(cgroup)).copied();
            other.and_then(|other| self.counted.remove(&other)).or_else(|| Some(self.counted.pop_first()?.1));
        }
        let before = self.counted.insert(counts.cgroup, *counts);
        if before.is_none() && !is_whole {
            return;
        }
        let before = before.unwrap_or_default();
        self.helper_seconds += counts.helper_cpu_ns.saturating_sub(before.helper_cpu_ns) as f64 / 1e9;
        let mut account = container.and_then(|container| self.accounts.get_mut(&container.key.cgroup));
        for (quantity, grown) in grown(counts, &before) {
            match &mut account {
                Some(account) => account.book(quantity, grown),
                None => self.others.add(quantity, grown),
            }
        }
    }

    /// Closes the books of the second that ends with this reading of the host.
    pub(crate) fn close(&mut self, host: &HostUsage, at: Time) {
        self.accounts
            .retain(|_, account| account.container().ended.is_none_or(|ended| at.since(ended) < ENDED_KEPT));
        let span = self.last.as_ref().map(|(last, _)| at.since(*last).as_secs_f64());
        match (span, self.last.take()) {
            (Some(span), Some((_, last))) if span > 0.0 && span <= GAP_SECONDS => {
                self.read_shims(host, at);
                self.close_second(host, &last, span, at);
            }
            _ => self.start_over(),
        }
        self.last = Some((at, host.clone()));
    }

    /// Learns what pools need when nothing drives them: a slow mean, so that bursts of other work fade.
    pub(crate) fn learn_idle(&mut self, now: Time) {
        let Some(second) = self.seconds.back() else { return };
        // Seconds in which somebody is flagged, starts or ends hold the engine's work for it, not its idle.
        let is_disturbed = |account: &Account| {
            let age = now.since(account.container().key.started);
            account.is_flagged(now) || age < UNDISTURBED_AFTER || account.container().ended.is_some()
        };
        if self.accounts().any(is_disturbed) {
            return;
        }
        for pool in 0..POOLS {
            if second.expected[pool] < QUIET_CORES {
                let cores = (second.pools[pool] / second.seconds).min(IDLE_CORES_MAX);
                self.idle[pool] += (cores - self.idle[pool]) / 32.0;
            }
        }
    }

    fn start_over(&mut self) {
        self.seconds.clear();
        self.spent = None;
        self.spenders.clear();
        self.others = Quantities::default();
        self.others_drive = Drive::default();
        self.helper_seconds = 0.0;
        for account in self.accounts.values_mut() {
            account.forget_seconds();
        }
    }

    fn read_shims(&mut self, host: &HostUsage, at: Time) {
        let shims: BTreeMap<&Untrusted, u64> = host
            .engines
            .iter()
            .filter(|engine| engine.role == EngineRole::Shim)
            .filter_map(|engine| Some((engine.container_id.as_ref()?, engine.cpu_ns)))
            .collect();
        for account in self.accounts.values_mut() {
            let id = account.container().facts.known().map(|facts| &facts.id);
            if let Some(cpu_ns) = id.and_then(|id| shims.get(id)) {
                account.read_shim(*cpu_ns, at);
            }
        }
    }

    fn close_second(&mut self, host: &HostUsage, last: &HostUsage, span: f64, at: Time) {
        let mut second = HostSecond::new(host, last, span);
        second.add_helpers(std::mem::take(&mut self.helper_seconds));
        self.others_drive.follow(&std::mem::take(&mut self.others), span, self.seconds.len() + 1);
        second.drive(&self.others_drive);
        for account in self.accounts.values_mut() {
            account.close(at, span);
            if let Some(entry) = account.latest() {
                second.add_container(entry);
            }
            second.drive(account.drive());
        }
        if self.seconds.len() == ENTRIES_MAX {
            self.seconds.pop_front();
        }
        self.seconds.push_back(second);
        let above_idle = second.above(&self.idle);
        for account in self.accounts.values_mut() {
            let booked = account.drive().book(&above_idle, &second.expected, span);
            account.book_second(booked, span);
        }
        self.spent = Some(HostSpent::sum(&self.seconds, WINDOW, self.idle, host));
        self.spenders = spenders::busiest(host, last, span);
        self.book_costs();
    }

    /// The same books of the host as of the container, the newest first. A container's first may be shorter than the
    /// host's: to count seconds instead would leave out the one that holds its first bytes.
    fn book_costs(&mut self) {
        let (seconds, idle) = (&self.seconds, self.idle);
        let spending = |books: usize| {
            let mut sum = Spending { spent: [0.0; POOLS], above_idle: [0.0; POOLS], expected: [0.0; POOLS] };
            for second in seconds.iter().rev().take(books) {
                let above_idle = second.above(&idle);
                add(&mut sum.spent, &second.pools);
                add(&mut sum.above_idle, &above_idle);
            }
            sum.expected = seconds.back().map_or([0.0; POOLS], |second| second.expected);
            sum
        };
        for account in self.accounts.values_mut() {
            account.costs = booking::costs(account, WINDOW, spending);
        }
    }
}

fn add(sum: &mut Pools, more: &Pools) {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

/// What grew between two readings of one cgroup's counters.
fn grown(now: &KernelCounts, before: &KernelCounts) -> impl Iterator<Item = (Quantity, f64)> {
    let pairs = [
        (Quantity::Forks, now.forks, before.forks),
        (Quantity::Execs, now.execs, before.execs),
        (Quantity::Exits, now.exits, before.exits),
        (Quantity::Crashes, now.core_dumps, before.core_dumps),
        (Quantity::WholeSyncs, now.whole_syncs, before.whole_syncs),
        (Quantity::FileSyncs, now.file_syncs, before.file_syncs),
        (Quantity::ModuleRequests, now.module_requests, before.module_requests),
        (Quantity::Packets, now.sent_packets, before.sent_packets),
        (Quantity::Packets, now.received_packets, before.received_packets),
        (Quantity::PacketBytes, now.sent_packet_bytes, before.sent_packet_bytes),
        (Quantity::PacketBytes, now.received_packet_bytes, before.received_packet_bytes),
        (Quantity::Connects, now.connects, before.connects),
        (Quantity::Accepts, now.accepts, before.accepts),
        (Quantity::EngineCalls, now.engine_calls, before.engine_calls),
    ];
    let grown = pairs.into_iter().map(|(quantity, now, before)| (quantity, now.saturating_sub(before)));
    grown.filter(|(_, grown)| *grown > 0).map(|(quantity, grown)| (quantity, grown as f64))
}
