//! The machine that is measured on, and how busy others keep it.
//!
//! Not here: anything about Tidewatch.

use std::fs;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// What the figures depend on.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) kernel: String,
}

impl Machine {
    /// This machine.
    pub(crate) fn here() -> Result<Self> {
        let processors = fs::read_to_string("/proc/cpuinfo").context("/proc/cpuinfo")?;
        let name = |line: &str| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim().to_owned());
        let kernel = rustix::system::uname();
        Ok(Self {
            cores: available_parallelism()?.get(),
            processor: processors.lines().find_map(name).unwrap_or_else(|| "unnamed processor".to_owned()),
            kernel: format!("Linux {}", kernel.release().to_string_lossy()),
        })
    }
}

/// Processes that ran or waited to run over the last minute, on average: the bench's own are among them.
pub(crate) fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("/proc/loadavg")?;
    let first = text.split(' ').next().unwrap_or_default();
    first.parse().with_context(|| format!("/proc/loadavg begins with {first:?}"))
}

/// CPU time of the calling thread: waiting for a core that others use does not count.
pub(crate) fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), nanoseconds)
}
