//! What we could see: the health of every source, which of them are silent, the gaps of the last hour.
//!
//! A source that reports to be well and delivers nothing is as blind as one that reports to be down. Not here: what was
//! lost (`losses.rs`), when Tidewatch itself did not run (`interruptions.rs`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use model::coverage::{Blind, Coverage, Health, LostEvents, Source, SourceReport};
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

/// How long a past gap is told with findings.
const GAPS_TOLD: Duration = Duration::from_secs(3600);

/// Most past gaps kept of one source. Beyond it the two oldest become one: a source that flaps loses where its gaps
/// ended, and never that they were.
const GAPS_MAX: usize = 8;

/// Threads and calls that are dead or overdue at once.
const THREADS_MAX: usize = 64;

/// A second passes for a source only when we looked: time in which Tidewatch itself did not run is none of its silence.
const STEP_MAX: Duration = Duration::from_secs(2);

/// How long a source may be down, or deliver nothing, before that is a finding: an engine that is restarted takes less.
/// Prior.
const DOWN_AFTER: Duration = Duration::from_secs(10);
/// The same for one that works in part.
const DEGRADED_AFTER: Duration = Duration::from_secs(30);
/// How often an outage that goes on is told.
const TOLD_AGAIN: Duration = Duration::from_secs(300);
/// By how much slower than it grew an outage is forgotten: a source that comes up for a moment has not recovered.
const FORGOTTEN_SLOWER: u32 = 4;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sources {
    reports: BTreeMap<Source, (Time, SourceReport)>,
    gaps: VecDeque<Blind>,
    /// Threads and calls that ended or are overdue, by name.
    #[serde(default)]
    threads: BTreeMap<Untrusted, Blind>,
    #[serde(default)]
    watches: BTreeMap<Source, Watch>,
    #[serde(default)]
    last_tick: Option<Time>,
    /// Outages that came to be told with the last event.
    #[serde(skip)]
    fresh: Vec<Outage>,
}

/// How long a source was of no use lately.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Watch {
    /// Whether it was ever well.
    was_up: bool,
    /// Time without it, less what was forgotten since.
    missing: Duration,
    /// Time since its last event, of one that has an event each second.
    silent: Option<Duration>,
    last_event: Option<Time>,
    told: Option<Time>,
    /// How often it came back and was lost again since it was told.
    flaps: u32,
}

/// A source that has not been of use for longer than a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Which source.
    pub source: Source,
    /// `Down` for one that gives nothing, `Degraded` for one that works in part.
    pub health: Health,
    /// Since when it is so without a pause.
    pub since: Time,
    /// Whether it was well before: what was never there has not been taken away.
    pub was_up: bool,
    /// Whether it reports to be well all the while.
    pub is_silent: bool,
    /// How often it came back for a moment.
    pub flaps: u32,
    /// What it says.
    pub reason: Untrusted,
}

impl Sources {
    pub(crate) fn report(&mut self, report: &SourceReport, at: Time) {
        let watch = self.watches.entry(report.source).or_default();
        watch.was_up |= report.health == Health::Up;
        let before = self.reports.get(&report.source);
        if before.is_some_and(|(_, before)| before == report) {
            return;
        }
        let is_back =
            report.health == Health::Up && before.is_some_and(|(_, before)| is_blind(before.health));
        if before.is_some_and(|(_, before)| !is_blind(before.health)) && is_blind(report.health) {
            watch.flaps = watch.flaps.saturating_add(1);
        }
        if let Some((since, before)) = before
            && is_blind(before.health)
        {
            let gap = blind(before, *since, Some(at));
            self.keep_gap(gap);
        }
        self.reports.insert(report.source, (at, report.clone()));
        if is_back {
            self.threads_back(report.source, at);
        }
    }

