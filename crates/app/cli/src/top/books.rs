//! The head of the screen: the books of the host, what all wait for, what runs out, who else spends, what is blind.
//!
//! Not here: single containers (`columns.rs`, `breakdown.rs`).

use std::collections::BTreeMap;

use engine::status::Status;
use engine::status::host::{LevelStatus, ProcessStatus, SpenderStatus};
use model::coverage::Health;
use model::usage::Pressure;
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use report::style::{cut, shown};
use report::units;

use crate::top::fitted::{cut_to, dim, flowed};
use crate::top::order::Totals;
use crate::top::words::{SOON_SECONDS, cores, level, severity};

/// CPU in cores from which a line of the books is named.
const NAMED_CORES: f64 = 0.005;
/// CPU in cores from which a service or an engine's process is named.
const SPENDER_CORES: f64 = 0.05;
/// CPU that no line accounts for, in cores, from which processes are named.
const UNACCOUNTED_CORES: f64 = 0.1;
/// Share of a limit from which a level is always told, and from which it is pressing.
const HIGH_SHARE: f64 = 0.6;
const PRESSING_SHARE: f64 = 0.9;
/// Levels told when none is high.
const CALM_LEVELS: usize = 2;
/// Most columns of a foreign name: none may push the others out of the picture.
const NAME_MAX: usize = 28;
/// Seconds between two readings of the processes, as a rule.
const PROCESSES_SECONDS: f64 = 2.0;
/// Width of the bar on wide screens, and the least.
const BAR: (usize, usize) = (64, 8);
/// Share of the last 10 s in which tasks waited, in percent, from which it stands out and from which it is bad.
const WAITED_PERCENT: (f32, f32) = (10.0, 30.0);

/// One part of the bar.
struct Part {
    letter: char,
    name: &'static str,
    cores: f64,
    colour: Color,
}

/// The lines of the head, the most important first; none is wider than `room`.
pub(super) fn lines(status: &Status, room: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(parts) = parts(status) {
        lines.push(bar(status, &parts, room));
        lines.extend(legend(&parts, room));
        lines.extend(total(status, room));
    } else {
        let begins = dim("the books of the first seconds are not closed yet");
        lines.push(Line::from(cut_to(vec![begins], room)));
    }
    lines.extend(incidents(status, room));
    lines.extend(blind(status, room));
    lines.extend(waiting(status, room));
    lines.extend(levels(status, room));
    lines.extend(spenders(status, room));
    lines.extend(unaccounted(status, room));
    lines
}

fn parts(status: &Status) -> Option<Vec<Part>> {
    let host = status.host.as_ref()?;
    let part = |letter, name, cores: f64, colour| Part { letter, name, cores: cores.max(0.0), colour };
    let unused = f64::from(host.cores) - host.busy_cores;
    let disk = host.iowait_cores.min(unused.max(0.0));
    Some(vec![
        part('c', "containers", host.container_cores, Color::Green),
        part('e', "engine", host.engine_cores + host.shim_cores, Color::Yellow),
        part('a', "attached clients", host.client_cores, Color::LightYellow),
        part('l', "loggers", host.logger_cores, Color::LightMagenta),
        part('h', "helpers of the kernel", host.helper_cores, Color::LightRed),
        part('k', "kernel threads", host.kernel_thread_cores, Color::Magenta),
        part('p', "packets", host.softirq_cores, Color::Cyan),
        part('s', "services", host.service_cores, Color::Blue),
        part('?', "unaccounted", host.residual_cores, Color::Red),
        part('d', "waiting for disks", disk, Color::DarkGray),
        part('.', "idle", unused - disk, Color::DarkGray),
    ])
}

/// One line from nothing to all cores. Each part has its letter, so that it can be read without colours.
fn bar(status: &Status, parts: &[Part], room: usize) -> Line<'static> {
    let (busy, all) = status.host.as_ref().map_or((0.0, 0), |host| (host.busy_cores, host.cores));
    let text = format!(" {} of {all} cores busy", cores(busy));
    let width = room.saturating_sub(text.len() + 6).clamp(BAR.1, BAR.0);
    let sum: f64 = parts.iter().map(|part| part.cores).sum();
    let scale = width as f64 / sum.max(f64::from(all)).max(f64::MIN_POSITIVE);
    let mut spans = vec!["cpu ".bold(), Span::raw("[")];
    let (mut before, mut drawn) = (0.0, 0);
    for part in parts {
        before += part.cores;
        let end = ((before * scale).round() as usize).min(width);
        let letters = part.letter.to_string().repeat(end - drawn);
        spans.push(Span::styled(letters, part_style(part)));
        drawn = end;
    }
    spans.push(Span::raw(format!("{}]", " ".repeat(width - drawn))));
    spans.push(Span::raw(text));
    Line::from(cut_to(spans, room))
}

