//! What is read only while somebody asks for it: the processes of some cgroups one by one, and those of the whole host.
//!
//! Not here: who is worth it, which those who weigh decide and tell by commands.

use std::collections::BTreeMap;
use std::path::Path;

use hostfs::error::HostfsError;
use hostfs::holdings::{Allowance, HoldingsReader};
use hostfs::layout::CgroupLayout;
use hostfs::ranking::{ProcessRanking, RANKED_MAX};
use hostfs::root::HostRoot;
use model::coverage::{Loss, Source};
use model::event::Body;
use model::ids::CgroupId;
use model::untrusted::Untrusted;

use crate::outlet::Outlet;

/// Most cgroups read in depth at once.
pub const DEEPENED_MAX: usize = 32;
/// Each is read every other beat: half of them in one beat, half in the next.
const EVERY_BEATS: u64 = 2;
/// But at every one of its first beats: an attack is to be seen in its first seconds.
const FIRST_BEATS: u8 = 4;

/// The deep readings of one host.
#[derive(Debug, Default)]
pub(super) struct Deep {
    cgroups: BTreeMap<CgroupId, Deepened>,
    processes: Option<ProcessRanking>,
    problem: Option<String>,
    /// What is left until the next beat for those that begin to be read.
    beginnings: Allowance,
}

#[derive(Debug)]
struct Deepened {
    reader: HoldingsReader,
    /// How much of its share the last reading used.
    used: u64,
    /// How many of its first beats are left.
    first_beats: u8,
}

impl Deep {
    /// Begins to read a cgroup in depth, at once. One too many is refused, and told as lost.
    pub(super) fn deepen(
        &mut self,
        (root, layout): (&HostRoot, &CgroupLayout),
        cgroup: CgroupId,
        path: &Path,
        outlet: &Outlet,
    ) {
        if self.cgroups.contains_key(&cgroup) {
            return;
        }
        if self.cgroups.len() >= DEEPENED_MAX {
            let stage = Untrusted::new("limit on deep readings");
            let loss = Loss { source: Source::Cgroups, cgroup: Some(cgroup), count: 1, stage };
            outlet.send_now(Source::Cgroups, Body::Lost(loss));
            return;
        }
        let reader = HoldingsReader::new(root, layout, path, cgroup);
        let mut deepened = Deepened { reader, used: 0, first_beats: FIRST_BEATS };
        // Half of what is left: the first of many that begin at once cannot leave nothing to the others.
        let share = self.beginnings.share(2);
        if let Some(rest) = deepened.read(share, outlet) {
            self.beginnings = self.beginnings.after(share, rest);
            self.cgroups.insert(cgroup, deepened);
        }
    }

    /// No longer reads a cgroup in depth.
    pub(super) fn shallow(&mut self, cgroup: CgroupId) {
        self.cgroups.remove(&cgroup);
    }

    /// Begins or ceases to rank the host's processes.
    pub(super) fn deepen_host(&mut self, root: &HostRoot, layout: &CgroupLayout, deep: bool) {
        self.problem = None;
        if !deep {
            self.processes = None;
        } else if self.processes.is_none() {
            match ProcessRanking::new(root, layout) {
                Ok(ranking) => self.processes = Some(ranking),
                Err(error) => self.problem = Some(error.to_string()),
            }
        }
    }

    /// What is due in this beat.
    pub(super) fn beat(&mut self, beat: u64, outlet: &Outlet) {
        self.beginnings = Allowance::BEAT;
        self.read_cgroups(beat, outlet);
        if beat.is_multiple_of(EVERY_BEATS) {
            self.problem =
                self.rank(outlet).map_or_else(|error| Some(error.to_string()), |()| self.unranked());
        }
    }

    /// What is wrong with it now.
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.clone()
    }

    /// Those that need little first: what they leave of the allowance is there for those that need more.
    fn read_cgroups(&mut self, beat: u64, outlet: &Outlet) {
        let is_due = |cgroup: &CgroupId, deepened: &Deepened| {
            deepened.first_beats > 0 || cgroup.0.wrapping_add(beat).is_multiple_of(EVERY_BEATS)
        };
        let mut due: Vec<(u64, CgroupId)> = self
            .cgroups
            .iter()
            .filter(|(cgroup, deepened)| is_due(cgroup, deepened))
            .map(|(cgroup, deepened)| (deepened.used, *cgroup))
            .collect();
        due.sort_unstable();
        let mut allowance = Allowance::BEAT;
        for (read, (_, cgroup)) in due.iter().enumerate() {
            let share = allowance.share((due.len() - read) as u64);
            let Some(deepened) = self.cgroups.get_mut(cgroup) else { continue };
            deepened.first_beats = deepened.first_beats.saturating_sub(1);
            match deepened.read(share, outlet) {
                Some(rest) => allowance = allowance.after(share, rest),
                None => self.shallow(*cgroup),
            }
        }
    }

    fn rank(&mut self, outlet: &Outlet) -> Result<(), HostfsError> {
        let Some(processes) = &mut self.processes else { return Ok(()) };
        let busiest = processes.read()?;
        outlet.send_now(Source::Host, Body::Processes(busiest));
        Ok(())
    }

    fn unranked(&self) -> Option<String> {
        let left_out = self.processes.as_ref().map_or(0, ProcessRanking::left_out);
        (left_out > 0).then(|| format!("{left_out} processes are not ranked: more than {RANKED_MAX}"))
    }
}

impl Deepened {
    /// Emits one reading; what it left of its share, or `None` when the cgroup is gone.
    fn read(&mut self, share: Allowance, outlet: &Outlet) -> Option<Allowance> {
        let mut rest = share;
        match self.reader.read(&mut rest) {
            Ok(usage) => outlet.send_now(Source::Cgroups, Body::Deep(Box::new(usage))),
            Err(error) if error.is_gone() => return None,
            // What could not be listed now may be at the next beat; that there was no reading is seen by its absence.
            Err(_) => {}
        }
        self.used = (share.processes - rest.processes) + (share.files - rest.files);
        Some(rest)
    }
}
