//! Who is sent what, and when.
//!
//! A turn sends at most a quantum, so that whatever arrives meanwhile is looked at soon. First come
//! connections with something of their own to get (replies, or what they missed while their socket
//! was full), then small rooms, then large ones in slices, each in turn.
//!
//! A sweep visits a room's members in order and gives each what it has not been sent, in one send
//! however many lines that is. Who cannot be sent to at its place in the sweep is *lagging*: it
//! catches up by itself through the queue of ready connections.
//!
//! A send's outcome is known when the next turn begins (see `uring`): what failed is rolled back
//! there, and only then is memory let go of (`settle`).

use std::time::Duration;

use super::conn::{NONE, Source, State};
use super::feed::Stretch;
use super::ignored::Skips;
use super::output::{RoomFeed, Subscription, Sweep};
use super::token::{Key, Token};
use super::{Timer, Worker};
use crate::chat::{CloseReason, Message};
use crate::limits::{
    CONGESTED_LEN, FANOUT_QUANTUM, FANOUT_QUANTUM_LEN, RESUME_INTERVAL, RETRY_PAUSE,
    RETRY_PAUSE_MAX, SMALL_ROOM_LEN, SWEEP_SLICE,
};
use crate::time::Clock;
use crate::uring::{Ring, errno};

/// A send of the present batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    key: Key,
    source: Source,
    /// The cursor before it.
    from: u64,
    /// Whether it began in the middle of a line. Where the rest of a room's line was put into the
    /// connection's own feed, that feed does not know.
    begun: bool,
    line_count: u32,
}

/// What a turn may still send.
#[derive(Debug)]
struct Budget {
    sends: u32,
    len: u64,
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.sends == 0 || self.len == 0
    }

    fn spend(&mut self, len: u32) {
        self.sends -= 1;
        self.len = self.len.saturating_sub(u64::from(len));
    }

    /// A part of it: so many sends at most.
    fn part(&self, sends: u32) -> Self {
        Self { sends: self.sends.min(sends), len: self.len }
    }

    fn take_back(&mut self, before: u32, part: &Self) {
        self.sends -= before - part.sends;
        self.len = part.len;
    }
}

impl<R: Ring, C: Clock> Worker<R, C> {
    /// Whether there is something to send now.
    pub(super) fn has_work(&self) -> bool {
        !(self.ready.is_empty()
            && self.small.is_empty()
            && self.large.is_empty()
            && self.swept.is_empty()
            && self.sent.is_empty())
    }

    pub(super) fn fan_out(&mut self) {
        self.settle();
        self.batch_number = self.batch_number.wrapping_add(1);
        let mut budget = Budget { sends: FANOUT_QUANTUM, len: FANOUT_QUANTUM_LEN };
        self.with_part(&mut budget, FANOUT_QUANTUM / 2, Self::send_ready);
        self.with_part(&mut budget, FANOUT_QUANTUM / 4, Self::sweep_small);
        self.sweep_large(&mut budget);
        self.sweep_small(&mut budget);
        self.send_ready(&mut budget);
    }

    /// Spends at most `sends` of the budget: no kind of work starves the others.
    fn with_part(
        &mut self,
        budget: &mut Budget,
        sends: u32,
        spend: impl FnOnce(&mut Self, &mut Budget),
    ) {
        let mut part = budget.part(sends);
        let before = part.sends;
        spend(self, &mut part);
        budget.take_back(before, &part);
    }

    /// Connections with something of their own, each once.
    fn send_ready(&mut self, budget: &mut Budget) {
        for _ in 0..self.ready.len() {
            if budget.is_spent() {
                return;
            }
            let Some(key) = self.ready.pop_front() else { return };
            let batch_number = self.batch_number;
            let Some(conn) = self.conn_mut(key) else { continue };
            if conn.sent.0 == batch_number {
                // Until the outcome of that send is known, nothing may follow it.
                self.ready.push_back(key);
                continue;
            }
            conn.queued = false;
            if conn.blocked || !conn.is_sent_to() {
                continue;
            }
            match self.send_next(key) {
                Some(len) => {
                    budget.spend(len);
                    self.make_ready(key);
                }
                None => self.caught_up(key),
            }
        }
    }

