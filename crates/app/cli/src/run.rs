//! `tidewatch run`: watches this host; a live view on a terminal, incidents as lines elsewhere.

use std::sync::Arc;

use anyhow::Context;
use crossbeam_channel::{Receiver, Sender, unbounded};
use engine::live::guard::Guard;
use engine::live::{Engine, Notice, Show};
use model::incident::{Change, ChangeKind};
use report::json::{incident_json, json_line};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use sources::outlet::Stop;
use tracing_subscriber::EnvFilter;

use crate::args::RunArgs;
use crate::output::{is_terminal, say};
use crate::{Outcome, bundles, settings, status, view};

/// Statuses before the first words about what is running: the first scan and the runtime's list need a moment.
const WELCOME_STATUSES: u32 = 3;

pub(crate) fn run(args: &RunArgs) -> anyhow::Result<Outcome> {
    // Before any thread: they inherit what is given up here.
    let guard = Guard::restrict(args.config.config.iter().cloned().collect());
    let shows_view = is_terminal() && !args.json;
    log(shows_view);
    let config = settings::load(args.config.config.as_ref())?;
    let strategies = Arc::new(bundles::embedded()?);
    let stop = stop_on_signals()?;
    let engine = Engine::start(&args.data.data_dir, &config, strategies, guard)?;
    if !shows_view {
        tracing::info!(data_dir = %args.data.data_dir.display(), "tidewatch watches this host");
        engine.run(&stop, &mut Lines { json: args.json, statuses: 0 })?;
        tracing::info!("tidewatch stops");
        return Ok(Outcome::Fine);
    }
    let (sender, notices) = unbounded();
    let engine_stop = stop.clone();
    let running = std::thread::spawn(move || engine.run(&engine_stop, &mut ToView(sender)));
    let seen = watch(&notices, &stop);
    stop.ask();
    running.join().map_err(|_| anyhow::anyhow!("the engine failed by a bug of ours"))??;
    seen?;
    Ok(Outcome::Fine)
}

fn watch(notices: &Receiver<Notice>, stop: &Stop) -> anyhow::Result<()> {
    let mut terminal = ratatui::init();
    let seen = view::watch(&mut terminal, notices, stop);
    ratatui::restore();
    seen
}

/// A [`Stop`] that is set by the signals that end a program.
pub(crate) fn stop_on_signals() -> anyhow::Result<Stop> {
    let (stopper, stop) = Stop::new();
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).context("signals")?;
    std::thread::spawn(move || {
        // The first signal ends the program in order; whoever sends a second has waited long enough.
        if signals.forever().next().is_some() {
            drop(stopper);
        }
        if signals.forever().next().is_some() {
            std::process::exit(2);
        }
    });
    Ok(stop)
}

/// Logs about ourselves go to standard error; `RUST_LOG` chooses how much. With the live view on the same terminal
/// nothing is logged unless it asks: the view shows trouble itself.
fn log(shows_view: bool) {
    let level = if shows_view { "off" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .init();
}

/// Hands everything on to the thread that draws.
struct ToView(Sender<Notice>);

impl Show for ToView {
    fn show(&mut self, notice: Notice) {
        // The view has gone: nobody is left to be shown anything.
        drop(self.0.send(notice));
    }
}

/// Incidents as lines: text for people, or one JSON object a line.
struct Lines {
    json: bool,
    statuses: u32,
}

impl Show for Lines {
    // A status costs more than all else that happens in a quiet second, and is needed for the first words only.
    fn wants_status(&self) -> bool {
        self.statuses < WELCOME_STATUSES
    }

    fn show(&mut self, notice: Notice) {
        match notice {
            Notice::StillOpen(open) if open.is_empty() => {}
            Notice::StillOpen(open) => tracing::info!(count = open.len(), "incidents are still open"),
            Notice::Changed(changes) => changes.iter().for_each(|change| self.change(change)),
            Notice::Status(status) => {
                self.statuses += 1;
                if self.statuses == WELCOME_STATUSES {
                    status::welcome(&status).iter().for_each(|line| tracing::info!("{line}"));
                }
            }
            Notice::Trouble(trouble) => tracing::error!(%trouble, "data cannot be kept"),
        }
    }
}

impl Lines {
    fn change(&self, change: &Change) {
        let incident = &change.incident;
        if self.json {
            let line = serde_json::json!({ "change": change.kind, "incident": incident_json(incident) });
            say(&json_line(&line));
            return;
        }
        let word = match change.kind {
            ChangeKind::Opened => "opened",
            ChangeKind::Closed => "closed",
            // Figures move every second; who wants them asks for the incident.
            ChangeKind::Updated => return,
        };
        say(&format!(
            "{} incident {} {word}: {}, {:.1} bits: {}",
            incident.updated,
            incident.id,
            incident.severity.name(),
            incident.bits,
            incident.summary
        ));
    }
}
