//! What stays the same from boot to boot-down: the host's name, when it was booted, which boot this is.
//!
//! Not here: clocks. `boot_time` is whole seconds, as the kernel tells; a live clock pair is more exact.

use model::ids::NodeId;
use model::time::Time;
use model::untrusted::Untrusted;

use crate::error::HostfsError;
use crate::kept::read_whole;
use crate::root::HostRoot;
use crate::text::value_of;

const NAME_BYTES_MAX: usize = 4096;
const STAT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The host's name (`/proc/sys/kernel/hostname`).
pub fn node_name(root: &HostRoot) -> Result<NodeId, HostfsError> {
    let text = read_whole(&root.at("proc/sys/kernel/hostname"), NAME_BYTES_MAX)?;
    Ok(NodeId::new(String::from_utf8_lossy(text.trim_ascii()).as_ref()))
}

/// The random id of this boot (`/proc/sys/kernel/random/boot_id`).
pub fn boot_id(root: &HostRoot) -> Result<Untrusted, HostfsError> {
    let text = read_whole(&root.at("proc/sys/kernel/random/boot_id"), NAME_BYTES_MAX)?;
    Ok(Untrusted::from_bytes(text.trim_ascii()))
}

/// The id of this installation of an operating system (`/etc/machine-id`), which stays from boot to boot.
pub fn machine_id(root: &HostRoot) -> Result<Untrusted, HostfsError> {
    let text = read_whole(&root.at("etc/machine-id"), NAME_BYTES_MAX)?;
    Ok(Untrusted::from_bytes(text.trim_ascii()))
}

/// When the host was booted, to the second (`btime` of `/proc/stat`).
pub fn boot_time(root: &HostRoot) -> Result<Time, HostfsError> {
    let path = root.at("proc/stat");
    let text = read_whole(&path, STAT_BYTES_MAX)?;
    let secs = value_of(&text, b"btime ").and_then(|secs| i64::try_from(secs).ok());
    Ok(Time::from_secs(secs.ok_or_else(|| HostfsError::malformed(&path, "has no btime"))?))
}

#[cfg(test)]
mod tests {
    use testkit::host_tree::FakeHost;

    use super::*;

    #[test]
    fn name_and_boot_are_read_below_the_root() {
        let host = FakeHost::v2().unwrap();
        let root = HostRoot::new(host.root());
        assert_eq!(node_name(&root).unwrap().as_str(), "fake-host");
        assert_eq!(boot_time(&root).unwrap(), Time::from_secs(1_700_000_000));
        assert_eq!(boot_id(&root).unwrap().raw().len(), 36);
    }

    #[test]
    fn a_stat_without_btime_names_the_file() {
        let host = FakeHost::v2().unwrap();
        host.write("proc/stat", b"cpu 1 2 3\n").unwrap();
        let error = boot_time(&HostRoot::new(host.root())).unwrap_err().to_string();
        assert!(error.ends_with("proc/stat\": has no btime"), "{error}");
    }

    #[test]
    fn the_live_host_has_a_boot_time() {
        assert!(boot_time(&HostRoot::new("/")).unwrap() > Time::from_secs(1_000_000_000));
    }
}
