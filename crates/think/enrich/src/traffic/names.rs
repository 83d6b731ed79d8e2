//! By which name a container looked an address up.
//!
//! Not here: names that nobody asked for, and whether an answer is true: a name is what the container believes it talks to.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::ids::CgroupId;
use model::time::Time;
use model::traffic::DnsMessage;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

/// Most addresses with a name, of all containers and of one; the one that was told the longest ago makes room.
const NAMES_MAX: usize = 32_768;
const NAMES_OF_ONE_MAX: usize = 512;

/// Names by container and address.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Names {
    #[serde(with = "model::pairs")]
    by_container: BTreeMap<CgroupId, BTreeMap<IpAddr, (Untrusted, Time)>>,
    count: usize,
}

impl Names {
    /// Takes in an answer.
    pub(crate) fn learn(&mut self, cgroup: CgroupId, answer: &DnsMessage, at: Time) {
        for address in &answer.addresses {
            self.put(cgroup, *address, (answer.name.clone(), at));
        }
    }

    /// The name by which the container looked the address up last.
    pub(crate) fn of(&self, cgroup: CgroupId, address: IpAddr) -> Option<&Untrusted> {
        self.by_container.get(&cgroup)?.get(&address).map(|(name, _)| name)
    }

    /// The container ended.
    pub(crate) fn forget(&mut self, cgroup: CgroupId) {
        self.count -= self.by_container.remove(&cgroup).map_or(0, |names| names.len());
    }

    fn put(&mut self, cgroup: CgroupId, address: IpAddr, named: (Untrusted, Time)) {
        let names = self.by_container.entry(cgroup).or_default();
        if let Some(known) = names.get_mut(&address) {
            *known = named;
            return;
        }
        if names.len() >= NAMES_OF_ONE_MAX {
            let oldest = names.iter().min_by_key(|(_, (_, at))| *at).map(|(address, _)| *address);
            self.count -= usize::from(oldest.and_then(|address| names.remove(&address)).is_some());
        }
        if self.count < NAMES_MAX {
            names.insert(address, named);
            self.count += 1;
        }
    }
}
