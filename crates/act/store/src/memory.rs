//! A store that keeps nothing: for replaying a recording, and for tests of what uses a store.

use std::collections::BTreeMap;

use model::approval::{APPROVALS_MAX, Approval, Scope};
use model::expectation::{Expectation, ExpectationChange, ExpectationId, Tally};
use model::incident::{Change, Incident, IncidentId, State};
use model::time::Time;
use model::untrusted::Untrusted;

use crate::audit::{Act, AuditEntry, Chain, StoredEntry};
use crate::error::StoreError;
use crate::expectation_store::{EXPIRED_KEPT, ExpectationStore, place};
use crate::incident_store::{
    ATTACKS_MAX, INCIDENTS_MAX, IncidentQuery, IncidentStore, Loaded, check_scope, is_attack, scope_key,
};
use crate::stored;

/// Incidents, approvals, expectations and the audit trail in memory.
pub struct MemoryStore {
    incidents: Vec<Incident>,
    incidents_max: usize,
    incidents_dropped: u64,
    /// In force, oldest first, each with the key of its scope.
    approvals: Vec<(String, Approval)>,
    approvals_given: u64,
    audit: Vec<StoredEntry>,
    expectations: Vec<Expectation>,
    tallies: BTreeMap<ExpectationId, Tally>,
    last_beat: Option<Time>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_incidents_max(INCIDENTS_MAX)
    }
}

impl MemoryStore {
    /// An empty store with another limit than [`INCIDENTS_MAX`].
    pub fn with_incidents_max(incidents_max: usize) -> Self {
        Self {
            incidents: Vec::new(),
            incidents_max,
            incidents_dropped: 0,
            approvals: Vec::new(),
            approvals_given: 0,
            audit: Vec::new(),
            expectations: Vec::new(),
            tallies: BTreeMap::new(),
            last_beat: None,
        }
    }

    fn append(&mut self, act: &Act) {
        let last = self.audit.last().map(|entry| (entry.id, entry.hash.as_str()));
        let entry = StoredEntry::after(last, act);
        self.audit.push(entry);
    }

    fn put(&mut self, change: &Change) {
        let kept = self.incidents.iter_mut().find(|kept| kept.id == change.incident.id);
        let was_closed = kept.as_ref().is_some_and(|kept| kept.state == State::Closed);
        match kept {
            Some(kept) => kept.clone_from(&change.incident),
            None => self.incidents.push(change.incident.clone()),
        }
        if let Some(act) = Act::close(change).filter(|_| !was_closed) {
            self.append(&act);
        }
    }

    fn put_expectation(&mut self, expectation: &Expectation) -> Result<(), StoreError> {
        stored::encode_expectation(expectation)?;
        self.expectations.retain(|kept| kept.id != expectation.id);
        self.expectations.push(expectation.clone());
        self.expectations.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(())
    }

    fn remove_expectation(&mut self, id: &ExpectationId) -> Option<Expectation> {
        self.tallies.remove(id);
        let place = self.expectations.iter().position(|kept| kept.id == *id)?;
        Some(self.expectations.remove(place))
    }

    fn trim_expired(&mut self, now: Time) {
        let mut expired: Vec<(Time, ExpectationId)> = self
            .expectations
            .iter()
            .filter(|kept| kept.is_expired(now))
            .filter_map(|kept| Some((kept.expires?, kept.id.clone())))
            .collect();
        expired.sort_by(|a, b| b.cmp(a));
        for (_, id) in expired.iter().skip(EXPIRED_KEPT) {
            self.remove_expectation(id);
        }
    }

    fn trim(&mut self) {
        let excess = self.incidents.len().saturating_sub(self.incidents_max);
        if excess > 0 {
            self.incidents.sort_by_cached_key(|incident| {
                (incident.state == State::Open, incident.severity, incident.updated, incident.id.clone())
            });
            self.incidents.drain(..excess);
            self.incidents_dropped += excess as u64;
        }
    }
}

impl IncidentStore for MemoryStore {
    fn record(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        // All or nothing, like a transaction: what another store could not write is refused before anything is kept.
        changes.iter().try_for_each(|change| stored::encode(&change.incident).map(drop))?;
        changes.iter().for_each(|change| self.put(change));
        self.trim();
        Ok(())
    }

    fn incidents(&self, query: &IncidentQuery) -> Result<Loaded<Incident>, StoreError> {
        let (since, until) = query.window();
        let within = |at: Time| (since..=until).contains(&at);
        let mut wanted: Vec<&Incident> = self
            .incidents
            .iter()
            .filter(|incident| query.include_closed || incident.state == State::Open)
            .filter(|incident| within(incident.opened) || within(incident.updated))
            .collect();
        wanted.sort_by(|a, b| (b.opened, &b.id).cmp(&(a.opened, &a.id)));
        Ok(Loaded::collect(wanted.into_iter().take(query.limit).cloned().map(Ok)))
    }

