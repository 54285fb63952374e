//! Readers that are too slow: found by bytes when a sweep meets them, by age twice a second.
//!
//! What counts is the age of the oldest unsent byte, from when the socket was first full: a reader
//! that takes a byte now and then does not escape, and lateness of the server never counts. Under
//! `close` the reader is told why, where its stream stands between two lines, and reset, so that
//! the kernel keeps nothing for it. Under `skip` it goes on at the live end of its rooms, after a
//! line that says how many lines it missed.

use super::conn::{NONE, Source};
use super::token::{Key, Token};
use super::{SlowPolicy, Timer, Worker};
use crate::chat::{CloseReason, Message};
use crate::limits::{BEHIND_AGE_MAX, SLOW_CHECK_INTERVAL};
use crate::time::{Clock, Time};
use crate::uring::Ring;

impl<R: Ring, C: Clock> Worker<R, C> {
    /// Looks at everyone whose socket has been full.
    pub(super) fn check_slow(&mut self) {
        let mut stalled = std::mem::take(&mut self.stalled);
        stalled.retain(|key| {
            let Some(conn) = self.conn(*key) else { return false };
            if conn.stalled_since == Time::NEVER || !conn.is_sent_to() {
                return false;
            }
            if self.oldest_unsent(*key) + BEHIND_AGE_MAX <= self.now {
                self.slow.push((*key, CloseReason::Slow));
            }
            true
        });
        self.stalled = stalled;
        self.timers.set(self.now + SLOW_CHECK_INTERVAL, Timer::Slow);
    }

    /// Since when the connection has owed itself its oldest unsent byte.
    fn oldest_unsent(&self, key: Key) -> Time {
        let Some(conn) = self.conn(key) else { return Time::NEVER };
        let private = self.privates.get(conn.private as usize);
        let mut oldest = private.and_then(|private| private.feed.came_at(private.cursor));
        let mut next = conn.subscription;
        while next != NONE {
            let subscription = &self.subscriptions[next as usize];
            let feed = &self.feeds[subscription.feed as usize].feed;
            let came_at = feed.came_at(subscription.cursor);
            oldest = oldest.into_iter().chain(came_at).min();
            next = subscription.next;
        }
        oldest.map_or(Time::NEVER, |oldest| oldest.max(conn.stalled_since))
    }

    /// Deals with those found too slow, and with those there was no memory for. Between two
    /// batches: nothing of theirs is on its way.
    pub(super) fn dismiss_slow(&mut self) {
        let mut slow = std::mem::take(&mut self.slow);
        for (key, reason) in slow.drain(..) {
            let Some(conn) = self.conn(key).filter(|conn| conn.is_sent_to()) else { continue };
            let policy = self.listeners[conn.listener as usize].slow;
            // One that has not read its own replies, the last such notice among them, is beyond
            // help.
            let may_skip = conn.is_open() && conn.subscription != NONE && conn.private == NONE;
            if reason == CloseReason::Slow && policy == SlowPolicy::Skip && may_skip {
                self.skip(key);
            } else {
                self.evict(key, reason);
            }
        }
        self.slow = slow;
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
        let now = self.now;
        if let Some(conn) = self.conn_mut(key) {
            conn.stalled_since = now;
        }
        self.tell(key, &Message::Skipped { lines: missed });
    }

    /// Moves the subscription's cursor to the head; returns how many lines of others that skips.
    fn skip_to_head(&mut self, key: Key, index: u32) -> u64 {
        let begun = self.conn(key).is_some_and(|conn| conn.mid_line == Source::Room(index));
        if begun {
            self.finish_line_privately(key, index);
        }
        let subscription = &mut self.subscriptions[index as usize];
        let feed = &self.feeds[subscription.feed as usize].feed;
        let lines = feed.line_count(subscription.cursor, feed.head());
        let missed = lines - subscription.own_count - u32::from(begun);
        subscription.cursor = feed.head();
        subscription.own_count = 0;
        u64::from(missed)
    }
}
