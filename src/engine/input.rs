//! From received bytes to events for the hub, and the reasons not to read.
//!
//! A client is not read from while its own replies are unread, while a room it is in is held, and
//! while this worker or another cannot keep up. Nothing is dropped for that: what was received
//! already is held, the rest stays with the kernel, and in the end with the sender.

use std::ops::ControlFlow;

use super::Worker;
use super::conn::{Conn, Held, NONE, State};
use super::token::Key;
use crate::chat::{CloseReason, Event, Message, RichMode};
use crate::dialect::Input;
use crate::limits::{HELD_LEN, HELD_LEN_MAX, LINES_IN_MAX, RESUMES_MAX};
use crate::time::Clock;
use crate::uring::{BufferId, Completion, Ring, errno};

/// Bytes of protocol answers that are sent as one line; then they are passed on.
const ANSWER_LEN: usize = 1_024;

impl<R: Ring, C: Clock> Worker<R, C> {
    pub(super) fn on_recv(&mut self, key: Key, completion: Completion) {
        let Some(conn) = self.conn_mut(key) else {
            if let Some(buffer) = completion.buffer {
                self.ring.recycle(buffer);
            }
            return self.stale();
        };
        conn.receiving = completion.more;
        match (completion.buffer, errno(completion.result)) {
            (Some(buffer), None) => self.on_bytes(key, buffer, completion.result.unsigned_abs()),
            (Some(buffer), Some(_)) => self.ring.recycle(buffer),
            (None, None) => self.on_end(key),
            (None, Some(errno)) => self.on_recv_error(key, errno),
        }
        self.receive_again(key, completion.result == 0);
    }

    fn on_bytes(&mut self, key: Key, buffer: BufferId, len: u32) {
        self.stats.bytes_in.add(u64::from(len));
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(self.ring.buffer(buffer, len as usize));
        self.ring.recycle(buffer);
        let stopping = self.stopping;
        match self.conn_mut(key) {
            Some(conn) if !conn.is_open() || stopping => {}
            Some(Conn { held: Some(held), .. }) => {
                held.bytes.extend_from_slice(&input);
                self.on_held_growth(key);
            }
            _ => {
                let read = self.read(key, &input);
                if read < input.len() {
                    self.hold(key, &input[read..]);
                }
            }
        }
        input.clear();
        self.input = input;
    }

    /// The other end will send no more. What it sent before still counts.
    fn on_end(&mut self, key: Key) {
        match self.conn_mut(key) {
            Some(Conn { state: State::Open, held: Some(held), .. }) => held.ended = true,
            _ => self.leave(key, CloseReason::EndOfFile),
        }
    }

    fn on_recv_error(&mut self, key: Key, errno: i32) {
        match errno {
            libc::ENOBUFS | libc::ENOMEM => self.stats.recv_no_buffers.add(1),
            libc::ECANCELED | libc::EINTR | libc::EAGAIN => {}
            libc::ETIMEDOUT => self.lost(key, CloseReason::TimedOut),
            _ => self.lost(key, CloseReason::Reset),
        }
    }

    /// A receive that ended is started again, unless the connection is not to be read from.
    pub(super) fn receive_again(&mut self, key: Key, ended: bool) {
        let Some(conn) = self.conn(key).filter(|conn| !conn.receiving) else { return };
        match conn.state {
            State::Open if conn.held.is_none() => self.start_receiving(key),
            // Thrown away: closing with input unread would reset the connection, and what it was
            // sent last could be lost.
            State::Leaving(reason) | State::Draining(reason)
                if reason != CloseReason::EndOfFile && !ended =>
            {
                self.start_receiving(key);
            }
            State::Closing { .. } => self.close_if_idle(key),
            _ => {}
        }
    }

    /// Turns bytes into events until they are used up or the client has to wait; returns how many
    /// were taken.
    fn read(&mut self, key: Key, bytes: &[u8]) -> usize {
        let mut taken = 0;
        let mut lines_left = self.lines_allowed(key);
        while taken < bytes.len() && lines_left > 0 && self.may_read(key) {
            let mut answers = std::mem::take(&mut self.answers);
            let (count, ending) = self.decode(key, &bytes[taken..], &mut lines_left, &mut answers);
            taken += count;
            if !answers.is_empty() {
                self.tell_bytes(key, &answers);
            }
            answers.clear();
            self.answers = answers;
            if let Some(reason) = ending {
                self.leave(key, reason);
                return bytes.len();
            }
        }
        taken
    }

    /// How many lines the client may send now. What is over that is not read, never dropped.
    fn lines_allowed(&self, key: Key) -> u32 {
        match self.conn(key) {
            Some(Conn { trusted: false, rate, .. }) => {
                let bounds = &self.config.bounds;
                rate.allowed(self.now, bounds.line_burst, bounds.line_interval()).min(LINES_IN_MAX)
            }
            _ => LINES_IN_MAX,
        }
    }

