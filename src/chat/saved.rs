//! What of the core outlives a process: the people, the rooms, and what was said in them.
//!
//! Not: who is behind, what the sink was told, counters. Connections and rooms stand under the
//! numbers they had; [`Chat::restore`] gives them others.
//!
//! Written by chatd and read by chatd. The form is checked, because the other may be of another
//! version or torn: what does not fit is left out, and nothing of it panics. The texts went through
//! the gate before they came into the core.

use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::event::{Action, ConnId, PeerSet, RoomId, Sink};
use super::history::GONE;
use super::message::What;
use super::nick::{Name, ShownName, is_name};
use super::room::Presence;
use super::session::{Away, Seat, SessionId};
use super::{Chat, Config};
use crate::limits::{
    AWAY_TOLD_MAX, FRAME_LEN_MAX, IGNORED_MAX, REMARK_LEN_MAX, ROOMS_PER_CLIENT_MAX,
};
use crate::time::Time;

/// See the module. Goes through serde.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    people: Vec<Person>,
    rooms: Vec<Room>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Person {
    conn: ConnId,
    addr: SocketAddr,
    /// Empty: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    nick: String,
    /// In the order in which they were taken.
    seats: Vec<Seat>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    away: Option<Away>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    no_history: bool,
    /// Who wrote to them last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    writer: Option<ConnId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<ConnId>,
}

/// In the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Room {
    number: RoomId,
    name: String,
    /// Empty: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    topic: String,
    /// What its members have not been told yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    presence: Option<Presence>,
    /// The latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    history: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    /// Their name at that time.
    author: String,
    /// They may have left since.
    conn: ConnId,
    /// Since midnight, UTC.
    minute: u16,
    what: What,
    text: String,
}

/// What the connections are called now.
struct Names<F> {
    conn_of: F,
    /// Numbers for those who are gone, so that what they said can be told apart.
    gone: BTreeMap<ConnId, ConnId>,
}

impl<F: Fn(ConnId) -> Option<ConnId>> Names<F> {
    /// `None`: it is gone.
    fn of(&self, conn: ConnId) -> Option<ConnId> {
        if conn.peer == GONE { None } else { (self.conn_of)(conn) }
    }

    /// Of an author, there or gone.
    fn of_author(&mut self, conn: ConnId) -> ConnId {
        let index = u32::try_from(self.gone.len()).unwrap_or(u32::MAX);
        let gone = ConnId { peer: GONE, index, generation: 0 };
        self.of(conn).unwrap_or_else(|| *self.gone.entry(conn).or_insert(gone))
    }

    /// The same, if there is anything left of them.
    fn of_known(&self, conn: ConnId) -> Option<ConnId> {
        self.of(conn).or_else(|| self.gone.get(&conn).copied())
    }
}

impl<S: BuildHasher> Chat<S> {
    /// What has to outlive the process.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved {
            people: self.sessions.iter().map(|id| self.save_person(id)).collect(),
            rooms: self.rooms.iter().map(|(number, room)| save_room(number, room)).collect(),
        }
    }

    fn save_person(&self, id: SessionId) -> Person {
        let (session, aside) = (&self.sessions[id], self.sessions.aside(id));
        Person {
            conn: session.conn,
            addr: session.addr(),
            nick: session.nick().to_owned(),
            seats: self.sessions.seats(id).collect(),
            away: aside.and_then(|aside| aside.away.clone()),
            no_history: aside.is_some_and(|aside| aside.no_history),
            writer: aside.and_then(|aside| aside.writer),
            ignored: self.sessions.ignored(id).to_vec(),
        }
    }
}

fn save_room(number: RoomId, room: &super::room::Room) -> Room {
    let lines = room.history.lines().map(|line| Line {
        author: line.author.as_str().to_owned(),
        conn: line.conn,
        minute: line.minute,
        what: line.what,
        text: line.text.clone(),
    });
    Room {
        number,
        name: room.name().to_owned(),
        topic: room.topic().to_owned(),
        presence: room.owed(),
        history: lines.collect(),
    }
}

impl<S: BuildHasher + Clone> Chat<S> {
    /// The chat as it was saved, under this configuration, whose rooms come first. Time goes on
    /// from where it was.
    ///
    /// `conn_of` says what a connection is called now; `None` if it is gone, and its person with
    /// it. `sink` gets what the peers need to serve the others: the rooms, as by `open`; who is in
    /// which; who ignores whom. Nobody is told anything.
    ///
    /// Names stay, even such as could not be taken now; a nickname that somebody else has does not.
    /// A room that was made at start and is not now stays while it has members. Left out is all
    /// that has no place: people on peers that are not there or in a slot that is taken, rooms
    /// whose name is none or for which there are too many, seats in no room, and what is too long
    /// or too much.
    pub fn restore(
        config: Config,
        hasher: S,
        saved: Saved,
        conn_of: impl Fn(ConnId) -> Option<ConnId>,
        sink: &mut impl Sink,
    ) -> Self {
        let mut chat = Self::new(config, hasher);
        let mut names = Names { conn_of, gone: BTreeMap::new() };
        let mut people = Vec::with_capacity(saved.people.len());
        for person in saved.people {
            if let Some(id) = names.of(person.conn).and_then(|conn| chat.admit(conn, &person)) {
                people.push((id, person));
            }
        }
        let rooms = chat.restore_rooms(saved.rooms, &mut names);
        chat.seat(&people, &rooms);
        chat.restore_presence(&rooms);
        chat.close_empty_rooms();
        for (id, person) in people.iter_mut() {
            chat.restore_aside(*id, person, &names);
        }
        chat.open(sink);
        for (id, _) in &people {
            chat.tell_worker(*id, sink);
        }
        chat
    }
}

