//! Room for one more workload in a map that is bounded.
//!
//! Not here: the bounds, which each map states itself.

use std::collections::BTreeMap;

use model::ids::WorkloadKey;

/// Makes the workload that was seen last the longest ago, by `last`, leave a full map, unless this one is in it already.
pub(crate) fn make_room<T, L: Ord>(
    workloads: &mut BTreeMap<WorkloadKey, T>,
    workload: &WorkloadKey,
    workloads_max: usize,
    last: impl Fn(&T) -> L,
) {
    if workloads.len() < workloads_max || workloads.contains_key(workload) {
        return;
    }
    let oldest = workloads.iter().min_by_key(|(_, value)| last(value));
    if let Some(oldest) = oldest.map(|(workload, _)| workload.clone()) {
        workloads.remove(&oldest);
    }
}
