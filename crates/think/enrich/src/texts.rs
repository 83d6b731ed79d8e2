//! Texts that many containers have in common are kept once: keys of labels, and most of their values.
//!
//! Not here: which labels are kept.

use std::collections::BTreeSet;

use model::runtime::ContainerFacts;
use model::untrusted::Untrusted;

/// Most texts that are looked up to be shared. With one more it begins anew, so that no one fills it for good; those in use stay
/// shared.
const TEXTS_MAX: usize = 8_192;

/// Texts that were seen before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    known: BTreeSet<Untrusted>,
}

impl Texts {
    /// The same facts, with texts that are equal to known ones sharing their memory.
    pub(crate) fn share(&mut self, facts: &mut ContainerFacts) {
        for (key, value) in &mut facts.labels {
            self.share_one(key);
            self.share_one(value);
        }
        for text in [&mut facts.image, &mut facts.digest, &mut facts.command, &mut facts.log_driver] {
            self.share_one(text);
        }
    }

    fn share_one(&mut self, text: &mut Untrusted) {
        if let Some(known) = self.known.get(text) {
            *text = known.clone();
            return;
        }
        if self.known.len() >= TEXTS_MAX {
            self.known.clear();
        }
        self.known.insert(text.clone());
    }
}
