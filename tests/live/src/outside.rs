//! Somebody outside: a network namespace behind a cable to this host, with addresses set aside for documentation
//! (RFC 5737), where the load generator serves.
//!
//! Not here: the way there. The engine's own masquerade leads containers to it, as it leads them to the Internet.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::host;
use crate::load;

const ANSWER: Duration = Duration::from_secs(20);

/// Whom the outside is made of: three hosts in three networks, and a name server.
pub(crate) const HOSTS: [&str; 3] = ["203.0.113.10", "198.51.100.10", "192.0.2.10"];
/// Answers every question.
pub(crate) const NAME_SERVER: &str = "203.0.113.53";
/// Where the hosts serve.
pub(crate) const PORT: u16 = 443;

/// Names of the namespace and of the cable's ends; a run that was killed leaves them behind, and the next replaces them.
const NAMESPACE: &str = "tw-live-outside";
const NEAR: &str = "tw-live-near";
const FAR: &str = "tw-live-far";

/// The outside; gone on drop.
pub(crate) struct Outside {
    servers: Vec<Child>,
}

impl Outside {
    /// Lays the cable and starts the servers.
    pub(crate) fn open() -> Result<Self> {
        host::require("ip", "iproute2")?;
        clear();
        ip(&["netns", "add", NAMESPACE])?;
        let mut outside = Self { servers: Vec::new() };
        ip(&["link", "add", NEAR, "type", "veth", "peer", "name", FAR, "netns", NAMESPACE])?;
        ip(&["link", "set", NEAR, "up"])?;
        inside(&["link", "set", "lo", "up"])?;
        inside(&["link", "set", FAR, "up"])?;
        // A small network of the cable's own; everything else is routed over it, as to the Internet.
        ip(&["addr", "add", "198.18.0.1/30", "dev", NEAR])?;
        inside(&["addr", "add", "198.18.0.2/30", "dev", FAR])?;
        inside(&["route", "add", "default", "via", "198.18.0.1"])?;
        for address in HOSTS.iter().chain([&NAME_SERVER]) {
            inside(&["addr", "add", &format!("{address}/32"), "dev", "lo"])?;
            ip(&["route", "add", &format!("{address}/32"), "via", "198.18.0.2"])?;
        }
        for host in HOSTS {
            outside.serve(&["serve", &format!("{host}:{PORT}")])?;
        }
        outside.serve(&["names", &format!("{NAME_SERVER}:53")])?;
        Ok(outside)
    }

    /// Runs the load generator out there.
    pub(crate) fn serve(&mut self, words: &[&str]) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", NAMESPACE]).arg(load::program()?).args(words);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.servers.push(child.context("cannot run ip netns exec")?);
        Ok(())
    }

    /// A listener that waits for somebody to connect a shell, as `nc -l` of an adversary does.
    pub(crate) fn wait_for_shell(&mut self, port: u16) -> Result<()> {
        self.serve(&["serve", &format!("{}:{port}", HOSTS[0])])
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        for server in &mut self.servers {
            host::end(server, Duration::ZERO);
        }
        clear();
    }
}

fn clear() {
    // That there is none is fine.
    let _ = host::run(Command::new("ip").args(["link", "del", NEAR]), ANSWER);
    let _ = host::run(Command::new("ip").args(["netns", "del", NAMESPACE]), ANSWER);
}

fn ip(words: &[&str]) -> Result<()> {
    host::succeed(Command::new("ip").args(words), ANSWER).map(drop)
}

fn inside(words: &[&str]) -> Result<()> {
    host::succeed(Command::new("ip").args(["-n", NAMESPACE]).args(words), ANSWER).map(drop)
}
