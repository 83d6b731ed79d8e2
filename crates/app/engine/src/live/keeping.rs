//! Storing: what changed goes to the store's thread and is shown when it is stored, or marked when that takes too long.
//!
//! Not here: the thread and what waits for it (`store::keeper`), and answers that wait (`deferred.rs`).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use model::coverage::Source;
use model::event::Body;
use model::incident::{Change, ChangeKind, IncidentId};
use model::integrity::Integrity;
use model::time::Time;
use model::untrusted::Untrusted;
use store::journal::feed::JournalFeed;
use store::keeper::{Keeper, News, Opened};
use store::place::Claim;
use store::run::LastRun;

use super::deferred::Deferred;
use super::{Engine, Notice, Show};
use crate::status::StoreStatus;

/// Ticks between two signs of life in the store, and between two flushes of the journal.
const BEAT_TICKS: u64 = 4;
const FLUSH_TICKS: u64 = 2;

/// How long a start waits for the store; without it the run begins with nothing known, and takes it up later.
const OPENED_WITHIN: Duration = Duration::from_secs(3);

/// How long the end of a run waits for the store, and for the journal.
const ENDED_WITHIN: Duration = Duration::from_secs(2);

/// The store, the journal, and answers that wait for them.
#[derive(Debug)]
pub(super) struct Keeping {
    _claim: Claim,
    pub(super) keeper: Keeper,
    pub(super) journal: JournalFeed,
    pub(super) deferred: Vec<Deferred>,
    /// Whether the last run was taken up.
    is_taken_up: bool,
}

impl Keeping {
    pub(super) fn new(claim: Claim, keeper: Keeper, journal: JournalFeed) -> Self {
        Self { _claim: claim, keeper, journal, deferred: Vec::new(), is_taken_up: false }
    }

    /// Stores what waits, as far as that is possible in a moment.
    pub(super) fn end(self, at: Time, show: &mut dyn Show) {
        let ended = self.keeper.end(at, ENDED_WITHIN);
        if !ended.stored.is_empty() {
            show.show(Notice::Changed(ended.stored));
        }
        if !ended.unstored.is_empty() {
            show.show(Notice::NotStored(ended.unstored));
        }
        if !ended.is_whole {
            tracing::error!("the store did not take the last changes, nor the end of this run");
        }
        if !self.journal.end(ENDED_WITHIN) {
            tracing::error!("the last events were not written to the journal");
        }
    }
}

impl Engine {
    /// Waits for the store at a start, but not for one that hangs.
    pub(super) fn await_store(&mut self) {
        let deadline = Instant::now() + OPENED_WITHIN;
        while !self.keeping.is_taken_up {
            let Ok(news) = self.keeping.keeper.news().recv_deadline(deadline) else { break };
            let taken = self.keeping.keeper.take(news, Instant::now());
            let changes = taken.opened.map(|opened| self.take_up(*opened)).unwrap_or_default();
            let now = Instant::now();
            changes.into_iter().for_each(|change| self.keeping.keeper.add_incident(change, now));
        }
        if !self.keeping.is_taken_up {
            tracing::error!("the store does not answer: the run begins without what it holds");
        }
    }

    /// Hands changes to the store, and shows those that waited long enough for it. Never waits.
    pub(super) fn keep_and_show(&mut self, changes: Vec<Change>, show: &mut dyn Show) {
        let now = Instant::now();
        let keeper = &mut self.keeping.keeper;
        let aside = std::mem::take(&mut self.aside);
        aside.into_iter().chain(changes).for_each(|change| keeper.add_incident(change, now));
        keeper.hand_over(now);
        let overdue = keeper.overdue(now);
        if !overdue.is_empty() {
            show.show(Notice::NotStored(overdue));
        }
        self.answer_deferred(now);
    }

    /// Takes a report of the store's thread.
    pub(super) fn take_news(&mut self, news: News, show: &mut dyn Show) {
        let taken = self.keeping.keeper.take(news, Instant::now());
        if !taken.stored.is_empty() {
            show.show(Notice::Changed(taken.stored));
        }
        let mut changes = taken.opened.map(|opened| self.take_up(*opened)).unwrap_or_default();
        taken.notes.into_iter().for_each(|note| changes.extend(self.note(note)));
        for (given, approval) in taken.renumbered {
            // In this order it is in force at every moment.
            changes.extend(self.own(Source::Operator, Body::Approved(Box::new(approval))));
            changes.extend(self.own(Source::Operator, Body::Revoked { id: given }));
        }
        self.keep_and_show(changes, show);
    }

