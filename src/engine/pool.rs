//! The memory of a worker's feeds, in chunks of two sizes, and the texts that everybody is sent.
//!
//! The bytes belong to the ring; this only knows which are in use. A chunk that was never used is
//! untouched memory and costs nothing; a freed one is the next to be used.

use crate::limits::{CHUNK_LEN, LARGE_CHUNK_LEN};

/// A piece of the ring's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it starts.
    pub start: u32,
    /// Its length.
    pub len: u32,
}

impl Piece {
    /// Its bytes.
    #[must_use]
    pub fn of(self, memory: &[u8]) -> &[u8] {
        &memory[self.start as usize..(self.start + self.len) as usize]
    }
}

/// Chunks of feeds.
#[derive(Debug)]
pub struct Pool {
    small: Chunks,
    large: Chunks,
}

/// Chunks of one size, side by side from `first` on.
#[derive(Debug)]
struct Chunks {
    first: u32,
    len: u32,
    count: u32,
    /// Those from here on were never used.
    fresh: u32,
    free: Vec<u32>,
}

impl Pool {
    /// A pool of `small` and `large` chunks that starts at `first`.
    #[must_use]
    pub fn new(first: u32, small: u32, large: u32) -> Self {
        let small = Chunks::new(first, CHUNK_LEN, small);
        let large = Chunks::new(small.end(), LARGE_CHUNK_LEN, large);
        Self { small, large }
    }

    /// Where it ends.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.large.end()
    }

    /// A chunk, a large one where `large` and one is left; `None` when all are in use.
    pub fn take(&mut self, large: bool) -> Option<Piece> {
        large.then(|| self.large.take()).flatten().or_else(|| self.small.take())
    }

    /// Takes a chunk back.
    pub fn give(&mut self, piece: Piece) {
        let chunks = if piece.len == LARGE_CHUNK_LEN { &mut self.large } else { &mut self.small };
        chunks.give(piece);
    }

    /// Bytes in use.
    #[must_use]
    pub fn used_len(&self) -> u64 {
        self.small.used_len() + self.large.used_len()
    }

    /// Whether so little is left that nothing more should be read from clients.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.small.used_len() * 4 > self.small.capacity() * 3
    }
}

impl Chunks {
    fn new(first: u32, len: u32, count: u32) -> Self {
        Self { first, len, count, fresh: 0, free: Vec::new() }
    }

    fn end(&self) -> u32 {
        self.first + self.len * self.count
    }

    fn take(&mut self) -> Option<Piece> {
        let start = self.free.pop().or_else(|| {
            (self.fresh < self.count).then(|| {
                self.fresh += 1;
                self.first + self.len * (self.fresh - 1)
            })
        })?;
        Some(Piece { start, len: self.len })
    }

    fn give(&mut self, piece: Piece) {
        debug_assert!((self.first..self.end()).contains(&piece.start), "of this pool");
        self.free.push(piece.start);
    }

    fn used_len(&self) -> u64 {
        (u64::from(self.fresh) - self.free.len() as u64) * u64::from(self.len)
    }

    fn capacity(&self) -> u64 {
        u64::from(self.count) * u64::from(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_do_not_overlap_and_come_back() {
        let mut pool = Pool::new(100, 3, 1);
        let mut taken: Vec<Piece> = std::iter::from_fn(|| pool.take(true)).collect();
        assert_eq!(taken.len(), 4);
        assert_eq!(taken[0].len, LARGE_CHUNK_LEN, "a large one while there is one");
        assert!(pool.is_short());
        taken.sort_by_key(|piece| piece.start);
        for pair in taken.windows(2) {
            assert!(pair[0].start + pair[0].len <= pair[1].start);
        }
        assert_eq!(taken[3].start + taken[3].len, pool.end());
        taken.into_iter().for_each(|piece| pool.give(piece));
        assert_eq!(pool.used_len(), 0);
        assert!(!pool.is_short());
    }
}
