//! Labels as engines tell them, cut to what is kept of them.
//!
//! Not here: what any label means.

use std::collections::HashMap;

use model::runtime::LABELS_MAX;
use model::untrusted::Untrusted;

/// The labels that are kept, sorted by key, and how many are not.
pub(crate) fn bounded_labels(labels: &HashMap<String, String>) -> (Vec<(Untrusted, Untrusted)>, u32) {
    let mut sorted: Vec<_> = labels.iter().collect();
    sorted.sort_unstable();
    let dropped = sorted.len().saturating_sub(LABELS_MAX);
    let kept = sorted.into_iter().take(LABELS_MAX);
    let kept = kept.map(|(key, value)| (Untrusted::new(key), Untrusted::new(value))).collect();
    (kept, u32::try_from(dropped).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_of_many_labels_is_counted_and_sorts_last() {
        let labels =
            (0..LABELS_MAX + 3).map(|number| (format!("key{number:03}"), "value".to_owned())).collect();
        let (kept, dropped) = bounded_labels(&labels);
        assert_eq!((kept.len(), dropped), (LABELS_MAX, 3));
        assert_eq!(kept[LABELS_MAX - 1].0.raw(), format!("key{:03}", LABELS_MAX - 1));
    }
}
