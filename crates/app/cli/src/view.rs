//! The live view: what is watched, what is spent, what was found. One screen, redrawn when something changes.
//!
//! Not here: any state but what is drawn. `q` ends it, and Tidewatch with it.

pub(crate) mod feed;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crossbeam_channel::Receiver;
use deadline::pulse::Pulse;
use engine::live::Notice;
use engine::status::{ContainerStatus, SourceStatus, Status};
use model::coverage::Health;
use model::incident::{Change, Incident, IncidentId, Severity, State};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Row, Table, Wrap};
use ratatui::{DefaultTerminal, Frame};
use report::units;
use sources::outlet::Stop;

use crate::status::{COLUMNS, cells, health, welcome};

/// How long one look at the keyboard may delay a redraw.
const LOOK: Duration = Duration::from_millis(200);

/// Draws until the user or a signal ends it.
pub(crate) fn watch(
    terminal: &mut DefaultTerminal,
    notices: &Receiver<Notice>,
    (pulse, stop): (&Pulse, &Stop),
) -> anyhow::Result<()> {
    let mut view = View::default();
    while !stop.is_set() {
        pulse.beat();
        notices.try_iter().for_each(|notice| view.take(notice));
        terminal.draw(|frame| view.draw(frame))?;
        if event::poll(LOOK)? && is_quit(&event::read()?) {
            break;
        }
    }
    Ok(())
}

fn is_quit(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.code == KeyCode::Char('q') || interrupt
}

#[derive(Default)]
struct View {
    status: Option<Box<Status>>,
    open: BTreeMap<IncidentId, Incident>,
    /// Whose last change is not stored.
    unstored: BTreeSet<IncidentId>,
    trouble: String,
}

impl View {
    fn take(&mut self, notice: Notice) {
        match notice {
            Notice::StillOpen(open) => {
                self.open = open.into_iter().map(|incident| (incident.id.clone(), incident)).collect();
            }
            Notice::Status(status) => self.status = Some(status),
            Notice::Changed(changes) => changes.into_iter().for_each(|change| {
                self.unstored.remove(&change.incident.id);
                self.change(change);
            }),
            Notice::NotStored(changes) => changes.into_iter().for_each(|change| {
                self.unstored.insert(change.incident.id.clone());
                self.change(change);
            }),
            Notice::Trouble(trouble) => self.trouble = trouble,
        }
    }

    fn change(&mut self, Change { incident, .. }: Change) {
        match incident.state {
            State::Open => drop(self.open.insert(incident.id.clone(), incident)),
            State::Closed => drop(self.open.remove(&incident.id)),
        }
    }

