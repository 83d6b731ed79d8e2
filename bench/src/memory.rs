//! Memory and CPU of the whole program, `tidewatch run`, with no containers of ours, with 100 and with 1,000.
//!
//! Not here: what the kernel holds for it (probes, open files), which is nobody's resident memory.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hostfs::layout::CgroupLayout;
use hostfs::root::HostRoot;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sources::outlet::Stop;
use tempfile::TempDir;

use crate::containers::Containers;
use crate::figure::{Figure, Goal};
use crate::going_on;
use crate::process::{cpu_seconds, status_bytes};

/// New containers are looked at closely for half a minute: what is measured is what comes after.
const SETTLE: Duration = Duration::from_secs(40);
const WATCH: Duration = Duration::from_secs(20);
const END_WAIT: Duration = Duration::from_secs(10);
const SIZES: [usize; 3] = [0, 100, 1_000];
const MEMORY_GOAL: Goal = Goal::AtMost(40.0);
const CPU_GOAL: Goal = Goal::AtMost(1.0);

/// Measures both sizes, each with a program of its own.
pub(crate) fn measure(stop: &Stop) -> Result<Vec<Figure>> {
    let bin = std::env::current_exe()?.with_file_name("tidewatch");
    ensure!(bin.exists(), "there is no {}: cargo build --release --package cli makes it", bin.display());
    let sizes = SIZES.into_iter().map(|count| measure_size(&bin, count, stop));
    Ok(sizes.collect::<Result<Vec<_>>>()?.concat())
}

fn measure_size(bin: &Path, count: usize, stop: &Stop) -> Result<Vec<Figure>> {
    let layout = CgroupLayout::detect(&HostRoot::new("/"))?;
    let _containers = Containers::start(&layout, count, stop)?;
    let tidewatch = Tidewatch::start(bin)?;
    pause(SETTLE, stop)?;
    let megabytes = |line| Ok(status_bytes(&tidewatch.pid().to_string(), line)? as f64 / 1e6);
    let resident: Result<Vec<f64>> = ["VmRSS", "RssAnon"].into_iter().map(megabytes).collect();
    let resident = resident.with_context(|| tidewatch.last_words())?;
    let (begun, before) = (Instant::now(), cpu_seconds(tidewatch.pid())?);
    pause(WATCH, stop)?;
    let spent = cpu_seconds(tidewatch.pid())? - before;
    let cores = spent / begun.elapsed().as_secs_f64();
    let watched = tidewatch.containers()?;
    ensure!(watched >= count, "{count} containers run, tidewatch watches {watched}");
    let title = format!("{count} containers of ours, {watched} watched");
    let memory = Figure::once(format!("{title}, resident after 40 s"), "MB", resident[0]);
    let cpu = Figure::once(format!("{title}, CPU over 20 s"), "% of a core", 100.0 * cores);
    let is_goal = count == SIZES[1];
    Ok(vec![
        if is_goal { memory.with_goal(MEMORY_GOAL) } else { memory },
        Figure::once(format!("{title}, of it heap and stacks"), "MB", resident[1]),
        if is_goal { cpu.with_goal(CPU_GOAL) } else { cpu },
    ])
}

fn pause(span: Duration, stop: &Stop) -> Result<()> {
    stop.wait(span);
    going_on(stop)
}

/// A running `tidewatch run` with a data directory of its own; ended on drop.
struct Tidewatch {
    bin: PathBuf,
    child: Child,
    dir: TempDir,
}

impl Tidewatch {
    fn start(bin: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("tw-bench-").tempdir()?;
        let log = std::fs::File::create(dir.path().join("log"))?;
        let child = Command::new(bin)
            .args(["run", "--data-dir"])
            .arg(dir.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", bin.display()))?;
        Ok(Self { bin: bin.to_path_buf(), child, dir })
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many containers it says that it watches.
    fn containers(&self) -> Result<usize> {
        let output = Command::new(&self.bin)
            .args(["status", "--json", "--data-dir"])
            .arg(self.dir.path().join("data"))
            .output()?;
        let status: Value = serde_json::from_slice(&output.stdout).context("tidewatch status --json")?;
        Ok(status["containers"].as_array().context("status tells no containers")?.len())
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        format!("tidewatch does not run; it said: {}", log.lines().last().unwrap_or("nothing"))
    }
}

impl Drop for Tidewatch {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            // One that has ended already needs no signal.
            let _gone = kill_process(pid, Signal::TERM);
        }
        let (_stopper, never) = Stop::new();
        let asked = Instant::now();
        while asked.elapsed() < END_WAIT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            never.wait(Duration::from_millis(50));
        }
        let _ended = self.child.kill().and_then(|()| self.child.wait().map(drop));
    }
}
