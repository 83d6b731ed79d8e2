//! Scans: how many first contacts it takes to decide, and how often honest ones are taken for a scan.
//!
//! Not here: which contacts are first ones.

use state::traffic::scan::{Scan, Verdict};

use crate::excess::curve::median;
use crate::excess::noise::Noise;
use crate::figure::{Figure, Goal};

const RUNS: u64 = 20_000;

/// Contacts of a run, if nothing is decided before.
const CONTACTS_MAX: u32 = 400;

/// Share of an honest workload's first contacts that fail.
const HONEST: f64 = 0.1;

/// Contacts to a decision for each rate of failures, and false decisions.
pub(crate) fn measure() -> Vec<Figure> {
    let mut figures = Vec::new();
    for (failing, goal) in [(1.0, Some(8.0)), (0.8, None), (0.5, None)] {
        let needed: Vec<Option<u32>> = (0..RUNS).map(|seed| contacts_needed(failing, seed)).collect();
        let found: Vec<f64> = needed.into_iter().flatten().map(f64::from).collect();
        let name = format!("{:.0} % fail", failing * 100.0);
        let share = found.len() as f64 / RUNS as f64 * 100.0;
        let contacts = Figure::once(format!("{name}: median of contacts to the decision"), "", median(found));
        figures.push(match goal {
            Some(goal) => contacts.with_goal(Goal::AtMost(goal)),
            None => contacts,
        });
        figures.push(Figure::once(format!("{name}: found in the first test"), "%", share));
    }
    let once = (0..RUNS).filter(|seed| contacts_needed(HONEST, *seed).is_some()).count();
    let name = "10 % fail: false decisions in 20,000 tests";
    figures.push(Figure::once(name, "", once as f64).with_goal(Goal::AtMost(0.0)));
    let ever: usize = (0..RUNS).map(false_ones).sum();
    let name = "10 % fail: false decisions in 8 million contacts, the test begun anew each time";
    figures.push(Figure::once(name, "", ever as f64));
    figures
}

/// Contacts until the first test finds a scan; `None` when it finds none.
fn contacts_needed(failing: f64, seed: u64) -> Option<u32> {
    let (mut noise, mut scan) = (Noise::apart(seed), Scan::default());
    for contact in 1..=CONTACTS_MAX {
        match scan.take(noise.is(failing)) {
            Verdict::Open => {}
            Verdict::Usual => return None,
            Verdict::Scan => return Some(contact),
        }
    }
    None
}

/// How often an honest workload is taken for a scanner, from scratch each time.
fn false_ones(seed: u64) -> usize {
    let (mut noise, mut scan) = (Noise::apart(1_000_000 + seed), Scan::default());
    let mut found = 0;
    for _ in 0..CONTACTS_MAX {
        if scan.take(noise.is(HONEST)) == Verdict::Scan {
            found += 1;
            scan = Scan::default();
        }
    }
    found
}
