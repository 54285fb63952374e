//! The memory of a worker's feeds, in chunks of two sizes, and the texts that everybody is sent.
//!
//! The bytes belong to the ring; this only knows which are in use. A chunk that was never used is
//! untouched memory and costs nothing; a freed one is the next to be used. So the free chunks at
//! the bottom of the stack are those that only a peak needed, and their memory can go back.

use crate::limits::{CHUNK_LEN, CLEARED_LEN, LARGE_CHUNK_LEN, SPARE_CHUNKS_LEN};

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
    /// A stack.
    free: Vec<u32>,
    /// So many at its bottom hold no memory.
    clear: usize,
    /// The fewest that were free since idle ones were last looked for.
    least_free: usize,
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

    /// Free chunks that nobody needed since the last call, but for some to spare: their memory is
    /// to be given back, and is not to be counted on from here on. At most `CLEARED_LEN` of each
    /// size at a time. (Where a page is larger than a chunk, no page is its own: none goes back.)
    pub fn clear_idle(&mut self) -> impl Iterator<Item = Piece> {
        self.small.clear_idle().chain(self.large.clear_idle())
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
        Self { first, len, count, fresh: 0, free: Vec::new(), clear: 0, least_free: 0 }
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
        self.clear = self.clear.min(self.free.len());
        self.least_free = self.least_free.min(self.free.len());
        Some(Piece { start, len: self.len })
    }

    fn give(&mut self, piece: Piece) {
        debug_assert!((self.first..self.end()).contains(&piece.start), "of this pool");
        self.free.push(piece.start);
    }

    fn clear_idle(&mut self) -> impl Iterator<Item = Piece> {
        let chunks = |len: u32| (len / self.len) as usize;
        let idle = self.least_free.saturating_sub(chunks(SPARE_CHUNKS_LEN));
        let end = idle.clamp(self.clear, self.clear + chunks(CLEARED_LEN));
        let begin = std::mem::replace(&mut self.clear, end);
        self.least_free = self.free.len();
        self.free[begin..end].iter().map(|start| Piece { start: *start, len: self.len })
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
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

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

    const SPARE_CHUNKS: usize = (SPARE_CHUNKS_LEN / CHUNK_LEN) as usize;
    const CLEARED_CHUNKS: usize = (CLEARED_LEN / CHUNK_LEN) as usize;

    #[test]
    fn only_what_a_peak_needed_is_cleared() {
        const PEAK: usize = SPARE_CHUNKS + CLEARED_CHUNKS + 3;
        let mut pool = Pool::new(0, u32::try_from(PEAK).expect("few"), 0);
        let cleared =
            |pool: &mut Pool| -> Vec<u32> { pool.clear_idle().map(|piece| piece.start).collect() };
        let taken: Vec<Piece> = std::iter::from_fn(|| pool.take(false)).collect();
        let peak: Vec<u32> = taken.iter().map(|piece| piece.start).collect();
        taken.into_iter().for_each(|piece| pool.give(piece));
        assert_eq!(cleared(&mut pool), [0; 0], "they were in use since the last look");
        assert_eq!(cleared(&mut pool), peak[..CLEARED_CHUNKS], "as many as at a time");
        assert_eq!(cleared(&mut pool), peak[CLEARED_CHUNKS..][..3], "but for those to spare");
        assert_eq!(cleared(&mut pool), [0; 0], "once");
    }

    proptest! {
        /// Takes so many chunks, gives some back, and looks so many times.
        #[test]
        fn what_is_cleared_is_free_and_holds_memory(
            steps in vec((0..300_usize, 0..300_usize, 0..4), 1..20)
        ) {
            let mut pool = Pool::new(0, 1_000, 0);
            let (mut used, mut full) = (Vec::new(), BTreeSet::new());
            for (taken, given, looks) in steps {
                used.extend((0..taken).filter_map(|_| pool.take(false)));
                full.extend(used.iter().map(|piece| piece.start));
                let given = given.min(used.len());
                used.rotate_left(given / 2);
                used.drain(..given).for_each(|piece| pool.give(piece));
                for _ in 0..looks {
                    for piece in pool.clear_idle() {
                        prop_assert!(!used.contains(&piece));
                        prop_assert!(full.remove(&piece.start), "it was cleared before");
                    }
                }
            }
            // In the end all that was free since the look before is cleared.
            let looks = 2 + 1_000 / CLEARED_CHUNKS;
            for piece in (0..looks).flat_map(|_| pool.clear_idle().collect::<Vec<_>>()) {
                full.remove(&piece.start);
            }
            prop_assert!(full.len() <= used.len() + SPARE_CHUNKS);
        }
    }
}
