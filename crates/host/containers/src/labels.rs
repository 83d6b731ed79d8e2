//! Labels as engines tell them, cut to what is kept of them: by what they say and never by their order, or whoever chooses the
//! others would choose which ones are seen.
//!
//! Not here: what any label means.

use std::collections::HashMap;

use model::labels::Relevance;
use model::runtime::{LABEL_BYTES_MAX, LABELS_MAX};
use model::untrusted::Untrusted;

/// Most bytes of the value of any other label; those that network policies select by have at most 63.
const OTHER_BYTES_MAX: usize = 128;

/// The labels that are kept, sorted by key, and how many are not.
pub(crate) fn bounded_labels(labels: &HashMap<String, String>) -> (Vec<(Untrusted, Untrusted)>, u32) {
    let mut ranked: Vec<_> = labels.iter().map(|(key, value)| (Relevance::of(key), key, value)).collect();
    ranked.sort_unstable();
    let mut kept: Vec<(Untrusted, Untrusted)> = Vec::new();
    let mut room = LABEL_BYTES_MAX;
    for (relevance, key, value) in &ranked {
        let label = match relevance {
            Relevance::Other => {
                (Untrusted::bounded(key, OTHER_BYTES_MAX), Untrusted::bounded(value, OTHER_BYTES_MAX))
            }
            Relevance::Decisive | Relevance::Relevant => (Untrusted::new(key), Untrusted::new(value)),
        };
        let bytes = label.0.raw().len() + label.1.raw().len();
        if kept.len() < LABELS_MAX && bytes <= room {
            room -= bytes;
            kept.push(label);
        }
    }
    let dropped = u32::try_from(ranked.len() - kept.len()).unwrap_or(u32::MAX);
    kept.sort_unstable();
    (kept, dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(labels: &[(String, String)]) -> (Vec<String>, u32) {
        let (kept, dropped) = bounded_labels(&labels.iter().cloned().collect());
        (kept.iter().map(|(key, _)| key.raw().to_owned()).collect(), dropped)
    }

    fn many(prefix: &str, count: usize, value: &str) -> Vec<(String, String)> {
        (0..count).map(|number| (format!("{prefix}{number:03}"), value.to_owned())).collect()
    }

    #[test]
    fn what_is_dropped_of_many_labels_is_counted() {
        let (kept, dropped) = told(&many("key", LABELS_MAX + 3, "value"));
        assert_eq!((kept.len(), dropped), (LABELS_MAX, 3));
    }

    #[test]
    fn labels_that_sort_first_do_not_hide_whose_a_container_says_it_is() {
        for prefix in ["0", "io.kubernetes.a", "com.docker.a", "org.opencontainers."] {
            let mut labels = many(prefix, 300, "x");
            labels.push(("io.kubernetes.pod.name".into(), "web-0".into()));
            labels.push(("com.docker.swarm.service.name".into(), "shop_web".into()));
            let (kept, dropped) = told(&labels);
            assert!(kept.contains(&"io.kubernetes.pod.name".to_owned()), "{prefix}");
            assert!(kept.contains(&"com.docker.swarm.service.name".to_owned()), "{prefix}");
            assert_eq!((kept.len(), dropped), (LABELS_MAX, 302 - LABELS_MAX as u32));
        }
    }

    #[test]
    fn long_values_take_no_room_of_what_decides() {
        let mut labels = many("org.opencontainers.", 60, &"x".repeat(4_000));
        labels.push(("io.kubernetes.pod.uid".into(), "0b5c".into()));
        let (kept, dropped) = bounded_labels(&labels.into_iter().collect());
        let bytes: usize = kept.iter().map(|(key, value)| key.raw().len() + value.raw().len()).sum();
        assert!(bytes <= LABEL_BYTES_MAX && dropped > 0, "{bytes}");
        assert!(kept.iter().any(|(key, _)| key.raw() == "io.kubernetes.pod.uid"));
    }

    #[test]
    fn kept_labels_are_sorted_by_key_whatever_they_say() {
        let labels: Vec<_> =
            ["zone", "io.kubernetes.pod.name", "app"].map(|key| (key.into(), "1".into())).into();
        assert_eq!(told(&labels), (vec!["app".into(), "io.kubernetes.pod.name".into(), "zone".into()], 0));
    }
}
