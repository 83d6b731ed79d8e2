//! A benign service that is approved, restarted, and joined by a second one: nothing is said for sixty seconds.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::cases::Outcome;
use crate::stage::{Stage, wait_for_name};
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::wait;

/// Sixty seconds with a restart and a start.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut stage = Stage::set(1)?;
    let mut tidewatch = Tidewatch::start(room, Launch::default())?;
    stage.approve(&tidewatch)?;
    let end = Instant::now() + Duration::from_secs(60);
    wait::pause(Duration::from_secs(15))?;
    stage.benign()[0].restart()?;
    wait::pause(Duration::from_secs(15))?;
    stage.add_benign("tw-live-second")?;
    // Quiet only counts when both were seen.
    wait_for_name(&tidewatch, "tw-live-web-1")?;
    wait_for_name(&tidewatch, "tw-live-second")?;
    wait::pause(end.saturating_duration_since(Instant::now()))?;
    tidewatch.check_alive()?;
    let incidents = tidewatch.incidents()?;
    let summaries: Vec<&str> = incidents.iter().map(|incident| incident.summary.as_str()).collect();
    ensure!(incidents.is_empty(), "{} incidents: {summaries:?}", incidents.len());
    Ok(Outcome { note: "60 s, one restart, one start".to_owned(), ..Outcome::default() })
}
