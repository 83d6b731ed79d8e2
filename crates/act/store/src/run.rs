//! What one run of Tidewatch leaves to the next one: when it lived, on which boot, and whether it ended in order.
//!
//! Not here: what the next run makes of it, which `engine` turns into events.

use std::time::Duration;

use model::integrity::Integrity;
use model::time::Time;

/// What the last run noted of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastRun {
    /// When it last noted that it was alive; `None` before the first run.
    pub last_beat: Option<Time>,
    /// When the first of all runs began; `None` in a database of a version that did not note it.
    pub first_look: Option<Time>,
    /// The kernel's id of the boot that it ran on; empty when unknown.
    pub boot_id: String,
    /// Whether it ended because it was asked to; `None` in a database of a version that did not note it.
    pub ended_in_order: Option<bool>,
    /// When the runs before it were last alive that did not end in order either.
    pub killed_before: Vec<Time>,
}

/// How long a kill is remembered, and how many are.
pub(crate) const KILLS_KEPT: Duration = Duration::from_secs(24 * 3600);
pub(crate) const KILLS_MAX: usize = 16;

/// What a run notes of itself when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThisRun {
    /// When it began.
    pub begun: Time,
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// When the first of all runs began, where that is known from elsewhere than the database.
    pub first_look: Option<Time>,
}

impl LastRun {
    /// The time of the first look, given when this run began.
    pub fn first_look(&self, begun: Time) -> Time {
        // A database of an earlier version was begun at or before its last beat.
        self.first_look.or(self.last_beat).unwrap_or(begun)
    }

    /// That it ended without being asked to; `None` when it ended in order, or when it did not note how it ended.
    pub fn killed(&self, boot_id: &str) -> Option<Integrity> {
        let last = self.last_beat.filter(|_| self.ended_in_order == Some(false))?;
        let before = self.killed_before.iter().filter(|at| last.since(**at) < KILLS_KEPT).count();
        let times = u64::try_from(before).unwrap_or(u64::MAX).saturating_add(1);
        Some(Integrity::Killed { last, rebooted: self.boot_id != boot_id, times })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ended_in_order: Option<bool>) -> LastRun {
        LastRun {
            last_beat: Some(Time::from_secs(9)),
            first_look: Some(Time::from_secs(1)),
            boot_id: "a".into(),
            ended_in_order,
            killed_before: Vec::new(),
        }
    }

    #[test]
    fn a_run_that_was_not_asked_to_end_was_killed() {
        let killed = |rebooted| Some(Integrity::Killed { last: Time::from_secs(9), rebooted, times: 1 });
        assert_eq!(run(Some(false)).killed("a"), killed(false));
        assert_eq!(run(Some(false)).killed("b"), killed(true));
    }

    #[test]
    fn an_end_in_order_an_unknown_end_and_a_first_start_are_not_a_kill() {
        assert_eq!(run(Some(true)).killed("b"), None);
        assert_eq!(run(None).killed("b"), None);
        assert_eq!(LastRun { ended_in_order: Some(false), ..LastRun::default() }.killed("a"), None);
    }

    #[test]
    fn the_first_look_is_that_of_the_first_run() {
        let now = Time::from_secs(20);
        assert_eq!(run(None).first_look(now), Time::from_secs(1));
        assert_eq!(LastRun { first_look: None, ..run(None) }.first_look(now), Time::from_secs(9));
        assert_eq!(LastRun::default().first_look(now), now);
    }
}
