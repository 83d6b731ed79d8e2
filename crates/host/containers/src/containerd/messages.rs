//! containerd's messages, as far as they are read: the numbers are those of its public interface.
//!
//! Not here: the fields that nobody reads, which are skipped.

use std::collections::HashMap;

use prost::Message;

use crate::grpc::{Any, Timestamp};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct VersionAnswer {
    #[prost(string, tag = "1")]
    pub(crate) version: String,
}

/// The question of namespaces, tasks and containers alike: all of them.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Filter {
    #[prost(string, repeated, tag = "1")]
    pub(crate) filters: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Namespaces {
    #[prost(message, repeated, tag = "1")]
    pub(crate) namespaces: Vec<Named>,
}

/// Whatever has its name or id first: namespaces, and questions for one thing.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Named {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContainerAnswer {
    #[prost(message, optional, tag = "1")]
    pub(crate) container: Option<Container>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Container {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(map = "string, string", tag = "2")]
    pub(crate) labels: HashMap<String, String>,
    #[prost(string, tag = "3")]
    pub(crate) image: String,
    #[prost(message, optional, tag = "5")]
    pub(crate) spec: Option<Any>,
    #[prost(string, tag = "6")]
    pub(crate) snapshotter: String,
    #[prost(string, tag = "7")]
    pub(crate) snapshot_key: String,
    #[prost(message, optional, tag = "8")]
    pub(crate) created_at: Option<Timestamp>,
}

/// Only the id of a container in a list: the rest of each is not decoded.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ListedAnswer {
    #[prost(message, optional, tag = "1")]
    pub(crate) container: Option<Named>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Tasks {
    #[prost(message, repeated, tag = "1")]
    pub(crate) tasks: Vec<Task>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TaskAnswer {
    #[prost(message, optional, tag = "1")]
    pub(crate) process: Option<Task>,
}

/// A container's process. containerd leaves `container_id` empty and writes the container's id into `id`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Task {
    #[prost(string, tag = "2")]
    pub(crate) id: String,
    #[prost(uint32, tag = "3")]
    pub(crate) pid: u32,
    #[prost(int32, tag = "4")]
    pub(crate) status: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ImageAnswer {
    #[prost(message, optional, tag = "1")]
    pub(crate) image: Option<Image>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Image {
    #[prost(message, optional, tag = "3")]
    pub(crate) target: Option<Descriptor>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Descriptor {
    #[prost(string, tag = "2")]
    pub(crate) digest: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContentAnswer {
    #[prost(message, optional, tag = "1")]
    pub(crate) info: Option<ContentInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContentInfo {
    #[prost(int64, tag = "2")]
    pub(crate) size: i64,
    #[prost(map = "string, string", tag = "5")]
    pub(crate) labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReadQuestion {
    #[prost(string, tag = "1")]
    pub(crate) digest: String,
    #[prost(int64, tag = "2")]
    pub(crate) offset: i64,
    #[prost(int64, tag = "3")]
    pub(crate) size: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReadAnswer {
    #[prost(int64, tag = "1")]
    pub(crate) offset: i64,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotQuestion {
    #[prost(string, tag = "1")]
    pub(crate) snapshotter: String,
    #[prost(string, tag = "2")]
    pub(crate) key: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotAnswer {
    #[prost(message, optional, tag = "1")]
    pub(crate) info: Option<Snapshot>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Snapshot {
    #[prost(string, tag = "2")]
    pub(crate) parent: String,
}

/// What is announced, and what it is about.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Envelope {
    #[prost(message, optional, tag = "1")]
    pub(crate) timestamp: Option<Timestamp>,
    #[prost(string, tag = "2")]
    pub(crate) namespace: String,
    #[prost(string, tag = "3")]
    pub(crate) topic: String,
    #[prost(message, optional, tag = "4")]
    pub(crate) event: Option<Any>,
}

/// The end of a process; `id` is the container's own for its first one.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TaskExit {
    #[prost(string, tag = "1")]
    pub(crate) container_id: String,
    #[prost(string, tag = "2")]
    pub(crate) id: String,
}
