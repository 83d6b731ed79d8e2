//! Expectation: a declared or learned reason why something unusual is fine; and what such a reason did to a finding.
//!
//! Not here: whether it holds now and what it takes off, which `triage` decides. What may be explained at all is the
//! finding's own to say (`finding.rs`).

mod named;

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::finding::Family;
use crate::ids::WorkloadKey;
use crate::time::Time;
use crate::traffic::{Direction, Protocol};
use crate::untrusted::Untrusted;

/// Most expectations kept, learned ones included; a store refuses more.
pub const EXPECTATIONS_MAX: usize = 1_000;

/// Longest window a schedule may open, in seconds: a week. What lasts longer is no exception but the rule.
pub const LASTING_SECONDS_MAX: u64 = 7 * 24 * 3600;

/// Periods in a row in which a recurrence must have come before it explains anything.
pub const RECURRENCE_SEEN_MIN: u32 = 4;

/// Most labels of one end of an edge, values of one label, and networks that a network leaves out.
pub const PATTERN_PARTS_MAX: usize = 64;

/// Networks left out that are shown by name.
const EXCEPT_SHOWN: usize = 4;

/// Owner of what nobody declared.
pub const LEARNED: &str = "learned";

/// Name of what explains: `EX-` and 12 hexadecimal digits for an expectation, a word for the built-in kinds
/// (`rollout`, `image_import`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExpectationId(Untrusted);

impl ExpectationId {
    /// The name a person typed, or a built-in kind's.
    pub fn from_text(text: &str) -> Self {
        Self(Untrusted::bounded(text, 32))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.raw()
    }
}

impl fmt::Display for ExpectationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whom an expectation is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Expected {
    /// Every container whose image has a name that matches a glob. Trusts whoever can tag images on the host.
    Image {
        /// The glob.
        pattern: Untrusted,
    },
    /// Every workload of this name, or whose name matches it as a glob.
    Workload {
        /// The name or glob.
        pattern: Untrusted,
    },
    /// That these two talk.
    Edge(Box<EdgePattern>),
    /// That a workload talks to nobody beside what is expected or approved.
    NothingElse {
        /// The workload.
        who: EndpointPattern,
        /// Whether it opens, or is opened.
        direction: Direction,
    },
}

/// Edges that somebody declared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EdgePattern {
    /// Who opens.
    pub from: EndpointPattern,
    /// Who is opened.
    pub to: EndpointPattern,
    /// Lowest and highest port; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<(u16, u16)>,
    /// Above IP; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Whose leave this is: `Out` of the one who opens, `In` of the one who is opened, as rules of network policies are;
    /// `None` of both, as when a person declares that two may talk. It matters where [`Expected::NothingElse`] does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Direction>,
}

/// One end of edges that somebody declared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum EndpointPattern {
    /// Workloads of this name, whole or short (see `WorkloadKey::short`), or matching it as a glob.
    Workload {
        /// The name or glob.
        pattern: Untrusted,
    },
    /// Workloads whose containers have all of these labels, each with one of these values.
    Labels {
        /// The label `io.kubernetes.pod.namespace`, when it matters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<Untrusted>,
        /// What the labels must be.
        labels: Vec<LabelPattern>,
    },
    /// The host itself.
    Host,
    /// Any address of a network, given as a prefix, but for those of others.
    Network {
        /// The prefix: `203.0.113.0/24`.
        prefix: Untrusted,
        /// Prefixes within it that are not meant.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        except: Vec<Untrusted>,
    },
    /// Any address that was looked up by a name that is this domain, lies below it, or matches it as a glob.
    Domain {
        /// The domain or glob.
        pattern: Untrusted,
    },
    /// Anybody.
    Any,
}

/// What a label must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LabelPattern {
    /// The label.
    pub key: Untrusted,
    /// Values it may have; empty for any.
    pub values: Vec<Untrusted>,
    /// Whether it must be absent, or have none of the values.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_not: bool,
}

impl Expected {
    /// The word before the colon of its text form.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Image { .. } => "image",
            Self::Workload { .. } => "workload",
            Self::Edge(_) => "edge",
            Self::NothingElse { .. } => "nothing else",
        }
    }

    /// The name or glob, of what has one.
    pub fn pattern(&self) -> Option<&Untrusted> {
        match self {
            Self::Image { pattern } | Self::Workload { pattern } => Some(pattern),
            Self::Edge(_) | Self::NothingElse { .. } => None,
        }
    }

    /// What is explained where it holds.
    pub fn family(&self) -> Family {
        match self {
            Self::Image { .. } | Self::Workload { .. } => Family::Resource,
            Self::Edge(_) | Self::NothingElse { .. } => Family::Communication,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { pattern } | Self::Workload { pattern } => write!(f, "{}:{pattern}", self.kind()),
            Self::Edge(edge) => edge.fmt(f),
            Self::NothingElse { who, direction: Direction::Out } => write!(f, "{who} -> nothing else"),
            Self::NothingElse { who, direction: Direction::In } => write!(f, "nothing else -> {who}"),
        }
    }
}

