//! What a connection costs beside its own work: CPU of opening, accepting and closing one on loopback, with the probes
//! loaded and read, over the same without them, turn by turn.
//!
//! Not here: what the fold makes of it (`flows.rs`); of connections on known lines that is one line a second.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use engine::config::EngineConfig;
use engine::rim::probes_config;
use hostfs::layout::CgroupLayout;
use hostfs::root::HostRoot;
use probes::{Probes, ProbesConfig};
use rustix::time::{ClockId, clock_gettime};
use sources::outlet::Stop;

use crate::figure::Figure;
use crate::going_on;

/// Connections of a round: below what the ports of loopback allow in the minute that each is kept.
const CONNECTIONS: u32 = 10_000;
const ROUNDS: usize = 7;
/// Addresses of loopback that are served, so that ports do not run out.
const ADDRESSES: u32 = 200;

/// Microseconds a connection takes, and how much more with probes.
pub(crate) fn measure(stop: &Stop) -> Result<Vec<Figure>> {
    let root = HostRoot::new("/");
    let config = probes_config(&EngineConfig::default(), &CgroupLayout::detect(&root)?);
    let (mut bare, mut watched, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        going_on(stop)?;
        let without = round()?;
        let with = beside_probes(&config)?;
        bare.push(without);
        watched.push(with);
        added.push((with / without - 1.0) * 100.0);
    }
    Ok(vec![
        Figure::of_rounds("a connection, both ends", "µs CPU", bare),
        Figure::of_rounds("the same with probes, reader included", "µs CPU", watched),
        Figure::of_rounds("added by the probes", "%", added),
    ])
}

/// A round while probes are loaded and a thread reads what they tell.
fn beside_probes(config: &ProbesConfig) -> Result<f64> {
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
    let spent = round();
    is_over.store(true, Ordering::Relaxed);
    // Detaching the programs is not part of a connection.
    drop(reader.join());
    spent
}

/// CPU time of the whole process for each connection, in microseconds.
fn round() -> Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).context("a port to listen on")?;
    let port = listener.local_addr()?.port();
    let before = process_cpu();
    let server = thread::spawn(move || listener.incoming().take(CONNECTIONS as usize).for_each(drop));
    for number in 0..CONNECTIONS {
        let place = 0x7f01_0000 + number % ADDRESSES + 1;
        let to = SocketAddr::from((Ipv4Addr::from(place), port));
        drop(TcpStream::connect(to).with_context(|| format!("connecting to {to}"))?);
    }
    server.join().map_err(|_| anyhow!("the server panicked"))?;
    Ok((process_cpu() - before).as_secs_f64() * 1e6 / f64::from(CONNECTIONS))
}

fn process_cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
