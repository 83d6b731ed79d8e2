//! What a container does and uses, counted over a span: the drivers of what others spend, and its own spending.
//!
//! Not here: levels (memory, tasks), which are read and not counted, and who pays (`booking.rs`).

use serde::{Deserialize, Serialize};

use crate::account::Spent;

/// What is counted; the index into [`Quantities`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Quantity {
    /// CPU seconds of its own cgroup.
    OwnCpu,
    /// CPU seconds of its shim, the engine's process that serves only it.
    ShimCpu,
    /// Bytes its log file grew by.
    LogBytes,
    /// Characters its processes wrote, wherever to: known only while it is looked at deeply.
    WrittenBytes,
    /// The same of a container whose output the engine hands to whoever is attached, or keeps where we do not look.
    StreamedBytes,
    /// The same of a container whose output the engine hands to another daemon, entry by entry: a journal, a collector.
    ShippedBytes,
    /// The same of a container whose output is not shipped: it may write to the host's logger by itself.
    UnshippedBytes,
    /// Processes forked.
    Forks,
    /// Programs executed.
    Execs,
    /// Processes ended.
    Exits,
    /// Processes that ended with a core dump.
    Crashes,
    /// Calls that write back everybody's data: `sync`, `syncfs`.
    WholeSyncs,
    /// Calls that write back one file: `fsync` and its kin.
    FileSyncs,
    /// Kernel modules that the kernel was made to ask for.
    ModuleRequests,
    /// Packets sent and received.
    Packets,
    /// Bytes of those packets.
    PacketBytes,
    /// TCP connections opened.
    Connects,
    /// TCP connections accepted.
    Accepts,
    /// Connections to an engine's API.
    EngineCalls,
    /// Programs that the engine was asked to run in it.
    EngineExecs,
    /// Bytes read from and written to block devices.
    IoBytes,
    /// Operations on block devices.
    IoOperations,
    /// Scheduler periods with a CPU limit in force.
    Periods,
    /// Of those, periods in which the limit was hit.
    ThrottledPeriods,
    /// Processes killed for want of memory.
    OomKills,
    /// Seconds in which one of its tasks waited for a CPU.
    WaitedCpu,
    /// Seconds in which one of its tasks waited for memory.
    WaitedMemory,
    /// Seconds in which one of its tasks waited for block I/O.
    WaitedIo,
}

impl Quantity {
    /// Whether only a close look tells it, which is taken every other second.
    pub(crate) fn needs_a_close_look(self) -> bool {
        matches!(self, Self::WrittenBytes | Self::StreamedBytes | Self::ShippedBytes | Self::UnshippedBytes)
    }
}

/// How many kinds of quantity there are.
const KINDS: usize = Quantity::WaitedIo as usize + 1;

/// A sum of each quantity over some span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantities([f32; KINDS]);

impl Quantities {
    /// The sum of one quantity.
    pub fn of(&self, quantity: Quantity) -> f64 {
        f64::from(self.0[quantity as usize])
    }

    /// Adds to one quantity.
    pub fn add(&mut self, quantity: Quantity, more: f64) {
        let sum = &mut self.0[quantity as usize];
        *sum = (*sum + more as f32).min(f32::MAX);
    }

    /// Adds every quantity of another span.
    pub fn add_all(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum = (*sum + more).min(f32::MAX);
        }
    }

    /// Moves every rate towards those of a span by this weight.
    pub(crate) fn approach(&mut self, spent: &Spent, weight: f64) {
        let seconds = spent.seconds.max(1e-3);
        for (mean, sum) in self.0.iter_mut().zip(spent.quantities.0) {
            *mean += ((f64::from(sum) / seconds - f64::from(*mean)) * weight) as f32;
        }
    }

    /// Raises every rate to that of a span, or lets it fall by a factor.
    pub(crate) fn rise_or_fall(&mut self, spent: &Spent, falling: f64) {
        let seconds = spent.seconds.max(1e-3);
        for (peak, sum) in self.0.iter_mut().zip(spent.quantities.0) {
            *peak = (*peak * falling as f32).max((f64::from(sum) / seconds) as f32);
        }
    }
}
