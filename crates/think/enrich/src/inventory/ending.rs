//! How containers end: each is judged, also one that ended before anybody could claim it, once all views had their time.
//!
//! Not here: what is then said of it (`kind.rs`).

use std::sync::Arc;

use model::fact::Fact;
use model::identity::{Container, Kind, News};
use model::ids::{CgroupId, ProcessKey};
use model::runtime::ContainerFacts;
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::EngineKind;

use super::{Inventory, kind_of};
use crate::cgroup_path::{Suggests, read};
use crate::made_by::{MadeBy, made_by};
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
        let mounts = changed.namespaces.mnt;
        news.push(News::Ended(Arc::clone(container)));
        self.ended.insert((at, cgroup));
        if self.by_mounts.get(&mounts) == Some(&cgroup) {
            self.by_mounts.remove(&mounts);
        }
        // By the namespace that it was made of: it may have taken another one since.
        if let Some(namespace) = cgroup.namespace() {
            self.homeless.remove(&namespace);
            self.homeless_inits.retain(|_, of| *of != cgroup);
        }
    }

    /// A process has a pid: containers without a cgroup whose first process had it before are over, though their end was
    /// lost. The namespace by which such a container is known may be another one's by now.
    pub(super) fn end_before(&mut self, process: ProcessKey, at: Time, news: &mut Vec<News>) {
        let from = ProcessKey { start_ns: 0, ..process };
        let gone: Vec<CgroupId> = self.homeless_inits.range(from..process).map(|(_, of)| *of).collect();
        gone.into_iter().for_each(|cgroup| self.end(cgroup, at, news));
    }

    /// The first process of a container without a cgroup of its own is gone, or makes itself another one by a namespace of its
    /// own: the container is over with that. One with a cgroup ends with that, or by the kernel's word.
    pub(crate) fn end_homeless_of(&mut self, init: ProcessKey, at: Time, news: &mut Vec<News>) {
        if let Some(cgroup) = self.homeless_inits.remove(&init) {
            self.end(cgroup, at, news);
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

    /// Whether a verified engine claims the container by the id that its own cgroup is called by. The cgroup of a container
    /// without its own is called like another container.
    fn is_claimed_by_name(&self, container: &Container) -> bool {
        self.claims_by_name(container).any(|facts| self.authorities.is_verified(&facts.view, container))
    }

    /// Claims by the id in the path of a container's own cgroup, without those that name another cgroup or another container
    /// that runs.
    fn claims_by_name<'a>(&'a self, container: &'a Container) -> impl Iterator<Item = &'a ContainerFacts> {
        let cgroup = container.key.cgroup;
        let id = match read(container.cgroup_path.raw()) {
            Suggests::Container(_, id) if cgroup.is_real() => Some(Untrusted::new(id)),
            _ => None,
        };
        let claims =
            id.map(|id| self.claims.of_id(&id).map(AsRef::as_ref).collect::<Vec<_>>()).unwrap_or_default();
        let is_meant = move |facts: &&ContainerFacts| {
            !self.is_anothers(facts, cgroup) && is_told_there(facts, container)
        };
        claims.into_iter().filter(is_meant)
    }

    /// The container as it is judged when nobody claims it.
    fn unclaimed(&self, container: &Container, views: &Views, now: Time) -> Container {
        let (kind, reason) = self.kind_unclaimed(container, views, now);
        let kind = kind_of(self.own, container.key.cgroup, kind);
        Container { kind, facts: Fact::Failed { reason: Untrusted::new(&reason) }, ..container.clone() }
    }

    /// The kind of a container that no engine claims. Podman's files need not show a life shorter than the pause between two
    /// readings of them: such a container stays unanswered when a store lists its id, or when Podman's helper made it. The
    /// name of its cgroup alone does not suffice.
    pub(super) fn kind_unclaimed(&self, container: &Container, views: &Views, now: Time) -> (Kind, String) {
        let (kind, reason) = kind::unclaimed(container, views, self.host_namespaces(), now);
        let is_named =
            matches!(read(container.cgroup_path.raw()), Suggests::Container(Some(EngineKind::Podman), _));
        let is_short = container.ended.is_some_and(|at| at.since(container.key.started) < CLAIM_WAIT);
        let has_podman = views.of_kind(EngineKind::Podman).next().is_some();
        let is_doubtful = kind == Kind::Ghost && is_named && is_short && has_podman;
        if is_doubtful && (self.is_in_a_store(container) || is_by_conmon(container)) {
            return (Kind::Unanswered, "it ended before Podman's files were read again".to_owned());
        }
        (kind, reason)
    }

    /// Whether a store of Podman that is not refused lists the id by which the container's cgroup is called.
    fn is_in_a_store(&self, container: &Container) -> bool {
        self.claims_by_name(container)
            .any(|facts| facts.view.engine == EngineKind::Podman && !self.authorities.is_refused(&facts.view))
    }
}

/// Whether the engine names no cgroup, the container's own, or one above it.
fn is_told_there(facts: &ContainerFacts, container: &Container) -> bool {
    let told = facts.cgroup.raw().trim_end_matches('/');
    let below = container.cgroup_path.raw().strip_prefix(told);
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_by_conmon(container: &Container) -> bool {
    matches!(made_by(container), Some(MadeBy::Conmon { .. }))
}
