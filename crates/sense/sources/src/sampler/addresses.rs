//! The host's own addresses, told at the start and whenever they change.
//!
//! Not here: how they are read (`hostfs`).

use hostfs::interfaces::interface_addresses;
use hostfs::root::HostRoot;
use model::coverage::Source;
use model::event::Body;
use model::traffic::InterfaceAddress;

use crate::outlet::Outlet;

/// How often they are looked at.
const EVERY_BEATS: u64 = 10;

/// The addresses of one host.
#[derive(Debug)]
pub(super) struct Addresses {
    root: HostRoot,
    told: Option<Vec<InterfaceAddress>>,
    problem: Option<String>,
}

impl Addresses {
    /// Nothing was told yet.
    pub(super) fn new(root: &HostRoot) -> Self {
        Self { root: root.clone(), told: None, problem: None }
    }

    /// What is due in this beat.
    pub(super) fn beat(&mut self, beat: u64, outlet: &Outlet) {
        if !beat.is_multiple_of(EVERY_BEATS) {
            return;
        }
        match interface_addresses(&self.root) {
            Ok(found) => {
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
