//! containerd through its own client: the one that Docker runs, and one of the test's own.
//!
//! Not here: its interface for the kubelet, see `cri.rs`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::host;
use crate::private_engine::unmount_below;
use crate::tidewatch::Room;
use crate::{cgroups, wait};

/// Longest wait for an answer of the client, and for a containerd to come up.
const ANSWER: Duration = Duration::from_secs(30);

/// Where Docker's containerd listens: its own, or the host's that Docker was told to use.
const OF_DOCKER: [&str; 2] = ["/run/docker/containerd/containerd.sock", "/run/containerd/containerd.sock"];

/// A containerd, by its socket.
#[derive(Clone)]
pub(crate) struct Containerd {
    socket: PathBuf,
}

impl Containerd {
    /// The one that the host's Docker runs its containers with.
    pub(crate) fn of_docker() -> Result<Self> {
        host::require("ctr", "containerd")?;
        let socket = OF_DOCKER.iter().map(PathBuf::from).find(|path| path.exists());
        Ok(Self { socket: socket.context("Docker's containerd has no socket in the usual places")? })
    }

    /// Runs its client to the end; it must succeed.
    pub(crate) fn ctr(&self, namespace: &str, args: &[&str]) -> Result<String> {
        host::succeed(self.command(namespace).args(args), ANSWER)
    }

    /// Runs a container in the background; `args` are `ctr run`'s, without its name: an image, or options that end with
    /// `--rootfs` and a directory.
    pub(crate) fn run(&self, namespace: &str, name: &str, args: &[&str], argv: &[&str]) -> Result<Task> {
        let mut task =
            Task { containerd: self.clone(), namespace: namespace.to_owned(), name: name.to_owned(), pid: 0 };
        task.clear();
        self.ctr(namespace, &[&["run", "--detach"], args, &[name], argv].concat())?;
        task.pid = self.pid_of(namespace, name)?;
        Ok(task)
    }

    /// The first process of a container.
    pub(crate) fn pid_of(&self, namespace: &str, id: &str) -> Result<u32> {
        wait::until(ANSWER, "containerd's container runs", || {
            let listed = self.ctr(namespace, &["tasks", "list"])?;
            let line = listed.lines().find(|line| line.split_whitespace().next() == Some(id));
            Ok(line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()))
        })
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    fn command(&self, namespace: &str) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(&self.socket).args(["--namespace", namespace]);
        command
    }
}

/// A container of `ctr run`; removed on drop, and its namespace when nothing else is in it.
pub(crate) struct Task {
    containerd: Containerd,
    namespace: String,
    name: String,
    /// Its first process.
    pub(crate) pid: u32,
}

impl Task {
    /// Removes what there is of it; that there is nothing is fine.
    fn clear(&self) {
        for words in [["tasks", "remove", "--force"].as_slice(), &["containers", "remove"]] {
            let _ = host::run(self.containerd.command(&self.namespace).args(words).arg(&self.name), ANSWER);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.clear();
        // Refused while anything is in it.
        let _ = host::run(
            self.containerd.command(&self.namespace).args(["namespaces", "remove", &self.namespace]),
            ANSWER,
        );
        cgroups::remove_left_over(&self.namespace);
    }
}

/// A containerd of the test's own; ended on drop with whatever still runs in it.
pub(crate) struct PrivateContainerd {
    root: PathBuf,
    child: Child,
    /// How it is called.
    pub(crate) client: Containerd,
}

impl PrivateContainerd {
    /// Starts one and waits until it answers. `plugins` is what its settings say of plug-ins.
    pub(crate) fn start(room: &Room, plugins: &str) -> Result<Self> {
        host::require("containerd", "containerd")?;
        // Short, as a socket's path is limited to 107 bytes.
        let root = room.path("c");
        fs::create_dir_all(&root)?;
        let (settings, socket) = (root.join("config.toml"), root.join("containerd.sock"));
        fs::write(&settings, written(&root, &socket, plugins))?;
        let log = File::create(room.path("containerd.log"))?;
        let child = Command::new("containerd")
            .arg("--config")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run containerd")?;
        let mut started = Self { root, child, client: Containerd { socket } };
        wait::until(ANSWER, "the test's containerd answers", || {
            if let Some(status) = started.child.try_wait()? {
                bail!("containerd ended: {status}");
            }
            started.client.ctr("default", &["version"]).map(Some)
        })?;
        Ok(started)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for PrivateContainerd {
    fn drop(&mut self) {
        let ours = self.root.display().to_string();
        for shim in host::processes("containerd-shim", &ours).unwrap_or_default() {
            host::children(shim).into_iter().for_each(cgroups::end_group_of);
            host::signal(shim, Signal::KILL);
        }
        host::end(&mut self.child, Duration::from_secs(5));
        unmount_below(&ours);
        for namespace in ["default", "k8s.io"] {
            cgroups::remove_left_over(namespace);
        }
    }
}

fn written(root: &Path, socket: &Path, plugins: &str) -> String {
    format!(
        "version = 2\nroot = {:?}\nstate = {:?}\n{plugins}\n[grpc]\naddress = {:?}\n[debug]\nlevel = \"warn\"\n",
        root.join("root").display().to_string(),
        root.join("state").display().to_string(),
        socket.display().to_string()
    )
}
