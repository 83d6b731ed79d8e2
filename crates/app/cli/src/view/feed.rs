//! What the engine hands on to the live view: bounded, and never waited for. A terminal may be stopped for as long as its
//! user likes.
//!
//! Not here: drawing. Of an incident that changes while the view does not take anything, the last change is kept.

use std::collections::BTreeMap;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use engine::live::{Notice, Show};
use model::incident::{Change, IncidentId};

/// Notices that may wait for the view: it takes all of them at each redraw, five times a second.
const NOTICES_MAX: usize = 16;
/// Incidents whose last change is kept for a view that takes nothing.
const CHANGES_MAX: usize = 4096;

/// The engine's end.
pub(crate) struct ToView {
    queue: Sender<Notice>,
    /// The last change of each incident, and whether it is stored.
    changes: BTreeMap<IncidentId, (Change, bool)>,
    /// The last trouble, or that there is none any more.
    trouble: Option<String>,
    left_out: u64,
}

impl ToView {
    /// Both ends.
    pub(crate) fn new() -> (Self, Receiver<Notice>) {
        let (queue, notices) = bounded(NOTICES_MAX);
        (Self { queue, changes: BTreeMap::new(), trouble: None, left_out: 0 }, notices)
    }

    fn keep(&mut self, changes: Vec<Change>, is_stored: bool) {
        for change in changes {
            if self.changes.len() < CHANGES_MAX || self.changes.contains_key(&change.incident.id) {
                self.changes.insert(change.incident.id.clone(), (change, is_stored));
            } else {
                self.left_out += 1;
            }
        }
    }

    fn flush(&mut self) {
        let (stored, unstored): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.changes).into_values().partition(|(_, is_stored)| *is_stored);
        self.hand_on(stored, Notice::Changed);
        self.hand_on(unstored, Notice::NotStored);
        if let Some(trouble) = self.trouble.take()
            && let Err(TrySendError::Full(Notice::Trouble(trouble))) =
                self.queue.try_send(Notice::Trouble(trouble))
        {
            self.trouble = Some(trouble);
        }
        if self.left_out > 0 {
            let left_out = self.left_out;
            let trouble = format!("{left_out} changes are not shown here; see: tidewatch incidents");
            if self.queue.try_send(Notice::Trouble(trouble)).is_ok() {
                self.left_out = 0;
            }
        }
    }
}

impl ToView {
    fn hand_on(&mut self, changes: Vec<(Change, bool)>, notice: fn(Vec<Change>) -> Notice) {
        let Some(is_stored) = changes.first().map(|(_, is_stored)| *is_stored) else { return };
        let changes = changes.into_iter().map(|(change, _)| change).collect();
        if let Err(TrySendError::Full(Notice::Changed(changes) | Notice::NotStored(changes))) =
            self.queue.try_send(notice(changes))
        {
            self.keep(changes, is_stored);
        }
    }
}

impl Show for ToView {
    fn show(&mut self, notice: Notice) {
        match notice {
            Notice::Changed(changes) => self.keep(changes, true),
            Notice::NotStored(changes) => self.keep(changes, false),
            Notice::Trouble(trouble) => self.trouble = Some(trouble),
            // The next one is due in a second; what finds no room is out of date by then.
            other => drop(self.queue.try_send(other)),
        }
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use model::incident::ChangeKind;
    use testkit::incidents::IncidentBuilder;

    use super::*;

    fn change(number: usize, kind: ChangeKind) -> Change {
        let mut incident = IncidentBuilder::attack().build();
        incident.id = IncidentId::from_text(&format!("TW-{number:012x}"));
        Change { kind, incident }
    }

    #[test]
    fn a_view_that_takes_nothing_holds_up_nobody_and_gets_the_last_change_of_each_incident() {
        let (mut feed, notices) = ToView::new();
        for round in 0..10 * NOTICES_MAX {
            let kind = if round == 0 { ChangeKind::Opened } else { ChangeKind::Updated };
            feed.show(Notice::Changed((0..3).map(|number| change(number, kind)).collect()));
        }
        assert_eq!((notices.len(), feed.changes.len()), (NOTICES_MAX, 3));
        notices.try_iter().for_each(drop);
        feed.show(Notice::Trouble(String::new()));
        assert_eq!((notices.len(), feed.changes.len()), (2, 0));
    }

    #[test]
    fn changes_that_wait_are_bounded_and_those_left_out_are_told() {
        let (mut feed, notices) = ToView::new();
        (0..NOTICES_MAX).for_each(|_| feed.show(Notice::Trouble(String::new())));
        let many = (0..CHANGES_MAX + 5).map(|number| change(number, ChangeKind::Opened)).collect();
        feed.show(Notice::Changed(many));
        assert_eq!((feed.changes.len(), feed.left_out), (CHANGES_MAX, 5));
        notices.try_iter().for_each(drop);
        feed.show(Notice::Changed(Vec::new()));
        let told = notices.try_iter().any(
            |notice| matches!(notice, Notice::Trouble(trouble) if trouble.starts_with("5 changes are not shown")),
        );
        assert!(told && feed.left_out == 0);
    }
}
