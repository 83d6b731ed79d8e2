//! Root on the host touches the sensor: traces it, dumps it, loads a library into it, replaces its program.
//!
//! Root can do all of that. It is noticed, which is all that is promised.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cases::Outcome;
use crate::host;
use crate::incident::Incident;
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::wait;

/// A tracer is looked for each second; files each ten.
const TRACER_WITHIN: f64 = 5.0;
const FILE_WITHIN: Duration = Duration::from_secs(15);

/// `strace` attaches, as `gdb` and `gcore` do.
pub(crate) fn traced(room: &Room) -> Result<Outcome> {
    host::require("strace", "strace")?;
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    wait::pause(Duration::from_secs(3))?;
    let started = host::unix_now();
    let tracer = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e", "trace=none", "-p", &tidewatch.pid().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run strace")?;
    let _tracer = Ended(tracer);
    let incident = noticed(&tidewatch, "traced", Duration::from_secs(10))?;
    let delay = incident.opened - started;
    ensure!(delay <= TRACER_WITHIN, "noticed after {delay:.1} s");
    ensure!(
        incident.findings.iter().any(|finding| finding.claim.contains("strace")),
        "the tracer is not named"
    );
    Ok(Outcome { delays: vec![delay], note: incident.summary })
}

/// A copy of the program is run with a library of the test's, and then replaced.
pub(crate) fn replaced(room: &Room) -> Result<Outcome> {
    host::require("gcc", "gcc")?;
    let bin = room.path("tidewatch");
    fs::copy(room.bin(), &bin)?;
    let own = Room::new(&bin)?;
    let preload = format!("LD_PRELOAD={}", library(room)?.display());
    let launch = Launch { under: vec!["env".to_owned(), preload], config: None };
    let tidewatch = Tidewatch::start(&own, launch)?;
    let started = host::unix_now();
    let loaded = noticed(&tidewatch, "LD_PRELOAD", Duration::from_secs(10))?;
    ensure!(
        loaded.findings.iter().any(|finding| finding.claim.contains("other.so")),
        "the library is not named"
    );
    wait::pause(Duration::from_secs(1))?;
    let replaced = host::unix_now();
    fs::copy(room.bin(), room.path("new"))?;
    fs::rename(room.path("new"), &bin)?;
    let changed = noticed(&tidewatch, "replaced", FILE_WITHIN)?;
    let at =
        changed.findings.iter().find(|finding| finding.claim.contains("replaced")).context("just found")?.at;
    let note =
        format!("library after {:.1} s, program after {:.1} s", loaded.opened - started, at - replaced);
    Ok(Outcome { delays: vec![at - replaced], note })
}

/// An incident of which a finding says that.
fn noticed(tidewatch: &Tidewatch, words: &str, limit: Duration) -> Result<Incident> {
    wait::until(limit, &format!("an incident says {words:?}"), || {
        let says =
            |incident: &Incident| incident.findings.iter().any(|finding| finding.claim.contains(words));
        Ok(tidewatch.incidents()?.into_iter().find(says))
    })
    .map_err(|error| anyhow::anyhow!("{error:#}; it sees:\n{}", tidewatch.picture()))
}

/// A library that does nothing.
fn library(room: &Room) -> Result<PathBuf> {
    let (source, library): (PathBuf, PathBuf) = (room.path("other.c"), room.path("other.so"));
    fs::write(&source, "int tw_live_other;\n")?;
    let mut gcc = Command::new("gcc");
    gcc.args(["-shared", "-fPIC", "-o"]).args([library.as_path(), Path::new(&source)]);
    host::succeed(&mut gcc, Duration::from_secs(30))?;
    Ok(library)
}

/// A process that is ended on drop.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        host::end(&mut self.0, Duration::from_secs(2));
    }
}
