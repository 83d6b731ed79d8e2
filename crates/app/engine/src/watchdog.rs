//! What Tidewatch notices about itself at each tick: that it was stopped, that the clock was set, that a thread is silent or
//! dead, that a call does not return.
//!
//! Not here: what that weighs, which is for the fold to judge. What is noticed becomes events, as everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use deadline::pulse::{Life, Pulses, Vital};
use deadline::workers::Counts;
use model::coverage::{Health, Source, SourceReport};
use model::event::Body;
use model::integrity::Integrity;
use model::time::Time;
use model::untrusted::Untrusted;
use sources::clock::since_boot;

/// A tick that is later than this was not merely delayed.
const LATE: Duration = Duration::from_secs(3);

/// A pool of calls that may not return, and the sources that lack what they would bring.
pub(crate) type Pool = (Counts, Source);

/// What was noticed so far.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    ticked: Option<Moment>,
    silent: BTreeMap<u64, Silent>,
    dead: BTreeSet<u64>,
    stuck: BTreeMap<(Source, &'static str), Silent>,
    sources: BTreeMap<Source, Words>,
}

/// A moment by every clock that tells why no other one came before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// By the clock of events.
    at: Time,
    /// Since boot, suspend included.
    boot: Duration,
    /// Suspend not included.
    awake: Instant,
    /// How long this thread has been ready and has waited for a CPU, in nanoseconds; `None` where the kernel does not count it.
    waited_ns: Option<u64>,
}

/// A thread or a call that does not report.
#[derive(Clone, Debug)]
struct Silent {
    name: Untrusted,
    since: Time,
    silent: Duration,
}

/// How a source is.
#[derive(Debug, Default)]
struct Words {
    /// By its own account.
    own: Option<SourceReport>,
    /// As the fold was told last.
    told: Option<SourceReport>,
}

impl Moment {
    /// This moment, of the thread that asks.
    pub(crate) fn now(at: Time) -> Self {
        Self { at, boot: since_boot(), awake: Instant::now(), waited_ns: waited_ns() }
    }
}

/// The second number of `schedstat` (kernel, `Documentation/scheduler/sched-stats.rst`).
fn waited_ns() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().nth(1)?.parse().ok()
}

impl Watchdog {
    /// A source says how it is.
    pub(crate) fn note(&mut self, body: &Body) {
        if let Body::Report(report) = body {
            let words = self.sources.entry(report.source).or_default();
            // What was just said here comes back as an event, and is not the source's own account.
            if words.told.as_ref() != Some(report) {
                words.own = Some(report.clone());
                words.told = Some(report.clone());
            }
        }
    }

    /// Whether a tick is overdue by so much that it counts as a stop.
    pub(crate) fn is_late(&self, since_boot: Duration) -> bool {
        self.ticked.as_ref().is_some_and(|before| since_boot.saturating_sub(before.boot) > LATE)
    }

    /// Time passes: whether the tick before this one is too long ago.
    pub(crate) fn tick(&mut self, now: Moment) -> Option<Integrity> {
        let before = self.ticked.replace(now)?;
        let passed = now.boot.saturating_sub(before.boot);
        let suspended = passed.saturating_sub(now.awake.saturating_duration_since(before.awake));
        let starved_ns = now.waited_ns.zip(before.waited_ns).map(|(now, before)| now.saturating_sub(before));
        (passed > LATE).then(|| Integrity::Late {
            from: before.at,
            until: now.at,
            suspended_ms: Some(millis(suspended)),
            starved_ms: starved_ns.map(|ns| ns / 1_000_000),
        })
    }

    /// Looks at every thread and at every pool of calls.
    pub(crate) fn look(&mut self, pulses: &Pulses, pools: &[Pool], now: Time) -> Vec<Body> {
        let vitals = pulses.vitals();
        let mut facts = self.look_at_threads(&vitals, now);
        facts.extend(self.look_at_calls(pools, now));
        let facts = facts.into_iter().map(|fact| Body::Integrity(Box::new(fact)));
        facts.chain(self.reports(&vitals)).collect()
    }

    fn look_at_threads(&mut self, vitals: &[Vital], now: Time) -> Vec<Integrity> {
        let mut facts = Vec::new();
        let is_there = |number: &u64| vitals.iter().any(|vital| vital.number == *number);
        self.dead.retain(is_there);
        self.silent.retain(|number, _| is_there(number));
        for vital in vitals {
            let thread = Untrusted::new(&vital.thread);
            if let Some(reason) = death(&vital.life) {
                self.silent.remove(&vital.number);
                if self.dead.insert(vital.number) {
                    facts.push(Integrity::Died { thread, reason });
                }
            } else if vital.is_overdue() {
                let since = now.minus(vital.silent);
                let silent = Silent { name: thread.clone(), since, silent: vital.silent };
                if self.silent.insert(vital.number, silent).is_none() {
                    facts.push(Integrity::Overdue { thread, silent_ms: millis(vital.silent) });
                }
            } else if let Some(silent) = self.silent.remove(&vital.number) {
                facts.push(Integrity::Recovered { thread, silent_ms: millis(silent.silent) });
            }
        }
        facts
    }

