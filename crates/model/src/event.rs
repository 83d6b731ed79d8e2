//! Event: what happened, whatever told us.
//!
//! Not here: who it was (`identity.rs`). Time, approvals and our own restarts arrive as events as well, so that
//! the fold needs nothing else.

use serde::{Deserialize, Serialize};

use crate::approval::Approval;
use crate::confines::Confines;
use crate::coverage::{Loss, Source, SourceReport};
use crate::expectation::{Expectation, ExpectationId};
use crate::ids::{CgroupId, Namespaces, NodeId, ProcessKey};
use crate::incident::{Closing, Incident, IncidentId};
use crate::integrity::Integrity;
use crate::program::{Descent, FileFacts};
use crate::runtime::{Administered, ContainerFacts, EngineWork, ServiceChange};
use crate::setup::Setup;
use crate::time::Time;
use crate::traffic::{Direction, DnsMessage, FlowKey, Flows, InterfaceAddress, Protocol};
use crate::untrusted::Untrusted;
use crate::usage::{DeepUsage, HostUsage, KernelCounts, LogSize, ProcessUsage, Usage};
use crate::view::{EngineSeen, UnitChange, View};

/// One thing that happened, stamped by the source that saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The host it happened on.
    pub node: NodeId,
    /// Who told us.
    pub source: Source,
    /// Dense per source and run: a gap is loss.
    pub seq: u64,
    /// When it happened.
    pub time: Time,
    /// When we got it.
    pub seen: Time,
    /// What happened.
    pub body: Body,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "data")]
pub enum Body {
    /// A program was executed.
    Exec(Box<Exec>),
    /// A running process was found by a scan; or the kernel told of one that was cloned into namespaces which its parent
    /// does not have, or of the first of a pid namespace when it ended. The kernel then gives neither path nor arguments.
    Process(Box<Exec>),
    /// A process ended.
    Exit(Exit),
    /// A scan no longer finds a process that an earlier one found. The kernel's own report of its end may have come before
    /// the scan's report of its life, or be lost.
    Vanished(ProcessKey),
    /// A cgroup was made, or found by a scan.
    CgroupCreated(CgroupPath),
    /// A cgroup was removed.
    CgroupRemoved(CgroupPath),
    /// A process was moved into a cgroup.
    CgroupAttached(Attach),
    /// A socket changed state, or met an address for the first time in a while.
    Socket(Box<Socket>),
    /// What one cgroup exchanged with others since the reading before.
    Flows(Box<Flows>),
    /// A question or an answer about a name.
    Dns(Box<DnsMessage>),
    /// The host's own addresses, all of them, at the start and when they change.
    Interfaces(Vec<InterfaceAddress>),
    /// What the probes counted for one cgroup.
    Counts(Box<KernelCounts>),
    /// A reading of one cgroup.
    Usage(Box<Usage>),
    /// A reading of one container's log file.
    Log(Box<LogSize>),
    /// What the processes of one cgroup hold; on demand.
    Deep(Box<DeepUsage>),
    /// The processes of the host that used most CPU since the reading before, the busiest first; on demand.
    Processes(Vec<ProcessUsage>),
    /// A reading of the host; comes after the readings of cgroups and logs of the same second.
    Host(Box<HostUsage>),
    /// A runtime tells of a container: it appeared or something about it changed.
    Container(Box<ContainerFacts>),
    /// A runtime says a container ended or is gone.
    ContainerGone {
        /// The runtime's id.
        id: Untrusted,
        /// Which engine says so.
        #[serde(default, skip_serializing_if = "View::is_default")]
        view: View,
    },
    /// A runtime's whole list, after (re)connecting: whatever it claimed before and is not here is gone.
    ContainerList {
        /// The runtime's ids.
        ids: Vec<Untrusted>,
        /// Which engine says so; of containerd one of its namespaces.
        #[serde(default, skip_serializing_if = "View::is_default")]
        view: View,
    },
    /// The cgroup that Tidewatch itself runs in.
    Own(CgroupId),
    /// An engine was found, or how it is has changed.
    Engine(Box<EngineSeen>),
    /// systemd tells which of its units run.
    Units(UnitChange),
    /// How a process that begins a container is set up; follows its start.
    Setup(Box<Setup>),
    /// A runtime says that somebody has it run a program in a container that runs already.
    EngineExec {
        /// The runtime's id of the container.
        id: Untrusted,
        /// Which engine says so.
        #[serde(default, skip_serializing_if = "View::is_default")]
        view: View,
        /// The program and its arguments, space separated; empty when not told.
        #[serde(default, skip_serializing_if = "Untrusted::is_empty")]
        command: Untrusted,
        /// What is done.
        #[serde(default, skip_serializing_if = "Administered::is_exec")]
        what: Administered,
    },
    /// A runtime says that it has worked on an image.
    EngineWork(EngineWork),
    /// A runtime says that it changes a service.
    Service(ServiceChange),
    /// Somebody approved something.
    Approved(Box<Approval>),
    /// Somebody took an approval back.
    Revoked {
        /// Which.
        id: u64,
    },
    /// Somebody declared that something is to be expected, or an expectation of an earlier run is taken up.
    Expected(Box<Expectation>),
    /// Somebody took an expectation back.
    Unexpected {
        /// Which.
        id: ExpectationId,
    },
    /// An incident that was open when Tidewatch last ended, or that somebody closed as an attack before.
    Restored(Box<Incident>),
    /// Somebody closed an incident.
    Closed {
        /// Which.
        id: IncidentId,
        /// With what verdict.
        closing: Closing,
    },
    /// A source tells how it is.
    Report(SourceReport),
    /// A source knows it lost events.
    Lost(Loss),
    /// Tidewatch was not running in between: the gap in everything it could have seen.
    Resumed {
        /// The last time it is known to have run.
        last: Time,
    },
    /// When Tidewatch first looked at this host with this data directory: noted once, and repeated at each later start.
    FirstLook {
        /// The start of the first run; what was running before it was there before us.
        at: Time,
    },
    /// Tidewatch noticed something about itself.
    Integrity(Box<Integrity>),
    /// A second passed.
    Tick,
}

