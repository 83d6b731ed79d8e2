//! The processes of the host that use most CPU now, whatever they belong to.
//!
//! Costs about 8 µs a process: for when the books do not balance. Not here: which of them is accounted for already.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;

use model::untrusted::Untrusted;
use model::usage::ProcessUsage;

use crate::error::HostfsError;
use crate::layout::CgroupLayout;
use crate::proc_dir::{key, pids, stat};
use crate::process::process_cgroup;
use crate::root::HostRoot;
use crate::stat::Stat;

/// Most processes looked at.
pub const RANKED_MAX: usize = 20_000;
/// Most processes told of.
pub const TOLD_MAX: usize = 16;

/// Compares the processes with those of the reading before.
#[derive(Debug)]
pub struct ProcessRanking {
    root: HostRoot,
    layout: CgroupLayout,
    known: HashMap<u32, Stat>,
    left_out: u64,
}

impl ProcessRanking {
    /// Reads all processes once, so that the next reading has something to compare with.
    pub fn new(root: &HostRoot, layout: &CgroupLayout) -> Result<Self, HostfsError> {
        let (root, layout) = (root.clone(), layout.clone());
        let mut ranking = Self { root, layout, known: HashMap::new(), left_out: 0 };
        ranking.spent()?;
        Ok(ranking)
    }

    /// The [`TOLD_MAX`] that used most since the reading before, kernel threads too, the busiest first. One not seen
    /// before is taken to have started since.
    pub fn read(&mut self) -> Result<Vec<ProcessUsage>, HostfsError> {
        let mut spent = self.spent()?;
        spent.sort_unstable_by_key(|(stat, spent_ns)| (std::cmp::Reverse(*spent_ns), stat.pid));
        spent.truncate(TOLD_MAX);
        Ok(spent.iter().map(|(stat, spent_ns)| self.usage(stat, *spent_ns)).collect())
    }

    /// Processes beyond [`RANKED_MAX`] at the last reading.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn spent(&mut self) -> Result<Vec<(Stat, u64)>, HostfsError> {
        let (mut pids, left_out) = pids(&self.root)?;
        self.left_out = left_out + pids.len().saturating_sub(RANKED_MAX) as u64;
        pids.truncate(RANKED_MAX);
        let before = std::mem::take(&mut self.known);
        let (mut spent, mut text) = (Vec::new(), Vec::new());
        for pid in pids {
            let Ok(stat) = stat(&self.root, pid, &mut text) else { continue };
            let known = before.get(&pid).filter(|known| known.start_ns == stat.start_ns);
            let spent_ns = stat.cpu_ns.saturating_sub(known.map_or(0, |known| known.cpu_ns));
            if spent_ns > 0 {
                spent.push((stat, spent_ns));
            }
            self.known.insert(pid, stat);
        }
        Ok(spent)
    }

    fn usage(&self, stat: &Stat, spent_ns: u64) -> ProcessUsage {
        let cgroup = process_cgroup(&self.root, &self.layout, stat.pid);
        let path = cgroup.map(|cgroup| Untrusted::from_bytes(cgroup.path.as_os_str().as_bytes()));
        ProcessUsage {
            process: key(stat),
            cgroup_path: path.unwrap_or_default(),
            name: Untrusted::from_bytes(stat.name()),
            cpu_ns: stat.cpu_ns,
            spent_ns,
        }
    }
}

#[cfg(test)]
mod tests;
