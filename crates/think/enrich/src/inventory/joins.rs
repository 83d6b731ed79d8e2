//! Joins what engines claim with what the kernel shows, whichever came first, and takes back what they no longer claim.
//!
//! Not here: comparing claims (`tally.rs`).

use std::sync::Arc;

use model::fact::Fact;
use model::identity::{Container, Kind, News};
use model::ids::CgroupId;
use model::runtime::{ContainerFacts, RunState};
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::View;

use super::{Inventory, OTHERS_MAX, START_DOUBT, kind_of};
use crate::CLAIM_WAIT;
use crate::cgroup_path::{Suggests, read};
use crate::claims::{ClaimKey, key_of, rank};
use crate::tally::owner_of;

impl Inventory {
    /// An engine claims a container, or tells something new about it.
    pub(crate) fn claim(&mut self, facts: &ContainerFacts, at: Time, news: &mut Vec<News>) {
        let Some(facts) = self.claims.put(facts) else {
            self.dropped += 1;
            return;
        };
        let facts = &facts;
        let Some(cgroup) = self.find_claimed(facts) else { return };
        if self.is_about_an_earlier_run(cgroup, facts) {
            return;
        }
        self.join(cgroup, Arc::clone(facts), news);
        // Of several engines the one that knows its name says when it is over. The containerd below it says so first,
        // before the kernel has told how it ended.
        let first = self.containers.get(&cgroup).and_then(|container| container.facts.known());
        if facts.state == RunState::Exited && first.is_some_and(|first| first.view == facts.view) {
            self.end(cgroup, at, news);
        }
    }

    pub(crate) fn claim_gone(&mut self, key: &ClaimKey, at: Time, news: &mut Vec<News>) {
        self.claims.remove(key);
        let Some(cgroup) = self.claims.joined(&key.0, &key.1) else { return };
        let Some(container) = self.containers.get_mut(&cgroup) else { return };
        let is_first = container.facts.known().is_some_and(|facts| key_of(facts) == *key);
        if is_first {
            self.end(cgroup, at, news);
        } else if container.ended.is_none() {
            Arc::make_mut(container).others.retain(|facts| key_of(facts) != *key);
            self.schedule_in(cgroup, at.plus(CLAIM_WAIT));
        }
    }

    /// A view's whole list: what it claimed before and does not list is gone.
    pub(crate) fn claims_listed(&mut self, view: &View, ids: &[Untrusted], at: Time, news: &mut Vec<News>) {
        for key in self.claims.not_listed(view, ids) {
            self.claim_gone(&key, at, news);
        }
        self.wait_again(at);
    }

    /// An engine is gone; what it ran may live on, claimed by nobody.
    pub(crate) fn engine_gone(&mut self, engine: &View, at: Time) {
        for key in self.claims.of_engine(engine) {
            self.claims.remove(&key);
            let Some(cgroup) = self.claims.joined(&key.0, &key.1) else { continue };
            let Some(container) = self.containers.get_mut(&cgroup).filter(|it| it.ended.is_none()) else {
                continue;
            };
            let changed = Arc::make_mut(container);
            changed.others.retain(|facts| key_of(facts) != key);
            // Another engine that claims it is believed when it is looked at again.
            if changed.facts.known().is_some_and(|facts| key_of(facts) == key) {
                changed.kind = Kind::Unsettled;
                changed.facts = Fact::Pending { since: at };
            }
            self.schedule_in(cgroup, at.plus(CLAIM_WAIT));
        }
    }

    /// A runtime that answers again is given its time to claim what was settled without it.
    fn wait_again(&mut self, at: Time) {
        let mut waiting = Vec::new();
        for (cgroup, container) in &mut self.containers {
            if container.kind == Kind::Unanswered && container.ended.is_none() {
                let waits = Arc::make_mut(container);
                waits.kind = Kind::Unsettled;
                waits.facts = Fact::Pending { since: at };
                waiting.push(*cgroup);
            }
        }
        waiting.into_iter().for_each(|cgroup| self.schedule(cgroup));
    }

    /// A stopped container may be started again before its end is told; that end is not the new run's.
    fn is_about_an_earlier_run(&self, cgroup: CgroupId, facts: &ContainerFacts) -> bool {
        let Some(container) = self.containers.get(&cgroup) else { return false };
        let ran_before =
            facts.started.is_some_and(|started| started.plus(START_DOUBT) < container.key.started);
        facts.state == RunState::Exited && ran_before
    }

    /// Takes claims that came before the kernel's view of the container.
    pub(super) fn join_by_path(&mut self, cgroup: CgroupId, news: &mut Vec<News>) {
        let Some(container) = self.containers.get(&cgroup) else { return };
        let Suggests::Container(_, id) = read(container.cgroup_path.raw()) else { return };
        let id = Untrusted::new(id);
        let claims = self.claims.of_id(&id);
        let free: Vec<_> = claims.filter(|facts| !self.is_anothers(facts, cgroup)).cloned().collect();
        for facts in free {
            self.join(cgroup, facts, news);
        }
    }

