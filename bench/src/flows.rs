//! What it costs to follow who talks to whom: time for a line of flows and for a first contact, through the whole fold, and
//! bytes for an edge.
//!
//! Not here: what the kernel spends on the table that the lines come from; the live test of a flood tells that.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Result, ensure};
use engine::fold::{Fold, FoldConfig};
use model::coverage::Source;
use model::event::{Body, Event};
use sources::outlet::Stop;

use crate::bundles::strategies;
use crate::crowd::{CALM, Crowd};
use crate::figure::{Figure, Goal};
use crate::going_on;
use crate::machine::thread_cpu;
use crate::process::status_bytes;
use crate::streams::settled;

const CONTAINERS: u64 = 100;
/// Whom each container talks to.
const PEERS: u64 = 16;
const ROUNDS: usize = 11;
/// Edges beyond those of the containers, for their size.
const EDGES: u64 = 20_000;

/// Nanoseconds and bytes.
pub(crate) fn measure(stop: &Stop) -> Result<Vec<Figure>> {
    let mut crowd = Crowd::new(CALM);
    let mut fold = Fold::new(&strategies()?, FoldConfig::default());
    for event in settled(&mut crowd, CONTAINERS) {
        fold.step(event);
    }
    let contacts: Vec<Event> = pairs().map(|(from, to)| crowd.contact(from, to)).collect();
    let lines: Vec<Event> = (0..CONTAINERS).map(|from| crowd.flows(from, &peers(from))).collect();
    let (mut first, mut again, mut counted) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        going_on(stop)?;
        let mut fold = fold.clone();
        first.push(per_event(&mut fold, &contacts, contacts.len()));
        again.push(per_event(&mut fold, &contacts, contacts.len()));
        counted.push(per_event(&mut fold, &lines, contacts.len()));
    }
    let edges = fold_after(&fold, &contacts).state().graph().edges().count() as u64;
    ensure!(edges == CONTAINERS * PEERS, "{} contacts made {edges} edges", CONTAINERS * PEERS);
    Ok(vec![
        Figure::of_rounds("a line of known flows", "ns", counted).with_goal(Goal::AtMost(150.0)),
        Figure::of_rounds("a contact on a known edge", "ns", again),
        Figure::of_rounds("a contact that makes an edge", "ns", first),
        bytes_of_an_edge(fold, &mut crowd)?,
    ])
}

fn pairs() -> impl Iterator<Item = (u64, u64)> {
    (0..CONTAINERS).flat_map(|from| peers(from).into_iter().map(move |to| (from, to)))
}

fn peers(from: u64) -> Vec<u64> {
    (1..=PEERS).map(|step| (from + step * 5) % CONTAINERS).collect()
}

fn fold_after(fold: &Fold, events: &[Event]) -> Fold {
    let mut fold = fold.clone();
    for event in events {
        fold.step(event.clone());
    }
    fold
}

/// CPU time of folding the events, in nanoseconds for each of so many things.
fn per_event(fold: &mut Fold, events: &[Event], things: usize) -> f64 {
    let events = events.to_vec();
    let start = thread_cpu();
    for event in events {
        black_box(fold.step(event));
    }
    nanoseconds(thread_cpu() - start) / things as f64
}

fn nanoseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1e9
}

/// Resident memory that edges to ever new networks outside take, with what is remembered of their flows meanwhile.
fn bytes_of_an_edge(mut fold: Fold, crowd: &mut Crowd) -> Result<Figure> {
    let before = status_bytes("self", "VmRSS")?;
    for edge in 0..EDGES {
        let event = crowd.contact_outside(edge % CONTAINERS, edge);
        fold.step(event);
    }
    fold.step(crowd.event(Source::Engine, Body::Tick));
    let grown = status_bytes("self", "VmRSS")?.saturating_sub(before);
    let edges = fold.state().graph().edges().count() as u64;
    ensure!(edges >= EDGES, "{EDGES} contacts outside made {edges} edges");
    Ok(Figure::once("resident, an edge to the outside", "bytes", grown as f64 / EDGES as f64))
}
