//! Tidewatch under test: the release binary, started and asked through its documented command line only.
//!
//! Not here: any crate of it. What these tests know is what somebody who scripts against it knows.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::host::{self, Output};
use crate::incident::{Incident, array, text};
use crate::wait;

/// Longest wait for an answer over the control socket.
const ANSWER: Duration = Duration::from_secs(20);

/// Where one test runs: the binary under test and a directory that goes with the test.
pub(crate) struct Room {
    bin: PathBuf,
    dir: TempDir,
}

impl Room {
    /// A room for one run of one test.
    pub(crate) fn new(bin: &Path) -> Result<Self> {
        let bin = bin.canonicalize().with_context(|| format!("there is no {}", bin.display()))?;
        Ok(Self { bin, dir: tempfile::Builder::new().prefix("tw-live-").tempdir()? })
    }

    /// Writes a file of settings.
    pub(crate) fn settings(&self, text: &str) -> Result<PathBuf> {
        let path = self.path("settings.toml");
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// A path in the test's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The binary under test.
    pub(crate) fn bin(&self) -> &Path {
        &self.bin
    }

    /// The last lines of every log written here, for a test that failed.
    pub(crate) fn logs(&self) -> String {
        let files = fs::read_dir(self.dir.path()).into_iter().flatten().filter_map(Result::ok);
        let mut logs: Vec<PathBuf> = files.map(|entry| entry.path()).collect();
        logs.retain(|path| path.extension().is_some_and(|end| end == "log"));
        logs.sort();
        let shown = |path: &PathBuf| format!("  {}:\n{}", path.display(), host::tail(path, 25));
        logs.iter().map(shown).collect()
    }
}

/// How to start it.
#[derive(Clone, Default)]
pub(crate) struct Launch {
    /// A command that runs it, `setpriv …`; empty for none.
    pub(crate) under: Vec<String>,
    /// Configuration file.
    pub(crate) config: Option<PathBuf>,
}

/// A running Tidewatch; stopped on drop.
pub(crate) struct Tidewatch {
    launch: Launch,
    bin: PathBuf,
    data: PathBuf,
    log: PathBuf,
    child: Child,
}

impl Tidewatch {
    /// Starts it in the room's data directory and waits until it answers.
    pub(crate) fn start(room: &Room, launch: Launch) -> Result<Self> {
        let data = room.path("data");
        let number = (1..).find(|number| !room.path(&format!("tidewatch-{number}.log")).exists());
        let log = room.path(&format!("tidewatch-{}.log", number.unwrap_or_default()));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = command(&launch, room.bin(), &["run"], &data);
        if let Some(config) = &launch.config {
            command.arg("--config").arg(config);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot run {}", room.bin().display()))?;
        let mut tidewatch = Self { launch, bin: room.bin().to_owned(), data, log, child };
        tidewatch.wait_until_it_answers()?;
        Ok(tidewatch)
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let deadline = Duration::from_secs(10);
        wait::until(deadline, "Tidewatch answers `status`, and its probes are loaded or reported", || {
            if self.child.try_wait()?.is_some() {
                return Ok(Some(()));
            }
            let status = self.status()?;
            let has_reported = array(&status, "sources")?.iter().any(|source| source["source"] == "kernel");
            Ok(has_reported.then_some(()))
        })?;
        self.check_alive()
    }

    /// Fails when it has ended.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("Tidewatch ended by itself: {status}");
        }
        Ok(())
    }

