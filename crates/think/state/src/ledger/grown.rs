//! CPU that services of the host and processes of the engines used between two readings; only of those in both.
//!
//! Not here: sums (`lines.rs`) and ranks (`spenders.rs`).

use std::collections::BTreeMap;

use model::ids::ProcessKey;
use model::untrusted::Untrusted;
use model::usage::{EngineUsage, HostUsage, ServiceUsage};

/// Each process of an engine with the CPU it used since, in nanoseconds.
pub(super) fn engines<'a>(
    now: &'a HostUsage,
    last: &HostUsage,
) -> impl Iterator<Item = (&'a EngineUsage, u64)> {
    let before: BTreeMap<ProcessKey, u64> =
        last.engines.iter().map(|engine| (engine.process, engine.cpu_ns)).collect();
    let grown = move |engine: &'a EngineUsage| {
        Some((engine, engine.cpu_ns.saturating_sub(*before.get(&engine.process)?)))
    };
    now.engines.iter().filter_map(grown)
}

/// Each service with the CPU it used since, in nanoseconds; none when it was started anew.
pub(super) fn services<'a>(
    now: &'a HostUsage,
    last: &'a HostUsage,
) -> impl Iterator<Item = (&'a ServiceUsage, u64)> {
    let before: BTreeMap<&Untrusted, u64> =
        last.services.iter().map(|service| (&service.path, service.cpu_ns)).collect();
    let grown = move |service: &'a ServiceUsage| {
        Some((service, service.cpu_ns.saturating_sub(*before.get(&service.path)?)))
    };
    now.services.iter().filter_map(grown)
}
