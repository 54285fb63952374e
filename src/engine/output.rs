//! What connections are owed: their own feeds of replies, and their subscriptions to rooms.

use super::conn::{NONE, Source};
use super::feed::{Author, Exhausted, Feed};
use super::pool::Piece;
use super::stamp::{Rendering, stamp};
use super::token::Key;
use super::{Timer, Worker};
use crate::chat::{CloseReason, Event, Message, RoomId};
use crate::limits::{CHUNK_LEN, PRIVATE_LEN_MAX, SPARE_FEED_LINES, SPARE_FEEDS};
use crate::time::{Clock, Time};
use crate::uring::Ring;

/// A connection's own feed: replies, notices, direct messages. It exists while it is not empty.
#[derive(Debug)]
pub(super) struct Private {
    pub(super) feed: Feed,
    pub(super) cursor: u64,
    /// As `Subscription::stalled_at`.
    pub(super) stalled_at: u64,
}

/// A connection reads a room.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) conn: Key,
    pub(super) feed: u32,
    /// Where it stands among the feed's members.
    position: u32,
    /// Its own lines between its cursor and the head; not counted while it is `filtered`.
    pub(super) own_count: u32,
    /// The connection ignores somebody: see `ignored`.
    pub(super) filtered: bool,
    /// It missed a sweep, and catches up by itself.
    pub(super) lagging: bool,
    pub(super) cursor: u64,
    /// Where the head was when the connection's socket became full: what came before that is not
    /// the reader's fault.
    pub(super) stalled_at: u64,
    /// The connection's next subscription, or `NONE`.
    pub(super) next: u32,
}

// One for each connection and room.
const _: () = assert!(size_of::<Subscription>() <= 48);

/// A room as it stands on this worker.
#[derive(Clone, Debug)]
pub(super) struct Room {
    /// Its feed in each rendering, or `NONE` where it has no member here.
    feeds: [u32; Rendering::COUNT],
    /// Its members are not read from.
    pub(super) held: bool,
    /// Feeds of it in which this worker is behind.
    congested_count: u32,
}

/// The lines of a room in one dialect, and who reads them here.
#[derive(Debug)]
pub(super) struct RoomFeed {
    pub(super) room: RoomId,
    rendering: Rendering,
    pub(super) feed: Feed,
    /// Subscriptions.
    pub(super) members: Vec<u32>,
    pub(super) sweep: Sweep,
    /// The members before this place were visited by the present sweep.
    pub(super) position: usize,
    /// Where the head was when the sweep started.
    pub(super) target: u64,
    pub(super) started: Time,
    /// Members that are lagging.
    pub(super) laggard_count: u32,
    /// This worker is behind here.
    pub(super) congested: bool,
}

/// What the sweep over a room's members is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sweep {
    /// Everyone was visited since the last line.
    Idle,
    /// It waits its turn, or is half-way.
    Going,
    /// All were visited; the outcome of the last sends is not known yet.
    Done,
    /// Lines came meanwhile; the next starts then.
    Paced(Time),
}

impl Subscription {
    /// So many lines that it skips were between its cursor and where it is now.
    pub(super) fn stepped_over(&mut self, lines: u32) {
        if !self.filtered {
            self.own_count -= lines;
        }
    }
}

impl Room {
    fn empty() -> Self {
        Self { feeds: [NONE; Rendering::COUNT], held: false, congested_count: 0 }
    }

    /// Whether anybody here reads it.
    pub(super) fn is_read(&self) -> bool {
        self.feeds.iter().any(|feed| *feed != NONE)
    }
}

impl<R: Ring, C: Clock> Worker<R, C> {
    /// Appends a message to a connection's own feed.
    pub(super) fn tell(&mut self, key: Key, message: &Message<&str>) {
        self.clear_line(key);
        let Rendering { dialect, stamped } = self.rendering(key);
        self.stats.count_refusal(message);
        if let Some(piece) = self.shared_texts.find(dialect, message)
            && (!stamped || *message == Message::Motd)
        {
            return self.tell_shared(key, piece);
        }
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        dialect.render(message, &mut line);
        if stamped {
            stamp(self.clock.wall(), &mut line);
        }
        self.stats.renderings.add(1);
        self.tell_bytes(key, &line);
        self.line = line;
    }

    /// Appends bytes, one line or the answers of a protocol, to a connection's own feed.
    pub(super) fn tell_bytes(&mut self, key: Key, bytes: &[u8]) {
        for line in bytes.chunks(CHUNK_LEN as usize) {
            let Some(private) = self.private(key) else { return };
            let Self { privates, pool, ring, now, .. } = self;
            let feed = &mut privates[private as usize].feed;
            let told = feed.append(line, Author::NOBODY, *now, pool, ring.memory());
            self.after_telling(key, told);
        }
    }

