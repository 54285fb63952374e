//! How a worker gives its connections away, and goes on with those that another gave: to a new
//! process, or to a worker in its own place when the new process fails.
//!
//! ```text
//! No ─▶ Freezing ─▶ Still ─▶ Due
//! ```
//! Freezing: nothing is accepted or read, receives and polls are called back. Still: nothing is in
//! the kernel, nothing is sent, and the core was told everything. Due: every peer is still;
//! connections are taken out, and the worker ends. Those that are being said goodbye to go along,
//! though the core knows them no longer.
//!
//! What a client sent and nobody received stays in its socket; what was received and not read, and
//! what it has not been sent, goes along as bytes. So nothing is lost, and nothing comes twice.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use super::Worker;
use super::conn::{Conn, Held, Source, State};
use super::ignored::Skips;
use super::output::{RoomFeed, Sweep};
use super::rate::Rate;
use super::token::{Key, Token};
use crate::chat::{CloseReason, ConnId, Event, PeerId};
use crate::dialect::Decoder;
use crate::limits::FREEZE_GRACE;
use crate::time::Clock;
use crate::uring::Ring;

/// Where a worker stands; see the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Handover {
    #[default]
    No,
    Freezing,
    Still,
    Due,
}

/// A connection as it is handed over, but for its socket.
#[derive(Debug, Serialize, Deserialize)]
pub struct Carried {
    /// What it was called.
    pub conn: ConnId,
    /// Its other end.
    pub addr: SocketAddr,
    /// The number of its listener.
    pub listener: u32,
    decoder: Decoder,
    /// What was received and not read, and whether the end came after it.
    #[serde(with = "serde_bytes")]
    input: Vec<u8>,
    input_ended: bool,
    /// What it has not been sent. So many bytes of it are the rest of a line.
    #[serde(with = "serde_bytes")]
    unsent: Vec<u8>,
    begun_len: usize,
    rate: Rate,
    rich: bool,
    stamped: bool,
    /// It only gets what it is owed, and is closed then.
    ending: Option<CloseReason>,
}

/// A connection to go on with.
#[derive(Debug)]
pub struct Adopted {
    /// Its socket, on which nothing is under way.
    pub socket: OwnedFd,
    /// The rest of it.
    pub carried: Carried,
}

/// What the connection is called that a worker starts with as the one at that place.
#[must_use]
pub fn adopted_id(peer: PeerId, place: u32) -> ConnId {
    ConnId { peer, index: place, generation: place }
}

impl Carried {
    /// Whether the core knows it still.
    #[must_use]
    pub fn is_in(&self) -> bool {
        self.ending.is_none()
    }
}

impl<R: Ring, C: Clock> Worker<R, C> {
    /// Whether everything new waits until it was handed over.
    pub(super) fn is_freezing(&self) -> bool {
        self.handover != Handover::No
    }

    /// Starts to come to rest.
    pub(super) fn freeze(&mut self) {
        self.handover = Handover::Freezing;
        self.still_due = self.now + FREEZE_GRACE;
        self.stop_accepting();
        let paced = |(_, feed): &(usize, &RoomFeed)| matches!(feed.sweep, Sweep::Paced(_));
        let paced: Vec<_> = self.feeds.iter().filter(paced).map(|(index, _)| index).collect();
        for index in paced {
            self.start_sweep(u32::try_from(index).expect("bounded by the subscriptions"));
        }
        for key in self.keys_of(Conn::is_sent_to) {
            self.stop_receiving(key);
            if self.conns[key.slot as usize].polling {
                self.ring.cancel(Token::Poll(key).encode(), Token::Ignored.encode());
            }
        }
    }

    /// Says that it is still, once nothing is under way. From then on nothing is sent either: a
    /// send that failed would be news for the core.
    ///
    /// What can be sent is sent first, for a while: a line of a room stands in memory once, and
    /// would be handed over once for each reader who has not been sent it.
    pub(super) fn be_still_if_resting(&mut self) {
        let is_resting = |conn: &Conn| {
            let stays = matches!(conn.state, State::Open | State::Draining(_));
            stays && !conn.receiving && !conn.polling
        };
        if self.handover == Handover::Freezing
            && (!self.has_work() || self.now >= self.still_due)
            && self.resting.len() == self.lanes.len()
            && self.batch.is_empty()
            && self.conns.iter().all(|(_, conn)| is_resting(conn))
        {
            self.handover = Handover::Still;
            self.batch.push(Event::Still { peer: self.peer });
        }
    }

