//! What people said is fine: images by digest or name pattern, workloads with the image they ran.
//!
//! Not here: matching, which `state` does. Labels grant nothing.

use serde::{Deserialize, Serialize};

use crate::ids::WorkloadKey;
use crate::time::Time;
use crate::traffic::{EdgeKey, Protocol};
use crate::untrusted::Untrusted;
use crate::view::View;

/// Most approvals in force; a store refuses more.
pub const APPROVALS_MAX: usize = 10_000;

/// What an approval covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Scope {
    /// The image with this configuration digest, whatever its name.
    Digest {
        /// `sha256:…`
        digest: Untrusted,
        /// The name it had when it was approved, for people.
        image: Untrusted,
    },
    /// Every image whose name matches a glob: `registry.example/shop/*`. Trusts whoever can tag images on the host.
    Pattern {
        /// The glob.
        pattern: Untrusted,
    },
    /// This workload, running this image.
    Workload {
        /// The workload.
        workload: WorkloadKey,
        /// The image it must run, as a configuration digest.
        digest: Untrusted,
    },
    /// That these two talk.
    Edge(EdgeKey),
    /// That this workload serves this port.
    Listener {
        /// The workload.
        workload: WorkloadKey,
        /// The port; 0 stands for the range that the kernel picks from when a program names none.
        port: u16,
        /// Above IP.
        protocol: Protocol,
    },
    /// That this engine runs containers here.
    Engine {
        /// Its view; of containerd one namespace, or all of them when none is named.
        view: View,
    },
    /// That this workload has these rights over the host; no others.
    Rights {
        /// The workload.
        workload: WorkloadKey,
        /// The rights, as [`crate::privilege::Privileges::rights`] names them, sorted.
        rights: Vec<Untrusted>,
    },
    /// That programs like this are run in the workload's containers from outside.
    Administration {
        /// The workload.
        workload: WorkloadKey,
        /// A glob over program and arguments: `pg_dump *`.
        command: Untrusted,
    },
    /// A container that no engine claims, by what runs in it and from where.
    Unclaimed {
        /// The workload.
        workload: WorkloadKey,
        /// Its root directory.
        root: Untrusted,
    },
}

/// One approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Dense number given by the store; people revoke by it.
    pub id: u64,
    /// What it covers.
    pub scope: Scope,
    /// Who gave it (the user that ran the command).
    pub owner: Untrusted,
    /// When.
    pub at: Time,
    /// Why, in the owner's words.
    pub note: Untrusted,
}