    fn tell_shared(&mut self, key: Key, piece: Piece) {
        let Some(private) = self.private(key) else { return };
        self.privates[private as usize].feed.append_shared(piece, self.now);
        self.after_telling(key, Ok(()));
    }

    fn after_telling(&mut self, key: Key, told: Result<(), Exhausted>) {
        let Some(conn) = self.conn(key) else { return };
        let Some(private) = self.privates.get(conn.private as usize) else { return };
        let head = private.feed.head();
        let came_while_full = head - private.cursor.max(private.stalled_at);
        if told.is_err() {
            self.stats.feed_refusals.add(1);
            self.slow.push((key, CloseReason::Internal));
        } else if head - private.cursor > PRIVATE_LEN_MAX
            || conn.blocked && came_while_full > self.config.bounds.behind_len
        {
            self.slow.push((key, CloseReason::Slow));
        } else {
            self.make_ready(key);
        }
    }

    /// The connection's own feed, made if it has none; `None` if nothing is sent to it any more.
    pub(super) fn private(&mut self, key: Key) -> Option<u32> {
        let conn = self.conn(key).filter(|conn| conn.is_sent_to())?;
        if conn.private != NONE {
            return Some(conn.private);
        }
        let feed = self.spare_feeds.pop().unwrap_or_default();
        let cursor = feed.head();
        let private = u32::try_from(self.privates.insert(Private { feed, cursor, stalled_at: 0 }));
        let private = private.expect("at most one for each connection");
        self.conns[key.slot as usize].private = private;
        Some(private)
    }

    /// Bytes that a connection's own feed still owes it.
    pub(super) fn private_len(&self, private: u32) -> u64 {
        let private = self.privates.get(private as usize);
        private.map_or(0, |private| private.feed.head() - private.cursor)
    }

    /// Lets go of what a connection has read of its own feed, and of the feed once it is empty.
    pub(super) fn release_private(&mut self, key: Key) {
        let Some(conn) = self.conn(key).filter(|conn| conn.private != NONE) else { return };
        let index = conn.private as usize;
        let private = &mut self.privates[index];
        private.feed.release(private.cursor, &mut self.pool);
        if private.cursor == private.feed.head() {
            self.free_private(key);
        }
    }

    fn free_private(&mut self, key: Key) {
        let conn = &mut self.conns[key.slot as usize];
        let index = std::mem::replace(&mut conn.private, NONE);
        if index == NONE {
            return;
        }
        let Private { mut feed, .. } = self.privates.remove(index as usize);
        feed.release(feed.head(), &mut self.pool);
        self.keep_spare(feed);
    }

    /// Keeps an empty feed for use again, unless it once held so much that its tables are large.
    fn keep_spare(&mut self, feed: Feed) {
        if self.spare_feeds.len() < SPARE_FEEDS && feed.line_capacity() <= SPARE_FEED_LINES {
            self.spare_feeds.push(feed);
        }
    }

    /// Lets go of everything that a connection was to be sent.
    pub(super) fn free_output(&mut self, key: Key) {
        let Some(conn) = self.conn_mut(key).filter(|conn| conn.is_sent_to()) else { return };
        conn.mid_line = Source::Nothing;
        self.unsubscribe_all(key);
        self.ignored.remove(&key);
        self.free_private(key);
    }

    /// The connection reads the room from here on.
    pub(super) fn subscribe(&mut self, key: Key, room: RoomId) {
        let rendering = self.rendering(key);
        let feed = self.feed_of(room, rendering);
        let room_feed = &mut self.feeds[feed as usize];
        let conn = &mut self.conns[key.slot as usize];
        let subscription = Subscription {
            conn: key,
            feed,
            position: u32::try_from(room_feed.members.len()).expect("below SLOTS_MAX"),
            own_count: 0,
            filtered: self.ignored.contains_key(&key),
            lagging: false,
            cursor: room_feed.feed.head(),
            stalled_at: 0,
            next: conn.subscription,
        };
        let index = u32::try_from(self.subscriptions.insert(subscription));
        conn.subscription = index.expect("a bounded number for each connection");
        room_feed.members.push(conn.subscription);
        if room_feed.congested {
            // The core forgets this with the last member that it knows of here.
            self.batch.push(Event::Congested { peer: self.peer, room, on: true });
        }
    }

