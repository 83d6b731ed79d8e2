//! What comes back at the same time of so many hours, days or weeks in a row, and what that takes off.
//!
//! ALGORITHMS §1.5, with every safeguard: it only lowers, by little; only what may be explained, in the envelope that was
//! learned and is frozen then; of one workload with one image; nothing is learned while its subject is suspect, and nothing
//! of what somebody closed as an attack. To be believed, an attacker has to show himself four times first.

use std::collections::BTreeMap;
use std::time::Duration;

use model::expectation::{
    Expectation, ExpectationChange, ExpectationId, Expected, ExplanationKind, LEARNED, RECURRENCE_SEEN_MIN,
    Recurrence, When,
};
use model::finding::Finding;
use model::identity::{Container, News, Observation};
use model::ids::WorkloadKey;
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use crate::reason::Reason;
use crate::spells::{Claim, Reading, Spell, Spells};

/// The periods that are tried, each with its word.
const PERIODS: [(u64, &str); 3] = [(3_600, "hour"), (86_400, "day"), (7 * 86_400, "week")];

/// How far from its time it may begin. With four times as much, random spells become a schedule 20 times as often
/// (simulated with five a day over a fortnight: 1.5 % instead of 0.07 %).
const TOLERANCE: Duration = Duration::from_secs(150);

/// How much the highest and the lowest peak may differ, and how far above the highest one it may rise.
const PEAK_FACTOR: f64 = 1.25;

/// What it may last in any case, in seconds; else half as long again as the longest time.
const LASTING_SECONDS_MIN: u64 = 60;

/// What it takes off, in bits: 1.5 natural log-odds.
const BITS: f64 = 1.5 * std::f64::consts::LOG2_E;

/// Misses in a row after which it is over.
const MISSED_MAX: u32 = 2;

/// From so many times on a recurrence in the making is kept over a restart; single spells are not worth it.
const KEPT_FROM: u32 = 2;

/// Most recurrences in the making of one claim and period, and of all; the least seen and oldest make room.
const CLAIM_MAX: usize = 24;
const ALL_MAX: usize = 1_024;

/// Most workloads remembered as attacked or attacking; the longest known makes room.
const BARRED_MAX: usize = 4_096;

/// How often what was missed is looked for; also a pause of the clock from which on nothing was watched.
const LOOK: Duration = Duration::from_secs(60);

/// What was learned, what may become so, and what is going on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recurrences {
    spells: Spells,
    #[serde(with = "model::pairs")]
    known: BTreeMap<Claim, Vec<Expectation>>,
    /// Workloads of incidents that somebody closed as attacks: nothing of them is learned.
    barred: BTreeMap<WorkloadKey, Time>,
    /// Since when time has passed without a gap.
    watching_since: Time,
    looked: Time,
    last: Time,
}

impl Recurrences {
    /// Takes up what an earlier run learned.
    pub(crate) fn add(&mut self, expectation: &Expectation) {
        let When::Recurrence(recurrence) = &expectation.when else { return };
        if self.len() >= ALL_MAX {
            self.evict();
        }
        let same = self.known.entry(Claim::of(recurrence)).or_default();
        same.retain(|known| known.id != expectation.id);
        same.push(expectation.clone());
    }

    pub(crate) fn remove(&mut self, id: &ExpectationId) {
        self.known.values_mut().for_each(|same| same.retain(|known| known.id != *id));
        self.known.retain(|_, same| !same.is_empty());
    }

    /// How many are known, those in the making included.
    pub(crate) fn len(&self) -> usize {
        self.known.values().map(Vec::len).sum()
    }

    /// How many explain something.
    pub(crate) fn learned(&self) -> usize {
        self.known.values().flatten().filter(|known| recurrence(known).is_some_and(is_learned)).count()
    }

    /// The recurrence that explains a finding, which is not yet noted.
    pub(crate) fn reason(&self, finding: &Finding, (claim, value): &(Claim, f64)) -> Option<Reason> {
        let same = self.known.get(claim)?;
        let began = self.spells.began(claim, finding.at);
        let learned = same.iter().filter_map(|known| Some((known, recurrence(known)?)));
        let (known, recurrence) = learned.filter(|(_, it)| is_learned(it)).find(|(_, it)| {
            let lasted_max = it.lasting_seconds.max(LASTING_SECONDS_MIN).saturating_mul(3) / 2;
            // Due next, or come already and going on.
            let is_due = is_near(began, it.due) || is_near(began, it.last);
            is_due && *value <= it.peaks.1 * PEAK_FACTOR && finding.at.since(began).as_secs() <= lasted_max
        })?;
        let sentence = format!(
            "{}, up to {:.2} {} for {} s",
            known.reason, recurrence.peaks.1, recurrence.metric, recurrence.lasting_seconds
        );
        let bits = (finding.bits - BITS).max(0.0);
        Some(Reason { by: known.id.clone(), kind: ExplanationKind::Recurrence, sentence, bits })
    }

