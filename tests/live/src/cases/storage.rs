//! Disks that fill: by a container's own writing, and by its log.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cases::Outcome;
use crate::docker::Docker;
use crate::host;
use crate::images::BUSYBOX;
use crate::scene::{Expected, Scene, start_of};
use crate::stage::Stage;
use crate::tidewatch::Room;

const WRITER: &str = "tw-live-attack-writer";
const PRINTER: &str = "tw-live-attack-printer";

/// A log that would fill the engine's disk within this many hours weighs enough to be an incident.
const FULL_WITHIN_SECONDS: f64 = 4.0 * 3600.0;

/// Fills a file system of its own, which stands in for the engine's.
pub(crate) fn disk(room: &Room) -> Result<Outcome> {
    let disk = SmallDisk::mount(room)?;
    let config = room.settings(&format!("runtime_roots = [\"{}\"]\n", disk.dir.display()))?;
    let mut scene = Scene::open_with(room, Stage::set(1)?, Some(config))?;
    let volume = format!("{}:/data", disk.dir.display());
    let args = ["--network", "none", "-v", &volume, BUSYBOX, "load", "write", "/data/file", "40", "800"];
    let attack = scene.docker().start(WRITER, &args)?;
    let expected = Expected { container: WRITER, judge: "disk_fill", within: 10.0 };
    let found = scene.one_incident(&expected, start_of(&attack)?)?;
    let note = format!("full in {:.0} s", found.finding.figure("seconds_left")?);
    drop(attack);
    drop(scene);
    drop(disk);
    Ok(Outcome { delays: vec![found.delay], note })
}

/// Prints just fast enough to matter.
pub(crate) fn log(room: &Room) -> Result<Outcome> {
    let mut scene = Scene::open(room)?;
    let speed = (free_bytes(scene.docker())? / FULL_WITHIN_SECONDS / 1e6).ceil().max(4.0);
    let args = ["--network", "none", BUSYBOX, "load", "print", &speed.to_string()];
    let attack = scene.docker().start(PRINTER, &args)?;
    let expected = Expected { container: PRINTER, judge: "log_fill", within: 10.0 };
    let found = scene.one_incident(&expected, start_of(&attack)?)?;
    let note = format!("{:.1} MB a second", found.finding.figure("log_bytes_per_second")? / 1e6);
    Ok(Outcome { delays: vec![found.delay], note })
}

fn free_bytes(docker: &Docker) -> Result<f64> {
    let root = docker.call(&["info", "--format", "{{.DockerRootDir}}"])?;
    let space =
        rustix::fs::statvfs(root.as_str()).with_context(|| format!("cannot read the space of {root}"))?;
    Ok(space.f_bavail as f64 * space.f_frsize as f64)
}

/// A gigabyte on a loop device; unmounted on drop. The room's directory takes the file with it.
struct SmallDisk {
    dir: PathBuf,
}

impl SmallDisk {
    fn mount(room: &Room) -> Result<Self> {
        host::require("mkfs.ext4", "e2fsprogs")?;
        let (file, dir) = (room.path("disk.img"), room.path("disk"));
        fs::File::create(&file)?.set_len(1 << 30)?;
        fs::create_dir(&dir)?;
        host::succeed(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&file), Duration::from_secs(30))?;
        host::succeed(
            Command::new("mount").args(["-o", "loop"]).arg(&file).arg(&dir),
            Duration::from_secs(10),
        )?;
        Ok(Self { dir })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whatever still holds it must not keep the test's directory from going.
        let _ = host::run(Command::new("umount").arg("-l").arg(&self.dir), Duration::from_secs(20));
    }
}
