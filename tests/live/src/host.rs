//! This host: commands run with a time limit, processes of `/proc`, the clock.
//!
//! Not here: control groups, see `cgroups.rs`.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

use crate::wait;

/// Clock ticks a second in `/proc`: `USER_HZ`, 100 on every architecture we run on.
pub(crate) const TICKS_PER_SECOND: f64 = 100.0;

/// How much of a command or of a log line a message shows.
const SHOWN_CHARS_MAX: usize = 300;

/// What a command left behind.
pub(crate) struct Output {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it printed.
    pub(crate) stdout: Vec<u8>,
    /// What it complained about.
    pub(crate) stderr: Vec<u8>,
}

impl Output {
    /// Standard output and standard error together, for messages.
    pub(crate) fn text(&self) -> String {
        let both = [self.stdout.as_slice(), self.stderr.as_slice()].concat();
        String::from_utf8_lossy(&both).trim().to_owned()
    }
}

/// Runs a command to its end; kills it and fails when it takes longer than `limit`.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<Output> {
    let shown = describe(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {shown}"))?;
    let stdout = child.stdout.take().context("no pipe for stdout")?;
    let stderr = child.stderr.take().context("no pipe for stderr")?;
    let (stdout, stderr) = (thread::spawn(move || drain(stdout)), thread::spawn(move || drain(stderr)));
    let status = wait_for(&mut child, limit);
    if status.is_none() {
        end(&mut child, Duration::ZERO);
        bail!("{shown} took longer than {} s", limit.as_secs_f64());
    }
    let status = status.context("no exit status")?;
    let read = |thread: thread::JoinHandle<Vec<u8>>| thread.join().map_err(|_| anyhow!("reader panicked"));
    Ok(Output { status, stdout: read(stdout)?, stderr: read(stderr)? })
}

/// Runs a command that must succeed, and gives what it printed.
pub(crate) fn succeed(command: &mut Command, limit: Duration) -> Result<String> {
    let output = run(command, limit)?;
    ensure!(output.status.success(), "{}: {}: {}", describe(command), output.status, output.text());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Waits for a child; `None` when it still runs after `limit`.
pub(crate) fn wait_for(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => wait::nap(Duration::from_millis(10)),
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Ends a child of ours: SIGTERM, `grace` to comply, SIGKILL. With no grace it is killed at once.
pub(crate) fn end(child: &mut Child, grace: Duration) {
    if !grace.is_zero() {
        signal(child.id(), Signal::TERM);
        if wait_for(child, grace).is_some() {
            return;
        }
    }
    // Both fail only when it has ended already, which is what we want.
    let _ = child.kill();
    let _ = child.wait();
}

/// Sends a signal to a process that we started; one that has ended already needs none.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, signal);
    }
}

/// Seconds since the Unix epoch.
pub(crate) fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |span| span.as_secs_f64())
}

/// When a process started, in Unix seconds, to a hundredth. `/proc/stat`'s `btime` is too coarse for that.
pub(crate) fn process_start(pid: u32) -> Result<f64> {
    let ticks: f64 = stat_field(pid, 22)?;
    let uptime = clock_gettime(ClockId::Boottime);
    let booted = unix_now() - (uptime.tv_sec as f64 + uptime.tv_nsec as f64 / 1e9);
    Ok(booted + ticks / TICKS_PER_SECOND)
}

/// CPU time of a process with all its threads, in seconds.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let (user, system): (f64, f64) = (stat_field(pid, 14)?, stat_field(pid, 15)?);
    Ok((user + system) / TICKS_PER_SECOND)
}

/// Pids of all processes of that name whose command line holds `part`. Children that a process of that name has
/// forked and that did not execute their own program yet are left out: they are gone in a moment.
pub(crate) fn processes(name: &str, part: &str) -> Result<Vec<u32>> {
    let mut pids = all_processes(name, part)?;
    pids.retain(|pid| stat_field(*pid, 4).is_ok_and(|parent| comm(parent as u32) != name));
    Ok(pids)
}

/// Pids of all processes of that name whose command line holds `part`.
pub(crate) fn all_processes(name: &str, part: &str) -> Result<Vec<u32>> {
    let pids = fs::read_dir("/proc").context("cannot list /proc")?.filter_map(Result::ok);
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Ok(pids.filter(|pid| is_called(*pid, name, part)).collect())
}

/// Pids of a process's children.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Fails with the remedy unless a program is installed.
pub(crate) fn require(program: &str, package: &str) -> Result<()> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|dir| dir.join(program).is_file());
    ensure!(found, "{program} is not installed: apt-get install {package}");
    Ok(())
}

/// The file's last `lines` lines, control characters escaped; a file that cannot be read says so.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let Ok(bytes) = fs::read(path) else { return format!("cannot read {}", path.display()) };
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    let last = all.iter().skip(all.len().saturating_sub(lines));
    last.map(|line| format!("    {}\n", escaped(&line.chars().take(SHOWN_CHARS_MAX).collect::<String>())))
        .collect()
}

/// The text with control characters written out.
pub(crate) fn escaped(text: &str) -> String {
    let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(plain).collect()
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let start: String = line.join(" ").chars().take(SHOWN_CHARS_MAX).collect();
    format!("`{}`", escaped(&start))
}

fn drain(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What came before an error is still worth showing.
    let _ = pipe.read_to_end(&mut bytes);
    bytes
}

/// A field of `/proc/PID/stat`, numbered from 1 as in proc(5).
fn stat_field(pid: u32, number: usize) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name may hold spaces and brackets: fields are counted from the last bracket on.
    let rest = text.rsplit_once(')').with_context(|| format!("{path}: no name"))?.1;
    let field =
        rest.split_whitespace().nth(number - 3).with_context(|| format!("{path}: no field {number}"))?;
    field.parse().with_context(|| format!("{path}: field {number}"))
}

fn is_called(pid: u32, name: &str, part: &str) -> bool {
    // Processes end while we look.
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    comm(pid) == name && String::from_utf8_lossy(&line).contains(part)
}

fn comm(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_hangs_is_ended() {
        let error = run(Command::new("sleep").arg("60"), Duration::from_millis(50)).err().unwrap();
        assert_eq!(error.to_string(), "`sleep 60` took longer than 0.05 s");
    }

    #[test]
    fn our_own_start_lies_in_the_last_minutes() {
        let age = unix_now() - process_start(std::process::id()).unwrap();
        assert!((-0.1..600.0).contains(&age), "{age}");
    }
}
