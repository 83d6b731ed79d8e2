//! Spells of claims that go on: findings of one judge about one metric of a workload with one image, without a long pause.
//!
//! Not here: what a spell teaches (`recurrence.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use model::expectation::Recurrence;
use model::finding::Finding;
use model::ids::WorkloadKey;
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

/// A pause after which a claim begins anew.
const PAUSE: Duration = Duration::from_secs(60);

/// Most spells that go on at once; a claim beyond that teaches nothing.
const SPELLS_MAX: usize = 1_024;

/// What comes back, if it does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) workload: WorkloadKey,
    pub(crate) digest: Untrusted,
    pub(crate) judge: Untrusted,
    pub(crate) metric: Untrusted,
}

impl Claim {
    /// The claim of a finding that may be explained, and its height; `None` without a workload, or an image to bind it to.
    pub(crate) fn about(finding: &Finding) -> Option<(Self, f64)> {
        let level = finding.level.as_ref().filter(|_| finding.may_be_explained())?;
        let digest = finding.container.as_ref().map(|container| &container.digest)?;
        let claim = Self {
            workload: finding.subject.workload()?.clone(),
            digest: Some(digest).filter(|digest| !digest.is_empty())?.clone(),
            judge: Untrusted::new(&finding.judge),
            metric: Untrusted::new(&level.metric),
        };
        Some((claim, level.value))
    }

    pub(crate) fn of(it: &Recurrence) -> Self {
        Self {
            workload: it.workload.clone(),
            digest: it.digest.clone(),
            judge: it.judge.clone(),
            metric: it.metric.clone(),
        }
    }
}

/// One finding of a claim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) at: Time,
    pub(crate) value: f64,
    /// Whether its subject is suspect.
    pub(crate) is_suspect: bool,
}

/// One spell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spell {
    pub(crate) began: Time,
    pub(crate) last: Time,
    pub(crate) peak: f64,
    /// Whether its subject was suspect at any moment of it.
    pub(crate) is_suspect: bool,
}

/// The spells that go on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Spells {
    #[serde(with = "model::pairs")]
    open: BTreeMap<Claim, Spell>,
}

impl Spells {
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When the spell began that a finding made at `at` belongs to.
    pub(crate) fn began(&self, claim: &Claim, at: Time) -> Time {
        self.open.get(claim).filter(|spell| at.since(spell.last) < PAUSE).map_or(at, |spell| spell.began)
    }

    /// Whether a spell goes on that began about then.
    pub(crate) fn began_near(&self, claim: &Claim, at: Time, tolerance: Duration) -> bool {
        let is_near = |spell: &Spell| at.since(spell.began).max(spell.began.since(at)) <= tolerance;
        self.open.get(claim).is_some_and(is_near)
    }

    /// Takes a finding into its spell; gives the one before when that is over.
    pub(crate) fn note(
        &mut self,
        claim: &Claim,
        Reading { at, value, is_suspect }: Reading,
    ) -> Option<Spell> {
        let new = Spell { began: at, last: at, peak: value, is_suspect };
        match self.open.get_mut(claim) {
            Some(spell) if at.since(spell.last) < PAUSE => {
                spell.last = spell.last.max(at);
                spell.peak = spell.peak.max(value);
                spell.is_suspect |= is_suspect;
                None
            }
            Some(spell) => Some(std::mem::replace(spell, new)),
            None => {
                if self.open.len() < SPELLS_MAX {
                    self.open.insert(claim.clone(), new);
                }
                None
            }
        }
    }

    /// Takes out the spells that are over.
    pub(crate) fn take_ended(&mut self, now: Time) -> Vec<(Claim, Spell)> {
        let is_over = |spell: &Spell| now.since(spell.last) >= PAUSE;
        if !self.open.values().any(is_over) {
            return Vec::new();
        }
        let (over, open) = std::mem::take(&mut self.open).into_iter().partition(|(_, spell)| is_over(spell));
        self.open = open;
        let over: BTreeMap<Claim, Spell> = over;
        over.into_iter().collect()
    }

    pub(crate) fn forget(&mut self, is_meant: impl Fn(&Claim) -> bool) {
        self.open.retain(|claim, _| !is_meant(claim));
    }
}
