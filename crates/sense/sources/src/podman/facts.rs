//! What is told of one container of Podman's: what its store keeps, its specification says, the kernel shows, and, where
//! somebody serves Podman's interface, what that says of its labels.
//!
//! Not here: reading these (`hostfs`), asking (`asking.rs`).

use containers::oci;
use containers::podman::Declared;
use containers::swarm::{claim, word};
use hostfs::podman::{Store, Stored};
use model::ids::ProcessKey;
use model::runtime::{ContainerFacts, ImageFacts, RunState};
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::{Standing, View};
use serde::Deserialize;

/// Images that were built or imported here are named so by Podman.
const LOCAL_REGISTRY: &str = "localhost/";
/// Hexadecimal digits of a digest; other ids of images are none.
const DIGEST_DIGITS: usize = 64;

/// The facts of a container, and whether its specification was read: it is written after the list.
pub(crate) fn facts(
    store: &Store,
    view: &View,
    stored: &Stored,
    running: Option<(ProcessKey, Time)>,
) -> (ContainerFacts, bool) {
    let spec = store.spec(stored).ok();
    let has_spec = spec.is_some();
    let mut facts = ContainerFacts {
        view: view.clone(),
        id: stored.id.clone(),
        name: stored.name.clone(),
        image: stored.image.clone(),
        digest: digest(stored.image_id.raw()),
        created: stored.created,
        started: running.map(|(_, started)| started),
        pid: running.map(|(process, _)| process.pid),
        state: match running {
            Some(_) => RunState::Running,
            None if store.was_started(stored) => RunState::Exited,
            None => RunState::Created,
        },
        image_facts: ImageFacts {
            is_local: stored.image.raw().starts_with(LOCAL_REGISTRY),
            ..ImageFacts::default()
        },
        ..ContainerFacts::default()
    };
    if let Some(text) = spec {
        specify(&mut facts, store, &text);
    }
    (facts, has_spec)
}

/// Adds what was answered about the container.
pub(crate) fn complete(facts: &mut ContainerFacts, answer: Option<&Declared>) {
    if let Some(declared) = answer {
        declared.complete(facts);
        let denied = |_| word(Standing::Denied, "a swarm has Docker run its containers");
        facts.orchestrated = claim(facts).map(denied);
    }
}

/// A specification that cannot be read leaves the facts without what it would say.
fn specify(facts: &mut ContainerFacts, store: &Store, text: &[u8]) {
    let Ok(spec) = oci::parse(text) else { return };
    let mut privileges = spec.privileges;
    let roots = store.roots();
    // Volumes and the container's own files lie in the store; they are nothing of the host's.
    privileges.mounts.retain(|mount| {
        let path = std::path::Path::new(mount.path.raw());
        !path.starts_with(&roots.graphroot) && !path.starts_with(&roots.runroot)
    });
    privileges.is_privileged |= is_privileged(text);
    facts.command = spec.command;
    facts.cgroup = spec.cgroup;
    facts.root = spec.root;
    facts.privileges = Some(Box::new(privileges));
}

/// Podman notes there what it was asked for; the specification itself has no word for it.
fn is_privileged(text: &[u8]) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Noted {
        annotations: Annotations,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Annotations {
        #[serde(rename = "io.podman.annotations.privileged")]
        privileged: String,
    }
    serde_json::from_slice::<Noted>(text).is_ok_and(|noted| noted.annotations.privileged == "TRUE")
}

fn digest(image_id: &str) -> Untrusted {
    let is_digest = image_id.len() == DIGEST_DIGITS && image_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest { Untrusted::new(&format!("sha256:{image_id}")) } else { Untrusted::default() }
}
