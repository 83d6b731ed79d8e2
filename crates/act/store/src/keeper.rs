//! The store as the fold uses it: decisions and changes are taken at once, kept in memory, and stored by a thread of its own.
//! Nothing here waits for a disk.
//!
//! Not here: a store (`place.rs` opens one), and what is shown to whom: the keeper says of each change whether it is stored.

mod authority;
mod waiting;
mod worker;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use model::approval::{Approval, Scope};
use model::expectation::{Expectation, ExpectationChange, ExpectationId};
use model::incident::{Change, Closing, Incident, IncidentId};
use model::integrity::Integrity;
use model::time::Time;
use model::untrusted::Untrusted;

use crate::error::StoreError;
use crate::keeper::authority::Authority;
use crate::keeper::waiting::Waiting;
use crate::storage::{Batch, Contents, Decision, Kept, Opener};

pub use crate::keeper::worker::Heartbeat;

/// A change that is not stored by then is shown as not stored.
pub const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// A store that has kept nothing for that long is reported; a busy disk takes a second now and then.
pub const REPORTED_AFTER: Duration = Duration::from_secs(3);

/// How long a batch that failed waits before it is tried again.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Decisions that may wait for a store; more are refused.
pub const DECISIONS_MAX: usize = 20_000;

/// Approvals that are numbered before the store has said which numbers are taken begin above this.
const PROVISIONAL: u64 = 1_000_000_000;

/// A batch on its way to the store's thread.
#[derive(Debug)]
pub(crate) struct Job {
    batch: Arc<Batch>,
}

/// What the store's thread reports.
#[derive(Debug)]
pub enum News {
    /// A store was opened, or could only be read.
    Opened(Box<Opened>),
    /// The batch is stored.
    Kept(Kept),
    /// The batch is not stored, and why.
    Failed(String),
    /// The store was looked after: what was noticed, and whether room is held.
    Tended(Vec<Integrity>, bool),
}

/// What was found when a store was opened.
#[derive(Debug)]
pub struct Opened {
    /// What it holds.
    pub contents: Contents,
    /// What was noticed.
    pub notes: Vec<Integrity>,
    /// Why it cannot be written; empty when it can.
    pub problem: String,
}

/// What a report of the store's thread led to.
#[derive(Debug, Default)]
pub struct Taken {
    /// Changes that are stored now, to be shown.
    pub stored: Vec<Change>,
    /// A store was opened: what it holds has to be taken up.
    pub opened: Option<Box<Opened>>,
    /// What was noticed.
    pub notes: Vec<Integrity>,
    /// Approvals in force that the store keeps under another number: the one given, and the approval as kept.
    pub renumbered: Vec<(u64, Approval)>,
}

/// How the store is, for `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Incidents, decisions and expectations that wait to be stored.
    pub waiting: u64,
    /// Incidents and expectations that were given up because too many waited, and whatever the store refused.
    pub dropped: u64,
    /// Why nothing is stored; empty while all is well.
    pub reason: String,
    /// Whether room is held for a disk that is full.
    pub has_reserve: bool,
}

/// The fold's side of the store.
#[derive(Debug)]
pub struct Keeper {
    jobs: Sender<Job>,
    news: Receiver<News>,
    authority: Authority,
    waiting: Waiting,
    in_flight: Option<Flight>,
    /// When the batch that failed last is tried again.
    retry: Option<Instant>,
    /// Since when nothing could be stored.
    failing_since: Option<Instant>,
    reason: String,
    is_reported: bool,
    has_reserve: bool,
    /// Numbers what is to be stored, and how far the store got: an answer waits for its number.
    given: u64,
    stored: u64,
    /// What the last batch with a closing in it led to.
    closed: Kept,
}

#[derive(Debug)]
struct Flight {
    batch: Arc<Batch>,
    taken: Waiting,
    since: Instant,
    through: u64,
}

impl Keeper {
    /// Starts the store's thread, which opens the store first.
    pub fn start(opener: Box<dyn Opener>, heartbeat: Heartbeat) -> Result<Self, StoreError> {
        // One batch is on its way at a time, so neither side ever waits for the other.
        let (jobs, jobs_received) = bounded(1);
        let (news_sent, news) = bounded(64);
        worker::spawn(opener, jobs_received, news_sent, heartbeat)
            .map_err(StoreError::io(std::path::Path::new("the store's thread")))?;
        Ok(Self {
            jobs,
            news,
            authority: Authority::numbered_above(PROVISIONAL),
            waiting: Waiting::default(),
            in_flight: None,
            retry: None,
            failing_since: None,
            reason: String::new(),
            is_reported: false,
            has_reserve: false,
            given: 0,
            stored: 0,
            closed: Kept::default(),
        })
    }

