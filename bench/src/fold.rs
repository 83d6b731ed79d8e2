//! How many events one core folds in a second, for four streams.
//!
//! Each round folds the same seconds into a copy of the same settled fold. Events are copied outside the timed part and
//! freed inside it, as in the engine. Not here: queue, journal and store, which the engine adds.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Result, ensure};
use engine::fold::{Fold, FoldConfig};
use sources::outlet::Stop;

use crate::bundles::strategies;
use crate::crowd::{CALM, Crowd, HERD, Life};
use crate::figure::{Figure, Goal};
use crate::going_on;
use crate::machine::thread_cpu;
use crate::streams::{MANY_CONTAINERS, Second, USUAL_CONTAINERS, flood, many, settled, usual};

const ROUNDS: usize = 11;
const GOAL: Goal = Goal::AtLeast(1.0);

struct Stream {
    name: &'static str,
    life: Life,
    containers: u64,
    seconds: u64,
    second: fn(&mut Crowd, u64) -> Second,
}

/// Between 60,000 and 70,000 events each, the last a sixth of that: it takes as long.
const STREAMS: [Stream; 4] = [
    Stream {
        name: "usual host, 100 containers",
        life: CALM,
        containers: USUAL_CONTAINERS,
        seconds: 60,
        second: usual,
    },
    Stream {
        name: "readings of 1,000 containers",
        life: CALM,
        containers: MANY_CONTAINERS,
        seconds: 30,
        second: many,
    },
    Stream {
        name: "flood of execs in one container",
        life: CALM,
        containers: USUAL_CONTAINERS,
        seconds: 60,
        second: flood,
    },
    Stream {
        name: "readings of a herd of 1,000, each a finding",
        life: HERD,
        containers: MANY_CONTAINERS,
        seconds: 5,
        second: many,
    },
];

/// Measures all streams.
pub(crate) fn measure(stop: &Stop) -> Result<Vec<Figure>> {
    STREAMS.iter().map(|stream| measure_stream(stream, stop)).collect()
}

fn measure_stream(stream: &Stream, stop: &Stop) -> Result<Figure> {
    let mut crowd = Crowd::new(stream.life);
    let mut fold = Fold::new(&strategies()?, FoldConfig::default());
    for event in settled(&mut crowd, stream.containers) {
        fold.step(event);
    }
    let known = fold.enrich().containers().count() as u64;
    ensure!(known == stream.containers, "{} containers became {known} in the fold", stream.containers);
    let seconds: Vec<Second> = (0..stream.seconds).map(|n| (stream.second)(&mut crowd, n)).collect();
    let events: usize = seconds.iter().map(Vec::len).sum();
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        going_on(stop)?;
        let spent = round(fold.clone(), &seconds);
        rates.push(events as f64 / spent.as_secs_f64() / 1e6);
    }
    Ok(Figure::of_rounds(stream.name, "million events/s", rates).with_goal(GOAL))
}

fn round(mut fold: Fold, seconds: &[Second]) -> Duration {
    let mut spent = Duration::ZERO;
    for second in seconds {
        let events = second.clone();
        let start = thread_cpu();
        for event in events {
            black_box(fold.step(event));
        }
        spent += thread_cpu() - start;
    }
    spent
}