    fn look_at_calls(&mut self, pools: &[Pool], now: Time) -> Vec<Integrity> {
        let stuck = pools.iter().filter_map(|(counts, source)| {
            let (call, since) = counts.oldest?;
            let silent = Instant::now().saturating_duration_since(since);
            let name = format!("{call} ({} do not return)", counts.stuck());
            let since = self.stuck.get(&(*source, call)).map_or(now.minus(silent), |before| before.since);
            Some(((*source, call), Silent { name: Untrusted::new(&name), since, silent }))
        });
        let stuck: BTreeMap<_, _> = stuck.collect();
        let before = std::mem::replace(&mut self.stuck, stuck);
        let recovered = before.iter().filter(|(key, _)| !self.stuck.contains_key(key));
        let recovered = recovered.map(|((_, call), silent)| Integrity::Recovered {
            thread: Untrusted::new(call),
            silent_ms: millis(silent.silent),
        });
        let overdue = self.stuck.iter().filter(|(key, _)| !before.contains_key(key));
        let overdue = overdue.map(|((_, call), silent)| Integrity::Overdue {
            thread: Untrusted::new(call),
            silent_ms: millis(silent.silent),
        });
        recovered.chain(overdue).collect()
    }

    /// The health of sources whose words and whose threads do not agree, or no longer disagree.
    fn reports(&mut self, vitals: &[Vital]) -> Vec<Body> {
        let mut problems: BTreeMap<Source, (Health, Vec<String>)> = BTreeMap::new();
        let mut add = |source: Source, health: Health, problem: String| {
            let entry = problems.entry(source).or_insert((Health::Degraded, Vec::new()));
            entry.0 = if health == Health::Down { Health::Down } else { entry.0 };
            entry.1.push(problem);
        };
        for vital in vitals.iter().filter(|vital| self.dead.contains(&vital.number)) {
            let reason = death(&vital.life).unwrap_or_default();
            for source in sources_of(&vital.thread) {
                add(*source, Health::Down, format!("its thread {} ended: {reason}", vital.thread));
            }
        }
        for silent in self.silent.values() {
            for source in sources_of(silent.name.raw()) {
                let since = silent.since.rfc3339();
                add(*source, Health::Degraded, format!("its thread {} is silent since {since}", silent.name));
            }
        }
        for ((source, _), silent) in &self.stuck {
            add(*source, Health::Degraded, format!("{}, since {}", silent.name, silent.since.rfc3339()));
        }
        for source in problems.keys() {
            self.sources.entry(*source).or_default();
        }
        let changed = self.sources.iter_mut().filter_map(|(source, words)| {
            let now = merged(*source, words.own.as_ref(), problems.get(source));
            (words.told != now).then(|| words.told = now)?;
            words.told.clone().map(Body::Report)
        });
        changed.collect()
    }
}

/// Its own words, and what its threads show beside them.
fn merged(
    source: Source,
    own: Option<&SourceReport>,
    problems: Option<&(Health, Vec<String>)>,
) -> Option<SourceReport> {
    let Some((health, problems)) = problems else {
        // Nothing is said of one that has not spoken for itself, unless it was said before that it had a problem.
        return own.cloned().or(None);
    };
    let is_down = own.is_some_and(|own| own.health == Health::Down);
    let own_reason = own.map(|own| own.reason.raw().to_owned()).filter(|reason| !reason.is_empty());
    let reasons: Vec<String> = own_reason.into_iter().chain(problems.iter().cloned()).collect();
    let health = if is_down { Health::Down } else { *health };
    Some(SourceReport { source, health, reason: Untrusted::new(&reasons.join("; ")) })
}

/// Why a thread ended that should not have; `None` while it runs.
fn death(life: &Life) -> Option<Untrusted> {
    match life {
        Life::Runs | Life::Retired => None,
        Life::Returned => Some(Untrusted::new("it returned")),
        Life::Panicked(message) => Some(Untrusted::new(message)),
        Life::NotStarted(error) => Some(Untrusted::new(&format!("no thread for it: {error}"))),
    }
}

/// The sources that a thread speaks for.
fn sources_of(thread: &str) -> &'static [Source] {
    match thread.split(' ').next().unwrap_or_default() {
        "kernel" => &[Source::Kernel],
        "scan" | "births" => &[Source::Scan],
        "sampler" => &[Source::Host, Source::Cgroups],
        "units" => &[Source::Systemd],
        "podman" => &[Source::Podman],
        "docker" => &[Source::Docker],
        "containerd" => &[Source::Containerd],
        "cri" => &[Source::Cri],
        "engines" => &[Source::Containerd, Source::Cri],
        _ => &[],
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
