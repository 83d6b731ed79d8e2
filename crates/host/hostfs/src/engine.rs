//! CPU time that others spend on behalf of containers: engines, their clients, loggers, and kernel threads.
//!
//! A process is an engine's by its name and by living in the host's pid namespace, so that a container cannot pose as
//! one. Not here: a container started with the host's pid namespace, which can; its privileges are judged elsewhere.

use std::collections::{BTreeMap, HashSet};

use model::untrusted::Untrusted;
use model::usage::{EngineRole, EngineUsage, KernelWork};

use crate::error::HostfsError;
use crate::kept::{KeptFile, buffer};
use crate::kernel_threads::KernelThreads;
use crate::proc_dir::{key, namespace, pid_path, pids, stat};
use crate::process::{cmdline, host_namespaces};
use crate::root::HostRoot;
use crate::stat::Stat;

/// Most engine processes watched: one shim a container, its clients, a few daemons and loggers.
pub const ENGINES_MAX: usize = 20_000;
/// Most kernel threads watched; a host has about ten a core.
pub const KERNEL_THREADS_MAX: usize = 4096;
/// A process seen before is looked at again in one of so many listings: its pid may have gone to another, or it may
/// have executed another program since.
const LOOK_AGAIN_IN: u32 = 8;

/// Reads the engines' processes.
#[derive(Debug)]
pub struct EngineReader {
    root: HostRoot,
    host_pid_namespace: u32,
    engines: BTreeMap<u32, Engine>,
    kernel_threads: KernelThreads,
    others: HashSet<u32>,
    turn: u32,
    left_out: u64,
}

#[derive(Debug)]
struct Engine {
    usage: EngineUsage,
    stat: KeptFile,
}

impl EngineReader {
    /// Fails when the host's own namespaces cannot be read.
    pub fn new(root: &HostRoot) -> Result<Self, HostfsError> {
        Ok(Self {
            root: root.clone(),
            host_pid_namespace: host_namespaces(root)?.pid,
            engines: BTreeMap::new(),
            kernel_threads: KernelThreads::default(),
            others: HashSet::new(),
            turn: 0,
            left_out: 0,
        })
    }

    /// Lists all processes to find engines and kernel threads; for every few seconds.
    pub fn refresh(&mut self) -> Result<(), HostfsError> {
        let (pids, left_out) = pids(&self.root)?;
        self.left_out = left_out;
        self.kernel_threads.begin();
        self.turn = (self.turn + 1) % LOOK_AGAIN_IN;
        let before = std::mem::take(&mut self.others);
        let mut text = Vec::new();
        for pid in pids {
            let left_out_before = self.left_out();
            let is_other = before.contains(&pid);
            let is_known = is_other || self.engines.contains_key(&pid) || self.kernel_threads.knows(pid);
            let is_watched = match is_known && pid % LOOK_AGAIN_IN != self.turn {
                true => !is_other,
                false => self.consider(pid, &mut text),
            };
            // What a limit left out is looked at by every refresh, so that the count of it is whole.
            if !is_watched && self.left_out() == left_out_before {
                self.others.insert(pid);
            }
        }
        Ok(())
    }

    /// A process that may be an engine's was just executed; whether it is one.
    pub fn notice(&mut self, pid: u32) -> bool {
        self.consider(pid, &mut Vec::new()) && self.engines.contains_key(&pid)
    }

    /// CPU time of each engine process, by pid. Those that ended are left out from now on.
    pub fn read(&mut self) -> Vec<EngineUsage> {
        let mut buffer = buffer();
        let root = &self.root;
        self.engines.retain(|&pid, engine| {
            let read = engine.stat.read(&mut buffer, || pid_path(root, pid, "stat"));
            let now = read.ok().and_then(Stat::parse);
            // A file kept open never shows a later process of the same pid; one opened anew may.
            let now = now.filter(|stat| stat.start_ns == engine.usage.process.start_ns && !stat.has_ended());
            now.inspect(|stat| engine.usage.cpu_ns = stat.cpu_ns).is_some()
        });
        self.engines.values().map(|engine| engine.usage.clone()).collect()
    }

    /// CPU time of all kernel threads in nanoseconds: never falls, `None` before the first refresh and where they are
    /// out of sight.
    pub fn kernel_threads_ns(&mut self) -> Option<u64> {
        self.kernel_threads.read(&self.root)
    }

    /// Of that, what is known by the threads' names; as of the last [`Self::kernel_threads_ns`].
    pub fn kernel_work(&self) -> Option<KernelWork> {
        self.kernel_threads.work()
    }

