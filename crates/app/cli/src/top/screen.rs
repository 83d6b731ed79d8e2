//! The screen: the books above, the containers below, one of them whole on request; and what keys do.
//!
//! Not here: asking for anything. What it shows is as old as the last status it was handed.

use std::time::Duration;

use engine::status::{ContainerStatus, Status};
use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::top::columns::Table;
use crate::top::fitted::cut_to;
use crate::top::order::{Order, sorted};
use crate::top::{books, breakdown, document};

/// Without an answer for this long beyond the interval, the screen says so.
const SILENCE: Duration = Duration::from_secs(2);

/// Part of the screen that the head always leaves to rows of containers, where there are that many.
const ROWS_SHARE: f64 = 0.6;

/// What is shown, and how.
pub(super) struct Screen {
    status: Option<Box<Status>>,
    trouble: String,
    order: Order,
    /// Most rows, as asked for on the command line.
    limit: usize,
    /// The chosen container by its cgroup; `None` is whoever comes first.
    chosen: Option<u64>,
    first_row: usize,
    /// Rows of the table when it was last drawn: what a page is.
    page: usize,
    is_whole: bool,
    is_frozen: bool,
    first_line: usize,
}

impl Screen {
    pub(super) fn new(order: Order, limit: usize) -> Self {
        Self {
            status: None,
            trouble: String::new(),
            order,
            limit,
            chosen: None,
            first_row: 0,
            page: 1,
            is_whole: false,
            is_frozen: false,
            first_line: 0,
        }
    }

    /// Takes an answer, or why there is none; the last picture stays.
    pub(super) fn take(&mut self, answer: Result<Box<Status>, String>) {
        match answer {
            Ok(status) if !self.is_frozen => {
                self.status = Some(status);
                self.trouble.clear();
            }
            Ok(_) => self.trouble.clear(),
            Err(trouble) => self.trouble = trouble,
        }
    }

