//! Reads the runtime's specification of a container (`config.json` of the OCI): what it runs and what it may do.
//!
//! A claim like any other: it says what an engine asked its runtime for. Not here: reading files, and what the kernel
//! shows (`hostfs`).

use model::privilege::{Capabilities, DEVICES_MAX, HOST_MOUNTS_MAX, HostMount, NamespaceKind, Privileges};
use model::untrusted::{UNTRUSTED_BYTES_MAX, Untrusted};
use serde::Deserialize;

/// Largest specification read, in bytes; real ones have a few dozen kilobytes.
pub const SPEC_BYTES_MAX: usize = 4 << 20;

/// Devices that every container is given.
const USUAL_DEVICES: [&str; 10] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/console",
    "/dev/ptmx",
    "/dev/stdin",
    "/dev/stdout",
];

/// Files that engines write for each container and mount into it, by where they are mounted.
const ENGINES_FILES: [&str; 7] = [
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/dev/shm",
    "/dev/termination-log",
    "/run/.containerenv",
    "/dev/init",
];

/// What a specification says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// Program and arguments, space separated.
    pub command: Untrusted,
    /// What it may do to the host.
    pub privileges: Privileges,
    /// The cgroup it is to be in: a path, or `SLICE:PREFIX:NAME` where systemd makes it. Empty when not told.
    pub cgroup: Untrusted,
    /// Its root directory, on the host or below its bundle.
    pub root: Untrusted,
}

/// Text that is no specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// It is larger than [`SPEC_BYTES_MAX`].
    #[error("a specification of {bytes} bytes is larger than {SPEC_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It is not the JSON that it should be.
    #[error("not a specification of a container: {reason}")]
    Malformed {
        /// What the parser says.
        reason: Untrusted,
    },
}

/// Reads a specification.
///
/// # Errors
/// When it is too large or not the JSON that it should be; what is absent stays empty.
pub fn parse(bytes: &[u8]) -> Result<Spec, SpecError> {
    if bytes.len() > SPEC_BYTES_MAX {
        return Err(SpecError::TooLarge { bytes: bytes.len() });
    }
    let told: Told = serde_json::from_slice(bytes)
        .map_err(|error| SpecError::Malformed { reason: Untrusted::new(&error.to_string()) })?;
    Ok(Spec {
        command: command_line(&told.process.args),
        cgroup: Untrusted::new(&told.linux.cgroups_path),
        root: Untrusted::new(&told.root.path),
        privileges: told.privileges(),
    })
}

