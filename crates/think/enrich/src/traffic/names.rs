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

/// Most addresses with a name, of all containers and of one; the one that was told the longest ago makes room, and of all the
/// older half of the container that has most.
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
        if self.count >= NAMES_MAX {
            self.make_room();
        }
        let names = self.by_container.entry(cgroup).or_default();
        if let Some(known) = names.get_mut(&address) {
            *known = named;
            return;
        }
        if names.len() >= NAMES_OF_ONE_MAX {
            let oldest = names.iter().min_by_key(|(_, (_, at))| *at).map(|(address, _)| *address);
            self.count -= usize::from(oldest.and_then(|address| names.remove(&address)).is_some());
        }
        names.insert(address, named);
        self.count += 1;
    }

    /// Who has most names loses the older half: those of others are not crowded out.
    fn make_room(&mut self) {
        let Some(most) = self.by_container.values_mut().max_by_key(|names| names.len()) else { return };
        let mut times: Vec<Time> = most.values().map(|(_, at)| *at).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let (before, median) = (most.len(), *median);
        most.retain(|_, (_, at)| *at > median);
        self.count -= before - most.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_that_look_up_very_much_do_not_crowd_out_the_next() {
        let mut names = Names::default();
        for number in 0..40_000_u32 {
            let address = IpAddr::from(number.to_be_bytes());
            names.put(
                CgroupId(u64::from(number) / 500),
                address,
                ("x.example".into(), Time::from_secs(number.into())),
            );
        }
        let address = IpAddr::from([203, 0, 113, 7]);
        names.put(CgroupId(1_000), address, ("calm.example".into(), Time::from_secs(50_000)));
        assert_eq!(names.of(CgroupId(1_000), address).map(Untrusted::raw), Some("calm.example"));
        let held: usize = names.by_container.values().map(BTreeMap::len).sum();
        assert!(held == names.count && held <= NAMES_MAX, "{held} {}", names.count);
    }
}
