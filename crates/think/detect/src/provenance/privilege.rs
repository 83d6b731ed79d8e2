//! Flags a container that is given power over its host which nobody approved for its workload.
//!
//! T1610, T1611. By two views: what the engine says it gave, and what the kernel shows, which cannot be left out of a
//! request; what lives in user namespaces of its own has no such power. Not here: power that is used (`cgroup_escape.rs`).

use model::finding::{Aspect, Finding};
use model::identity::Container;
use model::novelty::Provenance;
use model::privilege::Privileges;
use model::untrusted::Untrusted;

use crate::Case;
use crate::provenance::{ALONE_BITS, claim, settled};

pub(crate) const ID: &str = "privilege";

/// Whoever has one of these has the host.
const HOST_BITS: f64 = ALONE_BITS;
/// What opens the network or the kernel to it, or takes a wall away: with an image that nobody approved, enough.
const WALL_BITS: f64 = 8.5;
/// What is often given without need.
const MINOR_BITS: f64 = 3.0;
/// All minor ones together.
const MINOR_MAX: f64 = 6.0;
/// On a host where nothing was approved yet, a container from before.
const BEFORE_BITS: f64 = 2.0;

/// Capabilities that are the host: mount, load modules, trace, read any file, write raw memory, program the kernel.
const HOST_CAPABILITIES: [&str; 8] =
    ["SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "SYS_PTRACE", "DAC_READ_SEARCH", "BPF", "MAC_ADMIN", "SYS_BOOT"];
const WALL_CAPABILITIES: [&str; 3] = ["NET_ADMIN", "PERFMON", "SYSLOG"];

/// Directories of the host whose writing is the host, and those whose reading gives away its secrets.
const HOST_PLACES: [&str; 13] = [
    "/",
    "/etc",
    "/root",
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/boot",
    "/proc",
    "/dev",
    "/var/lib/docker",
    "/var/run",
    "/run",
];

/// Judges a container when its facts are settled.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for container in settled(case) {
        // What nobody claims is judged for that: by hand everything is made with all rights.
        if matches!(case.state.provenance(container), Provenance::Pending | Provenance::Unclaimed) {
            continue;
        }
        let rights = case.state.unapproved_rights(&container.workload(), rights(container));
        let weights: Vec<(f64, &Untrusted)> =
            rights.iter().map(|right| (weight(right.raw()), right)).collect();
        let bits = total(&weights);
        if bits <= 0.0 {
            continue;
        }
        let is_from_before = case.state.is_from_before(container);
        let bits = if is_from_before { bits.min(BEFORE_BITS) } else { bits };
        let mut heaviest = weights.clone();
        heaviest.sort_by(|a, b| b.0.total_cmp(&a.0));
        let shown: Vec<String> = heaviest.iter().take(6).map(|(_, right)| right.to_string()).collect();
        let all: Vec<&str> = rights.iter().map(Untrusted::raw).collect();
        out.push(
            claim(case, container, ID, bits, Aspect::Rights)
                .claiming(format!(
                    "it was given power over the host that nobody approved for it: {}{}",
                    shown.join(", "),
                    if rights.len() > shown.len() { ", …" } else { "" }
                ))
                .with("rights", all.join(" ").as_str()),
        );
    }
}

/// What it may do by both views together.
fn rights(container: &Container) -> Vec<Untrusted> {
    let shown =
        container.setup.known().filter(|setup| !setup.has_own_users).map(|setup| setup.privileges.rights());
    let has_own_users = container.setup.known().is_some_and(|setup| setup.has_own_users);
    let claimed =
        container.facts.known().and_then(|facts| facts.privileges.as_deref()).filter(|_| !has_own_users);
    let mut rights: Vec<Untrusted> =
        shown.into_iter().chain(claimed.map(Privileges::rights)).flatten().collect();
    rights.sort_unstable();
    rights.dedup();
    rights
}

fn total(weights: &[(f64, &Untrusted)]) -> f64 {
    let heaviest = weights.iter().map(|(bits, _)| *bits).fold(0.0, f64::max);
    let minor: f64 = weights.iter().map(|(bits, _)| *bits).filter(|bits| *bits <= MINOR_BITS).sum();
    if heaviest > MINOR_BITS { heaviest } else { minor.min(MINOR_MAX) }
}

fn weight(right: &str) -> f64 {
    let (kind, what) = right.split_once(':').unwrap_or((right, ""));
    match kind {
        "privileged" => HOST_BITS,
        "cap" if HOST_CAPABILITIES.contains(&what) => HOST_BITS,
        "cap" if WALL_CAPABILITIES.contains(&what) => WALL_BITS,
        "cap" => MINOR_BITS,
        "host" if what == "pid" => HOST_BITS,
        "host" if what == "net" => WALL_BITS / 2.0,
        "host" => MINOR_BITS,
        "mount" => mount(what),
        "device" => device(what),
        "no-seccomp" => WALL_BITS / 2.0,
        _ => MINOR_BITS,
    }
}

fn mount(what: &str) -> f64 {
    let (path, is_writable) = match what.rsplit_once(':') {
        Some((path, mode)) => (path, mode == "rw"),
        None => (what, true),
    };
    let is_place = HOST_PLACES.contains(&path) || path.starts_with("/sys/fs/cgroup");
    match (is_place, is_writable) {
        _ if path.ends_with(".sock") => WALL_BITS,
        (true, true) => HOST_BITS,
        (true, false) if path == "/" || path == "/root" || path == "/proc" => WALL_BITS,
        (true, false) => MINOR_BITS,
        (false, true) => MINOR_BITS / 2.0,
        (false, false) => 0.0,
    }
}

/// Disks and raw memory are the host; graphics cards and the like are given for work.
fn device(path: &str) -> f64 {
    let name = path.rsplit('/').next().unwrap_or_default();
    let disks = ["sd", "vd", "nvme", "xvd", "dm-", "loop", "mem", "kmem", "port", "mapper", "kcore"];
    if disks.iter().any(|disk| name.starts_with(disk)) { HOST_BITS } else { MINOR_BITS }
}

#[cfg(test)]
mod tests {
    use super::{total, weight};

    #[test]
    fn power_over_the_host_weighs_alone_and_small_things_stay_small_together() {
        let bits = |rights: &[&str]| {
            let named: Vec<model::untrusted::Untrusted> =
                rights.iter().map(|right| (*right).into()).collect();
            total(&named.iter().map(|right| (weight(right.raw()), right)).collect::<Vec<_>>())
        };
        for right in [
            "privileged",
            "cap:SYS_ADMIN",
            "host:pid",
            "mount:/:rw",
            "mount:/sys/fs/cgroup:rw",
            "device:/dev/sda",
        ] {
            assert!(bits(&[right]) >= 12.5, "{right}");
        }
        for right in ["cap:NET_ADMIN", "mount:/:ro", "mount:/run/docker.sock:rw"] {
            assert!((8.0..12.5).contains(&bits(&[right])), "{right}");
        }
        assert!(bits(&["host:net", "no-seccomp"]) < 8.5);
        assert!(
            bits(&["host:ipc", "cap:SYS_NICE", "cap:IPC_LOCK", "device:/dev/dri", "mount:/srv:rw"]) <= 6.0
        );
        assert!(bits(&["mount:/srv/config:ro"]) <= 0.0);
    }
}
