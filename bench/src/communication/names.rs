//! Names that a workload asks for: tunnels of several tools and rates, and days of honest software that asks for a lot.
//!
//! Each question goes through `state` as in the product: its registered domain, that domain's window, and a look at what it
//! shows. Not here: who else asks for the domain, which the judge wants to know besides.

mod honest;

mod tunnels;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use model::time::Time;
use state::traffic::distinct::Salt;
use state::traffic::domain::parts;
use state::traffic::tunnel::{Message, Tunnel};

use crate::communication::names::honest::{HONEST, LOOK_ALIKES, Software};
use crate::communication::names::tunnels::{TOOLS, Tool};
use crate::excess::curve::median;
use crate::excess::noise::Noise;
use crate::figure::{Figure, Goal};

const DAY: f64 = 86_400.0;

/// Days of each kind of honest software.
const WORKLOAD_DAYS: u64 = 120;

/// Runs of each tool at each rate.
const RUNS: u64 = 300;

/// Bytes of names a second, and the share to be found within ten minutes.
const RATES: [(f64, Option<f64>); 3] = [(0.7, Some(95.0)), (5.0, None), (50.0, None)];

const RECORD_A: u16 = 1;
const RECORD_AAAA: u16 = 28;

/// One question.
#[derive(Clone, Copy, Debug)]
struct Question {
    /// Seconds after the beginning.
    at: f64,
    /// Its place among the names.
    name: usize,
    record_type: u16,
}

/// What a workload asks, in any order.
#[derive(Debug)]
pub(crate) struct Asked {
    noise: Noise,
    names: Vec<String>,
    questions: Vec<Question>,
}

impl Asked {
    fn new(seed: u64) -> Self {
        Self { noise: Noise::apart(seed), names: Vec::new(), questions: Vec::new() }
    }

    /// A name that is asked for more than once.
    fn name(&mut self, name: String) -> usize {
        self.names.push(name);
        self.names.len() - 1
    }

    fn ask(&mut self, at: f64, name: usize, record_type: u16) {
        self.questions.push(Question { at, name, record_type });
    }

    fn ask_once(&mut self, at: f64, name: String, record_type: u16) {
        let name = self.name(name);
        self.ask(at, name, record_type);
    }

    /// For an address of either family, as most resolvers do, or of the old one only.
    fn resolve(&mut self, at: f64, name: usize, both: bool) {
        self.ask(at, name, RECORD_A);
        if both {
            self.ask(at + 0.0001, name, RECORD_AAAA);
        }
    }

    /// So many letters and digits of an alphabet.
    fn word(&mut self, alphabet: &[u8], length: usize) -> String {
        (0..length).map(|_| char::from(alphabet[self.noise.whole(0, alphabet.len())])).collect()
    }
}

/// Shares of tunnels found, and false ones among honest days.
pub(crate) fn measure() -> Vec<Figure> {
    let mut figures: Vec<Figure> = RATES.into_iter().flat_map(at_rate).collect();
    figures.push(long_names());
    let mut false_in_all = 0.0;
    for software in HONEST {
        let false_ones = false_ones(&software);
        false_in_all += false_ones / HONEST.len() as f64;
        figures.push(Figure::once(
            format!("{}: false ones in 1,000 workload-days", software.name),
            "",
            false_ones,
        ));
    }
    let name = "all of these: false ones in 1,000 workload-days";
    figures.push(Figure::once(name, "", false_in_all).with_goal(Goal::AtMost(1.0)));
    for software in LOOK_ALIKES {
        let name = format!("look-alike, {}: false ones in 1,000 workload-days", software.name);
        figures.push(Figure::once(name, "", false_ones(&software)));
    }
    figures
}

/// The share of tunnels that every tool's rate is found at, and how long it takes.
fn at_rate((rate, floor): (f64, Option<f64>)) -> Vec<Figure> {
    let mut figures = Vec::new();
    let (mut all, mut delays) = (0.0, Vec::new());
    for tool in TOOLS {
        let times: Vec<f64> = (0..RUNS).filter_map(|seed| delay(&tool, rate, seed)).collect();
        let share = times.iter().filter(|time| **time <= 600.0).count() as f64 / RUNS as f64 * 100.0;
        figures.push(Figure::once(format!("{rate} B/s, {}: found within 10 min", tool.name), "%", share));
        all += share / TOOLS.len() as f64;
        delays.extend(times);
    }
    let found = Figure::once(format!("{rate} B/s, all tools: found within 10 min"), "%", all);
    figures.push(match floor {
        Some(floor) => found.with_goal(Goal::AtLeast(floor)),
        None => found,
    });
    figures.push(Figure::once(format!("{rate} B/s, all tools: median delay"), "s", median(delays)));
    figures
}

/// Few long names carry as much as many short ones, and it takes longer to have enough of them.
fn long_names() -> Figure {
    let tool = TOOLS[0].of_lengths(100, 200);
    let found = (0..RUNS).filter(|seed| delay(&tool, 0.7, *seed).is_some()).count();
    Figure::once(
        "0.7 B/s in names of 100 to 200 bytes: found within 1 h",
        "%",
        found as f64 / RUNS as f64 * 100.0,
    )
}

/// Seconds from a tunnel's first question until it is found, within the hour.
fn delay(tool: &Tool, rate: f64, seed: u64) -> Option<f64> {
    let mut asked = Asked::new(20_000_000 + seed);
    tool.run(&mut asked, rate);
    let first = asked.questions.first()?.at;
    found(&mut asked).values().next().map(|at| at - first)
}

/// Domains that are falsely found, for a thousand days.
fn false_ones(software: &Software) -> f64 {
    let count = |seed: u64| {
        let mut asked = Asked::new(30_000_000 + seed);
        (software.day)(&mut asked);
        found(&mut asked).len()
    };
    (0..WORKLOAD_DAYS).map(count).sum::<usize>() as f64 / WORKLOAD_DAYS as f64 * 1_000.0
}

/// The domains that are found to be tunnels, with the time at which each was first.
fn found(asked: &mut Asked) -> BTreeMap<usize, f64> {
    asked.questions.sort_by(|a, b| a.at.total_cmp(&b.at));
    let salt = Salt::new(1_700_000_000_123_456_789);
    let mut places: HashMap<&str, usize> = HashMap::new();
    let names: Vec<Option<(&str, usize)>> =
        asked.names.iter().map(|name| placed(name, &mut places)).collect();
    let mut tunnels = vec![Tunnel::default(); places.len()];
    let mut found = BTreeMap::new();
    for Question { at, name, record_type } in &asked.questions {
        let Some((subdomain, place)) = names[*name] else { continue };
        let now = Time::from_secs(1_700_000_000).plus(Duration::from_secs_f64(*at));
        let message = Message { subdomain, record_type: *record_type, is_answer: false, code: 0 };
        tunnels[place].take(now, message, salt);
        if tunnels[place].reading(now).is_tunnel() {
            found.entry(place).or_insert(*at);
        }
    }
    found
}

/// A name's part below its registered domain, and that domain's place among all.
fn placed<'a>(name: &'a str, places: &mut HashMap<&'a str, usize>) -> Option<(&'a str, usize)> {
    let (subdomain, domain) = parts(name)?;
    let next = places.len();
    Some((subdomain, *places.entry(domain).or_insert(next)))
}
