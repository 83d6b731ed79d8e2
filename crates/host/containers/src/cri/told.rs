//! From an answer of what serves the kubelet to the facts of `model`: every field may be absent, huge or a lie.
//!
//! Not here: asking (`cri.rs`).

use std::collections::HashMap;
use std::net::IpAddr;

use model::runtime::{ADDRESSES_MAX, ContainerFacts, DIGESTS_MAX, ImageFacts, RunState};
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::View;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cri::kubelet;
use crate::cri::messages::{Container, Image, ListedContainer, ListedPod, Pod, PodMetadata};
use crate::cri::{container_state, pod_state};
use crate::labels::bounded_labels;
use crate::oci;

/// Largest text of details read, in bytes: it holds a specification and the configuration that it was made of.
const INFO_BYTES_MAX: usize = 2 * oci::SPEC_BYTES_MAX;

/// What the facts are about.
#[derive(Clone, Copy)]
pub(crate) struct Base<'a> {
    pub(crate) view: &'a View,
    pub(crate) id: &'a Untrusted,
}

/// The details that engines tell when asked for all: no part of the interface, but the same with those there are.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Info {
    pid: u32,
    /// Name of the sandbox's image.
    pub(crate) image: String,
    privileged: bool,
    config: Option<Config>,
    #[serde(rename = "runtimeSpec")]
    spec: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    linux: Option<Linux>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Linux {
    security_context: Option<Security>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Security {
    privileged: bool,
}

/// The details in an answer; empty when there are none that can be read.
pub(crate) fn info(info: &HashMap<String, String>) -> Info {
    let text = info.get("info").filter(|text| text.len() <= INFO_BYTES_MAX);
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The facts of a container.
pub(crate) fn container(
    base: Base<'_>,
    status: Container,
    listed: &ListedContainer,
    pod: Option<&ListedPod>,
    info: Info,
) -> ContainerFacts {
    let name = status.metadata.unwrap_or_default().name;
    let mut labels = status.labels;
    let of_pod = pod.and_then(|pod| pod.metadata.as_ref()).map(|pod| name_pod(&mut labels, pod));
    labels.entry("io.kubernetes.container.name".into()).or_insert_with(|| name.clone());
    let state = container_state(status.state);
    let refs = [&listed.image_id, &listed.image_ref, &status.image_ref];
    let digest = refs.into_iter().find_map(|text| configuration(text)).unwrap_or_default();
    let mut image_facts = image_facts(&digest, std::slice::from_ref(&status.image_ref));
    if let Some(pod) = pod {
        image_facts.signers = kubelet::verifiers(&pod.annotations, &image_facts.digests);
    }
    ContainerFacts {
        name: Untrusted::new(&of_pod.map_or(name.clone(), |pod| format!("{name}/{pod}"))),
        image: Untrusted::new(&status.image.unwrap_or_default().image),
        digest,
        image_facts,
        state,
        created: instant(status.created_at),
        started: instant(status.started_at),
        log_path: Some(Untrusted::new(&status.log_path)).filter(|path| !path.is_empty()),
        orchestrated: pod.map(|pod| kubelet::word(&pod.annotations)),
        ..facts(base, &labels, info, state)
    }
}

/// The facts of a pod's sandbox, which is a container as well.
pub(crate) fn pod(base: Base<'_>, status: Pod, info: Info, image: &Image) -> ContainerFacts {
    let mut labels = status.labels;
    let of_pod = name_pod(&mut labels, &status.metadata.unwrap_or_default());
    let state = pod_state(status.state);
    let digest = configuration(&image.id).unwrap_or_default();
    let image_facts = image_facts(&digest, &image.repo_digests);
    ContainerFacts {
        name: Untrusted::new(&format!("POD/{of_pod}")),
        image: Untrusted::new(&info.image),
        digest,
        image_facts,
        state,
        created: instant(status.created_at),
        addresses: addresses(&status.network.unwrap_or_default()),
        orchestrated: Some(kubelet::word(&status.annotations)),
        ..facts(base, &labels, info, state)
    }
}

/// What is told of both alike.
fn facts(base: Base<'_>, labels: &HashMap<String, String>, info: Info, state: RunState) -> ContainerFacts {
    let spec = info.spec.and_then(|spec| oci::parse(spec.get().as_bytes()).ok());
    let security = info.config.and_then(|config| config.linux?.security_context).unwrap_or_default();
    let is_privileged = info.privileged || security.privileged;
    let spec_is_told = spec.is_some();
    let mut spec = spec.unwrap_or_default();
    spec.privileges.is_privileged |= is_privileged;
    let (labels, labels_dropped) = bounded_labels(labels);
    ContainerFacts {
        view: base.view.clone(),
        id: base.id.clone(),
        command: spec.command,
        labels,
        labels_dropped,
        pid: Some(info.pid).filter(|pid| *pid > 0 && state != RunState::Exited),
        privileges: spec_is_told.then(|| Box::new(spec.privileges)),
        root: if spec.root.raw().starts_with('/') { spec.root } else { Untrusted::default() },
        cgroup: spec.cgroup,
        ..ContainerFacts::default()
    }
}

/// Writes into the labels to which pod the engine says that it belongs, and gives the pod's name. That overrules the
/// labels that came with the container.
fn name_pod(labels: &mut HashMap<String, String>, pod: &PodMetadata) -> String {
    let told = [("name", &pod.name), ("namespace", &pod.namespace), ("uid", &pod.uid)];
    labels.extend(told.map(|(key, value)| (format!("io.kubernetes.pod.{key}"), value.clone())));
    pod.name.clone()
}

/// The digest of a configuration: `sha256:…`, or its digits alone; `None` for anything else.
fn configuration(text: &str) -> Option<Untrusted> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let is_digest = digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_digest.then(|| Untrusted::new(&format!("sha256:{digits}")))
}

/// Digests of manifests, by which a registry knows the image: `NAME@sha256:…`. Without any it is from none.
fn image_facts(digest: &Untrusted, names: &[String]) -> ImageFacts {
    let told = names.iter().filter_map(|name| name.split_once('@')).map(|(_, digest)| Untrusted::new(digest));
    let mut digests: Vec<_> = told.take(DIGESTS_MAX).collect();
    digests.sort_unstable();
    digests.dedup();
    let is_local = digests.is_empty() && !digest.is_empty();
    ImageFacts { digests, is_local, ..ImageFacts::default() }
}

fn addresses(network: &crate::cri::messages::PodNetwork) -> Vec<IpAddr> {
    let texts = std::iter::once(&network.ip).chain(network.additional.iter().map(|address| &address.id));
    let mut addresses: Vec<IpAddr> = texts.filter_map(|text| text.parse().ok()).take(ADDRESSES_MAX).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Nanoseconds since 1970; 0 stands for never.
fn instant(ns: i64) -> Option<Time> {
    (ns > 0).then(|| Time::from_ns(ns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cri::messages::{ContainerMetadata, ImageName, PodNetwork};
    use model::runtime::OrderedBy;
    use model::view::EngineKind;

    const DIGITS: &str = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

    fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn metadata() -> PodMetadata {
        PodMetadata { name: "web-1".into(), uid: "u1".into(), namespace: "shop".into(), attempt: 0 }
    }

    fn told_of(info_text: &str) -> ContainerFacts {
        let view = View::new(EngineKind::Cri, "/run/x.sock");
        let status = Container {
            metadata: Some(ContainerMetadata { name: "nginx".into() }),
            state: 1,
            created_at: 5,
            image: Some(ImageName { image: "docker.io/library/nginx:1".into() }),
            image_ref: format!("docker.io/library/nginx@sha256:{DIGITS}"),
            labels: labels(&[("io.kubernetes.pod.name", "another"), ("tier", "front")]),
            ..Container::default()
        };
        let listed = ListedContainer { image_ref: format!("sha256:{DIGITS}"), ..ListedContainer::default() };
        let base = Base { view: &view, id: &"c1".into() };
        let pod = ListedPod {
            metadata: Some(metadata()),
            annotations: labels(&[("kubernetes.io/config.source", "file")]),
            ..ListedPod::default()
        };
        container(base, status, &listed, Some(&pod), info(&labels(&[("info", info_text)])))
    }

    #[test]
    fn a_container_has_the_name_of_its_pod_whatever_its_labels_say() {
        let facts = told_of(r#"{"pid": 7, "runtimeSpec": {"process": {"args": ["nginx", "-g"]}}}"#);
        assert_eq!(facts.name.raw(), "nginx/web-1");
        let label = |key| facts.label(key).map(Untrusted::raw);
        assert_eq!(label("io.kubernetes.pod.name"), Some("web-1"));
        assert_eq!(label("io.kubernetes.pod.namespace"), Some("shop"));
        assert_eq!([label("io.kubernetes.container.name"), label("tier")], [Some("nginx"), Some("front")]);
        assert_eq!((facts.pid, facts.command.raw(), facts.started), (Some(7), "nginx -g", None));
        assert_eq!(facts.digest.raw(), format!("sha256:{DIGITS}"));
        assert!(!facts.image_facts.is_local && facts.image_facts.digests.len() == 1);
        assert_eq!(facts.orchestrated.unwrap().ordered_by, OrderedBy::HostFile);
    }

    #[test]
    fn privileged_is_told_in_the_words_of_either_engine() {
        let containerd =
            r#"{"config": {"linux": {"security_context": {"privileged": true}}}, "runtimeSpec": {}}"#;
        let crio = r#"{"privileged": true, "runtimeSpec": {}}"#;
        for text in [containerd, crio] {
            assert!(told_of(text).privileges.unwrap().is_privileged, "{text}");
        }
        assert!(!told_of(r#"{"runtimeSpec": {}}"#).privileges.unwrap().is_privileged);
    }

    #[test]
    fn details_that_cannot_be_read_leave_the_rest() {
        let facts = told_of("{");
        assert_eq!((facts.pid, facts.privileges, facts.name.raw()), (None, None, "nginx/web-1"));
    }

    #[test]
    fn a_sandbox_is_a_container_with_the_addresses_of_its_pod() {
        let view = View::new(EngineKind::Cri, "/run/x.sock");
        let network = PodNetwork {
            ip: "10.1.2.3".into(),
            additional: vec![crate::cri::messages::Id { id: "fd00::1".into() }],
        };
        let status = Pod { metadata: Some(metadata()), network: Some(network), ..Pod::default() };
        let image = Image { id: DIGITS.into(), repo_digests: Vec::new() };
        let details = info(&labels(&[("info", r#"{"pid": 9, "image": "pause:3"}"#)]));
        let facts = pod(Base { view: &view, id: &"p1".into() }, status, details, &image);
        assert_eq!((facts.name.raw(), facts.image.raw(), facts.pid), ("POD/web-1", "pause:3", Some(9)));
        assert_eq!(facts.addresses.len(), 2);
        assert!(facts.image_facts.is_local && facts.state == RunState::Running);
    }
}
