//! A container that no engine made: namespaces by `unshare`, a control group by `mkdir`.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::by_hand::{BURN, ByHand};
use crate::cases::Outcome;
use crate::host;
use crate::incident::text;
use crate::stage::wait_for_incident_in;
use crate::tidewatch::{Launch, Room, Tidewatch};

/// From its first process to its entry in the inventory.
const SEEN_MAX: f64 = 3.0;
/// From its first process to the incident.
const OPENED_MAX: f64 = 15.0;

/// One container made by hand that burns CPU.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut tidewatch = Tidewatch::start(room, Launch::default())?;
    let name = format!("tw-live-ghost-{}", std::process::id());
    let ghost = ByHand::start(&name, &["sh", "-c", BURN])?;
    let entry = tidewatch.inventoried(Duration::from_secs(10), "the container made by hand", |entry| {
        entry["kind"] == "ghost" && entry["cgroup"].as_str().is_some_and(|path| path.ends_with(ghost.path()))
    })?;
    let seen = host::unix_now() - ghost.started;
    ensure!(seen <= SEEN_MAX, "in the inventory after {seen:.1} s");
    let incident = wait_for_incident_in(&tidewatch, ghost.path())?;
    let delay = incident.opened - ghost.started;
    ensure!(delay <= OPENED_MAX, "opened after {delay:.1} s");
    tidewatch.check_alive()?;
    Ok(Outcome {
        delays: vec![delay],
        note: format!("{} in the inventory after {seen:.1} s", text(&entry, "name")?),
    })
}