    fn draw(&self, frame: &mut Frame) {
        let Some(status) = &self.status else {
            frame.render_widget(Paragraph::new("Tidewatch starts …"), frame.area());
            return;
        };
        let head = self.head(status);
        let [top, found, watched, foot] = Layout::vertical([
            Constraint::Length(u16::try_from(head.len()).unwrap_or(8)),
            Constraint::Min(6),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(Paragraph::new(head), top);
        let is_blind = |source: &SourceStatus| matches!(source.health, Health::Down | Health::Degraded);
        self.draw_found(frame, found, !status.sources.iter().any(is_blind));
        draw_watched(frame, watched, &status.containers);
        frame.render_widget(Paragraph::new("q ends Tidewatch".dim()), foot);
    }

    fn head(&self, status: &Status) -> Vec<Line<'static>> {
        let mut lines = vec![Line::from(vec![
            "Tidewatch ".bold(),
            format!("{} on {}, since {}", status.version, status.node, status.since).into(),
        ])];
        if let Some(host) = &status.host {
            lines.push(Line::from(format!(
                "spent: {:.2} of {} cores: containers {:.2}, engine {:.2} (idle {:.2}), shims {:.2}, kernel threads {:.2}, \
                 softirq {:.2}; logs grow by {}",
                host.busy_cores,
                host.cores,
                host.container_cores,
                host.engine_cores,
                host.engine_idle_cores,
                host.shim_cores,
                host.kernel_thread_cores,
                host.softirq_cores,
                units::bytes_per_second(host.log_bytes_per_second),
            )));
        }
        lines.push(sources(status));
        let reasons = status.sources.iter().filter(|source| !source.reason.is_empty());
        lines.extend(
            reasons.map(|source| Line::from(format!("{}: {}", source.source, source.reason)).yellow()),
        );
        if status.coverage.lost_events > 0 {
            lines.push(Line::from(format!("{} events lost", status.coverage.lost_events)).yellow());
        }
        if !self.trouble.is_empty() {
            lines.push(Line::from(self.trouble.clone()).red());
        }
        lines.extend(welcome(status).into_iter().map(|line| Line::from(line).cyan()));
        lines
    }

    fn draw_found(&self, frame: &mut Frame, area: Rect, is_whole: bool) {
        let block = Block::new().borders(Borders::TOP).title(format!(" found: {} open ", self.open.len()));
        let mut incidents: Vec<&Incident> = self.open.values().collect();
        incidents.sort_by(|a, b| b.severity.cmp(&a.severity).then(b.opened.cmp(&a.opened)));
        let lines: Vec<Line> = match incidents.as_slice() {
            [] if is_whole => vec!["nothing: the books balance".dim().into()],
            [] => vec!["nothing, as far as can be seen".dim().into()],
            some => some
                .iter()
                .flat_map(|incident| incident_lines(incident, !self.unstored.contains(&incident.id)))
                .collect(),
        };
        frame.render_widget(Paragraph::new(lines).block(block).wrap(Wrap { trim: true }), area);
    }
}

fn sources(status: &Status) -> Line<'static> {
    let mut spans = vec![Span::from("sources:")];
    for source in &status.sources {
        let colour = match source.health {
            Health::Up => Color::Green,
            Health::Absent => Color::DarkGray,
            Health::Degraded => Color::Yellow,
            Health::Down => Color::Red,
        };
        spans.push(Span::styled(
            format!(" {} {}", source.source, health(source.health)),
            Style::new().fg(colour),
        ));
    }
    Line::from(spans)
}

fn incident_lines(incident: &Incident, is_stored: bool) -> Vec<Line<'static>> {
    let colour = match incident.severity {
        Severity::Low => Color::Cyan,
        Severity::Medium => Color::Yellow,
        Severity::High | Severity::Critical => Color::Red,
    };
    vec![
        Line::from(vec![
            Span::styled(incident.severity.name(), Style::new().fg(colour).bold()),
            format!(" {} {:.1} bits, opened {}", incident.id, incident.bits, incident.opened).into(),
            Span::from(if is_stored { "" } else { ", not stored" }).red(),
        ]),
        Line::from(incident.summary.clone()),
    ]
}

fn draw_watched(frame: &mut Frame, area: Rect, containers: &[ContainerStatus]) {
    let mut sorted: Vec<&ContainerStatus> = containers.iter().collect();
    let cost = |c: &ContainerStatus| c.own_cpu_cores.unwrap_or(0.0) + c.out_of_band_cpu_cores.unwrap_or(0.0);
    sorted.sort_by(|a, b| cost(b).total_cmp(&cost(a)));
    let header = Row::new(COLUMNS);
    let widths = [
        Constraint::Fill(2),
        Constraint::Fill(2),
        Constraint::Length(9),
        Constraint::Length(14),
        Constraint::Length(10),
        Constraint::Length(11),
        Constraint::Length(10),
        Constraint::Length(10),
    ];
    let block =
        Block::new().borders(Borders::TOP).title(format!(" watched: {} containers ", containers.len()));
    let table = Table::new(sorted.into_iter().map(|container| Row::new(cells(container))), widths)
        .header(header.bold())
        .block(block);
    frame.render_widget(table, area);
}

#[cfg(test)]
mod tests;
