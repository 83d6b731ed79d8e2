//! The C library's allocator is held to one arena.
//!
//! By default each thread gets an arena of its own and keeps what it freed: with 1,000 containers a quarter more was resident.
//! Not here: other allocators; mimalloc kept 50 MB more.

use std::ffi::c_int;

/// From this size on, memory comes from the system by itself and goes back to it at once. Left alone, the limit rises with
/// what was freed.
const APART_BYTES: c_int = 128 << 10;

/// Call it before the first thread is started: those that have an arena keep it.
#[expect(unsafe_code, reason = "the C library offers nothing else, once a process runs")]
pub(crate) fn hold_to_one_arena() {
    let options = [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, APART_BYTES)];
    for (option, value) in options {
        // SAFETY: it takes two numbers and locks the allocator. One that does not know the option returns zero.
        let _is_known = unsafe { libc::mallopt(option, value) };
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Heaps of further arenas are mapped apart, each at a multiple of 64 MiB, of which most is reserved and unreadable.
    fn further_arenas() -> usize {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let begin = |line: &str| u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
        maps.lines().filter(|line| line.contains("rw-p") && begin(line).is_multiple_of(64 << 20)).count()
    }

    #[test]
    fn threads_share_the_arena_of_the_first() {
        hold_to_one_arena();
        let before = further_arenas();
        let busy = || (0..1_000_usize).map(|size| vec![0_u8; size]).map(|bytes| bytes.len()).sum::<usize>();
        let threads: Vec<_> = (0..4).map(|_| thread::spawn(busy)).collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() > 0));
        let after = further_arenas();
        assert!(after <= before, "{before} arenas before, {after} after");
    }
}