impl Body {
    /// The Docker engine that Tidewatch is told to follow says that a container is gone.
    pub fn gone(id: Untrusted) -> Self {
        Self::ContainerGone { id, view: View::default() }
    }

    /// The whole list of that engine.
    pub fn listed(ids: Vec<Untrusted>) -> Self {
        Self::ContainerList { ids, view: View::default() }
    }

    /// That engine runs a program in a container.
    pub fn ran_in(id: Untrusted) -> Self {
        let (view, command) = (View::default(), Untrusted::default());
        Self::EngineExec { id, view, command, what: Administered::Exec }
    }
}

/// A program that runs: the process, where it runs, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The process.
    pub process: ProcessKey,
    /// Its parent's pid.
    pub parent_pid: u32,
    /// User id in the host's user namespace.
    pub uid: u32,
    /// Its cgroup.
    pub cgroup: CgroupId,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// Program name (`comm`).
    pub name: Untrusted,
    /// File as the kernel was asked for it; for a scan, the target of `/proc/PID/exe`.
    pub path: Untrusted,
    /// Arguments, space separated.
    pub args: Untrusted,
    /// Which of its standard streams are network sockets; known of programs whose start the kernel told.
    #[serde(default, skip_serializing_if = "Streams::is_empty")]
    pub streams: Streams,
    /// Where the program's file comes from, or the script's where one is told; known of programs whose start the kernel told.
    #[serde(default, skip_serializing_if = "FileOrigin::is_unknown")]
    pub origin: FileOrigin,
    /// The script that the program, an interpreter, was given to run, or the program that a loader was given; told in
    /// containers, where it is known where that is from.
    #[serde(default, skip_serializing_if = "Untrusted::is_empty")]
    pub script: Untrusted,
    /// Whether the program is a loader (`ld-linux`): what it is given runs as a program does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_by_loader: bool,
    /// The file that `origin` is about, as the kernel shows it; known of programs whose start the kernel told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileFacts>,
    /// What it descends from; known of processes that began while the probes ran.
    #[serde(default, skip_serializing_if = "Descent::is_none")]
    pub descent: Descent,
    /// What started it, and for whom; known of programs whose start the kernel told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<Lineage>,
    /// Whose root it has and whose file it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confines: Option<Confines>,
}

/// Where the file that is executed comes from, as the kernel knows the file: a name can be anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileOrigin {
    /// Not known, or a file system without layers.
    #[default]
    Unknown,
    /// A layer of the image.
    Image,
    /// The container's own layer: it was written after the container was made.
    Written,
    /// Memory (a `memfd`).
    Memory,
    /// A file whose name is gone.
    Deleted,
    /// Another file system than the container's root: a volume, `tmpfs`, a directory of the host.
    Mounted,
}

impl FileOrigin {
    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }
}

/// What started a program, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The parent's cgroup.
    pub parent_cgroup: CgroupId,
    /// The parent's namespaces.
    pub parent_namespaces: Namespaces,
    /// The user who logged in, whatever it became since (audit's `loginuid`); `None` for what no login started.
    pub login_uid: Option<u32>,
    /// Whether it has a terminal.
    pub has_terminal: bool,
    /// Its user namespace, as inode number.
    pub user_ns: u32,
}