    /// Does what a key asks for; `false` when it asks for the end.
    pub(super) fn press(&mut self, key: KeyEvent) -> bool {
        let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('q') => return false,
            _ if is_interrupt => return false,
            KeyCode::Enter | KeyCode::Char('d') => self.toggle_whole(!self.is_whole),
            KeyCode::Esc => self.toggle_whole(false),
            KeyCode::Char(' ') => self.is_frozen = !self.is_frozen,
            KeyCode::Up => self.step(-1),
            KeyCode::Down => self.step(1),
            KeyCode::PageUp => self.step(-(self.page as isize)),
            KeyCode::PageDown => self.step(self.page as isize),
            KeyCode::Home => self.step(isize::MIN),
            KeyCode::End => self.step(isize::MAX),
            KeyCode::Char(letter) => self.order = Order::of_key(letter).unwrap_or(self.order),
            _ => {}
        }
        true
    }

    /// Draws; `silent` is how long nothing was heard beyond the interval.
    pub(super) fn draw(&mut self, frame: &mut Frame, silent: Duration) {
        let area = frame.area();
        let Some(status) = self.status.take() else {
            let words = if self.trouble.is_empty() { "asking Tidewatch …" } else { &self.trouble };
            frame.render_widget(Paragraph::new(words.to_owned()), area);
            return;
        };
        let room = usize::from(area.width);
        let mut lines = vec![self.title(&status, silent, room)];
        let height = usize::from(area.height.saturating_sub(1));
        if self.is_whole {
            self.add_whole(&mut lines, &status, (room, height));
        } else {
            self.add_table(&mut lines, &status, (room, height));
        }
        lines.truncate(height);
        frame.render_widget(Paragraph::new(lines), area);
        let foot = Rect { y: area.bottom().saturating_sub(1), height: area.height.min(1), ..area };
        frame.render_widget(Paragraph::new(self.foot(room)), foot);
        self.status = Some(status);
    }

    fn title(&self, status: &Status, silent: Duration, room: usize) -> Line<'static> {
        let mut spans = vec![document::title(status, self.order).bold()];
        if self.is_frozen {
            spans.push("  frozen: space goes on".cyan());
        }
        if !self.trouble.is_empty() {
            spans.insert(0, format!("old picture: {} ", self.trouble).red().bold());
        } else if silent >= SILENCE {
            spans.insert(0, format!("old picture: no answer for {} s ", silent.as_secs()).red().bold());
        }
        Line::from(cut_to(spans, room))
    }

    fn foot(&self, room: usize) -> Line<'static> {
        let keys: &[(&str, &str)] = match self.is_whole {
            true => &[("q", "quit"), ("esc", "back"), ("↑↓", "scroll"), ("space", "freeze")],
            false => &[
                ("q", "quit"),
                ("enter", "breakdown"),
                ("↑↓", "choose"),
                ("space", "freeze"),
                ("sort:", ""),
                ("t", "true"),
                ("o", "own"),
                ("b", "out of band"),
                ("m", "memory"),
                ("i", "disk"),
                ("l", "log"),
                ("n", "net"),
            ],
        };
        let piece = |(key, rest): &(&'static str, &'static str)| {
            let gap = if rest.is_empty() { String::new() } else { format!(" {rest} ") };
            [Span::from(*key).bold(), gap.dim(), Span::raw(" ")]
        };
        Line::from(cut_to(keys.iter().flat_map(piece).collect(), room))
    }

    fn add_table(&mut self, lines: &mut Vec<Line<'static>>, status: &Status, (room, height): (usize, usize)) {
        let mut rows = sorted(&status.containers, self.order);
        let beyond_limit = rows.split_off(self.limit.min(rows.len()));
        // The titles of columns and what is not shown take a line each.
        let wanted = ((height as f64 * ROWS_SHARE) as usize).min(rows.len()) + 2;
        let mut head = books::lines(status, room);
        head.truncate(height.saturating_sub(lines.len() + wanted));
        lines.append(&mut head);
        let left = height.saturating_sub(lines.len() + 1);
        let is_cut = rows.len() > left || !beyond_limit.is_empty();
        self.page = left.saturating_sub(usize::from(is_cut)).max(1);
        let chosen = self.place_of_chosen(&rows);
        self.scroll_to(chosen, rows.len());
        let shown = self.first_row..(self.first_row + self.page).min(rows.len());
        let table = Table::new(&rows, Some(room));
        lines.push(table.titles(self.order));
        for (at, row) in rows.iter().enumerate().take(shown.end).skip(shown.start) {
            let line = table.row(row);
            lines.push(if at == chosen { line.add_modifier(Modifier::REVERSED) } else { line });
        }
        if rows.is_empty() && beyond_limit.is_empty() {
            lines.push("no container runs".dim().into());
        }
        let above = rows.iter().take(shown.start);
        let hidden: Vec<&ContainerStatus> =
            above.chain(rows.iter().skip(shown.end)).chain(&beyond_limit).copied().collect();
        lines.extend(document::hidden(&hidden).map(|text| {
            let place = if shown.start > 0 { format!(" ({} above)", shown.start) } else { String::new() };
            Line::from(cut_to(vec![(text + &place).dim()], room))
        }));
    }

    fn add_whole(&mut self, lines: &mut Vec<Line<'static>>, status: &Status, (room, height): (usize, usize)) {
        let rows = sorted(&status.containers, self.order);
        let chosen = self.chosen.or_else(|| rows.first().map(|row| row.cgroup_id));
        // Whoever is first changes; whose breakdown is open does not.
        self.chosen = chosen;
        let Some(container) = rows.into_iter().find(|row| Some(row.cgroup_id) == chosen) else {
            lines.push("it no longer runs".yellow().into());
            return;
        };
        let mut whole = breakdown::lines(container, status, room);
        let left = height.saturating_sub(lines.len());
        self.first_line = self.first_line.min(whole.len().saturating_sub(left));
        lines.extend(whole.drain(self.first_line..));
    }

    fn toggle_whole(&mut self, is_whole: bool) {
        self.is_whole = is_whole;
        self.first_line = 0;
    }

    /// Moves the choice among the rows, or the lines of the breakdown.
    fn step(&mut self, by: isize) {
        if self.is_whole {
            self.first_line = self.first_line.saturating_add_signed(by);
            return;
        }
        let Some(status) = &self.status else { return };
        let rows = sorted(&status.containers, self.order);
        let rows = &rows[..self.limit.min(rows.len())];
        let place = self.place_of_chosen(rows).saturating_add_signed(by).min(rows.len().saturating_sub(1));
        // At the top, whoever comes first is chosen, also when that changes.
        self.chosen = rows.get(place).filter(|_| place > 0).map(|row| row.cgroup_id);
    }

    fn place_of_chosen(&self, rows: &[&ContainerStatus]) -> usize {
        rows.iter().position(|row| Some(row.cgroup_id) == self.chosen).unwrap_or(0)
    }

    fn scroll_to(&mut self, chosen: usize, rows: usize) {
        let first_max = rows.saturating_sub(self.page);
        let first_min = (chosen + 1).saturating_sub(self.page);
        self.first_row = self.first_row.min(chosen).max(first_min).min(first_max);
    }
}
