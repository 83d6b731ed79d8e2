//! Tells which units systemd runs: all of them at the start, then what changes.
//!
//! Where systemd does not manage the host, that is told once. Not here: what a unit's cgroup holds, units of users' own
//! managers.

use std::collections::BTreeSet;
use std::time::Duration;

use deadline::pulse::Watched;
use hostfs::root::HostRoot;
use hostfs::units::{RunningUnits, UNITS_LISTED_MAX, is_manager, running_units};
use model::coverage::{Health, Source, SourceReport};
use model::event::Body;
use model::untrusted::Untrusted;
use model::view::{UNITS_MAX, UnitChange};

use crate::outlet::{Outlet, Stop};

/// How often systemd's list is read: a unit must be known before a container by its name is settled.
const EVERY: Duration = Duration::from_millis(500);

/// A look takes milliseconds.
const SILENT_MAX: Duration = Duration::from_secs(5);

/// Starts the thread that follows systemd until `stop` is asked.
pub fn spawn(root: HostRoot, outlet: Outlet, stop: Stop) -> Watched {
    let mut follower = UnitsFollower::new(root);
    outlet.clone().spawn("units", SILENT_MAX, move |pulse| {
        while !stop.is_set() {
            pulse.beat();
            follower.look(&outlet);
            stop.wait(EVERY);
        }
        pulse.retire();
    })
}

/// What was told of systemd so far.
#[derive(Debug)]
pub struct UnitsFollower {
    root: HostRoot,
    is_manager: Option<bool>,
    running: BTreeSet<Untrusted>,
    health: Option<(Health, String)>,
}

impl UnitsFollower {
    /// A follower that has told nothing yet.
    pub fn new(root: HostRoot) -> Self {
        Self { root, is_manager: None, running: BTreeSet::new(), health: None }
    }

    /// Reads the list and tells what differs from what was told.
    pub fn look(&mut self, outlet: &Outlet) {
        if !is_manager(&self.root) {
            if self.is_manager != Some(false) {
                self.tell(RunningUnits::default(), false, outlet);
            }
            return self.report(Health::Absent, "systemd does not manage this host".to_owned(), outlet);
        }
        match running_units(&self.root) {
            Ok(units) => {
                let left_out = units.left_out;
                self.tell(units, true, outlet);
                let reason = format!("{left_out} units are not told: more than {UNITS_LISTED_MAX}");
                match left_out {
                    0 => self.report(Health::Up, String::new(), outlet),
                    _ => self.report(Health::Degraded, reason, outlet),
                }
            }
            // Nothing is told: an empty list would deny every unit there is.
            Err(error) => self.report(Health::Down, format!("systemd's list of units: {error}"), outlet),
        }
    }

    fn tell(&mut self, now: RunningUnits, is_manager: bool, outlet: &Outlet) {
        let started = now.names.difference(&self.running).map(|name| (name.clone(), true));
        let ended = self.running.difference(&now.names).map(|name| (name.clone(), false));
        let changes: Vec<(Untrusted, bool)> = ended.chain(started).collect();
        let is_first = self.is_manager != Some(is_manager);
        let parts = changes.chunks(UNITS_MAX).chain((changes.is_empty() && is_first).then_some(&[][..]));
        for part in parts {
            let of = |wanted: bool| {
                part.iter().filter(move |(_, is_start)| *is_start == wanted).map(|(name, _)| name.clone())
            };
            let change = UnitChange { is_manager, started: of(true).collect(), ended: of(false).collect() };
            outlet.send_now(Source::Systemd, Body::Units(change));
        }
        self.is_manager = Some(is_manager);
        self.running = now.names;
    }

    fn report(&mut self, health: Health, reason: String, outlet: &Outlet) {
        let now = Some((health, reason));
        if now == self.health {
            return;
        }
        let reason = Untrusted::new(now.as_ref().map_or("", |(_, reason)| reason.as_str()));
        self.health = now;
        outlet.send_now(
            Source::Systemd,
            Body::Report(SourceReport { source: Source::Systemd, health, reason }),
        );
    }
}
