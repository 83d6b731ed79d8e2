//! How a process that begins a container is set up, as the kernel shows it: whatever any runtime claims about it.
//!
//! Not here: reading it (`hostfs`), comparing it with claims (`enrich`).

use serde::{Deserialize, Serialize};

use crate::authority::Executable;
use crate::ids::{CgroupId, Namespaces, ProcessKey};
use crate::privilege::Privileges;
use crate::untrusted::Untrusted;

/// Most ancestors told.
pub const MAKERS_MAX: usize = 8;

/// A process that stands above another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maker {
    /// Its pid.
    pub pid: u32,
    /// Its program's name (`comm`).
    pub name: Untrusted,
    /// Its arguments, space separated.
    pub args: Untrusted,
    /// The file that it executes; `None` when that was not looked at or is out of sight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<Box<Executable>>,
}

/// The kernel's account of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// The process.
    pub process: ProcessKey,
    /// Its cgroup.
    pub cgroup: CgroupId,
    /// Its program and arguments, space separated.
    #[serde(default)]
    pub program: Untrusted,
    /// Path of that cgroup; empty when unknown.
    pub cgroup_path: Untrusted,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// Its root directory, by the host's path where that can be told.
    pub root: Untrusted,
    /// Whether its root is another than that of the host's init, and there is anything in it.
    pub has_own_root: bool,
    /// Whether it runs the very file that the host has at the same path, below a root of its own: a sandbox does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub runs_hosts_file: bool,
    /// Whether its user namespace is its own: its capabilities then say nothing about the host.
    pub has_own_users: bool,
    /// What it may do to the host.
    pub privileges: Privileges,
    /// Who made it: its ancestors, parent first, at most [`MAKERS_MAX`].
    pub makers: Vec<Maker>,
}
