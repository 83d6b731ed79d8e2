//! Records this host without a running Tidewatch: the same sources, folded only to know what to watch.
//!
//! Not here: a store, a socket, incidents. Nothing is kept but the recording.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crossbeam_channel::{select, tick};
use deadline::pulse::Pulses;
use model::coverage::Source;
use model::event::{Body, Event};
use sources::outlet::Stop;
use store::error::StoreError;
use store::recording::RecordingWriter;
use strategy::Strategies;

use crate::config::EngineConfig;
use crate::fold::Fold;
use crate::live::EngineError;
use crate::rim::Rim;
use crate::seqs::Seqs;

/// How often time passes for the fold.
const TICK: Duration = Duration::from_millis(500);

/// Records into `out` until `until`, or until asked to stop; gives the number of events. `path` is for messages.
pub fn record<W: Write>(
    config: &EngineConfig,
    strategies: &Strategies,
    (out, path): (W, &Path),
    until: Option<Instant>,
    stop: &Stop,
) -> Result<u64, EngineError> {
    let rim = Rim::start(config, Pulses::default())?;
    let mut recording = Alone {
        writer: RecordingWriter::new(out, path, rim.outlet.node())?,
        fold: Fold::new(strategies, config.fold()),
        seqs: Seqs::default(),
        rim,
        events: 0,
    };
    let ticks = tick(TICK);
    let queue = recording.rim.queue.clone();
    while until.is_none_or(|until| Instant::now() < until) {
        select! {
            recv(queue) -> event => if let Ok(event) = event { recording.take(event)?; },
            recv(ticks) -> _ => recording.own(Body::Tick)?,
            recv(stop.closed()) -> _ => break,
        }
    }
    recording.writer.flush()?;
    recording.rim.stop();
    Ok(recording.events)
}

struct Alone<W: Write> {
    rim: Rim,
    fold: Fold,
    seqs: Seqs,
    writer: RecordingWriter<W>,
    events: u64,
}

impl<W: Write> Alone<W> {
    fn take(&mut self, event: Event) -> Result<(), StoreError> {
        if let Some(loss) = self.seqs.arrived(&event) {
            self.own(Body::Lost(loss))?;
        }
        self.keep(event)
    }

    fn own(&mut self, body: Body) -> Result<(), StoreError> {
        let event = self.rim.outlet.stamp(Source::Engine, self.rim.outlet.now(), body);
        // Our own events never queue, so nothing can be missing before them.
        let _never = self.seqs.arrived(&event);
        self.keep(event)
    }

    fn keep(&mut self, event: Event) -> Result<(), StoreError> {
        self.writer.write(&event)?;
        self.events += 1;
        let step = self.fold.step(event);
        self.rim.steer(&step.news);
        Ok(())
    }
}
