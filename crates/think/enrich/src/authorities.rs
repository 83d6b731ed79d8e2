//! Which containers each engine can have made, and so which of its claims count.
//!
//! Not here: finding that out (`sources`), whether its silence says something (`views.rs`).

use std::collections::BTreeMap;

use model::authority::Authority;
use model::fact::Fact;
use model::identity::Container;
use model::untrusted::Untrusted;
use model::view::{EngineSeen, EngineState, View};
use serde::{Deserialize, Serialize};

use crate::shares::has_place;

/// Most engines remembered; the claims of those beyond count for nothing.
const ENGINES_MAX: usize = 256;

/// By engine, without a namespace.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Authorities {
    #[serde(with = "model::pairs")]
    known: BTreeMap<View, Authority>,
    /// Whether an engine found no place: those that are not known claim nothing from then on.
    #[serde(default)]
    is_full: bool,
}

impl Authorities {
    /// An engine was found, or has changed; whether this changes which containers it can have made.
    pub(crate) fn put(&mut self, seen: &EngineSeen) -> bool {
        let key = seen.view.of_namespace(&Untrusted::default());
        if seen.state == EngineState::Gone {
            self.known.remove(&key);
            return false;
        }
        // A follower knows how an engine is, and nothing of the process that serves it.
        let is_news = !seen.authority.is_unknown() && self.known.get(&key) != Some(&seen.authority);
        if !is_news {
            return false;
        }
        let taken = self.known.iter().filter(|(view, _)| **view != key).map(|(_, authority)| authority);
        if has_place(taken, &seen.authority, ENGINES_MAX) {
            self.known.insert(key, seen.authority.clone());
        } else {
            self.known.remove(&key);
            self.is_full = true;
        }
        true
    }

    /// Whether the kernel shows that the engine of a view can have made a container: one whose process was not found is not
    /// verified.
    pub(crate) fn is_verified(&self, view: &View, container: &Container) -> bool {
        let known = self.known.get(&view.of_namespace(&Untrusted::default()));
        known.is_some_and(|it| !it.is_unknown()) && self.may_claim(view, container)
    }

    /// Whether the engine of a view is known not to be one.
    pub(crate) fn is_refused(&self, view: &View) -> bool {
        self.known.get(&view.of_namespace(&Untrusted::default())).is_some_and(Authority::is_refused)
    }

    /// Whether the engine of a view can have made a container.
    pub(crate) fn may_claim(&self, view: &View, container: &Container) -> bool {
        match self.known.get(&view.of_namespace(&Untrusted::default())) {
            Some(Authority::Host | Authority::Unknown) => true,
            Some(Authority::User { uid }) => is_users(container, *uid),
            Some(Authority::Refused { .. }) => false,
            None => !self.is_full || view.is_default(),
        }
    }
}

/// Whether a user made it: in a user namespace, below a process of that user's.
fn is_users(container: &Container, uid: u32) -> bool {
    let Fact::Known(setup) = &container.setup else { return false };
    let maker = setup.makers.iter().find_map(|maker| maker.executable.as_ref());
    setup.has_own_users && maker.is_some_and(|file| file.uid == uid)
}
