//! What an engine tells of images, remembered for a while: many containers run one image.
//!
//! Not here: asking. Who had to be told without an answer is remembered too, to be told again.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use model::runtime::ImageFacts;
use model::untrusted::Untrusted;

/// How long an answer holds. An engine announces what changes an image, but drops announcements at times.
const HOLDS: Duration = Duration::from_secs(60);

/// Most images remembered; a host that runs more asks more often.
const IMAGES_MAX: usize = 1024;

/// Images by the digest of their configuration.
#[derive(Default)]
pub(crate) struct Images {
    known: HashMap<Untrusted, (Instant, ImageFacts)>,
    /// Containers told without what is known of their image, by that image.
    waiting: HashMap<Untrusted, BTreeSet<Untrusted>>,
    /// Containers of whose images the engine would tell nothing.
    unanswered: BTreeSet<Untrusted>,
}

impl Images {
    /// What is known of an image, while it holds.
    pub(crate) fn known(&self, digest: &Untrusted, now: Instant) -> Option<&ImageFacts> {
        let (since, facts) = self.known.get(digest)?;
        (now.duration_since(*since) < HOLDS).then_some(facts)
    }

    /// Takes in an answer.
    pub(crate) fn keep(&mut self, digest: &Untrusted, facts: ImageFacts, now: Instant) {
        if self.known.len() >= IMAGES_MAX && !self.known.contains_key(digest) {
            self.known.clear();
        }
        self.known.insert(digest.clone(), (now, facts));
    }

    /// Forgets every answer: some image has changed.
    pub(crate) fn forget_answers(&mut self) {
        self.known.clear();
    }

    /// A container is told without what is known of its image; whether nobody waited for that image before.
    pub(crate) fn wait(&mut self, digest: &Untrusted, container: &Untrusted) -> bool {
        let is_first = !self.waiting.contains_key(digest);
        self.waiting.entry(digest.clone()).or_default().insert(container.clone());
        is_first
    }

    /// Who waits for an image, and no longer does.
    pub(crate) fn waited(&mut self, digest: &Untrusted) -> BTreeSet<Untrusted> {
        self.waiting.remove(digest).unwrap_or_default()
    }

    /// The engine failed at an image: who waits for it is to be asked about later.
    pub(crate) fn fail(&mut self, digest: &Untrusted) {
        let waited = self.waited(digest);
        self.unanswered.extend(waited);
    }

    /// The containers to be asked about again because of a failure, each once.
    pub(crate) fn take_unanswered(&mut self) -> BTreeSet<Untrusted> {
        std::mem::take(&mut self.unanswered)
    }

    /// A container is gone.
    pub(crate) fn forget(&mut self, container: &Untrusted) {
        self.unanswered.remove(container);
        for waiting in self.waiting.values_mut() {
            waiting.remove(container);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> ImageFacts {
        ImageFacts { is_local: true, ..ImageFacts::default() }
    }

    #[test]
    fn an_answer_holds_for_a_minute_and_until_an_image_changes() {
        let (mut images, now) = (Images::default(), Instant::now());
        assert_eq!(images.known(&"a".into(), now), None);
        images.keep(&"a".into(), local(), now);
        assert_eq!(images.known(&"a".into(), now + HOLDS / 2), Some(&local()));
        assert_eq!(images.known(&"a".into(), now + HOLDS), None);
        images.forget_answers();
        assert_eq!(images.known(&"a".into(), now), None);
    }

    #[test]
    fn no_more_images_than_the_limit_are_remembered() {
        let (mut images, now) = (Images::default(), Instant::now());
        for n in 0..IMAGES_MAX * 2 + 1 {
            images.keep(&n.to_string().as_str().into(), local(), now);
            assert!(images.known.len() <= IMAGES_MAX);
        }
        assert!(images.known(&(IMAGES_MAX * 2).to_string().as_str().into(), now).is_some());
    }

    #[test]
    fn an_image_is_asked_for_once_however_many_wait_for_it() {
        let mut images = Images::default();
        assert!(images.wait(&"i".into(), &"a".into()));
        assert!(!images.wait(&"i".into(), &"b".into()));
        images.forget(&"a".into());
        assert_eq!(images.waited(&"i".into()), BTreeSet::from(["b".into()]));
        assert!(images.waited(&"i".into()).is_empty());
    }

    #[test]
    fn whoever_waited_in_vain_is_asked_about_once_more() {
        let mut images = Images::default();
        images.wait(&"i".into(), &"a".into());
        images.wait(&"i".into(), &"b".into());
        images.fail(&"i".into());
        images.forget(&"b".into());
        assert_eq!(images.take_unanswered(), BTreeSet::from(["a".into()]));
        assert!(images.take_unanswered().is_empty() && images.waited(&"i".into()).is_empty());
    }
}
