//! CPU time that container engines spend on behalf of containers, and that of kernel threads.
//!
//! A process is an engine's by its name and by living in the host's pid namespace, so that a container cannot pose as
//! one. Not here: a container started with the host's pid namespace, which can; its privileges are judged elsewhere.

use std::collections::{BTreeMap, HashSet};

use model::ids::ProcessKey;
use model::untrusted::Untrusted;
use model::usage::{EngineRole, EngineUsage};

use crate::error::HostfsError;
use crate::kept::{KeptFile, buffer};
use crate::kernel_threads::KernelThreads;
use crate::proc_dir::{namespace, pid_path, pids, stat};
use crate::process::{cmdline, host_namespaces};
use crate::root::HostRoot;
use crate::stat::Stat;

/// Most engine processes watched: one shim a container and a few daemons.
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

    /// Processes that the last refresh did not look at or did not begin to watch because of a limit.
    pub fn left_out(&self) -> u64 {
        self.left_out + self.kernel_threads.left_out()
    }

    /// Whether the process is watched now, as an engine or a kernel thread.
    fn consider(&mut self, pid: u32, text: &mut Vec<u8>) -> bool {
        let Ok(stat) = stat(&self.root, pid, text) else { return false };
        if stat.is_kernel_thread() && (pid == 2 || stat.parent_pid == 2) {
            self.kernel_threads.consider(&self.root, &stat);
            return self.kernel_threads.knows(pid);
        }
        let role = role(stat.name()).filter(|_| self.is_of_host(pid));
        let is_engine = role.is_some_and(|role| self.watch(&stat, role));
        if !is_engine {
            self.engines.remove(&pid);
        }
        is_engine
    }

    fn is_of_host(&self, pid: u32) -> bool {
        namespace(&self.root, pid, "pid").is_ok_and(|inode| inode == self.host_pid_namespace)
    }

    fn watch(&mut self, stat: &Stat, role: EngineRole) -> bool {
        let process = ProcessKey { pid: stat.pid, start_ns: stat.start_ns };
        let known = self.engines.get(&stat.pid);
        if known.is_some_and(|engine| engine.usage.process == process && engine.usage.role == role) {
            return true;
        }
        let Ok(cmdline) = cmdline(&self.root, stat.pid) else { return false };
        // Every other use of `podman` is a command that somebody typed.
        if stat.name() == b"podman" && !has_words(&cmdline, [b"system", b"service"]) {
            return false;
        }
        if self.engines.len() >= ENGINES_MAX {
            self.left_out += 1;
            return false;
        }
        let Ok(file) = KeptFile::open(&pid_path(&self.root, stat.pid, "stat")) else { return false };
        let container_id = (role == EngineRole::Shim).then(|| container_id(&cmdline)).flatten();
        let name = Untrusted::from_bytes(stat.name());
        let usage = EngineUsage { process, role, name, container_id, cpu_ns: stat.cpu_ns };
        self.engines.insert(stat.pid, Engine { usage, stat: file });
        true
    }
}

/// The part in an engine of a program of that name, which the kernel cuts to 15 bytes.
fn role(name: &[u8]) -> Option<EngineRole> {
    match name {
        b"dockerd" | b"containerd" | b"crio" | b"podman" => Some(EngineRole::Daemon),
        b"conmon" => Some(EngineRole::Shim),
        name => name.starts_with(b"containerd-shim").then_some(EngineRole::Shim),
    }
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

fn has_words(cmdline: &[u8], wanted: [&[u8]; 2]) -> bool {
    let words: Vec<&[u8]> = cmdline.split(|&byte| byte == 0).collect();
    words.windows(2).any(|pair| pair == wanted)
}

#[cfg(test)]
mod tests;
