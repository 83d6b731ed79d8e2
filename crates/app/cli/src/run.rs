//! `tidewatch run`: watches this host; a live view on a terminal, incidents as lines elsewhere.

use std::sync::Arc;

use anyhow::Context;
use crossbeam_channel::{Receiver, unbounded};
use engine::live::{Engine, Notice};
use model::incident::{Change, ChangeKind};
use report::json::incident_json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use sources::outlet::Stop;
use tracing_subscriber::EnvFilter;

use crate::args::RunArgs;
use crate::output::{is_terminal, say};
use crate::{Outcome, bundles, settings, status, view};

/// Statuses before the first words about what is running: the first scan and the runtime's list need a moment.
const WELCOME_STATUSES: u32 = 3;

pub(crate) fn run(args: &RunArgs) -> anyhow::Result<Outcome> {
    let shows_view = is_terminal() && !args.json;
    log(shows_view);
    let config = settings::load(args.config.config.as_ref())?;
    let strategies = Arc::new(bundles::embedded()?);
    let stop = stop_on_signals()?;
    let engine = Engine::start(&args.data.data_dir, &config, strategies)?;
    if !shows_view {
        tracing::info!(data_dir = %args.data.data_dir.display(), "tidewatch watches this host");
        let mut lines = Lines { json: args.json, statuses: 0 };
        engine.run(&stop, &mut |notice| lines.show(&notice))?;
        tracing::info!("tidewatch stops");
        return Ok(Outcome::Fine);
    }
    let (sender, notices) = unbounded();
    let engine_stop = stop.clone();
    let running = std::thread::spawn(move || {
        engine.run(&engine_stop, &mut |notice| {
            // The view has gone: nobody is left to be shown anything.
            drop(sender.send(notice));
        })
    });
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
/// only errors are let through.
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

/// Incidents as lines: text for people, or one JSON object a line.
struct Lines {
    json: bool,
    statuses: u32,
}

impl Lines {
    fn show(&mut self, notice: &Notice) {
        match notice {
            Notice::StillOpen(open) if open.is_empty() => {}
            Notice::StillOpen(open) => tracing::info!(count = open.len(), "incidents are still open"),
            Notice::Changed(changes) => changes.iter().for_each(|change| self.change(change)),
            Notice::Status(status) => {
                self.statuses += 1;
                if self.statuses == WELCOME_STATUSES {
                    status::welcome(status).iter().for_each(|line| tracing::info!("{line}"));
                }
            }
            Notice::Trouble(trouble) => tracing::error!(%trouble, "data cannot be kept"),
        }
    }

    fn change(&self, change: &Change) {
        let incident = &change.incident;
        if self.json {
            say(&serde_json::json!({ "change": change.kind, "incident": incident_json(incident) })
                .to_string());
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
