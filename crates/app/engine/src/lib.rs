//! The spine: one loop that folds events into incidents, and what keeps it fed, stored, asked and shown.
//!
//! Not here: what anything means. The fold itself is pure and lives in `fold.rs`; everything else is the rim.

pub mod config;

mod clock;

pub mod fold;

pub mod live;

pub mod control;

pub mod status;

pub mod inventory;

pub mod replay;

pub mod alone;

mod recorder;

pub mod rim;

mod seqs;

mod watchdog;
