//! The host as a whole: CPU time by kind, memory, pressure, tasks, from files that stay open.
//!
//! Not here: engines and kernel threads (`engine.rs`) and file systems (`disk.rs`), whose fields stay empty.

use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use model::usage::{CpuTimes, HostUsage, Pressure, Pressures};
use rustix::io::Errno;

use crate::cgroup_files::pressure;
use crate::error::HostfsError;
use crate::kept::{KeptFile, buffer};
use crate::root::HostRoot;
use crate::stat::TICK_NS;
use crate::text::{lines, number, split_once, value_of, words};

/// `/proc/stat` grows with cores and interrupts; 512 cores need about 150 KiB.
const STAT_BYTES_MAX: usize = 4 * 1024 * 1024;
const STAT_BYTES_START: usize = 64 * 1024;

/// What reading pressure fails with on a kernel started with `psi=0`.
const UNSUPPORTED: i32 = Errno::OPNOTSUPP.raw_os_error();

/// Reads the host.
#[derive(Debug)]
pub struct HostReader {
    stat: HostFile,
    stat_text: Vec<u8>,
    meminfo: HostFile,
    loadavg: HostFile,
    pid_max: HostFile,
    /// CPU, memory, I/O; `None` on kernels without pressure information.
    pressures: [Option<HostFile>; 3],
}

#[derive(Debug)]
struct HostFile {
    path: PathBuf,
    file: KeptFile,
}

impl HostReader {
    /// Opens the files; only those of pressure may be absent.
    pub fn open(root: &HostRoot) -> Result<Self, HostfsError> {
        let pressure = |name| HostFile::open(root.at(Path::new("proc/pressure").join(name))).ok();
        Ok(Self {
            stat: HostFile::open(root.at("proc/stat"))?,
            stat_text: Vec::with_capacity(STAT_BYTES_START),
            meminfo: HostFile::open(root.at("proc/meminfo"))?,
            loadavg: HostFile::open(root.at("proc/loadavg"))?,
            pid_max: HostFile::open(root.at("proc/sys/kernel/pid_max"))?,
            pressures: [pressure("cpu"), pressure("memory"), pressure("io")],
        })
    }

    /// Reads everything but the fields named above.
    pub fn read(&mut self) -> Result<HostUsage, HostfsError> {
        let mut usage = self.read_stat()?;
        let mut buffer = buffer();
        let meminfo = self.meminfo.read(&mut buffer)?;
        let kib = |key| value_of(meminfo, key).map(|kib| kib.saturating_mul(1024));
        usage.memory_total_bytes = self.meminfo.need(kib(b"MemTotal:"), "has no MemTotal")?;
        usage.memory_available_bytes = self.meminfo.need(kib(b"MemAvailable:"), "has no MemAvailable")?;
        let tasks = tasks(self.loadavg.read(&mut buffer)?);
        usage.tasks = self.loadavg.need(tasks, "has no number of tasks")?;
        let limit = number(self.pid_max.read(&mut buffer)?);
        usage.tasks_limit = self.pid_max.need(limit, "is not a number")?;
        let [cpu, memory, io] = &self.pressures;
        usage.pressures =
            Pressures { cpu: read_pressure(cpu)?, memory: read_pressure(memory)?, io: read_pressure(io)? };
        Ok(usage)
    }

    fn read_stat(&mut self) -> Result<HostUsage, HostfsError> {
        let HostFile { path, file } = &self.stat;
        let whole = file.read_growing(&mut self.stat_text, STAT_BYTES_MAX, || path.clone());
        if !whole.map_err(|errno| HostfsError::io(path, errno))? {
            return Err(HostfsError::malformed(path, "is longer than such a file can be"));
        }
        self.stat.need(parse_stat(&self.stat_text), "lacks the line `cpu`, a core or `procs_running`")
    }
}

impl HostFile {
    fn open(path: PathBuf) -> Result<Self, HostfsError> {
        let file = KeptFile::open(&path).map_err(|errno| HostfsError::io(&path, errno))?;
        Ok(Self { path, file })
    }

    fn read<'b>(&self, buffer: &'b mut [MaybeUninit<u8>]) -> Result<&'b [u8], HostfsError> {
        let read = self.file.read(buffer, || self.path.clone());
        read.map_err(|errno| HostfsError::io(&self.path, errno))
    }

    fn need<T>(&self, value: Option<T>, what: &'static str) -> Result<T, HostfsError> {
        value.ok_or_else(|| HostfsError::malformed(&self.path, what))
    }
}

fn read_pressure(file: &Option<HostFile>) -> Result<Option<Pressure>, HostfsError> {
    let Some(file) = file else { return Ok(None) };
    let mut buffer = buffer();
    match file.read(&mut buffer) {
        Ok(text) => file.need(pressure(text), "is not pressure-stall information").map(Some),
        Err(HostfsError::Io { source, .. }) if source.raw_os_error() == Some(UNSUPPORTED) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Cores, CPU times and runnable processes.
fn parse_stat(text: &[u8]) -> Option<HostUsage> {
    let cpu = lines(text).find_map(|line| line.strip_prefix(b"cpu "))?;
    let cores =
        lines(text).filter(|line| line.starts_with(b"cpu") && line[3..].first() != Some(&b' ')).count();
    Some(HostUsage {
        cores: u32::try_from(cores).ok().filter(|&cores| cores > 0)?,
        cpu: cpu_times(cpu)?,
        runnable: value_of(text, b"procs_running ")?,
        ..HostUsage::default()
    })
}

/// `user nice system idle iowait irq softirq steal` in ticks; guests' time, which follows, is part of `user`.
fn cpu_times(line: &[u8]) -> Option<CpuTimes> {
    let mut ticks = words(line).map(|word| Some(number(word)?.saturating_mul(TICK_NS)));
    let mut next = || ticks.next()?;
    Some(CpuTimes {
        user_ns: next()?.saturating_add(next()?),
        system_ns: next()?,
        idle_ns: next()?,
        iowait_ns: next()?,
        irq_ns: next()?,
        softirq_ns: next()?,
        steal_ns: next()?,
    })
}

/// `0.02 0.44 0.35 1/121 12654`: the number after the stroke.
fn tasks(loadavg: &[u8]) -> Option<u64> {
    let (_, tasks) = split_once(words(loadavg).nth(3)?, b'/')?;
    number(tasks)
}

#[cfg(test)]
mod tests;
