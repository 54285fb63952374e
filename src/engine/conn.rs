//! A connection's life on its worker.
//!
//! ```text
//! Accepting ─▶ Open ─▶ Leaving ─▶ Draining ─▶ Closing ─▶ Closed ─▶ (slot free)
//! ```
//! Accepting: the slot is set aside before the accept is started, so that an accept cannot overrun.
//! Leaving: the core is told with the next exchange, and may still answer lines from before.
//! Draining: the core knows it no longer; it gets what it is owed, for a bounded time.
//! Closing: its operations are cancelled; each has one last completion, which is waited for.
//! Closed: the close itself is under way. A slot is empty only when that completed.

use std::net::SocketAddr;
use std::time::Duration;

use super::rate::Rate;
use super::token::{Key, Token};
use super::{Timer, Worker};
use crate::chat::{CloseReason, ConnId, Event, Message};
use crate::dialect::{Decoder, Dialect};
use crate::limits::{CLOSE_GRACE, RETRY_PAUSE};
use crate::time::{Clock, Time};
use crate::uring::Ring;

/// No subscription, no feed: an index that none has.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) generation: u32,
    pub(super) state: State,
    pub(super) addr: SocketAddr,
    /// Which listener it came from: its dialect and the policy for slow readers.
    pub(super) listener: u32,
    pub(super) decoder: Decoder,
    /// Input that waits because the connection is not read from.
    pub(super) held: Option<Box<Held>>,
    /// Its feed of replies in `privates`, or `NONE`.
    pub(super) private: u32,
    /// The first of its subscriptions, or `NONE`.
    pub(super) subscription: u32,
    /// Whose line it was sent a part of; nothing else may be sent before the rest.
    pub(super) mid_line: Source,
    /// Its send in the present batch: the number of the batch and its place there.
    pub(super) sent: (u32, u32),
    /// It is behind because its socket was full, and has not caught up since.
    pub(super) stalled: bool,
    /// Since when its socket is full, while it is, by `Worker::attention`.
    pub(super) full_since: Time,
    /// How long its socket was full before that, since it is behind.
    pub(super) full_for: Duration,
    /// It stands in the list of those that are looked at for slowness.
    pub(super) listed: bool,
    /// Lines it missed and was not told of yet.
    pub(super) skipped: u64,
    /// How fast its lines came.
    pub(super) rate: Rate,
    /// Its rate of lines is not bounded.
    pub(super) trusted: bool,
    /// Times in a row that its socket said it had room and had none.
    pub(super) retry_count: u8,
    /// A receive is in the kernel.
    pub(super) receiving: bool,
    /// A wait for room in the socket is in the kernel.
    pub(super) polling: bool,
    /// The receive's cancel was asked for.
    pub(super) cancelling: bool,
    /// The socket is full: nothing is sent until it says otherwise.
    pub(super) blocked: bool,
    /// It stands in the queue of those with something to send.
    pub(super) queued: bool,
    /// Its line is edited here: see `rich`.
    pub(super) rich: bool,
    /// Its lines begin with the time: see `stamp`.
    pub(super) stamped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Accepting,
    Open,
    Leaving(CloseReason),
    Draining(CloseReason),
    Closing { reason: CloseReason, abort: bool },
    Closed(CloseReason),
}

/// Where a connection's bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Nothing,
    /// Its own feed of replies.
    Private,
    /// A room, by subscription.
    Room(u32),
}

/// Input of a connection that is not read from.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    /// The end of the input has come, after `bytes`.
    pub(super) ended: bool,
}

impl Conn {
    pub(super) fn accepting(generation: u32) -> Self {
        Self {
            generation,
            state: State::Accepting,
            addr: SocketAddr::from(([0; 4], 0)),
            listener: 0,
            decoder: Dialect::Telnet.decoder(),
            held: None,
            private: NONE,
            subscription: NONE,
            mid_line: Source::Nothing,
            sent: (0, 0),
            stalled: false,
            full_since: Time::default(),
            full_for: Duration::ZERO,
            listed: false,
            skipped: 0,
            rate: Rate::default(),
            trusted: false,
            retry_count: 0,
            receiving: false,
            polling: false,
            cancelling: false,
            blocked: false,
            queued: false,
            rich: false,
            stamped: false,
        }
    }

