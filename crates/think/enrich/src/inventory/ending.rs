//! How containers end: each is judged, also one that ended before anybody could claim it, once all views had their time.
//!
//! Not here: what is then said of it (`kind.rs`).

use std::sync::Arc;

use model::fact::Fact;
use model::identity::{Container, Kind, News};
use model::ids::CgroupId;
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::EngineKind;

use super::{Inventory, kind_of};
use crate::cgroup_path::{Suggests, read};
use crate::views::Views;
use crate::{CLAIM_WAIT, kind};

/// Most containers that ended, are not judged yet, and whose cgroup another one has by now.
const LEAVING_MAX: usize = 4096;

impl Inventory {
    /// A container ends. It is judged when every view had its time, as one that runs is.
    pub(super) fn end(&mut self, cgroup: CgroupId, at: Time, news: &mut Vec<News>) {
        let Some(container) = self.containers.get_mut(&cgroup) else { return };
        if container.ended.is_some() || at < container.key.started {
            return;
        }
        let changed = Arc::make_mut(container);
        changed.ended = Some(at);
        if changed.setup.is_pending() {
            changed.setup = Fact::Failed { reason: Untrusted::new("it ended before it could be looked at") };
        }
        let (mounts, pids, init) = (changed.namespaces.mnt, changed.namespaces.pid, changed.init);
        news.push(News::Ended(Arc::clone(container)));
        self.ended.insert((at, cgroup));
        if self.by_mounts.get(&mounts) == Some(&cgroup) {
            self.by_mounts.remove(&mounts);
        }
        for namespace in [pids, mounts] {
            if self.homeless.get(&namespace) == Some(&cgroup) {
                self.homeless.remove(&namespace);
            }
        }
        if let Some(init) = init.filter(|_| !cgroup.is_real()) {
            self.homeless_inits.remove(&init);
        }
    }

    /// A cgroup is gone, and with it the containers that had no other.
    pub(super) fn end_within(&mut self, cgroup: CgroupId, at: Time, news: &mut Vec<News>) {
        let Some(path) = self.cgroups.path(cgroup).filter(|_| !self.homeless.is_empty()) else { return };
        let is_there =
            |within: &&CgroupId| self.containers.get(within).is_some_and(|it| it.cgroup_path == *path);
        let mut gone: Vec<CgroupId> = self.homeless.values().filter(is_there).copied().collect();
        gone.sort_unstable();
        gone.into_iter().for_each(|within| self.end(within, at, news));
    }

    /// Its cgroup is another one's from now on; until it is judged it is kept apart.
    pub(super) fn leave(&mut self, cgroup: CgroupId, at: Time) {
        let Some(container) = self.containers.remove(&cgroup) else { return };
        self.claims.part(&container);
        if !container.facts.is_pending() {
            return;
        }
        if self.leaving.len() >= LEAVING_MAX {
            self.dropped += 1;
            return;
        }
        self.leaving.push_back((at.plus(CLAIM_WAIT), container));
    }

    /// Judges those that left their cgroup to others.
    pub(super) fn judge_leaving(&mut self, now: Time, views: &Views, news: &mut Vec<News>) {
        while let Some((due, _)) = self.leaving.front()
            && *due <= now
        {
            let Some((_, container)) = self.leaving.pop_front() else { return };
            if !self.is_claimed_by_name(&container) {
                news.push(News::Settled(Arc::new(self.unclaimed(&container, views, now))));
            }
        }
    }

    fn is_claimed_by_name(&self, container: &Container) -> bool {
        match read(container.cgroup_path.raw()) {
            Suggests::Container(_, id) => self.claims.of_id(&Untrusted::new(id)).next().is_some(),
            _ => false,
        }
    }

    /// The container as it is judged when nobody claims it.
    fn unclaimed(&self, container: &Container, views: &Views, now: Time) -> Container {
        let (kind, reason) = self.kind_unclaimed(container, views, now);
        let kind = kind_of(self.own, container.key.cgroup, kind);
        Container { kind, facts: Fact::Failed { reason: Untrusted::new(&reason) }, ..container.clone() }
    }

    /// The kind of a container that nobody claims. A life shorter than the pause between two looks at Podman's files is
    /// one that these need not show.
    pub(super) fn kind_unclaimed(&self, container: &Container, views: &Views, now: Time) -> (Kind, String) {
        let (kind, reason) = kind::unclaimed(container, views, self.host_namespaces(), now);
        let is_named =
            matches!(read(container.cgroup_path.raw()), Suggests::Container(Some(EngineKind::Podman), _));
        let is_unseen = container.ended.is_some_and(|at| at.since(container.key.started) < CLAIM_WAIT);
        if kind == Kind::Ghost && is_named && is_unseen && views.of_kind(EngineKind::Podman).next().is_some()
        {
            return (Kind::Unanswered, "it lived too short for a look at Podman's files".to_owned());
        }
        (kind, reason)
    }
}
