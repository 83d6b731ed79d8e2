//! What a person wants to approve, from words of the command line.
//!
//! Not here: keeping it, and finding containers.

use anyhow::{Context, bail};
use globset::Glob;
use model::approval::Scope;
use model::ids::WorkloadKey;
use model::inventory::ContainerView;
use model::privilege::{Capabilities, NamespaceKind};
use model::untrusted::{UNTRUSTED_BYTES_MAX, Untrusted};
use model::view::{EngineKind, View};
use store::incident_store::RIGHTS_MAX;

const ENGINES: [EngineKind; 4] =
    [EngineKind::Docker, EngineKind::Containerd, EngineKind::Cri, EngineKind::Podman];

/// A digest when it looks like one, alone or behind a name; else a glob that parses.
pub(super) fn image(what: &str) -> anyhow::Result<Scope> {
    let (name, digest) = what.split_once('@').unwrap_or(("", what));
    if digest.starts_with("sha256:") {
        let (digest, image) = (content_digest(digest)?, bounded(name, "a name")?);
        return Ok(Scope::Digest { digest, image });
    }
    Ok(Scope::Pattern { pattern: glob(what)? })
}

/// Every image whose name begins with a registry.
pub(super) fn registry(name: &str) -> anyhow::Result<Scope> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_plain) {
        bail!("{:?} is not a registry: a host, and a port when it has one", Untrusted::new(name));
    }
    Ok(Scope::Pattern { pattern: bounded(&format!("{name}/**"), "a pattern")? })
}

/// `docker`, `containerd:/run/x.sock`, `containerd:/run/x.sock:namespace`, `podman:/var/lib/containers/storage`.
pub(super) fn engine(text: &str) -> anyhow::Result<Scope> {
    let (kind, place) = text.split_once(':').unwrap_or((text, ""));
    let Some(engine) = ENGINES.into_iter().find(|known| known.name() == kind) else {
        bail!("{:?} is not an engine: docker, containerd, cri or podman", Untrusted::new(kind));
    };
    let (place, namespace) = match place.rsplit_once(':') {
        // A socket may be called anything, a namespace has no slash.
        Some((place, namespace)) if engine == EngineKind::Containerd && !namespace.contains('/') => {
            (place, Some(namespace))
        }
        _ => (place, None),
    };
    if place.is_empty() && engine != EngineKind::Docker {
        bail!("say which {engine}: {engine}:/path/of/its/socket or directory");
    }
    if !place.is_empty() && !place.starts_with('/') {
        bail!("{:?} is not a path from the root", Untrusted::new(place));
    }
    if namespace.is_some_and(str::is_empty) {
        bail!("a namespace is missing behind the last colon");
    }
    let view = View {
        engine,
        place: bounded(place, "a path")?,
        namespace: bounded(namespace.unwrap_or_default(), "a namespace")?,
    };
    Ok(Scope::Engine { view })
}

/// A workload and its rights.
pub(super) fn rights(words: &[String]) -> anyhow::Result<Scope> {
    let (of, rights) = words.split_first().context("a workload and its rights are missing")?;
    let mut all: Vec<Untrusted> = Vec::new();
    for word in rights {
        all.extend(right(word)?);
    }
    all.sort();
    all.dedup();
    if all.is_empty() || all.len() > RIGHTS_MAX {
        bail!("an approval has 1 to {RIGHTS_MAX} rights");
    }
    Ok(Scope::Rights { workload: workload(of)?, rights: all })
}

/// A workload and a glob over the commands that are run in it from outside.
pub(super) fn exec(words: &[String]) -> anyhow::Result<Scope> {
    let [of, command] = words else { bail!("give a workload and a glob") };
    Ok(Scope::Administration { workload: workload(of)?, command: glob(command)? })
}

/// A container that no engine claims: whatever runs the same program from the same root directory.
pub(super) fn unclaimed(one: &ContainerView) -> anyhow::Result<Scope> {
    let name = one.container.name();
    if let Some(facts) = one.facts() {
        bail!("{} claims {name}: approve its image instead", facts.view);
    }
    let setup = one.container.setup.known().filter(|setup| !setup.root.is_empty());
    let setup = setup.with_context(|| format!("the root directory of {name} is not known"))?;
    Ok(Scope::Unclaimed { workload: one.workload.clone(), root: setup.root.clone() })
}

/// One right in the form that containers are compared by; several for `cap:ALL`.
fn right(word: &str) -> anyhow::Result<Vec<Untrusted>> {
    let one = |text: &str| Ok(vec![bounded(text, "a right")?]);
    match word.split_once(':') {
        None if ["privileged", "no-seccomp", "unconfined"].contains(&word) => one(word),
        Some(("cap", name)) => match Capabilities::parse(name) {
            Some(capabilities) => {
                Ok(capabilities.names().map(|name| format!("cap:{name}").as_str().into()).collect())
            }
            None => bail!("{:?} is not a capability", Untrusted::new(name)),
        },
        Some(("host", name)) if NamespaceKind::ALL.iter().any(|kind| kind.name() == name) => one(word),
        Some(("mount", mount)) if is_mount(mount) => one(word),
        Some(("device", path)) if path.starts_with('/') => one(word),
        _ => bail!(
            "{:?} is not a right: cap:NAME, host:NAMESPACE, mount:/PATH:ro or :rw, device:/PATH, privileged, \
             no-seccomp or unconfined",
            Untrusted::new(word)
        ),
    }
}