/// Program and arguments, space separated; stops once there is more than is kept.
pub(crate) fn command_line(args: &[String]) -> Untrusted {
    let mut line = String::new();
    for arg in args {
        if line.len() > UNTRUSTED_BYTES_MAX {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(arg);
    }
    Untrusted::new(&line)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    process: Process,
    root: Root,
    #[serde(deserialize_with = "or_default")]
    mounts: Vec<Mount>,
    linux: Linux,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Process {
    #[serde(deserialize_with = "or_default")]
    args: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    capabilities: CapabilitySets,
    #[serde(rename = "apparmorProfile")]
    apparmor_profile: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CapabilitySets {
    #[serde(deserialize_with = "or_default")]
    bounding: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Root {
    path: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Mount {
    destination: String,
    r#type: String,
    source: String,
    #[serde(deserialize_with = "or_default")]
    options: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Linux {
    #[serde(rename = "cgroupsPath")]
    cgroups_path: String,
    #[serde(deserialize_with = "or_default")]
    namespaces: Vec<Namespace>,
    seccomp: Option<serde::de::IgnoredAny>,
    #[serde(deserialize_with = "or_default")]
    devices: Vec<Device>,
    #[serde(deserialize_with = "or_default")]
    resources: Resources,
    #[serde(rename = "maskedPaths", deserialize_with = "or_default")]
    masked_paths: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Namespace {
    r#type: String,
    path: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Device {
    path: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resources {
    #[serde(deserialize_with = "or_default")]
    devices: Vec<DeviceRule>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DeviceRule {
    allow: bool,
    r#type: String,
    major: Option<i64>,
    minor: Option<i64>,
    access: String,
}

/// Go writes `null` for lists and structures that nobody filled.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Told {
    fn privileges(&self) -> Privileges {
        let named = self.process.capabilities.bounding.iter().filter_map(|name| Capabilities::parse(name));
        Privileges {
            is_privileged: self.is_privileged(),
            capabilities: named.fold(Capabilities::default(), Capabilities::with),
            host_namespaces: self.linux.host_namespaces(),
            without_seccomp: self.linux.seccomp.is_none(),
            is_unconfined: self.process.apparmor_profile == "unconfined",
            mounts: self.host_mounts(),
            devices: self.devices(),
        }
    }

    /// The specification has no such word. What engines that have it do is to leave out all of this together.
    fn is_privileged(&self) -> bool {
        let bounding = &self.process.capabilities.bounding;
        let administers = bounding.iter().any(|name| name.eq_ignore_ascii_case("CAP_SYS_ADMIN"));
        let all_devices = self.linux.resources.devices.iter().any(DeviceRule::is_for_all);
        administers && all_devices && self.linux.seccomp.is_none() && self.linux.masked_paths.is_empty()
    }

    fn host_mounts(&self) -> Vec<HostMount> {
        let of_host = self.mounts.iter().filter(|mount| mount.is_of_host() && !mount.is_of_engine());
        let mut mounts: Vec<HostMount> = of_host
            .map(|mount| HostMount { path: Untrusted::new(&mount.source), is_writable: mount.is_writable() })
            .collect();
        // The nearer to the root, the more it holds.
        mounts.sort_by_cached_key(|mount| (depth(mount.path.raw()), !mount.is_writable, mount.path.clone()));
        mounts.dedup();
        mounts.truncate(HOST_MOUNTS_MAX);
        mounts
    }

    fn devices(&self) -> Vec<Untrusted> {
        let given = self.linux.devices.iter().map(|device| &device.path);
        let mounted = self.mounts.iter().filter(|mount| mount.is_of_device()).map(|mount| &mount.source);
        let unusual = given.chain(mounted).filter(|path| !USUAL_DEVICES.contains(&path.as_str()));
        let mut devices: Vec<_> = unusual.map(|path| Untrusted::new(path)).collect();
        devices.sort_unstable();
        devices.dedup();
        devices.truncate(DEVICES_MAX);
        devices
    }
}

impl Linux {
    /// Those it is given none of its own of, and those of the host's init that it is put into.
    fn host_namespaces(&self) -> Vec<NamespaceKind> {
        let is_own = |kind: NamespaceKind| {
            let word = match kind {
                NamespaceKind::Mnt => "mount",
                NamespaceKind::Net => "network",
                other => other.name(),
            };
            let told = self.namespaces.iter().find(|namespace| namespace.r#type == word);
            told.is_some_and(|namespace| !namespace.path.starts_with("/proc/1/ns/"))
        };
        NamespaceKind::ALL.into_iter().filter(|kind| !is_own(*kind)).collect()
    }
}

impl DeviceRule {
    fn is_for_all(&self) -> bool {
        let any = |number: Option<i64>| number.is_none_or(|number| number < 0);
        let all_kinds = matches!(self.r#type.as_str(), "" | "a");
        self.allow && all_kinds && any(self.major) && any(self.minor) && self.access.contains('w')
    }
}

impl Mount {
    fn is_of_host(&self) -> bool {
        let is_bind = self.r#type == "bind" || self.has_option("bind") || self.has_option("rbind");
        is_bind && self.source.starts_with('/')
    }

    /// A file system of the host that is mounted from its device once more.
    fn is_of_device(&self) -> bool {
        !self.is_of_host() && self.source.starts_with("/dev/")
    }

    fn is_writable(&self) -> bool {
        !self.has_option("ro")
    }

    fn has_option(&self, option: &str) -> bool {
        self.options.iter().any(|it| it == option)
    }

    /// Whether it is the engine's own: a file it wrote for the container, or a volume it keeps.
    fn is_of_engine(&self) -> bool {
        let file = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let is_told_file = ENGINES_FILES.contains(&self.destination.as_str());
        let is_hosts_own = self.source.starts_with("/etc/") && self.is_writable();
        let is_named_so = file(&self.source).ends_with(&file(&self.destination));
        (is_told_file && is_named_so && !is_hosts_own) || self.source.contains("/volumes/")
    }
}

fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty()).count()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn check(spec: &serde_json::Value, expected: &Expect) {
        let spec = parse(spec.to_string().as_bytes()).unwrap();
        let rights: Vec<_> = spec.privileges.rights().iter().map(ToString::to_string).collect();
        expected.assert_eq(&rights.join(" "));
    }

    fn usual() -> serde_json::Value {
        json!({
            "process": {"args": ["sh", "-c", "id"], "capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL"]}},
            "root": {"path": "rootfs"},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/etc/hosts", "type": "bind", "source": "/var/lib/engine/c1/hosts", "options": ["rbind"]},
                {"destination": "/dev/shm", "type": "bind", "source": "/var/lib/engine/c1/mounts/shm", "options": ["rbind"]},
                {"destination": "/data", "type": "bind", "source": "/var/lib/engine/volumes/v/_data", "options": ["rbind"]},
            ],
            "linux": {
                "cgroupsPath": "/default/c1",
                "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
                               {"type": "network", "path": "/proc/77/ns/net"}],
                "seccomp": {"defaultAction": "SCMP_ACT_ERRNO"},
                "resources": {"devices": [{"allow": false, "access": "rwm"},
                                          {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}]},
                "devices": null,
                "maskedPaths": ["/proc/kcore"],
            },
        })
    }

    #[test]
    fn what_every_container_has_is_no_right() {
        check(&usual(), &expect![[""]]);
        let spec = parse(usual().to_string().as_bytes()).unwrap();
        assert_eq!(
            [&spec.command, &spec.cgroup, &spec.root].map(Untrusted::raw),
            ["sh -c id", "/default/c1", "rootfs"]
        );
    }

    #[test]
    fn what_is_left_out_of_the_walls_is_told() {
        let mut spec = usual();
        spec["process"]["capabilities"]["bounding"] = json!(["CAP_SYS_ADMIN", "CAP_OF_TOMORROW"]);
        spec["process"]["apparmorProfile"] = json!("unconfined");
        spec["linux"]["seccomp"] = json!(null);
        spec["linux"]["namespaces"] = json!([{"type": "pid", "path": "/proc/1/ns/pid"}, {"type": "mount"}]);
        spec["linux"]["devices"] = json!([{"path": "/dev/kvm"}, {"path": "/dev/null"}]);
        check(
            &spec,
            &expect![[
                "cap:SYS_ADMIN device:/dev/kvm host:ipc host:net host:pid host:uts no-seccomp unconfined"
            ]],
        );
    }

    #[test]
    fn privileged_is_all_of_it_at_once() {
        let mut spec = usual();
        spec["process"]["capabilities"]["bounding"] = json!(["CAP_SYS_ADMIN"]);
        spec["linux"]["seccomp"] = json!(null);
        spec["linux"]["maskedPaths"] = json!(null);
        check(&spec, &expect![[r"cap:SYS_ADMIN no-seccomp"]]);
        spec["linux"]["resources"]["devices"] = json!([{"allow": true, "access": "rwm"}]);
        check(&spec, &expect![[r"cap:SYS_ADMIN no-seccomp privileged"]]);
    }

    #[test]
    fn the_hosts_files_are_told_the_widest_first_even_where_the_engines_would_be() {
        let mut spec = usual();
        spec["mounts"] = json!([
            {"destination": "/deep", "type": "none", "source": "/srv/a/b", "options": ["bind", "ro"]},
            {"destination": "/etc/hosts", "type": "bind", "source": "/", "options": ["rbind"]},
            {"destination": "/etc/resolv.conf", "type": "bind", "source": "/etc/resolv.conf", "options": ["rbind", "ro"]},
            {"destination": "/etc/hostname", "type": "bind", "source": "/etc/hostname", "options": ["rbind"]},
            {"destination": "/disk", "type": "ext4", "source": "/dev/sda1"},
        ]);
        let spec = parse(spec.to_string().as_bytes()).unwrap();
        let shown: Vec<_> = spec.privileges.mounts.iter().map(|it| (it.path.raw(), it.is_writable)).collect();
        assert_eq!(shown, [("/", true), ("/etc/hostname", true), ("/srv/a/b", false)]);
        assert_eq!(spec.privileges.devices, [Untrusted::new("/dev/sda1")]);
    }

    #[test]
    fn what_is_no_specification_is_refused() {
        assert!(matches!(parse(b"[1]"), Err(SpecError::Malformed { .. })));
        assert!(matches!(parse(&vec![b' '; SPEC_BYTES_MAX + 1]), Err(SpecError::TooLarge { .. })));
        let empty = parse(b"{}").unwrap();
        assert_eq!(empty.command, Untrusted::default());
        assert_eq!(empty.privileges.host_namespaces.len(), NamespaceKind::ALL.len());
    }
}
