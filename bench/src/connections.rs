//! What a connection costs beside its own work: CPU of opening, accepting and closing one on loopback, with the probes
//! loaded and read, over the same without them, turn by turn; as fast as it goes, and at steady rates.
//!
//! Not here: what the fold makes of it (`flows.rs`); of connections on known lines that is one line a second.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use engine::config::EngineConfig;
use engine::rim::probes_config;
use hostfs::layout::CgroupLayout;
use hostfs::root::HostRoot;
use probes::{Probes, ProbesConfig};
use rustix::net::sockopt::set_socket_linger;
use rustix::time::{ClockId, clock_gettime};
use sources::outlet::Stop;

use crate::figure::Figure;
use crate::going_on;

/// Connections of a round that goes as fast as it can.
const CONNECTIONS: u32 = 10_000;
const ROUNDS: usize = 7;
/// How long a round at a steady rate lasts.
const SPAN: Duration = Duration::from_secs(2);
/// What is due is opened so often.
const STEP: Duration = Duration::from_millis(1);
const RATES: [(u32, &str); 2] = [(1_000, "1,000"), (10_000, "10,000")];

/// How fast connections are opened.
#[derive(Clone, Copy)]
enum Pace {
    /// One after the other.
    Full,
    /// So many a second.
    Rate(u32),
}

/// CPU of a round without probes, with them, and by how much that is more in per cent.
#[derive(Default)]
struct Compared {
    bare: Vec<f64>,
    watched: Vec<f64>,
    added: Vec<f64>,
}

/// Microseconds a connection takes, how much more with probes, and cores at steady rates.
pub(crate) fn measure(stop: &Stop) -> Result<Vec<Figure>> {
    let root = HostRoot::new("/");
    let config = probes_config(&EngineConfig::default(), &CgroupLayout::detect(&root)?);
    let Compared { bare, watched, added } = compare(Pace::Full, &config, stop)?;
    let mut figures = vec![
        Figure::of_rounds("a connection, both ends", "µs CPU", bare),
        Figure::of_rounds("the same with probes, reader included", "µs CPU", watched),
        Figure::of_rounds("added by the probes", "%", added),
    ];
    for (rate, name) in RATES {
        let Compared { bare, watched, .. } = compare(Pace::Rate(rate), &config, stop)?;
        let percent_of_core =
            |micros: Vec<f64>| micros.into_iter().map(|it| it * f64::from(rate) / 1e4).collect();
        figures.push(Figure::of_rounds(
            format!("{name} connections a second"),
            "% of a core",
            percent_of_core(bare),
        ));
        figures.push(Figure::of_rounds(
            format!("{name} a second with probes, reader included"),
            "% of a core",
            percent_of_core(watched),
        ));
    }
    Ok(figures)
}

/// Microseconds of CPU for each connection, in rounds with and without probes by turns.
fn compare(pace: Pace, config: &ProbesConfig, stop: &Stop) -> Result<Compared> {
    let mut all = Compared::default();
    for _ in 0..ROUNDS {
        going_on(stop)?;
        let without = round(pace)?;
        let with = beside_probes(config, pace)?;
        all.bare.push(without);
        all.watched.push(with);
        all.added.push((with / without - 1.0) * 100.0);
    }
    Ok(all)
}

/// A round while probes are loaded and a thread reads what they tell.
fn beside_probes(config: &ProbesConfig, pace: Pace) -> Result<f64> {
    let mut probes = Probes::load(config).map_err(|error| anyhow!("this bench needs BPF: {error}"))?;
    let is_over = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_over);
    let reader = thread::spawn(move || {
        while !flag.load(Ordering::Relaxed) {
            if probes.poll(Duration::from_millis(100), drop).is_err() {
                break;
            }
        }
        probes
    });
    let spent = round(pace);
    is_over.store(true, Ordering::Relaxed);
    // Detaching the programs is not part of a connection.
    drop(reader.join());
    spent
}

/// CPU time of the whole process for each connection, in microseconds.
fn round(pace: Pace) -> Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a port to listen on")?;
    let at = listener.local_addr()?;
    let count = match pace {
        Pace::Full => CONNECTIONS,
        Pace::Rate(rate) => rate * SPAN.as_secs() as u32,
    };
    let (before, since) = (process_cpu(), Instant::now());
    let server = thread::spawn(move || listener.incoming().take(count as usize).for_each(drop));
    let (never, wakes) = mpsc::channel::<()>();
    for number in 0..count {
        if let Pace::Rate(rate) = pace {
            let due = since + Duration::from_secs(1) * number / rate;
            if due.saturating_duration_since(Instant::now()) >= STEP {
                let _: Result<(), _> = wakes.recv_timeout(STEP);
            }
        }
        let stream = TcpStream::connect(at).with_context(|| format!("connecting to {at}"))?;
        // Closed with a reset, else ports that wait a minute for stragglers run out.
        set_socket_linger(&stream, Some(Duration::ZERO))?;
    }
    drop(never);
    server.join().map_err(|_| anyhow!("the server panicked"))?;
    Ok((process_cpu() - before).as_secs_f64() * 1e6 / f64::from(count))
}

fn process_cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