impl<S: BuildHasher> Chat<S> {
    /// Lets somebody in who is in no room yet.
    fn admit(&mut self, conn: ConnId, person: &Person) -> Option<SessionId> {
        if !self.sessions.knows_peer(conn) || self.sessions.in_slot_of(conn).is_some() {
            return None;
        }
        let id = self.sessions.insert(conn, person.addr);
        let nick = Name::new(&person.nick).filter(|nick| *nick != Name::EMPTY);
        if let Some(nick) = nick.filter(|nick| self.sessions.named(nick.as_str()).is_none()) {
            self.sessions.rename(id, nick);
        }
        Some(id)
    }

    /// Returns what the rooms are called now, and what they are owed. Nobody is in them yet.
    fn restore_rooms<F: Fn(ConnId) -> Option<ConnId>>(
        &mut self,
        rooms: Vec<Room>,
        names: &mut Names<F>,
    ) -> BTreeMap<RoomId, (RoomId, Option<Presence>)> {
        let mut restored = BTreeMap::new();
        for room in rooms {
            let new = Name::new(&room.name).filter(|name| is_name(name.as_str()));
            let id = match (self.rooms.named(&room.name), new) {
                (Some(id), _) => id,
                (None, Some(name)) if !self.rooms.is_full() => self.rooms.insert(name),
                (None, _) => continue,
            };
            if room.topic.len() <= REMARK_LEN_MAX {
                self.rooms[id].set_topic(&room.topic);
            }
            for Line { author, conn, minute, what, text } in room.history {
                let author = ShownName::new(&author).filter(|_| text.len() <= FRAME_LEN_MAX);
                if let Some(author) = author {
                    let conn = names.of_author(conn);
                    self.rooms.remember(minute, id, conn, author, (what, &text));
                }
            }
            restored.insert(room.number, (id, room.presence));
        }
        restored
    }

    /// Gives each person the seats they had, and each room its members in the order they had.
    fn seat(
        &mut self,
        people: &[(SessionId, Person)],
        rooms: &BTreeMap<RoomId, (RoomId, Option<Presence>)>,
    ) {
        let mut taken = Vec::new();
        for (id, person) in people {
            for Seat { room, position } in &person.seats {
                let Some((room, _)) = rooms.get(room).copied() else { continue };
                let count = self.sessions.seats(*id).count();
                if count < ROOMS_PER_CLIENT_MAX && !self.sessions.is_in(*id, room) {
                    self.sessions.add_seat(*id, Seat { room, position: *position });
                    taken.push((room, *position, *id));
                }
            }
        }
        taken.sort_by_key(|(room, position, _)| (*room, *position));
        for (room, _, id) in taken {
            let position = self.rooms[room].add(id, self.sessions[id].conn.peer);
            self.sessions.move_seat(id, Seat { room, position });
        }
    }

    /// What is owed to a room is told when it was to be; not where nobody is left.
    fn restore_presence(&mut self, rooms: &BTreeMap<RoomId, (RoomId, Option<Presence>)>) {
        let owed = rooms.values().filter_map(|(room, presence)| Some((*room, (*presence)?)));
        let mut owed: Vec<_> = owed.filter(|(_, owed)| owed.due() < Time::NEVER).collect();
        owed.sort_by_key(|(_, presence)| presence.due());
        for (room, presence) in owed {
            if self.rooms[room].member_count() > 0 {
                self.rooms.owe(room, presence);
            }
        }
    }

    fn close_empty_rooms(&mut self) {
        let rooms: Vec<_> = self.rooms.iter().map(|(id, _)| id).collect();
        for id in rooms {
            self.rooms.tidy(id);
        }
    }

    fn restore_aside<F: Fn(ConnId) -> Option<ConnId>>(
        &mut self,
        id: SessionId,
        person: &mut Person,
        names: &Names<F>,
    ) {
        let own = self.sessions[id].conn;
        let mut ignored = Vec::new();
        for conn in person.ignored.iter().filter_map(|conn| names.of_known(*conn)) {
            if ignored.len() < IGNORED_MAX && conn != own && !ignored.contains(&conn) {
                ignored.push(conn);
            }
        }
        let away = person.away.take().filter(|away| away.text.len() <= REMARK_LEN_MAX);
        let aside = self.sessions.aside_mut(id);
        aside.away = away.map(|Away { text, told }| {
            let told: VecDeque<_> = told.into_iter().filter_map(|conn| names.of(conn)).collect();
            let skipped = told.len().saturating_sub(AWAY_TOLD_MAX);
            Away { text, told: told.into_iter().skip(skipped).collect() }
        });
        aside.no_history = person.no_history;
        aside.writer = person.writer.and_then(|conn| names.of(conn));
        aside.ignored = ignored;
        self.sessions.tidy(id);
    }

    /// What the peers have to know of one person.
    fn tell_worker(&self, id: SessionId, sink: &mut impl Sink) {
        let conn = self.sessions[id].conn;
        for Seat { room, .. } in self.sessions.seats(id) {
            sink.push(PeerSet::one(conn.peer), Action::Enter { conn, room });
        }
        for other in self.sessions.ignored(id) {
            self.push_ignore(id, *other, true, sink);
        }
    }
}
