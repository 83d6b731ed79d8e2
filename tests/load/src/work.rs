//! Load on what every program uses: CPU, memory, tasks, the disk.
//!
//! Not here: objects of the kernel, see `objects.rs`.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::hold;

const MEGABYTE: usize = 1_000_000;

/// Least memory a thread's stack can have.
const STACK_BYTES: usize = 16 * 1024;

/// How often a share of a core is decided anew.
const SLICE: Duration = Duration::from_millis(100);

/// Keeps that many threads busy without end.
pub(crate) fn burn(threads: usize) {
    let spin = || loop {
        black_box(spin_for(SLICE));
    };
    for _ in 1..threads {
        thread::spawn(spin);
    }
    spin();
}

/// Uses a share of a core that grows from nothing to `most` over `span`, and stays there; what it needs it needs, however
/// long it must wait for it.
pub(crate) fn ramp(span: Duration, most: f64) {
    let start = Instant::now();
    loop {
        let slice = Instant::now();
        let share = most * (start.elapsed().as_secs_f64() / span.as_secs_f64()).min(1.0);
        compute_for(SLICE.mul_f64(share));
        thread::sleep(SLICE.saturating_sub(slice.elapsed()));
    }
}

/// Takes and touches so many megabytes a second, up to `most`, and keeps them.
pub(crate) fn memory(per_second: usize, most: usize) -> io::Result<()> {
    let mut held: Vec<Vec<u8>> = Vec::new();
    let pause = Duration::from_secs(1) / u32::try_from(per_second.max(1)).map_err(io::Error::other)?;
    while held.len() < most {
        held.push(vec![1; MEGABYTE]);
        thread::sleep(pause);
    }
    hold(held)
}

/// Starts so many threads that sleep; with fewer when no more may be had.
pub(crate) fn tasks(count: usize) -> io::Result<()> {
    let sleep = || hold(());
    for _ in 0..count {
        let started = thread::Builder::new().stack_size(STACK_BYTES).spawn(sleep);
        if started.is_err() {
            // What may be had is had: the limit is what this is about.
            break;
        }
    }
    hold(())
}

/// Writes a page and makes the disk keep it, so many times a second, as a database does for each transaction.
pub(crate) fn fsync(per_second: u32, dir: &Path) -> io::Result<()> {
    let mut file = File::create(dir.join("log"))?;
    let pause = Duration::from_secs(1) / per_second.max(1);
    let mut due = Instant::now();
    for number in 0_u64.. {
        if number % 1_000 == 0 {
            file = File::create(dir.join("log"))?;
        }
        file.write_all(&[b'x'; 4096])?;
        file.sync_data()?;
        due = (due + pause).max(Instant::now());
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// Makes the kernel write back everybody's data, and sees to it that there is some, without end.
pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    loop {
        fs::write(dir.join("some"), "some")?;
        rustix::fs::sync();
    }
}

/// Prints so many megabytes a second, in lines.
pub(crate) fn print(per_second: u32) -> io::Result<()> {
    let block = [[b'x'; 99].as_slice(), b"\n"].concat().repeat(MEGABYTE / 100);
    loop {
        io::stdout().write_all(&block)?;
        thread::sleep(Duration::from_secs(1) / per_second.max(1));
    }
}

/// Writes a file of so many megabytes, so many a second, and keeps it.
pub(crate) fn write(path: &Path, per_second: u32, most: usize) -> io::Result<()> {
    let mut file = File::create(path)?;
    let block = vec![b'x'; MEGABYTE];
    for _ in 0..most {
        file.write_all(&block)?;
        thread::sleep(Duration::from_secs(1) / per_second.max(1));
    }
    hold(file)
}

/// Computes until the thread has had that much CPU.
fn compute_for(span: Duration) {
    let spent = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.try_into().unwrap_or_default())
    };
    let end = spent() + span;
    while spent() < end {
        black_box(spin_for(Duration::from_micros(200)));
    }
}

fn spin_for(span: Duration) -> u64 {
    let start = Instant::now();
    let mut rounds = 0_u64;
    while start.elapsed() < span {
        rounds = black_box(rounds.wrapping_add(1));
    }
    rounds
}
