//! Byte layouts shared with `bpf/records.h`: records into event bodies, counters, settings. Every length is checked;
//! what does not fit is no record.
//!
//! Not here: what the fields mean to the kernel, see the comments in `bpf/`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use model::confines::{Confines, RootId, RunFile};
use model::event::{Attach, Body, CgroupPath, Exec, Exit, FileOrigin, Lineage, Socket, SocketState, Streams};
use model::ids::{CgroupId, Namespaces, ProcessKey};
use model::privilege::Capabilities;
use model::program::{Descent, FileFacts, FileId};
use model::time::Time;
use model::traffic::{Direction, DnsMessage, FlowCounts, FlowKey, Protocol};
use model::untrusted::Untrusted;
use model::usage::KernelCounts;

use crate::{Record, dns, script};

/// Size of `struct counters`.
pub(crate) const COUNTERS_BYTES: usize = 240;
/// Size of `struct rest`.
pub(crate) const REST_BYTES: usize = COUNTERS_BYTES + 16;
/// Where in `struct counters` the creator's number is.
pub(crate) const CREATOR_AT: usize = 200;

const COMM_BYTES: usize = 16;
const EXEC_PATH_BYTES: usize = 256;
const EXEC_ARGS_BYTES: usize = 256;
const FILE_NAME_BYTES: usize = 32;
/// Of `enum origin`: no origin of a file.
const ORIGIN_SCRIPT: u16 = 6;
const CGROUP_PATH_BYTES: usize = 512;
const DNS_BYTES: usize = 512;
/// Size of `struct flow_key`.
pub(crate) const FLOW_KEY_BYTES: usize = 32;
/// What the kernel's audit calls the user of what no login started.
const NO_LOGIN: u32 = u32::MAX;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// `/proc/PID/stat` gives starts in clock ticks; on all Linux architectures user space sees 100 a second.
const TICK_NS: u64 = 10_000_000;

/// What the loader tells the programs.
pub(crate) struct Settings {
    /// Events a second and events at once, of one cgroup.
    pub(crate) budget: (u32, u32),
    /// The same of the root cgroup.
    pub(crate) host_budget: (u32, u32),
    /// Unread bytes from which the reader is woken.
    pub(crate) wake_bytes: u64,
    /// The hierarchy whose cgroups are told.
    pub(crate) hierarchy_id: u32,
    /// Whether tasks are looked up in the v1 `cpuacct` hierarchy.
    pub(crate) is_v1: bool,
    /// Whether the kernel says that the last thread of a process ended.
    pub(crate) exit_tells_group: bool,
}

/// `struct settings`.
pub(crate) fn settings_bytes(settings: &Settings) -> Vec<u8> {
    let (interval_ns, burst_ns) = spacing(settings.budget);
    let (host_interval_ns, host_burst_ns) = spacing(settings.host_budget);
    let mut bytes = Vec::new();
    for word in [interval_ns, burst_ns, host_interval_ns, host_burst_ns, settings.wake_bytes] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(settings.hierarchy_id.to_ne_bytes());
    bytes.extend(u16::from(settings.is_v1).to_ne_bytes());
    bytes.extend(u16::from(settings.exit_tells_group).to_ne_bytes());
    bytes
}

/// A record out of the ring buffer; `None` when it is not exactly what the programs write.
pub(crate) fn record(bytes: &[u8]) -> Option<Record> {
    let mut at = Reader(bytes);
    let (kind, size) = (at.u32()?, at.u32()?);
    if usize::try_from(size).ok()? != bytes.len() {
        return None;
    }
    let ktime_boot_ns = at.u64()?;
    let cgroup = CgroupId(at.u64()?);
    let body = match kind {
        1 => Body::Exec(Box::new(exec(&mut at, cgroup)?)),
        2 => Body::Exit(exit(&mut at, cgroup)?),
        3 => Body::CgroupCreated(cgroup_path(&mut at, cgroup)?),
        4 => Body::CgroupRemoved(cgroup_path(&mut at, cgroup)?),
        5 => Body::CgroupAttached(attach(&mut at, cgroup)?),
        6 => Body::Socket(Box::new(socket(&mut at, cgroup)?)),
        7 => Body::Dns(Box::new(names(&mut at, cgroup)?)),
        8 => Body::Process(Box::new(process_as_it_is(&mut at, cgroup)?)),
        _ => return None,
    };
    at.0.is_empty().then_some(Record { ktime_boot_ns, body })
}

