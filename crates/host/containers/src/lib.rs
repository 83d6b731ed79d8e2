//! Clients of container engines: what an engine claims about its containers, in the words of `model`.
//!
//! Not here: keeping a view in step with an engine (`sources`), and any type of the libraries used to talk to one.

pub mod docker;

mod bounded;

pub mod change;

pub mod announced;

pub mod error;

pub mod image;

pub mod swarm;

mod inspected;

mod privileges;

mod labels;

mod grpc;

pub mod notice;

pub mod oci;

pub mod podman;

pub mod containerd;

pub mod cri;