    /// Runs a command of it against this instance. Exit code 1 is bad news, not failure; 2 is failure.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<Output> {
        let output = host::run(&mut command(&self.launch, &self.bin, words, &self.data), ANSWER)?;
        let code = output.status.code();
        ensure!(
            matches!(code, Some(0 | 1)),
            "tidewatch {}: {}: {}",
            words.join(" "),
            output.status,
            output.text()
        );
        Ok(output)
    }

    /// Runs a command and reads the JSON it prints.
    pub(crate) fn ask_json(&self, words: &[&str]) -> Result<Value> {
        let output = self.ask(words)?;
        parse(&output.stdout).with_context(|| format!("tidewatch {}", words.join(" ")))
    }

    /// Every incident it knows, closed ones too, newest first.
    pub(crate) fn incidents(&self) -> Result<Vec<Incident>> {
        incidents_of(&self.ask_json(&["incidents", "list", "--json", "--all"])?)
    }

    /// The incidents that name a container.
    pub(crate) fn incidents_about(&self, container: &str) -> Result<Vec<Incident>> {
        let mut all = self.incidents()?;
        all.retain(|incident| incident.subject.container == container);
        Ok(all)
    }

    /// Who talks to whom.
    pub(crate) fn edges(&self) -> Result<Vec<Value>> {
        Ok(array(&self.ask_json(&["graph", "--json"])?, "edges")?.clone())
    }

    /// Every container of its inventory; those that have ended too, when they are asked for.
    pub(crate) fn inventory(&self, ended_too: bool) -> Result<Vec<Value>> {
        let words: &[&str] =
            if ended_too { &["inventory", "--json", "--all"] } else { &["inventory", "--json"] };
        Ok(array(&self.ask_json(words)?, "containers")?.clone())
    }

    /// What it watches and how well.
    pub(crate) fn status(&self) -> Result<Value> {
        self.ask_json(&["status", "--json"])
    }

    /// Waits until its inventory holds a container that `is_it` recognises, and gives its entry.
    pub(crate) fn inventoried(
        &self,
        limit: Duration,
        what: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        wait::until(limit, &format!("{what} is in the inventory"), || {
            let status = self.status()?;
            Ok(array(&status, "containers")?.iter().find(|entry| is_it(entry)).cloned())
        })
    }

    /// What it sees now in a few lines, for a test that fails.
    pub(crate) fn picture(&self) -> String {
        let entries = self.status().ok().and_then(|status| status["containers"].as_array().cloned());
        let lines = entries.unwrap_or_default().into_iter().map(|entry| {
            format!(
                "  {} in {} is {} and {}, own CPU {}",
                entry["name"], entry["cgroup"], entry["kind"], entry["provenance"], entry["own_cpu_cores"]
            )
        });
        let incidents = self.incidents().unwrap_or_default();
        let summaries = incidents.iter().map(|incident| format!("  incident: {}", incident.summary));
        lines.chain(summaries).collect::<Vec<_>>().join("\n")
    }

    /// Health and reason of one of its sources.
    pub(crate) fn source(&self, name: &str) -> Result<(String, String)> {
        let status = self.status()?;
        let entry = array(&status, "sources")?.iter().find(|entry| entry["source"] == name);
        let entry = entry.with_context(|| format!("status has no source {name}"))?;
        Ok((text(entry, "health")?, text(entry, "reason")?))
    }

    /// Accepts what runs.
    pub(crate) fn approve_running(&self) -> Result<()> {
        self.ask(&["approve", "--running"]).map(drop)
    }

    /// Fails unless its log told of the incident when it opened.
    pub(crate) fn check_announced(&self, id: &str) -> Result<()> {
        let log = fs::read(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
        let log = String::from_utf8_lossy(&log);
        let told = log.lines().any(|line| line.contains(id) && line.contains("opened"));
        ensure!(told, "{id} is listed, but `tidewatch run` never said that it opened");
        Ok(())
    }

    /// Closes an incident as a test.
    pub(crate) fn close(&self, id: &str) -> Result<()> {
        let output = self.ask(&["incidents", "close", id, "--verdict", "test"])?;
        ensure!(output.status.success(), "closing {id}: {}", output.text());
        let incident = self.incidents()?.into_iter().find(|incident| incident.id == id);
        let state = incident.with_context(|| format!("{id} is gone after closing it"))?.state;
        ensure!(state == "closed", "{id} is {state} after closing it");
        Ok(())
    }

    /// SIGKILL, as the out-of-memory killer or an attacker would.
    pub(crate) fn kill_nine(mut self) {
        host::end(&mut self.child, Duration::ZERO);
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The file that has everything it printed.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }
}

impl Drop for Tidewatch {
    fn drop(&mut self) {
        host::end(&mut self.child, Duration::from_secs(5));
    }
}

/// A command of the binary without an instance or beside one: `record`, `replay`, `doctor`.
pub(crate) fn command(launch: &Launch, bin: &Path, words: &[&str], data: &Path) -> Command {
    let mut command = match launch.under.split_first() {
        None => Command::new(bin),
        Some((program, args)) => {
            let mut command = Command::new(program);
            command.args(args).arg(bin);
            command
        }
    };
    command.args(words).arg("--data-dir").arg(data);
    command
}

/// Reads incidents from their documented form.
pub(crate) fn incidents_of(value: &Value) -> Result<Vec<Incident>> {
    value.as_array().context("not a list of incidents")?.iter().map(Incident::from_json).collect()
}

/// Reads JSON that a command printed.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value> {
    let start: String = String::from_utf8_lossy(bytes).chars().take(200).collect();
    serde_json::from_slice(bytes).with_context(|| format!("not JSON: {start:?}"))
}
