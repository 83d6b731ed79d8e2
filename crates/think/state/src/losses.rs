//! Which events were lost: about which cgroup, at which stage, how fast; and who sends most.
//!
//! The fold never sees the events themselves; that they were lost is what is known of them. A flood hides what its own
//! cgroup does, and where a queue overflows, what anybody does. Not here: whether that is bad (`detect`).

use std::collections::BTreeMap;
use std::time::Duration;

use model::coverage::{Loss, Source};
use model::ids::CgroupId;
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

/// Cgroups whose losses are told apart; the one with the least makes room, and its losses are counted with the rest.
const CGROUPS_MAX: usize = 256;
/// Stages that are told apart where no cgroup is known.
const STAGES_MAX: usize = 32;
/// Senders that are counted: whoever sends more than a ninth of all events is among them.
const SENDERS_MAX: usize = 8;
/// Events of the last seconds below which nobody is loud.
const LOUD_MIN: u64 = 64;
/// The span over which a rate halves once nothing more is lost.
const HALF_LIFE: Duration = Duration::from_secs(2);
/// How often a flood that goes on is told.
const TOLD_AGAIN: Duration = Duration::from_secs(2);

/// Events lost about one cgroup, or at one stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lost {
    /// Which source lost them.
    pub(crate) source: Source,
    /// Where they were lost last.
    pub(crate) stage: Untrusted,
    /// How many in all.
    pub(crate) count: u64,
    /// When the first and the last of them were reported.
    pub(crate) since: Time,
    /// See `since`.
    pub(crate) until: Time,
    rate: Rate,
    told: Option<Time>,
}

/// Losses of the last seconds: halves in [`HALF_LIFE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Rate {
    level: f64,
    at: Time,
}

impl Rate {
    fn add(&mut self, count: u64, at: Time) {
        (self.level, self.at) = (self.level(at) + count as f64, self.at.max(at));
    }

    fn level(&self, now: Time) -> f64 {
        self.level * 0.5_f64.powf(now.since(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64())
    }

    /// Events a second that keep the level where it is.
    fn per_second(&self, now: Time) -> f64 {
        self.level(now) * std::f64::consts::LN_2 / HALF_LIFE.as_secs_f64()
    }
}

/// A flood that came to be told with the last event.
#[derive(Clone, Debug, PartialEq)]
pub struct Flood {
    /// Whose events were lost; `None` when those of several were, or nobody knows.
    pub cgroup: Option<CgroupId>,
    /// Events lost a second.
    pub per_second: f64,
    /// Lost in all.
    pub count: u64,
    /// Since when.
    pub since: Time,
    /// Where they were lost.
    pub stage: Untrusted,
    /// How many cgroups lose events now.
    pub cgroups: usize,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Losses {
    total: u64,
    by_cgroup: BTreeMap<CgroupId, Lost>,
    #[serde(with = "model::pairs")]
    by_stage: BTreeMap<(Source, Untrusted), Lost>,
    all: Rate,
    all_told: Option<Time>,
    /// Senders by Misra and Gries (1982).
    senders: Vec<(CgroupId, u64)>,
    sent: u64,
    #[serde(skip)]
    fresh: Vec<Flood>,
    #[serde(skip)]
    cut: Option<Loss>,
}

impl Losses {
    /// Another event: what was told with the last one is no news any more.
    pub(crate) fn pass(&mut self) {
        self.fresh.clear();
        self.cut = None;
    }

    /// A source lost events. `noticeable` is how many a second are worth a word.
    pub(crate) fn lost(&mut self, loss: &Loss, noticeable: f64, at: Time) {
        self.total = self.total.saturating_add(loss.count);
        if !is_of_events(loss) {
            self.cut = Some(loss.clone());
        }
        match loss.cgroup {
            Some(cgroup) => self.lost_of(cgroup, loss, at),
            None => self.lost_at(loss, at),
        }
        if is_of_events(loss) {
            self.all.add(loss.count, at);
            self.tell(loss, noticeable, at);
        }
    }

    /// The kernel told of something, in a container or elsewhere.
    pub(crate) fn sent(&mut self, cgroup: Option<CgroupId>) {
        self.sent = self.sent.saturating_add(1);
        let Some(cgroup) = cgroup else { return };
        if let Some((_, count)) = self.senders.iter_mut().find(|(known, _)| *known == cgroup) {
            *count += 1;
        } else if self.senders.len() < SENDERS_MAX {
            self.senders.push((cgroup, 1));
        } else {
            self.senders.iter_mut().for_each(|(_, count)| *count -= 1);
            self.senders.retain(|(_, count)| *count > 0);
        }
    }

    /// Half a second passes: what was sent long ago counts for little.
    pub(crate) fn tick(&mut self) {
        self.sent /= 2;
        self.senders.iter_mut().for_each(|(_, count)| *count /= 2);
        self.senders.retain(|(_, count)| *count > 0);
    }

