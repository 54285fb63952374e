//! Readers that are too slow: found by bytes when a sweep meets them, by age twice a second.
//!
//! What counts is the age of the oldest unsent byte, and how long the socket was full: a reader
//! that takes a byte now and then does not escape, and lateness of the server never counts. Under
//! `close` the reader is told why, where its stream stands between two lines, and reset, so that
//! the kernel keeps nothing for it. Under `skip` it goes on at the live end of its rooms, and once
//! it reads again, a line says how many lines it missed. Replies are never skipped: who leaves
//! those unread is closed all the same. Who never reads again is ended by the kernel
//! (`limits::USER_TIMEOUT`).
//!
//! When memory runs short, those who hold most of it go first.

use std::time::Duration;

use super::conn::{Conn, NONE, Source};
use super::ignored::Skips;
use super::output::Subscription;
use super::token::{Key, Token};
use super::{SlowPolicy, Timer, Worker};
use crate::chat::{CloseReason, Message};
use crate::limits::{HOLD_GRACE, SLOW_CHECK_INTERVAL};
use crate::time::{Clock, Time};
use crate::uring::Ring;

impl<R: Ring, C: Clock> Worker<R, C> {
    /// Looks at everyone whose socket has been full.
    pub(super) fn check_slow(&mut self) {
        let mut stalled = std::mem::take(&mut self.stalled);
        stalled.retain(|key| {
            let conn = self.conn(*key).filter(|conn| conn.is_sent_to());
            let conn = conn.filter(|conn| conn.stalled);
            let listed = conn.is_some();
            if conn.is_some_and(|conn| self.is_too_late(conn, self.oldest_unsent(conn))) {
                self.slow.push((*key, CloseReason::Slow));
            } else if !listed && let Some(conn) = self.conn_mut(*key) {
                conn.listed = false;
            }
            listed
        });
        self.stalled = stalled;
        if self.pool.is_short() {
            self.shed();
        }
        // A peak is over: what it needed goes back, so that it does not stay for good.
        for piece in self.pool.clear_idle() {
            self.ring.clear(piece.start, piece.len);
        }
        self.timers.set(self.now + SLOW_CHECK_INTERVAL, Timer::Slow);
    }

    /// Notes where the feeds of a connection stand whose socket is full now.
    pub(super) fn note_stall(&mut self, key: Key) {
        let mut next = self.conn(key).map_or(NONE, |conn| conn.subscription);
        while next != NONE {
            let subscription = &mut self.subscriptions[next as usize];
            subscription.stalled_at = self.feeds[subscription.feed as usize].feed.head();
            next = subscription.next;
        }
        let private = self.conn(key).map_or(NONE, |conn| conn.private);
        if let Some(private) = self.privates.get_mut(private as usize) {
            private.stalled_at = private.feed.head();
        }
    }

    /// Whether a member whose socket is full is so far behind that it must not go on so. What it
    /// had not been sent before the socket was full is the server's lateness, and does not count;
    /// but when it makes the authors of a room wait, it has a second to read that too.
    pub(super) fn is_too_far_behind(&self, index: u32) -> bool {
        let Subscription { conn, feed, cursor, stalled_at, .. } =
            self.subscriptions[index as usize];
        let room_feed = &self.feeds[feed as usize];
        let waited_for = room_feed.congested
            && self.conn(conn).is_some_and(|conn| self.full_for(conn) >= HOLD_GRACE);
        let from = if waited_for { cursor } else { cursor.max(stalled_at) };
        room_feed.feed.head() - from > self.config.bounds.behind_len
    }

    /// Closes the slow readers that hold most, until a quarter of the memory would be free again.
    fn shed(&mut self) {
        let mut readers: Vec<(u64, Key)> =
            self.stalled.iter().map(|key| (self.behind_len(*key), *key)).collect();
        readers.sort_unstable_by_key(|(len, _)| std::cmp::Reverse(*len));
        let mut missing = self.pool.used_len() / 4;
        for (len, key) in readers {
            if missing == 0 || len == 0 {
                return;
            }
            missing = missing.saturating_sub(len);
            self.slow.push((key, CloseReason::Shed));
        }
    }

    /// Bytes that the connection has not been sent yet.
    fn behind_len(&self, key: Key) -> u64 {
        let Some(conn) = self.conn(key) else { return 0 };
        let mut len = self.private_len(conn.private);
        let mut next = conn.subscription;
        while next != NONE {
            let subscription = &self.subscriptions[next as usize];
            len += self.feeds[subscription.feed as usize].feed.head() - subscription.cursor;
            next = subscription.next;
        }
        len
    }

    /// When the oldest reply came that the connection has not been sent.
    fn oldest_reply(&self, private: u32) -> Option<Time> {
        let private = self.privates.get(private as usize)?;
        private.feed.came_at(private.cursor)
    }