    /// Sends a connection what comes next for it; `None` if there is nothing.
    fn send_next(&mut self, key: Key) -> Option<u32> {
        let conn = self.conn(key)?;
        match conn.mid_line {
            Source::Private => return self.send_private(key),
            Source::Room(subscription) => return self.send_from_room(subscription),
            Source::Nothing => {}
        }
        self.tell_skipped(key);
        let conn = self.conn(key)?;
        let (private, mut next, rich) = (conn.private, conn.subscription, conn.rich);
        if private != NONE && self.private_len(private) > 0 {
            return self.send_private(key);
        }
        if rich && self.is_behind(next) && self.clear_line(key) {
            return self.send_private(key);
        }
        while next != NONE {
            if let Some(len) = self.catch_up(next) {
                return Some(len);
            }
            next = self.subscriptions[next as usize].next;
        }
        None
    }

    /// Sends a member what the last sweep was about. What came later is the next sweep's: a member
    /// that ran after every line by itself would undo the pacing.
    fn catch_up(&mut self, index: u32) -> Option<u32> {
        if self.is_owed(index) {
            self.send_from_room(index)
        } else {
            self.stop_lagging(index);
            None
        }
    }

    /// Whether the subscription is behind what the last sweep was about.
    pub(super) fn is_owed(&mut self, index: u32) -> bool {
        let Self { subscriptions, feeds, peer, ignored, .. } = self;
        let subscription = &mut subscriptions[index as usize];
        let room_feed = &feeds[subscription.feed as usize];
        if subscription.filtered {
            let skips = Skips::of(*peer, subscription.conn, ignored);
            room_feed.feed.step_over(&mut subscription.cursor, &skips);
        }
        // At the end there is no next sweep to wait for.
        let until = if self.stopping { room_feed.feed.head() } else { room_feed.target };
        subscription.cursor < until
    }

    fn send_private(&mut self, key: Key) -> Option<u32> {
        let private = self.privates.get_mut(self.conn(key)?.private as usize)?;
        let from = private.cursor;
        let stretch = private.feed.stretch(from)?;
        private.cursor += u64::from(stretch.piece.len);
        self.send(Sent { key, source: Source::Private, from, begun: false, line_count: 0 }, stretch)
    }

    /// Sends a member what it has not been sent of a room, to the end of a chunk or to a line that
    /// it skips.
    fn send_from_room(&mut self, index: u32) -> Option<u32> {
        let Self { subscriptions, feeds, peer, ignored, .. } = self;
        let subscription = &mut subscriptions[index as usize];
        let feed = &feeds[subscription.feed as usize].feed;
        let stretch = if subscription.own_count == 0 && !subscription.filtered {
            feed.stretch(subscription.cursor)
        } else {
            let skips = Skips::of(*peer, subscription.conn, ignored);
            let (over, stretch) = feed.stretch_without(&mut subscription.cursor, &skips);
            subscription.stepped_over(over);
            stretch
        };
        let Some(stretch) = stretch else {
            self.stop_lagging(index);
            return None;
        };
        let (key, from) = (subscription.conn, subscription.cursor);
        subscription.cursor += u64::from(stretch.piece.len);
        self.send(
            Sent { key, source: Source::Room(index), from, begun: false, line_count: 0 },
            stretch,
        )
    }

    fn send(&mut self, sent: Sent, stretch: Stretch) -> Option<u32> {
        let place = u32::try_from(self.sent.len()).expect("bounded by the quantum");
        let conn = &mut self.conns[sent.key.slot as usize];
        debug_assert_ne!(conn.sent.0, self.batch_number, "one send a connection in a batch");
        conn.sent = (self.batch_number, place);
        let begun = std::mem::replace(&mut conn.mid_line, Source::Nothing) != Source::Nothing;
        self.sent.push(Sent { begun, line_count: stretch.line_count, ..sent });
        let token = Token::Send(sent.key).encode();
        self.ring.send(sent.key.slot, stretch.piece.start, stretch.piece.len, token);
        self.stats.sends.add(1);
        self.stats.bytes_out.add(u64::from(stretch.piece.len));
        Some(stretch.piece.len)
    }

    fn stop_lagging(&mut self, index: u32) {
        let subscription = &mut self.subscriptions[index as usize];
        if !std::mem::take(&mut subscription.lagging) {
            return;
        }
        let feed = subscription.feed;
        let room_feed = &mut self.feeds[feed as usize];
        room_feed.laggard_count -= 1;
        if room_feed.laggard_count == 0 && room_feed.sweep == Sweep::Idle {
            room_feed.sweep = Sweep::Done;
            self.swept.push(feed);
        }
    }

    /// The connection has everything it is owed.
    fn caught_up(&mut self, key: Key) {
        let stopping = self.stopping;
        let Some(conn) = self.conn_mut(key) else { return };
        conn.stalled = false;
        conn.full_for = Duration::ZERO;
        conn.retry_count = 0;
        if stopping && conn.is_open() {
            self.tell(key, &Message::Stopping);
            self.drain(key, CloseReason::Stop);
        } else {
            self.draw_line(key);
        }
    }