    /// Takes a finding into its spell; a spell that is suspect at any moment teaches nothing.
    pub(crate) fn note(&mut self, claim: &Claim, reading: Reading) -> Vec<ExpectationChange> {
        let ended = self.spells.note(claim, reading);
        ended.map(|spell| self.learn(claim, &spell)).unwrap_or_default()
    }

    /// A workload that runs another image is another workload.
    pub(crate) fn watch(&mut self, seen: &Observation) -> Vec<ExpectationChange> {
        let mut changes = Vec::new();
        for news in &seen.identity.news {
            if let News::Settled(container) = news {
                changes.extend(self.settled(container, seen.event.time));
            }
        }
        changes
    }

    /// Nothing is learned of this workload any more.
    pub(crate) fn bar(&mut self, workload: &WorkloadKey, now: Time) -> Vec<ExpectationChange> {
        if self.barred.len() >= BARRED_MAX && !self.barred.contains_key(workload) {
            let oldest = self.barred.iter().min_by_key(|(_, at)| **at).map(|(workload, _)| workload.clone());
            oldest.map(|workload| self.barred.remove(&workload));
        }
        self.barred.insert(workload.clone(), now);
        self.spells.forget(|claim| claim.workload == *workload);
        self.unlearn(now, |claim| claim.workload == *workload)
    }

    /// Tidewatch did not run in between: what was due then may have come or not.
    pub(crate) fn resume(&mut self, now: Time) {
        self.watching_since = now;
    }

    /// Ends spells that are over, and misses what did not come.
    pub(crate) fn time_passes(&mut self, now: Time) -> Vec<ExpectationChange> {
        if now.since(self.last) > LOOK {
            self.watching_since = now;
        }
        self.last = self.last.max(now);
        let mut changes = Vec::new();
        for (claim, spell) in self.spells.take_ended(now) {
            changes.extend(self.learn(&claim, &spell));
        }
        if now.since(self.looked) >= LOOK {
            self.looked = now;
            changes.extend(self.miss(now));
        }
        changes
    }

    fn settled(&mut self, container: &Container, now: Time) -> Vec<ExpectationChange> {
        let Some(facts) = container.facts.known().filter(|facts| !facts.digest.is_empty()) else {
            return Vec::new();
        };
        if self.known.is_empty() && self.spells.is_empty() {
            return Vec::new();
        }
        let workload = container.workload();
        let is_changed = |claim: &Claim| claim.workload == workload && claim.digest != facts.digest;
        self.spells.forget(is_changed);
        self.unlearn(now, is_changed)
    }

    fn learn(&mut self, claim: &Claim, spell: &Spell) -> Vec<ExpectationChange> {
        if spell.is_suspect || self.barred.contains_key(&claim.workload) {
            return Vec::new();
        }
        let mut changes = Vec::new();
        for (period_seconds, word) in PERIODS {
            let same = self.known.entry(claim.clone()).or_default();
            let came = same.iter_mut().filter_map(|known| came(known, spell, (period_seconds, word)));
            let came: Vec<Came> = came.collect();
            let is_explained = came.iter().any(|came| came.is_learned);
            changes.extend(came.iter().filter_map(|came| came.change.clone()));
            if is_explained {
                // What comes each hour comes at this hour of each day as well, which nobody needs to know.
                break;
            }
            if came.is_empty() {
                self.begin(claim, spell, period_seconds);
            }
        }
        changes
    }

    /// A spell that fits nothing may be the first of a recurrence.
    fn begin(&mut self, claim: &Claim, spell: &Spell, period_seconds: u64) {
        if self.len() >= ALL_MAX {
            self.evict();
        }
        let same = self.known.entry(claim.clone()).or_default();
        let of_period =
            |known: &&Expectation| recurrence(known).map(|it| it.period_seconds) == Some(period_seconds);
        if same.iter().filter(of_period).count() >= CLAIM_MAX {
            let least =
                same.iter().filter(of_period).min_by_key(|known| worth(known)).map(|known| known.id.clone());
            same.retain(|known| Some(&known.id) != least.as_ref());
        }
        same.push(new(claim, spell, period_seconds));
    }

    fn miss(&mut self, now: Time) -> Vec<ExpectationChange> {
        let (spells, watching_since) = (&self.spells, self.watching_since);
        let mut changes = Vec::new();
        for (claim, same) in &mut self.known {
            same.retain_mut(|known| {
                let is_late = recurrence(known).is_some_and(|it| {
                    now > it.due.plus(TOLERANCE) && !spells.began_near(claim, it.due, TOLERANCE)
                });
                if !is_late {
                    return true;
                }
                let before = known.clone();
                let stays = missed(known, now, watching_since);
                changes.extend(told(&before, known, stays));
                stays && !known.is_expired(now)
            });
        }
        self.known.retain(|_, same| !same.is_empty());
        changes
    }

    fn unlearn(&mut self, now: Time, is_meant: impl Fn(&Claim) -> bool) -> Vec<ExpectationChange> {
        let mut changes = Vec::new();
        self.known.retain(|claim, same| {
            if !is_meant(claim) {
                return true;
            }
            for known in same {
                let before = known.clone();
                let is_learned = recurrence(known).is_some_and(is_learned);
                known.expires = Some(now);
                changes.extend(told(&before, known, is_learned));
            }
            false
        });
        changes
    }

