//! Kernel probes: BPF programs, their record layouts, their loader. What they see becomes `model` event bodies.
//!
//! Not here: sequence numbers and wall-clock time (`sources`), who a cgroup is (`enrich`), syscall tracing. There
//! is no unsafe code but where the ring buffer is mapped: records are read as bytes, and `libbpf-rs` owns every other pointer.

mod attached;
mod config;
mod creators;
mod dns;
mod layout;
mod loader;
mod print;
mod programs;
mod rights;
mod ring;
mod script;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use model::event::Body;
use model::ids::CgroupId;
use model::traffic::{Crowd, FlowCounts, FlowKey};
use model::usage::KernelCounts;

use crate::attached::Attached;
pub use crate::config::{Hierarchy, ProbesConfig};
use crate::creators::Creators;
pub use crate::creators::{CGROUPS_MAX, Creator, Share};
use crate::layout::{COUNTERS_BYTES, CREATOR_AT, REST_BYTES};
pub use crate::programs::{ProgramReport, ProgramState};
use crate::ring::Ring;

/// Longest time a record waits in the ring buffer while fewer wait than wake the reader.
const LATENCY_MAX: Duration = Duration::from_millis(20);
/// Most records taken out of the ring buffer at once: bounds our own memory while a flood lasts.
const BATCH_RECORDS_MAX: usize = 4096;
/// Entries read from the table of counters with one system call.
const COUNTS_PER_CALL: u32 = 1024;

/// Why probes cannot be loaded or read.
#[derive(Debug, thiserror::Error)]
pub enum ProbesError {
    /// The process lacks capabilities.
    #[error("kernel probes need {missing}: run as root, or give the process CAP_BPF and CAP_PERFMON")]
    Capability {
        /// The capabilities it lacks.
        missing: String,
    },
    /// The kernel does not describe its types.
    #[error(
        "kernel {release} has no BTF ({path} is missing): run a kernel built with CONFIG_DEBUG_INFO_BTF=y, as all \
         large distributions have since 2021"
    )]
    NoTypeInfo {
        /// Kernel release.
        release: String,
        /// Where the kernel would show it.
        path: &'static str,
    },
    /// A file that tells about this host cannot be read.
    #[error("{path}: {source}")]
    HostFile {
        /// The file.
        path: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Not one program runs.
    #[error(
        "kernel {release} refused every probe, the first with: {}. The capabilities are there; a user namespace, a \
         seccomp filter, kernel lockdown or a kernel before 5.12 may be the cause",
        reports.first().map_or("no reason", |report| report.reason.as_str())
    )]
    Refused {
        /// Kernel release.
        release: String,
        /// The reason for each program.
        reports: Vec<ProgramReport>,
    },
    /// The embedded object lacks something; a bug of ours.
    #[error("the embedded BPF object has no {what}")]
    Object {
        /// What it lacks.
        what: &'static str,
    },
    /// The kernel or libbpf failed at something that is no program.
    #[error("{step}: {source}")]
    Libbpf {
        /// What was being done.
        step: &'static str,
        /// libbpf's own reason.
        source: libbpf_rs::Error,
    },
    /// The ring buffer could not be mapped.
    #[error("mapping the ring buffer failed: {source}")]
    Map {
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// Records could not be read, or waited for.
    #[error("reading the ring buffer failed: {source}")]
    Poll {
        /// What failed.
        #[source]
        source: io::Error,
    },
}

/// One thing the kernel told.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When it happened, nanoseconds of `CLOCK_BOOTTIME`.
    pub ktime_boot_ns: u64,
    /// What happened.
    pub body: Body,
}

/// The counters of a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The counts.
    pub counts: KernelCounts,
    /// Of whose share it is.
    pub creator: Creator,
    /// Whether the cgroup is removed.
    pub is_removed: bool,
}

/// Loaded probes; dropping them detaches every program.
#[derive(Debug)]
pub struct Probes {
    report: Vec<ProgramReport>,
    // Before the links: an event that comes while we detach is not worth a mapping kept longer.
    ring: Ring,
    inbox: Inbox,
    cgroups: MapHandle,
    rest: MapHandle,
    flows: MapHandle,
    crowds: MapHandle,
    creators: Creators,
    forgotten_submitted: u64,
    links: Vec<Attached>,
}

/// Records that were taken out of the ring buffer.
#[derive(Debug, Default)]
struct Inbox {
    records: VecDeque<Record>,
    /// Records whose taker has returned.
    taken: u64,
    malformed: u64,
}

