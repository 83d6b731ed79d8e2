//! A container that opens and closes twenty thousand connections a second, beside one that opens twenty.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::cases::Outcome;
use crate::cases::edges::server;
use crate::host;
use crate::images::{BUSYBOX, WEB};
use crate::scene::{Expected, Scene, start_of};
use crate::stage::Stage;
use crate::tidewatch::Room;
use crate::wait;

const NAME: &str = "tw-live-attack-churn";
const SPAN: Duration = Duration::from_secs(10);
/// Connections that the other container opens in that time.
const OPENED: f64 = 200.0;

/// The flood is found, and of the other nothing is lost.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut stage = Stage::set(0)?;
    let network = stage.docker.network("tw-live-churn")?;
    let service =
        format!("{}:8080", server(&mut stage, &network, "tw-live-service", 8080)?.address(&network)?);
    stage.add("tw-live-client", &["--network", &network.name, WEB, "load", "ask", &service, "50", "0"])?;
    let mut scene = Scene::open_with(room, stage, None)?;
    let attack =
        scene.docker().start(NAME, &["--network", "none", BUSYBOX, "load", "churn", "20000", "2"])?;
    let expected = Expected { container: NAME, judge: "connection_flood", within: 10.0 };
    let found = scene.one_incident(&expected, start_of(&attack)?)?;
    let (before, watcher) = (opened(&scene)?, Cpu::of(scene.tidewatch.pid())?);
    let flood = Cpu::of(attack.running()?.pid)?;
    wait::pause(SPAN)?;
    let counted = (opened(&scene)? - before) as f64;
    ensure!(counted >= 0.5 * OPENED, "{counted} of some {OPENED} connections of the other were counted");
    let note = format!(
        "{:.0} connections a second with {:.0} % of a core, {:.1} % to watch them; {counted:.0} of the other in {} s",
        found.finding.figure("connects_per_second")?,
        flood.percent()?,
        watcher.percent()?,
        SPAN.as_secs()
    );
    drop(attack);
    drop(scene);
    drop(network);
    Ok(Outcome { delays: vec![found.delay], note })
}

/// CPU time of a process from here on.
struct Cpu {
    pid: u32,
    before: f64,
    since: Instant,
}

impl Cpu {
    fn of(pid: u32) -> Result<Self> {
        Ok(Self { pid, before: host::cpu_seconds(pid)?, since: Instant::now() })
    }

    /// Per cent of a core.
    fn percent(&self) -> Result<f64> {
        Ok((host::cpu_seconds(self.pid)? - self.before) / self.since.elapsed().as_secs_f64() * 100.0)
    }
}

/// Connections that were counted on the edge of the other two.
fn opened(scene: &Scene) -> Result<u64> {
    let edges = scene.tidewatch.edges()?;
    let edge = edges.iter().find(|edge| edge["port"] == 8080).context("no edge of the other")?;
    edge["opened"].as_u64().context("an edge without a count")
}
