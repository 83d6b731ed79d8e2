//! What a container may do to its host: capabilities, the host's namespaces, its files and devices.
//!
//! The same shape for what a runtime says it gave and for what the kernel shows, so that the two can be compared. Not
//! here: what of it is too much (`detect`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::untrusted::Untrusted;

/// Most mounts of the host kept of one container, the most dangerous first.
pub const HOST_MOUNTS_MAX: usize = 32;
/// Most devices kept of one container.
pub const DEVICES_MAX: usize = 32;

/// Names of the capabilities by their number (capability.h), without `CAP_`.
pub const CAPABILITY_NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What engines give every container (moby `oci/caps/defaults.go`; containerd and Podman give these or fewer).
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// A set of capabilities: bit n is the capability with number n, as `/proc/PID/status` writes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// Every capability that has a name.
    pub const ALL: Self = Self((1 << CAPABILITY_NAMES.len()) - 1);

    /// What engines give when nobody asks for more or less.
    pub fn usual() -> Self {
        Self(DEFAULT.iter().filter_map(|name| Self::parse(name)).fold(0, |all, one| all | one.0))
    }

    /// `SYS_ADMIN`, `CAP_SYS_ADMIN` or `ALL`, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        let name = name.strip_prefix("CAP_").unwrap_or(&name);
        if name == "ALL" {
            return Some(Self::ALL);
        }
        CAPABILITY_NAMES.iter().position(|known| *known == name).map(|number| Self(1 << number))
    }

    /// These and those.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without those.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their names in the kernel's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        CAPABILITY_NAMES
            .iter()
            .enumerate()
            .filter(move |(number, _)| self.0 >> number & 1 == 1)
            .map(|(_, name)| *name)
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(" "))
    }
}

/// Kinds of namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceKind {
    /// Processes.
    Pid,
    /// Mounts.
    Mnt,
    /// Network.
    Net,
    /// System V and POSIX message queues.
    Ipc,
    /// Host name.
    Uts,
    /// Users.
    User,
    /// Control groups.
    Cgroup,
}

impl NamespaceKind {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Pid, Self::Mnt, Self::Net, Self::Ipc, Self::Uts, Self::User, Self::Cgroup];

    /// Name of its file below `/proc/PID/ns`, which is also the word used in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::Mnt => "mnt",
            Self::Net => "net",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::User => "user",
            Self::Cgroup => "cgroup",
        }
    }
}

/// A directory or file of the host that is mounted into a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostMount {
    /// The host's path.
    pub path: Untrusted,
    /// Whether the container may write there.
    pub is_writable: bool,
}

/// What a container may do to its host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privileges {
    /// Whether the runtime calls it privileged; the kernel has no such word.
    pub is_privileged: bool,
    /// Capabilities that it can ever have: its bounding set.
    pub capabilities: Capabilities,
    /// Namespaces that it shares with the host's init, sorted.
    pub host_namespaces: Vec<NamespaceKind>,
    /// Whether no seccomp filter is in force.
    pub without_seccomp: bool,
    /// Whether the host confines containers by AppArmor or SELinux, and not this one.
    pub is_unconfined: bool,
    /// The host's directories and files mounted into it, volumes of its engine not among them; at most
    /// [`HOST_MOUNTS_MAX`].
    pub mounts: Vec<HostMount>,
    /// The host's devices given to it, beyond those that every container has; at most [`DEVICES_MAX`].
    pub devices: Vec<Untrusted>,
}

impl Privileges {
    /// What of this lets it act on the host or hides less from it than containers are meant to, in words that people can
    /// approve: `privileged`, `cap:SYS_ADMIN`, `host:pid`, `mount:/etc:rw`, `device:/dev/kvm`, `no-seccomp`, `unconfined`.
    /// Sorted.
    pub fn rights(&self) -> Vec<Untrusted> {
        let mut rights: Vec<String> = Vec::new();
        rights.extend(self.is_privileged.then(|| "privileged".to_owned()));
        let beyond = self.capabilities.without(Capabilities::usual());
        rights.extend(beyond.names().map(|name| format!("cap:{name}")));
        // Every engine leaves these to the host when it is not asked otherwise.
        let unusual = self
            .host_namespaces
            .iter()
            .filter(|kind| !matches!(kind, NamespaceKind::User | NamespaceKind::Cgroup | NamespaceKind::Mnt));
        rights.extend(unusual.map(|kind| format!("host:{}", kind.name())));
        let mode = |mount: &HostMount| if mount.is_writable { "rw" } else { "ro" };
        rights.extend(self.mounts.iter().map(|mount| format!("mount:{}:{}", mount.path.raw(), mode(mount))));
        rights.extend(self.devices.iter().map(|device| format!("device:{}", device.raw())));
        rights.extend(self.without_seccomp.then(|| "no-seccomp".to_owned()));
        rights.extend(self.is_unconfined.then(|| "unconfined".to_owned()));
        rights.sort_unstable();
        rights.iter().map(|right| Untrusted::new(right)).collect()
    }

    /// Whether it shares that namespace with the host.
    pub fn shares(&self, kind: NamespaceKind) -> bool {
        self.host_namespaces.contains(&kind)
    }
}

#[cfg(test)]
mod tests {
    use super::Capabilities;

    #[test]
    fn capabilities_are_read_by_name_in_every_spelling_and_written_in_order() {
        let some =
            ["cap_sys_admin", "NET_RAW", "Cap_Bpf"].iter().filter_map(|name| Capabilities::parse(name));
        let some = some.fold(Capabilities::default(), Capabilities::with);
        assert_eq!(some.to_string(), "NET_RAW SYS_ADMIN BPF");
        assert_eq!(Capabilities::parse("SYS_NOTHING"), None);
        assert_eq!(Capabilities::usual().0, 0xa804_25fb, "as every container of Docker shows");
        assert_eq!(Capabilities::parse("all"), Some(Capabilities::ALL));
    }
}
