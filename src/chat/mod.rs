//! The core: who is here, under which name, in which room, and who is told what.
//!
//! Deterministic: the same events at the same instants give the same actions, byte for byte. No
//! sockets, no clock, no randomness, no knowledge of how a line looks on the wire.
//!
//! One door, `Chat::handle`. Who writes lines is in exactly one room; who writes frames may be in
//! none or in several. A line costs no allocation; joining, leaving and renaming cost the same in a
//! room of three and of 10,000.
#![forbid(unsafe_code)]

mod close_reason;
mod command;
mod event;
mod history;
mod ignore;
mod line;
mod looks;
mod message;
mod nick;
mod refusal;
mod room;
mod saved;
mod session;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

pub use close_reason::CloseReason;
pub use command::command_forms;
pub use event::{Action, ConnId, Event, PeerId, PeerSet, RoomId, Sink, Start};
pub use looks::Nicknames;
pub use message::{Message, RichMode, What};
pub use nick::RESERVED_NAMES;
pub use refusal::Refusal;
pub use room::{RoomNameError, validate_room_name};
pub use saved::Saved;

use crate::limits::ROOMS_PER_CLIENT_MAX;
use crate::time::{Time, minute_of_day};
use nick::ALL;
use room::{LOBBY, Room, Rooms};
use session::{Seat, SessionId, Sessions};

/// What the core is made with.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Peers of the hub, at most `limits::PEERS_MAX`.
    pub peer_count: usize,
    /// The peers that are told of every room and of everything said in one.
    pub observers: PeerSet,
    /// Rooms made at start, which stay. Each name passes `validate_room_name`.
    pub rooms: Vec<String>,
    /// Clients to preallocate for.
    pub clients_max: usize,
    /// There is a message of the day; those who write lines are told it after the welcome.
    pub motd: bool,
    /// Which nicknames there may be.
    pub nicknames: Nicknames,
    /// Lines of each room that are kept for those who join it.
    pub history_lines: usize,
}

/// Whose doing something is that a room is told.
#[derive(Clone, Copy, Debug)]
struct By {
    conn: ConnId,
    /// Whether they are told too.
    hears: bool,
}

/// The state of the chat.
#[derive(Debug)]
pub struct Chat<S = RandomState> {
    sessions: Sessions<S>,
    rooms: Rooms<S>,
    peer_count: usize,
    observers: PeerSet,
    has_motd: bool,
    nicknames: Nicknames,
    /// By the wall clock, since midnight, UTC.
    minute: u16,
    /// The peers that are still, from `Event::Freeze` on.
    still: Option<PeerSet>,
    stale_count: u64,
}

impl<S: BuildHasher + Clone> Chat<S> {
    /// The lobby and the configured rooms, and nobody in them. `hasher` guards the names against
    /// users who choose them to collide.
    #[must_use]
    pub fn new(config: Config, hasher: S) -> Self {
        let Config { peer_count, observers, rooms, clients_max, .. } = config;
        let Config { motd, nicknames, history_lines, .. } = config;
        Self {
            sessions: Sessions::new(peer_count, clients_max, nicknames, hasher.clone()),
            rooms: Rooms::new(&rooms, history_lines, peer_count, hasher),
            peer_count,
            observers,
            has_motd: motd,
            nicknames,
            minute: 0,
            still: None,
            stale_count: 0,
        }
    }
}

impl<S: BuildHasher> Chat<S> {
    /// Tells the observers of the rooms made at start; called once, before the first event. Not
    /// after `restore`, which does it.
    pub fn open(&self, sink: &mut impl Sink) {
        for (id, _) in self.rooms.iter() {
            self.opened(id, sink);
        }
    }

    /// What the wall clock says from here on, in seconds since 1970: it may jump either way. What
    /// is remembered keeps the time it was said at.
    pub fn set_wall(&mut self, wall: u64) {
        self.minute = minute_of_day(wall);
    }

