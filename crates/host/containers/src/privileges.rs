//! What an engine says it lets a container do to its host, from the settings that the container was made with.
//!
//! Not here: what the kernel shows (`hostfs`), and what of it is too much (`detect`). Volumes are the engine's own; only
//! those made of a directory of the host count as one.

use bollard::models::{
    DeviceRequest, HostConfig, HostConfigCgroupnsModeEnum as CgroupMode, Mount, MountType,
};
use bollard::models::{MountPoint, MountVolumeOptions};
use model::privilege::{
    Capabilities, DEVICES_MAX, HOST_MOUNTS_MAX, HostMount, NamespaceKind as Namespace, Privileges,
};
use model::untrusted::Untrusted;

use crate::docker::Confinement;

/// What a container was made with.
pub(crate) struct Settings<'a> {
    /// What was asked of the engine.
    pub(crate) host: &'a HostConfig,
    /// What the engine mounts, those of other containers included.
    pub(crate) mounts: &'a [MountPoint],
    /// Its profile of AppArmor; empty where the host has none.
    pub(crate) apparmor: &'a str,
}

/// Directories of the host by what a container could do with them, the worst first: to take the host over, to act as one
/// of its services, to read what it keeps.
const MOUNTS_BY_DANGER: [&[&str]; 3] = [
    &["/proc", "/sys", "/dev", "/etc", "/root", "/boot", "/run", "/var/run"],
    &["/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt", "/var/lib", "/var/spool", "/var", "/home"],
    &["/var/log", "/srv", "/mnt", "/media"],
];

/// Beginnings of devices' paths, the worst first: memory, then disks.
const DEVICES_BY_DANGER: [&[&str]; 2] = [
    &["/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/dev/uinput"],
    &[
        "/dev/sd",
        "/dev/vd",
        "/dev/xvd",
        "/dev/hd",
        "/dev/nvme",
        "/dev/mmcblk",
        "/dev/dm-",
        "/dev/mapper",
        "/dev/md",
    ],
];

/// What the container may do.
pub(crate) fn privileges(settings: &Settings<'_>, confinement: Confinement) -> Privileges {
    let host = settings.host;
    let is_privileged = host.privileged.unwrap_or(false);
    let options = host.security_opt.as_deref().unwrap_or_default();
    let has = |key, value| options.iter().any(|option| is_option(option, key, value));
    let has_own_seccomp = options.iter().any(|option| key_of(option) == "seccomp");
    let is_unconfined = settings.apparmor == "unconfined"
        || (has("apparmor", "unconfined") && confinement.by_apparmor)
        // Asked for by the engine itself with a namespace of the host, so it says nothing where there is no SELinux.
        || (has("label", "disable") && confinement.by_selinux)
        || (is_privileged && (confinement.by_apparmor || confinement.by_selinux));
    Privileges {
        is_privileged,
        capabilities: capabilities(host),
        host_namespaces: host_namespaces(host),
        without_seccomp: is_privileged
            || has("seccomp", "unconfined")
            || (!has_own_seccomp && !confinement.by_seccomp),
        is_unconfined,
        mounts: mounts(host, settings.mounts),
        devices: devices(host),
    }
}

/// `seccomp=unconfined`, and as it was written before Docker 1.11, `seccomp:unconfined`.
fn is_option(option: &str, key: &str, value: &str) -> bool {
    key_of(option) == key && option.get(key.len() + 1..) == Some(value)
}

fn key_of(option: &str) -> &str {
    option.split(['=', ':']).next().unwrap_or_default()
}

/// As moby's `TweakCapabilities` does it: all but those taken away, or none but those given, or the usual ones with both.
fn capabilities(host: &HostConfig) -> Capabilities {
    if host.privileged.unwrap_or(false) {
        return Capabilities::ALL;
    }
    let is_all = |name: &String| Capabilities::parse(name) == Some(Capabilities::ALL);
    let named = |names: &[String]| {
        let names = names.iter().filter(|name| !is_all(name));
        names.filter_map(|name| Capabilities::parse(name)).fold(Capabilities::default(), Capabilities::with)
    };
    let added = host.cap_add.as_deref().unwrap_or_default();
    let dropped = host.cap_drop.as_deref().unwrap_or_default();
    if added.iter().any(is_all) {
        Capabilities::ALL.without(named(dropped))
    } else if dropped.iter().any(is_all) {
        named(added)
    } else {
        Capabilities::usual().without(named(dropped)).with(named(added))
    }
}

fn host_namespaces(host: &HostConfig) -> Vec<Namespace> {
    let modes = [
        (Namespace::Pid, &host.pid_mode),
        (Namespace::Net, &host.network_mode),
        (Namespace::Ipc, &host.ipc_mode),
        (Namespace::Uts, &host.uts_mode),
        (Namespace::User, &host.userns_mode),
    ];
    let shared = modes.into_iter().filter(|(_, mode)| mode.as_deref() == Some("host"));
    let mut shared: Vec<_> = shared.map(|(kind, _)| kind).collect();
    shared.extend((host.cgroupns_mode == Some(CgroupMode::HOST)).then_some(Namespace::Cgroup));
    shared.sort_unstable();
    shared
}

