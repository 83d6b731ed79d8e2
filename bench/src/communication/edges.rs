//! New edges of 600 workloads over three weeks, 120 of them an attacker's: what a fixed window of learning reports, and what the
//! score finds within a budget.
//!
//! Thresholds are chosen so that honest edges keep the budget; the attacker's do not move them. Not here: names and addresses.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use state::traffic::novelty::{KNOWN_AFTER, Novelty, maturity, score};

use crate::excess::noise::{Choice, Noise};
use crate::figure::{Figure, Goal};

const WORLDS: u64 = 5;
const DAYS: f64 = 21.0;
const WORKLOADS: usize = 600;
const ATTACKS: usize = 120;

/// Destinations that many use, by Zipf.
const COMMON: usize = 2_000;

/// Nothing is counted before this day.
const COUNTED_FROM: f64 = 8.0;
const DAYS_COUNTED: f64 = DAYS - COUNTED_FROM;

/// A fixed window of learning in days.
const WINDOWS: [(&str, f64); 3] = [("1 h", 1.0 / 24.0), ("1 d", 1.0), ("7 d", 7.0)];

/// False edges for each workload and day, and the share of the attacker's edges that the prototype found with it.
const BUDGETS: [(f64, Option<f64>); 4] =
    [(0.05, Some(73.0)), (0.02, Some(39.0)), (0.01, None), (0.005, Some(10.0))];

/// Steady, slowly growing, and crawlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Steady,
    Growing,
    Crawler,
}

/// One flow.
#[derive(Clone, Copy, Debug)]
struct Flow {
    day: f64,
    workload: usize,
    destination: usize,
    is_attack: bool,
}

/// One edge that was new after the days that are not counted.
#[derive(Clone, Copy, Debug)]
struct NewEdge {
    age_days: f64,
    score: f64,
    is_attack: bool,
}

/// False edges of fixed windows; what the score finds within each budget. The rounds are worlds of their own.
pub(crate) fn measure() -> Vec<Figure> {
    let worlds: Vec<Vec<NewEdge>> = (0..WORLDS).map(|seed| new_edges(&World::new(seed).flows())).collect();
    let each = |figure: &dyn Fn(&[NewEdge]) -> f64| worlds.iter().map(|world| figure(world)).collect();
    let mut figures = Vec::new();
    for (name, days) in WINDOWS {
        let name = format!("all new edges after {name}: false ones a workload and day");
        figures.push(Figure::of_rounds(name, "", each(&|world| false_after(world, days))));
    }
    for (budget, floor) in BUDGETS {
        let found = format!("score, {budget} false ones a workload and day: found");
        let found = Figure::of_rounds(found, "%", each(&|world| within(world, budget).0));
        figures.push(match floor {
            Some(floor) => found.with_goal(Goal::AtLeast(floor)),
            None => found,
        });
        let name = format!("score, {budget} false ones a workload and day: threshold");
        figures.push(Figure::of_rounds(name, "", each(&|world| within(world, budget).1)));
    }
    figures
}

/// False edges a workload and day of a workload older than so many days.
fn false_after(edges: &[NewEdge], days: f64) -> f64 {
    let count = edges.iter().filter(|edge| !edge.is_attack && edge.age_days > days).count();
    count as f64 / DAYS_COUNTED / WORKLOADS as f64
}

/// The share of the attacker's edges found within a budget, in percent, and the threshold.
fn within(edges: &[NewEdge], budget: f64) -> (f64, f64) {
    let scores =
        |is_attack| edges.iter().filter(move |edge| edge.is_attack == is_attack).map(|edge| edge.score);
    let mut honest: Vec<f64> = scores(false).collect();
    honest.sort_by(|a, b| b.total_cmp(a));
    let allowed = (budget * DAYS_COUNTED * WORKLOADS as f64) as usize;
    let threshold = honest.get(allowed - 1).copied().unwrap_or(0.0);
    let found = scores(true).filter(|score| *score > threshold).count();
    (found as f64 / scores(true).count() as f64 * 100.0, threshold)
}