    /// How long the connection's socket has been full since the connection is behind. Lateness of
    /// the worker does not count: the socket may have had room for as long.
    pub(super) fn full_for(&self, conn: &Conn) -> Duration {
        let present = self.attention.since(conn.full_since);
        conn.full_for + if conn.blocked { present } else { Duration::ZERO }
    }

    /// Whether a byte that came at `oldest` is unread for longer than may be, and the reader is to
    /// blame for that.
    fn is_too_late(&self, conn: &Conn, oldest: Option<Time>) -> bool {
        let age = self.config.bounds.behind_age;
        conn.blocked
            && self.full_for(conn) >= age
            && oldest.is_some_and(|oldest| oldest + age <= self.now)
    }

    /// When the oldest byte came that the connection has not been sent.
    fn oldest_unsent(&self, conn: &Conn) -> Option<Time> {
        let mut oldest = self.oldest_reply(conn.private);
        let mut next = conn.subscription;
        while next != NONE {
            let subscription = &self.subscriptions[next as usize];
            let feed = &self.feeds[subscription.feed as usize].feed;
            let came_at = feed.came_at(subscription.cursor);
            oldest = oldest.into_iter().chain(came_at).min();
            next = subscription.next;
        }
        oldest
    }

    /// Deals with those found too slow, and with those there was no memory for. Between two
    /// batches: nothing of theirs is on its way.
    pub(super) fn dismiss_slow(&mut self) {
        let mut slow = std::mem::take(&mut self.slow);
        for (key, reason) in slow.drain(..) {
            let Some(conn) = self.conn(key).filter(|conn| conn.is_sent_to()) else { continue };
            let policy = self.listeners[conn.listener as usize].slow;
            let may_skip = conn.is_open() && self.reads_replies(conn);
            if reason == CloseReason::Slow && policy == SlowPolicy::Skip && may_skip {
                self.skip(key);
            } else {
                self.evict(key, reason);
            }
        }
        self.slow = slow;
    }

    /// Whether what the connection leaves unread are the lines of rooms, not its own replies.
    fn reads_replies(&self, conn: &Conn) -> bool {
        let oldest = self.oldest_reply(conn.private);
        !self.is_too_late(conn, oldest)
            && self.private_len(conn.private) <= self.config.bounds.behind_len
    }

    fn evict(&mut self, key: Key, reason: CloseReason) {
        let Some(conn) = self.conn(key) else { return };
        tracing::info!(addr = %conn.addr, reason = reason.word(), "evicted");
        let dialect = self.dialect(key);
        let said = Message::Closing { reason };
        if conn.mid_line == Source::Nothing
            && let Some(piece) = self.shared_texts.find(dialect, &said)
        {
            // Tried once; the socket is full, so it is lost more often than not.
            self.ring.send(key.slot, piece.start, piece.len, Token::Ignored.encode());
        }
        self.forget(key);
        self.begin_close(key, reason, true);
    }

    /// The reader goes on at the live end of its rooms.
    fn skip(&mut self, key: Key) {
        let mut missed = 0;
        let mut next = self.conn(key).map_or(NONE, |conn| conn.subscription);
        while next != NONE {
            missed += self.skip_to_head(key, next);
            next = self.subscriptions[next as usize].next;
        }
        self.stats.lines_skipped.add(missed);
        if let Some(conn) = self.conn_mut(key) {
            conn.skipped += missed;
        }
    }

    /// Tells a reader that can be sent to again how many lines it missed, if it did.
    pub(super) fn tell_skipped(&mut self, key: Key) {
        let missed = self.conn_mut(key).map_or(0, |conn| std::mem::take(&mut conn.skipped));
        if missed > 0 {
            self.tell(key, &Message::Skipped { lines: missed });
        }
    }

    /// Moves the subscription's cursor to the head; returns how many lines that skips which it
    /// would have been sent.
    fn skip_to_head(&mut self, key: Key, index: u32) -> u64 {
        let begun = self.conn(key).is_some_and(|conn| conn.mid_line == Source::Room(index));
        if begun {
            self.finish_line_privately(key, index);
        }
        let subscription = &mut self.subscriptions[index as usize];
        let feed = &self.feeds[subscription.feed as usize].feed;
        let lines = if subscription.filtered {
            let skips = Skips::of(self.peer, key, &self.ignored);
            feed.line_count_without(subscription.cursor, &skips)
        } else {
            feed.line_count(subscription.cursor, feed.head()) - subscription.own_count
        };
        let missed = lines - u32::from(begun);
        subscription.cursor = feed.head();
        subscription.own_count = 0;
        u64::from(missed)
    }
}