impl fmt::Display for EdgePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            // So it is told from its port, and reads back.
            EndpointPattern::Network { prefix, except }
                if self.ports.is_some() && except.is_empty() && prefix.raw().contains(':') =>
            {
                write!(f, "{} -> [{prefix}]", self.from)?;
            }
            to => write!(f, "{} -> {to}", self.from)?,
        }
        match self.ports {
            Some((low, high)) if low == high => write!(f, ":{low}")?,
            Some((low, high)) => write!(f, ":{low}-{high}")?,
            None => {}
        }
        if let Some(protocol) = self.protocol {
            write!(f, "/{protocol}")?;
        }
        match self.side {
            Some(Direction::Out) => f.write_str(" (egress)"),
            Some(Direction::In) => f.write_str(" (ingress)"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for EndpointPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload { pattern } => pattern.fmt(f),
            Self::Labels { namespace, labels } => {
                f.write_str("labels(")?;
                let texts = namespace.iter().map(|name| format!("namespace {name}"));
                let texts: Vec<String> = texts.chain(labels.iter().map(LabelPattern::to_string)).collect();
                write!(f, "{})", texts.join(", "))
            }
            Self::Host => f.write_str("host"),
            Self::Network { prefix, except } if except.is_empty() => prefix.fmt(f),
            Self::Network { prefix, except } => {
                let shown: Vec<String> = except.iter().take(EXCEPT_SHOWN).map(Untrusted::to_string).collect();
                write!(f, "{prefix} (without {}", shown.join(", "))?;
                match except.len().saturating_sub(EXCEPT_SHOWN) {
                    0 => f.write_str(")"),
                    more => write!(f, " and {more} more)"),
                }
            }
            Self::Domain { pattern } => write!(f, "domain:{pattern}"),
            Self::Any => f.write_str("any"),
        }
    }
}

impl fmt::Display for LabelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<String> = self.values.iter().map(Untrusted::to_string).collect();
        let sign = if self.is_not { "!=" } else { "=" };
        let values = if values.is_empty() { "*".to_owned() } else { values.join("|") };
        write!(f, "{}{sign}{values}", self.key)
    }
}

/// When an expectation holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum When {
    /// In windows that somebody declared.
    Schedule(Schedule),
    /// About when it happened before.
    Recurrence(Box<Recurrence>),
    /// Until it expires.
    Always,
}

/// Windows of time, in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// When each window opens: five fields of cron, in UTC.
    pub cron: Untrusted,
    /// How long it stays open, in seconds.
    pub lasting_seconds: u64,
}

/// What came back at the same time of so many periods in a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recurrence {
    /// The workload, exactly.
    pub workload: WorkloadKey,
    /// The image it ran, by configuration digest.
    pub digest: Untrusted,
    /// The judge whose findings came back.
    pub judge: Untrusted,
    /// The metric that they are about.
    pub metric: Untrusted,
    /// Length of a period in seconds: an hour, a day, a week.
    pub period_seconds: u64,
    /// When it began the first time; it is due a whole number of periods later.
    pub first: Time,
    /// When it was last due and came.
    pub last: Time,
    /// When it is due next.
    pub due: Time,
    /// Periods in which it came.
    pub seen: u32,
    /// Periods in a row in which it did not come.
    pub missed: u32,
    /// Lowest and highest of the levels it rose to, in the metric's unit.
    pub peaks: (f64, f64),
    /// Longest it lasted, in seconds.
    pub lasting_seconds: u64,
}

/// One expectation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// Its name.
    pub id: ExpectationId,
    /// Whom it is about.
    pub subject: Expected,
    /// What it explains.
    pub family: Family,
    /// When it holds.
    pub when: When,
    /// Why it is fine, in the owner's words.
    pub reason: Untrusted,
    /// Who answers for it; [`LEARNED`] when nobody does.
    pub owner: Untrusted,
    /// Since when.
    pub created: Time,
    /// When it ends; `None` for never.
    pub expires: Option<Time>,
}

