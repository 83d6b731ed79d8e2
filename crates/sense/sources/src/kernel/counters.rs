//! The kernel's counters, read once a second: what changed, what was lost, which entries may go, and who has no room left.
//!
//! An entry is freed when its cgroup is removed, and while many are there when it stands still: the counts of a cgroup that
//! acts again go on from where they were. Not here: the table (`probes`), flows (`flows.rs`).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hostfs::layout::CgroupLayout;
use hostfs::root::HostRoot;
use hostfs::tree::CgroupTree;
use model::coverage::{Loss, Source};
use model::event::Body;
use model::ids::CgroupId;
use model::integrity::Integrity;
use model::untrusted::Untrusted;
use model::usage::KernelCounts;
use probes::{CGROUPS_MAX, Creator, Entry, Probes, ProbesError, Share};

/// How long the counters of a removed cgroup are kept: its sockets may still close.
const REMOVED_KEPT: Duration = Duration::from_secs(5);
/// Entries from which those that stand still are freed soon: a quarter of the table.
const MANY: usize = CGROUPS_MAX / 4;
/// How long an entry stands still before it is freed while there are many, and otherwise.
const STILL_KEPT: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(900)];
/// Most entries freed at one reading: each costs three system calls.
const FREED_MAX: usize = 2_048;
/// Most cgroups of which it is known what they counted before: twice what the table holds.
const KNOWN_MAX: usize = 2 * CGROUPS_MAX;
/// How long a creator without any entry is kept.
const CREATOR_KEPT: Duration = Duration::from_secs(60);
/// Creators whose directory is looked for in the tree of cgroups, in one run: each look walks all of it.
const LOOKS_MAX: usize = 16;

/// What was told of the kernel's counters.
#[derive(Debug, Default)]
pub(super) struct Counters {
    known: HashMap<CgroupId, Known>,
    shares: HashMap<Creator, Told>,
    names: HashMap<Creator, Untrusted>,
    shared: KernelCounts,
    forgotten: KernelCounts,
    untracked: u64,
}

#[derive(Debug)]
struct Known {
    told: KernelCounts,
    /// What it counted before its entry was freed.
    before: Option<Box<KernelCounts>>,
    changed: Instant,
    is_there: bool,
    removed: Option<Instant>,
}

#[derive(Debug)]
struct Told {
    untracked: u64,
    used: Instant,
}

impl Counters {
    /// Reads all counters: what is to be told. Gives the cgroups that are gone besides.
    pub(super) fn read(
        &mut self,
        probes: &mut Probes,
        root: &HostRoot,
    ) -> Result<(Vec<Body>, Vec<CgroupId>), ProbesError> {
        let (mut told, now) = (Vec::new(), Instant::now());
        self.known.values_mut().for_each(|known| known.is_there = false);
        for entry in probes.entries()? {
            self.take(entry, now, &mut told);
        }
        self.read_shares(probes, (root, now), &mut told)?;
        let gone = self.free(probes, now, &mut told)?;
        self.bound();
        Ok((told, gone))
    }

    /// A cgroup is removed, whether it has an entry or not.
    pub(super) fn removed(&mut self, cgroup: CgroupId) {
        if let Some(known) = self.known.get_mut(&cgroup) {
            known.removed.get_or_insert_with(Instant::now);
        }
    }

    fn take(&mut self, entry: Entry, now: Instant, told: &mut Vec<Body>) {
        let cgroup = entry.counts.cgroup;
        // The rest is told with what creators' cgroups have no entry for.
        if cgroup == CgroupId(0) {
            self.shared = self.shared.after(&entry.counts);
            return;
        }
        let known = self.known.entry(cgroup).or_insert_with(|| Known {
            told: KernelCounts { cgroup, ..KernelCounts::default() },
            before: None,
            changed: now,
            is_there: true,
            removed: None,
        });
        known.is_there = true;
        if entry.is_removed {
            known.removed.get_or_insert(now);
        }
        tell(known, entry.counts, now, told);
    }

