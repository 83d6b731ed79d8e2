//! The sample command with three log drivers: a JSON file, the host's journal, none at all but an attached client.

use anyhow::{Context, Result};

use crate::cases::Outcome;
use crate::docker::Attack;
use crate::images::BUSYBOX;
use crate::journal::Journal;
use crate::scene::{Expected, Scene};
use crate::stage::OUT_OF_BAND_LOG;
use crate::tidewatch::Room;

/// One attack with each driver.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let journal = Journal::running()?;
    let mut scene = Scene::open(room)?;
    let mut outcome = Outcome::default();
    for driver in ["json-file", "none"] {
        attack(&mut scene, driver, &mut outcome)?.kill()?;
    }
    let attack = attack(&mut scene, "journald", &mut outcome)?;
    // The engine holds a container back until the journal has taken all of its output, two bytes at a time.
    drop(journal);
    attack.kill()?;
    Ok(outcome)
}

fn attack(scene: &mut Scene, driver: &str, outcome: &mut Outcome) -> Result<Attack> {
    let name = format!("tw-live-attack-{driver}");
    let mut attack = scene.docker().attached(&name, &["--log-driver", driver, BUSYBOX, "yes"])?;
    let (_, started) = attack.start()?;
    let expected = Expected { container: &name, judge: OUT_OF_BAND_LOG, within: 3.0 };
    let found = scene.one_incident(&expected, started).with_context(|| format!("log driver {driver}"))?;
    scene.close_all()?;
    outcome.delays.push(found.delay);
    outcome.note.push_str(&format!(
        "{driver}: {:.2} s, {:.2} cores of others; ",
        found.delay,
        found.finding.figure("attributed_cpu_cores")? + found.finding.figure("client_cpu_cores")?
    ));
    Ok(attack)
}
