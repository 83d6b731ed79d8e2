//! What the path of a cgroup says about who made it. A claim like any other: paths can be chosen.
//!
//! Not here: believing it (`kind.rs`, `tally.rs`).

use model::view::EngineKind;

/// What a cgroup path suggests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suggests<'a> {
    /// A container with this id, and the kind of engine when the path is one that only that kind makes.
    Container(Option<EngineKind>, &'a str),
    /// A container of a runtime that Tidewatch does not ask, by the runtime's name.
    Unwatched(&'static str),
    /// A systemd unit, by its name.
    Unit(&'a str),
    /// Nothing known.
    Nothing,
}

/// Scopes that engines ask systemd for, `PREFIX<id>.scope`, and the same as plain folders.
const PREFIXES: [(&str, EngineKind); 4] = [
    ("docker-", EngineKind::Docker),
    ("cri-containerd-", EngineKind::Cri),
    ("crio-", EngineKind::Cri),
    ("libpod-", EngineKind::Podman),
];

/// Folders that the cgroupfs drivers of engines put containers into.
const FOLDERS: [(&str, EngineKind); 3] =
    [("docker", EngineKind::Docker), ("kubepods", EngineKind::Cri), ("libpod_parent", EngineKind::Podman)];

/// Reads a path such as `/docker/<id>`, `/system.slice/docker-<id>.scope` or `/system.slice/cron.service`.
pub(crate) fn read(path: &str) -> Suggests<'_> {
    let leaf = path.rsplit('/').next().unwrap_or_default();
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let first = parts.next().unwrap_or_default();
    // Podman puts a container's processes one group further down.
    for part in path.rsplit('/') {
        let bare = part.strip_suffix(".scope").unwrap_or(part);
        let named = PREFIXES.iter().find_map(|(prefix, kind)| Some((bare.strip_prefix(prefix)?, *kind)));
        if let Some((id, kind)) = named.filter(|(id, _)| is_id(id)) {
            return Suggests::Container(Some(kind), id);
        }
    }
    if let Some(runtime) = unwatched(path) {
        return Suggests::Unwatched(runtime);
    }
    // Docker lets `--cgroup-parent` choose the folder, so any folder of that shape may be an engine's.
    if is_id(leaf) && parts.next().is_some() {
        let folder =
            FOLDERS.iter().find(|(name, _)| first == *name || first.strip_suffix(".slice") == Some(name));
        return Suggests::Container(folder.map(|(_, kind)| *kind), leaf);
    }
    match path.split('/').find(|part| is_unit(part)) {
        Some(unit) => Suggests::Unit(unit),
        None => Suggests::Nothing,
    }
}

/// The runtime without a view here that makes cgroups at this place. The same name elsewhere is not that runtime's.
fn unwatched(path: &str) -> Option<&'static str> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    match (parts.next()?, parts.next().unwrap_or_default()) {
        ("lxc.payload", _) => Some("LXC"),
        (first, _) if first.starts_with("lxc.payload.") => Some("LXC"),
        ("machine.slice", scope) if scope.starts_with("machine-") && scope.ends_with(".scope") => {
            Some("systemd-machined")
        }
        ("buildkit", _) | ("docker", "buildkit") => Some("BuildKit"),
        _ => None,
    }
}

fn is_unit(part: &str) -> bool {
    [".service", ".scope", ".mount", ".socket"]
        .iter()
        .any(|end| part.len() > end.len() && part.ends_with(end))
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layouts_in_use_are_told_apart() {
        let id = "0123456789abcdef".repeat(4);
        let of = |kind| Suggests::Container(kind, &id);
        for (path, suggests) in [
            (format!("/docker/{id}"), of(Some(EngineKind::Docker))),
            (format!("/system.slice/docker-{id}.scope"), of(Some(EngineKind::Docker))),
            (format!("/batch/{id}"), of(None)),
            (format!("/kubepods/burstable/pod1/{id}"), of(Some(EngineKind::Cri))),
            (
                format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
                of(Some(EngineKind::Cri)),
            ),
            (format!("/machine.slice/libpod-{id}.scope"), of(Some(EngineKind::Podman))),
            (format!("/machine.slice/libpod-{id}.scope/container"), of(Some(EngineKind::Podman))),
            (format!("/libpod_parent/libpod-{id}"), of(Some(EngineKind::Podman))),
            ("/machine.slice/machine-web.scope".into(), Suggests::Unwatched("systemd-machined")),
            ("/lxc.payload.web".into(), Suggests::Unwatched("LXC")),
            ("/lxc.payload/web".into(), Suggests::Unwatched("LXC")),
            ("/buildkit/k3x".into(), Suggests::Unwatched("BuildKit")),
            (format!("/docker/buildkit/{id}"), Suggests::Unwatched("BuildKit")),
            ("/system.slice/my-buildkit.service".into(), Suggests::Unit("my-buildkit.service")),
            ("/system.slice/machine-web.scope".into(), Suggests::Unit("machine-web.scope")),
            ("/system.slice/x.service/lxc.payload.web".into(), Suggests::Unit("x.service")),
            ("/machine.slice/machine-web.service".into(), Suggests::Unit("machine-web.service")),
            ("/lxc.payloads".into(), Suggests::Nothing),
            ("/machine-web".into(), Suggests::Nothing),
            ("/system.slice/cron.service".into(), Suggests::Unit("cron.service")),
            ("/system.slice/foo.scope".into(), Suggests::Unit("foo.scope")),
            ("/user.slice/user-0.slice/session-3.scope".into(), Suggests::Unit("session-3.scope")),
            (
                "/user.slice/user-0.slice/user@0.service/app.slice/x.scope".into(),
                Suggests::Unit("user@0.service"),
            ),
            (
                format!("/system.slice/docker-{}.scope", &id[1..]),
                Suggests::Unit(
                    "docker-123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope",
                ),
            ),
            ("/docker/short".into(), Suggests::Nothing),
            (format!("/{id}"), Suggests::Nothing),
            ("/".into(), Suggests::Nothing),
            (String::new(), Suggests::Nothing),
        ] {
            assert_eq!(read(&path), suggests, "{path}");
        }
    }
}