    /// Notes a sign of life, has the journal written, and reports what is not stored.
    pub(super) fn tend_store(&mut self, show: &mut dyn Show) -> Vec<Change> {
        if self.ticks.is_multiple_of(BEAT_TICKS) {
            self.keeping.keeper.beat(self.rim.outlet.now());
        }
        if self.ticks.is_multiple_of(FLUSH_TICKS) {
            self.keeping.journal.flush();
        }
        let mut notes = self.keeping.journal.notes();
        notes.extend(self.keeping.keeper.report(Instant::now()));
        let changes = notes.into_iter().flat_map(|note| self.note(note)).collect();
        let trouble = self.store_trouble();
        self.note_trouble(Some(trouble), show);
        changes
    }

    fn note(&mut self, fact: Integrity) -> Vec<Change> {
        self.own(Source::Engine, Body::Integrity(Box::new(fact)))
    }

    /// What is not stored and why, in a sentence; empty while all is well.
    fn store_trouble(&self) -> String {
        let standing = self.keeping.keeper.standing();
        let journal = self.keeping.journal.standing().reason;
        let mut parts = Vec::new();
        if !standing.reason.is_empty() {
            parts.push(format!("not stored: {}", standing.reason));
        }
        if !journal.is_empty() {
            parts.push(format!("the journal loses events: {journal}"));
        }
        parts.join("; ")
    }

    pub(super) fn store_status(&self) -> StoreStatus {
        let standing = self.keeping.keeper.standing();
        let journal = self.keeping.journal.standing();
        StoreStatus {
            stored: standing.reason.is_empty(),
            waiting: standing.waiting,
            dropped: standing.dropped,
            reason: Untrusted::new(&standing.reason),
            has_reserve: standing.has_reserve,
            journal_lost: journal.lost,
            journal_reason: Untrusted::new(&journal.reason),
            journal_foreign: journal.foreign,
        }
    }

    /// What a store holds that was opened: the gap since the last run, approvals, expectations, open incidents, attacks. All
    /// of it as events, so that a recording holds it.
    fn take_up(&mut self, opened: Opened) -> Vec<Change> {
        let Opened { contents, notes, problem } = opened;
        if !problem.is_empty() {
            tracing::error!(%problem, "the store cannot be written");
        }
        let problems = contents.approvals.problems.iter().chain(&contents.expectations.problems);
        for problem in problems.chain(&contents.open.problems).chain(&contents.attacks.problems) {
            tracing::error!(%problem, "a stored row cannot be read and is left out");
        }
        let mut changes = Vec::new();
        let is_first = !std::mem::replace(&mut self.keeping.is_taken_up, true);
        if is_first {
            self.take_up_last_run(&contents.last_run);
        }
        let open: BTreeSet<IncidentId> =
            self.fold.triage().open_incidents().map(|incident| incident.id.clone()).collect();
        let taken = self.keeping.keeper.take_up(&contents, &open, Instant::now());
        for approval in taken.approvals {
            changes.extend(self.own(Source::Operator, Body::Approved(Box::new(approval))));
        }
        let now = self.since;
        for expectation in taken.expectations.into_iter().filter(|one| !one.is_expired(now)) {
            changes.extend(self.own(Source::Operator, Body::Expected(Box::new(expectation))));
        }
        for incident in contents.open.rows.into_iter().chain(contents.attacks.rows) {
            if !open.contains(&incident.id) && !self.keeping.keeper.has_waiting(&incident.id) {
                changes.extend(self.own(Source::Engine, Body::Restored(Box::new(incident))));
            }
        }
        let lost = self.fold.triage().open_incidents().filter(|incident| taken.lost.contains(&incident.id));
        changes.extend(lost.cloned().map(|incident| Change { kind: ChangeKind::Updated, incident }));
        // After what is restored, which it may be one more finding of.
        let killed = contents.last_run.killed(&self.boot_id).filter(|_| is_first);
        killed.into_iter().chain(notes).for_each(|note| changes.extend(self.note(note)));
        changes
    }

    /// When this host was first looked at, and the gap since the last run.
    fn take_up_last_run(&mut self, last: &LastRun) {
        self.own_aside(Source::Engine, Body::FirstLook { at: last.first_look(self.since) });
        if let Some(last) = last.last_beat {
            self.own_aside(Source::Engine, Body::Resumed { last });
        }
    }
}
