//! Judges of who talks to whom, what is new about it, and what hides in it.
//!
//! Not here: what traffic costs the host (`resource.rs`).

pub(crate) mod new_edge;

pub(crate) mod new_external;

pub(crate) mod edge_outside_policy;

pub(crate) mod new_listener;

pub(crate) mod scan;

pub(crate) mod beacon;

pub(crate) mod dns_tunnel;

pub(crate) mod volume;

pub(crate) mod reverse_shell;

pub(crate) mod foreign_namespace;

pub(crate) mod control_plane;

pub(crate) mod unusual_protocol;

use model::finding::{Aspect, Family, Finding};
use model::identity::Container;
use state::Authority;
use state::graph::{Meeting, Use};
use state::traffic::novelty::bits;

use crate::Case;

/// What unusual contacts weigh at most, in bits: 2.5 powers of ten (ALGORITHMS §4.2). New edges are made every day.
const NEW_BITS_MAX: f64 = 8.3;

/// What is outside a policy that somebody set: enough alone, as whoever set it wants to know.
const POLICY_BITS: f64 = 13.0;

/// A claim about whom a container talks to.
fn contact(case: &Case, container: &Container, judge: &'static str, bits: f64) -> Finding {
    about(case, container, judge, bits, Aspect::Contact)
}

/// A claim about what a container hides in its traffic.
fn channel(case: &Case, container: &Container, judge: &'static str, bits: f64) -> Finding {
    about(case, container, judge, bits, Aspect::Channel)
}

fn about(case: &Case, container: &Container, judge: &'static str, bits: f64, aspect: Aspect) -> Finding {
    Finding::about(container, judge, Family::Communication, case.at(), bits).of_aspect(aspect)
}

/// An edge that somebody approved. It may have been accepted with all the rest, so what goes on over it still weighs; but
/// together with one contact that is a little new, an agent that reports every minute must be no incident.
const APPROVED_EDGE_BITS: f64 = -4.0;

/// A claim about what goes on over an edge to the outside, and who approved or expects it.
fn about_use(case: &Case, used: &Use, judge: &'static str, bits: f64) -> Finding {
    let (standing, bits) = match case.state.is_approved_edge(&used.edge) {
        true => ("approved", bits + APPROVED_EDGE_BITS),
        false => ("not approved", bits),
    };
    let finding = channel(case, &used.container, judge, bits)
        .on_edge(&used.edge)
        .with("edge", used.edge.to_string().as_str())
        .with("edge_standing", standing);
    match case.state.expected_use(&used.edge, &used.container) {
        Some(id) => finding.expected_by(&id),
        None => finding,
    }
}

/// A claim about a first contact, with what is known of it.
fn about_meeting(case: &Case, meeting: &Meeting, judge: &'static str, bits: f64) -> Finding {
    let mut finding = contact(case, &meeting.container, judge, bits)
        .on_edge(&meeting.edge)
        .with("edge", meeting.edge.to_string().as_str())
        .with("address", meeting.address.to_string().as_str());
    if let Some(name) = &meeting.name {
        finding = finding.with("name", name);
    }
    if !meeting.program.is_empty() {
        finding = finding.with("program", &meeting.program);
    }
    if let Authority::Expected(id) = case.state.authority(meeting) {
        finding = finding.expected_by(&id);
    }
    finding
}

/// Surprise in powers of ten from which a new edge says anything: a calm workload that is known for long comes to 3.5 on a
/// host of four workloads and to 5.6 among six hundred, one that meets somebody new with every other flow to 1.1 and 3.1.
const SCORE_MIN: f64 = 2.5;

/// What a contact weighs by how surprising it is.
fn novelty_bits(score: f64) -> f64 {
    bits(score - SCORE_MIN).clamp(0.0, NEW_BITS_MAX)
}

/// Least weight that is told.
const BITS_MIN: f64 = 1.0;