    /// Where the store's thread reports; each report goes to [`Keeper::take`].
    pub fn news(&self) -> &Receiver<News> {
        &self.news
    }

    /// Takes a change of an incident.
    pub fn add_incident(&mut self, change: Change, now: Instant) {
        self.given += 1;
        self.waiting.add_incident(change, now);
    }

    /// Takes what was learned to expect, or explained.
    pub fn add_expectation(&mut self, change: ExpectationChange) {
        self.given += 1;
        self.authority.learned(&change);
        self.waiting.add_expectation(change);
    }

    /// Notes that the run is alive.
    pub fn beat(&mut self, at: Time) {
        self.waiting.beat = Some(at);
    }

    /// Refuses scopes that could not all be approved: too many approvals in force, or too many decisions that wait. Scopes
    /// that are approved already cost nothing.
    pub fn check_approvals<'a>(&self, scopes: impl IntoIterator<Item = &'a Scope>) -> Result<(), StoreError> {
        let new: Vec<&Scope> =
            scopes.into_iter().filter(|scope| self.authority.in_force(scope).is_none()).collect();
        self.authority.check_new(&new)?;
        self.check_room(new.len())
    }

    /// Refuses decisions for which there is no room. It comes before a decision is applied, here and by the caller.
    pub fn check_room(&self, decisions: usize) -> Result<(), StoreError> {
        let in_flight = self.in_flight.as_ref().map_or(0, |flight| flight.batch.decisions.len());
        match self.waiting.decisions.len() + in_flight + decisions > DECISIONS_MAX {
            true if decisions > 0 => Err(StoreError::TooManyDecisions { limit: DECISIONS_MAX }),
            _ => Ok(()),
        }
    }

    /// Approves a scope; when it is approved already, gives the approval in force and changes nothing.
    pub fn approve(
        &mut self,
        scope: &Scope,
        owner: &Untrusted,
        note: &Untrusted,
        at: Time,
    ) -> Result<Approval, StoreError> {
        if let Some(in_force) = self.authority.in_force(scope) {
            return Ok(in_force.clone());
        }
        self.check_approvals([scope])?;
        let approval = self.authority.approve(scope, owner, note, at);
        self.decide(Decision::Approve(approval.clone()));
        Ok(approval)
    }

    /// Takes an approval back and gives it; `None` when none of that number is in force.
    pub fn revoke(&mut self, id: u64, owner: &Untrusted, at: Time) -> Result<Option<Approval>, StoreError> {
        let id = self.number(id);
        self.check_room(usize::from(self.authority.has_approval(id)))?;
        let Some(approval) = self.authority.revoke(id) else { return Ok(None) };
        self.decide(Decision::Revoke { approval: approval.clone(), owner: owner.clone(), at });
        Ok(Some(approval))
    }

    /// Takes expectations, all or none; gives each as it is in force.
    pub fn declare(&mut self, wanted: &[Expectation]) -> Result<Vec<Expectation>, StoreError> {
        let declared = self.authority.place(wanted)?;
        self.check_room(declared.new.len())?;
        self.authority.declare(&declared.new);
        declared.new.into_iter().for_each(|new| self.decide(Decision::Declare(new)));
        Ok(declared.kept)
    }

    /// Takes an expectation back and gives it; `None` when none of that name is in force.
    pub fn undeclare(
        &mut self,
        id: &ExpectationId,
        owner: &Untrusted,
        at: Time,
    ) -> Result<Option<Expectation>, StoreError> {
        self.check_room(usize::from(self.authority.has_expectation(id)))?;
        let Some(expectation) = self.authority.undeclare(id) else { return Ok(None) };
        // What was about to be kept of it must not bring it back.
        self.waiting.forget_expectation(id);
        self.decide(Decision::Undeclare { expectation: expectation.clone(), owner: owner.clone(), at });
        Ok(Some(expectation))
    }

    /// Forgets what earlier closings led to.
    pub fn forget_closed(&mut self) {
        self.closed = Kept::default();
    }

    /// Closes incidents that are in the store alone; none closes every open one.
    pub fn close(&mut self, ids: Vec<IncidentId>, closing: Closing) -> Result<(), StoreError> {
        self.check_room(1)?;
        self.decide(Decision::Close { ids, closing });
        Ok(())
    }

    /// What the last closing of incidents in the store led to.
    pub fn closed(&self) -> &Kept {
        &self.closed
    }

    fn decide(&mut self, decision: Decision) {
        self.given += 1;
        self.waiting.decisions.push(decision);
    }

    /// The number of what was taken last; [`Keeper::is_stored`] says when it is stored.
    pub fn given(&self) -> u64 {
        self.given
    }

    /// Whether everything up to that number is stored.
    pub fn is_stored(&self, number: u64) -> bool {
        self.stored >= number
    }

    /// Hands what waits to the store's thread, unless it is still busy or failed just now. Never waits.
    pub fn hand_over(&mut self, now: Instant) {
        let is_due = self.retry.is_none_or(|retry| retry <= now);
        if self.in_flight.is_some() || !is_due || self.waiting.is_empty() {
            return;
        }
        self.retry = None;
        let taken = std::mem::take(&mut self.waiting);
        self.waiting.dropped = taken.dropped;
        let batch = Arc::new(taken.batch());
        match self.jobs.try_send(Job { batch: Arc::clone(&batch) }) {
            Ok(()) => {
                self.in_flight = Some(Flight { batch, taken, since: now, through: self.given });
            }
            // The thread has ended by a bug of ours: everything stays in memory.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.waiting.put_back(taken);
                self.fail("the store's thread has ended".to_owned(), now);
            }
        }
    }

    /// Takes a report of the store's thread.
    pub fn take(&mut self, news: News, now: Instant) -> Taken {
        let mut taken = Taken::default();
        match news {
            News::Kept(kept) => {
                taken.notes.extend(self.refused(&kept.refused));
                taken.renumbered = self.renumbered(&kept.renumbered);
                taken.stored = self.kept(kept);
            }
            News::Failed(reason) => {
                if let Some(flight) = self.in_flight.take() {
                    self.waiting.put_back(flight.taken);
                }
                self.retry = Some(now + TRIED_AGAIN_AFTER);
                self.fail(reason, now);
            }
            News::Tended(notes, has_reserve) => {
                self.has_reserve = has_reserve;
                taken.notes = notes;
            }
            News::Opened(opened) => {
                if !opened.problem.is_empty() {
                    self.fail(opened.problem.clone(), now);
                }
                taken.opened = Some(opened);
            }
        }
        taken
    }

    fn kept(&mut self, kept: Kept) -> Vec<Change> {
        let Some(flight) = self.in_flight.take() else { return Vec::new() };
        self.stored = self.stored.max(flight.through);
        if flight.batch.decisions.iter().any(|decision| matches!(decision, Decision::Close { .. })) {
            self.closed = kept;
        }
        self.failing_since = None;
        self.reason.clear();
        flight.taken.into_stored().collect()
    }

    fn renumbered(&mut self, kept: &[(u64, Approval)]) -> Vec<(u64, Approval)> {
        kept.iter().filter(|(given, approval)| self.authority.renumber(*given, approval)).cloned().collect()
    }

    /// The number that an approval has now, given one that an operator was given.
    pub fn number(&self, id: u64) -> u64 {
        self.authority.number(id)
    }

    /// Counts what the store refused for good, and reports it.
    fn refused(&mut self, reasons: &[Untrusted]) -> Option<Integrity> {
        let first = reasons.first()?.clone();
        self.waiting.dropped += reasons.len() as u64;
        let (what, dropped) = ("some changes".into(), self.waiting.dropped);
        Some(Integrity::NotStored { what, waiting: 0, dropped, reason: first })
    }

    fn fail(&mut self, reason: String, now: Instant) {
        self.failing_since.get_or_insert(now);
        self.reason = reason;
    }

    /// Takes up what a store holds that was opened: gives what memory did not know yet. What memory knows and the store
    /// does not is stored again.
    pub fn take_up(&mut self, contents: &Contents, open: &BTreeSet<IncidentId>, now: Instant) -> TakenUp {
        let flight = self.in_flight.as_ref().map(|flight| flight.batch.decisions.as_slice());
        let undecided: Vec<Decision> =
            flight.unwrap_or_default().iter().chain(&self.waiting.decisions).cloned().collect();
        let merged = self.authority.merge(contents, &undecided);
        self.waiting.decisions.extend(merged.missing);
        let kept: BTreeSet<&IncidentId> = contents.open.rows.iter().map(|incident| &incident.id).collect();
        let lost = open.iter().filter(|id| !kept.contains(id)).cloned().collect();
        if !self.waiting.is_empty() {
            self.given += 1;
            self.retry = Some(now);
        }
        TakenUp { approvals: merged.approvals, expectations: merged.expectations, lost }
    }

    /// Changes that are to be shown although they are not stored: those that waited long enough.
    pub fn overdue(&mut self, now: Instant) -> Vec<Change> {
        let is_late = |since: Instant| now.saturating_duration_since(since) >= SHOWN_AFTER;
        let hangs = self.in_flight.as_ref().filter(|flight| is_late(flight.since)).map(|flight| flight.since);
        if let Some(since) = hangs {
            self.fail("the store has not answered".to_owned(), since);
        }
        let is_failing = self.failing_since.is_some();
        self.unshown(|since| is_failing || is_late(since))
    }

    /// That nothing can be stored, or that all is stored again; each once.
    pub fn report(&mut self, now: Instant) -> Option<Integrity> {
        let since = self.failing_since;
        let is_failing = since.is_some_and(|since| now.saturating_duration_since(since) >= REPORTED_AFTER);
        if is_failing == self.is_reported || (since.is_some() && !is_failing) {
            return None;
        }
        self.is_reported = is_failing;
        let Standing { waiting, dropped, reason, .. } = self.standing();
        let what = Untrusted::new("incidents");
        Some(match is_failing {
            true => Integrity::NotStored { what, waiting, dropped, reason: Untrusted::new(&reason) },
            false => Integrity::StoredAgain { what },
        })
    }

    /// How the store is.
    pub fn standing(&self) -> Standing {
        let in_flight = self.in_flight.as_ref().map_or(0, |flight| flight.taken.len());
        Standing {
            waiting: in_flight + self.waiting.len(),
            dropped: self.waiting.dropped,
            reason: self.reason.clone(),
            has_reserve: self.has_reserve,
        }
    }

    /// Whether a change of that incident waits.
    pub fn has_waiting(&self, id: &IncidentId) -> bool {
        self.waiting.has(id) || self.in_flight.as_ref().is_some_and(|flight| flight.taken.has(id))
    }

    /// Incidents and decisions that are not stored, the incidents as they are now.
    pub fn not_stored(&self) -> (Vec<Incident>, Vec<Decision>) {
        let flight = self.in_flight.as_ref();
        let mut incidents: Vec<Incident> = flight.map(|it| it.taken.incidents()).unwrap_or_default();
        let newer = self.waiting.incidents();
        incidents.retain(|old| newer.iter().all(|new| new.id != old.id));
        incidents.extend(newer);
        let decisions = flight.map(|flight| flight.batch.decisions.as_slice()).unwrap_or_default();
        (incidents, decisions.iter().chain(&self.waiting.decisions).cloned().collect())
    }

    /// Ends the run: hands over what waits and waits for the store, but not longer than `patience`. The store's thread is
    /// left alone when it does not return.
    pub fn end(mut self, at: Time, patience: Duration) -> Ended {
        let deadline = Instant::now() + patience;
        let mut stored = Vec::new();
        self.retry = None;
        self.waiting.ends_run = true;
        self.beat(at);
        self.hand_over(Instant::now());
        while let Ok(news) = self.news.recv_deadline(deadline) {
            let has_failed = matches!(news, News::Failed(_));
            stored.extend(self.take(news, Instant::now()).stored);
            self.retry = None;
            if has_failed || (self.waiting.is_empty() && self.in_flight.is_none()) {
                break;
            }
            self.hand_over(Instant::now());
        }
        let is_whole = self.waiting.is_empty() && self.in_flight.is_none();
        Ended { stored, unstored: self.unshown(|_| true), is_whole }
    }

    /// Changes that are not stored, are due and were not shown yet, which they are from now on.
    fn unshown(&mut self, is_due: impl Fn(Instant) -> bool) -> Vec<Change> {
        let in_flight = self.in_flight.as_mut().map(|flight| flight.taken.show(&is_due));
        let mut due = in_flight.unwrap_or_default();
        due.extend(self.waiting.show(&is_due));
        due
    }
}

/// What the end of a run led to.
#[derive(Debug, Default)]
pub struct Ended {
    /// Changes that are stored now, to be shown.
    pub stored: Vec<Change>,
    /// Changes that are not stored and were not shown yet, to be shown with the mark.
    pub unstored: Vec<Change>,
    /// Whether everything is stored, and the end of the run with it.
    pub is_whole: bool,
}

/// What a store that was opened added to what memory knew.
#[derive(Debug)]
pub struct TakenUp {
    /// Approvals in force that memory did not know.
    pub approvals: Vec<Approval>,
    /// Expectations that memory did not know.
    pub expectations: Vec<Expectation>,
    /// Open incidents of memory that the store does not hold: they have to be added again.
    pub lost: Vec<IncidentId>,
}

#[cfg(test)]
mod tests;
