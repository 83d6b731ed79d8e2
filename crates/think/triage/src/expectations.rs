//! Schedules and edges that people declared: whether one explains a finding now, and what that leaves of its weight.
//!
//! Not here: what is learned (`recurrence.rs`), what the runtimes say they do (`deploys.rs`), and which declared edge
//! covers a contact, which the judge asks `state`. All weights are in bits, log2 of odds.

mod edges;

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobMatcher};
use model::expectation::{
    EXPECTATIONS_MAX, Expectation, ExpectationId, Expected, ExplanationKind, Schedule, When,
};
use model::finding::Finding;
use model::ids::WorkloadKey;
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use crate::expectations::edges::check_end;
use crate::reason::Reason;
use crate::schedule::{ScheduleError, Windows};

/// What a finding weighs at most in a window, or on an edge, that somebody answers for. Not nothing: it is still told, and odds of
/// 1.4 to 1 still count when others agree; but with an image that nobody approved (4 bits) and their agreement (1)
/// it stays far below any threshold.
const EXPECTED_BITS: f64 = 0.5;

/// Why an expectation cannot be declared.
#[derive(Debug, thiserror::Error)]
pub enum ExpectationError {
    /// Its schedule cannot be used.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Its pattern of image names cannot be used.
    #[error("{subject}: the image is no pattern: {problem}")]
    Pattern {
        /// Whom it is about.
        subject: String,
        /// What is wrong.
        problem: String,
    },
    /// It is about nobody.
    #[error("{kind}: gives no name; write {kind}:NAME, in which * matches")]
    Nobody {
        /// `image` or `workload`.
        kind: &'static str,
    },
    /// One end of an edge cannot be used.
    #[error("{end}: {problem}")]
    End {
        /// Which.
        end: String,
        /// What is wrong.
        problem: String,
    },
    /// The ports of an edge cannot be used.
    #[error("ports {low} to {high}: {problem}")]
    Ports {
        /// The lowest.
        low: u16,
        /// The highest.
        high: u16,
        /// What is wrong.
        problem: &'static str,
    },
    /// An edge that leaves nothing to be unexpected.
    #[error("any -> any on every port expects everything: name one end, or a port")]
    Everything,
    /// Busy containers are expected at certain times, edges always, and recurrences by nobody.
    #[error("{subject}: {problem}")]
    When {
        /// Whom it is about.
        subject: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// Makes sure that an expectation can be declared at `now`.
///
/// # Errors
/// What is wrong with its subject or with when it holds.
pub fn check(subject: &Expected, when: &When, now: Time) -> Result<(), ExpectationError> {
    let is_never = |problem| Err(ExpectationError::When { subject: subject.to_string(), problem });
    match (subject, when) {
        (_, When::Recurrence(_)) => is_never("a recurrence is learned and cannot be declared"),
        (Expected::Edge(edge), When::Always) => edges::check(edge),
        (Expected::NothingElse { who, .. }, When::Always) => check_end(who),
        (Expected::Edge(_) | Expected::NothingElse { .. }, When::Schedule(_)) => {
            is_never("who talks to whom is expected always, not at times")
        }
        (Expected::Image { .. } | Expected::Workload { .. }, When::Schedule(schedule)) => {
            check_scheduled(subject, schedule, now)
        }
        (Expected::Image { .. } | Expected::Workload { .. }, When::Always) => {
            is_never("being busy is expected at times, not always")
        }
    }
}

fn check_scheduled(subject: &Expected, schedule: &Schedule, now: Time) -> Result<(), ExpectationError> {
    if subject.pattern().is_none_or(Untrusted::is_empty) {
        return Err(ExpectationError::Nobody { kind: subject.kind() });
    }
    // The name of a workload holds its command, which may be no glob: then it means itself.
    if matches!(subject, Expected::Image { .. })
        && let Err(error) = matcher(subject)
    {
        let problem = Untrusted::new(&error.to_string()).to_string();
        return Err(ExpectationError::Pattern { subject: subject.to_string(), problem });
    }
    Windows::parse(schedule, now)?;
    Ok(())
}

/// The declared schedules and edges.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "BTreeMap<ExpectationId, Expectation>", into = "BTreeMap<ExpectationId, Expectation>")]
pub(crate) struct Expectations {
    given: BTreeMap<ExpectationId, Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    expectation: Expectation,
    glob: Option<GlobMatcher>,
    /// `None` for text that does not parse, which covers nothing; the command that gives schedules refuses it.
    windows: Option<Windows>,
}

impl From<BTreeMap<ExpectationId, Expectation>> for Expectations {
    fn from(given: BTreeMap<ExpectationId, Expectation>) -> Self {
        Self { given: given.into_iter().map(|(id, expectation)| (id, Rule::new(expectation))).collect() }
    }
}

impl From<Expectations> for BTreeMap<ExpectationId, Expectation> {
    fn from(expectations: Expectations) -> Self {
        expectations.given.into_iter().map(|(id, rule)| (id, rule.expectation)).collect()
    }
}

impl Expectations {
    pub(crate) fn add(&mut self, expectation: &Expectation) {
        if self.given.len() < EXPECTATIONS_MAX || self.given.contains_key(&expectation.id) {
            self.given.insert(expectation.id.clone(), Rule::new(expectation.clone()));
        }
    }

    pub(crate) fn remove(&mut self, id: &ExpectationId) {
        self.given.remove(id);
    }

    pub(crate) fn len(&self) -> usize {
        self.given.len()
    }

    /// The declared edge or window that explains a finding.
    pub(crate) fn reason(&self, finding: &Finding) -> Option<Reason> {
        match &finding.expected_by {
            Some(id) => self.edge_reason(finding, id),
            None => self.window_reason(finding),
        }
    }

    /// The judge has asked who expects the edge; here is whether that still holds, and what it takes off.
    fn edge_reason(&self, finding: &Finding, id: &ExpectationId) -> Option<Reason> {
        let Expectation { subject, owner, reason, .. } = &self.given.get(id)?.in_force(finding)?.expectation;
        let Expected::Edge(edge) = subject else { return None };
        let sentence = format!("{owner} expects {edge}: {reason}");
        let bits = finding.bits.min(EXPECTED_BITS);
        Some(Reason { by: id.clone(), kind: ExplanationKind::Edge, sentence, bits })
    }

    fn window_reason(&self, finding: &Finding) -> Option<Reason> {
        let covering = self.given.values().filter(|rule| rule.covers(finding));
        let (rule, opened) = covering.filter_map(|rule| Some((rule, rule.opened(finding.at)?))).next()?;
        let Expectation { id, owner, reason, .. } = &rule.expectation;
        let sentence = format!("{owner} expects it in the window that opened at {opened}: {reason}");
        let bits = finding.bits.min(EXPECTED_BITS);
        Some(Reason { by: id.clone(), kind: ExplanationKind::Schedule, sentence, bits })
    }
}

impl Rule {
    fn new(expectation: Expectation) -> Self {
        let windows = match &expectation.when {
            // Whether a window still comes is no question any more: it was when the schedule was given.
            When::Schedule(schedule) => Windows::parse(schedule, Time::default()).ok(),
            When::Recurrence(_) | When::Always => None,
        };
        Self { glob: matcher(&expectation.subject).ok(), windows, expectation }
    }

    fn covers(&self, finding: &Finding) -> bool {
        let matches = |name: &str| self.glob.as_ref().is_some_and(|glob| glob.is_match(name));
        finding.family == self.expectation.family
            && match &self.expectation.subject {
                Expected::Image { .. } => {
                    finding.container.as_ref().is_some_and(|container| matches(container.image.raw()))
                }
                Expected::Edge(_) | Expected::NothingElse { .. } => false,
                // A name may hold what a glob would take for its own: `busybox [yes]`.
                Expected::Workload { pattern } => finding.subject.workload().is_some_and(|workload| {
                    *workload == WorkloadKey::new(pattern.raw()) || matches(workload.raw())
                }),
            }
    }

    /// Itself, when it speaks of such findings and has not expired.
    fn in_force(&self, finding: &Finding) -> Option<&Self> {
        let holds = finding.family == self.expectation.family && !self.expectation.is_expired(finding.at);
        holds.then_some(self)
    }

    fn opened(&self, at: Time) -> Option<Time> {
        if self.expectation.is_expired(at) {
            return None;
        }
        self.windows.as_ref()?.opened(at)
    }
}

/// In the name of an image `*` stays within one part and `**` does not, as for approvals; the name of a workload holds
/// commands and has no parts.
fn matcher(subject: &Expected) -> Result<GlobMatcher, globset::Error> {
    let has_parts = matches!(subject, Expected::Image { .. });
    let pattern = subject.pattern().map_or("", Untrusted::raw);
    // A command that was declared as it is typed means its shape, as workloads have it.
    let workload = (!has_parts).then(|| WorkloadKey::new(pattern));
    let pattern = workload.as_ref().map_or(pattern, WorkloadKey::raw);
    Ok(GlobBuilder::new(pattern).literal_separator(has_parts).build()?.compile_matcher())
}
