//! Reads the kernel's ring buffer (`BPF_MAP_TYPE_RINGBUF`) through a mapping of its own.
//!
//! libbpf maps the data twice in a row, so that a record across its end lies in one piece; resident memory counts both. It
//! is mapped once here, and such a record is copied. Not here: what records say (`layout.rs`).

use std::io;
use std::os::fd::AsFd;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use libbpf_rs::{MapCore, MapHandle};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::param::page_size;

/// Set while the kernel's program has reserved a record and not yet submitted it.
const BUSY: u32 = 1 << 31;
/// Set in the length of a record that was taken back.
const DISCARDED: u32 = 1 << 30;
/// Bytes before each record: its length, and where it lies.
const HEADER_BYTES: usize = 8;

/// The ring, mapped into this process; records are only read, and freed by moving the consumer's position.
#[derive(Debug)]
pub(crate) struct Ring {
    map: MapHandle,
    consumer: Mapping,
    /// The producer's page, then the data.
    producer: Mapping,
    data_bytes: usize,
    /// A record that lies across the end of the data.
    joined: Vec<u8>,
}

/// Memory shared with the kernel, unmapped when dropped.
#[derive(Debug)]
struct Mapping {
    start: *mut u8,
    bytes: usize,
}

// SAFETY: the mapping belongs to the process, not to the thread that made it, and only its owner reads through it.
#[expect(unsafe_code, reason = "a pointer is not sent by itself")]
unsafe impl Send for Mapping {}

impl Ring {
    /// Maps a ring.
    pub(crate) fn map(map: MapHandle) -> io::Result<Self> {
        let page = page_size();
        let data_bytes = usize::try_from(map.max_entries()).unwrap_or_default();
        if !data_bytes.is_power_of_two() || data_bytes < page {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the size of a ring buffer"));
        }
        let consumer = Mapping::of(&map, 0, page, ProtFlags::READ | ProtFlags::WRITE)?;
        let producer = Mapping::of(&map, page, page + data_bytes, ProtFlags::READ)?;
        Ok(Self { map, consumer, producer, data_bytes, joined: Vec::new() })
    }

    /// Gives records to `each` in their order, until it wants no more or none is complete.
    pub(crate) fn consume(&mut self, mut each: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        let mut at = self.consumer.u64_at_start().load(Ordering::Relaxed);
        let mut wants_more = true;
        while wants_more && at < self.producer.u64_at_start().load(Ordering::Acquire) {
            let offset = self.offset(at);
            let header = self.producer.u32_at(offset).load(Ordering::Acquire);
            if header & BUSY != 0 {
                break;
            }
            let bytes = (header & !DISCARDED) as usize;
            if bytes > self.data_bytes - HEADER_BYTES {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a record is longer than its ring"));
            }
            if header & DISCARDED == 0 {
                wants_more = each(self.record(at, bytes));
            }
            at += (bytes + HEADER_BYTES).next_multiple_of(HEADER_BYTES) as u64;
            self.consumer.u64_at_start().store(at, Ordering::Release);
        }
        Ok(())
    }

    /// Waits until the kernel wakes readers, or for this long.
    pub(crate) fn wait(&self, at_most: Duration) -> io::Result<()> {
        let fd = self.map.as_fd();
        let limit = Timespec::try_from(at_most).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Where a position lies in the mapping of the producer. Positions only grow.
    fn offset(&self, at: u64) -> usize {
        page_size() + usize::try_from(at & (self.data_bytes as u64 - 1)).unwrap_or_default()
    }

    /// The record whose header is at this position; it stays as it is until the consumer's position passes it.
    fn record(&mut self, at: u64, bytes: usize) -> &[u8] {
        let start = self.offset(at + HEADER_BYTES as u64);
        let until_end = self.producer.bytes - start;
        if bytes <= until_end {
            return self.producer.bytes_at(start, bytes);
        }
        self.joined.clear();
        self.joined.extend_from_slice(self.producer.bytes_at(start, until_end));
        self.joined.extend_from_slice(self.producer.bytes_at(page_size(), bytes - until_end));
        &self.joined
    }
}

#[expect(unsafe_code, reason = "memory is shared with the kernel")]
impl Mapping {
    fn of(map: &MapHandle, offset: usize, bytes: usize, access: ProtFlags) -> io::Result<Self> {
        // SAFETY: the kernel chooses where; nothing that is mapped already is replaced.
        let start =
            unsafe { mmap(ptr::null_mut(), bytes, access, MapFlags::SHARED, map.as_fd(), offset as u64) };
        Ok(Self { start: start?.cast(), bytes })
    }

    /// A position of the ring: the first number of its page.
    fn u64_at_start(&self) -> &AtomicU64 {
        // SAFETY: a mapping has a page at least, begins at one, and stands as long as `self`; both sides use atomics.
        unsafe { AtomicU64::from_ptr(self.start.cast()) }
    }

    fn u32_at(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(size_of::<u32>()) && offset < self.bytes, "within the mapping");
        // SAFETY: checked above; the kernel writes a header with one store. It is only loaded here.
        unsafe { AtomicU32::from_ptr(self.start.add(offset).cast()) }
    }

    fn bytes_at(&self, offset: usize, bytes: usize) -> &[u8] {
        assert!(offset.checked_add(bytes).is_some_and(|end| end <= self.bytes), "within the mapping");
        // SAFETY: checked above; a submitted record is not written again before the consumer's position passes it.
        unsafe { std::slice::from_raw_parts(self.start.add(offset), bytes) }
    }
}

impl Drop for Mapping {
    #[expect(unsafe_code, reason = "what was mapped by hand is unmapped by hand")]
    fn drop(&mut self) {
        // SAFETY: nothing borrows from a mapping that is dropped.
        let _is_unmapped = unsafe { munmap(self.start.cast(), self.bytes) };
    }
}