/// `struct counters`.
pub(crate) fn counters(cgroup: CgroupId, bytes: &[u8]) -> Option<KernelCounts> {
    if bytes.len() != COUNTERS_BYTES {
        return None;
    }
    let mut at = Reader(bytes);
    Some(KernelCounts {
        cgroup,
        forks: at.u64()?,
        threads: at.u64()?,
        execs: at.u64()?,
        exits: at.u64()?,
        core_dumps: at.u64()?,
        ended_cpu_ns: at.u64()?,
        helpers: at.u64()?,
        helper_cpu_ns: at.u64()?,
        module_requests: at.u64()?,
        connects: at.u64()?,
        accepts: at.u64()?,
        engine_calls: at.u64()?,
        sent_bytes: at.u64()?,
        received_bytes: at.u64()?,
        sent_packets: at.u64()?,
        sent_packet_bytes: at.u64()?,
        received_packets: at.u64()?,
        received_packet_bytes: at.u64()?,
        whole_syncs: at.u64()?,
        file_syncs: at.u64()?,
        submitted: at.u64()?,
        over_budget: at.u64()?,
        no_room: at.u64()?,
        crowded: {
            let _due = at.u64()?;
            at.u64()?
        },
    })
}

/// `struct flow_key`: whose, and which.
pub(crate) fn flow_key(bytes: &[u8]) -> Option<(CgroupId, FlowKey)> {
    if bytes.len() != FLOW_KEY_BYTES {
        return None;
    }
    let mut at = Reader(bytes);
    let cgroup = CgroupId(at.u64()?);
    let remote = address(AF_INET6, at.array()?)?;
    let port = at.port()?;
    let [protocol, direction] = at.array()?;
    let direction = match direction {
        0 => Direction::Out,
        1 => Direction::In,
        _ => return None,
    };
    Some((cgroup, FlowKey { direction, protocol: Protocol(protocol), remote, port }))
}

/// `struct flow_key`, for looking a line up.
pub(crate) fn flow_key_bytes(cgroup: CgroupId, key: &FlowKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FLOW_KEY_BYTES);
    bytes.extend(cgroup.0.to_ne_bytes());
    bytes.extend(match key.remote {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    });
    bytes.extend(key.port.to_be_bytes());
    bytes.extend([key.protocol.0, key.direction as u8, 0, 0, 0, 0]);
    bytes
}

/// `struct flow`.
pub(crate) fn flow_counts(bytes: &[u8]) -> Option<FlowCounts> {
    let mut at = Reader(bytes);
    Some(FlowCounts {
        opened: at.u64()?,
        failed: at.u64()?,
        closed: at.u64()?,
        sent_bytes: at.u64()?,
        received_bytes: at.u64()?,
        sent_packets: at.u64()?,
        received_packets: at.u64()?,
        lasted_ms: at.u64()? / 1_000_000,
    })
}

/// The number at an offset, if the bytes reach that far.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Reader(bytes.get(offset..)?).u64()
}

/// Nanoseconds between two events at the steady rate, and how far ahead of it a burst may run.
fn spacing((per_second, burst): (u32, u32)) -> (u64, u64) {
    let interval_ns = 1_000_000_000 / u64::from(per_second.max(1));
    (interval_ns, interval_ns.saturating_mul(u64::from(burst.max(1) - 1)))
}

fn exec(at: &mut Reader<'_>, cgroup: CgroupId) -> Option<Exec> {
    let start = at.u64()?;
    let process = process(at.u32()?, start);
    let (parent_pid, uid) = (at.u32()?, at.u32()?);
    let namespaces = Namespaces { pid: at.u32()?, mnt: at.u32()?, net: at.u32()? };
    let (path_len, args_len, args_full) = (at.u32()?, at.u32()?, at.u32()?);
    let streams = streams(at)?;
    let (lineage, kind) = lineage(at)?;
    let confines = confines(at)?;
    let descent = descent(at)?;
    let program = file(at)?;
    let name = name(at)?;
    let (file_path, args) = (at.text(EXEC_PATH_BYTES, path_len)?, at.text(EXEC_ARGS_BYTES, args_len)?);
    let path = path(file_path, EXEC_PATH_BYTES);
    let script = match kind {
        File::Script => path.clone(),
        // An interpreter that is itself out of place is told, whatever it runs.
        File::Of(FileOrigin::Image | FileOrigin::Unknown) => {
            script::given_to(file_path, args).map(Untrusted::from_bytes).unwrap_or_default()
        }
        File::Of(_) => Untrusted::default(),
    };
    let is_of_image = matches!(kind, File::Of(FileOrigin::Image | FileOrigin::Unknown));
    let is_by_loader = is_of_image && program.as_ref().is_some_and(|file| script::is_loader(&file.name));
    let (origin, file) = match kind {
        File::Of(origin) if script.is_empty() => (origin, program),
        _ => (FileOrigin::Unknown, None),
    };
    Some(Exec {
        process,
        parent_pid,
        uid,
        cgroup,
        namespaces,
        name,
        path,
        args: arguments(args, args_full > args_len),
        streams,
        origin,
        script,
        is_by_loader,
        file,
        descent,
        lineage: Some(lineage),
        confines: Some(confines),
    })
}

