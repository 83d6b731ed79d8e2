//! `/proc/PID/stat`: one line about one process.
//!
//! Not here: the host-wide `/proc/stat` (`host.rs`).

use crate::text::{number, words};

/// Nanoseconds of a clock tick in `/proc`: `USER_HZ` is 100 on every Linux architecture but Alpha.
pub(crate) const TICK_NS: u64 = 10_000_000;

/// The kernel's flag for its own threads (`PF_KTHREAD`), which no program can set.
const KERNEL_THREAD: u64 = 0x0020_0000;
/// The kernel's flag for what was cloned and has executed nothing since (`PF_FORKNOEXEC`).
const CLONED: u64 = 0x40;
/// The kernel's flag for what is about to end (`PF_EXITING`): its memory, its program and its namespaces may be gone.
const ENDING: u64 = 0x4;

/// What is used of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Process id.
    pub(crate) pid: u32,
    /// Program name, padded with zeros.
    pub(crate) name: [u8; 16],
    state: u8,
    /// Parent's id.
    pub(crate) parent_pid: u32,
    flags: u64,
    /// Threads that have not ended.
    pub(crate) threads: u64,
    /// CPU time of all threads, living and ended.
    pub(crate) cpu_ns: u64,
    /// Start since boot, in whole ticks.
    pub(crate) start_ns: u64,
}

impl Stat {
    /// Reads the line. The name is chosen by the process and may hold anything, brackets too; it ends at the last one.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let (open, close) = brackets(line)?;
        let pid = number(&line[..open])?;
        let text = line.get(open + 1..close)?;
        let mut name = [0; 16];
        let kept = text.len().min(name.len());
        name[..kept].copy_from_slice(&text[..kept]);
        let mut rest = words(&line[close + 1..]);
        let state = *rest.next()?.first()?;
        let parent_pid = number(rest.next()?)?;
        let flags = number(rest.nth(4)?)?;
        let cpu_ticks = number(rest.nth(4)?)?.saturating_add(number(rest.next()?)?);
        let threads = number(rest.nth(4)?)?;
        let start_ticks = number(rest.nth(1)?)?;
        Some(Self {
            pid: u32::try_from(pid).ok()?,
            name,
            state,
            parent_pid: u32::try_from(parent_pid).ok()?,
            flags,
            threads,
            cpu_ns: cpu_ticks.saturating_mul(TICK_NS),
            start_ns: start_ticks.saturating_mul(TICK_NS),
        })
    }

    /// The name without its padding.
    pub(crate) fn name(&self) -> &[u8] {
        let end = self.name.iter().position(|&byte| byte == 0).unwrap_or(self.name.len());
        &self.name[..end]
    }

    pub(crate) fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }

    /// Whether it was cloned and has executed nothing since.
    pub(crate) fn is_cloned(&self) -> bool {
        self.flags & CLONED != 0
    }

    /// Whether it is ending, or only waits to be collected. A process whose first thread has ended looks the same but for
    /// the threads it still has.
    pub(crate) fn has_ended(&self) -> bool {
        (matches!(self.state, b'Z' | b'X') || self.flags & ENDING != 0) && self.threads <= 1
    }
}

/// The whole name in the line: that of a kernel's thread is longer than what [`Stat`] keeps, since it tells its work.
pub(crate) fn whole_name(line: &[u8]) -> &[u8] {
    brackets(line).and_then(|(open, close)| line.get(open + 1..close)).unwrap_or_default()
}

fn brackets(line: &[u8]) -> Option<(usize, usize)> {
    let open = line.iter().position(|&byte| byte == b'(')?;
    let close = line.iter().rposition(|&byte| byte == b')')?;
    Some((open, close))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &str = "12650 1 1 0 -1 4194304 98 0 0 0 7 3 0 0 20 0 1 0 140011 3133440 379";

    #[test]
    fn a_name_full_of_brackets_does_not_shift_the_fields() {
        let stat = Stat::parse(format!("12658 (a) S 1 (b) R {TAIL}\n").as_bytes()).unwrap();
        assert_eq!(stat.name(), b"a) S 1 (b");
        assert_eq!((stat.pid, stat.parent_pid, stat.state), (12658, 12650, b'R'));
        assert_eq!((stat.cpu_ns, stat.start_ns), (100_000_000, 1_400_110_000_000));
        assert!(!stat.is_kernel_thread() && !stat.is_cloned());
        let cloned = Stat::parse(format!("1 (a) S {}", TAIL.replace("4194304", "4194368")).as_bytes());
        assert!(cloned.unwrap().is_cloned());
        let ending = TAIL.replace("4194304", "4194308");
        let parse = |tail: &str| Stat::parse(format!("1 (a) R {tail}").as_bytes()).unwrap();
        assert!(parse(&ending).has_ended() && !parse(TAIL).has_ended());
        assert!(!parse(&ending.replace("20 0 1 0", "20 0 2 0")).has_ended(), "its other threads run");
    }

    #[test]
    fn torn_and_foreign_lines_are_refused() {
        let line = format!("12658 (cat) R {TAIL}");
        assert!(Stat::parse(line.as_bytes()).is_some());
        for end in 0..line.len() - " 140011 3133440 379".len() {
            assert_eq!(Stat::parse(&line.as_bytes()[..end]), None, "{}", &line[..end]);
        }
        for bad in
            ["", ")(", "1 (x", "99999999999 (x) R 1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9 1 2 3", "\u{fffd}"]
        {
            assert_eq!(Stat::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
