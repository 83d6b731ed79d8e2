//! What Tidewatch keeps: incidents, approvals, expectations, the audit trail, and recordings of events.
//!
//! Not here: deciding anything. A store that is full or broken says so in a `StoreError`; it never panics.

pub mod error;

pub mod incident_store;

pub mod expectation_store;

pub mod audit;

pub mod run;

pub mod storage;

pub mod place;

pub mod keeper;

pub mod last_known;

pub mod reserve;

mod aside;

mod private_file;

mod stored;

pub mod database;

pub mod memory;

pub mod recording;

pub mod journal;

#[cfg(test)]
mod contract;
