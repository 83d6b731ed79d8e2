//! `tidewatch run`: watches this host; a live view on a terminal, incidents as lines elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use deadline::pulse::{Pulse, Pulses};
use engine::live::guard::Guard;
use engine::live::{Engine, Notice, Show};
use model::incident::{Change, ChangeKind};
use ratatui::crossterm::terminal::disable_raw_mode;
use report::json::{incident_json, json_line};
use sources::outlet::Stop;
use tracing_subscriber::EnvFilter;

use crate::args::RunArgs;
use crate::outflow::{Gap, Outflow};
use crate::output::is_terminal;
use crate::signals::stop_on_signals;
use crate::view::feed::ToView;
use crate::{Outcome, bundles, settings, status, view};

/// Statuses before the first words about what is running: the first scan and the runtime's list need a moment.
const WELCOME_STATUSES: u32 = 3;
/// How long the end of the program waits for readers of its last lines.
const LAST_LINES_MAX: Duration = Duration::from_millis(500);
/// How long the end waits for the view, whose terminal may be stopped.
const VIEW_END_MAX: Duration = Duration::from_secs(1);
/// A stopped terminal is the operator's doing: the view may be silent for as long as that lasts.
const VIEW_SILENT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

pub(crate) fn run(args: &RunArgs) -> anyhow::Result<Outcome> {
    let pulses = Pulses::default();
    // Before any thread: they inherit what is given up here.
    let guard = Guard::restrict(args.config.config.as_slice(), &pulses);
    let shows_view = is_terminal() && !args.json;
    let log = log(shows_view, &pulses)?;
    let watched = watch(args, shows_view, (guard, &pulses));
    log.finish(Instant::now() + LAST_LINES_MAX);
    watched.map(|()| Outcome::Fine)
}

fn watch(args: &RunArgs, shows_view: bool, (guard, pulses): (Guard, &Pulses)) -> anyhow::Result<()> {
    let config = settings::load(args.config.config.as_ref())?;
    let strategies = Arc::new(bundles::embedded()?);
    let stop = stop_on_signals(pulses)?;
    let engine = Engine::start(&args.data.data_dir, &config, strategies, guard, pulses.clone())?;
    if shows_view {
        return with_view(engine, pulses, &stop);
    }
    tracing::info!(data_dir = %args.data.data_dir.display(), "tidewatch watches this host");
    let gap: Gap = if args.json { json_gap } else { text_gap };
    let (out, _thread) = Outflow::start("output", std::io::stdout(), gap, pulses)?;
    engine.run(&stop, &mut Lines { json: args.json, statuses: 0, out: out.clone() })?;
    tracing::info!("tidewatch stops");
    out.finish(Instant::now() + LAST_LINES_MAX);
    Ok(())
}

/// The view draws in a thread of its own, which a stopped terminal may hold for ever.
fn with_view(engine: Engine, pulses: &Pulses, stop: &Stop) -> anyhow::Result<()> {
    let (mut feed, notices) = ToView::new();
    let (failed, failure) = bounded(1);
    let view_stop = stop.clone();
    let view = pulses.spawn("view", VIEW_SILENT_MAX, move |pulse| {
        let seen = draw(&notices, pulse, &view_stop);
        view_stop.ask();
        pulse.retire();
        // The run has ended already when nothing takes it.
        drop(failed.try_send(seen));
    })?;
    engine.run(stop, &mut feed)?;
    if !view.join_until(Instant::now() + VIEW_END_MAX) {
        // Needs no room in the terminal, unlike the rest of what restores it.
        drop(disable_raw_mode());
    }
    failure.try_recv().unwrap_or(Ok(()))
}

fn draw(notices: &Receiver<Notice>, pulse: &Pulse, stop: &Stop) -> anyhow::Result<()> {
    let mut terminal = ratatui::init();
    let seen = view::watch(&mut terminal, notices, (pulse, stop));
    ratatui::restore();
    seen
}

/// Logs about ourselves go to standard error; `RUST_LOG` chooses how much. With the live view on the same terminal
/// nothing is logged unless it asks: the view shows trouble itself. A reader that does not read holds up nothing.
fn log(shows_view: bool, pulses: &Pulses) -> anyhow::Result<Outflow> {
    let level = if shows_view { "off" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let (out, _thread) = Outflow::start("log", std::io::stderr(), log_gap, pulses)?;
    let writer = out.clone();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || writer.clone())
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .init();
    // The usual hook writes to standard error itself, and waits for its reader.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "internal error: a thread panicked")));
    Ok(out)
}

fn log_gap(lines: u64) -> String {
    format!(" WARN {lines} lines of this log were left out: standard error was not read\n")
}

fn text_gap(lines: u64) -> String {
    format!("{lines} lines were left out: standard output was not read; see: tidewatch incidents\n")
}

fn json_gap(lines: u64) -> String {
    format!("{{\"change\":\"left_out\",\"lines\":{lines}}}\n")
}

/// Incidents as lines: text for people, or one JSON object a line.
struct Lines {
    json: bool,
    statuses: u32,
    out: Outflow,
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
            Notice::Changed(changes) => changes.iter().for_each(|change| self.change(change, true)),
            Notice::NotStored(changes) => changes.iter().for_each(|change| self.change(change, false)),
            Notice::Status(status) => {
                self.statuses += 1;
                if self.statuses == WELCOME_STATUSES {
                    status::welcome(&status).iter().for_each(|line| tracing::info!("{line}"));
                }
            }
            Notice::Trouble(trouble) if trouble.is_empty() => tracing::info!("data is kept again"),
            Notice::Trouble(trouble) => tracing::error!(%trouble, "data cannot be kept"),
        }
    }
}

impl Lines {
    fn change(&self, change: &Change, is_stored: bool) {
        let incident = &change.incident;
        if self.json {
            let line = serde_json::json!({
                "change": change.kind,
                "incident": incident_json(incident),
                "stored": is_stored,
            });
            self.out.offer(format!("{}\n", json_line(&line)));
            return;
        }
        let word = match change.kind {
            ChangeKind::Opened => "opened",
            ChangeKind::Closed => "closed",
            // Figures move every second; who wants them asks for the incident.
            ChangeKind::Updated => return,
        };
        self.out.offer(format!(
            "{} incident {} {word}: {}, {:.1} bits{}: {}\n",
            incident.updated,
            incident.id,
            incident.severity.name(),
            incident.bits,
            if is_stored { "" } else { ", not stored" },
            incident.summary
        ));
    }
}