/// What of the host's files is mounted: as the engine resolved it, and as it was asked for.
fn mounts(host: &HostConfig, resolved: &[MountPoint]) -> Vec<HostMount> {
    let resolved = resolved.iter().filter(|it| it.typ.as_deref() == Some("bind"));
    let resolved = resolved.filter_map(|it| Some((it.source.as_deref()?, it.rw.unwrap_or(true))));
    let binds = host.binds.iter().flatten().filter_map(|bind| bound(bind));
    let asked = host.mounts.iter().flatten().filter_map(mounted);
    let mut mounts: Vec<HostMount> = resolved
        .chain(binds)
        .chain(asked)
        .map(|(path, is_writable)| HostMount { path: Untrusted::new(tidy(path)), is_writable })
        .collect();
    mounts
        .sort_by_cached_key(|mount| (mount_danger(mount.path.raw()), !mount.is_writable, mount.path.clone()));
    mounts.dedup();
    mounts.truncate(HOST_MOUNTS_MAX);
    mounts
}

/// `/host/path:/container/path:ro,z`; what begins with no slash is the name of a volume.
fn bound(bind: &str) -> Option<(&str, bool)> {
    let mut parts = bind.split(':');
    let source = parts.next().filter(|source| source.starts_with('/'))?;
    let options = parts.nth(1).unwrap_or_default();
    Some((source, !options.split(',').any(|option| option == "ro")))
}

fn mounted(mount: &Mount) -> Option<(&str, bool)> {
    let source = match mount.typ? {
        MountType::BIND => mount.source.as_deref()?,
        MountType::VOLUME => disguised(mount.volume_options.as_ref()?)?,
        _ => return None,
    };
    Some((source, !mount.read_only.unwrap_or(false)))
}

/// The directory of the host that a volume is made of: the options `type=none,o=bind,device=/` of the local driver.
fn disguised(options: &MountVolumeOptions) -> Option<&str> {
    let options = options.driver_config.as_ref()?.options.as_ref()?;
    let is_bind = options.get("o")?.split(',').any(|option| option == "bind" || option == "rbind");
    options.get("device").map(String::as_str).filter(|_| is_bind)
}

fn tidy(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed,
    }
}

fn mount_danger(path: &str) -> usize {
    if path == "/" || is_engine_socket(path) {
        return 0;
    }
    // The longest match counts: `/var/log` is no `/var`.
    let ranked = MOUNTS_BY_DANGER
        .iter()
        .enumerate()
        .flat_map(|(rank, roots)| roots.iter().map(move |root| (root, rank)));
    let held = ranked.filter(|(root, _)| path.strip_prefix(**root).is_some_and(is_below));
    let longest = held.max_by_key(|(root, _)| root.len());
    longest.map_or(MOUNTS_BY_DANGER.len() + 1, |(_, rank)| rank + 1)
}

fn is_below(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

fn is_engine_socket(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    matches!(name, "docker.sock" | "containerd.sock" | "crio.sock" | "podman.sock" | "containerd" | "docker")
        && (path.starts_with("/run/") || path.starts_with("/var/run/"))
}

/// Devices by path, rules that allow classes of devices, and what drivers are asked for.
fn devices(host: &HostConfig) -> Vec<Untrusted> {
    let mapped = host.devices.iter().flatten().filter_map(|device| device.path_on_host.clone());
    let rules = host.device_cgroup_rules.iter().flatten().cloned();
    let requested = host.device_requests.iter().flatten().map(request);
    let mut devices: Vec<String> = mapped.chain(rules).chain(requested).collect();
    devices.sort_by_cached_key(|device| (device_danger(device), device.clone()));
    devices.dedup();
    devices.iter().take(DEVICES_MAX).map(|device| Untrusted::new(device)).collect()
}

fn device_danger(device: &str) -> usize {
    // A rule (`b 8:* rwm`) opens devices that are not there yet, by number.
    if !device.starts_with('/') && device.contains(' ') {
        return 0;
    }
    let is_of = |roots: &&[&str]| roots.iter().any(|root| device.starts_with(root));
    DEVICES_BY_DANGER.iter().position(is_of).unwrap_or(DEVICES_BY_DANGER.len())
}

/// `gpu:all`, `gpu:2`, `gpu:GPU-1a,GPU-2b`.
fn request(request: &DeviceRequest) -> String {
    let capability = request.capabilities.iter().flatten().flatten().find(|name| *name == "gpu");
    let driver = request.driver.as_ref().filter(|driver| !driver.is_empty());
    let kind = capability.or(driver).map_or("device", String::as_str);
    let ids = request.device_ids.as_deref().unwrap_or_default();
    match (ids, request.count) {
        ([], Some(count)) if count >= 0 => format!("{kind}:{count}"),
        ([], _) => format!("{kind}:all"),
        _ => format!(
            "{kind}:{}",
            ids.iter().take(DEVICES_MAX).map(String::as_str).collect::<Vec<_>>().join(",")
        ),
    }
}

#[cfg(test)]
mod tests;
