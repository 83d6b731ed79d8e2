//! Kernel objects that no cgroup counts: open files, pseudo terminals, inotify watches. None of them is taken to where
//! the host would suffer.

use anyhow::{Context, Result};

use crate::cases::Outcome;
use crate::images::BUSYBOX;
use crate::scene::{Expected, Scene, start_of};
use crate::tidewatch::Room;

/// What is held, by which command; each is far below this host's limits.
const HELD: [(&str, &str); 3] = [
    // Several processes: one may have 20,000 files on a host that gives no more to its engine.
    ("files", "for i in 1 2 3 4 5 6; do load open 10000 & done; wait"),
    ("ptys", "exec load ptys 700"),
    ("inotify", "exec load inotify 60000"),
];

/// One container for each kind.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let mut outcome = Outcome::default();
    for (kind, script) in HELD {
        attack(&mut scene, kind, script, &mut outcome).context(kind)?;
    }
    Ok(outcome)
}

fn attack(scene: &mut Scene, kind: &str, script: &str, outcome: &mut Outcome) -> Result<()> {
    let name = format!("tw-live-attack-{kind}");
    let args = ["--network", "none", "--ulimit", "nofile=20000", BUSYBOX, "sh", "-c", script];
    let attack = scene.docker().start(&name, &args)?;
    let expected = Expected { container: &name, judge: "object_exhaustion", within: 10.0 };
    let found = scene.one_incident(&expected, start_of(&attack)?)?;
    drop(attack);
    scene.close_all()?;
    outcome.delays.push(found.delay);
    outcome.note.push_str(&format!("{:.0} {kind}; ", found.finding.figure("held")?));
    Ok(())
}
