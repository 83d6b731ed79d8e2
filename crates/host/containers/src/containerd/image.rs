//! Which image a container was made of: what its name leads to in the content store, held against its file system.
//!
//! A name is only text that came with the container. Its digest is told when the layers of that image are what the
//! container's snapshot lies on, and only then. Not here: registries and signatures.

use model::runtime::{DIGESTS_MAX, ImageFacts};
use model::untrusted::Untrusted;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::containerd::messages::{
    Container, ContentAnswer, ContentInfo, ImageAnswer, Named, ReadAnswer, ReadQuestion, SnapshotAnswer,
    SnapshotQuestion,
};
use crate::error::CallError;
use crate::grpc::{Call, Line};

/// Largest index, manifest or configuration read, in bytes; registries take no larger ones.
const DOCUMENT_BYTES_MAX: i64 = 4 << 20;

/// Most layers of one image; overlayfs stacks no more than 500.
const LAYERS_MAX: usize = 512;

/// Begins the label that names the registry some content came from.
const FROM_REGISTRY: &str = "containerd.io/distribution.source.";

const GET_IMAGE: &str = "/containerd.services.images.v1.Images/Get";
const CONTENT_INFO: &str = "/containerd.services.content.v1.Content/Info";
const READ_CONTENT: &str = "/containerd.services.content.v1.Content/Read";
const STAT_SNAPSHOT: &str = "/containerd.services.snapshots.v1.Snapshots/Stat";

/// What a container was made of; empty when that cannot be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) digest: Untrusted,
    pub(crate) image_facts: ImageFacts,
}

/// A document of an image: an index, a manifest or a configuration, with what of them is read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    manifests: Vec<Reference>,
    config: Option<Reference>,
    rootfs: Option<Layers>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reference {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Layers {
    diff_ids: Vec<String>,
}

/// Looks up what a container was made of.
///
/// # Errors
/// When containerd does not answer. That it lacks something, or has nonsense in its place, is no error: nothing is told.
pub(crate) async fn made_of(
    line: &Line,
    namespace: &Untrusted,
    container: &Container,
) -> Result<Made, CallError> {
    if container.image.is_empty() {
        return Ok(Made::default());
    }
    let store = Store { line, namespace };
    let found = match store.look_up(container).await {
        Err(CallError::Gone { .. } | CallError::Unserved { .. }) => None,
        other => other?,
    };
    Ok(found.unwrap_or_default())
}

struct Store<'a> {
    line: &'a Line,
    namespace: &'a Untrusted,
}

impl Store<'_> {
    async fn look_up(&self, container: &Container) -> Result<Option<Made>, CallError> {
        let question = Named { name: container.image.clone() };
        let answer: ImageAnswer = self.line.ask(Call::within(GET_IMAGE, self.namespace), question).await?;
        let Some(target) = answer.image.and_then(|image| image.target) else { return Ok(None) };
        let Some((document, mut is_local)) = self.document(&target.digest).await? else { return Ok(None) };
        let mut others: Vec<String> = document.manifests.iter().map(|it| it.digest.clone()).collect();
        let (manifest, document) = match of_this_host(&document.manifests) {
            None => (target.digest.clone(), document),
            Some(manifest) => {
                let Some((document, is_unnamed)) = self.document(manifest).await? else { return Ok(None) };
                is_local &= is_unnamed;
                (manifest.to_owned(), document)
            }
        };
        let Some(config) = document.config else { return Ok(None) };
        let Some((document, is_unnamed)) = self.document(&config.digest).await? else { return Ok(None) };
        is_local &= is_unnamed;
        let layers = document.rootfs.unwrap_or_default().diff_ids;
        if !self.lies_on(container, &layers).await? {
            return Ok(None);
        }
        others.retain(|digest| *digest != manifest && *digest != target.digest);
        let first = [target.digest, manifest];
        let digests = bounded_digests(first.into_iter().chain(others));
        let image_facts = ImageFacts { digests, is_local, ..ImageFacts::default() };
        Ok(Some(Made { digest: Untrusted::new(&config.digest), image_facts }))
    }

    /// A document, and whether no registry is known to have it; `None` for what is none.
    async fn document(&self, digest: &str) -> Result<Option<(Document, bool)>, CallError> {
        let question = Named { name: digest.to_owned() };
        let answer: ContentAnswer =
            self.line.ask(Call::within(CONTENT_INFO, self.namespace), question).await?;
        let info = answer.info.unwrap_or_default();
        if !(0..=DOCUMENT_BYTES_MAX).contains(&info.size) {
            return Ok(None);
        }
        let bytes = self.read(digest, &info).await?;
        let document = serde_json::from_slice(&bytes).ok();
        let is_local = !info.labels.keys().any(|label| label.starts_with(FROM_REGISTRY));
        Ok(document.map(|document| (document, is_local)))
    }

    async fn read(&self, digest: &str, info: &ContentInfo) -> Result<Vec<u8>, CallError> {
        let call = Call::within(READ_CONTENT, self.namespace);
        let question = ReadQuestion { digest: digest.to_owned(), offset: 0, size: info.size };
        let mut parts = self.line.parts::<_, ReadAnswer>(call, question).await?;
        let size = usize::try_from(info.size).unwrap_or_default();
        let mut bytes = Vec::new();
        let reading = async {
            while bytes.len() < size {
                let Some(part) = parts.message().await? else { break };
                bytes.extend_from_slice(&part.data);
            }
            Ok(())
        };
        self.line.timed(call, reading).await?;
        bytes.truncate(size);
        Ok(bytes)
    }

    /// Whether the container's file system lies on these layers.
    async fn lies_on(&self, container: &Container, layers: &[String]) -> Result<bool, CallError> {
        if container.snapshot_key.is_empty() || layers.len() > LAYERS_MAX {
            return Ok(false);
        }
        let question = SnapshotQuestion {
            snapshotter: container.snapshotter.clone(),
            key: container.snapshot_key.clone(),
        };
        let answer: SnapshotAnswer =
            self.line.ask(Call::within(STAT_SNAPSHOT, self.namespace), question).await?;
        let parent = answer.info.unwrap_or_default().parent;
        Ok(is_chain(&parent, &chain(layers)))
    }
}

