//! A feed: an append-only log of rendered lines, in chunks of the ring's memory.
//!
//! Positions count bytes since the feed began and never go back, so a cursor is one number. A line
//! lies in one chunk whole; a reader who is behind takes what is left of a chunk in one send.
//!
//! ```text
//!        base          cursor                head
//!         |----chunk----|-|----chunk----------|
//!  lines  |    |   |    |      |    |    |    |
//! ```

use std::collections::VecDeque;

use super::ignored::Skips;
use super::pool::{Piece, Pool};
use super::token::SLOT_BITS;
use crate::chat::ConnId;
use crate::limits::PEERS_MAX;
use crate::time::Time;

/// A feed begins here, so that there is room before its first line for the rest of another's.
const BEGIN: u64 = 1 << 20;

/// Whose a line is, on whatever worker, and whether they are sent it too. In as many bits as a
/// line has to spare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Author(u64);

/// A log of lines. Readers keep their own cursors.
#[derive(Debug)]
pub struct Feed {
    chunks: VecDeque<Chunk>,
    lines: VecDeque<Line>,
    head: u64,
}

/// Some lines side by side in memory.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    /// The position of its first byte.
    begin: u64,
    /// Its bytes in use: `begin..begin + len` stand at `piece.start..`.
    len: u32,
    piece: Piece,
    /// Whether `piece` belongs to the pool; the shared texts do not.
    owned: bool,
}

/// A line that is still kept. It ends where the next begins.
#[derive(Clone, Copy, Debug)]
struct Line {
    begin: u64,
    /// When it came, for the age of what a reader has not read.
    at: Time,
    author: Author,
}

const _: () = assert!(size_of::<Line>() <= 24);

/// The pool had no chunk left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

/// What a reader can be sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The bytes.
    pub piece: Piece,
    /// How many lines end in it.
    pub line_count: u32,
}

impl Author {
    /// Nobody: everyone is sent the line, and nobody ignores it.
    pub const NOBODY: Self = Self(u64::MAX);
    const HEARS: u64 = 1 << 62;

    /// The person at `conn`, who `hears` the line too or does not.
    #[must_use]
    pub fn new(conn: ConnId, hears: bool) -> Self {
        const GENERATION_SHIFT: u32 = SLOT_BITS;
        const PEER_SHIFT: u32 = GENERATION_SHIFT + u32::BITS;
        const _: () = assert!(PEERS_MAX <= 1 << (62 - PEER_SHIFT));
        let ConnId { peer, index, generation } = conn;
        let person = u64::from(peer.0) << PEER_SHIFT
            | u64::from(generation) << GENERATION_SHIFT
            | u64::from(index);
        Self(person | if hears { Self::HEARS } else { 0 })
    }

    /// The same person, as one who does not hear the line.
    #[must_use]
    pub fn unheard(self) -> Self {
        Self(self.0 & !Self::HEARS)
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), lines: VecDeque::new(), head: BEGIN }
    }
}

