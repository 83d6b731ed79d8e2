//! The inventory as it is shown: every container with what each view says about it.
//!
//! Not here: how it is kept (`enrich`), and how it is drawn (`report`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::approval::Approval;
use crate::identity::Container;
use crate::ids::{NodeId, WorkloadKey};
use crate::incident::{IncidentId, Severity};
use crate::novelty::Provenance;
use crate::runtime::ContainerFacts;
use crate::time::Time;
use crate::untrusted::Untrusted;
use crate::view::Row;

/// All containers of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryView {
    /// The host.
    pub node: NodeId,
    /// Time of the latest event that is in it.
    pub at: Time,
    /// Containers that run and those that ended in the last minute: what contradicts first, then ghosts, then the others.
    pub containers: Vec<ContainerView>,
    /// Things that were not taken in because a limit was reached.
    pub dropped: u64,
}

/// One container and what is said about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerView {
    /// The container.
    pub container: Arc<Container>,
    /// Its workload.
    pub workload: WorkloadKey,
    /// What people said about its image and workload.
    pub provenance: Provenance,
    /// What every witness says about it: the rows of its tally, and that of policy.
    pub rows: Vec<Row>,
    /// Approvals in force that are about it, oldest first.
    pub approvals: Vec<Approval>,
    /// Open incidents that name it, most urgent first.
    pub incidents: Vec<NamedIn>,
}

/// An open incident that names a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedIn {
    /// Its name.
    pub id: IncidentId,
    /// How urgent.
    pub severity: Severity,
    /// What happens, for people.
    pub summary: String,
}

impl ContainerView {
    /// What an engine claims about it, when one does.
    pub fn facts(&self) -> Option<&ContainerFacts> {
        self.container.facts.known().map(AsRef::as_ref)
    }

    /// Every engine's claim, first that of the engine which names it.
    pub fn claims(&self) -> impl Iterator<Item = &ContainerFacts> {
        self.facts().into_iter().chain(self.container.others.iter().map(AsRef::as_ref))
    }

    /// The image as it was asked for, by whoever tells it.
    pub fn image(&self) -> Option<&Untrusted> {
        self.claims().map(|facts| &facts.image).find(|image| !image.is_empty())
    }

    /// Its root directory: the kernel's word before the engines'.
    pub fn root(&self) -> Option<&Untrusted> {
        let setup = self.container.setup.known().filter(|setup| setup.has_own_root);
        let claimed = self.claims().map(|facts| &facts.root);
        setup.map(|setup| &setup.root).into_iter().chain(claimed).find(|root| !root.is_empty())
    }

    /// Its first process by the host's count: the kernel's word before the engines'.
    pub fn pid(&self) -> Option<u32> {
        let init = self.container.init.map(|init| init.pid);
        init.or_else(|| self.claims().find_map(|facts| facts.pid))
    }
}
