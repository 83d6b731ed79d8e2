//! Incident: the case a person works on, with its findings and the reasons for its weight.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::coverage::Coverage;
use crate::finding::{ContainerRef, Family, Finding, Subject};
use crate::time::Time;
use crate::untrusted::Untrusted;

/// Most findings kept on one incident, newest and weightiest first to stay; the rest is counted.
pub const INCIDENT_FINDINGS_MAX: usize = 64;

/// Name of an incident: `TW-` and 12 hexadecimal digits made from its subject and the time it opened, so that
/// a replay gives the same names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentId(Untrusted);

impl IncidentId {
    /// The name of the incident that `subject` opened at `opened`.
    pub fn derive(subject: &Subject, opened: Time) -> Self {
        let mut hash = Sha256::new();
        hash.update(subject.node().as_str());
        hash.update([0]);
        hash.update(subject.workload().map_or("", |workload| workload.raw()));
        hash.update([0]);
        hash.update(opened.ns().to_le_bytes());
        let hex: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self(Untrusted::new(&format!("TW-{hex}")))
    }

    /// The name a person typed.
    pub fn from_text(text: &str) -> Self {
        Self(Untrusted::bounded(text, 32))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.raw()
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether somebody still has to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody closed it.
    Open,
    /// Somebody closed it with a verdict.
    Closed,
}

/// How urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a look some day.
    Low,
    /// Worth a look today.
    Medium,
    /// Look now.
    High,
    /// Look now and act.
    Critical,
}

impl Severity {
    /// The word used in output and in strategies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What a person decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was an attack.
    Malicious,
    /// It was fine.
    Benign,
    /// It was an exercise.
    Test,
}

/// How an incident was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// When.
    pub at: Time,
    /// What it was.
    pub verdict: Verdict,
    /// In whose words.
    pub note: Untrusted,
    /// By whom.
    pub owner: Untrusted,
}

/// The case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its name.
    pub id: IncidentId,
    /// Whether somebody still has to look.
    pub state: State,
    /// When its weight passed the threshold.
    pub opened: Time,
    /// When it last changed.
    pub updated: Time,
    /// How it was closed.
    pub closing: Option<Closing>,
    /// How urgent.
    pub severity: Severity,
    /// Evidence in bits, all families together, at its highest.
    pub bits: f64,
    /// The threshold it passed, in bits.
    pub threshold_bits: f64,
    /// One sentence that says what happens, to be read first.
    pub summary: String,
    /// What it is about.
    pub subject: Subject,
    /// The container it names; the one with the weightiest finding when there are several.
    pub container: Option<ContainerRef>,
    /// How many containers of the workload took part.
    pub containers: u32,
    /// The families that agree, sorted.
    pub families: Vec<Family>,
    /// The findings, oldest first, the latest of each judge and container.
    pub findings: Vec<Finding>,
    /// Findings that did not fit.
    pub findings_dropped: u64,
    /// Why it weighs what it weighs, and why it is that urgent: one sentence each.
    pub reasons: Vec<String>,
    /// What could not be seen, as of the last change.
    pub coverage: Coverage,
}

impl Incident {
    /// The incident, closed.
    #[must_use]
    pub fn closed(self, closing: &Closing) -> Self {
        Self { state: State::Closed, updated: closing.at, closing: Some(closing.clone()), ..self }
    }
}

/// What happened to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It opened.
    Opened,
    /// It gained findings or weight.
    Updated,
    /// Somebody closed it.
    Closed,
}

/// An incident after a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The incident as it is now.
    pub incident: Incident,
}
