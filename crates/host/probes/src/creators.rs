//! Who has cgroups made, and what share of the table of counters each has: `bpf/creators.h` gives entries, this releases them.
//!
//! Not here: which cgroups are gone (`sources`).

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use model::ids::CgroupId;
use model::usage::KernelCounts;

use crate::layout::{self, COUNTERS_BYTES};
use crate::{COUNTS_PER_CALL, ProbesError};

/// Most cgroups that have counters of their own; `CGROUPS_MAX` in `bpf/records.h`.
pub const CGROUPS_MAX: usize = 32_768;

/// The number under which the entries of all creators are counted.
const ALL: u64 = 0;
const USER: u64 = 1 << 62;
const CONTAINER: u64 = 1 << 61;
const DEEP: u64 = 1 << 60;
/// Of an entry whose cgroup is removed.
const GONE: u64 = 1 << 63;

/// Who has cgroups made, in the kernel's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Creator {
    /// Root on the host, by the directory that the cgroups lie in.
    Directory(CgroupId),
    /// A user of the host, in user namespaces of its own or not.
    User(u32),
    /// What lives in a pid namespace of its own, by the outermost one's inode number.
    Container(u32),
    /// Those whose cgroups are so deep that the way up is not walked.
    Deep,
}

impl Creator {
    pub(crate) fn of(number: u64) -> Self {
        let low = number as u32;
        match number & !GONE {
            USER.. => Self::User(low),
            CONTAINER.. => Self::Container(low),
            DEEP.. => Self::Deep,
            number => Self::Directory(CgroupId(number)),
        }
    }
}

/// What a creator has, and what it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Whose.
    pub creator: Creator,
    /// What its cgroups without an entry of their own did together.
    pub counts: KernelCounts,
    /// How many of its cgroups have an entry.
    pub entries: u64,
    /// How often one of them was given none.
    pub untracked: u64,
    /// The latest of those.
    pub latest: CgroupId,
    number: u64,
}

/// Whether the cgroup of an entry is removed, by what the entry has as its creator.
pub(crate) fn is_gone(number: u64) -> bool {
    number & GONE != 0
}

/// The tables of creators.
#[derive(Debug)]
pub(crate) struct Creators {
    creators: MapHandle,
    released: MapHandle,
}

impl Creators {
    pub(crate) fn new(creators: MapHandle, released: MapHandle) -> Self {
        Self { creators, released }
    }

    /// Every creator.
    pub(crate) fn shares(&self) -> Result<Vec<Share>, ProbesError> {
        let entries = self
            .creators
            .lookup_batch(COUNTS_PER_CALL, MapFlags::ANY, MapFlags::ANY)
            .map_err(|source| ProbesError::Libbpf { step: "reading the creators of cgroups", source })?;
        let mut shares = Vec::new();
        for (key, value) in entries {
            let Some((number, mut share)) = layout::u64_at(&key, 0).and_then(|number| {
                let counts = layout::counters(CgroupId(0), value.get(..COUNTERS_BYTES)?)?;
                let at = |place: usize| layout::u64_at(&value, COUNTERS_BYTES + 8 * place);
                let (entries, untracked, latest) = (at(0)?, at(1)?, CgroupId(at(2)?));
                let creator = Creator::of(number);
                Some((number, Share { creator, counts, entries, untracked, latest, number }))
            }) else {
                continue;
            };
            share.entries = share.entries.saturating_sub(self.released(number)?);
            shares.push(share);
        }
        Ok(shares)
    }

    /// An entry of a creator is gone.
    pub(crate) fn release(&self, number: u64) -> Result<(), ProbesError> {
        let numbers = [number & !GONE, ALL];
        for number in &numbers[usize::from(numbers[0] == ALL)..] {
            let gone = self.released(*number)? + 1;
            self.released
                .update(&number.to_ne_bytes(), &gone.to_ne_bytes(), MapFlags::ANY)
                .map_err(|source| ProbesError::Libbpf { step: "releasing an entry", source })?;
        }
        Ok(())
    }

    /// A creator has nothing any more.
    pub(crate) fn forget(&self, share: &Share) -> Result<(), ProbesError> {
        for map in [&self.creators, &self.released] {
            map.lookup_and_delete(&share.number.to_ne_bytes())
                .map_err(|source| ProbesError::Libbpf { step: "forgetting a creator of cgroups", source })?;
        }
        Ok(())
    }

    fn released(&self, number: u64) -> Result<u64, ProbesError> {
        let value = self
            .released
            .lookup(&number.to_ne_bytes(), MapFlags::ANY)
            .map_err(|source| ProbesError::Libbpf { step: "reading released entries", source })?;
        Ok(value.and_then(|value| layout::u64_at(&value, 0)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use model::ids::CgroupId;

    use super::{CGROUPS_MAX, Creator};

    #[test]
    fn numbers_of_creators_that_are_no_cgroup_have_a_high_bit() {
        let told = [7, (1 << 62) | 1000, (1 << 61) | 4_026_531_999, 1 << 60].map(Creator::of);
        let wanted = [
            Creator::Directory(CgroupId(7)),
            Creator::User(1000),
            Creator::Container(4_026_531_999),
            Creator::Deep,
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn the_limit_is_that_of_the_programs() {
        let records = include_str!("bpf/records.h");
        assert!(records.contains(&format!("#define CGROUPS_MAX {CGROUPS_MAX}\n")));
    }
}
