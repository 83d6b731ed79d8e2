//! What the kernel says about one process: memory and CPU.
//!
//! Not here: Tidewatch's own readers; a bench that measures itself with what it measures proves little.

use std::fs;

use anyhow::{Context, Result};

/// Clock ticks a second in `/proc`: `USER_HZ`, 100 on every architecture we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A line of `/proc/PID/status` in kilobytes, given in bytes: `VmRSS`, `RssAnon`. `pid` may be `self`.
pub(crate) fn status_bytes(pid: &str, line: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let value = text.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
    let value = value.with_context(|| format!("{path} has no {line}"))?;
    let kilobytes = value.trim().trim_end_matches(" kB").parse::<u64>();
    Ok(1024 * kilobytes.with_context(|| format!("{path}: {line} is {value:?}"))?)
}

/// CPU time of all threads of a process in seconds, in steps of 10 ms.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    // The name before the last bracket may hold blanks and brackets; utime and stime are the 14th and 15th fields.
    let (_, rest) = text.rsplit_once(") ").with_context(|| format!("{path} holds no name"))?;
    let ticks: Vec<f64> = rest.split(' ').skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// Calls of `read` and its kin that this process has made (`/proc/self/io`).
pub(crate) fn own_reads() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/io").context("/proc/self/io")?;
    let count = text.lines().find_map(|line| line.strip_prefix("syscr: "));
    Ok(count.context("/proc/self/io does not count reads")?.trim().parse()?)
}
