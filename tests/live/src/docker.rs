//! Docker through its own client, so that tests do what people do: containers that end with their guard.
//!
//! Not here: the engine's API; Tidewatch's own client is what is under test.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::host;
use crate::wait;

/// Longest wait for an answer of the client; starting a container on a busy host takes seconds.
const ANSWER: Duration = Duration::from_secs(60);

/// An engine, by its socket.
#[derive(Clone)]
pub(crate) struct Docker {
    socket: PathBuf,
}

impl Docker {
    /// The host's own engine, which must answer.
    pub(crate) fn of_host() -> Result<Self> {
        host::require("docker", "docker.io")?;
        let docker = Self::at(Path::new("/var/run/docker.sock"));
        docker
            .call(&["version", "--format", "{{.Server.Version}}"])
            .context("the Docker engine does not answer")?;
        Ok(docker)
    }

    /// The engine behind a socket.
    pub(crate) fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Runs the client to its end and gives what it printed; it must succeed.
    pub(crate) fn call(&self, args: &[&str]) -> Result<String> {
        host::succeed(self.command().args(args), ANSWER)
    }

    /// Starts a container in the background; `args` come after `docker run -d --name NAME`.
    pub(crate) fn start(&self, name: &str, args: &[&str]) -> Result<Container> {
        self.clear(name);
        let container = Container { docker: self.clone(), name: name.to_owned() };
        self.call(&[&["run", "-d", "--name", name], args].concat())?;
        Ok(container)
    }

    /// Runs the strategy's sample: `docker run --rm --name NAME IMAGE yes > /dev/null`.
    pub(crate) fn sample_attack(&self, name: &str, image: &str) -> Result<Attack> {
        self.attached(name, &[image, "yes"])
    }

    /// Runs a container in the foreground of a client that throws its output away; `args` come after
    /// `docker run --rm --name NAME`.
    pub(crate) fn attached(&self, name: &str, args: &[&str]) -> Result<Attack> {
        self.clear(name);
        let container = Container { docker: self.clone(), name: name.to_owned() };
        let client = self
            .command()
            .args(["run", "--rm", "--name", name])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run docker")?;
        Ok(Attack { client, container })
    }

    /// A private network of the engine, removed on drop; containers on it must be gone before.
    pub(crate) fn network(&self, name: &str) -> Result<Network> {
        let _ = host::run(self.command().args(["network", "rm", name]), ANSWER);
        self.call(&["network", "create", name])?;
        Ok(Network { docker: self.clone(), name: name.to_owned() })
    }

    /// Imports a file system as an image. Labels, environment and the like go into `changes`.
    pub(crate) fn import(&self, tar: &Path, tag: &str, changes: &[String]) -> Result<()> {
        let mut command = self.command();
        command.arg("import");
        for change in changes {
            command.args(["--change", change]);
        }
        host::succeed(command.arg(tar).arg(tag), ANSWER).map(drop)
    }

    /// Whether an image of that name is there.
    pub(crate) fn has_image(&self, tag: &str) -> Result<bool> {
        let output = host::run(self.command().args(["image", "inspect", tag]), ANSWER)?;
        Ok(output.status.success())
    }

    /// Removes an image of ours; that there is none is fine.
    pub(crate) fn remove_image(&self, tag: &str) {
        let _ = host::run(self.command().args(["rmi", "-f", tag]), ANSWER);
    }

    fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.arg("-H").arg(format!("unix://{}", self.socket.display()));
        command
    }

    /// Removes a container of ours; that there is none is fine.
    fn clear(&self, name: &str) {
        let _ = host::run(self.command().args(["rm", "-f", "-v", name]), ANSWER);
    }
}

/// A network, removed on drop.
pub(crate) struct Network {
    docker: Docker,
    /// Its name.
    pub(crate) name: String,
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = host::run(self.docker.command().args(["network", "rm", &self.name]), ANSWER);
    }
}

/// A container, removed on drop.
pub(crate) struct Container {
    docker: Docker,
    /// Its name.
    pub(crate) name: String,
}

