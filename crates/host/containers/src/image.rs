//! What an engine tells of an image: the digests that registries know it by, and what it was built on here.
//!
//! Not here: remembering it (`sources`), and any check of a digest or a signature.

use bollard::models::{Identity, ImageInspect};
use model::runtime::{DIGESTS_MAX, ImageFacts};
use model::untrusted::Untrusted;

use crate::docker::{Docker, status};
use crate::error::CallError;

/// Most signers kept of one image.
const SIGNERS_MAX: usize = 8;

impl Docker {
    /// What the engine tells of the image with this configuration digest; nothing when it does not know it (its name and
    /// content may be removed while containers of it run), or when the text is no digest.
    ///
    /// # Errors
    /// Why the engine did not answer.
    pub async fn image(&self, digest: &Untrusted) -> Result<ImageFacts, CallError> {
        if !is_digest(digest.raw()) {
            return Ok(ImageFacts::default());
        }
        let place = self.at("image");
        let call = async {
            match self.engine.inspect_image(digest.raw()).await {
                Err(error) if status(&error) == Some(404) => Ok(None),
                other => other.map(Some),
            }
        };
        let Some(image) = place.within(self.config.inspect_timeout_ms, call).await? else {
            return Ok(ImageFacts::default());
        };
        let mut facts = facts(digest, image);
        if facts.is_local {
            let history = self.engine.image_history(digest.raw());
            let history = place.within(self.config.inspect_timeout_ms, history).await?;
            facts.parent = parent(digest, history.into_iter().map(|step| step.id));
        }
        Ok(facts)
    }
}

/// Whether the text is a digest as engines write it. Anything else could reach another address of the engine's API when
/// put into a request.
pub fn is_digest(text: &str) -> bool {
    let is_hex = |hex: &str| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.strip_prefix("sha256:").is_some_and(is_hex)
}

fn facts(digest: &Untrusted, image: ImageInspect) -> ImageFacts {
    let references = image.repo_digests.unwrap_or_default();
    let identity = image.identity.unwrap_or_default();
    let was_pulled = identity.pull.as_ref().is_some_and(|pulls| !pulls.is_empty());
    let was_built = identity.build.as_ref().is_some_and(|builds| !builds.is_empty());
    let named =
        references.iter().filter_map(|reference| reference.rsplit_once('@').map(|(_, digest)| digest));
    let manifests = image.manifests.iter().flatten().map(|manifest| manifest.id.as_str());
    let described = image.descriptor.iter().filter_map(|it| it.digest.as_deref());
    let digests = named.chain(described).chain(manifests).chain(image.id.as_deref());
    let mut digests: Vec<_> =
        digests.filter(|&it| is_digest(it) && it != digest.raw()).map(Untrusted::new).collect();
    digests.sort_unstable();
    digests.dedup();
    digests.truncate(DIGESTS_MAX);
    ImageFacts {
        digests,
        // An engine that keeps manifests has digests of what it built as well, and says that it built it.
        is_local: !was_pulled && (was_built || references.is_empty()),
        parent: Untrusted::default(),
        signers: signers(&identity),
    }
}

/// Who signed it, by what the engine has verified.
fn signers(identity: &Identity) -> Vec<Untrusted> {
    let signatures = identity.signature.iter().flatten();
    let verified = signatures.filter(|signature| signature.error.as_deref().is_none_or(str::is_empty));
    let named = verified.filter_map(|signature| {
        let certified =
            signature.signer.as_ref().and_then(|signer| signer.subject_alternative_name.as_deref());
        certified.or(signature.name.as_deref())
    });
    named.take(SIGNERS_MAX).map(Untrusted::new).collect()
}

/// The image before in its history. Steps that were made elsewhere have no digest.
fn parent(digest: &Untrusted, history: impl Iterator<Item = String>) -> Untrusted {
    let parent = history.skip(1).find(|id| is_digest(id) && id != digest.raw());
    Untrusted::new(&parent.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn digest(letter: char) -> String {
        format!("sha256:{}", letter.to_string().repeat(64))
    }

    fn facts_of(answer: Value) -> ImageFacts {
        facts(&Untrusted::new(&digest('a')), serde_json::from_value(answer).unwrap())
    }

    #[test]
    fn an_image_of_a_registry_is_known_by_each_digest_of_its_names() {
        let names = [
            format!("shop/web@{}", digest('c')),
            format!("registry:5000/web@{}", digest('b')),
            "odd@sha256:1".to_owned(),
            format!("mirror/web@{}", digest('c')),
        ];
        let told = facts_of(json!({"Id": digest('a'), "RepoDigests": names, "RepoTags": ["shop/web:1"]}));
        assert_eq!(told.digests, [digest('b').as_str().into(), digest('c').as_str().into()]);
        assert!(!told.is_local);
    }

    #[test]
    fn an_image_that_no_registry_knows_is_local() {
        assert!(facts_of(json!({"Id": digest('a'), "RepoDigests": [], "RepoTags": ["web:1"]})).is_local);
        assert!(facts_of(json!({"Id": digest('a'), "RepoDigests": null})).is_local);
    }

    #[test]
    fn an_engine_that_says_that_it_built_an_image_is_believed_whatever_digests_it_has() {
        let names = [format!("web@{}", digest('b'))];
        let built = json!({"RepoDigests": names, "Identity": {"Build": [{"Ref": "x"}]}});
        assert!(facts_of(built).is_local);
        let pushed = json!({
            "RepoDigests": names,
            "Identity": {"Build": [{"Ref": "x"}], "Pull": [{"Repository": "shop/web"}]}
        });
        assert!(!facts_of(pushed).is_local);
    }

    #[test]
    fn signers_are_those_whose_signature_was_verified() {
        let signatures = json!([
            {"Name": "GitHub", "Signer": {"SubjectAlternativeName": "build@shop.example"}},
            {"Name": "forged", "Error": "no chain"},
            {"Name": "team"}
        ]);
        let told = facts_of(json!({"RepoDigests": [], "Identity": {"Signature": signatures}}));
        assert_eq!(told.signers, ["build@shop.example".into(), "team".into()]);
    }

    #[test]
    fn digests_beyond_the_limit_are_left_out() {
        let names: Vec<_> = (0..DIGESTS_MAX + 9).map(|n| format!("x@sha256:{n:064x}")).collect();
        assert_eq!(facts_of(json!({"RepoDigests": names})).digests.len(), DIGESTS_MAX);
    }

    #[test]
    fn the_parent_is_the_next_step_that_is_an_image_here() {
        let parent_of = |steps: &[&str]| {
            let steps = steps.iter().map(|&step| step.to_owned());
            parent(&Untrusted::new(&digest('a')), steps).raw().to_owned()
        };
        let (own, base) = (digest('a'), digest('b'));
        assert_eq!(parent_of(&[&own, &base, "<missing>"]), base);
        assert_eq!(parent_of(&[&own, "<missing>"]), "");
        assert_eq!(parent_of(&[&own]), "");
    }

    #[test]
    fn what_is_no_digest_is_not_put_into_a_request() {
        for text in ["", "busybox", "sha256:0af7", "sha256:../../containers/json", &"a".repeat(71)] {
            assert!(!is_digest(text), "{text}");
        }
        assert!(is_digest(&digest('a')));
    }
}
