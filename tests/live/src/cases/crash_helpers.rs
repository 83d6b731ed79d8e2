//! A container whose processes crash without end: the kernel starts the host's core dump handler for each of them, as
//! root and outside every container.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result};

use crate::cases::Outcome;
use crate::images::BUSYBOX;
use crate::scene::{Expected, Scene, start_of};
use crate::sysctl::Sysctl;
use crate::tidewatch::Room;

const NAME: &str = "tw-live-attack-crash";
const CRASH: &str = "while :; do sh -c 'kill -SEGV $$'; done";
/// Compresses what it gets and looks at it, as handlers do.
const HANDLER: &str =
    "#!/bin/sh\ni=0\nwhile [ $i -lt 30000 ]; do i=$((i+1)); done\nexec gzip -c >/dev/null\n";

/// One attack on a host with a handler.
pub(crate) fn run(room: &Room) -> Result<Outcome> {
    let handler = room.path("core-handler");
    fs::write(&handler, HANDLER).context("cannot write the handler")?;
    fs::set_permissions(&handler, fs::Permissions::from_mode(0o755))?;
    let _pattern = Sysctl::set("kernel/core_pattern", &format!("|{} %p", handler.display()))?;
    let mut scene = Scene::open(room)?;
    let attack = scene.docker().start(NAME, &["--network", "none", BUSYBOX, "sh", "-c", CRASH])?;
    let expected = Expected { container: NAME, judge: "out_of_band_crash", within: 10.0 };
    let found = scene.one_incident(&expected, start_of(&attack)?)?;
    let note = format!(
        "{:.1} crashes a second, {:.2} cores of helpers",
        found.finding.figure("crashes_per_second")?,
        found.finding.figure("attributed_cpu_cores")?
    );
    Ok(Outcome { delays: vec![found.delay], note })
}
