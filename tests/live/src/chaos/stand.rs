//! What chaos is made of: an engine of its own, a small disk for the data, Tidewatch on it, and all that it shows.
//!
//! Not here: what goes wrong.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::by_hand::{BURN, ByHand, CONTAINER};
use crate::cgroups::Group;
use crate::chaos::account::{Flood, Recording};
use crate::chaos::shown::{Shown, collect};
use crate::docker::{Container, Docker};
use crate::host;
use crate::images::{Images, service_tree};
use crate::private_engine::{PrivateEngine, unmount_below};
use crate::stage::start_benign;
use crate::tidewatch::{Launch, Room, command, parse};
use crate::wait;

/// Size of the disk that holds the data.
const DISK: &str = "size=128m,mode=0700";
/// Longest wait for a command of Tidewatch; what takes longer has not answered.
const ANSWER: Duration = Duration::from_secs(2);
/// Makes the clock of one process another: Debian's `faketime`.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// All of it; ended and unmounted on drop. Fields end in this order.
pub(super) struct Stand {
    tidewatch: Option<Child>,
    shown: Arc<Shown>,
    bin: PathBuf,
    config: PathBuf,
    offset: PathBuf,
    benign: Option<Container>,
    _images: Images,
    pub(super) engine: PrivateEngine,
    disk: Disk,
    pub(super) dir: PathBuf,
    /// The flood of this round, once it is over.
    pub(super) flood: Option<Flood>,
}

impl Stand {
    /// Everything running; the benign state that each round begins with.
    pub(super) fn set(room: &Room) -> Result<Self> {
        ensure!(Path::new(FAKETIME).exists(), "{FAKETIME} is missing: apt-get install faketime");
        let engine = PrivateEngine::start(room)?;
        let images = Images::make(&engine.docker())?;
        let config =
            room.settings(&format!("[containers.docker]\nsocket = \"{}\"\n", engine.socket().display()))?;
        let disk = Disk::mount(&room.path("data"))?;
        let (bin, offset, dir) = (room.bin().to_owned(), room.path("clock"), room.path("chaos"));
        fs::create_dir_all(&dir)?;
        fs::write(&offset, "+0")?;
        service_tree(&dir.join("root"), "made by hand\n")?;
        let shown = Arc::<Shown>::default();
        let benign = Some(start_benign(&engine.docker(), "tw-live-benign")?);
        let mut stand = Self {
            tidewatch: None,
            shown,
            bin,
            config,
            offset,
            benign,
            _images: images,
            engine,
            disk,
            dir,
            flood: None,
        };
        stand.start()?;
        stand.approve()?;
        Ok(stand)
    }

    /// Starts Tidewatch (again). It must answer; how soon is not judged here.
    pub(super) fn start(&mut self) -> Result<()> {
        let mut run = command(&Launch::default(), &self.bin, &["run", "--json"], &self.disk.0);
        let log = fs::File::options().create(true).append(true).open(self.dir.join("tidewatch.log"))?;
        run.arg("--config").arg(&self.config).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        run.env("LD_PRELOAD", FAKETIME).env("FAKETIME_TIMESTAMP_FILE", &self.offset);
        run.env("FAKETIME_NO_CACHE", "1").env("DONT_FAKE_MONOTONIC", "1");
        let mut child = run.spawn().context("cannot run Tidewatch")?;
        self.shown.read(child.stdout.take().context("no pipe")?);
        self.tidewatch = Some(child);
        wait::until(Duration::from_secs(15), "Tidewatch answers", || {
            self.ask(&["status", "--json"]).map(Some)
        })?;
        Ok(())
    }

    /// Accepts the benign container once it is known, so that an attack stands out.
    fn approve(&self) -> Result<()> {
        let name = self.benign.as_ref().map(|container| container.name.clone()).unwrap_or_default();
        wait::until(Duration::from_secs(15), "the benign container is known", || {
            let status = self.ask(&["status", "--json"])?;
            Ok(String::from_utf8_lossy(&status).contains(&name).then_some(()))
        })?;
        self.ask(&["approve", "--running"]).map(drop)
    }

    /// Kills it as the out-of-memory killer would.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.tidewatch.take() {
            host::end(&mut child, Duration::ZERO);
        }
    }

    /// After a round: Tidewatch must run; one that ended by itself is started again and told.
    pub(super) fn recover(&mut self) -> Result<()> {
        self.shown.stall(false);
        let ended = self.tidewatch.as_mut().map(Child::try_wait).transpose()?.flatten();
        if ended.is_some() || self.tidewatch.is_none() {
            println!("      Tidewatch had ended: {ended:?}");
            self.kill();
            self.start()?;
        }
        Ok(())
    }

    /// Sets the clock of Tidewatch off by this (`+1h`, `+0`).
    pub(super) fn set_clock(&self, offset: &str) -> Result<()> {
        fs::write(&self.offset, offset).context("cannot set the clock")
    }

    /// Its process.
    pub(super) fn pid(&self) -> Result<u32> {
        self.tidewatch.as_ref().map(Child::id).context("Tidewatch does not run")
    }

    /// Stops or continues reading what it prints.
    pub(super) fn stall(&self, stalls: bool) {
        self.shown.stall(stalls);
    }

    /// Where its data lies.
    pub(super) fn data(&self) -> &Path {
        &self.disk.0
    }

    /// The engine's client.
    pub(super) fn docker(&self) -> Docker {
        self.engine.docker()
    }

    /// Names and control groups of every incident shown or listed.
    pub(super) fn known(&self) -> HashSet<String> {
        let mut known = self.shown.names();
        if let Ok(listed) = self.ask(&["incidents", "list", "--json", "--all"]).and_then(|text| parse(&text))
        {
            collect(&listed, &mut known);
        }
        known
    }

    /// Closes every incident: the next round's are new ones then. What does not answer now is closed after a later round.
    pub(super) fn close_all(&self) {
        let _ = self.ask(&["incidents", "close", "--all", "--verdict", "test"]);
    }

    /// Resident memory.
    pub(super) fn resident_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        line.trim().trim_end_matches(" kB").trim().parse().context("VmRSS")
    }

    /// A busy container made by hand, with files of its own.
    pub(super) fn ghost(&self, cgroup: &str) -> Result<ByHand> {
        let root = self.dir.join("root").display().to_string();
        let argv = ["chroot", &root, "/bin/busybox", "sh", "-c", BURN];
        ByHand::unshared(Some(Group::make(cgroup)?), CONTAINER, &argv)
    }

    /// Has it recorded, on another disk than its own.
    pub(super) fn record(&self) -> Result<Recording> {
        Recording::start(&self.bin, &self.disk.0, &self.dir.join("round"))
    }

    fn ask(&self, words: &[&str]) -> Result<Vec<u8>> {
        let output = host::run(&mut command(&Launch::default(), &self.bin, words, &self.disk.0), ANSWER)?;
        ensure!(matches!(output.status.code(), Some(0 | 1)), "{}", output.text());
        Ok(output.stdout)
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A file system in memory; unmounted on drop.
struct Disk(PathBuf);

impl Disk {
    fn mount(place: &Path) -> Result<Self> {
        fs::create_dir_all(place)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", DISK, "tw-chaos"]).arg(place);
        host::succeed(&mut mount, Duration::from_secs(10))?;
        Ok(Self(place.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount_below(&self.0.display().to_string());
    }
}
