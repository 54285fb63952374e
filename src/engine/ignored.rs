//! What a reader of a room is not sent: the reader's own lines, and those of people it ignores.
//!
//! Whom somebody ignores is the core's to know; here stands what follows for the feeds. A line is
//! rendered once and stands in the feed for all; who ignores its author steps over it. Those who
//! ignore nobody are sent stretches as they stand.

use std::collections::HashMap;

use super::Worker;
use super::conn::{Conn, NONE};
use super::feed::Author;
use super::token::Key;
use crate::chat::{ConnId, PeerId};
use crate::time::Clock;
use crate::uring::Ring;

/// The lines that a reader steps over.
#[derive(Clone, Copy, Debug)]
pub struct Skips<'a> {
    /// The reader, as the author of lines that it does not hear.
    pub own: Author,
    /// The people it ignores, each as `Author::unheard`.
    pub ignored: &'a [Author],
}

/// Whom each connection ignores, if anybody: at most `limits::IGNORED_MAX`, as the core has it.
pub(super) type Ignored = HashMap<Key, Vec<Author>>;

impl<'a> Skips<'a> {
    pub(super) fn of(peer: PeerId, key: Key, ignored: &'a Ignored) -> Self {
        let conn = ConnId { peer, index: key.slot, generation: key.generation };
        let ignored = ignored.get(&key).map_or(&[][..], Vec::as_slice);
        Self { own: Author::new(conn, false), ignored }
    }

    /// Whether the reader steps over the lines of that author.
    #[must_use]
    pub fn has(&self, author: Author) -> bool {
        author == self.own || self.ignored.contains(&author.unheard())
    }
}

impl<R: Ring, C: Clock> Worker<R, C> {
    /// The connection is not sent what `other` does from here on, or is again. What it has not been
    /// sent yet goes by the rule from before, through its own feed.
    pub(super) fn set_ignored(&mut self, key: Key, other: ConnId, on: bool) {
        if !self.conn(key).is_some_and(Conn::is_open) {
            return;
        }
        self.clear_line(key);
        self.tell_skipped(key);
        for index in self.subscriptions_of(key) {
            self.take_privately(key, index);
        }
        let other = Author::new(other, false);
        let ignored = self.ignored.entry(key).or_default();
        ignored.retain(|author| *author != other);
        if on {
            ignored.push(other);
        }
        let filtered = !ignored.is_empty();
        if !filtered {
            self.ignored.remove(&key);
        }
        for index in self.subscriptions_of(key) {
            self.subscriptions[index as usize].filtered = filtered;
        }
    }

    /// All subscriptions of the connection.
    pub(super) fn subscriptions_of(&self, key: Key) -> Vec<u32> {
        let mut next = self.conn(key).map_or(NONE, |conn| conn.subscription);
        let mut all = Vec::new();
        while next != NONE {
            all.push(next);
            next = self.subscriptions[next as usize].next;
        }
        all
    }
}