    /// Who sends more than half of all events of the last seconds.
    pub(crate) fn loudest(&self) -> Option<CgroupId> {
        let loudest = self.senders.iter().max_by_key(|(_, count)| *count);
        loudest.filter(|(_, count)| count * 2 > self.sent && *count >= LOUD_MIN).map(|(cgroup, _)| *cgroup)
    }

    /// Floods that came to be told with the last event.
    pub(crate) fn fresh(&self) -> &[Flood] {
        &self.fresh
    }

    /// Something that the last event says was left out because of a limit of ours.
    pub(crate) fn cut(&self) -> Option<&Loss> {
        self.cut.as_ref()
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Everything that was lost after `since`, heaviest first; by cgroup where one is known.
    pub(crate) fn heaviest(&self, since: Time) -> Vec<(Option<CgroupId>, &Lost)> {
        let by_cgroup = self.by_cgroup.iter().map(|(cgroup, lost)| (Some(*cgroup), lost));
        let by_stage = self.by_stage.values().map(|lost| (None, lost));
        let mut all: Vec<_> = by_cgroup.chain(by_stage).filter(|(_, lost)| lost.until >= since).collect();
        all.sort_by_key(|(_, lost)| std::cmp::Reverse(lost.count));
        all
    }

    /// Cgroups that lose events now, those that lose most first.
    pub(crate) fn losing(&self, now: Time) -> Vec<CgroupId> {
        let mut losing: Vec<(CgroupId, f64)> =
            self.by_cgroup.iter().map(|(cgroup, lost)| (*cgroup, lost.rate.level(now))).collect();
        losing.retain(|(_, level)| *level >= 1.0);
        losing.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        losing.into_iter().map(|(cgroup, _)| cgroup).collect()
    }

    fn lost_of(&mut self, cgroup: CgroupId, loss: &Loss, at: Time) {
        if self.by_cgroup.len() >= CGROUPS_MAX && !self.by_cgroup.contains_key(&cgroup) {
            let least = self.by_cgroup.iter().min_by_key(|(_, lost)| lost.count).map(|(cgroup, _)| *cgroup);
            if let Some(lost) = least.and_then(|least| self.by_cgroup.remove(&least)) {
                let stage = Untrusted::new("of many cgroups");
                self.lost_at(
                    &Loss { source: lost.source, cgroup: None, count: lost.count, stage },
                    lost.until,
                );
            }
        }
        self.by_cgroup.entry(cgroup).or_insert_with(|| Lost::new(loss, at)).add(loss, at);
    }

    fn lost_at(&mut self, loss: &Loss, at: Time) {
        let key = (loss.source, loss.stage.clone());
        if self.by_stage.len() < STAGES_MAX || self.by_stage.contains_key(&key) {
            self.by_stage.entry(key).or_insert_with(|| Lost::new(loss, at)).add(loss, at);
        }
    }

    fn tell(&mut self, loss: &Loss, noticeable: f64, at: Time) {
        let is_due = |told: Option<Time>| told.is_none_or(|told| at.since(told) >= TOLD_AGAIN);
        let cgroups = self.losing(at).len();
        let own = loss.cgroup.and_then(|cgroup| Some((cgroup, self.by_cgroup.get_mut(&cgroup)?)));
        let own_level = own.as_ref().map_or(0.0, |(_, lost)| lost.rate.level(at));
        if let Some((cgroup, lost)) = own
            && lost.rate.per_second(at) >= noticeable
            && is_due(lost.told)
        {
            lost.told = Some(at);
            self.fresh.push(Flood {
                cgroup: Some(cgroup),
                per_second: lost.rate.per_second(at),
                count: lost.count,
                since: lost.since,
                stage: loss.stage.clone(),
                cgroups,
            });
        }
        // Those of one are its own affair; together they can be more than any one shows.
        let is_anybodys = own_level * 2.0 < self.all.level(at);
        if is_anybodys && self.all.per_second(at) >= noticeable && is_due(self.all_told) {
            self.all_told = Some(at);
            let since = self.heaviest(at.minus(HALF_LIFE * 5)).iter().map(|(_, lost)| lost.since).min();
            self.fresh.push(Flood {
                cgroup: None,
                per_second: self.all.per_second(at),
                count: self.total,
                since: since.unwrap_or(at),
                stage: loss.stage.clone(),
                cgroups,
            });
        }
    }
}

impl Lost {
    fn new(loss: &Loss, at: Time) -> Self {
        let (source, stage) = (loss.source, loss.stage.clone());
        Self { source, stage, count: 0, since: at, until: at, rate: Rate { level: 0.0, at }, told: None }
    }

    fn add(&mut self, loss: &Loss, at: Time) {
        self.count = self.count.saturating_add(loss.count);
        self.until = self.until.max(at);
        self.stage.clone_from(&loss.stage);
        self.rate.add(loss.count, at);
    }
}

/// Whether what was lost are events of the kernel or of our queues, as opposed to what a limit of a reading left out.
fn is_of_events(loss: &Loss) -> bool {
    let is_queue = ["queue", "ring", "budget"].iter().any(|word| loss.stage.raw().contains(word));
    loss.source == Source::Kernel || is_queue
}
