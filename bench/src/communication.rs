//! How well communication is judged.
//!
//! Not here: excess (`excess.rs`).

pub(crate) mod public;