/// Every edge when it is new, with its score.
fn new_edges(flows: &[Flow]) -> Vec<NewEdge> {
    let mut seen: HashSet<(usize, usize)> = HashSet::new();
    let mut users: HashMap<usize, usize> = HashMap::new();
    let mut novelties = vec![Novelty::default(); WORKLOADS];
    let mut begun: Vec<Option<f64>> = vec![None; WORKLOADS];
    let mut edges = Vec::new();
    for flow in flows {
        let age_days = flow.day - *begun[flow.workload].get_or_insert(flow.day);
        let is_new = seen.insert((flow.workload, flow.destination));
        if is_new {
            let popularity = users.entry(flow.destination).or_default();
            let age = Duration::from_secs_f64(age_days * 86_400.0);
            let score =
                score(novelties[flow.workload].rate(), maturity(age, KNOWN_AFTER), WORKLOADS, *popularity);
            *popularity += 1;
            if flow.day >= COUNTED_FROM {
                edges.push(NewEdge { age_days, score, is_attack: flow.is_attack });
            }
        }
        novelties[flow.workload].take(is_new);
    }
    edges
}

/// Everything that talks.
struct World {
    noise: Noise,
    common: Choice,
    /// The last destination that only one knows.
    private: usize,
    flows: Vec<Flow>,
}

impl World {
    fn new(seed: u64) -> Self {
        let common = Choice::zipf(COMMON, 1.1);
        Self { noise: Noise::apart(5_000 + seed), common, private: 10_000, flows: Vec::new() }
    }

    fn flows(mut self) -> Vec<Flow> {
        let kinds: Vec<Kind> = (0..WORKLOADS).map(|_| self.kind()).collect();
        for (workload, kind) in kinds.iter().enumerate() {
            self.live(workload, *kind);
            self.deploy(workload);
        }
        self.attack(&kinds);
        self.flows.sort_by(|a, b| a.day.total_cmp(&b.day));
        self.flows
    }

    fn kind(&mut self) -> Kind {
        match self.noise.even(0.0, 1.0) {
            share if share < 0.7 => Kind::Steady,
            share if share < 0.9 => Kind::Growing,
            _ => Kind::Crawler,
        }
    }

    fn private(&mut self) -> usize {
        self.private += 1;
        self.private
    }

    fn push(&mut self, day: f64, workload: usize, destination: usize) {
        self.flows.push(Flow { day, workload, destination, is_attack: false });
    }

    /// The workload's every day: a set of peers, some much more often than others.
    fn live(&mut self, workload: usize, kind: Kind) {
        let peers = self.peers();
        let weights: Vec<f64> = peers.iter().map(|_| self.noise.pareto(0.8) + 0.02).collect();
        let (choice, rate) = (Choice::new(weights), self.noise.even(50.0, 400.0));
        let mut day = self.noise.exponential(1.0 / rate);
        while day <= DAYS {
            let destination = match kind {
                Kind::Crawler if self.noise.is(0.5) => self.private(),
                Kind::Growing if self.noise.is(0.02) => self.common.of(&mut self.noise),
                _ => peers[choice.of(&mut self.noise)],
            };
            self.push(day, workload, destination);
            day += self.noise.exponential(1.0 / rate);
        }
    }

    fn peers(&mut self) -> Vec<usize> {
        let wanted = self.noise.whole(4, 15);
        let mut peers = Vec::new();
        while peers.len() < wanted {
            let peer = self.common.of(&mut self.noise);
            if !peers.contains(&peer) {
                peers.push(peer);
            }
        }
        for _ in 0..self.noise.whole(0, 4) {
            peers.push(self.private());
        }
        peers
    }

    /// Each deploy adds one or two destinations, most of them popular.
    fn deploy(&mut self, workload: usize) {
        for _ in 0..self.noise.count(DAYS / 10.0) {
            let begun = self.noise.even(0.0, DAYS);
            for _ in 0..self.noise.whole(1, 3) {
                let is_common = self.noise.is(0.8);
                let destination = if is_common { self.common.of(&mut self.noise) } else { self.private() };
                for _ in 0..self.noise.whole(5, 50) {
                    let day = (begun + self.noise.exponential(0.5)).min(DAYS);
                    self.push(day, workload, destination);
                }
            }
        }
    }

    /// Workloads that are no crawlers, each with one destination of the attacker's.
    fn attack(&mut self, kinds: &[Kind]) {
        let mut targets: Vec<usize> = (0..WORKLOADS).filter(|it| kinds[*it] != Kind::Crawler).collect();
        for _ in 0..ATTACKS {
            let workload = targets.swap_remove(self.noise.whole(0, targets.len()));
            let (begun, destination) = (self.noise.even(9.0, DAYS - 1.0), self.private());
            for turn in 0..self.noise.whole(3, 60) {
                let day = begun + turn as f64 * self.noise.even(0.001, 0.01);
                self.flows.push(Flow { day, workload, destination, is_attack: true });
            }
        }
    }
}
