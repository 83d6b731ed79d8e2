//! What is held against one subject: the latest finding of each judge, and the incident it grew into.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::expectation::{ExpectationChange, ExpectationId, Explanation};
use model::finding::{Aspect, Family, Finding};
use model::ids::CgroupId;
use model::incident::{Change, ChangeKind, INCIDENT_FINDINGS_MAX, Incident, IncidentId, Severity, State};
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use crate::engine_work::LastWork;
use crate::reason::Reason;
use crate::weight::{Weight, faded, weigh};

/// How often an open incident is told anew while nothing but its figures change: every second at first, when
/// people watch, then less often.
const UPDATE_YOUNG: Duration = Duration::from_millis(900);
const UPDATE_OLD: Duration = Duration::from_secs(10);
const YOUNG: Duration = Duration::from_secs(60);

/// A pause of a claim after which its explanation counts as another one.
const SPELL: Duration = Duration::from_secs(600);

/// How long after harm its subject is suspect.
const HARM_KEPT: Duration = Duration::from_secs(3600);

/// A rise of the weight that is told at once.
const RISE_BITS: f64 = 0.5;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Dossier {
    findings: Vec<Finding>,
    dropped: u64,
    incident: Option<Incident>,
    /// Until when its findings are of an earlier run.
    #[serde(default)]
    restored: Option<Time>,
}

impl Dossier {
    pub(crate) fn restored(incident: Incident) -> Self {
        Self {
            findings: incident.findings.clone(),
            dropped: incident.findings_dropped,
            restored: Some(incident.findings.iter().map(|finding| finding.at).max().unwrap_or_default()),
            incident: Some(incident),
        }
    }

    /// What this run has found about the same subject already, beside what is restored. An incident that this run has opened
    /// goes on; the restored one then stays as it is stored.
    pub(crate) fn joined(mut self, present: Self) -> Self {
        present.findings.into_iter().for_each(|finding| self.add(finding));
        self.dropped += present.dropped;
        self.incident = present.incident.or(self.incident);
        self
    }

    pub(crate) fn incident(&self) -> Option<&Incident> {
        self.incident.as_ref()
    }

    /// Whether what the subject does now must not become normal: an incident is open, or it did harm just now.
    pub(crate) fn is_suspect(&self, now: Time) -> bool {
        let harms = |finding: &Finding| finding.harm && now.since(finding.at) < HARM_KEPT;
        self.incident.is_some() || self.findings.iter().any(harms)
    }

    pub(crate) fn into_incident(self) -> Option<Incident> {
        self.incident
    }

    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    pub(crate) fn last_finding(&self) -> Time {
        self.findings.iter().map(|finding| finding.at).max().unwrap_or_default()
    }

    /// The explanations of a finding that begin a spell: the claim before was not explained so, or was long ago.
    pub(crate) fn newly_explained(&self, finding: &Finding) -> Vec<ExpectationChange> {
        let before = self.findings.iter().find(|earlier| is_same_claim(earlier, finding));
        let before = before.filter(|earlier| finding.at.since(earlier.at) < SPELL);
        let goes_on =
            |by: &ExpectationId| before.is_some_and(|before| before.explained.iter().any(|e| e.by == *by));
        let new = finding.explained.iter().filter(|explanation| !goes_on(&explanation.by));
        new.map(|explanation| told(finding, explanation)).collect()
    }

    /// Lowers findings that work told afterwards explains; gives what that explained.
    pub(crate) fn explain_later(&mut self, work: &LastWork) -> Vec<ExpectationChange> {
        let open = |finding: &&mut Finding| finding.may_be_explained() && finding.explained.is_empty();
        let mut told_now = Vec::new();
        for finding in self.findings.iter_mut().filter(open) {
            Reason::apply(work.reason(finding), finding);
            told_now.extend(finding.explained.iter().map(|explanation| told(finding, explanation)));
        }
        told_now
    }

