//! Buffers for received bytes, shared with the kernel through a ring of free ones
//! (io_uring_register_buf_ring(3), Linux 5.19).
//!
//! A buffer is the kernel's from `recycle` until a completion names it, and the worker's from then
//! until it is recycled; `lent` knows which, so that no caller can read what the kernel may write.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use io_uring::{IoUring, Submitter};

use super::BufferId;
use super::map::Map;

/// The one group of buffers in a ring.
pub(super) const GROUP: u16 = 0;

#[derive(Debug)]
pub(super) struct BufRing {
    entries: Map,
    bytes: Map,
    buffer_len: usize,
    count: u16,
    tail: u16,
    lent: Vec<bool>,
}

impl BufRing {
    /// `count` buffers of `buffer_len` bytes, all the kernel's. `count` is a power of two.
    pub(super) fn register(ring: &IoUring, count: u16, buffer_len: usize) -> io::Result<Self> {
        assert!(count.is_power_of_two() && count <= 1 << 15, "as the kernel asks");
        let entries = Map::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let bytes = Map::new(usize::from(count) * buffer_len)?;
        register_with(&ring.submitter(), &entries, count)?;
        let lent = vec![true; usize::from(count)];
        let mut this = Self { entries, bytes, buffer_len, count, tail: 0, lent };
        for id in 0..count {
            this.recycle(BufferId(id));
        }
        Ok(this)
    }

    /// A completion named `id`: it is the worker's.
    pub(super) fn lend(&mut self, id: BufferId) {
        self.lent[usize::from(id.0)] = true;
    }

    pub(super) fn buffer(&self, id: BufferId, len: usize) -> &[u8] {
        assert!(self.lent[usize::from(id.0)], "the kernel's buffer");
        assert!(len <= self.buffer_len, "longer than a buffer");
        let start = self.bytes.at(usize::from(id.0) * self.buffer_len, len);
        // SAFETY: inside the map; lent, so the kernel does not write it; recycling needs `&mut
        // self` and so cannot happen while the slice lives.
        unsafe { std::slice::from_raw_parts(start, len) }
    }

    pub(super) fn recycle(&mut self, id: BufferId) {
        let lent = &mut self.lent[usize::from(id.0)];
        assert!(std::mem::take(lent), "recycled twice");
        let address = self.bytes.at(usize::from(id.0) * self.buffer_len, self.buffer_len);
        let first = self.entries.as_ptr().cast::<BufRingEntry>();
        let position = usize::from(self.tail & (self.count - 1));
        // SAFETY: `position` is below `count`, for which the map has room, and the kernel reads an
        // entry only once the tail has passed it.
        let entry = unsafe { &mut *first.add(position) };
        entry.set_addr(address as u64);
        entry.set_len(u32::try_from(self.buffer_len).expect("a buffer is small"));
        entry.set_bid(id.0);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: `first` is the ring's start; the tail is an aligned u16 in its first entry,
        // written by this thread alone and read by the kernel. `Release` orders the entry before
        // it.
        unsafe {
            let tail = BufRingEntry::tail(first).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }
}

fn register_with(submitter: &Submitter<'_>, entries: &Map, count: u16) -> io::Result<()> {
    let address = entries.as_ptr() as u64;
    // SAFETY: the map is page-aligned, large enough for `count` entries, and outlives the ring: the
    // owner drops the ring first.
    unsafe { submitter.register_buf_ring_with_flags(address, count, GROUP, 0) }
}