    /// An event of a source came. Only the host's reading comes each second whatever happens.
    pub(crate) fn heard(&mut self, source: Source, at: Time) {
        if source == Source::Host {
            let watch = self.watches.entry(source).or_default();
            (watch.silent, watch.last_event) = (Some(Duration::ZERO), Some(at));
        }
    }

    /// Another event: what was told with the last one is no news any more.
    pub(crate) fn pass(&mut self) {
        self.fresh.clear();
    }

    /// Time passes: for whom it passes without use, and how much of that is worth a finding now.
    pub(crate) fn tick(&mut self, at: Time) {
        let step = self.last_tick.map_or(Duration::ZERO, |last| at.since(last)).min(STEP_MAX);
        self.last_tick = Some(at);
        for (source, watch) in &mut self.watches {
            let report = self.reports.get(source);
            watch.silent = watch.silent.map(|silent| silent + step);
            let state = standing(watch, report);
            let Some((health, since, reason)) = state else {
                watch.missing = watch.missing.saturating_sub(step / FORGOTTEN_SLOWER);
                if watch.missing.is_zero() {
                    (watch.told, watch.flaps) = (None, 0);
                }
                continue;
            };
            let after = if health == Health::Down { DOWN_AFTER } else { DEGRADED_AFTER };
            watch.missing = (watch.missing + step).min(after * 2);
            if watch.missing >= after && watch.told.is_none_or(|told| at.since(told) >= TOLD_AGAIN) {
                watch.told = Some(at);
                self.fresh.push(Outage {
                    source: *source,
                    health,
                    since,
                    was_up: watch.was_up,
                    is_silent: report.is_some_and(|(_, report)| !is_blind(report.health)),
                    flaps: watch.flaps.saturating_sub(1),
                    reason,
                });
            }
        }
    }

    /// Sources whose outage came to be told with the last event.
    pub(crate) fn fresh(&self) -> &[Outage] {
        &self.fresh
    }

    /// A thread or a call ended or is overdue: what it delivers is missing, whatever its source said last.
    pub(crate) fn thread_lost(&mut self, thread: &Untrusted, health: Health, since: Time, reason: &str) {
        if self.threads.len() >= THREADS_MAX && !self.threads.contains_key(thread) {
            return;
        }
        let source = source_of(thread);
        let since = self.threads.get(thread).map_or(since, |known| known.since.min(since));
        let reason = Untrusted::new(reason);
        self.threads.insert(thread.clone(), Blind { source, health, since, until: None, reason });
    }

    /// A thread that was overdue reports again.
    pub(crate) fn thread_back(&mut self, thread: &Untrusted, at: Time) {
        if let Some(lost) = self.threads.remove(thread) {
            self.keep_gap(Blind { until: Some(at), ..lost });
        }
    }

    /// A source that was reported to be blind is well again: what ended or hung of it has been started anew.
    fn threads_back(&mut self, source: Source, at: Time) {
        let of_source =
            |(thread, lost): (&Untrusted, &Blind)| (lost.source == source).then(|| thread.clone());
        let back: Vec<Untrusted> = self.threads.iter().filter_map(of_source).collect();
        back.iter().for_each(|thread| self.thread_back(thread, at));
    }

    /// Tidewatch did not run in between.
    pub(crate) fn gap(&mut self, from: Time, until: Time, reason: &str) {
        self.keep_gap(Blind {
            source: Source::Engine,
            health: Health::Down,
            since: from.min(until),
            until: Some(until),
            reason: Untrusted::new(reason),
        });
    }