    fn read_shares(
        &mut self,
        probes: &mut Probes,
        (root, now): (&HostRoot, Instant),
        told: &mut Vec<Body>,
    ) -> Result<(), ProbesError> {
        for share in probes.shares()? {
            self.shared = self.shared.after(&share.counts);
            let last = self.shares.entry(share.creator).or_insert(Told { untracked: 0, used: now });
            if share.entries > 0 || share.untracked > last.untracked {
                last.used = now;
            }
            let more = share.untracked.saturating_sub(last.untracked);
            last.untracked = share.untracked;
            let is_unused = now.saturating_duration_since(last.used) >= CREATOR_KEPT;
            if more > 0 {
                let by = self.name_of(&share, root);
                told.push(untracked(more, by));
            }
            if is_unused {
                probes.forget_creator(&share)?;
                self.shares.remove(&share.creator);
                self.names.remove(&share.creator);
                self.forgotten = self.forgotten.after(&share.counts);
            }
        }
        self.tell_shared(told);
        let untracked_in_all = probes.untracked()?;
        let more = untracked_in_all.saturating_sub(self.untracked);
        self.untracked = self.untracked.max(untracked_in_all);
        if more > 0 {
            told.push(untracked(more, Untrusted::new("too many creators of cgroups")));
        }
        Ok(())
    }

    /// All that have no entry of their own, as one.
    fn tell_shared(&mut self, told: &mut Vec<Body>) {
        let counts = std::mem::take(&mut self.shared).after(&self.forgotten);
        if counts == KernelCounts::default() {
            return;
        }
        let now = Instant::now();
        let known = self.known.entry(CgroupId(0)).or_insert_with(|| Known {
            told: KernelCounts::default(),
            before: None,
            changed: now,
            is_there: true,
            removed: None,
        });
        known.is_there = true;
        tell(known, KernelCounts { cgroup: CgroupId(0), ..counts }, now, told);
    }

    /// Frees what is gone, and what stands still.
    fn free(
        &mut self,
        probes: &mut Probes,
        now: Instant,
        told: &mut Vec<Body>,
    ) -> Result<Vec<CgroupId>, ProbesError> {
        let gone: Vec<CgroupId> = self.chosen(|known| is_due(known.removed, now, REMOVED_KEPT));
        for cgroup in &gone {
            probes.forget(*cgroup)?;
            self.known.remove(cgroup);
        }
        let there = self.known.values().filter(|known| known.is_there).count();
        let kept = STILL_KEPT[usize::from(there < MANY)];
        for cgroup in self.chosen(|known| known.is_there && is_due(Some(known.changed), now, kept)) {
            let (Some(last), Some(known)) = (probes.forget(cgroup)?, self.known.get_mut(&cgroup)) else {
                continue;
            };
            // What it still counted since it was read is told as well.
            tell(known, last, known.changed, told);
            known.before = Some(Box::new(known.told));
            known.is_there = false;
        }
        Ok(gone)
    }

    fn chosen(&self, fits: impl Fn(&Known) -> bool) -> Vec<CgroupId> {
        let chosen = self.known.iter().filter(|(cgroup, known)| cgroup.0 != 0 && fits(known));
        chosen.map(|(cgroup, _)| *cgroup).take(FREED_MAX).collect()
    }

    /// Forgets cgroups without an entry when there are too many: each was still for long, and nothing told of its end.
    fn bound(&mut self) {
        if self.known.len() > KNOWN_MAX {
            self.known.retain(|cgroup, known| known.is_there || cgroup.0 == 0);
        }
    }

    /// Whom people know the creator as.
    fn name_of(&mut self, share: &Share, root: &HostRoot) -> Untrusted {
        if let Some(name) = self.names.get(&share.creator) {
            return name.clone();
        }
        let text = match share.creator {
            Creator::User(uid) => format!("user {uid}"),
            Creator::Container(inode) => format!("pid namespace {inode}"),
            Creator::Deep => "cgroups more than 64 levels deep".to_owned(),
            Creator::Directory(cgroup) if self.names.len() < LOOKS_MAX => path_of(cgroup, root),
            Creator::Directory(cgroup) => format!("cgroup {cgroup}"),
        };
        let name = Untrusted::new(&text);
        self.names.insert(share.creator, name.clone());
        name
    }
}

