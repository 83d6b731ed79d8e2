//! A Swarm of this one host, for a test.
//!
//! Not here: a Swarm that the host is in already; it is used as it is and left alone.

use anyhow::Result;

use crate::docker::Docker;

/// Services of ours in a Swarm; both gone on drop, the Swarm only when it is ours.
pub(crate) struct Swarm {
    docker: Docker,
    is_ours: bool,
}

impl Swarm {
    /// Makes the host a Swarm unless it is in one.
    pub(crate) fn joined(docker: &Docker) -> Result<Self> {
        let state = docker.call(&["info", "--format", "{{.Swarm.LocalNodeState}}"])?;
        let is_ours = state != "active";
        if is_ours {
            docker.call(&["swarm", "init", "--advertise-addr", "127.0.0.1"])?;
        }
        Ok(Self { docker: docker.clone(), is_ours })
    }

    /// Starts a service of a local image and waits until all of it runs.
    pub(crate) fn create(&self, name: &str, args: &[&str]) -> Result<()> {
        let options = ["service", "create", "--quiet", "--no-resolve-image", "--name", name];
        self.call(&[&options, args].concat())
    }

    /// Runs the client to its end.
    pub(crate) fn call(&self, args: &[&str]) -> Result<()> {
        self.docker.call(args).map(drop)
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let services = self.docker.call(&["service", "ls", "--quiet", "--filter", "name=tw-live-"]);
        for service in services.unwrap_or_default().lines() {
            let _ = self.call(&["service", "rm", service]);
        }
        if self.is_ours {
            let _ = self.call(&["swarm", "leave", "--force"]);
            // Made by the engine for the Swarm, and not taken away with it.
            let _ = self.call(&["network", "rm", "docker_gwbridge"]);
        }
    }
}
