//! Builders of model values and fakes for tests; a dev-dependency only.
//!
//! Not here: anything a shipped crate uses.

pub mod incidents;

pub mod expectations;

pub mod host_tree;

pub mod scene;

pub mod traffic;

pub mod provenance;

pub mod inventory;