/// Tells the counts of a cgroup if they changed, and the events of it that were lost.
fn tell(known: &mut Known, counts: KernelCounts, now: Instant, told: &mut Vec<Body>) {
    let counts = match &known.before {
        Some(before) => counts.after(before),
        None => counts,
    };
    if counts == known.told {
        return;
    }
    let last = std::mem::replace(&mut known.told, counts);
    known.changed = now;
    told.push(Body::Counts(Box::new(counts)));
    told.extend(lost(counts.cgroup, counts.over_budget.saturating_sub(last.over_budget), "budget"));
    told.extend(lost(counts.cgroup, counts.no_room.saturating_sub(last.no_room), "ring buffer"));
}

fn lost(cgroup: CgroupId, count: u64, stage: &str) -> Option<Body> {
    let loss = Loss { source: Source::Kernel, cgroup: Some(cgroup), count, stage: Untrusted::new(stage) };
    (count > 0).then_some(Body::Lost(loss))
}

fn untracked(count: u64, by: Untrusted) -> Body {
    Body::Integrity(Box::new(Integrity::Untracked { table: Untrusted::new("cgroups"), count, by }))
}

fn is_due(since: Option<Instant>, now: Instant, after: Duration) -> bool {
    since.is_some_and(|since| now.saturating_duration_since(since) >= after)
}

/// Where a cgroup is, found by a walk.
fn path_of(cgroup: CgroupId, root: &HostRoot) -> String {
    let tree = CgroupLayout::detect(root).and_then(|layout| CgroupTree::walk(&layout));
    let found = tree.ok().and_then(|tree| tree.cgroups.into_iter().find(|one| one.id == cgroup));
    found.map_or_else(|| format!("cgroup {cgroup}"), |found| found.path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(cgroup: u64, execs: u64, is_removed: bool) -> Entry {
        let counts = KernelCounts { cgroup: CgroupId(cgroup), execs, ..KernelCounts::default() };
        Entry { counts, creator: Creator::Deep, is_removed }
    }

    fn execs(told: &[Body]) -> Vec<u64> {
        let counts = told.iter().filter_map(|body| match body {
            Body::Counts(counts) => Some(counts.execs),
            _ => None,
        });
        counts.collect()
    }

    #[test]
    fn counts_go_on_from_where_they_were_when_an_entry_is_made_anew() {
        let (mut counters, now, mut told) = (Counters::default(), Instant::now(), Vec::new());
        counters.take(entry(7, 3, false), now, &mut told);
        counters.take(entry(7, 3, false), now, &mut told);
        let known = counters.known.get_mut(&CgroupId(7)).unwrap();
        known.before = Some(Box::new(known.told));
        counters.take(entry(7, 2, false), now, &mut told);
        assert_eq!(execs(&told), [3, 5]);
    }

    #[test]
    fn what_is_removed_is_due_and_what_acts_is_not() {
        let (mut counters, now, mut told) = (Counters::default(), Instant::now(), Vec::new());
        counters.take(entry(7, 1, true), now, &mut told);
        counters.take(entry(8, 1, false), now, &mut told);
        let due = |after| counters.chosen(|known| is_due(known.removed, now + after, REMOVED_KEPT));
        assert_eq!(due(Duration::from_secs(4)), []);
        assert_eq!(due(Duration::from_secs(5)), [CgroupId(7)]);
    }

    #[test]
    fn what_is_known_of_entries_that_were_freed_is_bounded() {
        let (mut counters, now) = (Counters::default(), Instant::now());
        for cgroup in 1..=KNOWN_MAX as u64 + 1 {
            counters.take(entry(cgroup, 1, false), now, &mut Vec::new());
        }
        counters.known.values_mut().skip(10).for_each(|known| known.is_there = false);
        counters.bound();
        assert_eq!(counters.known.len(), 10);
    }
}