impl Feed {
    /// Where the next line will begin.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Where the oldest line kept begins.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.lines.front().map_or(self.head, |line| line.begin)
    }

    /// Bytes kept.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.head - self.base()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a line. A chunk that follows one still in use is large: the feed is busy.
    ///
    /// # Errors
    /// When the pool is exhausted; nothing was added.
    pub fn append(
        &mut self,
        line: &[u8],
        author: Author,
        now: Time,
        pool: &mut Pool,
        memory: &mut [u8],
    ) -> Result<(), Exhausted> {
        let len = u32::try_from(line.len()).expect("a line is small");
        if !self.chunks.back().is_some_and(|chunk| chunk.has_room(len)) {
            let piece = pool.take(!self.chunks.is_empty()).ok_or(Exhausted)?;
            assert!(len <= piece.len, "a line fits a chunk");
            self.chunks.push_back(Chunk { begin: self.head, len: 0, piece, owned: true });
        }
        let chunk = self.chunks.back_mut().expect("pushed, if there was none");
        let start = (chunk.piece.start + chunk.len) as usize;
        memory[start..start + line.len()].copy_from_slice(line);
        chunk.len += len;
        self.note_line(len, author, now);
        Ok(())
    }

    /// Adds a text that everybody is sent, where it stands.
    pub fn append_shared(&mut self, piece: Piece, now: Time) {
        self.chunks.push_back(Chunk { begin: self.head, len: piece.len, piece, owned: false });
        self.note_line(piece.len, Author::NOBODY, now);
    }

    /// Puts the rest of a line, begun elsewhere, before everything kept; the reader's cursor
    /// belongs at the returned position.
    ///
    /// # Errors
    /// When the pool is exhausted; nothing was added.
    pub fn prepend(
        &mut self,
        rest: Piece,
        now: Time,
        pool: &mut Pool,
        memory: &mut [u8],
    ) -> Result<u64, Exhausted> {
        let piece = pool.take(false).ok_or(Exhausted)?;
        let from = rest.start as usize..(rest.start + rest.len) as usize;
        memory.copy_within(from, piece.start as usize);
        let begin = self.base() - u64::from(rest.len);
        self.chunks.push_front(Chunk { begin, len: rest.len, piece, owned: true });
        self.lines.push_front(Line { begin, at: now, author: Author::NOBODY });
        Ok(begin)
    }

    fn note_line(&mut self, len: u32, author: Author, now: Time) {
        self.lines.push_back(Line { begin: self.head, at: now, author });
        self.head += u64::from(len);
    }

    /// What stands at `cursor`, to the end of its chunk; `None` at the head.
    #[must_use]
    pub fn stretch(&self, cursor: u64) -> Option<Stretch> {
        let chunk = self.chunk(cursor)?;
        let piece = chunk.from(cursor);
        let line_count = self.line_count(cursor, cursor + u64::from(piece.len));
        Some(Stretch { piece, line_count })
    }

    /// As `stretch`, but without the lines that the reader skips: the cursor steps over those it
    /// stands before, and the stretch ends before the next. Also says how many were stepped over.
    #[must_use]
    pub fn stretch_without(&self, cursor: &mut u64, skips: &Skips<'_>) -> (u32, Option<Stretch>) {
        let stepped_over = self.step_over(cursor, skips);
        let index = self.line_index(*cursor);
        let Some(mut stretch) = self.stretch(*cursor) else { return (stepped_over, None) };
        let end = *cursor + u64::from(stretch.piece.len);
        let mut lines = self.lines.range(index..).take_while(|line| line.begin < end);
        if let Some(skipped) = lines.find(|line| skips.has(line.author)) {
            stretch.piece.len = u32::try_from(skipped.begin - *cursor).expect("within a chunk");
            stretch.line_count = self.line_count(*cursor, skipped.begin);
        }
        (stepped_over, Some(stretch))
    }

    /// Moves the cursor over the lines it stands before that the reader skips; says how many.
    pub fn step_over(&self, cursor: &mut u64, skips: &Skips<'_>) -> u32 {
        let mut stepped_over = 0;
        let mut index = self.line_index(*cursor);
        while self.lines.get(index).is_some_and(|line| skips.has(line.author)) {
            stepped_over += 1;
            index += 1;
            *cursor = self.line_begin(index);
        }
        stepped_over
    }

    /// How many lines end after `from` that the reader does not skip.
    #[must_use]
    pub fn line_count_without(&self, from: u64, skips: &Skips<'_>) -> u32 {
        let lines = self.lines.range(self.line_index(from)..);
        let count = lines.filter(|line| !skips.has(line.author)).count();
        u32::try_from(count).expect("a feed keeps few lines")
    }

    /// What is left of the line that `cursor` stands in; `None` when it stands before one.
    #[must_use]
    pub fn rest_of_line(&self, cursor: u64) -> Option<Piece> {
        let index = self.line_index(cursor);
        let line = self.lines.get(index)?;
        if line.begin == cursor {
            return None;
        }
        let mut piece = self.chunk(cursor)?.from(cursor);
        piece.len = u32::try_from(self.line_begin(index + 1) - cursor).expect("within a chunk");
        Some(piece)
    }

    /// Bytes from `cursor` to the end of the line it stands in or before.
    #[must_use]
    pub fn line_len(&self, cursor: u64) -> u64 {
        self.line_begin(self.line_index(cursor) + 1) - cursor
    }

    /// Lines it can keep without allocating.
    #[must_use]
    pub fn line_capacity(&self) -> usize {
        self.lines.capacity()
    }

    /// When the line at `cursor` came; `None` at the head.
    #[must_use]
    pub fn came_at(&self, cursor: u64) -> Option<Time> {
        self.lines.get(self.line_index(cursor)).map(|line| line.at)
    }

    /// How many lines end after `from` and not after `to`.
    #[must_use]
    pub fn line_count(&self, from: u64, to: u64) -> u32 {
        let count = self.line_index(to) - self.line_index(from);
        u32::try_from(count).expect("a feed keeps few lines")
    }

    /// Lets go of what stands before `floor`, at a line's beginning at the latest.
    pub fn release(&mut self, floor: u64, pool: &mut Pool) {
        while self.chunks.front().is_some_and(|chunk| chunk.end() <= floor) {
            let chunk = self.chunks.pop_front().expect("just seen");
            if chunk.owned {
                pool.give(chunk.piece);
            }
        }
        let keep = self.chunks.front().map_or(self.head, |chunk| chunk.begin);
        while self.lines.front().is_some_and(|line| line.begin < keep) {
            self.lines.pop_front();
        }
    }

    /// The chunk that `cursor` stands in. Readers are mostly in the last one.
    fn chunk(&self, cursor: u64) -> Option<&Chunk> {
        debug_assert!(cursor >= self.base() && cursor <= self.head, "a cursor within the feed");
        if cursor >= self.head {
            return None;
        }
        self.chunks.iter().rev().find(|chunk| chunk.begin <= cursor)
    }

    /// The index of the line that `cursor` stands in or before.
    fn line_index(&self, cursor: u64) -> usize {
        let after = self.lines.partition_point(|line| line.begin <= cursor);
        if cursor >= self.head { self.lines.len() } else { after.saturating_sub(1) }
    }

    fn line_begin(&self, index: usize) -> u64 {
        self.lines.get(index).map_or(self.head, |line| line.begin)
    }
}

