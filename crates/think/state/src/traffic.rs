//! What is unusual about who talks to whom: the algorithms, each a small struct of fixed size that takes one event at a time.
//!
//! Not here: which edge or name they belong to, what was learned of it, and what follows from their numbers (`detect`).

pub mod beacon;

mod sizes;

pub mod scan;

pub mod novelty;

pub mod tunnel;

pub mod domain;

pub mod distinct;