impl Expectation {
    /// The expectation, named after whom it is about, when it holds, and when it was made.
    pub fn new(
        subject: Expected,
        when: When,
        (reason, owner): (Untrusted, Untrusted),
        created: Time,
    ) -> Self {
        let mut hash = Sha256::new();
        let (cron_or_digest, judge, seconds, first) = when.named_by();
        // Lengths go in front of texts, so that no text can pass for two.
        let named = subject.spelt();
        for text in [subject.kind(), &named, cron_or_digest, judge] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hash.update(seconds.to_le_bytes());
        hash.update(first.ns().to_le_bytes());
        hash.update(created.ns().to_le_bytes());
        let hex: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let id = ExpectationId::from_text(&format!("EX-{hex}"));
        Self { id, family: subject.family(), subject, when, reason, owner, created, expires: None }
    }

    /// Whether it no longer holds.
    pub fn is_expired(&self, now: Time) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }

    /// Whether the two say the same, so that one of them is enough: the reason, owner and times do not matter.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.subject == other.subject
            && self.family == other.family
            && self.when.named_by() == other.when.named_by()
    }
}

impl When {
    /// What tells it apart from others of the same subject: of a recurrence, what does not change as it comes back.
    fn named_by(&self) -> (&str, &str, u64, Time) {
        match self {
            Self::Schedule(schedule) => (schedule.cron.raw(), "", schedule.lasting_seconds, Time::default()),
            Self::Always => ("", "", 0, Time::default()),
            Self::Recurrence(recurrence) => {
                (recurrence.digest.raw(), recurrence.judge.raw(), recurrence.period_seconds, recurrence.first)
            }
        }
    }
}

/// What kind of reason lowered a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExplanationKind {
    /// A declared schedule.
    Schedule,
    /// A learned recurrence.
    Recurrence,
    /// An edge that somebody declared.
    Edge,
    /// A service is being rolled out.
    Rollout,
    /// A service was given more replicas.
    ScaleOut,
    /// The engine imported an image.
    ImageImport,
    /// The engine pulled an image.
    ImagePull,
    /// The engine loaded images from an archive.
    ImageLoad,
    /// The engine made an image of a container.
    ImageCommit,
    /// The engine built an image.
    ImageBuild,
}

impl ExplanationKind {
    /// The kinds that nobody declares and nothing learns.
    pub const BUILT_IN: [Self; 7] = [
        Self::Rollout,
        Self::ScaleOut,
        Self::ImageImport,
        Self::ImagePull,
        Self::ImageLoad,
        Self::ImageCommit,
        Self::ImageBuild,
    ];

    /// The word used in output, and the name that a built-in kind is counted under.
    pub fn name(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Recurrence => "recurrence",
            Self::Edge => "edge",
            Self::Rollout => "rollout",
            Self::ScaleOut => "scale_out",
            Self::ImageImport => "image_import",
            Self::ImagePull => "image_pull",
            Self::ImageLoad => "image_load",
            Self::ImageCommit => "image_commit",
            Self::ImageBuild => "image_build",
        }
    }
}

/// Why a finding weighs less than its judge said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// What explains it.
    pub by: ExpectationId,
    /// What kind of reason that is.
    pub kind: ExplanationKind,
    /// The reason in one sentence for people. Foreign text in it is already escaped.
    pub sentence: String,
    /// What the finding weighed without it, in bits.
    pub bits_before: f64,
    /// What it weighs with it, in bits.
    pub bits_after: f64,
}

/// How often something explained a finding: spells, not seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Times in all.
    pub count: u64,
    /// When last.
    pub last: Option<Time>,
    /// What it explained last, in one sentence for people.
    pub sentence: String,
}

impl Tally {
    /// The same so many times more.
    pub fn add(&mut self, at: Time, count: u64, sentence: &str) {
        self.count = self.count.saturating_add(count);
        self.last = self.last.max(Some(at));
        sentence.clone_into(&mut self.sentence);
    }
}

/// What the fold has to say about expectations, to be stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ExpectationChange {
    /// A recurrence is being learned, came back, was missed, or expired: keep it as it is now.
    Learned(Box<Expectation>),
    /// A recurrence did not become one after all.
    Dropped {
        /// Which.
        id: ExpectationId,
    },
    /// Something explained a finding.
    Explained {
        /// What explained it.
        id: ExpectationId,
        /// When last.
        at: Time,
        /// How many times since it was told before.
        count: u64,
        /// What it explained last, in one sentence for people.
        sentence: String,
    },
}
