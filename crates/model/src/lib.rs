//! The nouns of Tidewatch, one word per thing: what the rooms hand to each other.
//!
//! Not here: any input or output, any clock, any decision. Everything is plain data, bounded, and serialisable.

pub mod time;

pub mod ids;

mod shape;

pub mod untrusted;

pub mod fact;

pub mod confines;

pub mod event;

pub mod program;

mod installer;

pub mod interpreter;

pub mod usage;

pub mod privilege;

pub mod authority;

pub mod setup;

pub mod view;

pub mod labels;

pub mod runtime;

pub mod coverage;

pub mod integrity;

pub mod approval;

pub mod expectation;

pub mod pairs;

pub mod traffic;

pub mod graph;

pub mod identity;

pub mod novelty;

pub mod finding;

pub mod incident;

pub mod inventory;
