//! The table of containers: which columns there is room for, and what stands in them.
//!
//! Not here: which rows are shown, and where the table stands.

use engine::status::ContainerStatus;
use engine::status::activity::Wait;
use model::identity::Kind;
use model::novelty::Provenance;
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use report::style::columns as columns_of;

use crate::top::fitted::{cell, dim, width};
use crate::top::order::{Order, io, net, true_cores};
use crate::top::sparkline::bar;
use crate::top::words::{bytes, cores, or_dash, percent, severity, trust};

/// Room from which there are two blanks between columns of the table, not one.
const WIDE: usize = 120;

/// Share of time from which waiting is told.
const WAITS_SHARE: f64 = 0.05;
/// Share of periods from which a limit is told to be hit.
const THROTTLED_SHARE: f64 = 0.05;
/// Out-of-band cost from which its class is told, in cores.
const CLASS_CORES: f64 = 0.005;
/// Out-of-band cost that stands out, in cores.
const MUCH_CORES: f64 = 0.2;

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Mark,
    Name,
    Image,
    Trust,
    True,
    Own,
    OutOfBand,
    Last,
    Memory,
    Io,
    Net,
    Log,
    Waits,
    Incident,
}

/// How a column is laid out. It takes what its cells need, between its least and its greatest width; `good` is what it
/// may take before less needed columns come in.
struct Shape {
    column: Column,
    /// The title, and a short one for where it does not fit.
    titles: [&'static str; 2],
    least: usize,
    good: usize,
    most: usize,
    is_right: bool,
}

const fn shape(
    column: Column,
    titles: [&'static str; 2],
    (least, good, most): (usize, usize, usize),
    is_right: bool,
) -> Shape {
    Shape { column, titles, least, good, most, is_right }
}

/// As they stand, from left to right.
const SHAPES: [Shape; 14] = [
    shape(Column::Mark, ["", ""], (1, 1, 1), false),
    shape(Column::Name, ["container", "container"], (6, 20, 32), false),
    shape(Column::True, ["true cost", "true"], (5, 5, 9), true),
    shape(Column::Own, ["own", "own"], (5, 5, 6), true),
    shape(Column::OutOfBand, ["out of band", "oob"], (5, 17, 40), false),
    shape(Column::Last, ["", ""], (10, 10, 30), false),
    shape(Column::Waits, ["waits", "waits"], (8, 9, 10), false),
    shape(Column::Memory, ["memory", "memory"], (7, 7, 7), true),
    shape(Column::Io, ["disk/s", "disk/s"], (7, 7, 7), true),
    shape(Column::Net, ["net/s", "net/s"], (7, 7, 7), true),
    shape(Column::Log, ["log/s", "log/s"], (7, 7, 7), true),
    shape(Column::Trust, ["trust", "trust"], (10, 10, 14), false),
    shape(Column::Image, ["image", "image"], (8, 16, 32), false),
    shape(Column::Incident, ["incident", "incident"], (15, 15, 15), false),
];

/// Which columns come first where there is room for few.
const NEEDED: [Column; 14] = [
    Column::Name,
    Column::True,
    Column::Mark,
    Column::OutOfBand,
    Column::Own,
    Column::Last,
    Column::Log,
    Column::Memory,
    Column::Waits,
    Column::Incident,
    Column::Trust,
    Column::Io,
    Column::Net,
    Column::Image,
];

/// The table for some rows and some room.
pub(super) struct Table {
    columns: Vec<(&'static Shape, usize)>,
    gap: usize,
    /// The cost that fills the line of the last seconds, in cores.
    full: f64,
}

impl Table {
    /// Lays the table out. `room` is in columns; `None` is as much as is needed.
    pub(super) fn new(rows: &[&ContainerStatus], room: Option<usize>) -> Self {
        let room = room.unwrap_or(usize::MAX);
        let wide_gap = if room < WIDE { 1 } else { 2 };
        let shapes = NEEDED.iter().filter_map(|it| SHAPES.iter().find(|shape| shape.column == *it));
        let mut columns: Vec<(&'static Shape, usize)> = Vec::new();
        let mut left = room;
        for shape in shapes {
            let gap = if columns.is_empty() { 0 } else { wide_gap };
            let least = if columns.is_empty() { shape.least.min(room) } else { shape.least };
            if let Some(most) = left.checked_sub(gap).filter(|most| *most >= least) {
                let taken = shape.wanted(rows).min(shape.good).max(least).min(most);
                columns.push((shape, taken));
                left = most - taken;
            }
        }
        for (shape, taken) in &mut columns {
            let more = shape.wanted(rows).saturating_sub(*taken).min(left);
            *taken += more;
            left -= more;
        }
        columns.sort_by_key(|(shape, _)| SHAPES.iter().position(|it| it.column == shape.column));
        Self { columns, gap: wide_gap, full: full(rows) }
    }

    /// The titles; the one that rows are sorted by stands out.
    pub(super) fn titles(&self, order: Order) -> Line<'static> {
        let full = format!(", █ {}", cores(self.full));
        let title = |shape: &Shape, width: usize| {
            let text = match shape.column {
                Column::Last => format!("last {width} s{}", if width >= 17 { &full } else { "" }),
                _ => shape.titles[usize::from(columns_of(shape.titles[0]) > width)].to_owned(),
            };
            if shape.column == sorted_column(order) { text.bold().reversed() } else { text.bold() }
        };
        self.line(|shape, width| vec![title(shape, width)]).underlined()
    }

    /// One row.
    pub(super) fn row(&self, container: &ContainerStatus) -> Line<'static> {
        self.line(|shape, width| match shape.column {
            Column::Last => last(container, self.full, width),
            column => spans(column, container),
        })
    }

    fn line(&self, content: impl Fn(&Shape, usize) -> Vec<Span<'static>>) -> Line<'static> {
        let mut line = Vec::new();
        for (at, (shape, width)) in self.columns.iter().enumerate() {
            if at > 0 {
                line.push(Span::raw(" ".repeat(self.gap)));
            }
            line.extend(cell(content(shape, *width), *width, shape.is_right));
        }
        Line::from(line)
    }
}

impl Shape {
    /// The width that its title and all its cells want.
    fn wanted(&self, rows: &[&ContainerStatus]) -> usize {
        let cells = rows.iter().map(|row| match self.column {
            Column::Last => row.own_cpu_cores_by_second.len(),
            column => width(&spans(column, row)),
        });
        cells.max().unwrap_or_default().max(columns_of(self.titles[0])).clamp(self.least, self.most)
    }
}

/// One scale for all rows, so that lines can be compared: the dearest second of any, at least a tenth of a core.
fn full(rows: &[&ContainerStatus]) -> f64 {
    rows.iter().flat_map(|row| by_second(row)).map(|(own, others)| own + others).fold(0.1, f64::max)
}

/// Own and out-of-band CPU of the last seconds, in cores, oldest first.
pub(super) fn by_second(container: &ContainerStatus) -> impl Iterator<Item = (f64, f64)> {
    let others = container.out_of_band_cpu_cores_by_second.iter().copied().chain(std::iter::repeat(0.0));
    container.own_cpu_cores_by_second.iter().copied().zip(others)
}

fn sorted_column(order: Order) -> Column {
    match order {
        Order::True => Column::True,
        Order::Own => Column::Own,
        Order::OutOfBand => Column::OutOfBand,
        Order::Memory => Column::Memory,
        Order::Io => Column::Io,
        Order::Log => Column::Log,
        Order::Net => Column::Net,
    }
}

fn spans(column: Column, container: &ContainerStatus) -> Vec<Span<'static>> {
    let worst = container.incidents.first();
    match column {
        Column::Mark => worst.map(|it| Span::styled("!", severity(it.severity))).into_iter().collect(),
        Column::Name => vec![Span::raw(container.name.to_string())],
        Column::Image => vec![dim(container.image.to_string())],
        Column::Trust => vec![Span::styled(trust(container), trust_style(container))],
        Column::True => vec![or_dash(true_cores(container), cores).bold()],
        Column::Own => vec![Span::raw(or_dash(container.own_cpu_cores, cores))],
        Column::OutOfBand => out_of_band(container),
        Column::Memory => vec![Span::raw(or_dash(container.memory_bytes, |it| bytes(it as f64)))],
        Column::Io => vec![Span::raw(or_dash(io(container), bytes))],
        Column::Net => vec![Span::raw(or_dash(net(container), bytes))],
        Column::Log => vec![Span::raw(or_dash(container.log_bytes_per_second, bytes))],
        Column::Waits => waits(container).into_iter().collect(),
        Column::Incident => {
            worst.map(|it| Span::styled(it.id.to_string(), severity(it.severity))).into_iter().collect()
        }
        Column::Last => Vec::new(),
    }
}

/// The figure, then its classes in short, the dearest first; the breakdown has the figure of each.
fn out_of_band(container: &ContainerStatus) -> Vec<Span<'static>> {
    let Some(others) = container.out_of_band_cpu_cores else { return vec![Span::raw("    -")] };
    let style = if others >= MUCH_CORES { Style::new().fg(Color::Yellow).bold() } else { Style::new() };
    let mut spans = vec![Span::styled(format!("{:>5}", cores(others)), style)];
    let mut costs: Vec<_> = container.costs.iter().filter(|cost| cost.cores >= CLASS_CORES).collect();
    costs.sort_by(|a, b| b.cores.total_cmp(&a.cores));
    let words: Vec<&str> = costs.iter().map(|cost| cost.class.short_name()).collect();
    if !words.is_empty() {
        spans.push(dim(format!(" {}", words.join(", "))));
    }
    spans
}

/// What its tasks wait for most, or that it hits its own limit.
fn waits(container: &ContainerStatus) -> Option<Span<'static>> {
    let throttled = container.activity.as_ref().and_then(|activity| activity.throttled_share);
    if throttled.is_some_and(|share| share >= THROTTLED_SHARE) {
        return Some("at limit".yellow());
    }
    let waiting = &container.waiting;
    let (name, Wait { share, .. }) = [("cpu", waiting.cpu), ("mem", waiting.memory), ("io", waiting.io)]
        .into_iter()
        .max_by(|(_, a), (_, b)| a.share.total_cmp(&b.share))?;
    (share >= WAITS_SHARE).then(|| format!("{name} {}", percent(share)).yellow())
}

fn trust_style(container: &ContainerStatus) -> Style {
    match (container.kind, container.provenance) {
        (Kind::Ghost, _) => Style::new().fg(Color::Red),
        (Kind::Managed, Provenance::Unapproved) => Style::new().fg(Color::Yellow),
        _ => Style::new().dim(),
    }
}

/// The last seconds as bars of true cost, coloured by who spent the greater part of it.
fn last(container: &ContainerStatus, full: f64, width: usize) -> Vec<Span<'static>> {
    let seconds: Vec<(f64, f64)> = by_second(container).collect();
    let newest = &seconds[seconds.len().saturating_sub(width)..];
    let gap = Span::raw(" ".repeat(width - newest.len()));
    let bars = newest.iter().map(|(own, others)| {
        let colour = if others > own { Color::Yellow } else { Color::Green };
        Span::styled(bar(own + others, full).to_string(), Style::new().fg(colour))
    });
    std::iter::once(gap).chain(bars).collect()
}
