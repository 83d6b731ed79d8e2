//! What people said is fine, and whether a container is covered by it.
//!
//! Trust comes from the image's content digest or a pattern a person gave; a workload only counts together with
//! the digest it ran. Labels grant nothing.

use std::collections::{BTreeMap, BTreeSet};

use globset::{GlobBuilder, GlobMatcher};
use model::approval::{APPROVALS_MAX, Approval, Scope};
use model::identity::{Container, Kind};
use model::ids::WorkloadKey;
use model::novelty::Provenance;
use model::traffic::{EdgeKey, Protocol};
use model::untrusted::Untrusted;
use model::view::View;
use serde::{Deserialize, Serialize};

use crate::images::tagged;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "BTreeMap<u64, Approval>", into = "BTreeMap<u64, Approval>")]
pub(crate) struct Approvals {
    given: BTreeMap<u64, Approval>,
    digests: BTreeSet<Untrusted>,
    /// Digests by the name, with its tag, that they were approved under.
    named: BTreeMap<Untrusted, BTreeSet<Untrusted>>,
    workloads: BTreeSet<(WorkloadKey, Untrusted)>,
    patterns: Vec<GlobMatcher>,
    edges: BTreeSet<EdgeKey>,
    listeners: BTreeSet<(WorkloadKey, u16, Protocol)>,
    engines: BTreeSet<View>,
    rights: BTreeMap<WorkloadKey, BTreeSet<Untrusted>>,
    administration: Vec<(WorkloadKey, GlobMatcher)>,
    unclaimed: BTreeSet<(WorkloadKey, Untrusted)>,
}

impl From<BTreeMap<u64, Approval>> for Approvals {
    fn from(given: BTreeMap<u64, Approval>) -> Self {
        let mut approvals = Self { given, ..Self::default() };
        approvals.index();
        approvals
    }
}

impl From<Approvals> for BTreeMap<u64, Approval> {
    fn from(approvals: Approvals) -> Self {
        approvals.given
    }
}

impl Approvals {
    pub(crate) fn add(&mut self, approval: &Approval) {
        if self.given.len() >= APPROVALS_MAX {
            return;
        }
        match self.given.insert(approval.id, approval.clone()) {
            // At the start every stored approval comes one after the other: no index anew for each.
            None => self.cover(&approval.scope),
            Some(_) => self.index(),
        }
    }

    pub(crate) fn revoke(&mut self, id: u64) {
        self.given.remove(&id);
        self.index();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Approval> {
        self.given.values()
    }

    pub(crate) fn provenance(&self, container: &Container) -> Provenance {
        let Some(facts) = container.facts.known() else {
            let is_unclaimed = matches!(container.kind, Kind::Ghost | Kind::Unanswered | Kind::Unwatched);
            return if is_unclaimed { Provenance::Unclaimed } else { Provenance::Pending };
        };
        let workload = (container.workload(), facts.digest.clone());
        let by_digest = facts.digests().any(|digest| self.digests.contains(digest));
        let by_pattern = || self.patterns.iter().any(|pattern| pattern.is_match(facts.image.raw()));
        match by_digest || by_pattern() {
            true if self.workloads.contains(&workload) => Provenance::Approved,
            true => Provenance::ImageApproved,
            false => Provenance::Unapproved,
        }
    }

    /// Whether somebody approved that these two talk.
    pub(crate) fn has_edge(&self, edge: &EdgeKey) -> bool {
        self.edges.contains(edge)
    }

    /// Whether somebody approved any edge.
    pub(crate) fn has_edges(&self) -> bool {
        !self.edges.is_empty()
    }

    /// Whether somebody approved that the workload serves the port.
    pub(crate) fn has_listener(&self, workload: &WorkloadKey, port: u16, protocol: Protocol) -> bool {
        self.listeners.contains(&(workload.clone(), port, protocol))
    }

    /// Whether somebody approved that this engine runs containers here: all of it, or this namespace.
    pub(crate) fn has_engine(&self, view: &View) -> bool {
        let whole = view.of_namespace(&Untrusted::default());
        self.engines.contains(view) || self.engines.contains(&whole)
    }

    /// Which of the rights nobody approved for the workload.
    pub(crate) fn unapproved_rights(&self, workload: &WorkloadKey, rights: Vec<Untrusted>) -> Vec<Untrusted> {
        match self.rights.get(workload) {
            Some(approved) => rights.into_iter().filter(|right| !approved.contains(right)).collect(),
            None => rights,
        }
    }

    /// Whether somebody approved that such a command is run in the workload from outside.
    pub(crate) fn has_administration(&self, workload: &WorkloadKey, command: &Untrusted) -> bool {
        self.administration.iter().any(|(of, glob)| of == workload && glob.is_match(command.raw()))
    }

    /// Whether somebody approved a container that no engine claims.
    pub(crate) fn has_unclaimed(&self, workload: &WorkloadKey, root: &Untrusted) -> bool {
        self.unclaimed.contains(&(workload.clone(), root.clone()))
    }

    /// The approvals that are about a container, oldest first; those of edges and ports are about others as well and not
    /// among them.
    pub(crate) fn about(&self, container: &Container) -> Vec<&Approval> {
        let workload = container.workload();
        let facts = container.facts.known();
        let claims: Vec<_> = container.claims().collect();
        let names: BTreeSet<&str> = match facts {
            Some(facts) => {
                let fits = self.patterns.iter().filter(|pattern| pattern.is_match(facts.image.raw()));
                fits.map(|pattern| pattern.glob().glob()).collect()
            }
            None => BTreeSet::new(),
        };
        let root = container.setup.known().map(|setup| &setup.root);
        let is_about = |scope: &Scope| match scope {
            Scope::Digest { digest, .. } => {
                facts.is_some_and(|facts| facts.digests().any(|one| one == digest))
            }
            Scope::Pattern { pattern } => names.contains(pattern.raw()),
            Scope::Workload { workload: of, digest } => {
                *of == workload && facts.is_some_and(|facts| facts.digest == *digest)
            }
            Scope::Rights { workload: of, .. } | Scope::Administration { workload: of, .. } => {
                *of == workload
            }
            Scope::Engine { view } => claims
                .iter()
                .any(|facts| facts.view == *view || (view.namespace.is_empty() && facts.view.is_of(view))),
            Scope::Unclaimed { workload: of, root: from } => {
                facts.is_none() && *of == workload && root == Some(from)
            }
            Scope::Edge(_) | Scope::Listener { .. } => false,
        };
        self.given.values().filter(|approval| is_about(&approval.scope)).collect()
    }

    /// The digests that were approved under an image's name.
    pub(crate) fn digests_of(&self, image: &Untrusted) -> BTreeSet<Untrusted> {
        tagged(image).and_then(|name| self.named.get(&name)).cloned().unwrap_or_default()
    }

    /// The names, with tags, that images were approved under.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Untrusted> {
        self.named.keys()
    }

