//! The independent measurement: what one container, the engine on its behalf and its log cost, read by the test
//! itself ten times a second, so that any window can be compared afterwards.
//!
//! Not here: Tidewatch's figures; they come from an incident's evidence.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use crate::cgroups::CpuMeter;
use crate::docker::ContainerFacts;
use crate::host;
use crate::wait;

/// Cumulative readings at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Unix seconds.
    at: f64,
    /// The container's own CPU in seconds.
    own: f64,
    /// CPU of the engine's processes in seconds.
    engine: f64,
    /// Bytes in the log file.
    log: f64,
}

/// Rates over a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// The container's own cores.
    pub(crate) own_cores: f64,
    /// Cores of the engine's processes.
    pub(crate) engine_cores: f64,
    /// Growth of the log.
    pub(crate) log_bytes_per_second: f64,
}

/// A measurement that runs until [`Measurement::finish`].
pub(crate) struct Measurement {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sample>>,
}

/// What was measured.
pub(crate) struct Series(Vec<Sample>);

impl Measurement {
    /// Starts measuring a container, the engine's daemons and the container's shim.
    pub(crate) fn start(facts: &ContainerFacts) -> Result<Self> {
        let own = CpuMeter::of(facts.pid)?;
        ensure!(
            !facts.log.as_os_str().is_empty(),
            "the container has no log file: the log driver must be json-file"
        );
        let mut engine = daemons()?;
        engine.extend(host::processes("containerd-shim", &facts.id)?);
        let log: PathBuf = facts.log.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut samples = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                // A container that is being removed cannot be read; what came before counts.
                samples.extend(sample(&own, &engine, &log));
                wait::nap(Duration::from_millis(100));
            }
            samples
        });
        Ok(Self { stop, thread })
    }

    /// Ends the measurement.
    pub(crate) fn finish(self) -> Result<Series> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map(Series).map_err(|_| anyhow!("the measuring thread panicked"))
    }
}

impl Series {
    /// Rates between two moments, interpolated; both must have been measured.
    pub(crate) fn between(&self, from: f64, to: f64) -> Result<Rates> {
        let (start, end) = (self.at(from)?, self.at(to)?);
        let span = to - from;
        ensure!(span > 0.0, "an empty window: {from} to {to}");
        Ok(Rates {
            own_cores: (end.own - start.own) / span,
            engine_cores: (end.engine - start.engine) / span,
            log_bytes_per_second: (end.log - start.log) / span,
        })
    }

    fn at(&self, at: f64) -> Result<Sample> {
        let pair = self.0.windows(2).find(|pair| pair[0].at <= at && at <= pair[1].at);
        let pair = pair.with_context(|| {
            let range = self.0.first().zip(self.0.last()).map(|(first, last)| (first.at - at, last.at - at));
            format!("nothing was measured at {at:.3}; from and to, relative: {range:?}")
        })?;
        let (left, right) = (pair[0], pair[1]);
        let share = (at - left.at) / (right.at - left.at).max(f64::MIN_POSITIVE);
        let mix = |left: f64, right: f64| left + (right - left) * share;
        Ok(Sample {
            at,
            own: mix(left.own, right.own),
            engine: mix(left.engine, right.engine),
            log: mix(left.log, right.log),
        })
    }
}

/// Cores the engine's daemons use now, measured over `span`: what to take off as idle cost.
pub(crate) fn idle_cores(span: Duration) -> Result<f64> {
    let pids = daemons()?;
    let (started, before) = (host::unix_now(), total_cpu(&pids)?);
    wait::pause(span)?;
    Ok((total_cpu(&pids)? - before) / (host::unix_now() - started))
}

fn daemons() -> Result<Vec<u32>> {
    let mut pids = host::processes("dockerd", "")?;
    ensure!(!pids.is_empty(), "no process is called dockerd");
    pids.extend(host::processes("containerd", "")?);
    Ok(pids)
}

fn total_cpu(pids: &[u32]) -> Result<f64> {
    pids.iter().map(|pid| host::cpu_seconds(*pid)).sum()
}

fn sample(own: &CpuMeter, engine: &[u32], log: &PathBuf) -> Result<Sample> {
    let at = host::unix_now();
    let log = fs::metadata(log)?.len() as f64;
    Ok(Sample { at, log, own: own.seconds()?, engine: total_cpu(engine)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_between_samples_is_interpolated() {
        let sample = |at: f64| Sample { at, own: at * 0.01, engine: at * 0.9, log: at * 1e8 };
        let series = Series(vec![sample(10.0), sample(11.0), sample(12.0)]);
        let rates = series.between(10.25, 11.75).unwrap();
        assert!((rates.engine_cores - 0.9).abs() < 1e-9 && (rates.log_bytes_per_second - 1e8).abs() < 1.0);
        assert!(series.between(9.0, 11.0).is_err() && series.between(11.0, 12.5).is_err());
    }
}