impl Chunk {
    fn end(&self) -> u64 {
        self.begin + u64::from(self.len)
    }

    fn has_room(&self, len: u32) -> bool {
        self.owned && self.len + len <= self.piece.len
    }

    /// The bytes from `cursor` on.
    fn from(&self, cursor: u64) -> Piece {
        let skipped = u32::try_from(cursor - self.begin).expect("within the chunk");
        Piece { start: self.piece.start + skipped, len: self.len - skipped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::PeerId;
    use crate::limits::{CHUNK_LEN, SLOTS_MAX};

    const NOBODY: Author = Author::NOBODY;

    fn conn(peer: u8, index: u32, generation: u32) -> ConnId {
        ConnId { peer: PeerId(peer), index, generation }
    }

    struct World {
        feed: Feed,
        pool: Pool,
        memory: Vec<u8>,
    }

    impl World {
        fn new() -> Self {
            let pool = Pool::new(16, 4, 2);
            let memory = vec![0; pool.end() as usize];
            Self { feed: Feed::default(), pool, memory }
        }

        fn append(&mut self, line: &[u8], author: Author) {
            let Self { feed, pool, memory } = self;
            feed.append(line, author, Time(feed.head()), pool, memory).unwrap();
        }

        fn text(&self, piece: Piece) -> &[u8] {
            &self.memory[piece.start as usize..(piece.start + piece.len) as usize]
        }

        /// Everything from `cursor` on, by stretches.
        fn read(&self, mut cursor: u64) -> (Vec<u8>, u32) {
            let (mut bytes, mut lines) = (Vec::new(), 0);
            while let Some(stretch) = self.feed.stretch(cursor) {
                bytes.extend_from_slice(self.text(stretch.piece));
                lines += stretch.line_count;
                cursor += u64::from(stretch.piece.len);
            }
            (bytes, lines)
        }
    }

    #[test]
    fn a_reader_gets_every_byte_from_any_cursor() {
        let mut world = World::new();
        let begin = world.feed.head();
        let mut all = Vec::new();
        for number in 0..200 {
            let line = format!("line {number} {}\r\n", "x".repeat(number % 90));
            world.append(line.as_bytes(), NOBODY);
            all.extend_from_slice(line.as_bytes());
        }
        assert!(all.len() > CHUNK_LEN as usize, "more than one chunk");
        for skipped in (0..all.len()).step_by(7) {
            let (bytes, _) = world.read(begin + skipped as u64);
            assert_eq!(bytes, all[skipped..]);
        }
        assert_eq!(world.read(begin).1, 200);
        assert_eq!(world.feed.stretch(world.feed.head()), None);
    }

    #[test]
    fn an_author_steps_over_what_is_theirs() {
        let mut world = World::new();
        let mut cursor = world.feed.head();
        let begin = cursor;
        let own = Author::new(conn(0, 7, 1), false);
        let heard = Author::new(conn(0, 7, 1), true);
        let ignored = [Author::new(conn(1, 7, 1), false), Author::new(conn(0, 7, 2), false)];
        let other = Author::new(conn(2, 7, 1), true);
        let lines = [("a1\n", own), ("a2\n", own), ("b1\n", other), ("b2\n", heard), ("a3\n", own)];
        for (line, author) in lines {
            world.append(line.as_bytes(), author);
        }
        let skips = Skips { own, ignored: &[] };
        let (over, stretch) = world.feed.stretch_without(&mut cursor, &skips);
        let stretch = stretch.unwrap();
        assert_eq!((over, world.text(stretch.piece)), (2, &b"b1\nb2\n"[..]));
        assert_eq!(stretch.line_count, 2);
        cursor += u64::from(stretch.piece.len);
        assert_eq!(world.feed.stretch_without(&mut cursor, &skips), (1, None));
        assert_eq!(cursor, world.feed.head());
        assert_eq!(world.feed.line_count_without(begin, &skips), 2);

        for (line, author) in [("c1\n", ignored[0]), ("b3\n", NOBODY), ("c2\n", ignored[1])] {
            world.append(line.as_bytes(), author);
        }
        world.append(b"c3\n", Author::new(conn(1, 7, 1), true));
        let skips = Skips { own, ignored: &ignored };
        assert_eq!(world.feed.line_count_without(begin, &skips), 3);
        let (over, stretch) = world.feed.stretch_without(&mut cursor, &skips);
        let stretch = stretch.unwrap();
        assert_eq!((over, world.text(stretch.piece)), (1, &b"b3\n"[..]));
        cursor += u64::from(stretch.piece.len);
        assert_eq!(world.feed.step_over(&mut cursor, &skips), 2);
        assert_eq!(cursor, world.feed.head());
    }

    #[test]
    fn no_two_authors_are_the_same() {
        let last = u8::try_from(PEERS_MAX - 1).unwrap();
        let mut authors = vec![NOBODY];
        for peer in [0, 1, last] {
            for index in [0, 1, SLOTS_MAX - 1] {
                for generation in [0, 1, u32::MAX] {
                    for hears in [false, true] {
                        let author = Author::new(conn(peer, index, generation), hears);
                        let unheard = Author::new(conn(peer, index, generation), false);
                        assert_eq!(author.unheard(), unheard);
                        assert!(!authors.contains(&author), "{peer} {index} {generation}");
                        authors.push(author);
                    }
                }
            }
        }
        assert!(!authors.contains(&NOBODY.unheard()));
    }

    #[test]
    fn the_rest_of_a_line_goes_first() {
        let mut world = World::new();
        let begin = world.feed.head();
        world.append(b"hello\r\n", NOBODY);
        world.append(b"world\r\n", NOBODY);
        assert_eq!(world.feed.rest_of_line(begin), None);
        assert_eq!(world.feed.rest_of_line(begin + 7), None);
        assert_eq!(world.feed.rest_of_line(begin + 14), None, "at the head");
        let rest = world.feed.rest_of_line(begin + 3).unwrap();
        assert_eq!(world.text(rest), b"lo\r\n");
        let World { pool, memory, .. } = &mut world;
        let mut other = Feed::default();
        other.append(b"reply\r\n", NOBODY, Time(0), pool, memory).unwrap();
        let cursor = other.prepend(rest, Time(0), pool, memory).unwrap();
        world.feed = other;
        assert_eq!(world.read(cursor), (b"lo\r\nreply\r\n".to_vec(), 2));
    }

    #[test]
    fn what_everyone_has_read_is_let_go() {
        let mut world = World::new();
        let begin = world.feed.head();
        for _ in 0..100 {
            world.append(&[b'x'; 100], NOBODY);
        }
        let used = world.pool.used_len();
        let World { feed, pool, .. } = &mut world;
        feed.release(begin + 50, pool);
        assert_eq!(pool.used_len(), used, "the first chunk is still read");
        let (bytes, lines) = world.read(begin + 50);
        assert_eq!((bytes.len(), lines), (9_950, 100));
        let World { feed, pool, .. } = &mut world;
        feed.release(feed.head(), pool);
        assert!(feed.is_empty());
        assert_eq!(pool.used_len(), 0);
    }

    #[test]
    fn an_exhausted_pool_adds_nothing() {
        let mut world = World::new();
        world.feed.append_shared(Piece { start: 0, len: 16 }, Time(0));
        let World { feed, pool, memory } = &mut world;
        while feed.append(&[b'x'; 1000], NOBODY, Time(0), pool, memory).is_ok() {}
        let head = feed.head();
        assert_eq!(feed.append(&[b'x'; 1000], NOBODY, Time(0), pool, memory), Err(Exhausted));
        assert_eq!(feed.head(), head);
        assert_eq!(feed.came_at(head), None);
        assert_eq!(feed.came_at(head - 1), Some(Time(0)));
    }
}
