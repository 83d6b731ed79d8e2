//! Starts and ends of containers by workload: what restarts in a loop, and what starts in crowds.
//!
//! Not here: whether that is bad (`detect`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::event::Exit;
use model::identity::Container;
use model::ids::{CgroupId, WorkloadKey};
use model::time::Time;
use serde::{Deserialize, Serialize};

use crate::room::make_room;

/// Most workloads remembered; the one that ended longest ago makes room.
const WORKLOADS_MAX: usize = 4_096;
/// Ends remembered of one workload.
const ENDS_MAX: usize = 16;
/// How long an end is remembered.
const ENDS_KEPT: Duration = Duration::from_secs(600);

/// One container's end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// When.
    pub at: Time,
    /// How long it lived.
    pub lived: Duration,
    /// Whether it failed: its first process ended with a status other than 0, or by a signal.
    pub failed: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Lives {
    ends: BTreeMap<WorkloadKey, VecDeque<End>>,
    /// How first processes ended, until their container's end is told.
    exits: BTreeMap<CgroupId, bool>,
}

impl Lives {
    /// A process ended; only a container's first one tells how the container did.
    pub(crate) fn exited(&mut self, container: &Container, exit: &Exit) {
        if container.init != Some(exit.process) {
            return;
        }
        let failed = exit.status != 0 || exit.signal != 0;
        // Its engine may have told of its end before the kernel told how it ended.
        if let Some(at) = container.ended {
            let ends = self.ends.get_mut(&container.workload()).into_iter().flatten();
            ends.filter(|end| end.at == at).for_each(|end| end.failed |= failed);
        } else if self.exits.len() < WORKLOADS_MAX {
            self.exits.insert(exit.cgroup, failed);
        }
    }

    /// A container ended.
    pub(crate) fn ended(&mut self, container: &Arc<Container>) {
        let Some(at) = container.ended else { return };
        let failed = self.exits.remove(&container.key.cgroup).unwrap_or(false);
        let workload = container.workload();
        make_room(&mut self.ends, &workload, WORKLOADS_MAX, |ends| ends.back().map(|end| end.at));
        let ends = self.ends.entry(workload).or_default();
        while ends.front().is_some_and(|end| at.since(end.at) > ENDS_KEPT) || ends.len() >= ENDS_MAX {
            ends.pop_front();
        }
        ends.push_back(End { at, lived: at.since(container.key.started), failed });
    }

    /// Ends of a workload within the last `span`, oldest first.
    pub(crate) fn ends(
        &self,
        workload: &WorkloadKey,
        now: Time,
        span: Duration,
    ) -> impl Iterator<Item = &End> {
        let ends = self.ends.get(workload).into_iter().flatten();
        ends.filter(move |end| now.since(end.at) <= span)
    }
}
