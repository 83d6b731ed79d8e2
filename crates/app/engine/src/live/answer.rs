//! Answers to what the other commands ask of a running Tidewatch.

mod acceptable;

use std::sync::Arc;

use model::approval::Scope;
use model::coverage::Source;
use model::event::Body;
use model::expectation::{Expectation, ExpectationId};
use model::graph::GraphView;
use model::incident::{Change, Closing, IncidentId};
use model::traffic::Endpoint;
use model::untrusted::Untrusted;
use netpol::pods::Pods;
use netpol::suggest::suggest;
use store::storage::Decision;
use triage::expectations::check;

use super::{Engine, Show};
use crate::control::{Answer, Recording, Reply, Request, Unstored};
use crate::fold::CHECKPOINT_VERSION;
use crate::inventory::inventory_view;
use crate::live::answer::acceptable::{Acceptable, acceptable};

impl Engine {
    pub(super) fn answer(&mut self, request: Request, show: &mut dyn Show) -> Reply {
        match request {
            Request::Status => Ok(Answer::Status(Box::new(self.status()))),
            Request::Record => self.start_recording(),
            Request::ApproveRunning { owner, note } => self.approve_running(&owner, &note),
            Request::Approve { scope, owner, note } => self
                .approve(&scope, &owner, &note)
                .map(|approved| Answer::Approved { approved: vec![approved], left_out: Vec::new() }),
            Request::Revoke { id, owner } => self.revoke(id, &owner),
            Request::Expect { expectations } => self.declare(&expectations),
            Request::Unexpect { id, owner } => self.undeclare(&id, &owner),
            Request::Graph => Ok(Answer::Graph(Box::new(self.graph()))),
            Request::Inventory => {
                Ok(Answer::Inventory(Box::new(inventory_view(&self.fold, self.rim.outlet.node()))))
            }
            Request::SuggestPolicy { everything } => Ok(Answer::Policy(self.suggested_policy(everything))),
            Request::Unstored => Ok(Answer::Unstored(Box::new(self.unstored()))),
            Request::Close { ids, all, closing } => self.close(&ids, all, &closing, show),
        }
    }

    fn start_recording(&mut self) -> Reply {
        let checkpoint = serde_json::value::to_raw_value(&self.fold)
            .map_err(|error| format!("the state cannot be written: {error}"))?;
        Ok(Answer::Recording(Box::new(Recording {
            node: self.rim.outlet.node().clone(),
            checkpoint_version: CHECKPOINT_VERSION,
            checkpoint,
            events: self.recorders.start(),
        })))
    }

    /// Approves what every container shows that an engine claims and nothing contradicts: its image by digest, its workload,
    /// its rights, its engines; and who talks to whom.
    fn approve_running(&mut self, owner: &Untrusted, note: &Untrusted) -> Reply {
        let mut scopes = Vec::new();
        let mut left_out = Vec::new();
        for container in self.fold.enrich().containers().filter(|container| container.ended.is_none()) {
            match acceptable(container, &self.fold.state().approvals_about(container)) {
                Acceptable::Whole(all) => scopes.extend(all),
                Acceptable::InPart(some, reason) => {
                    scopes.extend(some);
                    left_out.push(reason);
                }
                Acceptable::Not(reason) => left_out.push(reason),
                Acceptable::NotAsked => {}
            }
        }
        self.add_traffic(&mut scopes, &mut left_out);
        scopes.sort();
        scopes.dedup();
        // All or none.
        self.keeping.keeper.check_approvals(&scopes).map_err(|error| error.to_string())?;
        let approved: Result<Vec<_>, String> =
            scopes.iter().map(|scope| self.approve(scope, owner, note)).collect();
        Ok(Answer::Approved { approved: approved?, left_out })
    }

    /// Who talks to whom.
    fn graph(&self) -> GraphView {
        let containers = self.fold.enrich().containers().map(Arc::as_ref);
        self.fold.state().graph_view(self.rim.outlet.node(), containers)
    }

    /// What was learned of who talks to whom and who serves what; not what something was found about.
    fn add_traffic(&self, scopes: &mut Vec<Scope>, left_out: &mut Vec<String>) {
        let view = self.graph();
        for edge in &view.edges {
            if edge.judges.is_empty() {
                scopes.push(Scope::Edge(edge.key.clone()));
            } else {
                let judges: Vec<String> = edge.judges.iter().map(Untrusted::to_string).collect();
                left_out.push(format!(
                    "{}: found by {}; declare it if it is fine",
                    edge.key,
                    judges.join(", ")
                ));
            }
        }
        for listener in &view.listeners {
            if let Endpoint::Workload(workload) = &listener.workload {
                let (port, protocol) = (listener.port, listener.protocol);
                scopes.push(Scope::Listener { workload: workload.clone(), port, protocol });
            }
        }
    }

