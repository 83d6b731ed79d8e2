//! Kubernetes' network policies (networking.k8s.io/v1): read as what may talk to what, and written from what does.
//!
//! Not here: files, sockets, and whether a policy holds (`state`).

pub mod problem;

mod yaml;

mod manifest;

pub mod import;

pub mod pods;

pub mod suggest;