    /// Processes that the last refresh did not look at or did not begin to watch because of a limit.
    pub fn left_out(&self) -> u64 {
        self.left_out + self.kernel_threads.left_out()
    }

    /// Whether the process is watched now, as an engine or a kernel thread.
    fn consider(&mut self, pid: u32, text: &mut Vec<u8>) -> bool {
        let Ok(stat) = stat(&self.root, pid, text) else { return false };
        if stat.is_kernel_thread() && (pid == 2 || stat.parent_pid == 2) {
            self.kernel_threads.consider(&self.root, &stat, text);
            return self.kernel_threads.knows(pid);
        }
        let program = program(stat.name()).filter(|_| self.is_of_host(pid));
        let is_engine = program.is_some_and(|program| self.watch(&stat, program));
        if !is_engine {
            self.engines.remove(&pid);
        }
        is_engine
    }

    fn is_of_host(&self, pid: u32) -> bool {
        namespace(&self.root, pid, "pid").is_ok_and(|inode| inode == self.host_pid_namespace)
    }

    fn watch(&mut self, stat: &Stat, program: Program) -> bool {
        let process = key(stat);
        let name = Untrusted::from_bytes(stat.name());
        let known = self.engines.get(&stat.pid);
        if known.is_some_and(|engine| engine.usage.process == process && engine.usage.name == name) {
            return true;
        }
        let Ok(cmdline) = cmdline(&self.root, stat.pid) else { return false };
        let Some(role) = program.role(&cmdline) else { return false };
        if self.engines.len() >= ENGINES_MAX {
            self.left_out += 1;
            return false;
        }
        let Ok(file) = KeptFile::open(&pid_path(&self.root, stat.pid, "stat")) else { return false };
        let container_id = (role == EngineRole::Shim).then(|| container_id(&cmdline)).flatten();
        let usage = EngineUsage { process, role, name, container_id, cpu_ns: stat.cpu_ns };
        self.engines.insert(stat.pid, Engine { usage, stat: file });
        true
    }
}

/// What a program's name, which the kernel cuts to 15 bytes, tells of its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    /// Everything.
    Always(EngineRole),
    /// A client when it is to copy output, else nothing.
    Command,
    /// Either a client or a daemon.
    Podman,
}

impl Program {
    fn role(self, cmdline: &[u8]) -> Option<EngineRole> {
        let task = match self {
            Self::Always(role) => return Some(role),
            Self::Command | Self::Podman => task(cmdline)?,
        };
        match task {
            Task::CopyOutput => Some(EngineRole::Client),
            Task::Serve => (self == Self::Podman).then_some(EngineRole::Daemon),
        }
    }
}

fn program(name: &[u8]) -> Option<Program> {
    match name {
        b"dockerd" | b"containerd" | b"crio" => Some(Program::Always(EngineRole::Daemon)),
        b"conmon" => Some(Program::Always(EngineRole::Shim)),
        b"podman" => Some(Program::Podman),
        b"docker" | b"docker-compose" | b"ctr" | b"nerdctl" | b"crictl" => Some(Program::Command),
        b"systemd-journal" | b"rsyslogd" | b"syslog-ng" | b"syslogd" | b"klogd" | b"fluent-bit" => {
            Some(Program::Always(EngineRole::Logger))
        }
        name => name.starts_with(b"containerd-shim").then_some(Program::Always(EngineRole::Shim)),
    }
}

/// What a client of an engine was told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// To pass on a container's output.
    CopyOutput,
    /// `podman system service`: to serve other clients.
    Serve,
}

/// The first argument that names a task decides: those behind it are the container's.
fn task(cmdline: &[u8]) -> Option<Task> {
    let mut words = cmdline.split(|&byte| byte == 0).skip(1).peekable();
    while let Some(word) = words.next() {
        match word {
            b"run" | b"start" | b"attach" | b"logs" | b"exec" | b"up" => return Some(Task::CopyOutput),
            b"system" if words.peek() == Some(&b"service".as_slice()) => return Some(Task::Serve),
            _ => {}
        }
    }
    None
}

/// `containerd-shim-runc-v2 -id X`, `conmon -c X`, `conmon --cid X`, `conmon --cid=X`.
fn container_id(cmdline: &[u8]) -> Option<Untrusted> {
    let mut words = cmdline.split(|&byte| byte == 0).skip(1);
    while let Some(word) = words.next() {
        let value = match word {
            b"-id" | b"-c" | b"--cid" => words.next(),
            word => word.strip_prefix(b"--cid="),
        };
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            return Some(Untrusted::from_bytes(value));
        }
    }
    None
}

#[cfg(test)]
mod tests;
