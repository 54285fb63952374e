//! The exchange with the hub, and carrying out what it says.

use super::conn::{Conn, NONE};
use super::feed::Author;
use super::handover::Handover;
use super::token::Key;
use super::{Timer, Worker};
use crate::chat::{Action, CloseReason, ConnId, RoomId};
use crate::hub::{Exchanged, Outbox};
use crate::time::Clock;
use crate::uring::Ring;

impl<R: Ring, C: Clock> Worker<R, C> {
    /// Hands in what happened and does what comes back; nothing if nothing happened.
    pub(super) fn exchange(&mut self) {
        let due = self.hub_deadline <= self.now;
        let short = self.pool.is_short();
        let changed = std::mem::replace(&mut self.batch.short, short) != short;
        if self.batch.is_empty() && !self.rung && !due && !self.hub_hold && !changed {
            return;
        }
        let mut outbox = std::mem::take(&mut self.outbox);
        if let Some(exchanged) = self.meet_hub(&mut outbox) {
            self.rung = false;
            self.stats.exchanges.add(1);
            self.stats.hub_wait_ns.add(u64::try_from(exchanged.waited.as_nanos()).unwrap_or(0));
            self.bells.ring_all(exchanged.wake);
            self.hub_deadline = exchanged.deadline;
            self.hub_hold = exchanged.hold;
            for action in outbox.iter() {
                self.apply(&action);
            }
            outbox.clear();
            self.drain_leaving();
        }
        self.outbox = outbox;
    }

    /// With sends to make, the lock is not waited for.
    fn meet_hub(&mut self, outbox: &mut Outbox) -> Option<Exchanged> {
        let (peer, now) = (self.peer, self.now);
        self.batch.wall = self.clock.wall();
        if self.has_work() && !self.batch.is_full() {
            self.hub.try_exchange(peer, now, &mut self.batch, outbox)
        } else {
            Some(self.hub.exchange(peer, now, &mut self.batch, outbox))
        }
    }

    fn apply(&mut self, action: &Action<&str>) {
        match *action {
            Action::Enter { conn, room } => {
                let key = key_of(conn);
                if self.conn(key).is_some_and(|conn| conn.is_open()) {
                    self.subscribe(key, room);
                }
            }
            Action::Leave { conn, room } => {
                let subscription = self.subscription_to(key_of(conn), room);
                if subscription != NONE {
                    self.unsubscribe(subscription);
                }
            }
            Action::Tell { conn, ref message } => self.tell(key_of(conn), message),
            Action::Say { room, author, hears, ref message } => {
                let own = author.filter(|author| author.peer == self.peer && !hears).map(key_of);
                let author = author.map_or(Author::NOBODY, |author| Author::new(author, hears));
                self.say(room, author, own, message);
            }
            Action::Ignore { conn, other, on } => self.set_ignored(key_of(conn), other, on),
            Action::Hold { room, on } => self.hold_room(room, on),
            Action::Stamp { conn, on } => self.set_stamped(key_of(conn), on),
            Action::Rich { conn, on } => self.set_rich(key_of(conn), on),
            Action::Close { conn } => {
                let key = key_of(conn);
                if self.conn(key).is_some_and(|conn| conn.is_open()) {
                    self.drain(key, CloseReason::Quit);
                }
            }
            Action::Stop => self.stop(),
            Action::Freeze => self.freeze(),
            Action::HandOver => self.handover = Handover::Due,
            // For observers.
            Action::Opened { .. } => {}
        }
    }

    fn hold_room(&mut self, room: RoomId, on: bool) {
        // The last member here may have gone since the core said so; who enters next is told anew.
        if let Some(room) = self.rooms.get_mut(room.0 as usize) {
            room.held = on && room.is_read();
        }
    }

    /// The server stops: nothing more is read; everyone gets what is owed, is told goodbye, and is
    /// closed, at the latest when the time for draining is over.
    fn stop(&mut self) {
        self.stopping = true;
        self.stop_accepting();
        for key in self.keys_of(Conn::is_sent_to) {
            self.timers.set(self.now + self.config.drain, Timer::Close(key));
            self.make_ready(key);
        }
    }
}

fn key_of(conn: ConnId) -> Key {
    Key { slot: conn.index, generation: conn.generation }
}