    fn feed_of(&mut self, room: RoomId, rendering: Rendering) -> u32 {
        let index = room.0 as usize;
        if self.rooms.len() <= index {
            self.rooms.resize(index + 1, Room::empty());
        }
        let place = &mut self.rooms[index].feeds[rendering.index()];
        if *place == NONE {
            let feed = self.feeds.insert(RoomFeed {
                room,
                rendering,
                feed: self.spare_feeds.pop().unwrap_or_default(),
                members: Vec::new(),
                sweep: Sweep::Idle,
                position: 0,
                target: 0,
                started: Time::default(),
                laggard_count: 0,
                congested: false,
            });
            *place = u32::try_from(feed).expect("at most one for each room and dialect");
        }
        *place
    }

    /// The connection's subscription to the room, or `NONE`.
    pub(super) fn subscription_to(&self, key: Key, room: RoomId) -> u32 {
        let mut next = self.conn(key).map_or(NONE, |conn| conn.subscription);
        while next != NONE {
            let subscription = &self.subscriptions[next as usize];
            if self.feeds[subscription.feed as usize].room == room {
                break;
            }
            next = subscription.next;
        }
        next
    }

    pub(super) fn unsubscribe_all(&mut self, key: Key) {
        while let Some(conn) = self.conn(key).filter(|conn| conn.subscription != NONE) {
            self.unsubscribe(conn.subscription);
        }
    }

    /// The connection reads the room no longer. A line it was sent a part of, it gets whole.
    pub(super) fn unsubscribe(&mut self, index: u32) {
        let key = self.subscriptions[index as usize].conn;
        if self.conns[key.slot as usize].mid_line == Source::Room(index) {
            self.finish_line_privately(key, index);
        }
        self.unlink(index);
        let Subscription { feed, position, lagging, .. } =
            self.subscriptions.remove(index as usize);
        let room_feed = &mut self.feeds[feed as usize];
        room_feed.laggard_count -= u32::from(lagging);
        room_feed.members.swap_remove(position as usize);
        self.close_gap(feed, position as usize);
        self.drop_feed_if_empty(feed);
    }

    /// The last member came to stand at `position`, if there was one after it. A sweep that has
    /// passed that place would miss a member it has not visited.
    fn close_gap(&mut self, feed: u32, position: usize) {
        let room_feed = &mut self.feeds[feed as usize];
        let last = room_feed.members.len();
        let moved = room_feed.members.get(position).copied();
        if let Some(moved) = moved {
            self.subscriptions[moved as usize].position =
                u32::try_from(position).expect("below SLOTS_MAX");
        }
        if room_feed.sweep != Sweep::Going || position >= room_feed.position {
            return;
        }
        if last < room_feed.position {
            room_feed.position -= 1;
        } else if let Some(moved) = moved {
            self.set_lagging(moved);
            self.make_ready(self.subscriptions[moved as usize].conn);
        }
    }

    fn unlink(&mut self, index: u32) {
        let Subscription { conn, next, .. } = self.subscriptions[index as usize];
        let conn = &mut self.conns[conn.slot as usize];
        if conn.subscription == index {
            conn.subscription = next;
            return;
        }
        let mut before = conn.subscription;
        while self.subscriptions[before as usize].next != index {
            before = self.subscriptions[before as usize].next;
        }
        self.subscriptions[before as usize].next = next;
    }

    /// Copies the rest of a begun line to the front of the connection's own feed.
    pub(super) fn finish_line_privately(&mut self, key: Key, index: u32) {
        let Subscription { feed, cursor, .. } = self.subscriptions[index as usize];
        let rest = self.feeds[feed as usize].feed.rest_of_line(cursor);
        let conn = &mut self.conns[key.slot as usize];
        conn.mid_line = Source::Nothing;
        let Some(rest) = rest else { return };
        let Some(private) = self.private(key) else { return };
        let Self { privates, pool, ring, now, .. } = self;
        let private = &mut privates[private as usize];
        match private.feed.prepend(rest, *now, pool, ring.memory()) {
            Ok(cursor) => {
                private.cursor = cursor;
                self.conns[key.slot as usize].mid_line = Source::Private;
                self.make_ready(key);
            }
            Err(Exhausted) => self.slow.push((key, CloseReason::Internal)),
        }
    }