    /// Whether the core knows it.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Why it ends, if it does.
    pub(super) fn ended_for(&self) -> Option<CloseReason> {
        match self.state {
            State::Accepting | State::Open => None,
            State::Leaving(reason)
            | State::Draining(reason)
            | State::Closing { reason, .. }
            | State::Closed(reason) => Some(reason),
        }
    }

    /// Whether it is still sent to.
    pub(super) fn is_sent_to(&self) -> bool {
        matches!(self.state, State::Open | State::Leaving(_) | State::Draining(_))
    }
}

impl<R: Ring, C: Clock> Worker<R, C> {
    pub(super) fn conn(&self, key: Key) -> Option<&Conn> {
        self.conns.get(key.slot as usize).filter(|conn| conn.generation == key.generation)
    }

    pub(super) fn conn_mut(&mut self, key: Key) -> Option<&mut Conn> {
        self.conns.get_mut(key.slot as usize).filter(|conn| conn.generation == key.generation)
    }

    /// The connections for which that holds.
    pub(super) fn keys_of(&self, holds: impl Fn(&Conn) -> bool) -> Vec<Key> {
        let conns = self.conns.iter().filter(|(_, conn)| holds(conn));
        let key = |(slot, conn): (usize, &Conn)| Key {
            slot: u32::try_from(slot).expect("below SLOTS_MAX"),
            generation: conn.generation,
        };
        conns.map(key).collect()
    }

    pub(super) fn id(&self, key: Key) -> ConnId {
        ConnId { peer: self.peer, index: key.slot, generation: key.generation }
    }

    pub(super) fn dialect(&self, key: Key) -> Dialect {
        let listener = self.conn(key).map_or(0, |conn| conn.listener);
        self.listeners[listener as usize].dialect
    }

    /// An open connection ends: the core is told, and what it still says is waited for. Unless the
    /// client ended it, a last line then says why.
    pub(super) fn leave(&mut self, key: Key, reason: CloseReason) {
        let id = self.id(key);
        let Some(conn) = self.conn_mut(key).filter(|conn| conn.is_open()) else { return };
        conn.state = State::Leaving(reason);
        conn.held = None;
        self.batch.push(Event::Disconnected { conn: id });
        self.leaving.push(key);
    }

    /// The connection broke: nothing can be sent to it any more.
    pub(super) fn lost(&mut self, key: Key, reason: CloseReason) {
        self.forget(key);
        self.begin_close(key, reason, false);
    }

    /// Tells the core that the connection is gone, if it knows it.
    pub(super) fn forget(&mut self, key: Key) {
        if self.conn(key).is_some_and(Conn::is_open) {
            let conn = self.id(key);
            self.batch.push(Event::Disconnected { conn });
        }
    }

    /// The core was told of everyone who leaves, and its answers were taken: on to draining.
    pub(super) fn drain_leaving(&mut self) {
        while let Some(key) = self.leaving.pop() {
            let Some(State::Leaving(reason)) = self.conn(key).map(|conn| conn.state) else {
                continue;
            };
            if reason != CloseReason::EndOfFile {
                // Nothing comes after the reason.
                self.tell_skipped(key);
                self.tell(key, &Message::Closing { reason });
            }
            self.drain(key, reason);
        }
    }

    /// The connection gets the rest of a begun line and its replies, then it is closed.
    pub(super) fn drain(&mut self, key: Key, reason: CloseReason) {
        self.unsubscribe_all(key);
        if reason != CloseReason::EndOfFile {
            self.end_rich(key);
        }
        let Some(conn) = self.conn_mut(key).filter(|conn| conn.is_sent_to()) else { return };
        conn.state = State::Draining(reason);
        conn.held = None;
        if conn.private == NONE {
            self.begin_close(key, reason, false);
        } else {
            self.timers.set(self.now + CLOSE_GRACE, Timer::Close(key));
            self.make_ready(key);
        }
    }

