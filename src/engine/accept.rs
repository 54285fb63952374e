//! Newcomers: accepted into slots that were set aside, refused with a reason when there are too
//! many, left waiting in the kernel when not even that is possible.
//!
//! A lane is one accept: it has a slot, a place for the other end's address, and is started again
//! as soon as it completes.

use super::conn::{Conn, NONE, State};
use super::token::{Key, Token};
use super::{Timer, Worker};
use crate::chat::{CloseReason, Event, Message};
use crate::limits::{ACCEPT_LANES, ACCEPT_PAUSE};
use crate::time::Clock;
use crate::uring::{Ring, errno};

/// Errors of the one connection, or of a moment (accept(2)): the next may be fine.
const CONNECTION_ERRORS: &[i32] = &[
    libc::ECONNABORTED,
    libc::EINTR,
    libc::EAGAIN,
    libc::EPROTO,
    libc::EPERM,
    libc::ENETDOWN,
    libc::ENOPROTOOPT,
    libc::EHOSTDOWN,
    libc::ENONET,
    libc::EHOSTUNREACH,
    libc::EOPNOTSUPP,
    libc::ENETUNREACH,
];

#[derive(Debug)]
pub(super) struct Lane {
    listener: u32,
    /// The slot set aside, or `NONE` while the lane rests.
    slot: u32,
}

/// The lanes of `listener_count` listeners.
pub(super) fn lanes(listener_count: usize) -> Vec<Lane> {
    let listeners = 0..u32::try_from(listener_count).expect("a handful");
    listeners
        .flat_map(|listener| (0..ACCEPT_LANES).map(move |_| Lane { listener, slot: NONE }))
        .collect()
}

impl<R: Ring, C: Clock> Worker<R, C> {
    /// Starts every lane that rests, as far as there are slots.
    pub(super) fn fill_lanes(&mut self) {
        if self.stopping || self.accept_pause || self.is_freezing() {
            return;
        }
        // The longest rest first, so that no listener waits for another.
        while self.conns.len() < self.slot_count
            && let Some(lane) = self.resting.pop_front()
        {
            self.start_lane(lane);
        }
    }

    fn start_lane(&mut self, lane: u32) {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let slot = self.conns.insert(Conn::accepting(generation));
        let slot = u32::try_from(slot).expect("below SLOTS_MAX");
        let place = &mut self.lanes[lane as usize];
        place.slot = slot;
        self.ring.accept(lane, place.listener, slot, Token::Accept { lane }.encode());
    }

    pub(super) fn on_accept(&mut self, lane: u32, result: i32) {
        let place = &mut self.lanes[lane as usize];
        let (slot, listener) = (std::mem::replace(&mut place.slot, NONE), place.listener);
        self.resting.push_back(lane);
        match errno(result) {
            None => self.admit(lane, listener, slot),
            Some(errno) => {
                self.conns.remove(slot as usize);
                self.on_accept_error(errno);
            }
        }
        self.fill_lanes();
    }

    /// accept(2): what fails for the one connection is passed over; what the whole system lacks,
    /// and whatever is not expected, is waited for.
    fn on_accept_error(&mut self, errno: i32) {
        if errno == libc::ECANCELED {
            return;
        }
        self.stats.accept_errors.add(1);
        if CONNECTION_ERRORS.contains(&errno) {
            return;
        }
        if !self.accept_pause {
            self.accept_pause = true;
            self.stats.accept_pauses.add(1);
            self.timers.set(self.now + ACCEPT_PAUSE, Timer::Accept);
            tracing::warn!(errno, "accepting pauses");
        }
    }

    pub(super) fn on_accept_timer(&mut self) {
        self.accept_pause = false;
        self.fill_lanes();
        if self.stopping || self.is_freezing() {
            self.stop_accepting();
        }
    }

    /// A newcomer is here.
    fn admit(&mut self, lane: u32, listener: u32, slot: u32) {
        let addr = self.ring.accepted_from(lane);
        let dialect = self.listeners[listener as usize].dialect;
        let greeted = self.door.enter(addr.ip(), self.now);
        self.stats.accepted.add(1);
        self.stats.connections.add(1);
        let conn = &mut self.conns[slot as usize];
        let key = Key { slot, generation: conn.generation };
        conn.state = State::Open;
        conn.addr = addr;
        conn.listener = listener;
        conn.decoder = dialect.decoder();
        conn.trusted = self.door.trusts(addr.ip());
        self.start_receiving(key);
        if self.stopping {
            self.begin_close(key, CloseReason::Stop, false);
        } else if self.is_full() {
            self.refuse(key, CloseReason::Full);
        } else if let Err(reason) = greeted {
            self.refuse(key, reason);
        } else {
            let conn = self.id(key);
            self.batch.push(Event::Connected { conn, addr, start: dialect.start() });
        }
    }

    /// The slots that are left are for refusals.
    fn is_full(&self) -> bool {
        let accepting = self.lanes.len() - self.resting.len();
        self.conns.len() - accepting > self.config.clients_max as usize
    }

    /// Tells a newcomer why it cannot stay. The core never hears of it.
    fn refuse(&mut self, key: Key, reason: CloseReason) {
        self.tell(key, &Message::Closing { reason });
        self.drain(key, reason);
    }

    /// Accepts no more. A cancel can come between an accept's waking and its next try, and find
    /// nothing: it is asked for again until none is left.
    pub(super) fn stop_accepting(&mut self) {
        self.timers.set(self.now + ACCEPT_PAUSE, Timer::Accept);
        for lane in 0..u32::try_from(self.lanes.len()).expect("a handful") {
            if self.lanes[lane as usize].slot != NONE {
                self.ring.cancel(Token::Accept { lane }.encode(), Token::Ignored.encode());
            }
        }
    }
}
