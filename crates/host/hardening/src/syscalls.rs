//! The filter of system calls: what a sensor never does once its probes are loaded is refused with EPERM.
//!
//! A list of refusals, not of permissions: docs/decisions/0019-hardening.md says why. Not here: capabilities.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter_all_threads,
};

/// Refused whatever their arguments are.
const REFUSED: &[i64] = &[
    // Running another program, or code of another process, or reading and changing its memory.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    // The kernel's code and the machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_perf_event_open,
    libc::SYS_syslog,
    // What exploits of the kernel use and a sensor does not.
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_personality,
    libc::SYS_vhangup,
    // Mounts and namespaces; entering one is narrowed below.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // The host's names and clock.
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    // Becoming another user.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
];

/// Refused as well where the kernel has them.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    // x32 has numbers of its own for some: rt_sigaction apart, execve, ptrace, kexec_load, vmsplice, process_vm_*, execveat.
    X32 | 520,
    X32 | 521,
    X32 | 528,
    X32 | 539,
    X32 | 540,
    X32 | 545,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[libc::SYS_kexec_file_load];

/// The bit that marks a call of the x32 interface: each call can be reached by it as well.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

/// Commands of bpf(2) (`enum bpf_cmd`) that make, load, attach, detach or pin: maps are read by descriptor.
const BPF_REFUSED: &[u64] = &[0, 5, 6, 8, 9, 10, 13, 14, 17, 18, 19, 28, 29, 32, 34, 35, 36];

/// Namespaces that may be entered, to count what is in them; 0 would be any.
const NAMESPACES: &[u64] = &[libc::CLONE_NEWIPC as u64, libc::CLONE_NEWNET as u64];

/// Families of sockets that are opened: engines, systemd and ourselves; conntrack and sockets of the kernel.
const FAMILIES: &[u64] = &[libc::AF_UNIX as u64, libc::AF_NETLINK as u64];

/// Puts the filter into force for all threads, now and later.
pub(crate) fn seal() -> Result<(), String> {
    let failed =
        |error: &dyn std::fmt::Display| format!("the filter of system calls is not in force: {error}");
    let program = program().map_err(|error| failed(&error))?;
    apply_filter_all_threads(&program).map_err(|error| failed(&error))
}

fn program() -> Result<BpfProgram, seccompiler::BackendError> {
    let refusal = SeccompAction::Errno(libc::EPERM as u32);
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules()?, SeccompAction::Allow, refusal, arch)?.try_into()
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn rules() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = REFUSED.iter().chain(REFUSED_HERE).map(|call| (*call, Vec::new())).collect();
    rules.insert(
        libc::SYS_bpf,
        BPF_REFUSED.iter().map(|command| when(0, *command)).collect::<Result<_, _>>()?,
    );
    rules.insert(libc::SYS_socket, vec![unless(0, FAMILIES)?]);
    rules.insert(libc::SYS_setns, vec![unless(1, NAMESPACES)?]);
    // Typing into the terminal that started us.
    rules.insert(libc::SYS_ioctl, vec![when(1, libc::TIOCSTI)?]);
    #[cfg(target_arch = "x86_64")]
    {
        let again: Vec<_> = rules.iter().map(|(call, rules)| (call | X32, rules.clone())).collect();
        rules.extend(again);
    }
    Ok(rules)
}

/// Matches when an argument has a value.
fn when(argument: u8, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![compare(argument, SeccompCmpOp::Eq, value)?])
}

/// Matches when an argument has none of the values.
fn unless(argument: u8, values: &[u64]) -> Result<SeccompRule, seccompiler::BackendError> {
    let each = values.iter().map(|value| compare(argument, SeccompCmpOp::Ne, *value));
    SeccompRule::new(each.collect::<Result<_, _>>()?)
}

fn compare(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    // All of them are int or unsigned int: the kernel ignores the upper half, and so must the filter.
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

#[cfg(test)]
mod tests;
