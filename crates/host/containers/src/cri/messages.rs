//! Messages of the kubelet's interface to runtimes (`runtime.v1`), as far as they are used: the numbers are its own.
//!
//! Not here: the fields that nobody reads or sets.

use std::collections::HashMap;

use prost::Message;

/// The number of `NODE` among the modes of a namespace.
pub(crate) const OF_NODE: i32 = 2;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct VersionAnswer {
    #[prost(string, tag = "2")]
    pub(crate) runtime_name: String,
}

/// A question about all of something, or about the one with an id.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ListQuestion {
    #[prost(message, optional, tag = "1")]
    pub(crate) filter: Option<Id>,
}

/// Whatever has nothing but an id: filters, questions and the answers to orders.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Id {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StatusQuestion {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(bool, tag = "2")]
    pub(crate) verbose: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PodMetadata {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) uid: String,
    #[prost(string, tag = "3")]
    pub(crate) namespace: String,
    #[prost(uint32, tag = "4")]
    pub(crate) attempt: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PodList {
    #[prost(message, repeated, tag = "1")]
    pub(crate) items: Vec<ListedPod>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ListedPod {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) metadata: Option<PodMetadata>,
    #[prost(int32, tag = "3")]
    pub(crate) state: i32,
    #[prost(map = "string, string", tag = "6")]
    pub(crate) annotations: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PodAnswer {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Pod>,
    #[prost(map = "string, string", tag = "2")]
    pub(crate) info: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Pod {
    #[prost(message, optional, tag = "2")]
    pub(crate) metadata: Option<PodMetadata>,
    #[prost(int32, tag = "3")]
    pub(crate) state: i32,
    #[prost(int64, tag = "4")]
    pub(crate) created_at: i64,
    #[prost(message, optional, tag = "5")]
    pub(crate) network: Option<PodNetwork>,
    #[prost(map = "string, string", tag = "7")]
    pub(crate) labels: HashMap<String, String>,
    #[prost(map = "string, string", tag = "8")]
    pub(crate) annotations: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PodNetwork {
    #[prost(string, tag = "1")]
    pub(crate) ip: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) additional: Vec<Id>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContainerList {
    #[prost(message, repeated, tag = "1")]
    pub(crate) containers: Vec<ListedContainer>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ListedContainer {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) pod_id: String,
    #[prost(string, tag = "5")]
    pub(crate) image_ref: String,
    #[prost(int32, tag = "6")]
    pub(crate) state: i32,
    #[prost(string, tag = "10")]
    pub(crate) image_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContainerAnswer {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Container>,
    #[prost(map = "string, string", tag = "2")]
    pub(crate) info: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Container {
    #[prost(message, optional, tag = "2")]
    pub(crate) metadata: Option<ContainerMetadata>,
    #[prost(int32, tag = "3")]
    pub(crate) state: i32,
    #[prost(int64, tag = "4")]
    pub(crate) created_at: i64,
    #[prost(int64, tag = "5")]
    pub(crate) started_at: i64,
    #[prost(message, optional, tag = "8")]
    pub(crate) image: Option<ImageName>,
    #[prost(string, tag = "9")]
    pub(crate) image_ref: String,
    #[prost(map = "string, string", tag = "12")]
    pub(crate) labels: HashMap<String, String>,
    #[prost(string, tag = "15")]
    pub(crate) log_path: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContainerMetadata {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ImageName {
    #[prost(string, tag = "1")]
    pub(crate) image: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ImageQuestion {
    #[prost(message, optional, tag = "1")]
    pub(crate) image: Option<ImageName>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ImageAnswer {
    #[prost(message, optional, tag = "1")]
    pub(crate) image: Option<Image>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Image {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, repeated, tag = "3")]
    pub(crate) repo_digests: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RunPod {
    #[prost(message, optional, tag = "1")]
    pub(crate) config: Option<PodConfig>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PodConfig {
    #[prost(message, optional, tag = "1")]
    pub(crate) metadata: Option<PodMetadata>,
    #[prost(string, tag = "3")]
    pub(crate) log_directory: String,
    #[prost(map = "string, string", tag = "6")]
    pub(crate) labels: HashMap<String, String>,
    #[prost(message, optional, tag = "8")]
    pub(crate) linux: Option<PodLinux>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PodLinux {
    #[prost(string, tag = "1")]
    pub(crate) cgroup_parent: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) security: Option<PodSecurity>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PodSecurity {
    #[prost(message, optional, tag = "1")]
    pub(crate) namespaces: Option<NamespaceModes>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct NamespaceModes {
    #[prost(int32, tag = "1")]
    pub(crate) network: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CreateContainer {
    #[prost(string, tag = "1")]
    pub(crate) pod_id: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    pub(crate) pod: Option<PodConfig>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    pub(crate) metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "2")]
    pub(crate) image: Option<ImageName>,
    #[prost(string, repeated, tag = "3")]
    pub(crate) command: Vec<String>,
    #[prost(map = "string, string", tag = "9")]
    pub(crate) labels: HashMap<String, String>,
    #[prost(message, optional, tag = "15")]
    pub(crate) linux: Option<ContainerLinux>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContainerLinux {
    #[prost(message, optional, tag = "2")]
    pub(crate) security: Option<ContainerSecurity>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContainerSecurity {
    #[prost(message, optional, tag = "3")]
    pub(crate) namespaces: Option<NamespaceModes>,
}
