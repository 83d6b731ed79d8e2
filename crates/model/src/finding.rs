//! Finding: one judge's claim about one subject, with evidence and coverage.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::coverage::Coverage;
use crate::expectation::{ExpectationId, Explanation, ExplanationKind};
use crate::identity::Container;
use crate::ids::{CgroupId, NodeId, WorkloadKey};
use crate::novelty::Provenance;
use crate::time::Time;
use crate::traffic::EdgeKey;
use crate::untrusted::Untrusted;

/// What must tally for the books to balance; independent families add up, judges within one do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// What is spent, by whom.
    Resource,
    /// Who talks to whom.
    Communication,
    /// Who is allowed to be here.
    Provenance,
    /// Whether we can be relied on.
    Integrity,
}

impl Family {
    /// The word used in output and in strategies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Communication => "communication",
            Self::Provenance => "provenance",
            Self::Integrity => "integrity",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What of its family a finding is about: claims about different aspects do not follow from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Nothing in particular.
    #[default]
    General,
    /// That two meet.
    Contact,
    /// What goes on between them.
    Channel,
    /// Whose image it is.
    Image,
    /// Which views know it.
    Standing,
    /// What it may do to the host.
    Rights,
    /// What is done in it, or to it.
    Conduct,
}

impl Aspect {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    fn is_general(&self) -> bool {
        *self == Self::General
    }
}

/// One piece of evidence; serialised as the bare value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A count or a size.
    Count(u64),
    /// A measure; the evidence's name ends with its unit.
    Measure(f64),
    /// Text.
    Text(Untrusted),
}

/// Evidence in the order it should be read: name (unit last, `own_cpu_cores`) and value.
pub type Evidence = Vec<(Cow<'static, str>, Value)>;

/// What is high about a finding: a metric (unit last) and its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Which metric.
    pub metric: Cow<'static, str>,
    /// How high it stands, in the metric's unit.
    pub value: f64,
}

/// The container a finding or an incident names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRef {
    /// Name people know it by.
    pub name: Untrusted,
    /// The runtime's id; empty when no runtime claims it.
    pub id: Untrusted,
    /// Image as asked for; empty when unknown.
    pub image: Untrusted,
    /// Configuration digest of the image; empty when unknown.
    pub digest: Untrusted,
    /// Path of its cgroup.
    pub cgroup: Untrusted,
    /// Number of its cgroup.
    pub cgroup_id: CgroupId,
    /// When its first process was seen.
    pub started: Time,
}

impl ContainerRef {
    /// The container as it is known now.
    pub fn new(container: &Container) -> Self {
        let facts = container.facts.known();
        let text = |pick: fn(&crate::runtime::ContainerFacts) -> &Untrusted| {
            facts.map(|facts| pick(facts)).cloned().unwrap_or_default()
        };
        Self {
            name: container.name().clone(),
            id: text(|facts| &facts.id),
            image: text(|facts| &facts.image),
            digest: text(|facts| &facts.digest),
            cgroup: container.cgroup_path.clone(),
            cgroup_id: container.key.cgroup,
            started: container.key.started,
        }
    }
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Subject {
    /// A workload on a node.
    Workload {
        /// The host.
        node: NodeId,
        /// The workload.
        workload: WorkloadKey,
    },
    /// The node itself.
    Node {
        /// The host.
        node: NodeId,
    },
}

impl Subject {
    /// The host it is on.
    pub fn node(&self) -> &NodeId {
        match self {
            Self::Workload { node, .. } | Self::Node { node } => node,
        }
    }

    /// The workload, unless it is the node.
    pub fn workload(&self) -> Option<&WorkloadKey> {
        match self {
            Self::Workload { workload, .. } => Some(workload),
            Self::Node { .. } => None,
        }
    }
}

/// One judge's claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// When what it claims happened.
    pub at: Time,
    /// Which judge: `out_of_band_log`.
    pub judge: Cow<'static, str>,
    /// What did not tally.
    pub family: Family,
    /// Slug of the strategy that uses the judge; set by the engine from the loaded strategies.
    pub strategy: Arc<str>,
    /// Evidence in bits: log2 of how much likelier this is under attack than without.
    pub bits: f64,
    /// What it is about.
    pub subject: Subject,
    /// The container, when there is one.
    pub container: Option<ContainerRef>,
    /// The claim in one sentence for people. Foreign text in it is already escaped.
    pub claim: String,
    /// The figures behind it.
    pub evidence: Evidence,
    /// Harm done to the host or to others, as opposed to mere oddity: raises severity, cannot be explained away.
    pub harm: bool,
    /// What is high about it, and how high. Only a finding that has a level can be explained away at all: a judge has
    /// to say so (see [`Finding::may_be_explained`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Why it weighs less than its judge said; empty when nothing lowered it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub explained: Vec<Explanation>,
    /// What of its family it is about.
    #[serde(default, skip_serializing_if = "Aspect::is_general")]
    pub aspect: Aspect,
    /// The edge it is about; `None` when it is about none, or many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<EdgeKey>,
    /// The declared edge that covers it, when somebody declared one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_by: Option<ExpectationId>,
    /// What it is about beside its subject and its container: a source, a thread, a file. Claims of one judge about
    /// different things stand side by side.
    #[serde(default, skip_serializing_if = "Untrusted::is_empty")]
    pub topic: Untrusted,
    /// What people said about its container.
    #[serde(default, skip_serializing_if = "Provenance::is_pending")]
    pub provenance: Provenance,
    /// Whether the container's facts were still missing when it was judged.
    pub unresolved: bool,
    /// What could not be seen.
    pub coverage: Coverage,
}

