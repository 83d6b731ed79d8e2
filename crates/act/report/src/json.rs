//! The documented JSON form of an incident: others script against it, so fields are added and never change meaning.
//!
//! Not here: the form it is stored in (`store`), which follows the types of `model`. Text is as it came, unescaped,
//! except `summary`, `claim`, `reason` and `reasons`, which were made for people. Unknown text is empty, an unknown thing is null.

mod ascii;

use std::io::{self, BufWriter, Write};

use model::coverage::{Blind, Coverage, LostEvents};
use model::expectation::Explanation;
use model::finding::{ContainerRef, Evidence, Finding, Subject};
use model::incident::{Closing, Incident};
use model::time::Time;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// How much of a document is handed on at a time: what the kernel takes into a pipe.
const PIECE_BYTES: usize = 64 << 10;

/// Several incidents: an array of what [`incident_json`] gives.
pub fn incidents_json(incidents: &[Incident]) -> Value {
    incidents.iter().map(incident_json).collect()
}

/// One incident. Times are RFC 3339 in UTC with milliseconds.
pub fn incident_json(incident: &Incident) -> Value {
    json!({
        "id": incident.id,
        "state": incident.state,
        "opened": time(incident.opened),
        "updated": time(incident.updated),
        "severity": incident.severity,
        "bits": incident.bits,
        "threshold_bits": incident.threshold_bits,
        "summary": incident.summary,
        "reasons": incident.reasons,
        "subject": subject(incident),
        "containers": incident.containers,
        "families": incident.families,
        "findings": incident.findings.iter().map(finding).collect::<Value>(),
        "findings_dropped": incident.findings_dropped,
        "coverage": coverage_json(&incident.coverage),
        "closing": incident.closing.as_ref().map(closing),
    })
}

/// JSON as indented text in ASCII: whatever is beyond it is written as `\u` escapes, which a parser undoes, so that
/// no control, invisible or direction-changing character of an attacker's reaches a terminal.
pub fn json_text(value: &Value) -> String {
    text(|out| ascii::indented(out, value))
}

/// As [`json_text`], on one line.
pub fn json_line(value: &Value) -> String {
    text(|out| ascii::on_one_line(out, value))
}

/// Writes what [`json_text`] gives, without holding all of it in memory. Fails as the writer does.
pub fn write_json(out: &mut dyn Write, document: &impl Serialize) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(PIECE_BYTES, out);
    ascii::indented(&mut out, document)?;
    out.flush()
}

fn text(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    // PANIC: memory takes all that is written, and all keys of a value are text.
    write(&mut out).expect("a value");
    // PANIC: every character beyond ASCII was escaped.
    String::from_utf8(out).expect("ASCII")
}

/// What it is about: `container` when exactly one took part (then that one), `workload` when several did (then the
/// one with the weightiest finding), `node` when it is the host itself.
fn subject(incident: &Incident) -> Value {
    let kind = match (&incident.subject, incident.containers, &incident.container) {
        (Subject::Node { .. }, ..) => "node",
        (Subject::Workload { .. }, 0 | 1, Some(_)) => "container",
        (Subject::Workload { .. }, ..) => "workload",
    };
    json!({
        "kind": kind,
        "node": incident.subject.node(),
        "workload": incident.subject.workload(),
        "container": incident.container.as_ref().map(container),
    })
}

fn container(container: &ContainerRef) -> Value {
    json!({
        "name": container.name,
        "id": container.id,
        "image": container.image,
        "digest": container.digest,
        "cgroup": container.cgroup,
        "started": time(container.started),
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "at": time(finding.at),
        "judge": finding.judge,
        "family": finding.family,
        "strategy": finding.strategy,
        "bits": finding.bits,
        "claim": finding.claim,
        "harm": finding.harm,
        "explained": finding.explained.iter().map(explanation).collect::<Value>(),
        "unresolved": finding.unresolved,
        "container": finding.container.as_ref().map(container),
        "evidence": evidence(&finding.evidence),
    })
}

fn explanation(explanation: &Explanation) -> Value {
    json!({
        "by": explanation.by,
        "kind": explanation.kind,
        "reason": explanation.sentence,
        "bits_before": explanation.bits_before,
        "bits_after": explanation.bits_after,
    })
}

/// An object in the order of the evidence. A name given twice gets a number: an object holds a name once, and the
/// second figure must not push out the first.
fn evidence(evidence: &Evidence) -> Value {
    let mut object = Map::new();
    for (name, value) in evidence {
        let taken = |key: &String| object.contains_key(key);
        let names = (2..).map(|count| format!("{name}_{count}"));
        let key = std::iter::once(name.to_string()).chain(names).find(|key| !taken(key));
        object.extend(key.map(|key| (key, json!(value))));
    }
    Value::Object(object)
}

/// What could not be seen, as on an incident.
pub fn coverage_json(coverage: &Coverage) -> Value {
    json!({
        "whole": coverage.is_whole(),
        "seen": coverage.seen,
        "blind": coverage.blind.iter().map(blind).collect::<Value>(),
        "lost_events": coverage.lost_events,
        "lost": coverage.lost.iter().map(lost).collect::<Value>(),
    })
}

fn lost(lost: &LostEvents) -> Value {
    json!({
        "source": lost.source,
        "about": lost.about,
        "stage": lost.stage,
        "count": lost.count,
        "since": time(lost.since),
        "until": time(lost.until),
    })
}

fn blind(blind: &Blind) -> Value {
    json!({
        "source": blind.source,
        "health": blind.health,
        "since": time(blind.since),
        "until": blind.until.map(time),
        "reason": blind.reason,
    })
}

fn closing(closing: &Closing) -> Value {
    json!({
        "at": time(closing.at),
        "verdict": closing.verdict,
        "note": closing.note,
        "owner": closing.owner,
    })
}

fn time(at: Time) -> String {
    at.rfc3339()
}

#[cfg(test)]
mod tests;