fn process_as_it_is(at: &mut Reader<'_>, cgroup: CgroupId) -> Option<Exec> {
    let start = at.u64()?;
    let process = process(at.u32()?, start);
    let (parent_pid, uid) = (at.u32()?, at.u32()?);
    let namespaces = Namespaces { pid: at.u32()?, mnt: at.u32()?, net: at.u32()? };
    let (lineage, _file) = lineage(at)?;
    let confines = confines(at)?;
    let name = name(at)?;
    Some(Exec {
        process,
        parent_pid,
        uid,
        cgroup,
        namespaces,
        name,
        path: Untrusted::default(),
        args: Untrusted::default(),
        streams: Streams::default(),
        origin: FileOrigin::Unknown,
        script: Untrusted::default(),
        is_by_loader: false,
        file: None,
        descent: Descent::default(),
        lineage: Some(lineage),
        confines: Some(confines),
    })
}

fn confines(at: &mut Reader<'_>) -> Option<Confines> {
    let (root_inode, capabilities) = (at.u64()?, at.u64()?);
    let (root_device, file_device, pid_inside, flags) = (at.u32()?, at.u32()?, at.u32()?, at.u32()?);
    let has = |flag: u32| flags & flag != 0;
    Some(Confines {
        root: RootId { device: root_device, inode: root_inode },
        has_own_root: has(1),
        file: RunFile { device: file_device, is_in_place: has(2), is_on_hosts: has(4), is_roots: has(8) },
        has_own_users: has(16),
        capabilities: Capabilities(capabilities),
        pid_inside,
    })
}

/// `struct descent_record`.
fn descent(at: &mut Reader<'_>) -> Option<Descent> {
    let (entry_start, installer_start) = (at.u64()?, at.u64()?);
    let (entry, installer) = (at.u32()?, at.u32()?);
    let known = |pid: u32, start: u64| (pid != 0).then(|| process(pid, start));
    Some(Descent { entry: known(entry, entry_start), installer: known(installer, installer_start) })
}

/// `struct file_record`; nothing within where there is none.
fn file(at: &mut Reader<'_>) -> Option<Option<FileFacts>> {
    let id = FileId { device: at.u64()?, inode: at.u64()? };
    let changed = Time::from_ns(i64::try_from(at.u64()?).unwrap_or(i64::MAX));
    let (_origin, is_mounted_alone, _zero) = (at.u16()?, at.u16()? != 0, at.u32()?);
    let name: [u8; FILE_NAME_BYTES] = at.array()?;
    let name = text_before_zero(&name);
    Some((id.inode != 0).then_some(FileFacts { id, changed, is_mounted_alone, name }))
}

/// What the kernel knows of an executed file.
enum File {
    /// Where it comes from.
    Of(FileOrigin),
    /// An interpreter runs it.
    Script,
}

fn lineage(at: &mut Reader<'_>) -> Option<(Lineage, File)> {
    let parent_cgroup = CgroupId(at.u64()?);
    let parent_namespaces = Namespaces { pid: at.u32()?, mnt: at.u32()?, net: at.u32()? };
    let (login_uid, user_ns) = (at.u32()?, at.u32()?);
    let file = match at.u16()? {
        ORIGIN_SCRIPT => File::Script,
        number => File::Of(origin(number)),
    };
    let has_terminal = at.u16()? != 0;
    let login_uid = Some(login_uid).filter(|&uid| uid != NO_LOGIN);
    Some((Lineage { parent_cgroup, parent_namespaces, login_uid, has_terminal, user_ns }, file))
}

/// `enum origin`.
fn origin(number: u16) -> FileOrigin {
    match number {
        1 => FileOrigin::Image,
        2 => FileOrigin::Written,
        3 => FileOrigin::Memory,
        4 => FileOrigin::Deleted,
        5 => FileOrigin::Mounted,
        _ => FileOrigin::Unknown,
    }
}

fn streams(at: &mut Reader<'_>) -> Option<Streams> {
    let sockets = at.u32()?.to_le_bytes()[0] & 0b111;
    let (family, port, _zero) = (at.u16()?, at.port()?, at.u32()?);
    let remote = address(family, at.array()?).map(|address| SocketAddr::new(address, port));
    Some(Streams { sockets, remote })
}

fn exit(at: &mut Reader<'_>, cgroup: CgroupId) -> Option<Exit> {
    let start = at.u64()?;
    let process = process(at.u32()?, start);
    let [low, status, ..] = at.u32()?.to_le_bytes();
    Some(Exit { process, cgroup, status, signal: low & 0x7f, core_dumped: low & 0x80 != 0, name: name(at)? })
}

