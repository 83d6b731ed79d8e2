//! Answers that wait until what was decided is stored, or say that it is not: the decision holds either way.
//!
//! Not here: deciding (`answer.rs`).

use std::time::Instant;

use crossbeam_channel::Sender;
use model::incident::IncidentId;
use store::keeper::SHOWN_AFTER;

use super::{Engine, Show};
use crate::control::{Answer, Reply, Request};

/// An answer that waits.
#[derive(Debug)]
pub(super) struct Deferred {
    /// What has to be stored first.
    number: u64,
    since: Instant,
    reply: Sender<Reply>,
    answer: Answer,
    /// Whether the store is asked to close incidents that memory does not hold.
    asks_store: bool,
}

impl Engine {
    /// Answers a request: at once, or when what it decided is stored.
    pub(super) fn respond(&mut self, request: Request, reply: Sender<Reply>, show: &mut dyn Show) {
        let before = self.keeping.keeper.given();
        let decides = matches!(
            request,
            Request::ApproveRunning { .. }
                | Request::Approve { .. }
                | Request::Revoke { .. }
                | Request::Expect { .. }
                | Request::Unexpect { .. }
                | Request::Close { .. }
        );
        let closes = matches!(request, Request::Close { .. });
        let answer = self.answer(request, show);
        match answer {
            Ok(answer) if decides && self.keeping.keeper.given() > before => {
                let (number, asks_store) = (self.keeping.keeper.given(), closes);
                let since = Instant::now();
                self.keeping.deferred.push(Deferred { number, since, reply, answer, asks_store });
                self.keep_and_show(Vec::new(), show);
            }
            // A client that has gone needs no answer.
            answer => drop(reply.send(answer)),
        }
    }

    /// Sends the answers whose decisions are stored, and those that waited long enough.
    pub(super) fn answer_deferred(&mut self, now: Instant) {
        let reason = self.keeping.keeper.standing().reason;
        for one in std::mem::take(&mut self.keeping.deferred) {
            let is_stored = self.keeping.keeper.is_stored(one.number);
            let is_late = now.saturating_duration_since(one.since) >= SHOWN_AFTER;
            if !is_stored && !is_late && reason.is_empty() {
                self.keeping.deferred.push(one);
                continue;
            }
            let answer = match is_stored {
                true => self.stored_answer(one.answer, one.asks_store),
                false => Ok(not_stored(one.answer, &reason)),
            };
            // A client that has gone needs no answer.
            drop(one.reply.send(answer));
        }
    }

    /// The answer, with the numbers that the store keeps approvals under, and what it closed besides.
    fn stored_answer(&self, mut answer: Answer, asked_store: bool) -> Reply {
        if let Answer::Approved { approved, .. } = &mut answer {
            approved.iter_mut().for_each(|approval| approval.id = self.keeping.keeper.number(approval.id));
        }
        let Answer::Closed(mut closed) = answer else { return Ok(answer) };
        let besides = self.keeping.keeper.closed();
        if asked_store {
            closed.extend(besides.closed.iter().cloned());
            if let Some(unknown) = besides.unknown.first() {
                return Err(unknown_incident(unknown, &closed));
            }
        }
        closed.sort();
        closed.dedup();
        Ok(Answer::Closed(closed))
    }
}

fn not_stored(answer: Answer, reason: &str) -> Answer {
    let reason = if reason.is_empty() { "the store has not answered" } else { reason };
    Answer::NotStored { answer: Box::new(answer), reason: reason.to_owned() }
}

fn unknown_incident(id: &IncidentId, closed: &[IncidentId]) -> String {
    let closed: Vec<&str> = closed.iter().map(IncidentId::as_str).collect();
    match closed.is_empty() {
        true => format!("no open incident {id}"),
        false => format!("no open incident {id}; closed {}", closed.join(", ")),
    }
}
