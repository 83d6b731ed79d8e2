//! Containers that wait for a silent engine, and engines that turn out to be none: neither makes anything weigh less for
//! longer than it is said here.
//!
//! Not here: which engine can have made a container (`made_by.rs`, `authorities.rs`).

use std::sync::Arc;
use std::time::Duration;

use model::fact::Fact;
use model::identity::{Container, Kind, News};
use model::ids::CgroupId;
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::{EngineSeen, View};

use super::Inventory;
use crate::claims::key_of;
use crate::kind;
use crate::views::Views;
use crate::{ANSWER_WAIT, CLAIM_WAIT};

/// How often a container that waits for a silent engine is looked at.
const AGAIN: Duration = Duration::from_secs(10);

impl Inventory {
    /// What is known of the process that serves an engine has changed: what it claimed and cannot have made is taken back.
    pub(crate) fn engine_is(&mut self, seen: &EngineSeen, at: Time) {
        if !self.authorities.put(seen) {
            return;
        }
        let engine = seen.view.of_namespace(&Untrusted::default());
        let claimed = |container: &Container| container.claims().any(|facts| facts.view.is_of(&engine));
        let is_wronged = |container: &Arc<Container>| {
            container.ended.is_none() && claimed(container) && !self.authorities.may_claim(&engine, container)
        };
        let wronged: Vec<CgroupId> =
            self.containers.iter().filter(|(_, it)| is_wronged(it)).map(|(cgroup, _)| *cgroup).collect();
        for cgroup in wronged {
            self.disown(cgroup, &engine, at);
        }
    }

    /// A container's setup is known by now: what a user's engine claimed before may count.
    pub(super) fn claim_again(&mut self, cgroup: CgroupId, news: &mut Vec<News>) {
        let is_unclaimed = self.containers.get(&cgroup).is_some_and(|it| it.claims().next().is_none());
        if is_unclaimed {
            self.join_by_path(cgroup, news);
            self.join_by_pid(cgroup, news);
        }
    }

    pub(super) fn is_unanswered(&self, cgroup: CgroupId) -> bool {
        self.containers.get(&cgroup).is_some_and(|it| it.kind == Kind::Unanswered)
    }

    /// One that waited for a silent engine long enough is settled as what it is without it.
    pub(super) fn give_up_waiting(
        &mut self,
        cgroup: CgroupId,
        now: Time,
        views: &Views,
        news: &mut Vec<News>,
    ) {
        let host = self.host_namespaces();
        let Some(container) = self.containers.get_mut(&cgroup) else { return };
        if container.kind != Kind::Unanswered {
            return;
        }
        let (kind, reason) = kind::unclaimed(container, views, host, now);
        if kind != Kind::Unanswered {
            let changed = Arc::make_mut(container);
            changed.kind = kind;
            changed.facts = Fact::Failed { reason: Untrusted::new(&reason) };
            news.push(News::Settled(Arc::clone(container)));
        }
    }

    /// Looks again when a silent engine's time is over, and in between at what waits for it: it may be gone by then.
    pub(super) fn schedule_answer(&mut self, cgroup: CgroupId, now: Time) {
        let Some(container) = self.containers.get(&cgroup) else { return };
        let (over, is_unanswered) =
            (container.key.started.plus(ANSWER_WAIT), container.kind == Kind::Unanswered);
        if over > now {
            self.schedule_in(cgroup, over);
        }
        if is_unanswered {
            self.schedule_in(cgroup, now.plus(AGAIN));
        }
    }

    /// Takes an engine's claim on a container back; another engine that claims it is believed when it is looked at again.
    fn disown(&mut self, cgroup: CgroupId, engine: &View, at: Time) {
        let Some(container) = self.containers.get_mut(&cgroup) else { return };
        let changed = Arc::make_mut(container);
        let keys: Vec<_> = changed.claims().filter(|it| it.view.is_of(engine)).map(key_of).collect();
        changed.others.retain(|facts| !facts.view.is_of(engine));
        if changed.facts.known().is_some_and(|facts| facts.view.is_of(engine)) {
            changed.kind = Kind::Unsettled;
            changed.facts = Fact::Pending { since: at };
        }
        keys.iter().for_each(|(view, id)| self.claims.disjoin(view, id));
        self.schedule_in(cgroup, at.plus(CLAIM_WAIT));
    }
}