    fn evict(&mut self) {
        let all = self.known.values().flatten();
        let Some(id) = all.min_by_key(|known| worth(known)).map(|known| known.id.clone()) else { return };
        self.remove(&id);
    }
}

/// That a spell belongs to a recurrence, and what is to be stored of it.
struct Came {
    is_learned: bool,
    change: Option<ExpectationChange>,
}

/// Whether a spell is the one that was due; then the recurrence has come once more.
fn came(known: &mut Expectation, spell: &Spell, (period_seconds, word): (u64, &str)) -> Option<Came> {
    let When::Recurrence(it) = &mut known.when else { return None };
    if it.period_seconds != period_seconds {
        return None;
    }
    if is_near(spell.began, it.last) {
        // Twice at one time is once.
        return Some(Came { is_learned: is_learned(it), change: None });
    }
    let peaks = (it.peaks.0.min(spell.peak), it.peaks.1.max(spell.peak));
    if !is_near(spell.began, it.due) || peaks.1 > peaks.0 * PEAK_FACTOR {
        return None;
    }
    // What was learned is frozen: else who may rise by a quarter each day may do anything in a month.
    if !is_learned(it) {
        it.peaks = peaks;
        it.lasting_seconds = it.lasting_seconds.max(spell.last.since(spell.began).as_secs());
    }
    it.seen = it.seen.saturating_add(1);
    it.missed = 0;
    it.last = it.due;
    it.due = it.due.plus(Duration::from_secs(it.period_seconds));
    known.reason = Untrusted::new(&words(it, word));
    let (is_learned, is_kept) = (is_learned(it), it.seen >= KEPT_FROM);
    let change = is_kept.then(|| ExpectationChange::Learned(Box::new(known.clone())));
    Some(Came { is_learned, change })
}

/// Whether a recurrence stays that did not come when it was due.
fn missed(known: &mut Expectation, now: Time, watching_since: Time) -> bool {
    let When::Recurrence(it) = &mut known.when else { return false };
    let period = Duration::from_secs(it.period_seconds.max(1));
    if !is_learned(it) {
        return false;
    }
    if it.due.minus(TOLERANCE) >= watching_since {
        it.missed = it.missed.saturating_add(1);
        it.due = it.due.plus(period);
    } else {
        // Nobody watched when it was due: not a miss, and the next one counts.
        let periods = now.since(it.due).as_secs() / it.period_seconds.max(1) + 1;
        it.due = it.due.plus(period.saturating_mul(u32::try_from(periods).unwrap_or(u32::MAX)));
    }
    if it.missed >= MISSED_MAX {
        known.expires = Some(now);
    }
    true
}

/// What is to be stored of a recurrence that changed.
fn told(before: &Expectation, now: &Expectation, stays: bool) -> Option<ExpectationChange> {
    let is_kept = recurrence(before).is_some_and(|it| it.seen >= KEPT_FROM);
    match stays {
        true => (is_kept && before != now).then(|| ExpectationChange::Learned(Box::new(now.clone()))),
        false => is_kept.then(|| ExpectationChange::Dropped { id: now.id.clone() }),
    }
}

fn new(claim: &Claim, spell: &Spell, period_seconds: u64) -> Expectation {
    let recurrence = Recurrence {
        workload: claim.workload.clone(),
        digest: claim.digest.clone(),
        judge: claim.judge.clone(),
        metric: claim.metric.clone(),
        period_seconds,
        first: spell.began,
        last: spell.began,
        due: spell.began.plus(Duration::from_secs(period_seconds)),
        seen: 1,
        missed: 0,
        peaks: (spell.peak, spell.peak),
        lasting_seconds: spell.last.since(spell.began).as_secs(),
    };
    let subject = Expected::Workload { pattern: Untrusted::new(claim.workload.raw()) };
    let why = ("seen once".into(), LEARNED.into());
    Expectation::new(subject, When::Recurrence(Box::new(recurrence)), why, spell.began)
}

fn words(it: &Recurrence, word: &str) -> String {
    let began = it.first.rfc3339();
    let at = match word {
        "hour" => format!("about minute {}", &began[14..16]),
        _ => format!("about {} UTC", &began[11..16]),
    };
    format!("seen {} times, every {word} {at}", it.seen)
}

fn recurrence(known: &Expectation) -> Option<&Recurrence> {
    match &known.when {
        When::Recurrence(recurrence) => Some(recurrence),
        When::Schedule(_) | When::Always => None,
    }
}

fn is_learned(it: &Recurrence) -> bool {
    it.seen >= RECURRENCE_SEEN_MIN
}

/// What is kept longest when there is no room: seen often, then seen lately.
fn worth(known: &Expectation) -> (u32, Time) {
    recurrence(known).map(|it| (it.seen, it.last)).unwrap_or_default()
}

fn is_near(a: Time, b: Time) -> bool {
    a.since(b) <= TOLERANCE && b.since(a) <= TOLERANCE
}

#[cfg(test)]
mod tests;
