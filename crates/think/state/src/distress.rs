//! Harm to the host as a whole: what its tasks wait for, and what engines spend on nobody's behalf.
//!
//! Not here: who causes it (`detect`).

use std::time::Duration;

use crate::waits::Resource;
use crate::{CostClass, State, booked_cores};

/// Pressure on the host from which it counts as in distress (ALGORITHMS §1.3): some task waited for CPU, or all tasks
/// for memory or block I/O, for that share of the last 10 s, in percent.
const CPU_SOME_PERCENT: f32 = 20.0;
const MEMORY_FULL_PERCENT: f32 = 5.0;
const IO_FULL_PERCENT: f32 = 20.0;

impl State {
    /// What tasks on the host wait for, and for what share of time in percent, when that is harm.
    pub fn distress(&self) -> Option<(Resource, f32)> {
        let pressures = &self.host()?.pressures;
        let memory = pressures.memory.map(|it| it.full_avg10_percent).filter(|it| *it >= MEMORY_FULL_PERCENT);
        let io = pressures.io.map(|it| it.full_avg10_percent).filter(|it| *it >= IO_FULL_PERCENT);
        let cpu = pressures.cpu.map(|it| it.some_avg10_percent).filter(|it| *it >= CPU_SOME_PERCENT);
        let memory = memory.map(|percent| (Resource::Memory, percent));
        memory.or(io.map(|percent| (Resource::Io, percent))).or(cpu.map(|percent| (Resource::Cpu, percent)))
    }

    /// CPU of the container engines, their shims and their clients above what they need when idle and what is booked to
    /// containers, in cores over the ledger's window.
    pub fn unbooked_engine_cores(&self) -> Option<f64> {
        let host = self.host()?;
        let of_engine = |class| {
            matches!(class, CostClass::EngineLog | CostClass::EngineCalls | CostClass::AttachedClient)
        };
        let spent = host.engine_cores - host.engine_idle_cores + host.client_cores + host.shim_cores;
        Some((spent - booked_cores(self.accounts(), of_engine)).max(0.0))
    }

    /// How long the host has been in distress without a pause.
    pub fn distressed_for(&self) -> Duration {
        self.distressed_since.map(|since| self.now.since(since)).unwrap_or_default()
    }
}
