//! How long the tasks of one container wait for CPU, memory and block I/O, and what of that is usual: who is harmed.
//!
//! Not here: who causes it. Pressure cannot tell starvation by neighbours from a container's own limit, so seconds in
//! which it hits its own CPU limit say nothing about others.

use serde::{Deserialize, Serialize};

use crate::account::Spent;
use crate::quantities::Quantity;

/// Seconds over which waiting is averaged: long enough that one slow request is none.
const NOW_SECONDS: f64 = 4.0;
/// Seconds over which usual waiting forgets.
const USUAL_SECONDS: f64 = 300.0;
/// Seconds observed before anything is called usual.
const HISTORY_SECONDS_MIN: f64 = 10.0;

/// Pressures are read every few seconds (`hostfs`), and what was waited since then comes all at once: seconds without
/// news after which there was nothing to tell.
const SILENT_SECONDS: f64 = 5.5;

/// What tasks wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Resource {
    /// CPU.
    Cpu,
    /// Memory.
    Memory,
    /// Block I/O.
    Io,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Memory, Self::Io];

    /// The words used in sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Memory => "memory",
            Self::Io => "block I/O",
        }
    }

    fn waited(self) -> Quantity {
        match self {
            Self::Cpu => Quantity::WaitedCpu,
            Self::Memory => Quantity::WaitedMemory,
            Self::Io => Quantity::WaitedIo,
        }
    }
}

/// Share of time in which some task waits, 0 to 1, by resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Waits {
    now: [f64; 3],
    usual: [f64; 3],
    seconds: f64,
    /// Seconds since pressures last told something.
    untold: f64,
}

impl Waits {
    /// Share of the last seconds in which some of its tasks waited.
    pub fn now(&self, resource: Resource) -> f64 {
        self.now[resource as usize]
    }

    /// The share that is usual; `None` before it was observed for long enough.
    pub fn usual(&self, resource: Resource) -> Option<f64> {
        (self.seconds >= HISTORY_SECONDS_MIN).then(|| self.usual[resource as usize])
    }

    pub(crate) fn close(&mut self, second: &Spent) {
        self.untold += second.seconds;
        let has_news = Resource::ALL.iter().any(|resource| second.of(resource.waited()) > 0.0);
        if !has_news && self.untold < SILENT_SECONDS {
            return;
        }
        let span = std::mem::take(&mut self.untold);
        let is_held_back = second.of(Quantity::ThrottledPeriods) > 0.0;
        for resource in Resource::ALL {
            let is_told = !(is_held_back && resource == Resource::Cpu);
            let waited = if is_told { second.of(resource.waited()) } else { 0.0 };
            let now = &mut self.now[resource as usize];
            *now += ((waited / span.max(1e-3)).clamp(0.0, 1.0) - *now) * (span / NOW_SECONDS).min(1.0);
        }
    }

    /// Learns the last seconds as usual; not while the host is in distress.
    pub(crate) fn learn(&mut self, seconds: f64) {
        self.seconds += seconds;
        let weight = (seconds / self.seconds.clamp(1e-3, USUAL_SECONDS)).min(1.0);
        for (usual, now) in self.usual.iter_mut().zip(self.now) {
            *usual += (now - *usual) * weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(waited_each_second: &[f64]) -> f64 {
        let mut waits = Waits::default();
        for waited in waited_each_second {
            let mut second = Spent { seconds: 1.0, ..Spent::default() };
            second.quantities.add(Quantity::WaitedCpu, *waited);
            waits.close(&second);
        }
        (waits.now(Resource::Cpu) * 100.0).round()
    }

    #[test]
    fn what_was_waited_in_five_seconds_and_is_told_at_once_is_spread_over_them() {
        assert_eq!(now(&[0.0, 0.0, 0.0, 0.0, 2.0]), 40.0);
        assert_eq!(now(&[0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0]), 40.0, "nothing new is not nothing");
        assert_eq!(now(&[0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), 0.0);
    }

    #[test]
    fn what_is_told_each_second_is_averaged_over_a_few() {
        assert_eq!(now(&[0.4; 20]), 40.0);
        assert_eq!(now(&[0.4]), 10.0);
    }
}