    /// Takes one event and gives `sink` what follows from it. `now` is never earlier than before.
    pub fn handle(&mut self, now: Time, event: Event<&str>, sink: &mut impl Sink) {
        match event {
            Event::Connected { conn, addr, start } => self.connect(now, conn, addr, start, sink),
            Event::Line { conn, text } => {
                if let Some(user) = self.live(conn) {
                    self.line(now, user, text, sink);
                }
            }
            Event::Frame { conn, room, text } => {
                if let Some(user) = self.live(conn) {
                    self.frame(now, user, room, text, sink);
                }
            }
            Event::Id { conn, name } => {
                if let Some(user) = self.live(conn) {
                    self.identify(now, user, name, sink);
                }
            }
            Event::To { conn, name, text } => {
                if let Some(user) = self.live(conn) {
                    self.to(user, name, text, sink);
                }
            }
            Event::Invalid { conn } => {
                if let Some(user) = self.live(conn) {
                    self.tell(user, Message::Invalid, sink);
                }
            }
            Event::LineTooLong { conn } => {
                if let Some(user) = self.live(conn) {
                    self.tell(user, Message::LineTooLong, sink);
                }
            }
            Event::Disconnected { conn } => {
                if let Some(user) = self.live(conn) {
                    self.forget(now, user, sink);
                }
            }
            Event::Congested { peer, room, on } => self.congest(peer, room, on, sink),
            Event::Lost { peer } => {
                while let Some(user) = self.sessions.any_of(peer) {
                    self.forget(now, user, sink);
                }
                self.forget_ignored_of(peer, sink);
                self.rooms.forget_conns_of(peer);
                if self.still.is_some() {
                    self.note_still(peer, sink);
                }
            }
            Event::Tick => self.sum_up(now, sink),
            Event::Stop => sink.push(PeerSet::first(self.peer_count), Action::Stop),
            Event::Freeze => {
                self.still = Some(PeerSet::default());
                sink.push(PeerSet::first(self.peer_count), Action::Freeze);
            }
            Event::Still { peer } => self.note_still(peer, sink),
        }
    }

    /// When `Event::Tick` is wanted; `Time::NEVER` while it is not.
    #[must_use]
    pub fn deadline(&self) -> Time {
        if self.still.is_some() { Time::NEVER } else { self.rooms.summary_due() }
    }

    /// How many clients are here.
    #[must_use]
    pub fn client_count(&self) -> usize {
        self.sessions.len()
    }

    /// How many rooms there are.
    #[must_use]
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// How many events came for connections or rooms that were gone. A few are usual: a client that
    /// quits is forgotten before its connection ends.
    #[must_use]
    pub fn stale_count(&self) -> u64 {
        self.stale_count
    }

    /// Once the last is still, nothing more can happen: everything can be handed over.
    fn note_still(&mut self, peer: PeerId, sink: &mut impl Sink) {
        let all = PeerSet::first(self.peer_count);
        let still = self.still.get_or_insert_default();
        if *still == all {
            return;
        }
        still.insert(peer);
        if *still == all {
            sink.push(all, Action::HandOver);
        }
    }

    fn live(&mut self, conn: ConnId) -> Option<SessionId> {
        let user = self.sessions.of(conn);
        self.stale_count += u64::from(user.is_none());
        user
    }

    // Coming and going.

    fn connect(
        &mut self,
        now: Time,
        conn: ConnId,
        addr: SocketAddr,
        start: Start,
        sink: &mut impl Sink,
    ) {
        if self.sessions.of(conn).is_some() || !self.sessions.knows_peer(conn) {
            self.stale_count += 1;
            return;
        }
        // A slot is taken anew only when its last occupant is gone, told or not.
        if let Some(before) = self.sessions.in_slot_of(conn) {
            self.forget(now, before, sink);
        }
        let user = self.sessions.insert(conn, addr);
        if start == Start::Lobby {
            self.tell(user, Message::Welcome, sink);
            if self.has_motd {
                self.tell(user, Message::Motd, sink);
            }
            self.enter(now, user, LOBBY, sink);
            self.tell_topic(user, LOBBY, sink);
        }
    }

