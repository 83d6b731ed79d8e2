//! What this process and kernel lack for BPF, said before libbpf is asked: its own answer would be a bare EPERM.
//!
//! Not here: what only trying can tell (seccomp, lockdown, old kernels), see `ProbesError::Refused`.

use std::fs;
use std::path::Path;

use crate::ProbesError;

const TYPE_INFO: &str = "/sys/kernel/btf/vmlinux";
const STATUS: &str = "/proc/self/status";
const RELEASE: &str = "/proc/sys/kernel/osrelease";

/// Capability numbers of `linux/capability.h`.
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Checks capabilities and type information.
pub(crate) fn check() -> Result<(), ProbesError> {
    let status =
        fs::read_to_string(STATUS).map_err(|source| ProbesError::HostFile { path: STATUS, source })?;
    if let Some(missing) = missing_capabilities(&status) {
        return Err(ProbesError::Capability { missing });
    }
    if !Path::new(TYPE_INFO).exists() {
        return Err(ProbesError::NoTypeInfo { release: kernel_release(), path: TYPE_INFO });
    }
    Ok(())
}

/// The kernel's release, for messages.
pub(crate) fn kernel_release() -> String {
    fs::read_to_string(RELEASE)
        .map_or_else(|_| "of unknown release".to_owned(), |text| text.trim().to_owned())
}

fn missing_capabilities(status: &str) -> Option<String> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    let has = |capability: u32| effective & (1 << capability) != 0;
    // CAP_SYS_ADMIN implies both: they were split from it in 5.8.
    if has(CAP_SYS_ADMIN) {
        return None;
    }
    let missing: Vec<&str> = [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")]
        .into_iter()
        .filter(|&(capability, _)| !has(capability))
        .map(|(_, name)| name)
        .collect();
    if missing.is_empty() { None } else { Some(missing.join(" and ")) }
}

#[cfg(test)]
mod tests {
    use super::missing_capabilities;

    #[test]
    fn missing_capabilities_are_named() {
        let missing = |hex: &str| missing_capabilities(&format!("Name:\tx\nCapEff:\t{hex}\nSeccomp:\t0\n"));
        assert_eq!(missing("0000000000000000").as_deref(), Some("CAP_BPF and CAP_PERFMON"));
        assert_eq!(missing("0000008000000000").as_deref(), Some("CAP_PERFMON"));
        assert_eq!(missing("000000c000000000"), None);
        assert_eq!(missing("000001fffeffffff"), None);
        assert_eq!(missing_capabilities("").as_deref(), Some("CAP_BPF and CAP_PERFMON"));
    }
}