/// The manifest for this machine, when it is an index of several; its first for want of a better one.
fn of_this_host(manifests: &[Reference]) -> Option<&str> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let fits = |it: &&Reference| {
        it.platform.as_ref().is_some_and(|it| it.os == "linux" && it.architecture == architecture)
    };
    manifests.iter().find(fits).or(manifests.first()).map(|it| it.digest.as_str())
}

/// The name that the snapshot of a stack of layers has (image-spec, `ChainID`); empty for none.
fn chain(layers: &[String]) -> String {
    let stack = |below: String, layer: &String| {
        if below.is_empty() {
            return layer.clone();
        }
        let sum = Sha256::digest(format!("{below} {layer}"));
        let digits: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{digits}")
    };
    layers.iter().fold(String::new(), stack)
}

/// Whether a snapshot is that of a chain; with users mapped, its name goes on with the first of them.
fn is_chain(snapshot: &str, chain: &str) -> bool {
    let rest = snapshot.strip_prefix(chain);
    rest.is_some_and(|rest| rest.is_empty() || (!chain.is_empty() && rest.starts_with('-')))
}

/// The first that fit, sorted.
fn bounded_digests(digests: impl Iterator<Item = String>) -> Vec<Untrusted> {
    let mut kept: Vec<_> = digests.take(DIGESTS_MAX + 1).map(|digest| Untrusted::new(&digest)).collect();
    kept.dedup();
    kept.truncate(DIGESTS_MAX);
    kept.sort_unstable();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_of_layers_has_the_name_that_the_standard_gives_it() {
        let layers = ["sha256:aa", "sha256:bb"].map(str::to_owned);
        assert_eq!(chain(&[]), "");
        assert_eq!(chain(&layers[..1]), "sha256:aa");
        // printf %s 'sha256:aa sha256:bb' | sha256sum
        let both = "sha256:b68ad689d6d1ec110ea1c13617437ad6f3766d4b3b309f6a603a222e07a0164f";
        assert_eq!(chain(&layers), both);
    }

    #[test]
    fn a_snapshot_on_other_layers_is_not_of_the_image() {
        assert!(is_chain("sha256:aa", "sha256:aa") && is_chain("sha256:aa-100000-100000", "sha256:aa"));
        assert!(
            !is_chain("sha256:aab", "sha256:aa") && !is_chain("", "sha256:aa") && !is_chain("sha256:aa", "")
        );
    }

    #[test]
    fn an_index_leads_to_the_manifest_of_this_machine() {
        let of = |digest: &str, os: &str, architecture: &str| Reference {
            digest: digest.into(),
            platform: Some(Platform { architecture: architecture.into(), os: os.into() }),
        };
        let here = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let index = [of("w", "windows", here), of("s", "linux", "s390x"), of("h", "linux", here)];
        assert_eq!(of_this_host(&index), Some("h"));
        assert_eq!(of_this_host(&index[..1]), Some("w"));
        assert_eq!(of_this_host(&[]), None);
    }

    #[test]
    fn of_many_digests_the_index_and_the_manifest_are_kept() {
        let first = ["z-index", "y-manifest"].map(str::to_owned);
        let others = (0..40).map(|number| format!("d{number:02}"));
        let kept = bounded_digests(first.into_iter().chain(others));
        assert_eq!(kept.len(), DIGESTS_MAX);
        assert_eq!([&kept[14], &kept[15]].map(Untrusted::raw), ["y-manifest", "z-index"]);
        let single = bounded_digests(["m", "m"].map(str::to_owned).into_iter());
        assert_eq!(single, ["m".into()]);
    }
}