fn is_mount(text: &str) -> bool {
    text.starts_with('/') && text.rsplit_once(':').is_some_and(|(_, mode)| ["ro", "rw"].contains(&mode))
}

fn content_digest(text: &str) -> anyhow::Result<Untrusted> {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        bail!("{:?} is not a digest: sha256: and 64 hexadecimal digits", Untrusted::new(text));
    }
    Ok(text.to_ascii_lowercase().as_str().into())
}

fn workload(text: &str) -> anyhow::Result<WorkloadKey> {
    if text.is_empty() {
        bail!("the name of a workload is missing");
    }
    Ok(WorkloadKey::new(bounded(text, "a workload")?.raw()))
}

fn glob(text: &str) -> anyhow::Result<Untrusted> {
    if text.is_empty() {
        bail!("a pattern is missing");
    }
    match Glob::new(text) {
        Ok(_) => bounded(text, "a pattern"),
        Err(error) => bail!("{:?} is not a pattern: {error}", Untrusted::new(text)),
    }
}

/// Text that is kept whole: cut, it would mean something else.
fn bounded(text: &str, what: &str) -> anyhow::Result<Untrusted> {
    if text.len() > UNTRUSTED_BYTES_MAX {
        bail!("{what} has at most {UNTRUSTED_BYTES_MAX} bytes");
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use report::approval_text::scope_text;
    use testkit::inventory::sample;

    use super::*;

    fn told(scope: anyhow::Result<Scope>) -> String {
        scope.map_or_else(|error| format!("refused: {error:#}"), |scope| scope_text(&scope))
    }

    fn words(line: &str) -> Vec<String> {
        line.split('|').map(str::to_owned).collect()
    }

    #[test]
    fn digests_and_patterns_are_told_apart_and_nonsense_is_refused() {
        let digest = format!("sha256:{}", "AB".repeat(32));
        let low = digest.to_lowercase();
        assert_eq!(told(image(&digest)), format!("image {low}"));
        assert_eq!(told(image(&format!("shop/web@{digest}"))), format!("image shop/web ({low})"));
        assert_eq!(told(image("registry/team/*")), "images named registry/team/*");
        for nonsense in ["sha256:12", "web@sha256:12", "", "a[", &"x".repeat(600)] {
            assert!(image(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn a_registry_is_a_host_and_no_glob() {
        assert_eq!(told(registry("registry.example:5000")), "all images from registry.example:5000");
        for nonsense in ["", "*", "registry.example/team", "a b", "{a,b}"] {
            assert!(registry(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn an_engine_is_told_by_kind_place_and_namespace() {
        for (text, wanted) in [
            ("docker", "engine docker"),
            ("docker:/run/other.sock", "engine docker at /run/other.sock"),
            ("containerd:/run/x.sock", "engine containerd at /run/x.sock, in all its namespaces"),
            ("containerd:/run/x.sock:moby", "engine containerd:moby at /run/x.sock"),
            ("containerd:/run/a:b/x.sock", "engine containerd at /run/a:b/x.sock, in all its namespaces"),
            ("cri:/run/crio/crio.sock", "engine cri at /run/crio/crio.sock"),
            ("podman:/var/lib/containers/storage", "engine podman at /var/lib/containers/storage"),
        ] {
            assert_eq!(told(engine(text)), wanted);
        }
        for nonsense in
            ["", "lxc", "containerd", "podman:storage", "containerd::moby", "containerd:/run/x.sock:"]
        {
            assert!(engine(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn rights_are_put_into_the_form_that_containers_are_compared_by() {
        let line =
            "shop web|host:pid|cap:cap_sys_admin|cap:BPF|cap:bpf|mount:/a:b:ro|device:/dev/kvm|no-seccomp";
        assert_eq!(
            told(rights(&words(line))),
            "workload shop web with rights over the host: cap:BPF, cap:SYS_ADMIN, device:/dev/kvm, host:pid, \
             mount:/a:b:ro, no-seccomp"
        );
        let Ok(Scope::Rights { rights: all, .. }) = rights(&words("shop|cap:ALL")) else { panic!("rights") };
        assert_eq!(all.len(), 41);
        for nonsense in [
            "shop",
            "shop|",
            "|host:pid",
            "shop|cap:SYS_NOTHING",
            "shop|host:planet",
            "shop|mount:etc:ro",
            "shop|mount:/etc",
            "shop|device:kvm",
            "shop|root",
        ] {
            assert!(rights(&words(nonsense)).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn commands_are_a_glob_and_belong_to_a_workload() {
        assert_eq!(told(exec(&words("shop/db|pg_dump *"))), "running pg_dump * in workload shop/db");
        for nonsense in ["shop|", "|ls", "shop|a["] {
            assert!(exec(&words(nonsense)).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn only_what_no_engine_claims_is_approved_as_unclaimed_and_only_with_its_root() {
        let mut view = sample();
        assert!(told(unclaimed(&view.containers[0])).contains("docker claims shop_web.1.x2"));
        assert_eq!(
            told(unclaimed(&view.containers[1])),
            "workload unclaimed:/srv/miner --pool 203.0.113.9 in /srv/rootfs, though no engine claims it"
        );
        assert!(told(unclaimed(&view.containers.remove(4))).contains("root directory of systemd-resolved"));
    }
}
