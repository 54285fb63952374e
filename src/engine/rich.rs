//! Clients in rich mode: the line they type is edited here, and stands below everything they were
//! sent.
//!
//! They read the same feeds as everybody else. What is theirs alone goes through their own feed:
//! before anything else is sent, what takes the line away; when they have everything they are owed,
//! what draws it anew. So a stretch of a room's feed is sent as it stands, only ever while the line
//! is away and the own feed is empty, and a sweep leaves these clients to the queue of ready ones.

use super::Worker;
use super::conn::{Conn, NONE};
use super::token::Key;
use crate::chat::{Message, RichMode};
use crate::dialect::Decoder;
use crate::time::Clock;
use crate::uring::Ring;

impl<R: Ring, C: Clock> Worker<R, C> {
    /// The client wants rich mode, or line mode again.
    pub(super) fn set_rich(&mut self, key: Key, on: bool) {
        let mut bytes = Vec::new();
        self.clear_line(key);
        let Some(conn) = self.conn_mut(key).filter(|conn| conn.is_open()) else { return };
        let Some(mode) = conn.decoder.set_rich(on, &mut bytes) else { return };
        conn.rich = mode == RichMode::On;
        self.tell(key, &Message::Rich { mode });
        self.tell_bytes(key, &bytes);
    }

    /// The client gets its terminal back as it was.
    pub(super) fn end_rich(&mut self, key: Key) {
        if self.clear_line(key) || self.conn(key).is_some_and(|conn| conn.rich) {
            let mut bytes = Vec::new();
            let conn = &mut self.conns[key.slot as usize];
            conn.rich = false;
            conn.decoder.set_rich(false, &mut bytes);
            self.tell_bytes(key, &bytes);
        }
    }

    /// Takes the line being typed away; says whether there was one.
    pub(super) fn clear_line(&mut self, key: Key) -> bool {
        self.change_line(key, Decoder::clear)
    }

    /// Draws the line being typed, if it is not drawn.
    pub(super) fn draw_line(&mut self, key: Key) {
        if self.conn(key).is_some_and(Conn::is_open) {
            self.change_line(key, Decoder::draw);
        }
    }

    fn change_line(&mut self, key: Key, change: fn(&mut Decoder, &mut Vec<u8>)) -> bool {
        let Some(conn) = self.conn_mut(key).filter(|conn| conn.rich) else { return false };
        let mut bytes = Vec::new();
        change(&mut conn.decoder, &mut bytes);
        self.tell_bytes(key, &bytes);
        !bytes.is_empty()
    }

    /// Whether the connection of the subscription is owed lines of a room, by this subscription or
    /// the next.
    pub(super) fn is_behind(&mut self, mut next: u32) -> bool {
        while next != NONE {
            if self.is_owed(next) {
                return true;
            }
            next = self.subscriptions[next as usize].next;
        }
        false
    }
}
