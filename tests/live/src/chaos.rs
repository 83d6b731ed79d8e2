//! Chaos: every ten seconds one thing goes wrong at random, and in each round the sample command and a container made by
//! hand must be found within ten seconds of their starts, and everything that is lost must be reported as lost.
//!
//! Not here: what goes wrong, one file each below. The seed is printed: the same seed gives the same order.

mod account;
mod cgroups;
mod clock;
mod disk;
mod engine;
mod fuse;
mod killed;
mod labels;
mod output;
mod ring;
mod shown;
mod stand;
mod stopped;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::chaos::account::Account;
use crate::chaos::stand::Stand;
use crate::images::BUSYBOX;
use crate::tidewatch::Room;
use crate::{host, wait};

/// From one round's beginning to the next one's.
const ROUND: Duration = Duration::from_secs(10);
/// Longest time from an attack's start until it is shown or listed.
const FOUND_WITHIN: Duration = Duration::from_secs(10);
/// How much more memory may be resident at the end, in parts of a hundred.
const GROWTH_MAX: u64 = 10;

/// From the last round's end until memory is read.
const SETTLES_IN: Duration = Duration::from_secs(20);

/// How long the sample command makes an engine spend before that engine is taken away.
const SPENDS_FOR: Duration = Duration::from_secs(2);

/// Sets right again what a round broke.
type Undo = Box<dyn FnOnce(&mut Stand) -> Result<()>>;

/// One thing that goes wrong.
struct Kind {
    name: &'static str,
    begin: fn(&mut Stand) -> Result<Undo>,
    /// Whether the sample command must be started before it: it takes the engine away.
    takes_engine: bool,
}

const KINDS: [Kind; 13] = [
    kind("engine stopped", engine::stopped, true),
    kind("engine hanging", engine::hanging, true),
    kind("FUSE root that never answers", fuse::begin, false),
    kind("disk full", disk::full, false),
    kind("disk read-only at a restart", disk::read_only, false),
    kind("standard output stalled", output::begin, false),
    kind("SIGSTOP for 5 s", stopped::begin, false),
    kind("clock an hour ahead", clock::ahead, false),
    kind("clock an hour back", clock::back, false),
    kind("ring flooded", ring::begin, false),
    kind("5,000 cgroups", cgroups::begin, false),
    kind("300 labels", labels::begin, false),
    kind("kill -9 with a restart", killed::begin, false),
];

const fn kind(name: &'static str, begin: fn(&mut Stand) -> Result<Undo>, takes_engine: bool) -> Kind {
    Kind { name, begin, takes_engine }
}

/// What became of one kind over all its rounds.
#[derive(Default)]
struct Tally {
    rounds: u32,
    sample: u32,
    ghost: u32,
    worst: f64,
    /// Events that are reported lost.
    lost: u64,
    problems: Vec<String>,
}

impl Tally {
    fn is_whole(&self) -> bool {
        self.sample == self.rounds && self.ghost == self.rounds && self.problems.is_empty()
    }

    fn take_account(&mut self, account: Result<Account>) {
        let problem = match account {
            Ok(account) => {
                self.lost += account.lost();
                account.unaccounted().map(|words| format!("not accounted for: {words}"))
            }
            Err(error) => Some(format!("no account: {error:#}")),
        };
        if let Some(problem) = problem {
            println!("      {problem}");
            self.problems.push(problem);
        }
    }
}

/// Runs for so long; tells whether every round found both and the memory stayed.
pub(crate) fn run(room: &Room, span: Duration, seed: u64) -> Result<bool> {
    println!("chaos: seed {seed}, {} s", span.as_secs());
    let mut stand = Stand::set(room)?;
    wait::pause(Duration::from_secs(10))?;
    let memory = stand.resident_kib()?;
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let (begun, mut random) = (Instant::now(), seed);
    for number in 1.. {
        if begun.elapsed() >= span {
            break;
        }
        let at = Instant::now();
        let kind = &KINDS[(next(&mut random) % KINDS.len() as u64) as usize];
        let tally = tallies.entry(kind.name).or_default();
        round(&mut stand, kind, number, tally)?;
        wait::pause(ROUND.saturating_sub(at.elapsed()))?;
    }
    print_table(&tallies);
    wait::pause(SETTLES_IN)?;
    let after = stand.resident_kib()?;
    println!("resident: {memory} KiB before, {after} KiB after");
    Ok(tallies.values().all(Tally::is_whole) && after <= memory + memory * GROWTH_MAX / 100)
}