    /// Whether a name is covered by a pattern.
    pub(crate) fn has_name(&self, image: &Untrusted) -> bool {
        self.patterns.iter().any(|pattern| pattern.is_match(image.raw()))
    }

    fn index(&mut self) {
        self.digests.clear();
        self.named.clear();
        self.workloads.clear();
        self.patterns.clear();
        self.edges.clear();
        self.listeners.clear();
        self.engines.clear();
        self.rights.clear();
        self.administration.clear();
        self.unclaimed.clear();
        for approval in std::mem::take(&mut self.given).into_values() {
            self.cover(&approval.scope);
            self.given.insert(approval.id, approval);
        }
    }

    fn cover(&mut self, scope: &Scope) {
        match scope {
            Scope::Digest { digest, image } => {
                self.digests.insert(digest.clone());
                if let Some(name) = tagged(image) {
                    self.named.entry(name).or_default().insert(digest.clone());
                }
            }
            Scope::Workload { workload, digest } => {
                self.workloads.insert((workload.clone(), digest.clone()));
            }
            Scope::Edge(edge) => {
                self.edges.insert(edge.clone());
            }
            Scope::Listener { workload, port, protocol } => {
                self.listeners.insert((workload.clone(), *port, *protocol));
            }
            Scope::Engine { view } => {
                self.engines.insert(view.clone());
            }
            Scope::Rights { workload, rights } => {
                self.rights.entry(workload.clone()).or_default().extend(rights.iter().cloned());
            }
            Scope::Unclaimed { workload, root } => {
                self.unclaimed.insert((workload.clone(), root.clone()));
            }
            Scope::Administration { workload, command } => {
                self.administration
                    .extend(command_matcher(command.raw()).map(|glob| (workload.clone(), glob)));
            }
            // A pattern that does not parse covers nothing; the command that gives patterns refuses it by name.
            Scope::Pattern { pattern } => self.patterns.extend(matcher(pattern.raw())),
        }
    }
}

/// `*` stays within one part of a name, `**` does not.
fn matcher(pattern: &str) -> Option<GlobMatcher> {
    Some(GlobBuilder::new(pattern).literal_separator(true).build().ok()?.compile_matcher())
}

/// Commands have no parts that `*` should stay within.
fn command_matcher(pattern: &str) -> Option<GlobMatcher> {
    Some(GlobBuilder::new(pattern).literal_separator(false).build().ok()?.compile_matcher())
}