    /// Takes out all connections there are, each with its slot in the ring. After the last turn.
    pub fn carry(&mut self) -> Vec<(u32, Carried)> {
        // Those for whom there was no memory since cannot go on.
        for (key, reason) in std::mem::take(&mut self.slow) {
            if let Some(conn) = self.conn_mut(key).filter(|conn| conn.is_open()) {
                conn.state = State::Draining(reason);
            }
        }
        let keys = self.keys_of(Conn::is_sent_to);
        let carried: Vec<_> = keys.into_iter().map(|key| (key.slot, self.carry_one(key))).collect();
        self.stats.handed_over.add(carried.len() as u64);
        carried
    }

    fn carry_one(&mut self, key: Key) -> Carried {
        let (unsent, begun_len) = self.take_unsent(key);
        let id = self.id(key);
        let conn = self.conns.remove(key.slot as usize);
        self.door.leave(conn.addr.ip());
        let ending = conn.ended_for();
        let held = conn.held.map_or_else(Held::default, |held| *held);
        Carried {
            conn: id,
            addr: conn.addr,
            listener: conn.listener,
            decoder: conn.decoder,
            input: held.bytes,
            input_ended: held.ended,
            unsent,
            begun_len,
            rate: conn.rate,
            rich: conn.rich,
            stamped: conn.stamped,
            ending,
        }
    }

    /// Everything the connection has not been sent, in order, and how many bytes of it are the rest
    /// of a line.
    fn take_unsent(&mut self, key: Key) -> (Vec<u8>, usize) {
        let mut unsent = Vec::new();
        let mid_line = self.conns[key.slot as usize].mid_line;
        if let Source::Room(index) = mid_line {
            let Self { subscriptions, feeds, ring, .. } = self;
            let subscription = &mut subscriptions[index as usize];
            let feed = &feeds[subscription.feed as usize].feed;
            if let Some(rest) = feed.rest_of_line(subscription.cursor) {
                unsent.extend_from_slice(rest.of(ring.memory()));
                subscription.cursor += u64::from(rest.len);
            }
        }
        let mut begun_len = unsent.len();
        self.tell_skipped(key);
        self.clear_line(key);
        let private = self.conns[key.slot as usize].private;
        if let Some(private) = self.privates.get(private as usize) {
            let mut cursor = private.cursor;
            if mid_line == Source::Private {
                begun_len = usize::try_from(private.feed.line_len(cursor)).expect("in memory");
            }
            while let Some(stretch) = private.feed.stretch(cursor) {
                unsent.extend_from_slice(stretch.piece.of(self.ring.memory()));
                cursor += u64::from(stretch.piece.len);
            }
        }
        for index in self.subscriptions_of(key) {
            let Self { subscriptions, feeds, ring, peer, ignored, .. } = self;
            let subscription = &subscriptions[index as usize];
            let feed = &feeds[subscription.feed as usize].feed;
            let skips = Skips::of(*peer, key, ignored);
            let mut cursor = subscription.cursor;
            while let (_, Some(stretch)) = feed.stretch_without(&mut cursor, &skips) {
                unsent.extend_from_slice(stretch.piece.of(ring.memory()));
                cursor += u64::from(stretch.piece.len);
            }
        }
        (unsent, begun_len)
    }

    /// Goes on with connections that were carried here. They take the first slots; what rooms they
    /// are in, the core says.
    pub(super) fn adopt(&mut self, carried: Vec<Carried>) {
        // The core has what concerns them.
        self.rung = !carried.is_empty();
        for carried in carried {
            self.adopt_one(carried);
        }
    }

    fn adopt_one(&mut self, carried: Carried) {
        let Carried { conn: _, addr, listener, decoder, rate, rich, stamped, .. } = carried;
        let Carried { input, input_ended, unsent, begun_len, ending, .. } = carried;
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let slot = self.conns.insert(Conn {
            state: ending.map_or(State::Open, State::Draining),
            addr,
            listener,
            decoder,
            rate,
            trusted: self.door.trusts(addr.ip()),
            rich,
            stamped,
            ..Conn::accepting(generation)
        });
        let key = Key { slot: u32::try_from(slot).expect("below SLOTS_MAX"), generation };
        self.door.adopt(addr.ip());
        self.stats.adopted.add(1);
        self.stats.connections.add(1);
        let (begun, whole) = unsent.split_at(begun_len.min(unsent.len()));
        self.move_privately(key, begun);
        if !begun.is_empty() {
            self.conns[slot].mid_line = Source::Private;
        }
        self.move_privately(key, whole);
        // In rich mode the line being typed is drawn once everything was sent.
        self.make_ready(key);
        if let Some(reason) = ending {
            self.drain(key, reason);
            self.receive_again(key, input_ended);
        } else if input.is_empty() && !input_ended {
            self.start_receiving(key);
        } else {
            self.conns[slot].held = Some(Box::new(Held { bytes: input, ended: input_ended }));
            self.paused.push_back(key);
        }
    }
}