fn cgroup_path(at: &mut Reader<'_>, cgroup: CgroupId) -> Option<CgroupPath> {
    attach(at, cgroup).map(|Attach { cgroup, path, .. }| CgroupPath { cgroup, path })
}

fn attach(at: &mut Reader<'_>, cgroup: CgroupId) -> Option<Attach> {
    let start = at.u64()?;
    let process = process(at.u32()?, start);
    let namespaces = Namespaces { pid: at.u32()?, mnt: at.u32()?, net: at.u32()? };
    let (by_cgroup, by_pid, path_len) = (CgroupId(at.u64()?), at.u32()?, at.u32()?);
    let path = path(at.text(CGROUP_PATH_BYTES, path_len)?, CGROUP_PATH_BYTES);
    // Of a process that is ending the kernel has let the namespaces go.
    let namespaces = Some(namespaces).filter(|found| found.mnt != 0);
    Some(Attach { process, cgroup, path, namespaces, by_pid, by_cgroup })
}

fn socket(at: &mut Reader<'_>, cgroup: CgroupId) -> Option<Socket> {
    let (sent_bytes, received_bytes, lasted_ns, net_ns) = (at.u64()?, at.u64()?, at.u64()?, at.u32()?);
    let state = match at.u16()? {
        1 => SocketState::Connected,
        2 => SocketState::Accepted,
        3 => SocketState::Failed,
        4 => SocketState::Closed,
        5 => SocketState::Listening,
        _ => return None,
    };
    let family = at.u16()?;
    let (local_port, remote_port) = (at.port()?, at.port()?);
    let protocol = Protocol(at.u16()?.to_le_bytes()[0]);
    let opened_by = match at.u16()? {
        1 => Some(Direction::Out),
        2 => Some(Direction::In),
        _ => None,
    };
    let local = SocketAddr::new(address(family, at.array()?)?, local_port);
    let remote = SocketAddr::new(address(family, at.array()?)?, remote_port);
    Some(Socket {
        protocol,
        opened_by,
        net_ns,
        sent_bytes,
        received_bytes,
        lasted_ms: lasted_ns / 1_000_000,
        program: name(at)?,
        ..Socket::new(cgroup, state, local, remote)
    })
}

fn names(at: &mut Reader<'_>, cgroup: CgroupId) -> Option<DnsMessage> {
    let (family, _zero, len, full, _zero_too) = (at.u16()?, at.u16()?, at.u32()?, at.u32()?, at.u32()?);
    let server = address(family, at.array()?)?;
    let message = at.text(DNS_BYTES, len)?;
    Some(dns::message(cgroup, server, message, full))
}

fn process(pid: u32, start_ns: u64) -> ProcessKey {
    ProcessKey { pid, start_ns: start_ns - start_ns % TICK_NS }
}

fn name(at: &mut Reader<'_>) -> Option<Untrusted> {
    let comm: [u8; COMM_BYTES] = at.array()?;
    Some(text_before_zero(&comm))
}

fn text_before_zero(bytes: &[u8]) -> Untrusted {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    Untrusted::from_bytes(&bytes[..end])
}

/// A path that fills its field was probably cut by the kernel's copy, and says so.
fn path(bytes: &[u8], field_bytes: usize) -> Untrusted {
    marked(bytes, bytes.len() + 1 >= field_bytes)
}

/// Arguments lie in memory with a zero after each.
fn arguments(bytes: &[u8], cut: bool) -> Untrusted {
    let bytes = if cut { bytes } else { bytes.strip_suffix(&[0]).unwrap_or(bytes) };
    let spaced: Vec<u8> = bytes.iter().map(|&byte| if byte == 0 { b' ' } else { byte }).collect();
    marked(&spaced, cut)
}

fn marked(bytes: &[u8], cut: bool) -> Untrusted {
    if !cut {
        return Untrusted::from_bytes(bytes);
    }
    Untrusted::new(&format!("{}…", String::from_utf8_lossy(bytes)))
}

/// An IPv4 peer of an IPv6 socket is an IPv4 address: the same peer must not have two names.
fn address(family: u16, bytes: [u8; 16]) -> Option<IpAddr> {
    let [a, b, c, d, ..] = bytes;
    match family {
        AF_INET => Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d))),
        AF_INET6 => Some(Ipv6Addr::from(bytes).to_canonical()),
        _ => None,
    }
}

/// Bytes not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_ne_bytes)
    }

    /// Ports are in network order.
    fn port(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// A field of fixed size of which the first `len` bytes count.
    fn text(&mut self, field_bytes: usize, len: u32) -> Option<&'a [u8]> {
        let (field, tail) = self.0.split_at_checked(field_bytes)?;
        self.0 = tail;
        field.get(..usize::try_from(len).ok()?)
    }
}

#[cfg(test)]
pub(crate) mod tests;
