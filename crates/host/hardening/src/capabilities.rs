//! Capabilities that are kept, and dropping all others from every set.
//!
//! Not here: what the kept ones may still be used for; `syscalls.rs` narrows that.

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// Kept, each with what stops without it.
///
/// - `DAC_READ_SEARCH`: files of other users below `/proc/PID/root`, stores of rootless Podman.
/// - `DAC_OVERRIDE`: connecting to the socket of a rootless engine, which takes the right to write.
/// - `SYS_PTRACE`: `/proc/PID/{root,exe,fd,ns}` of processes of other users.
/// - `NET_ADMIN`: reading conntrack; attaching probes to packets.
/// - `SYS_ADMIN`: entering an IPC or network namespace to count what is in it; loading probes.
const KEPT: CapabilitySet = CapabilitySet::DAC_READ_SEARCH
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::NET_ADMIN)
    .union(CapabilitySet::SYS_ADMIN);

/// Kept where `SYS_ADMIN` is missing, which implies them: loading probes.
const FOR_PROBES: CapabilitySet = CapabilitySet::BPF.union(CapabilitySet::PERFMON);

/// Every capability by name, in the kernel's order.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// Drops all capabilities that are not kept from the bounding, ambient, inheritable, effective and permitted sets of this
/// thread. One sentence for each refusal.
pub(crate) fn restrict() -> Vec<String> {
    let held = match capabilities(None) {
        Ok(held) => held.permitted,
        Err(error) => return vec![format!("capabilities cannot be read: {error}")],
    };
    let kept = kept_of(held);
    let mut refusals: Vec<String> = drop_bounding(kept).into_iter().collect();
    // Kernels before 4.3 have no ambient set: nothing is lost there.
    let _ambient = clear_ambient_capability_set();
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    if let Err(error) = set_capabilities(None, sets) {
        refusals.push(format!("capabilities cannot be dropped: {error}"));
    }
    refusals
}

/// What is kept of what is held.
fn kept_of(held: CapabilitySet) -> CapabilitySet {
    if held.contains(CapabilitySet::SYS_ADMIN) { held & KEPT } else { held & KEPT.union(FOR_PROBES) }
}

fn drop_bounding(kept: CapabilitySet) -> Option<String> {
    let numbers = (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number));
    let dropped = numbers.filter(|one| !kept.contains(*one)).filter(|one| is_bounding(*one));
    let refused: Vec<_> = dropped.filter_map(|one| remove_capability_from_bounding_set(one).err()).collect();
    Some(format!("the bounding set cannot be reduced: {}", refused.first()?))
}

/// Numbers that this kernel does not have are in no set.
fn is_bounding(one: CapabilitySet) -> bool {
    capability_is_in_bounding_set(one).unwrap_or(false)
}

/// The names of the capabilities in a set as `/proc/PID/status` shows it; unknown ones by number.
pub(crate) fn names(bits: u64) -> Vec<String> {
    let numbers = (0..u64::BITS).filter(|number| bits & (1 << number) != 0);
    let name =
        |number: u32| NAMES.get(number as usize).map_or_else(|| number.to_string(), ToString::to_string);
    numbers.map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_stand_in_the_kernels_order() {
        assert_eq!(names(CapabilitySet::SYS_PTRACE.bits()), ["sys_ptrace"]);
        assert_eq!(names(CapabilitySet::CHECKPOINT_RESTORE.bits() | 1), ["chown", "checkpoint_restore"]);
        assert_eq!(names(1 << 63), ["63"]);
    }

    #[test]
    fn the_right_to_load_probes_is_kept_where_nothing_implies_it() {
        assert_eq!(kept_of(CapabilitySet::from_bits_retain(u64::MAX)), KEPT);
        let few = CapabilitySet::BPF | CapabilitySet::PERFMON | CapabilitySet::SYS_PTRACE;
        assert_eq!(kept_of(few | CapabilitySet::SETUID), few);
        assert_eq!(kept_of(CapabilitySet::empty()), CapabilitySet::empty());
    }

    #[test]
    fn what_is_dropped_is_in_no_set_of_this_thread_or_of_a_later_one() {
        std::thread::spawn(|| {
            let before = capabilities(None).unwrap().permitted;
            let refusals = restrict();
            assert!(refusals.is_empty() || before.is_empty(), "{refusals:?}");
            let later = std::thread::spawn(|| capabilities(None).unwrap()).join().unwrap();
            assert_eq!((later.permitted, later.effective), (kept_of(before), kept_of(before)));
            assert!(later.inheritable.is_empty());
            assert!(!is_bounding(CapabilitySet::SYS_MODULE), "root could still get it back by an exec");
        })
        .join()
        .unwrap();
    }
}