    fn incident(&self, id: &IncidentId) -> Result<Option<Incident>, StoreError> {
        Ok(self.incidents.iter().find(|incident| incident.id == *id).cloned())
    }

    fn attacks(&self) -> Result<Loaded<Incident>, StoreError> {
        let mut attacks: Vec<&Incident> =
            self.incidents.iter().filter(|incident| is_attack(incident)).collect();
        attacks.sort_by(|a, b| (b.opened, &b.id).cmp(&(a.opened, &a.id)));
        Ok(Loaded::collect(attacks.into_iter().take(ATTACKS_MAX).cloned().map(Ok)))
    }

    fn incidents_dropped(&self) -> Result<u64, StoreError> {
        Ok(self.incidents_dropped)
    }

    fn approve(
        &mut self,
        scope: &Scope,
        owner: &Untrusted,
        note: &Untrusted,
        at: Time,
    ) -> Result<Approval, StoreError> {
        check_scope(scope)?;
        let key = scope_key(scope);
        if let Some((_, in_force)) = self.approvals.iter().find(|(known, _)| *known == key) {
            return Ok(in_force.clone());
        }
        if self.approvals.len() >= APPROVALS_MAX {
            return Err(StoreError::TooManyApprovals { limit: APPROVALS_MAX });
        }
        self.approvals_given += 1;
        let (scope, owner, note) = (scope.clone(), owner.clone(), note.clone());
        let approval = Approval { id: self.approvals_given, scope, owner, at, note };
        self.append(&Act::approve(&approval));
        self.approvals.push((key, approval.clone()));
        Ok(approval)
    }

    fn revoke(&mut self, id: u64, owner: &Untrusted, at: Time) -> Result<Option<Approval>, StoreError> {
        let Some(place) = self.approvals.iter().position(|(_, approval)| approval.id == id) else {
            return Ok(None);
        };
        let (_, approval) = self.approvals.remove(place);
        self.append(&Act::revoke(&approval, owner, at));
        Ok(Some(approval))
    }

    fn approvals(&self) -> Result<Loaded<Approval>, StoreError> {
        Ok(Loaded::collect(self.approvals.iter().map(|(_, approval)| Ok(approval.clone()))))
    }

    fn audit(&self, limit: usize) -> Result<Loaded<AuditEntry>, StoreError> {
        Ok(Loaded::collect(self.audit.iter().rev().take(limit).cloned().map(StoredEntry::open)))
    }

    fn verify_audit(&self) -> Result<u64, StoreError> {
        let mut chain = Chain::default();
        self.audit.iter().try_for_each(|entry| chain.follow(entry))?;
        chain.finish(self.audit.len() as u64)
    }

    fn beat(&mut self, at: Time) -> Result<(), StoreError> {
        self.last_beat = Some(at);
        Ok(())
    }

    fn last_beat(&self) -> Result<Option<Time>, StoreError> {
        Ok(self.last_beat)
    }
}

impl ExpectationStore for MemoryStore {
    fn declare(&mut self, wanted: &[Expectation]) -> Result<Vec<Expectation>, StoreError> {
        let declared = place(self.expectations.clone(), wanted)?;
        declared.new.iter().try_for_each(|new| stored::encode_expectation(new).map(drop))?;
        for new in &declared.new {
            self.put_expectation(new)?;
            self.append(&Act::expect(new));
        }
        declared
            .new
            .iter()
            .map(|new| new.created)
            .max()
            .into_iter()
            .for_each(|latest| self.trim_expired(latest));
        Ok(declared.kept)
    }

    fn undeclare(
        &mut self,
        id: &ExpectationId,
        owner: &Untrusted,
        at: Time,
    ) -> Result<Option<Expectation>, StoreError> {
        let removed = self.remove_expectation(id);
        if let Some(expectation) = &removed {
            self.append(&Act::unexpect(expectation, owner, at));
        }
        Ok(removed)
    }

    fn record_expectations(&mut self, changes: &[ExpectationChange]) -> Result<(), StoreError> {
        for change in changes {
            match change {
                ExpectationChange::Learned(expectation) => {
                    self.put_expectation(expectation)?;
                    expectation.expires.into_iter().for_each(|expires| self.trim_expired(expires));
                }
                ExpectationChange::Dropped { id } => drop(self.remove_expectation(id)),
                ExpectationChange::Explained { id, at, count, sentence } => {
                    self.tallies.entry(id.clone()).or_default().add(*at, *count, sentence);
                }
            }
        }
        Ok(())
    }

    fn expectations(&self) -> Result<Loaded<Expectation>, StoreError> {
        Ok(Loaded::collect(self.expectations.iter().cloned().map(Ok)))
    }

    fn tallies(&self) -> Result<BTreeMap<ExpectationId, Tally>, StoreError> {
        Ok(self.tallies.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryStore;
    use crate::contract;

    #[test]
    fn the_store_in_memory_keeps_the_contract() {
        contract::check(MemoryStore::with_incidents_max);
    }
}