/// One round. What goes wrong in the test itself is a problem of the round, not the end of all.
fn round(stand: &mut Stand, kind: &Kind, number: u32, tally: &mut Tally) -> Result<()> {
    tally.rounds += 1;
    let recording = stand.record()?;
    let outcome = attempt(stand, kind, number);
    let account = recording.add_up(stand.flood.take().as_ref());
    match outcome {
        Ok([sample, ghost]) => {
            tally.sample += u32::from(sample.is_some());
            tally.ghost += u32::from(ghost.is_some());
            tally.worst = [sample, ghost].into_iter().flatten().fold(tally.worst, f64::max);
            let told = |delay: Option<f64>| {
                delay.map_or_else(|| "NOT FOUND".to_owned(), |delay| format!("{delay:.1} s"))
            };
            let resident = stand.resident_kib().unwrap_or_default();
            println!(
                "{number:4}  {:30} sample {}, ghost {}, {resident} KiB",
                kind.name,
                told(sample),
                told(ghost)
            );
        }
        Err(error) => {
            println!("{number:4}  {:30} FAILED: {error:#}", kind.name);
            tally.problems.push(format!("{error:#}"));
        }
    }
    tally.take_account(account);
    stand.recover()?;
    stand.close_all();
    Ok(())
}

/// The delays of the sample command and of the container made by hand.
fn attempt(stand: &mut Stand, kind: &Kind, number: u32) -> Result<[Option<f64>; 2]> {
    let name = format!("tw-chaos-{number}");
    let docker = stand.docker();
    let mut sample = docker.sample_attack(&name, BUSYBOX)?;
    let mut started = None;
    if kind.takes_engine {
        started = Some(sample.start().context("sample command")?.1);
        // An engine that is gone copies nothing: what is not spent before it goes is never spent.
        wait::pause(SPENDS_FOR)?;
    }
    let undo = (kind.begin)(stand).context("beginning")?;
    let started = match started {
        Some(at) => at,
        None => sample.start().context("sample command")?.1,
    };
    let ghost = stand.ghost(&format!("{name}-ghost"))?;
    let found = wait_for(stand, [(&name, started), (ghost.path(), ghost.started)]);
    drop(ghost);
    undo(stand).context("undoing")?;
    // Its engine may have been stopped and started: what is gone already is fine.
    let _ = sample.kill();
    found
}

fn wait_for(stand: &Stand, wanted: [(&str, f64); 2]) -> Result<[Option<f64>; 2]> {
    let deadline = Instant::now() + FOUND_WITHIN;
    let mut found = [None, None];
    while Instant::now() < deadline && found.iter().any(Option::is_none) {
        let known = stand.known();
        for (delay, (name, started)) in found.iter_mut().zip(wanted) {
            if delay.is_none() && known.iter().any(|text| names(text, name)) {
                *delay = Some(host::unix_now() - started);
            }
        }
        wait::pause(Duration::from_millis(100))?;
    }
    Ok(found.map(|delay| delay.filter(|delay| *delay <= FOUND_WITHIN.as_secs_f64())))
}

/// Whether a text names it, and not one whose name begins alike.
fn names(text: &str, name: &str) -> bool {
    let goes_on = |rest: &str| rest.starts_with(|next: char| next.is_alphanumeric() || next == '-');
    text.match_indices(name).any(|(at, found)| !goes_on(&text[at + found.len()..]))
}

/// `SplitMix64`: enough to choose, and the same everywhere.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn print_table(tallies: &BTreeMap<&str, Tally>) {
    println!(
        "\n{:30}  {:>7}  {:>7}  {:>7}  {:>7}  {:>9}  problems",
        "what went wrong", "rounds", "sample", "ghost", "worst s", "lost"
    );
    for (name, tally) in tallies {
        let problem = tally.problems.first().map(|problem| problem.chars().take(80).collect::<String>());
        println!(
            "{name:30}  {:>7}  {:>7}  {:>7}  {:>7.1}  {:>9}  {}",
            tally.rounds,
            tally.sample,
            tally.ghost,
            tally.worst,
            tally.lost,
            problem.unwrap_or_default()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_not_taken_for_a_later_one() {
        assert!(names("container tw-chaos-1: burns", "tw-chaos-1"));
        assert!(!names("container tw-chaos-11", "tw-chaos-1"));
        assert!(!names("/tw-chaos-1-ghost", "tw-chaos-1"));
        assert!(names("/tw-chaos-1-ghost", "/tw-chaos-1-ghost"));
    }

    #[test]
    fn a_seed_gives_one_order_and_every_kind_comes() {
        let order = |seed: u64| {
            let mut state = seed;
            (0..200).map(|_| next(&mut state) % KINDS.len() as u64).collect::<Vec<_>>()
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
        let kinds: std::collections::BTreeSet<u64> = order(7).into_iter().collect();
        assert_eq!(kinds.len(), KINDS.len());
    }
}
