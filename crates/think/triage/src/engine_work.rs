//! Work that the engine did on images: it explains why the host's engine was busy, on nobody's behalf.
//!
//! An engine tells of such work when it is done, so findings of the minutes before are explained after the fact.
//! Not here: cost that is booked to a container, which nothing explains away.

use std::time::Duration;

use model::expectation::ExplanationKind;
use model::finding::{Finding, Subject};
use model::runtime::{EngineWork, ImageWork};
use model::time::Time;
use serde::{Deserialize, Serialize};

use crate::reason::Reason;

/// Longest work that is believed to have been going on before it was told.
const BEFORE: Duration = Duration::from_secs(10 * 60);

/// How long the engine may still be busy with it: layers are written out and checked.
const AFTER: Duration = Duration::from_secs(60);

/// Announcements closer together than this may be of one piece of work.
const ONE_WORK: Duration = Duration::from_secs(2);

/// Share of its weight that a finding keeps: half, as in a rollout.
const KEPT_SHARE: f64 = 0.5;

/// The latest work.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LastWork {
    last: Option<(EngineWork, Time)>,
    /// Whether findings from before it was told are still to be looked at.
    is_new: bool,
}

impl LastWork {
    pub(crate) fn note(&mut self, work: &EngineWork, at: Time) {
        // An import tells of the name it gives as well, just before itself, and a commit too: that is no build.
        let is_part = |(last, told): &(EngineWork, Time)| {
            work.work == ImageWork::Build && last.work != ImageWork::Build && at.since(*told) < ONE_WORK
        };
        if !self.last.as_ref().is_some_and(is_part) {
            self.last = Some((work.clone(), at));
            self.is_new = true;
        }
    }

    /// Whether work was told since this was asked last.
    pub(crate) fn take_new(&mut self) -> bool {
        std::mem::take(&mut self.is_new)
    }

    /// Why the engine was busy when a finding about the node was made.
    pub(crate) fn reason(&self, finding: &Finding) -> Option<Reason> {
        let (EngineWork { work, image, .. }, at) = self.last.as_ref()?;
        let is_of_node = matches!(finding.subject, Subject::Node { .. }) && finding.container.is_none();
        if !is_of_node || finding.at > at.plus(AFTER) || at.since(finding.at) > BEFORE {
            return None;
        }
        let image = if image.is_empty() { "an image".to_owned() } else { image.to_string() };
        let sentence = format!("the engine {} {image} at {at}", work.verb());
        Some(Reason::built_in(kind(*work), sentence, finding.bits * KEPT_SHARE))
    }
}

fn kind(work: ImageWork) -> ExplanationKind {
    match work {
        ImageWork::Import => ExplanationKind::ImageImport,
        ImageWork::Pull => ExplanationKind::ImagePull,
        ImageWork::Load => ExplanationKind::ImageLoad,
        ImageWork::Commit => ExplanationKind::ImageCommit,
        ImageWork::Build => ExplanationKind::ImageBuild,
    }
}