    fn sweep_small(&mut self, budget: &mut Budget) {
        while let Some(feed) = self.small.pop_front() {
            if !self.sweep(feed, u32::MAX, budget) {
                return self.small.push_front(feed);
            }
        }
    }

    /// Large rooms, a slice each, until the budget is spent.
    fn sweep_large(&mut self, budget: &mut Budget) {
        while let Some(feed) = self.large.pop_front() {
            if budget.is_spent() {
                return self.large.push_front(feed);
            }
            if !self.sweep(feed, SWEEP_SLICE, budget) {
                self.large.push_back(feed);
            }
        }
    }

    pub(super) fn start_sweep(&mut self, index: u32) {
        let room_feed = &mut self.feeds[index as usize];
        room_feed.sweep = Sweep::Going;
        room_feed.position = 0;
        room_feed.target = room_feed.feed.head();
        room_feed.started = self.now;
        let small = room_feed.members.len() <= SMALL_ROOM_LEN;
        if small { &mut self.small } else { &mut self.large }.push_back(index);
    }

    /// Visits members until `sends` are made or the budget is spent; says whether all were visited.
    fn sweep(&mut self, index: u32, sends: u32, budget: &mut Budget) -> bool {
        let mut left = sends;
        loop {
            let room_feed = &mut self.feeds[index as usize];
            let Some(member) = room_feed.members.get(room_feed.position).copied() else {
                room_feed.sweep = Sweep::Done;
                self.swept.push(index);
                return true;
            };
            if left == 0 || budget.is_spent() {
                return false;
            }
            let target = room_feed.target;
            room_feed.position += 1;
            if let Some(len) = self.visit(member, target) {
                budget.spend(len);
                left -= 1;
            }
        }
    }

    /// Sends a member what the sweep is about, or leaves it to catch up.
    fn visit(&mut self, index: u32, target: u64) -> Option<u32> {
        let Subscription { conn: key, cursor, .. } = self.subscriptions[index as usize];
        if cursor >= target {
            return None;
        }
        let conn = &self.conns[key.slot as usize];
        let blocked = conn.blocked;
        // In rich mode something of its own goes first.
        if blocked || conn.queued || conn.rich || conn.sent.0 == self.batch_number {
            self.set_lagging(index);
            if blocked && self.is_too_far_behind(index) {
                self.slow.push((key, CloseReason::Slow));
            }
            self.make_ready(key);
            return None;
        }
        let len = self.send_from_room(index)?;
        if self.subscriptions[index as usize].cursor < target {
            self.set_lagging(index);
            self.make_ready(key);
        }
        Some(len)
    }