impl Container {
    /// What `docker inspect` tells.
    pub(crate) fn facts(&self) -> Result<ContainerFacts> {
        let text = self.docker.call(&["inspect", "--type", "container", &self.name])?;
        let all: Value = serde_json::from_str(&text).context("docker inspect gave no JSON")?;
        ContainerFacts::from_json(&all[0])
    }

    /// Waits until its first process runs.
    pub(crate) fn running(&self) -> Result<ContainerFacts> {
        wait::until(Duration::from_secs(15), "the container runs", || {
            let facts = self.facts()?;
            Ok((facts.pid > 0).then_some(facts))
        })
        .with_context(|| self.name.clone())
    }

    /// Its address on a network.
    pub(crate) fn address(&self, network: &Network) -> Result<String> {
        let form = format!("{{{{(index .NetworkSettings.Networks \"{}\").IPAddress}}}}", network.name);
        self.docker.call(&["inspect", "--format", &form, &self.name])
    }

    /// Runs a program in it, in the background.
    pub(crate) fn exec(&self, argv: &[&str]) -> Result<()> {
        self.docker.call(&[&["exec", "-d", &self.name], argv].concat()).map(drop)
    }

    /// Restarts it.
    pub(crate) fn restart(&self) -> Result<()> {
        self.docker.call(&["restart", "-t", "2", &self.name]).map(drop)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.docker.clear(&self.name);
    }
}

/// What a test needs to know of a running container.
#[derive(Clone, Debug)]
pub(crate) struct ContainerFacts {
    /// The engine's id.
    pub(crate) id: String,
    /// First process in the host's pid namespace; 0 while there is none.
    pub(crate) pid: u32,
    /// `State.StartedAt` in Unix seconds.
    pub(crate) started: f64,
    /// The JSON log file; empty for other log drivers.
    pub(crate) log: PathBuf,
}

impl ContainerFacts {
    fn from_json(value: &Value) -> Result<Self> {
        let text = |at: &str| {
            let text = value.pointer(at).and_then(Value::as_str);
            text.map(str::to_owned).with_context(|| format!("docker inspect has no {at}"))
        };
        let pid = value
            .pointer("/State/Pid")
            .and_then(Value::as_u64)
            .context("docker inspect has no /State/Pid")?;
        let started: jiff::Timestamp = text("/State/StartedAt")?.parse().context("/State/StartedAt")?;
        Ok(Self {
            id: text("/Id")?,
            pid: u32::try_from(pid).context("/State/Pid")?,
            started: started.as_nanosecond() as f64 / 1e9,
            log: text("/LogPath")?.into(),
        })
    }
}

/// The sample attack: the client that a person would have typed, and its container. Ended on drop.
pub(crate) struct Attack {
    client: Child,
    /// The container it started.
    pub(crate) container: Container,
}

impl Attack {
    /// When its first process started, by two views (the engine's and the kernel's), the earlier of both.
    pub(crate) fn start(&mut self) -> Result<(ContainerFacts, f64)> {
        let facts = self.container.running().map_err(|error| error.context(self.complaint()))?;
        let kernel = host::process_start(facts.pid)?;
        let started = facts.started.min(kernel);
        Ok((facts, started))
    }

    /// What the client said when it gave up; nothing while it runs.
    fn complaint(&mut self) -> String {
        let mut text = String::new();
        if let (Ok(Some(_)), Some(mut pipe)) = (self.client.try_wait(), self.client.stderr.take()) {
            // What cannot be read cannot be told.
            let _ = pipe.read_to_string(&mut text);
        }
        format!("docker run says: {}", host::escaped(text.trim()))
    }

    /// Waits until the client has ended: the container's first process has, and the engine is done with it.
    pub(crate) fn wait(mut self) -> Result<()> {
        let status = host::wait_for(&mut self.client, ANSWER);
        ensure!(status.is_some(), "docker run {} does not end", self.container.name);
        Ok(())
    }

    /// `docker kill`, and waits until client and container are gone.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.container.docker.call(&["kill", &self.container.name])?;
        let status: Option<ExitStatus> = host::wait_for(&mut self.client, Duration::from_secs(20));
        ensure!(status.is_some(), "docker run still runs 20 s after docker kill {}", self.container.name);
        Ok(())
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        // The container goes with its own guard; the client only watches it.
        host::end(&mut self.client, Duration::ZERO);
    }
}
