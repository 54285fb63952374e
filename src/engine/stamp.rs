//! Clients whose lines begin with the time.
//!
//! A way of rendering, as a dialect is: a room has a feed of its own for those here who want the
//! time, rendered once for all of them. Who changes from one to the other is given what it has not
//! been sent through its own feed, so that no line is lost, and none comes twice.

use std::io::Write;

use super::Worker;
use super::conn::Source;
use super::feed::Author;
use super::ignored::Skips;
use super::token::Key;
use crate::chat::CloseReason;
use crate::dialect::Dialect;
use crate::limits::{
    CHUNK_LEN, FRAME_LEN_MAX, FRAME_LINES_MAX, FRAME_RENDERED_LEN_MAX, SHOWN_NAME_LEN_MAX,
};
use crate::time::{Clock, minute_of_day};
use crate::uring::Ring;

/// Bytes of a time and the blank behind it.
const STAMP_LEN: usize = "00:00 ".len();
// Telnet writes five bytes around a name.
const _: () = assert!(
    FRAME_LEN_MAX + FRAME_LINES_MAX * (SHOWN_NAME_LEN_MAX + 5 + STAMP_LEN)
        <= FRAME_RENDERED_LEN_MAX
);

/// How a room's lines are rendered for some of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rendering {
    pub(super) dialect: Dialect,
    /// Each line begins with the time. Only for telnet: who speaks another dialect cannot ask.
    pub(super) stamped: bool,
}

impl Rendering {
    pub(super) const COUNT: usize = Dialect::ALL.len() + 1;

    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let plain = Dialect::ALL.into_iter().map(|dialect| Self { dialect, stamped: false });
        plain.chain([Self { dialect: Dialect::Telnet, stamped: true }])
    }

    /// Its number, below `COUNT`.
    pub(super) fn index(self) -> usize {
        if self.stamped { Dialect::ALL.len() } else { self.dialect.index() }
    }
}

/// Puts the time before each line of `text`, as the wall clock has it.
pub(super) fn stamp(wall: u64, text: &mut Vec<u8>) {
    let minute = minute_of_day(wall);
    let mut time = [0; STAMP_LEN];
    write!(&mut time[..], "{:02}:{:02} ", minute / 60, minute % 60).expect("it is that long");
    let mut begin = 0;
    while begin < text.len() {
        text.splice(begin..begin, time);
        let len = text[begin..].iter().position(|byte| *byte == b'\n');
        begin = len.map_or(text.len(), |len| begin + len + 1);
    }
}

impl<R: Ring, C: Clock> Worker<R, C> {
    pub(super) fn rendering(&self, key: Key) -> Rendering {
        let dialect = self.dialect(key);
        let stamped = self.conn(key).is_some_and(|conn| conn.stamped);
        Rendering { dialect, stamped: stamped && dialect == Dialect::Telnet }
    }

    /// The connection's lines begin with the time from here on, or do not.
    pub(super) fn set_stamped(&mut self, key: Key, on: bool) {
        let Some(conn) = self.conn_mut(key).filter(|conn| conn.is_open()) else { return };
        if std::mem::replace(&mut conn.stamped, on) == on {
            return;
        }
        self.clear_line(key);
        self.tell_skipped(key);
        for index in self.subscriptions_of(key) {
            self.take_privately(key, index);
            let room = self.feeds[self.subscriptions[index as usize].feed as usize].room;
            // In the new feed before out of the old: the room is not forgotten meanwhile.
            self.subscribe(key, room);
            self.unsubscribe(index);
        }
    }

    /// Moves what the subscription has not been sent to the connection's own feed.
    pub(super) fn take_privately(&mut self, key: Key, index: u32) {
        let mut cursor = self.subscriptions[index as usize].cursor;
        let feed = self.subscriptions[index as usize].feed as usize;
        if self.conns[key.slot as usize].mid_line == Source::Room(index) {
            let rest = self.feeds[feed].feed.rest_of_line(cursor);
            self.finish_line_privately(key, index);
            cursor += rest.map_or(0, |rest| u64::from(rest.len));
        }
        loop {
            let skips = Skips::of(self.peer, key, &self.ignored);
            let (_, stretch) = self.feeds[feed].feed.stretch_without(&mut cursor, &skips);
            let Some(stretch) = stretch else { break };
            cursor += u64::from(stretch.piece.len);
            let bytes = stretch.piece.of(self.ring.memory()).to_vec();
            self.move_privately(key, &bytes);
        }
        self.subscriptions[index as usize].cursor = cursor;
        self.subscriptions[index as usize].own_count = 0;
    }

    /// Appends lines that came earlier to the connection's own feed: that its socket is full does
    /// not make them its fault.
    pub(super) fn move_privately(&mut self, key: Key, bytes: &[u8]) {
        for piece in bytes.chunks(CHUNK_LEN as usize) {
            let Some(private) = self.private(key) else { return };
            let Self { privates, pool, ring, now, .. } = self;
            let private = &mut privates[private as usize];
            let told = private.feed.append(piece, Author::NOBODY, *now, pool, ring.memory());
            private.stalled_at = private.feed.head();
            if told.is_err() {
                self.stats.feed_refusals.add(1);
                return self.slow.push((key, CloseReason::Internal));
            }
        }
        self.make_ready(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_begins_with_the_time() {
        for (wall, text, stamped) in [
            (0, "", ""),
            (59, "a\r\n", "00:00 a\r\n"),
            (86_400, "a\r\n\r\nb\r\n", "00:00 a\r\n00:00 \r\n00:00 b\r\n"),
            (45_240, "no end", "12:34 no end"),
        ] {
            let mut out = text.as_bytes().to_vec();
            stamp(wall, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), stamped);
        }
    }

    #[test]
    fn each_rendering_has_a_number() {
        let numbers: Vec<_> = Rendering::all().map(Rendering::index).collect();
        assert_eq!(numbers, (0..Rendering::COUNT).collect::<Vec<_>>());
    }
}
