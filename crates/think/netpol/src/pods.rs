//! How the pods of a workload are selected: by labels that its containers have, else by one that is made up.
//!
//! Labels come from whoever starts containers: what is no label in Kubernetes' sense selects nothing here.

use std::collections::BTreeMap;

use model::identity::Container;
use model::ids::WorkloadKey;
use model::runtime::ContainerFacts;
use sha2::{Digest, Sha256};

/// The label that names a pod's namespace on its containers.
pub const NAMESPACE_LABEL: &str = "io.kubernetes.pod.namespace";

/// Longest label, name of a namespace, and name made here, in bytes (RFC 1123).
const LABEL_BYTES_MAX: usize = 63;
/// Longest stem of a made-up name: a dash and six digits follow it where two would be called alike.
const STEM_BYTES_MAX: usize = 50;

/// Labels by which pods are commonly told apart, and what Compose and Swarm call their services.
const TELLING: [&str; 9] = [
    "app",
    "app.kubernetes.io/component",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/name",
    "com.docker.compose.project",
    "com.docker.compose.service",
    "com.docker.swarm.service.name",
    "k8s-app",
    "tier",
];

/// The pods of one workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pods {
    /// Their namespace; `None` when they are in none, or it is not known.
    pub namespace: Option<String>,
    /// The labels that they have.
    pub labels: BTreeMap<String, String>,
}

impl Pods {
    /// What a container's labels tell; `None` when none of them tells it apart.
    pub fn of(container: &Container) -> Option<Self> {
        let facts = container.facts.known()?;
        let namespace = label(facts, NAMESPACE_LABEL).filter(|name| is_dns_label(name));
        let told = TELLING.iter().filter_map(|key| Some(((*key).to_owned(), label(facts, key)?.to_owned())));
        let mut labels: BTreeMap<String, String> = told.collect();
        if labels.is_empty() {
            let name = label(facts, "io.kubernetes.container.name")?;
            labels.insert("app".to_owned(), name.to_owned());
        }
        Some(Self { namespace: namespace.map(str::to_owned), labels })
    }

    /// Pods with a made-up label, where a workload has none that could select it.
    pub(crate) fn called(name: &str) -> Self {
        Self { namespace: None, labels: BTreeMap::from([("app".to_owned(), name.to_owned())]) }
    }

    /// A name for their policy.
    pub(crate) fn stem(&self) -> String {
        let values: Vec<&str> = self.labels.values().map(String::as_str).collect();
        dns_label(&values.join("-"))
    }
}

fn label<'a>(facts: &'a ContainerFacts, key: &str) -> Option<&'a str> {
    facts.label(key).map(model::untrusted::Untrusted::raw).filter(|value| is_label_value(value))
}

/// A name that no other workload is called by, as long as no other has the same short one.
pub(crate) fn stem(workload: &WorkloadKey) -> String {
    dns_label(workload.short())
}

/// The stem, told apart from others of that stem.
pub(crate) fn distinct(stem: &str, whole: &str) -> String {
    let digest = Sha256::digest(whole);
    let digits: String = digest.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
    format!("{stem}-{digits}")
}

/// Text as a name in RFC 1123: lower-case letters, digits and dashes, a letter or digit at both ends.
fn dns_label(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' | '0'..='9' => name.push(c),
            _ if name.ends_with('-') || name.is_empty() => {}
            _ => name.push('-'),
        }
        if name.len() >= STEM_BYTES_MAX {
            break;
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() { "workload".to_owned() } else { name.to_owned() }
}

fn is_dns_label(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    is_label_value(text) && text.bytes().all(is_fine)
}

/// A value of a label: letters, digits, dashes, dots and underscores, a letter or digit at both ends. An empty one
/// would select nothing worth naming.
fn is_label_value(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let ends = [text.bytes().next(), text.bytes().next_back()];
    text.len() <= LABEL_BYTES_MAX
        && text.bytes().all(is_inner)
        && ends.into_iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_whatever_they_are_made_from() {
        for (text, name) in [
            ("compose:shop/web", "compose-shop-web"),
            ("registry:5000/Team/App", "registry-5000-team-app"),
            ("\u{1b}[2J", "2j"),
            ("日本", "workload"),
            ("", "workload"),
            ("a: b\n- c", "a-b-c"),
        ] {
            assert_eq!(dns_label(text), name);
        }
        let long = distinct(&dns_label(&"x/".repeat(500)), "x");
        assert!(long.len() <= LABEL_BYTES_MAX && is_dns_label(&long), "{long}");
    }

    #[test]
    fn what_is_no_label_selects_nothing() {
        for (text, fits) in
            [("web", true), ("v1.2_x", true), ("", false), ("-a", false), ("a b", false), ("a\"", false)]
        {
            assert_eq!(is_label_value(text), fits, "{text}");
        }
        assert!(!is_label_value(&"x".repeat(64)));
    }
}
