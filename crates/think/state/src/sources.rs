//! What we could see: the health of every source, gaps of the last hour, and what was lost.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::coverage::{Blind, Coverage, Health, Loss, Source, SourceReport};
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

/// How long a past gap is told with findings.
const GAPS_TOLD: Duration = Duration::from_secs(3600);

/// Most past gaps kept; a source that flaps makes room by forgetting its oldest.
const GAPS_MAX: usize = 32;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sources {
    reports: BTreeMap<Source, (Time, SourceReport)>,
    gaps: VecDeque<Blind>,
    lost_events: u64,
}

impl Sources {
    pub(crate) fn report(&mut self, report: &SourceReport, at: Time) {
        let before = self.reports.get(&report.source);
        if before.is_some_and(|(_, before)| before == report) {
            return;
        }
        if let Some((since, before)) = before
            && is_blind(before.health)
        {
            let gap = blind(before, *since, Some(at));
            self.keep_gap(gap);
        }
        self.reports.insert(report.source, (at, report.clone()));
    }

    pub(crate) fn lost(&mut self, loss: &Loss) {
        self.lost_events = self.lost_events.saturating_add(loss.count);
    }

    pub(crate) fn gap(&mut self, from: Time, until: Time) {
        self.keep_gap(Blind {
            source: Source::Engine,
            health: Health::Down,
            since: from,
            until: Some(until),
            reason: Untrusted::new("Tidewatch was not running"),
        });
    }

    pub(crate) fn coverage(&self, now: Time) -> Coverage {
        let works = |health| matches!(health, Health::Up | Health::Degraded);
        let told = |gap: &&Blind| gap.until.is_none_or(|until| now.since(until) <= GAPS_TOLD);
        let current = self.reports.values().filter(|(_, report)| is_blind(report.health));
        Coverage {
            seen: self.reports.values().filter(|(_, r)| works(r.health)).map(|(_, r)| r.source).collect(),
            blind: current
                .map(|(since, report)| blind(report, *since, None))
                .chain(self.gaps.iter().filter(told).cloned())
                .collect(),
            lost_events: self.lost_events,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Source, Health, &Untrusted)> {
        self.reports.values().map(|(_, report)| (report.source, report.health, &report.reason))
    }

    fn keep_gap(&mut self, gap: Blind) {
        if self.gaps.len() == GAPS_MAX {
            self.gaps.pop_front();
        }
        self.gaps.push_back(gap);
    }
}

fn is_blind(health: Health) -> bool {
    matches!(health, Health::Down | Health::Degraded)
}

fn blind(report: &SourceReport, since: Time, until: Option<Time>) -> Blind {
    Blind { source: report.source, health: report.health, since, until, reason: report.reason.clone() }
}
