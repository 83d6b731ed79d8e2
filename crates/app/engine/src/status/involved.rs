//! Which open incidents name which container.
//!
//! Not here: what they say (`host.rs`).

use std::collections::BTreeMap;

use model::finding::ContainerRef;
use model::identity::Container;
use model::ids::CgroupId;
use model::incident::{Incident, IncidentId, Severity};
use model::time::Time;
use serde::{Deserialize, Serialize};

use crate::fold::Fold;

/// Most incidents told of one container, the most urgent first.
const PER_CONTAINER_MAX: usize = 4;

/// An open incident that names a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Involved {
    /// How urgent.
    pub severity: Severity,
    /// Its name.
    pub id: IncidentId,
}

/// The open incidents by the container they name: numbers of cgroups are used again, so its start is compared too.
#[derive(Debug, Default)]
pub(crate) struct Involvements(BTreeMap<(CgroupId, Time), Vec<Involved>>);

impl Involvements {
    pub(crate) fn of(fold: &Fold) -> Self {
        let mut all = Self::default();
        fold.triage().open_incidents().for_each(|incident| all.add(incident));
        all
    }

    pub(crate) fn on(&self, container: &Container) -> Vec<Involved> {
        let key = (container.key.cgroup, container.key.started);
        let mut involved = self.0.get(&key).cloned().unwrap_or_default();
        involved.sort_by(|a, b| b.cmp(a));
        involved.truncate(PER_CONTAINER_MAX);
        involved
    }

    fn add(&mut self, incident: &Incident) {
        let found = incident.findings.iter().filter_map(|finding| finding.container.as_ref());
        for ContainerRef { cgroup_id, started, .. } in incident.container.iter().chain(found) {
            let involved = Involved { severity: incident.severity, id: incident.id.clone() };
            let known = self.0.entry((*cgroup_id, *started)).or_default();
            if !known.contains(&involved) {
                known.push(involved);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::incidents::IncidentBuilder;

    use super::*;

    #[test]
    fn an_incident_is_told_once_of_each_container_that_it_names() {
        let incident = IncidentBuilder::attack().build();
        let named = incident.container.clone().unwrap();
        let mut all = Involvements::default();
        all.add(&incident);
        all.add(&incident);
        let told: Vec<_> = all.0.into_iter().collect();
        let involved = Involved { severity: incident.severity, id: incident.id };
        assert_eq!(told, [((named.cgroup_id, named.started), vec![involved])]);
    }
}