    /// The connection's worker has dropped it, or will: only the others are told.
    fn forget(&mut self, now: Time, user: SessionId, sink: &mut impl Sink) {
        while let Some(Seat { room, .. }) = self.sessions.seat(user, 0) {
            self.unseat(now, user, room, sink);
        }
        self.sessions.remove(user);
    }

    /// The core ends the connection, after what it has told it.
    fn close(&mut self, now: Time, user: SessionId, sink: &mut impl Sink) {
        let conn = self.sessions[user].conn;
        while let Some(Seat { room, .. }) = self.sessions.seat(user, 0) {
            self.leave(now, user, room, sink);
        }
        self.sessions.remove(user);
        sink.push(PeerSet::one(conn.peer), Action::Close { conn });
    }

    fn enter(&mut self, now: Time, user: SessionId, room: RoomId, sink: &mut impl Sink) {
        let conn = self.sessions[user].conn;
        let here = PeerSet::one(conn.peer);
        let position = self.rooms[room].add(user, conn.peer);
        self.sessions.add_seat(user, Seat { room, position });
        sink.push(here, Action::Enter { conn, room });
        // Told again even to a peer that has members by our count: it may have dropped the last of
        // them, and its memory of the hold, and its word of that may still be under way.
        if self.rooms[room].is_held() {
            sink.push(here, Action::Hold { room, on: true });
        }
        let name = self.sessions[user].name();
        let by = By { conn, hears: false };
        self.announce(now, room, by, Message::Joined { name: name.as_str() }, sink);
    }

    fn leave(&mut self, now: Time, user: SessionId, room: RoomId, sink: &mut impl Sink) {
        let conn = self.sessions[user].conn;
        sink.push(PeerSet::one(conn.peer), Action::Leave { conn, room });
        self.unseat(now, user, room, sink);
    }

    /// Takes the user out of a room it is in, which may be gone afterwards.
    fn unseat(&mut self, now: Time, user: SessionId, id: RoomId, sink: &mut impl Sink) {
        let session = &self.sessions[user];
        let (conn, name) = (session.conn, session.name());
        let seat = self.sessions.remove_seat(user, id);
        let room = &mut self.rooms[id];
        let was_held = room.is_held();
        if let Some(moved) = room.remove(seat.position, conn.peer) {
            self.sessions.move_seat(moved, seat);
        }
        self.settle_hold(id, was_held, sink);
        let by = By { conn, hears: true };
        self.announce(now, id, by, Message::Left { name: name.as_str() }, sink);
        self.rooms.tidy(id);
    }

    // Frames, ids, and lines with an address.

    fn frame(&mut self, now: Time, user: SessionId, name: &str, text: &str, sink: &mut impl Sink) {
        let room = self.rooms.named(name).filter(|room| self.sessions.is_in(user, *room));
        if let Some(room) = room {
            let session = &self.sessions[user];
            let author = session.name();
            let conn = session.conn;
            let message = Message::Framed { author: author.as_str(), text };
            self.tell_room(room, By { conn, hears: false }, message, sink);
            for line in text.lines().filter(|line| !line.is_empty()) {
                self.rooms.remember(self.minute, room, conn, author, (What::Said, line));
            }
            return;
        }
        if self.sessions.seats(user).count() >= ROOMS_PER_CLIENT_MAX {
            return self.tell(user, Message::TooManyJoined, sink);
        }
        match self.find_or_open(name, sink) {
            Ok(room) => {
                self.enter(now, user, room, sink);
                self.tell_topic(user, room, sink);
            }
            Err(refusal) => self.tell(user, refusal, sink),
        }
    }