    /// Keeps the finding in place of an earlier one of the same judge about the same thing, unless that weighs more and is
    /// to be kept.
    pub(crate) fn add(&mut self, finding: Finding) {
        if self.incident.is_none() && finding.provenance.is_approved() {
            self.settle_provenance(&finding);
        }
        let earlier = self.findings.iter_mut().find(|earlier| is_same_claim(earlier, &finding));
        if let Some(earlier) = earlier {
            let is_kept = is_a_fact(earlier) || self.restored.is_some_and(|restored| earlier.at <= restored);
            if !is_kept || faded(earlier, finding.at) <= finding.bits {
                *earlier = finding;
            }
            return;
        }
        if self.findings.len() >= INCIDENT_FINDINGS_MAX {
            self.dropped += 1;
            let lightest =
                self.findings.iter().enumerate().min_by(|(_, a), (_, b)| a.bits.total_cmp(&b.bits));
            if let Some((at, _)) = lightest {
                self.findings.remove(at);
            }
        }
        // Most have one finding and no more: room for four would be a kilobyte of each container.
        self.findings.reserve_exact(usize::from(self.findings.is_empty()));
        self.findings.push(finding);
    }

    /// What was held against a container's origin before people approved it no longer counts. In an incident it stays: it is
    /// what led to it.
    fn settle_provenance(&mut self, finding: &Finding) {
        let approved = cgroup(finding);
        self.findings.retain(|earlier| {
            let is_settled = earlier.family == Family::Provenance && !earlier.provenance.is_approved();
            !is_settled || cgroup(earlier) != approved
        });
    }

    /// Weighs anew after a finding; gives the change of the incident, if that is worth telling.
    pub(crate) fn review(
        &mut self,
        now: Time,
        threshold_bits: f64,
        priorities: &BTreeMap<Arc<str>, Severity>,
    ) -> Option<Change> {
        let weight = weigh(&self.findings, now);
        if self.incident.is_none() && weight.bits < threshold_bits {
            return None;
        }
        let severity = severity(&self.findings, priorities);
        let kind = if self.incident.is_some() { ChangeKind::Updated } else { ChangeKind::Opened };
        // Before anything is copied: with a finding a second from each of many containers, few of them are told.
        if kind == ChangeKind::Updated && !self.is_worth_telling(weight.bits, severity.0, now) {
            return None;
        }
        let next = self.next_incident(now, threshold_bits, weight, severity)?;
        self.incident = Some(next.clone());
        Some(Change { kind, incident: next })
    }

    fn next_incident(
        &self,
        now: Time,
        threshold_bits: f64,
        weight: Weight,
        (severity, urgency): (Severity, String),
    ) -> Option<Incident> {
        let heaviest = self.findings.iter().max_by(|a, b| a.bits.total_cmp(&b.bits))?;
        let latest = self.findings.iter().max_by_key(|finding| finding.at)?;
        let opened = self.incident.as_ref().map_or(now, |incident| incident.opened);
        let before_bits = self.incident.as_ref().map_or(0.0, |incident| incident.bits);
        let containers: BTreeSet<CgroupId> = self.findings.iter().filter_map(cgroup).collect();
        let mut reasons = weight.reasons;
        reasons.push(format!("{:.1} bits in all, {threshold_bits:.1} make an incident", weight.bits));
        reasons.push(urgency);
        let id = self.incident.as_ref().map(|incident| incident.id.clone());
        Some(Incident {
            id: id.unwrap_or_else(|| IncidentId::derive(&heaviest.subject, opened)),
            state: State::Open,
            opened,
            updated: now,
            closing: None,
            severity,
            bits: weight.bits.max(before_bits),
            threshold_bits: (threshold_bits * 10.0).round() / 10.0,
            summary: summary(&self.findings, heaviest),
            subject: heaviest.subject.clone(),
            container: heaviest.container.clone(),
            containers: u32::try_from(containers.len()).unwrap_or(u32::MAX),
            families: families(&self.findings),
            findings: self.findings.clone(),
            findings_dropped: self.dropped,
            reasons,
            coverage: latest.coverage.clone(),
        })
    }

    fn is_worth_telling(&self, bits: f64, severity: Severity, now: Time) -> bool {
        let Some(told) = &self.incident else { return true };
        let every = if now.since(told.opened) < YOUNG { UPDATE_YOUNG } else { UPDATE_OLD };
        bits >= told.bits + RISE_BITS
            || severity != told.severity
            || self.findings.len() != told.findings.len()
            || now.since(told.updated) >= every
    }
}