    pub(crate) fn coverage(&self, now: Time, lost_events: u64, lost: Vec<LostEvents>) -> Coverage {
        let works = |health| matches!(health, Health::Up | Health::Degraded);
        let told = |gap: &&Blind| gap.until.is_none_or(|until| now.since(until) <= GAPS_TOLD);
        let silent: BTreeMap<Source, Blind> = self.silent().collect();
        let dead: BTreeSet<Source> =
            self.threads.values().filter(|it| it.health == Health::Down).map(|it| it.source).collect();
        let current = self.reports.values().filter(|(_, report)| is_blind(report.health));
        let seen = self.reports.values().filter(|(_, report)| works(report.health));
        Coverage {
            seen: seen
                .map(|(_, report)| report.source)
                .filter(|source| !silent.contains_key(source) && !dead.contains(source))
                .collect(),
            blind: current
                .map(|(since, report)| blind(report, *since, None))
                .chain(silent.values().cloned())
                .chain(self.threads.values().cloned())
                .chain(self.gaps.iter().filter(told).cloned())
                .collect(),
            lost_events,
            lost,
        }
    }

    /// How every source is: what it reported last, unless its thread is dead or it has been silent since.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Source, Health, &Untrusted)> {
        self.reports.values().map(|(_, report)| {
            let lost = self.threads.values().find(|lost| lost.source == report.source);
            match lost {
                Some(lost) if report.health != Health::Down => (report.source, lost.health, &lost.reason),
                _ => (report.source, report.health, &report.reason),
            }
        })
    }

    /// Sources that report to be well and have been silent for too long.
    fn silent(&self) -> impl Iterator<Item = (Source, Blind)> {
        self.watches.iter().filter_map(|(source, watch)| {
            let (health, since, reason) = standing(watch, self.reports.get(source))?;
            let is_told = self.reports.get(source).is_some_and(|(_, report)| is_blind(report.health));
            let blind = Blind { source: *source, health, since, until: None, reason };
            (!is_told).then_some((*source, blind))
        })
    }

    fn keep_gap(&mut self, gap: Blind) {
        let of_source = |kept: &&Blind| kept.source == gap.source;
        if self.gaps.iter().filter(of_source).count() >= GAPS_MAX {
            self.merge_oldest(gap.source);
        }
        self.gaps.push_back(gap);
    }

    /// The two oldest gaps of a source become one that spans both.
    fn merge_oldest(&mut self, source: Source) {
        let mut places = (0..self.gaps.len()).filter(|&at| self.gaps[at].source == source);
        let (Some(first), Some(second)) = (places.next(), places.next()) else { return };
        let Some(later) = self.gaps.remove(second) else { return };
        let earlier = &mut self.gaps[first];
        earlier.until = earlier.until.max(later.until);
        if later.health == Health::Down {
            earlier.health = Health::Down;
        }
        earlier.reason = Untrusted::new(&format!(
            "again and again: {}",
            later.reason.raw().trim_start_matches("again and again: ")
        ));
    }
}

/// How a source that is of no use is, since when, and why; `None` for one that works.
fn standing(watch: &Watch, report: Option<&(Time, SourceReport)>) -> Option<(Health, Time, Untrusted)> {
    match report {
        Some((since, report)) if is_blind(report.health) => {
            Some((report.health, *since, report.reason.clone()))
        }
        Some((since, _)) if watch.silent.is_some_and(|silent| silent >= DOWN_AFTER) => {
            let reason = Untrusted::new("reports to be well and delivers nothing");
            Some((Health::Down, watch.last_event.unwrap_or(*since), reason))
        }
        _ => None,
    }
}

/// The source that a thread works for: threads are called by their source, or by their source and what they do for it.
fn source_of(thread: &Untrusted) -> Source {
    let name = thread.raw().split([' ', ':', '/', '-']).next().unwrap_or_default();
    match name {
        "sampler" => Source::Host,
        "birth" | "births" | "scanner" => Source::Scan,
        "units" => Source::Systemd,
        "engines" => Source::Containerd,
        name => Source::from_name(name).unwrap_or(Source::Engine),
    }
}

fn is_blind(health: Health) -> bool {
    matches!(health, Health::Down | Health::Degraded)
}

fn blind(report: &SourceReport, since: Time, until: Option<Time>) -> Blind {
    Blind { source: report.source, health: report.health, since, until, reason: report.reason.clone() }
}