    fn identify(&mut self, now: Time, user: SessionId, name: &str, sink: &mut impl Sink) {
        if !self.rename(now, user, name, sink) {
            self.close(now, user, sink);
        } else if !self.sessions.is_in(user, LOBBY) {
            self.enter(now, user, LOBBY, sink);
        }
    }

    /// To everybody in the lobby, or to one person, who alone hears of it.
    fn to(&mut self, user: SessionId, name: &str, text: &str, sink: &mut impl Sink) {
        if name.eq_ignore_ascii_case(ALL) {
            let author = self.sessions[user].name();
            let message = Message::Said { author: author.as_str(), text };
            let conn = self.sessions[user].conn;
            self.tell_room(LOBBY, By { conn, hears: true }, message, sink);
            self.rooms.remember(self.minute, LOBBY, conn, author, (What::Said, text));
        } else if let Some(reader) = self.named_or_told(user, name, sink)
            && !self.is_refused(user, reader, sink)
        {
            self.deliver(user, reader, text, sink);
            self.tell_away_once(user, reader, sink);
        }
    }

    // Back-pressure and summaries.

    fn congest(&mut self, peer: PeerId, id: RoomId, on: bool, sink: &mut impl Sink) {
        let observers = self.observers;
        let reads = |room: &Room| room.peers().union(observers).contains(peer);
        // A peer without members has dropped the room, and would never say that it caught up.
        let Some(room) = self.rooms.get_mut(id).filter(|room| !on || reads(room)) else {
            self.stale_count += 1;
            return;
        };
        let was_held = room.is_held();
        room.set_congested(peer, on);
        self.settle_hold(id, was_held, sink);
    }

    fn settle_hold(&self, id: RoomId, was_held: bool, sink: &mut impl Sink) {
        let room = &self.rooms[id];
        if room.is_held() != was_held && !room.peers().is_empty() {
            sink.push(room.peers(), Action::Hold { room: id, on: room.is_held() });
        }
    }

    fn sum_up(&mut self, now: Time, sink: &mut impl Sink) {
        while let Some((room, presence)) = self.rooms.next_summary(now) {
            let message = presence.message(self.rooms[room].member_count());
            self.say(room, None, message, sink);
        }
    }

    // Telling.

    fn opened(&self, room: RoomId, sink: &mut impl Sink) {
        if !self.observers.is_empty() {
            sink.push(self.observers, Action::Opened { room, name: self.rooms[room].name() });
        }
    }

    /// Tells one who entered a room what it is about, if anybody said so.
    fn tell_topic(&self, user: SessionId, room: RoomId, sink: &mut impl Sink) {
        let room = &self.rooms[room];
        if !room.topic().is_empty() {
            self.tell(user, Message::Topic { room: room.name(), topic: room.topic() }, sink);
        }
    }

    fn tell(&self, user: SessionId, message: Message<&str>, sink: &mut impl Sink) {
        let conn = self.sessions[user].conn;
        sink.push(PeerSet::one(conn.peer), Action::Tell { conn, message });
    }

    /// Tells a room that somebody came, went or was renamed: at once, or in its next summary.
    fn announce(
        &mut self,
        now: Time,
        room: RoomId,
        by: By,
        notice: Message<&str>,
        sink: &mut impl Sink,
    ) {
        if !self.rooms.sums_up(now, room, &notice) {
            self.tell_room(room, by, notice, sink);
        }
    }

    /// Tells a room what somebody does.
    fn tell_room(&self, room: RoomId, by: By, message: Message<&str>, sink: &mut impl Sink) {
        self.say(room, Some(by), message, sink);
    }

    fn say(&self, room: RoomId, by: Option<By>, message: Message<&str>, sink: &mut impl Sink) {
        let peers = self.rooms[room].peers().union(self.observers);
        let (author, hears) = by.map_or((None, true), |by| (Some(by.conn), by.hears));
        if !peers.is_empty() {
            sink.push(peers, Action::Say { room, author, hears, message });
        }
    }
}