impl Probes {
    /// Loads and attaches whatever this kernel takes; [`Probes::report`] says what it did not.
    ///
    /// Fails when rights, BTF or the kernel leave no probe at all, and says which and what to do.
    pub fn load(config: &ProbesConfig) -> Result<Self, ProbesError> {
        rights::check()?;
        let loaded = loader::load(config)?;
        let ring = Ring::map(loaded.events).map_err(|source| ProbesError::Map { source })?;
        Ok(Self {
            report: loaded.report,
            ring,
            inbox: Inbox::default(),
            cgroups: loaded.cgroups,
            rest: loaded.rest,
            flows: loaded.flows,
            crowds: loaded.crowds,
            creators: Creators::new(loaded.creators, loaded.released),
            forgotten_submitted: 0,
            links: loaded.links,
        })
    }

    /// For each program whether it runs, and if not, why.
    pub fn report(&self) -> &[ProgramReport] {
        &self.report
    }

    /// Gives every record that waits to `each`, after waiting at most `timeout` for the first; how many it gave.
    /// At most 4,096 at once: call again. A record at which `each` panics is lost; those after it are given by the next call.
    pub fn poll(&mut self, timeout: Duration, each: impl FnMut(Record)) -> Result<usize, ProbesError> {
        let start = Instant::now();
        let failed = |source| ProbesError::Poll { source };
        loop {
            self.ring.consume(|bytes| self.inbox.take(bytes)).map_err(failed)?;
            let left = timeout.saturating_sub(start.elapsed());
            if !self.inbox.records.is_empty() || left.is_zero() {
                break;
            }
            // Few records wake nobody, so look again by ourselves; a fraction of a millisecond would be no wait.
            self.ring.wait(left.clamp(Duration::from_millis(1), LATENCY_MAX)).map_err(failed)?;
        }
        Ok(self.inbox.hand_over(each))
    }

    /// Counters of every cgroup that has an entry of its own (at most [`CGROUPS_MAX`] have). `CgroupId(0)` stands for
    /// removed cgroups whose sockets live on; what cgroups that were given no entry did is in [`Probes::shares`].
    pub fn counts(&self) -> Result<Vec<KernelCounts>, ProbesError> {
        Ok(self.entries()?.into_iter().map(|entry| entry.counts).collect())
    }

    /// The same, with whether each cgroup is removed: then its entry should be forgotten soon.
    pub fn entries(&self) -> Result<Vec<Entry>, ProbesError> {
        let mut all = Vec::new();
        let entries = self
            .cgroups
            .lookup_batch(COUNTS_PER_CALL, MapFlags::ANY, MapFlags::ANY)
            .map_err(|source| ProbesError::Libbpf { step: "reading the counters", source })?;
        for (key, value) in entries {
            let cgroup = CgroupId(layout::u64_at(&key, 0).unwrap_or(0));
            let number = layout::u64_at(&value, CREATOR_AT).unwrap_or(0);
            let (creator, is_removed) = (Creator::of(number), creators::is_gone(number));
            all.extend(layout::counters(cgroup, &value).map(|counts| Entry { counts, creator, is_removed }));
        }
        let rest = layout::counters(CgroupId(0), &self.rest()?[..COUNTERS_BYTES]);
        let rest = rest.filter(|rest| *rest != KernelCounts::default());
        let creator = Creator::Directory(CgroupId(0));
        all.extend(rest.map(|counts| Entry { counts, creator, is_removed: false }));
        Ok(all)
    }

    /// What each creator of cgroups has of the table of counters, and what it was refused.
    pub fn shares(&self) -> Result<Vec<Share>, ProbesError> {
        self.creators.shares()
    }

    /// Frees what is kept of a creator that has no entry left.
    pub fn forget_creator(&mut self, share: &Share) -> Result<(), ProbesError> {
        self.creators.forget(share)?;
        self.forgotten_submitted += share.counts.submitted;
        Ok(())
    }

    /// Every line of the table of flows: whose, which, and its counts since it began. A line stands until it is
    /// forgotten; the table has room for 65,536. Lines for all that have none of their own are among them.
    pub fn flows(&self) -> Result<Vec<(CgroupId, FlowKey, FlowCounts)>, ProbesError> {
        let line = |(key, counts): (Vec<u8>, Vec<u8>)| {
            let (cgroup, key) = layout::flow_key(&key)?;
            Some((cgroup, key, layout::flow_counts(&counts)?))
        };
        let mut lines = Vec::new();
        for table in [&self.flows, &self.crowds] {
            let entries = table
                .lookup_batch(COUNTS_PER_CALL, MapFlags::ANY, MapFlags::ANY)
                .map_err(|source| ProbesError::Libbpf { step: "reading the flows", source })?;
            lines.extend(entries.filter_map(line));
        }
        Ok(lines)
    }