    /// Whether a claim means another container that runs: a second cgroup of that name proves nothing.
    pub(super) fn is_anothers(&self, facts: &ContainerFacts, cgroup: CgroupId) -> bool {
        let joined = self.claims.joined(&facts.view, &facts.id).filter(|joined| *joined != cgroup);
        joined.and_then(|joined| self.containers.get(&joined)).is_some_and(|it| it.ended.is_none())
    }

    /// Takes claims that came before, of a container whose cgroup path names no runtime.
    pub(super) fn join_by_pid(&mut self, cgroup: CgroupId, news: &mut Vec<News>) {
        let Some(init) = self.containers.get(&cgroup).and_then(|container| container.init) else { return };
        let running = self.claims.of_pid(init.pid).filter(|facts| facts.state == RunState::Running);
        let unjoined = running.filter(|facts| self.claims.joined(&facts.view, &facts.id).is_none());
        for facts in unjoined.cloned().collect::<Vec<_>>() {
            self.join(cgroup, facts, news);
        }
    }

    fn find_claimed(&self, facts: &ContainerFacts) -> Option<CgroupId> {
        let runs = |cgroup: &CgroupId| self.containers.get(cgroup).is_some_and(|it| can_be_claimed(it));
        let joined = self.claims.joined(&facts.view, &facts.id);
        joined.filter(runs).or_else(|| {
            let by_cgroup =
                Some(&facts.cgroup).filter(|path| !path.is_empty()).and_then(|path| self.cgroups.at(path));
            by_cgroup.filter(runs).or_else(|| self.find_by_name(facts))
        })
    }

    /// By the pid or the id that it claims, among the containers that this engine has not claimed yet.
    fn find_by_name(&self, facts: &ContainerFacts) -> Option<CgroupId> {
        let is_meant = |container: &&Arc<Container>| {
            let same_pid = facts.pid.is_some() && container.init.map(|init| init.pid) == facts.pid;
            // What has no cgroup of its own lies in one that is called like another container.
            let same_id = container.key.cgroup.is_real()
                && matches!(read(container.cgroup_path.raw()), Suggests::Container(_, id) if id == facts.id.raw());
            can_be_claimed(container) && (same_pid || same_id)
        };
        let unclaimed = self.containers.values().filter(|it| {
            it.facts.known().is_none_or(|known| known.view != facts.view)
                && it.others.iter().all(|known| known.view != facts.view)
        });
        unclaimed.filter(is_meant).map(|container| container.key.cgroup).next()
    }

    fn join(&mut self, cgroup: CgroupId, facts: Arc<ContainerFacts>, news: &mut Vec<News>) {
        let Some(container) = self.containers.get_mut(&cgroup) else { return };
        if !self.authorities.may_claim(&facts.view, container) {
            return;
        }
        if container.facts.known() == Some(&facts) || container.others.contains(&facts) {
            return;
        }
        self.claims.join(key_of(&facts), cgroup);
        let changed = Arc::make_mut(container);
        let was_tallied = !changed.tally.rows.is_empty();
        let first = match &changed.facts {
            Fact::Known(known) if known.view != facts.view && rank(&known.view) < rank(&facts.view) => {
                put_other(&mut changed.others, facts);
                None
            }
            Fact::Known(known) if known.view != facts.view => {
                let known = Arc::clone(known);
                put_other(&mut changed.others, known);
                Some(facts)
            }
            // The containerd below an engine tells of its containers first, and neither name nor image: the engine will.
            Fact::Pending { .. } if owner_of(&facts.view).is_some() => {
                put_other(&mut changed.others, facts);
                None
            }
            _ => Some(facts),
        };
        let is_settled = first.is_some();
        if let Some(facts) = first {
            changed.others.retain(|known| known.view != facts.view);
            changed.kind = kind_of(self.own, cgroup, Kind::Managed);
            changed.facts = Fact::Known(facts);
        }
        if is_settled {
            news.push(News::Settled(Arc::clone(container)));
        }
        if was_tallied {
            self.schedule_in(cgroup, Time::from_ns(0));
        }
    }
}

/// One that ended may still be claimed until it is judged.
fn can_be_claimed(container: &Container) -> bool {
    container.ended.is_none() || container.facts.is_pending()
}

fn put_other(others: &mut Vec<Arc<ContainerFacts>>, facts: Arc<ContainerFacts>) {
    others.retain(|known| known.view != facts.view);
    if others.len() < OTHERS_MAX {
        others.push(facts);
        others.sort_by_key(|facts| rank(&facts.view));
    }
}
