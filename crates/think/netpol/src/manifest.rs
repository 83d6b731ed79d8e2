//! The form of a NetworkPolicy as Kubernetes' API documents it (networking.k8s.io/v1), and of lists of them.
//!
//! Fields that Kubernetes knows elsewhere (`status`, annotations) are read over; one that it does not know in a rule is
//! a mistake. Not here: what it means (`import.rs`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

/// One document.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    #[serde(default)]
    pub(crate) api_version: Option<Spanned<String>>,
    pub(crate) kind: Spanned<String>,
    #[serde(default)]
    pub(crate) metadata: Metadata,
    #[serde(default)]
    pub(crate) spec: Option<Spec>,
    /// Of a list.
    #[serde(default)]
    pub(crate) items: Vec<Document>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Metadata {
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) namespace: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Spec {
    #[serde(default)]
    pub(crate) pod_selector: Option<Selector>,
    #[serde(default)]
    pub(crate) policy_types: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(crate) ingress: Option<Vec<Ingress>>,
    #[serde(default)]
    pub(crate) egress: Option<Vec<Egress>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ingress {
    #[serde(default)]
    pub(crate) from: Option<Vec<Spanned<Peer>>>,
    #[serde(default)]
    pub(crate) ports: Option<Vec<Spanned<Port>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Egress {
    #[serde(default)]
    pub(crate) to: Option<Vec<Spanned<Peer>>>,
    #[serde(default)]
    pub(crate) ports: Option<Vec<Spanned<Port>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Peer {
    #[serde(default)]
    pub(crate) pod_selector: Option<Selector>,
    #[serde(default)]
    pub(crate) namespace_selector: Option<Selector>,
    #[serde(default)]
    pub(crate) ip_block: Option<IpBlock>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IpBlock {
    pub(crate) cidr: Spanned<String>,
    #[serde(default)]
    pub(crate) except: Option<Vec<Spanned<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Port {
    #[serde(default)]
    pub(crate) protocol: Option<String>,
    #[serde(default)]
    pub(crate) port: Option<PortName>,
    #[serde(default)]
    pub(crate) end_port: Option<i64>,
}

/// A port, or the name that a pod gives one.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum PortName {
    Number(i64),
    Name(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Selector {
    #[serde(default)]
    pub(crate) match_labels: Option<BTreeMap<String, Spanned<String>>>,
    #[serde(default)]
    pub(crate) match_expressions: Option<Vec<Expression>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expression {
    pub(crate) key: String,
    pub(crate) operator: Spanned<String>,
    #[serde(default)]
    pub(crate) values: Option<Vec<String>>,
}