    fn approve(
        &mut self,
        scope: &Scope,
        owner: &Untrusted,
        note: &Untrusted,
    ) -> Result<model::approval::Approval, String> {
        let at = self.rim.outlet.now();
        let approval =
            self.keeping.keeper.approve(scope, owner, note, at).map_err(|error| error.to_string())?;
        self.own_aside(Source::Operator, Body::Approved(Box::new(approval.clone())));
        Ok(approval)
    }

    fn revoke(&mut self, id: u64, owner: &Untrusted) -> Reply {
        let at = self.rim.outlet.now();
        match self.keeping.keeper.revoke(id, owner, at).map_err(|error| error.to_string())? {
            Some(approval) => {
                self.own_aside(Source::Operator, Body::Revoked { id: approval.id });
                Ok(Answer::Revoked(Box::new(approval)))
            }
            None => Err(format!("no approval {id} is in force")),
        }
    }

    /// Keeps declared expectations, all or none; checked again, since anybody may be at the other end.
    fn declare(&mut self, wanted: &[Expectation]) -> Reply {
        let now = self.rim.outlet.now();
        for expectation in wanted {
            check(&expectation.subject, &expectation.when, now).map_err(|error| error.to_string())?;
        }
        let kept = self.keeping.keeper.declare(wanted).map_err(|error| error.to_string())?;
        for expectation in &kept {
            self.own_aside(Source::Operator, Body::Expected(Box::new(expectation.clone())));
        }
        Ok(Answer::Expected(kept))
    }

    /// Who talks to whom as network policies; pods are selected by the labels of the containers that run.
    fn suggested_policy(&self, everything: bool) -> String {
        let view = self.graph();
        let containers = self.fold.enrich().containers();
        let known = containers.filter_map(|it| Some((it.workload(), Pods::of(it)?))).collect();
        suggest(&view, &known, everything)
    }

    fn undeclare(&mut self, id: &ExpectationId, owner: &Untrusted) -> Reply {
        let at = self.rim.outlet.now();
        match self.keeping.keeper.undeclare(id, owner, at).map_err(|error| error.to_string())? {
            Some(expectation) => {
                self.own_aside(Source::Operator, Body::Unexpected { id: id.clone() });
                Ok(Answer::Unexpected(Box::new(expectation)))
            }
            None => Err(format!("no expectation {id} is kept")),
        }
    }

    /// Closes what memory holds; what it does not is closed in the store, which says what that was.
    fn close(&mut self, ids: &[IncidentId], all: bool, closing: &Closing, show: &mut dyn Show) -> Reply {
        let closing = Closing { at: self.rim.outlet.now(), ..closing.clone() };
        let open = self.fold.triage().open_incidents().map(|incident| incident.id.clone());
        let mine: Vec<IncidentId> = open.filter(|id| all || ids.contains(id)).collect();
        let others: Vec<IncidentId> = ids.iter().filter(|id| !mine.contains(id)).cloned().collect();
        let asks_store = all || !others.is_empty();
        self.keeping.keeper.check_room(usize::from(asks_store)).map_err(|error| error.to_string())?;
        self.keeping.keeper.forget_closed();
        let mut changes: Vec<Change> = Vec::new();
        for id in mine.iter().chain(&others) {
            let body = Body::Closed { id: id.clone(), closing: closing.clone() };
            changes.extend(self.own(Source::Operator, body));
        }
        self.keep_and_show(changes, show);
        // None means every open one: those that have left the fold's memory are still in the store.
        if asks_store {
            self.keeping.keeper.close(others, closing).map_err(|error| error.to_string())?;
        }
        Ok(Answer::Closed(mine))
    }

    fn unstored(&self) -> Unstored {
        let (incidents, decisions) = self.keeping.keeper.not_stored();
        let mut unstored = Unstored {
            incidents,
            open: self.fold.triage().open_incidents().cloned().collect(),
            reason: self.keeping.keeper.standing().reason,
            ..Unstored::default()
        };
        for decision in decisions {
            match decision {
                Decision::Approve(approval) => unstored.approvals.push(approval),
                Decision::Revoke { approval, .. } => {
                    unstored.approvals.retain(|one| one.id != approval.id);
                    unstored.revoked.push(approval);
                }
                _ => {}
            }
        }
        unstored
    }
}