fn part_style(part: &Part) -> Style {
    match part.letter {
        '.' => Style::new().dim(),
        _ => Style::new().fg(Color::Black).bg(part.colour),
    }
}

fn legend(parts: &[Part], room: usize) -> Vec<Line<'static>> {
    let named = parts.iter().filter(|part| part.cores >= NAMED_CORES || part.letter == 'c');
    let piece = |part: &Part| {
        vec![
            Span::styled(part.letter.to_string(), part_style(part)),
            Span::raw(format!(" {} {}  ", part.name, cores(part.cores))),
        ]
    };
    flowed(Span::raw("    "), named.map(piece).collect(), room, 2)
}

/// What containers cost, which no other line tells: what others spend for them stands in the lines of the others.
fn total(status: &Status, room: usize) -> Vec<Line<'static>> {
    let totals = Totals::of(&status.containers);
    let others = if totals.out_of_band > totals.own { Style::new().fg(Color::Yellow) } else { Style::new() };
    let count = match status.containers.len() {
        1 => "1 container costs".to_owned(),
        count => format!("{count} containers cost"),
    };
    let head = format!("{count} {} cores: ", cores(totals.true_cores())).bold();
    let mut pieces = vec![
        vec![Span::raw(format!("{} own, ", cores(totals.own)))],
        vec![Span::styled(format!("{} out of band  ", cores(totals.out_of_band)), others)],
    ];
    let mut classes: BTreeMap<&str, f64> = BTreeMap::new();
    for cost in status.containers.iter().flat_map(|container| &container.costs) {
        *classes.entry(cost.class.short_name()).or_default() += cost.cores;
    }
    let mut classes: Vec<_> = classes.into_iter().filter(|(_, cost)| *cost >= NAMED_CORES).collect();
    classes.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    pieces.extend(classes.into_iter().map(|(name, cost)| vec![dim(format!("{name} {}  ", cores(cost)))]));
    flowed(head, pieces, room, 2)
}

fn waiting(status: &Status, room: usize) -> Vec<Line<'static>> {
    let Some(host) = &status.host else { return Vec::new() };
    let wait = |name: &str, pressure: Option<Pressure>| {
        let waited = pressure?.some_avg10_percent;
        let colour = match waited {
            _ if waited >= WAITED_PERCENT.1 => Style::new().fg(Color::Red).bold(),
            _ if waited >= WAITED_PERCENT.0 => Style::new().fg(Color::Yellow),
            _ => Style::new(),
        };
        Some(vec![Span::styled(format!("{name} {waited:.0} %  "), colour)])
    };
    let pressures = &host.pressures;
    let waits = [("cpu", pressures.cpu), ("memory", pressures.memory), ("disks", pressures.io)];
    let mut pieces: Vec<_> = waits.into_iter().filter_map(|(name, pressure)| wait(name, pressure)).collect();
    if let Some(runnable) = status.host_detail.tasks_runnable {
        pieces.push(vec![Span::raw(format!("{runnable} tasks to run  "))]);
    }
    if host.memory_total_bytes > 0 {
        let total = host.memory_total_bytes as f64;
        let used = total - host.memory_available_bytes as f64;
        let style =
            if used >= PRESSING_SHARE * total { Style::new().fg(Color::Red).bold() } else { Style::new() };
        let text = format!("memory used: {} of {}", units::bytes(used), units::bytes(total));
        pieces.push(vec![Span::styled(text, style)]);
    }
    flowed("waits: ".bold(), pieces, room, 2)
}

fn incidents(status: &Status, room: usize) -> Option<Line<'static>> {
    let worst = status.host_detail.incidents.first()?;
    let style = severity(worst.severity);
    let more = match status.incidents_open {
        0 | 1 => String::new(),
        open => format!("{open} incidents open, the worst: "),
    };
    let spans = vec![
        Span::styled(format!("{more}{} {}", worst.severity.name(), worst.id), style),
        Span::raw(format!(": {}", shown(&worst.summary))),
    ];
    Some(Line::from(cut_to(spans, room)))
}

