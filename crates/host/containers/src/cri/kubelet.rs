//! What the kubelet and a cluster's admission have written into a pod's annotations: who ordered the pod, and which of its
//! images were verified.
//!
//! Not here: labels (`told.rs`), and asking the API server, which alone could confirm any of it.

use std::collections::HashMap;

use model::runtime::{Orchestrated, OrderedBy};
use model::untrusted::Untrusted;
use model::view::Standing;
use serde_json::Value;

/// The kubelet writes it over whatever a pod's author gave: `api`, `file` or `http`.
const SOURCE: &str = "kubernetes.io/config.source";
/// Kyverno's webhook lets nobody else write it: `{"IMAGE@sha256:…": "pass"}`, `true` in older versions.
const VERIFIED: &str = "kyverno.io/verify-images";
const VERIFIER: &str = "kyverno, an admission of the cluster";
const VERIFIED_BYTES_MAX: usize = 64 * 1024;

/// Annotations of a pod's sandbox.
pub(crate) type Annotations = HashMap<String, String>;

/// The kubelet's word on a pod. One who speaks to the runtime past the kubelet may write the same.
pub(crate) fn word(annotations: &Annotations) -> Orchestrated {
    let (standing, ordered_by, reason) = match annotations.get(SOURCE).map(String::as_str) {
        Some("api") => (Standing::Present, OrderedBy::Orchestrator, "ordered by the API server"),
        Some("file") => {
            (Standing::Present, OrderedBy::HostFile, "a static pod: ordered by a file on this host")
        }
        Some("http") => {
            (Standing::Present, OrderedBy::Address, "a static pod: ordered by an address that is asked")
        }
        Some(_) | None => (Standing::Silent, OrderedBy::Untold, "no kubelet says who ordered it"),
    };
    Orchestrated { name: Untrusted::new("kubernetes"), standing, reason: Untrusted::new(reason), ordered_by }
}

/// Who verified the image with one of these digests. Only a pod that came through the API server passed an admission.
pub(crate) fn verifiers(annotations: &Annotations, digests: &[Untrusted]) -> Vec<Untrusted> {
    let told = annotations.get(VERIFIED).filter(|text| text.len() <= VERIFIED_BYTES_MAX);
    let Some(told) = told.filter(|_| word(annotations).ordered_by == OrderedBy::Orchestrator) else {
        return Vec::new();
    };
    // Nonsense verifies nothing.
    let images: HashMap<String, Value> = serde_json::from_str(told).unwrap_or_default();
    let is_verified = images.iter().any(|(image, outcome)| {
        let is_this =
            image.rsplit_once('@').is_some_and(|(_, digest)| digests.iter().any(|it| it.raw() == digest));
        is_this && (*outcome == "pass" || *outcome == true)
    });
    is_verified.then(|| Untrusted::new(VERIFIER)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(pairs: &[(&str, &str)]) -> Annotations {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_static_pod_is_told_from_one_of_the_api_server_and_from_one_of_nobody() {
        let told = |pairs: &[(&str, &str)]| {
            let word = word(&annotations(pairs));
            (word.standing, word.ordered_by)
        };
        assert_eq!(told(&[(SOURCE, "api")]), (Standing::Present, OrderedBy::Orchestrator));
        assert_eq!(told(&[(SOURCE, "file")]), (Standing::Present, OrderedBy::HostFile));
        assert_eq!(told(&[(SOURCE, "http")]), (Standing::Present, OrderedBy::Address));
        assert_eq!(told(&[(SOURCE, "API")]), (Standing::Silent, OrderedBy::Untold));
        assert_eq!(told(&[]), (Standing::Silent, OrderedBy::Untold));
    }

    #[test]
    fn an_image_is_verified_by_its_digest_and_by_an_admission_only() {
        let ours = [Untrusted::new("sha256:aa"), Untrusted::new("sha256:bb")];
        let count =
            |source, told: &str| verifiers(&annotations(&[(SOURCE, source), (VERIFIED, told)]), &ours).len();
        assert_eq!(count("api", r#"{"r/x@sha256:00":"fail","r/x@sha256:bb":"pass"}"#), 1);
        assert_eq!(count("api", r#"{"r/x@sha256:aa":true}"#), 1);
        for told in [
            r#"{"r/x@sha256:aa":"fail"}"#,
            r#"{"r/x@sha256:aa":"skip"}"#,
            r#"{"r/x@sha256:cc":"pass"}"#,
            r#"{"r/x:aa":"pass"}"#,
            r#"["r/x@sha256:aa"]"#,
            "",
        ] {
            assert_eq!(count("api", told), 0, "{told}");
        }
        assert_eq!(count("file", r#"{"r/x@sha256:aa":"pass"}"#), 0, "no admission saw it");
        let long = format!(r#"{{"r/x@sha256:aa":"pass","{}":1}}"#, "x".repeat(VERIFIED_BYTES_MAX));
        assert_eq!(count("api", &long), 0);
    }
}