    /// Deletes a line of the table of flows; gives its last counts. Nothing when there was none. What an open connection
    /// carries from now on begins its line anew.
    pub fn forget_flow(
        &mut self,
        cgroup: CgroupId,
        key: &FlowKey,
    ) -> Result<Option<FlowCounts>, ProbesError> {
        let table = if Crowd::of(key.remote).is_some() { &self.crowds } else { &self.flows };
        let value = table
            .lookup_and_delete(&layout::flow_key_bytes(cgroup, key))
            .map_err(|source| ProbesError::Libbpf { step: "forgetting a flow", source })?;
        Ok(value.and_then(|value| layout::flow_counts(&value)))
    }

    /// How often the table of creators had no room, so that a cgroup's events were booked on `CgroupId(0)`.
    pub fn untracked(&self) -> Result<u64, ProbesError> {
        Ok(layout::u64_at(&self.rest()?, COUNTERS_BYTES).unwrap_or(0))
    }

    /// Events the kernel handed over since the probes were loaded, forgotten cgroups included. Less
    /// [`Probes::received`] after a poll that gave nothing, these are lost.
    pub fn submitted(&self) -> Result<u64, ProbesError> {
        let counted: u64 = self.counts()?.iter().map(|counts| counts.submitted).sum();
        let shared: u64 = self.shares()?.iter().map(|share| share.counts.submitted).sum();
        Ok(counted + shared + self.forgotten_submitted)
    }

    /// Records that were given and taken, and malformed ones.
    pub fn received(&self) -> u64 {
        self.inbox.taken + self.inbox.malformed
    }

    /// Records that could not be read: too short, of no known kind, or with lengths beyond their end.
    pub fn malformed(&self) -> u64 {
        self.inbox.malformed
    }

    /// Programs that were detached, or replaced by others, since this was last asked; each is given once.
    pub fn lost(&mut self) -> Vec<&'static str> {
        self.links.iter_mut().filter_map(Attached::newly_lost).collect()
    }

    /// Frees the entry of a cgroup; gives its last counts. Nothing when there was none. A cgroup that lives gets another
    /// when it acts again.
    pub fn forget(&mut self, cgroup: CgroupId) -> Result<Option<KernelCounts>, ProbesError> {
        let value = self
            .cgroups
            .lookup_and_delete(&cgroup.0.to_ne_bytes())
            .map_err(|source| ProbesError::Libbpf { step: "forgetting a cgroup", source })?;
        let Some(value) = value else { return Ok(None) };
        self.creators.release(layout::u64_at(&value, CREATOR_AT).unwrap_or(0))?;
        let counts = layout::counters(cgroup, &value);
        self.forgotten_submitted += counts.map_or(0, |counts| counts.submitted);
        Ok(counts)
    }

    fn rest(&self) -> Result<[u8; REST_BYTES], ProbesError> {
        let mut rest = [0; REST_BYTES];
        self.rest
            .lookup_into(&0_u32.to_ne_bytes(), &mut rest, MapFlags::ANY)
            .map_err(|source| ProbesError::Libbpf { step: "reading the shared counters", source })?;
        Ok(rest)
    }
}

impl Inbox {
    /// Keeps a record; whether there is room for more.
    fn take(&mut self, bytes: &[u8]) -> bool {
        match layout::record(bytes) {
            Some(record) => self.records.push_back(record),
            None => self.malformed += 1,
        }
        self.records.len() < BATCH_RECORDS_MAX
    }

    /// Gives all that wait, one by one: a panic of `each` leaves the rest here.
    fn hand_over(&mut self, mut each: impl FnMut(Record)) -> usize {
        let mut count = 0;
        while let Some(record) = self.records.pop_front() {
            each(record);
            self.taken += 1;
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::{BATCH_RECORDS_MAX, Inbox, Probes};

    #[test]
    fn probes_can_move_to_their_own_thread() {
        fn needs_send<T: Send>() {}
        needs_send::<Probes>();
    }

    #[test]
    fn an_odd_record_is_counted_and_the_next_one_read() {
        let mut inbox = Inbox::default();
        assert!(inbox.take(&[1, 2, 3]));
        assert!(inbox.take(&crate::layout::tests::exit_bytes(0)));
        assert_eq!((inbox.malformed, inbox.records.len()), (1, 1));
    }

    #[test]
    fn a_panic_at_one_record_loses_that_one_and_counts_only_what_was_taken() {
        let mut inbox = Inbox::default();
        (0..3).for_each(|_| assert!(inbox.take(&crate::layout::tests::exit_bytes(0))));
        let fails = catch_unwind(AssertUnwindSafe(|| inbox.hand_over(|_| panic!("on purpose"))));
        assert!(fails.is_err());
        assert_eq!(inbox.hand_over(drop), 2);
        assert_eq!(inbox.taken, 2, "three were received: one is lost");
    }

    #[test]
    fn a_batch_ends_when_it_is_full() {
        let mut inbox = Inbox::default();
        let last = (0..BATCH_RECORDS_MAX).map(|_| inbox.take(&crate::layout::tests::exit_bytes(0))).last();
        assert_eq!(last, Some(false));
    }
}