fn told(finding: &Finding, explanation: &Explanation) -> ExpectationChange {
    let who = finding.container.as_ref().map_or_else(
        || format!("node {}", Untrusted::new(finding.subject.node().as_str())),
        |container| container.name.to_string(),
    );
    let Explanation { bits_before, bits_after, .. } = explanation;
    ExpectationChange::Explained {
        id: explanation.by.clone(),
        at: finding.at,
        count: 1,
        sentence: format!("{} of {who}, {bits_before:.1} to {bits_after:.1} bits", finding.judge),
    }
}

fn cgroup(finding: &Finding) -> Option<CgroupId> {
    finding.container.as_ref().map(|container| container.cgroup_id)
}

fn is_same_claim(a: &Finding, b: &Finding) -> bool {
    a.judge == b.judge && cgroup(a) == cgroup(b) && a.edge == b.edge && a.topic == b.topic
}

/// Whether it is about what was done, which a later and lighter word does not undo. What is spent and exchanged has a level:
/// there the latest word counts, but in an incident of an earlier run, whose figures begin anew with this one.
fn is_a_fact(finding: &Finding) -> bool {
    matches!(finding.family, Family::Provenance | Family::Integrity) && finding.level.is_none()
}

fn families(findings: &[Finding]) -> Vec<Family> {
    findings.iter().map(|finding| finding.family).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The strategy's priority, raised when harm and a second family agree, lowered when neither is there.
fn severity(findings: &[Finding], priorities: &BTreeMap<Arc<str>, Severity>) -> (Severity, String) {
    let base = findings.iter().filter_map(|finding| priorities.get(&finding.strategy)).max();
    let base = base.copied().unwrap_or(Severity::Medium);
    let harms = findings.iter().any(|finding| finding.harm);
    let agreeing = families(findings).len();
    let is_interference =
        |finding: &Finding| finding.family == Family::Integrity && finding.aspect == Aspect::Conduct;
    let (severity, why) = match (harms, agreeing) {
        (false, ..=1) if findings.iter().any(is_interference) => {
            (base, "kept: Tidewatch itself was interfered with".to_owned())
        }
        (true, 2..) => {
            (raised(base), format!("raised because others are harmed and {agreeing} families agree"))
        }
        (false, ..=1) => {
            (lowered(base), "lowered because nobody is harmed and one family stands alone".to_owned())
        }
        (true, _) => (base, "kept: others are harmed, one family stands alone".to_owned()),
        (false, _) => (base, format!("kept: {agreeing} families agree, nobody is harmed")),
    };
    (severity, format!("severity {}: the strategy's priority is {}, {why}", severity.name(), base.name()))
}

fn raised(severity: Severity) -> Severity {
    match severity {
        Severity::Low => Severity::Medium,
        Severity::Medium => Severity::High,
        Severity::High | Severity::Critical => Severity::Critical,
    }
}

fn lowered(severity: Severity) -> Severity {
    match severity {
        Severity::Low | Severity::Medium => Severity::Low,
        Severity::High => Severity::Medium,
        Severity::Critical => Severity::High,
    }
}

/// The subject and the weightiest claim of each family, weightiest first.
fn summary(findings: &[Finding], heaviest: &Finding) -> String {
    let subject = match &heaviest.container {
        Some(container) if container.image.is_empty() => {
            format!("container {} (no image known)", container.name)
        }
        Some(container) => format!("container {} (image {})", container.name, container.image),
        None => format!("node {}", heaviest.subject.node()),
    };
    let mut by_family: BTreeMap<Family, &Finding> = BTreeMap::new();
    for finding in findings {
        let kept = by_family.entry(finding.family).or_insert(finding);
        if finding.bits > kept.bits {
            *kept = finding;
        }
    }
    let mut claims: Vec<&Finding> = by_family.into_values().collect();
    claims.sort_by(|a, b| b.bits.total_cmp(&a.bits));
    let claims: Vec<&str> = claims.iter().map(|finding| finding.claim.as_str()).collect();
    format!("{subject}: {}", claims.join("; "))
}