impl Finding {
    /// A claim about a container, without evidence yet.
    pub fn about(container: &Container, judge: &'static str, family: Family, at: Time, bits: f64) -> Self {
        let subject = Subject::Workload { node: container.key.node.clone(), workload: container.workload() };
        let mut finding = Self::new(subject, judge, family, at, bits);
        finding.container = Some(ContainerRef::new(container));
        finding.unresolved = container.facts.is_pending();
        finding
    }

    /// A claim about a node, without evidence yet.
    pub fn about_node(node: &NodeId, judge: &'static str, family: Family, at: Time, bits: f64) -> Self {
        Self::new(Subject::Node { node: node.clone() }, judge, family, at, bits)
    }

    fn new(subject: Subject, judge: &'static str, family: Family, at: Time, bits: f64) -> Self {
        Self {
            at,
            judge: Cow::Borrowed(judge),
            family,
            strategy: Arc::from(""),
            bits: tenths(bits),
            subject,
            container: None,
            claim: String::new(),
            evidence: Vec::new(),
            harm: false,
            level: None,
            explained: Vec::new(),
            aspect: Aspect::General,
            edge: None,
            expected_by: None,
            topic: Untrusted::default(),
            provenance: Provenance::default(),
            unresolved: false,
            coverage: Coverage::default(),
        }
    }

    /// The same finding with a claim.
    #[must_use]
    pub fn claiming(mut self, claim: String) -> Self {
        self.claim = claim;
        self
    }

    /// The same finding, open to explanation: it is about a height that can be fine for a reason, and stands this high.
    #[must_use]
    pub fn explainable(mut self, metric: &'static str, value: f64) -> Self {
        self.level = value.is_finite().then_some(Level { metric: Cow::Borrowed(metric), value });
        self
    }

    /// The same finding, about this aspect of its family.
    #[must_use]
    pub fn of_aspect(mut self, aspect: Aspect) -> Self {
        self.aspect = aspect;
        self
    }

    /// The same finding, about an edge: whoever declared that edge has explained it.
    #[must_use]
    pub fn on_edge(mut self, edge: &EdgeKey) -> Self {
        self.edge = Some(edge.clone());
        self
    }

    /// The same finding, about one of several things that its judge looks at.
    #[must_use]
    pub fn on_topic(mut self, topic: &Untrusted) -> Self {
        self.topic = topic.clone();
        self
    }

    /// The same finding, on an edge that somebody declared.
    #[must_use]
    pub fn expected_by(mut self, id: &ExpectationId) -> Self {
        self.expected_by = Some(id.clone());
        self
    }

    /// Whether a reason may lower it: being busy can be expected. What makes others pay, harms others, uses up what
    /// the kernel has only so many of, or is nobody's to begin with, never: a judge that says nothing means never. Who
    /// talks to whom can be expected edge by edge.
    pub fn may_be_explained(&self) -> bool {
        let is_busy = self.family == Family::Resource && self.level.is_some();
        let is_contact = self.family == Family::Communication && self.edge.is_some();
        !self.harm && (is_busy || is_contact)
    }

    /// Lowers it for a reason. An explanation that would not lower it is not written.
    pub fn explain(&mut self, by: &ExpectationId, kind: ExplanationKind, sentence: String, bits_after: f64) {
        let (bits_before, bits_after) = (self.bits, tenths(bits_after.max(0.0)));
        if self.may_be_explained() && bits_after < bits_before {
            self.bits = bits_after;
            self.explained.push(Explanation { by: by.clone(), kind, sentence, bits_before, bits_after });
        }
    }

    /// The same finding with one more piece of evidence.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.evidence.push((Cow::Borrowed(name), value.into()));
        self
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        // JSON has no such number: it would write `null`, which nobody could read back as evidence.
        if !value.is_finite() {
            return Self::Text(Untrusted::new("not a number"));
        }
        // Three decimals are more than any of our measurements carries, and keep output readable.
        Self::Measure((value * 1000.0).round() / 1000.0)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Count(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Untrusted::new(text))
    }
}

impl From<&Untrusted> for Value {
    fn from(text: &Untrusted) -> Self {
        Self::Text(text.clone())
    }
}

/// Bits are shown and summed in tenths: finer is noise.
fn tenths(bits: f64) -> f64 {
    (bits * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn evidence_reads_back_as_it_was_written_even_when_a_judge_divides_by_zero() {
        for value in [Value::from(0.98), Value::from(7_u64), Value::from("x"), Value::from(f64::NAN)] {
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value, "{text}");
        }
    }
}
