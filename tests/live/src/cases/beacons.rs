//! Three containers that call three hosts outside every two seconds, with jitters of 0, 30 and 50 %, beside health checks
//! and scrapes of others that are as regular.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};

use crate::cases::Outcome;
use crate::docker::Container;
use crate::images::{BUSYBOX, WEB};
use crate::outside::{HOSTS, Outside, PORT};
use crate::scene::{Scene, start_of};
use crate::stage::Stage;
use crate::tidewatch::Room;
use crate::wait;

/// The longest pause between two calls, and how many of them may pass until it is found.
const PERIOD_SECONDS: f64 = 2.0;
const INTERVALS_MAX: f64 = 24.0;
/// What starting, telling and showing take.
const SLACK_SECONDS: f64 = 3.0;

const JITTERS: [u32; 3] = [0, 30, 50];

/// Each beacon is an incident of its own within 24 intervals, and nothing else is.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let outside = Outside::open()?;
    let mut stage = Stage::set(1)?;
    let network = stage.docker.network("tw-live-beacons")?;
    let serves = ["--network", &network.name, WEB, "load", "serve", "0.0.0.0:8080"];
    let service = format!("{}:8080", stage.add("tw-live-service", &serves)?.address(&network)?);
    for (name, millis) in [("tw-live-health", "5000"), ("tw-live-scrape", "1000")] {
        stage.add(name, &["--network", &network.name, WEB, "load", "ask", &service, millis, "0"])?;
    }
    let scene = Scene::open_with(room, stage, None)?;
    let mut attacks = Vec::new();
    for (jitter, host) in JITTERS.into_iter().zip(HOSTS) {
        let (name, to) = (format!("tw-live-attack-beacon-{jitter}"), format!("{host}:{PORT}"));
        let attack =
            scene.docker().start(&name, &[BUSYBOX, "load", "ask", &to, "2000", &jitter.to_string()])?;
        attacks.push((jitter, start_of(&attack)?, attack));
    }
    let mut delays = Vec::new();
    for (jitter, started, attack) in &attacks {
        delays.push(found(&scene, *jitter, *started, attack)?);
    }
    let open = scene.open_incidents()?.len();
    ensure!(open == JITTERS.len(), "{open} incidents: {}", scene.tidewatch.picture());
    drop(attacks);
    drop(scene);
    drop((network, outside));
    Ok(Outcome { delays, note: format!("jitters {JITTERS:?} %") })
}

fn found(scene: &Scene, jitter: u32, started: f64, attack: &Container) -> Result<f64> {
    let mean = PERIOD_SECONDS * (1.0 - f64::from(jitter) / 200.0);
    let within = INTERVALS_MAX * mean + SLACK_SECONDS;
    let what = format!("judge beacon speaks about {}", attack.name);
    let incident = wait::until(Duration::from_secs_f64(within + 15.0), &what, || {
        let about = scene.tidewatch.incidents_about(&attack.name)?;
        Ok(about.into_iter().find(|incident| incident.latest("beacon").is_ok()))
    })
    .map_err(|error| anyhow!("{error:#}; it sees:\n{}", scene.tidewatch.picture()))?;
    let delay = incident.opened - started;
    ensure!(
        delay <= within,
        "jitter {jitter} %: opened {delay:.1} s after its start, later than {within:.1} s"
    );
    Ok(delay)
}
