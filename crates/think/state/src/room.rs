//! Room for one more entry in a map that is bounded.
//!
//! Not here: the bounds, which each map states itself.

use std::collections::BTreeMap;

/// Makes the entry that was seen last the longest ago, by `last`, leave a full map, unless this one is in it already.
pub(crate) fn make_room<K: Ord + Clone, T, L: Ord>(
    entries: &mut BTreeMap<K, T>,
    key: &K,
    entries_max: usize,
    last: impl Fn(&T) -> L,
) {
    if entries.len() < entries_max || entries.contains_key(key) {
        return;
    }
    let oldest = entries.iter().min_by_key(|(_, value)| last(value));
    if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
        entries.remove(&oldest);
    }
}