    /// A send did not go out whole.
    pub(super) fn on_send(&mut self, key: Key, result: i32) {
        let Some(conn) = self.conn(key) else { return self.stale() };
        let (batch, place) = conn.sent;
        debug_assert_eq!(batch, self.batch_number, "a send completes before the next batch");
        if !conn.is_sent_to() {
            return;
        }
        let sent = self.sent[place as usize];
        self.sent[place as usize].line_count = 0;
        let part = match errno(result) {
            None => u64::from(result.unsigned_abs()),
            Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM | libc::EINTR) => 0,
            Some(libc::ETIMEDOUT) => return self.lost(key, CloseReason::TimedOut),
            Some(_) => return self.lost(key, CloseReason::Reset),
        };
        self.roll_back(place, sent, sent.from + part);
        self.block(key, part > 0);
    }

    /// The cursor goes back to where the bytes that left end.
    fn roll_back(&mut self, place: u32, sent: Sent, cursor: u64) {
        let feed = match sent.source {
            Source::Private => {
                let private = self.conns[sent.key.slot as usize].private;
                let private = &mut self.privates[private as usize];
                private.cursor = cursor;
                &private.feed
            }
            Source::Room(index) => {
                self.set_lagging(index);
                let subscription = &mut self.subscriptions[index as usize];
                subscription.cursor = cursor;
                &self.feeds[subscription.feed as usize].feed
            }
            Source::Nothing => unreachable!("a send has a source"),
        };
        let unmoved = sent.begun && cursor == sent.from;
        let mid_line = unmoved || feed.rest_of_line(cursor).is_some();
        self.sent[place as usize].line_count = feed.line_count(sent.from, cursor);
        if mid_line {
            self.conns[sent.key.slot as usize].mid_line = sent.source;
        }
    }

    /// The socket is full: it is waited for.
    fn block(&mut self, key: Key, progress: bool) {
        self.stats.sends_blocked.add(1);
        let (now, attention, freezing) = (self.now, self.attention, self.is_freezing());
        let conn = &mut self.conns[key.slot as usize];
        conn.blocked = true;
        self.stats.blocked.add(1);
        conn.full_since = attention;
        conn.stalled = true;
        if !std::mem::replace(&mut conn.listed, true) {
            self.stalled.push(key);
        }
        conn.retry_count = if progress { 0 } else { conn.retry_count.saturating_add(1) };
        // The first refusal is the usual one. A socket that said it had room and refuses again is
        // short of memory, and would say so again at once.
        if conn.retry_count > 1 {
            let pause = RETRY_PAUSE * (1 << conn.retry_count.min(8));
            self.timers.set(now + pause.min(RETRY_PAUSE_MAX), Timer::Retry(key));
        } else if !freezing {
            conn.polling = true;
            self.ring.poll_out(key.slot, Token::Poll(key).encode());
        }
        self.note_stall(key);
    }

    pub(super) fn on_poll(&mut self, key: Key) {
        let Some(conn) = self.conn_mut(key) else { return self.stale() };
        conn.polling = false;
        if matches!(conn.state, State::Closing { .. }) {
            self.close_if_idle(key);
        } else {
            self.unblock(key);
        }
    }

    pub(super) fn unblock(&mut self, key: Key) {
        let Some(conn) = self.conn(key).filter(|conn| conn.blocked) else { return };
        if self.is_freezing() {
            return;
        }
        let full_for = self.full_for(conn);
        let conn = &mut self.conns[key.slot as usize];
        conn.full_for = full_for;
        conn.blocked = false;
        self.stats.blocked.set(self.stats.blocked.read() - 1);
        self.make_ready(key);
    }

    /// The outcome of the last batch is known: counts it, lets go of memory, and decides how the
    /// rooms whose sweep ended go on.
    fn settle(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        for sent in &sent {
            self.stats.deliveries.add(u64::from(sent.line_count));
            if let Some(conn) = self.conn_mut(sent.key).filter(|conn| !conn.blocked) {
                conn.retry_count = 0;
            }
            if sent.source == Source::Private {
                self.release_private(sent.key);
                self.close_if_drained(sent.key);
            }
        }
        self.sent = sent;
        self.sent.clear();
        let mut swept = std::mem::take(&mut self.swept);
        for feed in swept.drain(..) {
            self.settle_sweep(feed);
        }
        self.swept = swept;
        self.stats.feed_bytes.set(self.pool.used_len());
    }

    fn close_if_drained(&mut self, key: Key) {
        let Some(conn) = self.conn(key).filter(|conn| conn.private == NONE) else { return };
        if let State::Draining(reason) = conn.state {
            self.begin_close(key, reason, false);
        }
    }

    fn settle_sweep(&mut self, index: u32) {
        let floor = self.floor(index);
        let room_feed = &mut self.feeds[index as usize];
        room_feed.sweep = Sweep::Idle;
        if room_feed.members.is_empty() {
            return self.drop_feed_if_empty(index);
        }
        room_feed.feed.release(floor, &mut self.pool);
        self.note_congestion(index);
        let RoomFeed { started, target, congested, ref feed, .. } = self.feeds[index as usize];
        if feed.head() > target {
            let due = started + self.config.pace;
            if due > self.now && !self.is_freezing() {
                self.pace_sweep(index, due);
            } else {
                self.start_sweep(index);
            }
        } else if congested {
            // While the authors are held nothing new comes, and a reader whose socket is full would
            // hold them until its bytes are too old: it is a sweep that finds it too far behind.
            self.pace_sweep(index, self.now + RESUME_INTERVAL);
        }
    }

    /// What no member needs any more ends there: at the sweep's target, unless somebody lags.
    fn floor(&self, index: u32) -> u64 {
        let room_feed = &self.feeds[index as usize];
        if room_feed.laggard_count == 0 {
            return room_feed.target;
        }
        let cursors =
            room_feed.members.iter().map(|member| self.subscriptions[*member as usize].cursor);
        cursors.min().unwrap_or(room_feed.target).min(room_feed.target)
    }

    /// Notes when this worker falls behind in a room, and when it has caught up.
    pub(super) fn note_congestion(&mut self, index: u32) {
        let RoomFeed { congested, feed, .. } = &self.feeds[index as usize];
        let len = feed.len();
        let on = if *congested { len > CONGESTED_LEN / 2 } else { len > CONGESTED_LEN };
        self.set_congested(index, on);
    }
}
