//! The host's own addresses, told at the start and whenever they change.
//!
//! Not here: how they are read (`hostfs`).

use hostfs::interfaces::interface_addresses;
use hostfs::root::HostRoot;
use model::coverage::Source;
use model::event::Body;
use model::traffic::InterfaceAddress;

use crate::outlet::Outlet;

/// Longest pause between two looks, in beats. A network that was made a moment ago must be known before what goes on in it
/// is told to be somebody else's; but a host with tens of thousands of routes takes milliseconds to say them.
const PAUSE_BEATS_MAX: u64 = 10;
/// How much may be read for each beat until the next look: about 900 routes, a quarter of a millisecond.
const READ_BYTES_PER_BEAT: usize = 64 * 1024;

/// The addresses of one host.
#[derive(Debug)]
pub(super) struct Addresses {
    root: HostRoot,
    told: Option<Vec<InterfaceAddress>>,
    problem: Option<String>,
    due: u64,
}

impl Addresses {
    /// Nothing was told yet.
    pub(super) fn new(root: &HostRoot) -> Self {
        Self { root: root.clone(), told: None, problem: None, due: 0 }
    }

    /// What is due in this beat.
    pub(super) fn beat(&mut self, beat: u64, outlet: &Outlet) {
        if beat < self.due {
            return;
        }
        self.due = beat + 1;
        match interface_addresses(&self.root) {
            Ok(found) => {
                self.due = beat + pause_beats(found.read_bytes);
                let left_out = found.left_out;
                self.problem = (left_out > 0)
                    .then(|| format!("{left_out} or more of the host's addresses are not read"));
                self.tell(found.addresses, outlet);
            }
            Err(error) => self.problem = Some(error.to_string()),
        }
    }

    /// What is wrong with it now.
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.clone()
    }

    fn tell(&mut self, addresses: Vec<InterfaceAddress>, outlet: &Outlet) {
        if self.told.as_ref() != Some(&addresses) {
            outlet.send_now(Source::Host, Body::Interfaces(addresses.clone()));
            self.told = Some(addresses);
        }
    }
}

fn pause_beats(read_bytes: usize) -> u64 {
    (1 + (read_bytes / READ_BYTES_PER_BEAT) as u64).min(PAUSE_BEATS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_tables_are_read_in_every_beat_and_long_ones_now_and_then() {
        assert_eq!([1_500, 65_535, 65_536, 300_000, 4 << 20].map(pause_beats), [1, 1, 2, 5, 10]);
    }
}
