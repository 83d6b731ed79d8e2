//! One container whole: every class of its cost with what drives it, what it waits for, holds and may have.
//!
//! Not here: its history, and what an incident says beyond its sentence (`tidewatch incidents show`).

use engine::status::activity::{Activity, Counted, Held, Limits, Wait};
use engine::status::{ContainerStatus, CostStatus, Status};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use report::style::{padded, shown, wrapped};
use report::units;

use crate::top::columns::by_second;
use crate::top::fitted::{cut_to, dim};
use crate::top::order::true_cores;
use crate::top::sparkline::line;
use crate::top::words::{cores, driver, or_dash, percent, severity};

/// Width of the names of figures, and of the bar of a share.
const NAME: usize = 14;
const SHARE_BAR: usize = 10;
/// Seconds drawn.
const SECONDS: usize = 30;

/// The lines about one container, none wider than `room`.
pub(super) fn lines(container: &ContainerStatus, status: &Status, room: usize) -> Vec<Line<'static>> {
    let mut lines = who(container);
    lines.push(Line::default());
    lines.extend(cost(container));
    lines.push(Line::default());
    lines.extend(classes(container));
    lines.push(Line::default());
    lines.extend(figures(container).into_iter().map(|(name, text)| figure(name, text)));
    if !container.incidents.is_empty() {
        lines.push(Line::default());
        lines.extend(incidents(container, status, room));
    }
    lines.into_iter().map(|line| Line::from(cut_to(line.spans, room))).collect()
}

fn figure(name: &str, text: impl Into<String>) -> Line<'static> {
    Line::from(vec![dim(padded(name, NAME)), Span::raw(text.into())])
}

fn who(container: &ContainerStatus) -> Vec<Line<'static>> {
    let provenance = crate::status::provenance(container);
    let or_unknown = |text: String| if text.is_empty() { "unknown".to_owned() } else { text };
    vec![
        Line::from(container.name.to_string().bold()),
        figure("image", or_unknown(container.image.to_string())),
        figure("workload", shown(&container.workload)),
        figure("trust", format!("{}, {provenance}", container.kind.name())),
        figure("id", or_unknown(container.id.to_string())),
        figure("cgroup", container.cgroup.to_string()),
        figure(
            "first process",
            format!("{}, started {}", or_dash(container.pid, |it| it.to_string()), container.started),
        ),
    ]
}

/// Own and out-of-band CPU of the last half minute on one scale.
fn cost(container: &ContainerStatus) -> Vec<Line<'static>> {
    let (own, others): (Vec<f64>, Vec<f64>) = by_second(container).unzip();
    let full = own.iter().chain(&others).copied().fold(0.01, f64::max);
    let drawn = |name: &str, value: Option<f64>, seconds: &[f64], colour: Color| {
        let text = format!("{:>6}  ", or_dash(value, cores));
        let bars = line(seconds, full, SECONDS);
        Line::from(vec![
            dim(padded(name, NAME)),
            Span::raw(text),
            Span::styled(bars, Style::new().fg(colour)),
        ])
    };
    let scale = format!("{:>6}  a full bar is {} cores", or_dash(true_cores(container), cores), cores(full));
    vec![
        Line::from(vec![dim(padded("true cost", NAME)), scale.bold()]),
        drawn("own", container.own_cpu_cores, &own, Color::Green),
        drawn("out of band", container.out_of_band_cpu_cores, &others, Color::Yellow),
    ]
}

fn classes(container: &ContainerStatus) -> Vec<Line<'static>> {
    if container.costs.is_empty() {
        return vec![Line::from(dim("nobody spends anything on its behalf"))];
    }
    let mut costs: Vec<&CostStatus> = container.costs.iter().collect();
    costs.sort_by(|a, b| b.cores.total_cmp(&a.cores));
    costs.into_iter().flat_map(class).collect()
}

fn class(cost: &CostStatus) -> [Line<'static>; 2] {
    let filled = ((cost.share * SHARE_BAR as f64).round() as usize).min(SHARE_BAR);
    let bar = format!("{}{}", "█".repeat(filled), "░".repeat(SHARE_BAR - filled));
    let first = Line::from(vec![
        padded(cost.class.name(), 27).bold(),
        Span::raw(format!("{:>6} cores  ", units::number(cost.cores))),
        Span::styled(bar, Style::new().fg(Color::Yellow)),
        Span::raw(format!(" {} of what drives it", percent(cost.share))),
    ]);
    let text =
        format!("  driven by {}; spent on all containers: {}", driver(cost), units::cores(cost.pool_cores));
    [first, Line::from(dim(text))]
}

