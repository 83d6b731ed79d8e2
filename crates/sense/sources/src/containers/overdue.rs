//! Questions to an engine that it has not answered: how many, since when, and whether that is too long.
//!
//! Not here: asking again (`mirror.rs`), what an unanswered question means for a container (`enrich`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::time::Time;
use model::untrusted::Untrusted;

use crate::clock::wall_clock;

/// How long an answer may take before its lack is reported.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(2);

/// When something was asked, by two clocks: one that cannot be set, and one for people.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Instant,
    shown: Time,
}

impl Asked {
    fn now() -> Self {
        Self { at: Instant::now(), shown: wall_clock() }
    }
}

/// Questions of one list that wait for an answer.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    list: Option<Asked>,
    containers: BTreeMap<Untrusted, Asked>,
}

/// What an engine has not answered for too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// Its list.
    List { since: Time },
    /// Questions about single containers.
    Containers { count: usize, since: Time },
}

impl Awaited {
    pub(crate) fn ask_list(&mut self) {
        self.list.get_or_insert_with(Asked::now);
    }

    pub(crate) fn take_list(&mut self) {
        self.list = None;
    }

    /// A container is asked about; asked again, it waits since the first time.
    pub(crate) fn ask(&mut self, id: &Untrusted) {
        if !self.containers.contains_key(id) {
            self.containers.insert(id.clone(), Asked::now());
        }
    }

    /// It was answered, or will not be.
    pub(crate) fn take(&mut self, id: &Untrusted) {
        self.containers.remove(id);
    }

    pub(crate) fn overdue(&self, now: Instant) -> Option<Overdue> {
        let is_late = |asked: &&Asked| now.saturating_duration_since(asked.at) >= ANSWER_MAX;
        if let Some(list) = self.list.as_ref().filter(is_late) {
            return Some(Overdue::List { since: list.shown });
        }
        let late = || self.containers.values().filter(is_late);
        let since = late().map(|asked| asked.shown).min()?;
        Some(Overdue::Containers { count: late().count(), since })
    }
}

impl Overdue {
    /// What of several lists is to be reported: a list before containers, and of those all.
    pub(crate) fn of_all(overdue: impl Iterator<Item = Self>) -> Option<Self> {
        overdue.reduce(|one, other| match (one, other) {
            (Self::Containers { count: one, since: from }, Self::Containers { count: other, since }) => {
                Self::Containers { count: one + other, since: from.min(since) }
            }
            (Self::List { since }, _) | (_, Self::List { since }) => Self::List { since },
        })
    }

    /// For people.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::List { since } => format!("its list is unanswered since {since}"),
            Self::Containers { count, since } => format!("{count} containers unresolved since {since}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_overdue_after_two_seconds_and_counts_from_the_first_time_it_was_asked() {
        let mut awaited = Awaited::default();
        awaited.ask(&"a".into());
        awaited.ask(&"b".into());
        assert_eq!(awaited.overdue(Instant::now()), None);
        let later = Instant::now() + ANSWER_MAX;
        awaited.ask(&"a".into());
        let reason = awaited.overdue(later).unwrap().reason();
        assert!(reason.starts_with("2 containers unresolved since "), "{reason}");
        awaited.take(&"a".into());
        awaited.take(&"b".into());
        assert_eq!(awaited.overdue(later), None);
    }

    #[test]
    fn a_list_that_is_overdue_says_more_than_containers_that_are() {
        let mut awaited = Awaited::default();
        awaited.ask(&"a".into());
        awaited.ask_list();
        let later = Instant::now() + ANSWER_MAX;
        assert!(matches!(awaited.overdue(later), Some(Overdue::List { .. })));
        let since = wall_clock();
        let two = [Overdue::Containers { count: 2, since }, Overdue::Containers { count: 3, since }];
        assert_eq!(Overdue::of_all(two.into_iter()), Some(Overdue::Containers { count: 5, since }));
    }
}