/// The end of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The process.
    pub process: ProcessKey,
    /// Its cgroup.
    pub cgroup: CgroupId,
    /// Exit status, 0 to 255.
    pub status: u8,
    /// Signal that ended it, 0 when it ended by itself.
    pub signal: u8,
    /// Whether the kernel dumped core.
    pub core_dumped: bool,
    /// Program name (`comm`).
    pub name: Untrusted,
}

/// A cgroup and its path below the hierarchy's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPath {
    /// Which cgroup.
    pub cgroup: CgroupId,
    /// For example `/docker/<id>` or `/system.slice/docker-<id>.scope`.
    pub path: Untrusted,
}

/// A process moved into a cgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// The process.
    pub process: ProcessKey,
    /// Where it was moved to.
    pub cgroup: CgroupId,
    /// Path of that cgroup.
    pub path: Untrusted,
    /// The process's namespaces; `None` when the kernel did not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Namespaces>,
    /// Pid of who moved it; 0 when unknown.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub by_pid: u32,
    /// The cgroup of who moved it; 0 when unknown.
    #[serde(default, skip_serializing_if = "CgroupId::is_unknown")]
    pub by_cgroup: CgroupId,
}

/// States of a socket worth an event. Where a protocol has no connections, the first packet stands for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketState {
    /// Connected, by us to a peer, for the first time in a while.
    Connected,
    /// Accepted from a peer, for the first time in a while.
    Accepted,
    /// Could not connect, for the first time in a while.
    Failed,
    /// Closed; bytes are final. Told of so many connections a second only; counts hold all.
    Closed,
    /// Listens.
    Listening,
}

/// A socket that changed state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// The cgroup that owns the socket (not the one that happened to run).
    pub cgroup: CgroupId,
    /// The new state.
    pub state: SocketState,
    /// Above IP.
    #[serde(default, skip_serializing_if = "Protocol::is_tcp")]
    pub protocol: Protocol,
    /// Own address.
    pub local: std::net::SocketAddr,
    /// The peer's address.
    pub remote: std::net::SocketAddr,
    /// Where the connection truly goes, when the host translates addresses on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub translated: Option<std::net::SocketAddr>,
    /// Which end opened it; `None` when that was not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_by: Option<Direction>,
    /// Network namespace, as inode number; 0 when unknown.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub net_ns: u32,
    /// Bytes the peer has acknowledged.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// How long the connection lasted, in milliseconds; 0 when its beginning was not seen.
    #[serde(default, skip_serializing_if = "is_zero_64")]
    pub lasted_ms: u64,
    /// Program (`comm`) that opened it; empty when the peer did, or when it was opened before we looked.
    #[serde(default, skip_serializing_if = "Untrusted::is_empty")]
    pub program: Untrusted,
}

impl Socket {
    /// A TCP socket of which nothing more is known.
    pub fn new(
        cgroup: CgroupId,
        state: SocketState,
        local: std::net::SocketAddr,
        remote: std::net::SocketAddr,
    ) -> Self {
        Self {
            cgroup,
            state,
            protocol: Protocol::TCP,
            local,
            remote,
            translated: None,
            opened_by: match state {
                SocketState::Connected | SocketState::Failed => Some(Direction::Out),
                SocketState::Accepted => Some(Direction::In),
                SocketState::Closed | SocketState::Listening => None,
            },
            net_ns: 0,
            sent_bytes: 0,
            received_bytes: 0,
            lasted_ms: 0,
            program: Untrusted::default(),
        }
    }

    /// The flow it belongs to; `None` when it is unknown which end opened it.
    pub fn flow(&self) -> Option<FlowKey> {
        let direction = self.opened_by?;
        let port = match direction {
            Direction::Out => self.remote.port(),
            Direction::In => self.local.port(),
        };
        Some(FlowKey { direction, protocol: self.protocol, remote: self.remote.ip(), port })
    }
}

/// What the standard streams of a program are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// Which of them are network sockets: bit 0 is standard input, bit 1 output, bit 2 error.
    pub sockets: u8,
    /// The peer of the first of these.
    pub remote: Option<std::net::SocketAddr>,
}

impl Streams {
    /// Whether none of them is a network socket.
    pub fn is_empty(&self) -> bool {
        self.sockets == 0
    }

    /// Whether it reads from the network and answers to it.
    pub fn is_remote(&self) -> bool {
        self.sockets & 0b11 == 0b11
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero_64(count: &u64) -> bool {
    *count == 0
}