/// Levels that are high or end soon; the highest two when there are none.
fn levels(status: &Status, room: usize) -> Vec<Line<'static>> {
    let detail = &status.host_detail;
    let objects = detail.objects.iter().map(|it| (it.object.name().to_owned(), &it.level));
    let disks = detail.disks.iter().flat_map(|disk| {
        let path = cut(&disk.path.to_string(), NAME_MAX);
        let inodes = disk.inodes.as_ref().map(|inodes| (format!("inodes of {path}"), inodes));
        std::iter::once((format!("disk {path}"), &disk.bytes)).chain(inodes)
    });
    let mut levels: Vec<(String, &LevelStatus)> =
        objects.chain(disks).filter(|(_, level)| level.used_share.is_some()).collect();
    levels.sort_by(|(_, a), (_, b)| b.used_share.unwrap_or(0.0).total_cmp(&a.used_share.unwrap_or(0.0)));
    let ends_soon = |level: &LevelStatus| level.full_in_seconds.is_some_and(|seconds| seconds < SOON_SECONDS);
    let is_high = |level: &LevelStatus| level.used_share.unwrap_or(0.0) >= HIGH_SHARE || ends_soon(level);
    let pressing = levels.iter().filter(|(_, level)| is_high(level)).count();
    if pressing > 0 {
        levels.retain(|(_, level)| is_high(level));
    } else {
        levels.truncate(CALM_LEVELS);
    }
    if levels.is_empty() {
        return Vec::new();
    }
    let piece = |(name, of): &(String, &LevelStatus)| {
        let is_pressing = of.used_share.unwrap_or(0.0) >= PRESSING_SHARE || ends_soon(of);
        let style = if is_pressing { Style::new().fg(Color::Red).bold() } else { Style::new() };
        vec![Span::styled(format!("{name} {}  ", level(of)), style)]
    };
    flowed("used up: ".bold(), levels.iter().map(piece).collect(), room, 2)
}

/// Who spends outside containers: for a slow host the cause may be no container at all.
fn spenders(status: &Status, room: usize) -> Vec<Line<'static>> {
    let spenders = status.host_detail.spenders.iter().filter(|it| it.cpu_cores >= SPENDER_CORES);
    let piece = |it: &SpenderStatus| {
        let pid = it.pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
        let name = it.name.to_string();
        // Of a service's path the last part tells it.
        let name = name.rsplit('/').next().filter(|part| !part.is_empty()).unwrap_or(&name);
        vec![Span::raw(format!("{}{pid} {}  ", cut(name, NAME_MAX), cores(it.cpu_cores)))]
    };
    let pieces: Vec<_> = spenders.map(piece).collect();
    if pieces.is_empty() { Vec::new() } else { flowed("elsewhere: ".bold(), pieces, room, 1) }
}

fn unaccounted(status: &Status, room: usize) -> Vec<Line<'static>> {
    let is_engine = |pid| status.host_detail.spenders.iter().any(|it| it.pid == Some(pid));
    let is_contained = |it: &ProcessStatus| {
        status.containers.iter().any(|container| it.cgroup.raw().starts_with(container.cgroup.raw()))
    };
    let processes = status.host_detail.processes.iter();
    let processes: Vec<_> = processes.filter(|it| !is_engine(it.pid) && !is_contained(it)).collect();
    let residual = status.host.as_ref().map_or(0.0, |host| host.residual_cores);
    if residual < UNACCOUNTED_CORES || processes.is_empty() {
        return Vec::new();
    }
    let pieces = processes.iter().map(|it| {
        let name = cut(&it.name.to_string(), NAME_MAX);
        vec![Span::raw(format!("{name}[{}] {}  ", it.pid, cores(it.cpu_seconds / PROCESSES_SECONDS)))]
    });
    flowed("in no line of the books: ".red().bold(), pieces.collect(), room, 1)
}

fn blind(status: &Status, room: usize) -> Vec<Line<'static>> {
    let lost = status.sources.iter().filter(|it| matches!(it.health, Health::Down | Health::Degraded));
    let line = |it: &engine::status::SourceStatus| {
        let text = format!("{} {}: {}", it.source, crate::status::health(it.health), it.reason);
        Line::from(cut_to(vec![text.yellow()], room))
    };
    lost.map(line).collect()
}