    /// Lets go of everything the connection has and of the kernel's operations on it. With `abort`
    /// its other end is reset, and nothing of it stays in the kernel.
    pub(super) fn begin_close(&mut self, key: Key, reason: CloseReason, abort: bool) {
        self.free_output(key);
        let Some(conn) = self.conn_mut(key) else { return };
        if !conn.is_sent_to() {
            return;
        }
        conn.state = State::Closing { reason, abort };
        conn.held = None;
        let blocked = std::mem::take(&mut conn.blocked);
        let (polling, receiving) = (conn.polling, conn.receiving && !conn.cancelling);
        self.stats.blocked.set(self.stats.blocked.read() - u64::from(blocked));
        if receiving {
            self.cancel(Token::Recv(key));
        }
        if polling {
            self.cancel(Token::Poll(key));
        }
        self.close_if_idle(key);
    }

    /// Closes the slot once nothing of the connection is in the kernel.
    pub(super) fn close_if_idle(&mut self, key: Key) {
        let Some(conn) = self.conn_mut(key) else { return };
        let State::Closing { reason, abort } = conn.state else { return };
        if conn.receiving || conn.polling {
            return;
        }
        conn.state = State::Closed(reason);
        if abort {
            self.ring.abort(key.slot, Token::Ignored.encode());
        }
        self.ring.close(key.slot, Token::Close(key).encode());
    }

    pub(super) fn on_close(&mut self, key: Key) {
        let Some(conn) = self.conn(key) else { return self.stale() };
        let ip = conn.addr.ip();
        let State::Closed(reason) = conn.state else {
            unreachable!("a close is started in one place")
        };
        tracing::debug!(addr = %conn.addr, reason = reason.word(), "closed");
        debug_assert!(!self.ignored.contains_key(&key), "its output was let go of");
        self.conns.remove(key.slot as usize);
        self.stats.connections.set(self.stats.connections.read() - 1);
        self.stats.closed[reason as usize].add(1);
        self.door.leave(ip);
        self.fill_lanes();
    }

    /// The time for draining is over. What a full socket still holds goes too, so that nothing of
    /// it stays in the kernel. A server that is late gives more time, except at its own end.
    pub(super) fn on_close_timer(&mut self, key: Key) {
        let Some(conn) = self.conn(key) else { return };
        let (blocked, full_for) = (conn.blocked, self.full_for(conn));
        let reason = match conn.state {
            State::Draining(reason) => reason,
            State::Open if self.stopping => CloseReason::Stop,
            _ => return,
        };
        if self.stopping || blocked && full_for >= CLOSE_GRACE {
            self.begin_close(key, reason, blocked);
        } else {
            let left = CLOSE_GRACE.saturating_sub(full_for).max(RETRY_PAUSE);
            self.timers.set(self.now + left, Timer::Close(key));
        }
    }

    fn cancel(&mut self, target: Token) {
        self.ring.cancel(target.encode(), Token::Ignored.encode());
    }

    /// Stops receiving, once.
    pub(super) fn stop_receiving(&mut self, key: Key) {
        let Some(conn) = self.conn_mut(key) else { return };
        if conn.receiving && !conn.cancelling {
            conn.cancelling = true;
            self.cancel(Token::Recv(key));
        }
    }

    pub(super) fn start_receiving(&mut self, key: Key) {
        if self.is_freezing() {
            return;
        }
        let Some(conn) = self.conn_mut(key) else { return };
        debug_assert!(!conn.receiving, "one receive at a time");
        conn.receiving = true;
        conn.cancelling = false;
        self.ring.recv(key.slot, Token::Recv(key).encode());
    }
}

/// A worker that ends before its connections: it panicked, or its ring broke. The kernel closes
/// them with the ring; here they are counted, so that what was accepted is what is open or closed.
impl<R, C> Drop for Worker<R, C> {
    fn drop(&mut self) {
        for (_, conn) in &self.conns {
            if conn.state != State::Accepting {
                let reason = conn.ended_for().unwrap_or(CloseReason::Internal);
                self.stats.closed[reason as usize].add(1);
                self.door.leave(conn.addr.ip());
            }
        }
        for now in [&self.stats.connections, &self.stats.blocked, &self.stats.feed_bytes] {
            now.set(0);
        }
    }
}
