//! Images by name and digest: what a name meant when it was approved, what it meant last, what was made here.
//!
//! Not here: which images are approved (`approvals.rs`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use model::runtime::{ContainerFacts, EngineWork, ImageWork};
use model::time::Time;
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use crate::room::make_room;

/// Names whose last digest is remembered.
const NAMES_MAX: usize = 4_096;
/// Pieces of work on images remembered, and for how long.
const WORKS_MAX: usize = 128;
const WORKS_KEPT: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Images {
    last: BTreeMap<Untrusted, Last>,
    works: VecDeque<(Time, EngineWork)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Last {
    digest: Untrusted,
    at: Time,
}

/// A name that means another image than it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swapped {
    /// What it meant.
    pub before: Untrusted,
    /// Whether somebody approved it to mean that.
    pub was_approved: bool,
    /// How it came to mean something else, when the engine told: pulled, tagged, imported.
    pub by: Option<EngineWork>,
}

impl Images {
    /// An engine has worked on an image.
    pub(crate) fn worked(&mut self, work: &EngineWork, at: Time) {
        while self.works.len() >= WORKS_MAX
            || self.works.front().is_some_and(|(then, _)| at.since(*then) > WORKS_KEPT)
        {
            self.works.pop_front();
        }
        self.works.push_back((at, work.clone()));
    }

    /// An approved container runs this image: what its name means from now on.
    pub(crate) fn ran(&mut self, facts: &ContainerFacts, at: Time) {
        let Some(name) = tagged(&facts.image) else { return };
        if facts.digest.is_empty() {
            return;
        }
        make_room(&mut self.last, &name, NAMES_MAX, |last| Some(last.at));
        self.last.insert(name, Last { digest: facts.digest.clone(), at });
    }

    /// Whether the image's name meant another one, by what was approved under that name and by what ran last.
    pub(crate) fn swapped(&self, facts: &ContainerFacts, approved: &BTreeSet<Untrusted>) -> Option<Swapped> {
        let name = tagged(&facts.image)?;
        if facts.digest.is_empty() || facts.digests().any(|digest| approved.contains(digest)) {
            return None;
        }
        let last = self.last.get(&name).map(|last| &last.digest).filter(|digest| **digest != facts.digest);
        let before = approved.first().or(last)?.clone();
        Some(Swapped { before, was_approved: !approved.is_empty(), by: self.last_work(facts) })
    }

    /// How the image came to be here, when it was made or named while we watched; what was pulled comes from a registry.
    pub(crate) fn made_here(&self, facts: &ContainerFacts) -> Option<(Time, &EngineWork)> {
        let work = self.works.iter().rev().find(|(_, work)| is_of(work, facts))?;
        (work.1.work != ImageWork::Pull).then_some((work.0, &work.1))
    }

    fn last_work(&self, facts: &ContainerFacts) -> Option<EngineWork> {
        self.works.iter().rev().find(|(_, work)| is_of(work, facts)).map(|(_, work)| work.clone())
    }
}

fn is_of(work: &EngineWork, facts: &ContainerFacts) -> bool {
    let same_digest = !facts.digest.is_empty() && (work.digest == facts.digest || work.image == facts.digest);
    same_digest || tagged(&work.image).is_some_and(|name| Some(name) == tagged(&facts.image))
}

/// The name with its tag; `None` for an image that was asked for by its digest or number.
pub(crate) fn tagged(image: &Untrusted) -> Option<Untrusted> {
    let name = image.raw();
    let is_number = name.len() >= 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if name.is_empty() || name.contains('@') || name.starts_with("sha256:") || is_number {
        return None;
    }
    let after_slash = name.rfind('/').map_or(name, |slash| &name[slash..]);
    match after_slash.contains(':') {
        true => Some(image.clone()),
        false => Some(Untrusted::new(&format!("{name}:latest"))),
    }
}

#[cfg(test)]
mod tests {
    use model::untrusted::Untrusted;

    use super::tagged;

    #[test]
    fn a_name_without_a_tag_means_latest_and_a_digest_is_no_name() {
        let tagged = |name: &str| tagged(&Untrusted::new(name)).map(|name| name.raw().to_owned());
        assert_eq!(tagged("busybox").unwrap(), "busybox:latest");
        assert_eq!(tagged("registry:5000/app").unwrap(), "registry:5000/app:latest");
        assert_eq!(tagged("registry:5000/app:2").unwrap(), "registry:5000/app:2");
        for name in ["", "sha256:00", "app@sha256:00", "0123456789ab"] {
            assert_eq!(tagged(name), None, "{name}");
        }
    }
}