    /// A feed that nobody reads goes, unless a sweep still knows it; then the sweep ends it.
    pub(super) fn drop_feed_if_empty(&mut self, index: u32) {
        let room_feed = &mut self.feeds[index as usize];
        if !room_feed.members.is_empty() {
            return;
        }
        let room = &mut self.rooms[room_feed.room.0 as usize];
        let place = &mut room.feeds[room_feed.rendering.index()];
        if *place == index {
            *place = NONE;
        }
        // Who enters next is told whether the room is held, and it may be another room by then.
        room.held &= room.is_read();
        room_feed.feed.release(room_feed.feed.head(), &mut self.pool);
        self.set_congested(index, false);
        let room_feed = &self.feeds[index as usize];
        if matches!(room_feed.sweep, Sweep::Idle | Sweep::Paced(_)) {
            let RoomFeed { feed, .. } = self.feeds.remove(index as usize);
            self.keep_spare(feed);
        }
    }

    /// Appends a message to the room's feeds, rendered once for each dialect that is read here.
    /// `own` is the author's connection, if it is here and is not sent the message.
    pub(super) fn say(
        &mut self,
        room: RoomId,
        author: Author,
        own: Option<Key>,
        message: &Message<&str>,
    ) {
        let own = own.map_or(NONE, |key| self.subscription_to(key, room));
        for rendering in Rendering::all() {
            let rooms = self.rooms.get(room.0 as usize);
            let feed = rooms.map_or(NONE, |room| room.feeds[rendering.index()]);
            if feed == NONE {
                continue;
            }
            let mut line = std::mem::take(&mut self.line);
            line.clear();
            rendering.dialect.render(message, &mut line);
            if rendering.stamped {
                stamp(self.clock.wall(), &mut line);
            }
            self.stats.renderings.add(1);
            if !line.is_empty() {
                self.append(feed, &line, author, own);
            }
            self.line = line;
        }
    }

    fn append(&mut self, index: u32, line: &[u8], author: Author, own: u32) {
        let Self { feeds, pool, ring, now, subscriptions, .. } = self;
        let room_feed = &mut feeds[index as usize];
        let begin = room_feed.feed.head();
        let own = subscriptions.get_mut(own as usize).filter(|own| own.feed == index);
        if room_feed.feed.append(line, author, *now, pool, ring.memory()).is_err() {
            return self.fail_feed(index);
        }
        if let Some(own) = own {
            if own.cursor == begin {
                own.cursor = room_feed.feed.head();
            } else if !own.filtered {
                own.own_count += 1;
            }
        }
        self.after_append(index);
    }

    /// There is no memory for a line: its readers cannot go on without a gap, so they end here.
    fn fail_feed(&mut self, index: u32) {
        self.stats.feed_refusals.add(1);
        for member in &self.feeds[index as usize].members {
            let conn = self.subscriptions[*member as usize].conn;
            self.slow.push((conn, CloseReason::Internal));
        }
    }

    /// Whether this worker is behind in a feed. The core is told of rooms, in whatever dialects.
    pub(super) fn set_congested(&mut self, index: u32, on: bool) {
        let RoomFeed { room, congested, .. } = &mut self.feeds[index as usize];
        if std::mem::replace(congested, on) == on {
            return;
        }
        let (peer, room) = (self.peer, *room);
        let count = &mut self.rooms[room.0 as usize].congested_count;
        *count = if on { *count + 1 } else { *count - 1 };
        if *count == u32::from(on) {
            self.batch.push(Event::Congested { peer, room, on });
        }
    }

    pub(super) fn set_lagging(&mut self, index: u32) {
        let subscription = &mut self.subscriptions[index as usize];
        if !subscription.lagging {
            subscription.lagging = true;
            self.feeds[subscription.feed as usize].laggard_count += 1;
        }
    }

    /// A connection may be sent to: it takes its place in the queue.
    pub(super) fn make_ready(&mut self, key: Key) {
        let Some(conn) = self.conn_mut(key) else { return };
        if !conn.queued && !conn.blocked && conn.is_sent_to() {
            conn.queued = true;
            self.ready.push_back(key);
        }
    }

    /// Something was said in the room: its sweep starts, or goes on, or waits.
    fn after_append(&mut self, index: u32) {
        let room_feed = &mut self.feeds[index as usize];
        if room_feed.sweep == Sweep::Idle {
            self.start_sweep(index);
        }
        self.note_congestion(index);
    }

    pub(super) fn on_sweep_timer(&mut self, index: u32) {
        let sweep = self.feeds.get(index as usize).map(|room_feed| room_feed.sweep);
        if matches!(sweep, Some(Sweep::Paced(at)) if at <= self.now) {
            self.start_sweep(index);
        }
    }

    /// The room's next sweep comes at `at`.
    pub(super) fn pace_sweep(&mut self, index: u32, at: Time) {
        self.feeds[index as usize].sweep = Sweep::Paced(at);
        self.timers.set(at, Timer::Sweep(index));
    }
}
