//! What the path of a cgroup says about who made it. A claim like any other: paths can be chosen.
//!
//! Not here: believing it.

/// What a cgroup path suggests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suggests<'a> {
    /// A container that Docker made, with this id.
    Docker(&'a str),
    /// A container of a runtime that Tidewatch does not ask yet, by its name.
    Unwatched(&'static str),
    /// A systemd unit: a service, or the session of a logged-in user.
    Unit,
    /// Nothing known.
    Nothing,
}

/// Runtimes by the mark they leave in a path: systemd scopes (`crio-<id>.scope`) and plain cgroupfs folders.
const UNWATCHED: [(&str, &str); 8] = [
    ("cri-containerd-", "containerd (CRI)"),
    ("crio-", "CRI-O"),
    ("libpod-", "Podman"),
    ("libpod_parent", "Podman"),
    ("kubepods", "Kubernetes"),
    ("lxc.payload", "LXC"),
    ("machine-", "systemd-machined"),
    ("buildkit", "BuildKit"),
];

/// Reads a path such as `/docker/<id>`, `/system.slice/docker-<id>.scope` or `/system.slice/cron.service`.
pub(crate) fn read(path: &str) -> Suggests<'_> {
    let mut parts = path.rsplit('/');
    let leaf = parts.next().unwrap_or_default();
    let parent = parts.next().unwrap_or_default();
    if let Some(id) = leaf.strip_prefix("docker-").and_then(|rest| rest.strip_suffix(".scope"))
        && is_id(id)
    {
        return Suggests::Docker(id);
    }
    if let Some((_, runtime)) = UNWATCHED.iter().find(|(mark, _)| path.contains(mark)) {
        return Suggests::Unwatched(runtime);
    }
    // Docker lets `--cgroup-parent` choose the folder, so any folder of that shape may be Docker's.
    if is_id(leaf) && !parent.is_empty() {
        return Suggests::Docker(leaf);
    }
    let is_session = |part: &str| part.starts_with("session-") && part.ends_with(".scope");
    if path.split('/').any(|part| part.ends_with(".service") || is_session(part)) {
        return Suggests::Unit;
    }
    Suggests::Nothing
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
        for (path, suggests) in [
            (format!("/docker/{id}"), Suggests::Docker(&id)),
            (format!("/system.slice/docker-{id}.scope"), Suggests::Docker(&id)),
            (format!("/batch/{id}"), Suggests::Docker(&id)),
            (format!("/kubepods/burstable/pod1/{id}"), Suggests::Unwatched("Kubernetes")),
            (
                format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
                Suggests::Unwatched("containerd (CRI)"),
            ),
            (format!("/machine.slice/libpod-{id}.scope"), Suggests::Unwatched("Podman")),
            ("/system.slice/cron.service".into(), Suggests::Unit),
            ("/user.slice/user-0.slice/session-3.scope".into(), Suggests::Unit),
            ("/docker/short".into(), Suggests::Nothing),
            ("/".into(), Suggests::Nothing),
            (String::new(), Suggests::Nothing),
        ] {
            assert_eq!(read(&path), suggests, "{path}");
        }
    }
}