fn figures(container: &ContainerStatus) -> Vec<(&'static str, String)> {
    let mut figures = vec![
        (
            "own, usually",
            container.own_usual_cpu_cores.map_or_else(|| "not known yet".to_owned(), units::cores),
        ),
        ("cpu limit", cpu_limit(container)),
        ("waits", waits(container)),
        ("memory", memory(container.memory_bytes, &container.limits)),
        ("tasks", tasks(&container.limits)),
        ("log", or_dash(container.log_bytes_per_second, units::bytes_per_second)),
    ];
    if let Some(activity) = &container.activity {
        figures.push(("disks", disks(activity)));
        let counted = activity.counted.as_ref();
        figures.push(("network", or_dash(counted, network)));
        figures.push(("processes", or_dash(counted, processes)));
        figures.push(("asks others", or_dash(counted, |it| asks(activity, it))));
    }
    figures.extend(container.held.as_ref().map(|held| ("holds", holds(held))));
    figures
}

fn cpu_limit(container: &ContainerStatus) -> String {
    let Some(limit) = container.limits.cpu_limit_cores else { return "none".to_owned() };
    let throttled = container.activity.as_ref().and_then(|activity| activity.throttled_share);
    let throttled = throttled.map(|share| format!(", hit in {} of the time", percent(share)));
    format!("{}{}", units::cores(f64::from(limit)), throttled.unwrap_or_default())
}

fn waits(container: &ContainerStatus) -> String {
    let wait = |name: &str, wait: Wait| {
        let usual = wait.usual_share.map(|usual| format!(" (usually {})", percent(usual)));
        format!("{name} {}{}", percent(wait.share), usual.unwrap_or_default())
    };
    let waiting = &container.waiting;
    [wait("cpu", waiting.cpu), wait("memory", waiting.memory), wait("disks", waiting.io)].join(", ")
}

fn memory(used: Option<u64>, limits: &Limits) -> String {
    let bytes = |bytes: u64| units::bytes(bytes as f64);
    let mut text = or_dash(used, bytes);
    for (words, more) in [
        (" of ", limits.memory_limit_bytes),
        ("; working set ", limits.memory_working_set_bytes),
        ("; swapped out ", limits.memory_swap_bytes.filter(|bytes| *bytes > 0)),
    ] {
        text.extend(more.map(|more| format!("{words}{}", bytes(more))));
    }
    if limits.memory_limit_bytes.is_none() { text + "; no limit" } else { text }
}

fn tasks(limits: &Limits) -> String {
    let limit = limits.tasks_limit.map_or_else(|| ", no limit".to_owned(), |limit| format!(" of {limit}"));
    format!("{}{limit}", or_dash(limits.tasks, |tasks| tasks.to_string()))
}

fn disks(activity: &Activity) -> String {
    let bytes = or_dash(activity.io_bytes_per_second, units::bytes_per_second);
    format!("{bytes}, {} operations/s", or_dash(activity.io_operations_per_second, units::number))
}

fn network(counted: &Counted) -> String {
    format!(
        "{}, {} packets/s, {} connections/s opened, {} accepted",
        units::bytes_per_second(counted.packet_bytes_per_second),
        units::number(counted.packets_per_second),
        units::number(counted.connects_per_second),
        units::number(counted.accepts_per_second),
    )
}

fn processes(counted: &Counted) -> String {
    format!(
        "{} forks/s, {} programs/s, {} crashes/s",
        units::number(counted.forks_per_second),
        units::number(counted.execs_per_second),
        units::number(counted.crashes_per_second),
    )
}

/// What it makes the kernel and the engine do.
fn asks(activity: &Activity, counted: &Counted) -> String {
    format!(
        "{} syncs/s of all data, {} of files, {} modules/s, {} engine calls/s, {} engine execs/s",
        units::number(counted.whole_syncs_per_second),
        units::number(counted.file_syncs_per_second),
        units::number(counted.module_requests_per_second),
        units::number(counted.engine_calls_per_second),
        units::number(activity.engine_execs_per_second),
    )
}

fn holds(held: &Held) -> String {
    let known = [
        ("processes", Some(held.processes)),
        ("threads", held.threads),
        ("open files", held.files),
        ("sockets", held.sockets),
        ("pseudo terminals", held.ptys),
        ("inotify watches", held.inotify_watches),
        ("tracked connections", held.conntrack),
        ("mounts", held.mounts),
        ("System V objects", held.sysv),
    ];
    let known = known.into_iter().filter_map(|(name, count)| Some(format!("{} {name}", count?)));
    known.collect::<Vec<_>>().join(", ")
}

fn incidents(container: &ContainerStatus, status: &Status, room: usize) -> Vec<Line<'static>> {
    let told = &status.host_detail.incidents;
    let mut lines = Vec::new();
    for it in &container.incidents {
        let id = format!("{} {}", it.severity.name(), it.id);
        lines.push(Line::from(Span::styled(id, severity(it.severity))));
        let summary = told.iter().find(|one| one.id == it.id).map(|one| shown(&one.summary));
        lines.extend(wrapped(&summary.unwrap_or_default(), room).into_iter().map(Line::from));
    }
    let first = container.incidents.first();
    lines.extend(first.map(|it| Line::from(dim(format!("look closer: tidewatch incidents show {}", it.id)))));
    lines
}