    fn decode(
        &mut self,
        key: Key,
        bytes: &[u8],
        lines_left: &mut u32,
        answers: &mut Vec<u8>,
    ) -> (usize, Option<CloseReason>) {
        let (id, dialect) = (self.id(key), self.dialect(key));
        let interval = self.config.bounds.line_interval();
        let Self { conns, batch, stats, now, .. } = self;
        let Conn { decoder, rate, rich, .. } = &mut conns[key.slot as usize];
        let mut ending = None;
        let count = decoder.decode(bytes, &mut |input| {
            match input {
                Input::Line(text) => batch.push(Event::Line { conn: id, text }),
                Input::Frame { room, text } => batch.push(Event::Frame { conn: id, room, text }),
                Input::Id(name) => batch.push(Event::Id { conn: id, name }),
                Input::To { name, text } => batch.push(Event::To { conn: id, name, text }),
                Input::Invalid => batch.push(Event::Invalid { conn: id }),
                Input::LineTooLong => batch.push(Event::LineTooLong { conn: id }),
                Input::AreYouThere => dialect.render(&Message::Here, answers),
                Input::Answer(bytes) => answers.extend_from_slice(bytes),
                Input::Rich { mode, answer } => {
                    *rich = mode == RichMode::On;
                    let message = Message::Rich { mode };
                    stats.count_refusal(&message);
                    dialect.render(&message, answers);
                    answers.extend_from_slice(answer);
                }
                Input::EndlessLine => ending = Some(CloseReason::EndlessLine),
                Input::Foreign => ending = Some(CloseReason::Foreign),
            }
            if input.counts() {
                stats.lines_in.add(1);
                rate.spend(1, *now, interval);
                *lines_left -= 1;
            }
            let stop = *lines_left == 0 || batch.is_full() || answers.len() >= ANSWER_LEN;
            if stop || ending.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        (count, ending)
    }

    /// Whether the client may be read from now.
    fn may_read(&self, key: Key) -> bool {
        let Some(conn) = self.conn(key) else { return false };
        !self.hub_hold
            && !self.is_freezing()
            && !self.batch.is_full()
            && !self.pool.is_short()
            && self.lines_allowed(key) > 0
            && self.private_len(conn.private) < self.config.bounds.unread_len
            && !self.in_held_room(conn)
    }

    fn in_held_room(&self, conn: &Conn) -> bool {
        let mut next = conn.subscription;
        while next != NONE {
            let subscription = &self.subscriptions[next as usize];
            if self.rooms[self.feeds[subscription.feed as usize].room.0 as usize].held {
                return true;
            }
            next = subscription.next;
        }
        false
    }

    /// The client has to wait; `rest` is what it sent and was not read.
    fn hold(&mut self, key: Key, rest: &[u8]) {
        let Some(conn) = self.conn_mut(key).filter(|conn| conn.is_open()) else { return };
        conn.held = Some(Box::new(Held { bytes: rest.to_vec(), ended: false }));
        self.stats.read_pauses.add(1);
        self.paused.push_back(key);
        self.on_held_growth(key);
    }

    fn on_held_growth(&mut self, key: Key) {
        let Some(Conn { held: Some(held), .. }) = self.conn(key) else { return };
        let len = held.bytes.len();
        if len > HELD_LEN_MAX {
            self.leave(key, CloseReason::Flood);
        } else if len > HELD_LEN {
            self.stop_receiving(key);
        }
    }

    /// Reads on from clients whose reason to wait is gone.
    pub(super) fn resume(&mut self) {
        for _ in 0..self.paused.len().min(RESUMES_MAX) {
            let Some(key) = self.paused.pop_front() else { return };
            let Some(conn) = self.conn(key) else { continue };
            if conn.held.is_none() || !conn.is_open() {
                continue;
            }
            if !self.may_read(key) {
                self.paused.push_back(key);
                continue;
            }
            self.read_held(key);
        }
    }

    fn read_held(&mut self, key: Key) {
        let Some(mut held) = self.conn_mut(key).and_then(|conn| conn.held.take()) else { return };
        let read = self.read(key, &held.bytes);
        held.bytes.drain(..read);
        let Some(conn) = self.conn_mut(key).filter(|conn| conn.is_open()) else { return };
        if !held.bytes.is_empty() {
            conn.held = Some(held);
            self.paused.push_back(key);
        } else if held.ended {
            self.leave(key, CloseReason::EndOfFile);
        } else if !conn.receiving {
            self.start_receiving(key);
        }
        // Otherwise the receive goes on, or its cancel ends it, and that starts it anew.
    }
}
