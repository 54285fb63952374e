//! The rooms: their members, which peers those are on, what is to be summed up, who is behind.
//!
//! The lobby and the rooms made at start come first and stay; every other room goes with its last
//! member, and its number is used again.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::hash::BuildHasher;
use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};
use slab::Slab;

use super::command;
use super::event::{ConnId, PeerId, PeerSet, RoomId};
use super::history::{Budget, History};
use super::message::{Message, What};
use super::nick::{self, Name, NameIndex, ShownName};
use super::session::SessionId;
use crate::limits::{NAME_LEN_MAX, PRESENCE_INTERVAL, PRESENCE_ROOM_LEN, ROOMS_MAX};
use crate::time::Time;

/// Where everybody starts.
pub(super) const LOBBY: RoomId = RoomId(0);
/// Its name.
const LOBBY_NAME: &str = "lobby";

/// Why a name cannot be that of a room made at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomNameError {
    /// It has not the form of a name.
    Form,
    /// It is the word of a command, so that `/NAME` would not lead there.
    Command,
}

/// Whether `name` can be that of a room made at start.
///
/// # Errors
/// Says which rule it breaks.
pub fn validate_room_name(name: &str) -> Result<(), RoomNameError> {
    if !nick::is_name(name) {
        Err(RoomNameError::Form)
    } else if command::is_command(name) {
        Err(RoomNameError::Command)
    } else {
        Ok(())
    }
}

/// One room.
#[derive(Debug)]
pub(super) struct Room {
    name: Name,
    /// In no order; a member knows its position.
    members: Vec<u32>,
    /// How many of the members each peer holds.
    count_by_peer: Box<[u32]>,
    /// The peers that hold any.
    peers: PeerSet,
    /// The peers that are behind. While there are any, the members are not read from.
    congested: PeerSet,
    presence: Presence,
    /// What it is about, if somebody said so; not empty.
    topic: Option<Box<str>>,
    /// What was said in it.
    pub(super) history: History,
}

/// What the members of a large room have not been told yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Presence {
    joined: u32,
    left: u32,
    renamed: u32,
    /// When they are told; never, while there is nothing to tell.
    due: Time,
}

/// All rooms.
#[derive(Debug)]
pub(super) struct Rooms<S> {
    slab: Slab<Room>,
    by_name: NameIndex<S>,
    /// The rooms below this number stay when they are empty.
    fixed_count: u32,
    peer_count: usize,
    /// Which room is to be told of its presence when, earliest first: all wait equally long. An
    /// entry whose time is not the room's own is left over from a room that became empty.
    summaries: VecDeque<(Time, RoomId)>,
    /// Of their histories.
    budget: Budget,
}

impl Room {
    /// Its name, as first written.
    pub(super) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// What it is about; empty if nobody said so.
    pub(super) fn topic(&self) -> &str {
        self.topic.as_deref().unwrap_or_default()
    }

    /// Says what it is about.
    pub(super) fn set_topic(&mut self, topic: &str) {
        self.topic = (!topic.is_empty()).then(|| topic.into());
    }

    /// Its members, in the order of their positions.
    pub(super) fn members(&self) -> impl Iterator<Item = SessionId> {
        self.members.iter().copied().map(SessionId)
    }

    /// How many members it has.
    pub(super) fn member_count(&self) -> u32 {
        count(self.members.len())
    }

    /// The peers that hold members.
    pub(super) fn peers(&self) -> PeerSet {
        self.peers
    }

    /// Whether some peer is behind.
    pub(super) fn is_held(&self) -> bool {
        !self.congested.is_empty()
    }

    /// Notes that a peer is behind, or has caught up.
    pub(super) fn set_congested(&mut self, peer: PeerId, on: bool) {
        if on {
            self.congested.insert(peer);
        } else {
            self.congested.remove(peer);
        }
    }

    /// Adds a member and returns its position.
    pub(super) fn add(&mut self, id: SessionId, peer: PeerId) -> u32 {
        let position = self.member_count();
        self.members.push(id.0);
        self.count_by_peer[usize::from(peer.0)] += 1;
        self.peers.insert(peer);
        position
    }

    /// Takes out the member at `position`; returns who has that position now. A peer without
    /// members is not behind either.
    pub(super) fn remove(&mut self, position: u32, peer: PeerId) -> Option<SessionId> {
        self.members.swap_remove(position as usize);
        let here = &mut self.count_by_peer[usize::from(peer.0)];
        *here -= 1;
        if *here == 0 {
            self.peers.remove(peer);
            self.congested.remove(peer);
        }
        self.members.get(position as usize).copied().map(SessionId)
    }

    /// What they are to be told of each other, if anything is due.
    pub(super) fn owed(&self) -> Option<Presence> {
        Some(self.presence).filter(|presence| *presence != Presence::NOTHING)
    }

    fn is_large(&self) -> bool {
        self.members.len() > PRESENCE_ROOM_LEN
    }
}

impl Presence {
    const NOTHING: Self = Self { joined: 0, left: 0, renamed: 0, due: Time::NEVER };

    /// What the room is told.
    pub(super) fn message(self, members: u32) -> Message<&'static str> {
        let Self { joined, left, renamed, due: _ } = self;
        Message::Presence { joined, left, renamed, members }
    }

    /// When they are told it.
    pub(super) fn due(self) -> Time {
        self.due
    }

    fn count(&mut self, notice: &Message<&str>) {
        let counter = match notice {
            Message::Joined { .. } => &mut self.joined,
            Message::Left { .. } => &mut self.left,
            _ => &mut self.renamed,
        };
        *counter = counter.saturating_add(1);
    }
}

impl<S: BuildHasher> Rooms<S> {
    /// The lobby, then the rooms of these names, which all pass `validate_room_name`.
    pub(super) fn new(
        names: &[String],
        history_lines: usize,
        peer_count: usize,
        hasher: S,
    ) -> Self {
        let mut rooms = Self {
            slab: Slab::new(),
            by_name: NameIndex::with_capacity(0, hasher),
            fixed_count: 0,
            peer_count,
            summaries: VecDeque::new(),
            budget: Budget::new(history_lines),
        };
        for name in std::iter::once(LOBBY_NAME).chain(names.iter().map(String::as_str)) {
            if rooms.named(name).is_none() {
                rooms.insert(Name::new(name).expect("validate_room_name looked at its length"));
                rooms.fixed_count += 1;
            }
        }
        rooms
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether no further room can be made.
    pub(super) fn is_full(&self) -> bool {
        self.slab.len() >= ROOMS_MAX
    }

    /// Whether the room stays when it is empty.
    fn is_fixed(&self, id: RoomId) -> bool {
        id.0 < self.fixed_count
    }

    /// All rooms, the lobby first, in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (RoomId, &Room)> {
        self.slab.iter().map(|(number, room)| (RoomId(count(number)), room))
    }

    /// The room, if there is one under that number.
    pub(super) fn get_mut(&mut self, id: RoomId) -> Option<&mut Room> {
        self.slab.get_mut(id.0 as usize)
    }

    /// The room of that name.
    pub(super) fn named(&self, name: &str) -> Option<RoomId> {
        self.by_name.find(name, |number| shown_name(&self.slab, number)).map(RoomId)
    }

    /// The room of that name, if it stays when it is empty.
    pub(super) fn fixed(&self, name: &str) -> Option<RoomId> {
        self.named(name).filter(|room| self.is_fixed(*room))
    }

    /// Makes a room; nobody is in it yet, and no room has its name.
    pub(super) fn insert(&mut self, name: Name) -> RoomId {
        let room = Room {
            name,
            members: Vec::new(),
            count_by_peer: vec![0; self.peer_count].into(),
            peers: PeerSet::default(),
            congested: PeerSet::default(),
            presence: Presence::NOTHING,
            topic: None,
            history: History::default(),
        };
        let number = count(self.slab.insert(room));
        self.by_name.insert(number, |number| shown_name(&self.slab, number));
        RoomId(number)
    }

    /// Does what is due after somebody left: an empty room is gone, or if it stays, there is nobody
    /// to tell what happened in it.
    pub(super) fn tidy(&mut self, id: RoomId) {
        if !self[id].members.is_empty() {
            return;
        }
        if self.is_fixed(id) {
            self[id].presence = Presence::NOTHING;
        } else {
            let mut room = self.slab.remove(id.0 as usize);
            room.history.clear(&mut self.budget);
            self.by_name.remove(id.0, room.name.as_str());
        }
    }

    /// Keeps what was said in a room, for those who join it.
    pub(super) fn remember(
        &mut self,
        minute: u16,
        id: RoomId,
        conn: ConnId,
        author: ShownName,
        line: (What, &str),
    ) {
        let room = &mut self.slab[id.0 as usize];
        room.history.push(minute, conn, author, line, &mut self.budget);
    }

    /// All connections of that peer are gone, and others will have their numbers.
    pub(super) fn forget_conns_of(&mut self, peer: PeerId) {
        self.slab.iter_mut().for_each(|(_, room)| room.history.forget_conns_of(peer));
    }

    /// Counts the notice if the room is too large to be told each one; says whether it did.
    pub(super) fn sums_up(&mut self, now: Time, id: RoomId, notice: &Message<&str>) -> bool {
        let room = &mut self[id];
        if !room.is_large() {
            return false;
        }
        room.presence.count(notice);
        if room.presence.due == Time::NEVER {
            let due = now + PRESENCE_INTERVAL;
            room.presence.due = due;
            self.summaries.push_back((due, id));
        }
        true
    }

    /// A room with members is to be told that. Called for what is due earlier first.
    pub(super) fn owe(&mut self, room: RoomId, presence: Presence) {
        self[room].presence = presence;
        self.summaries.push_back((presence.due, room));
    }

    /// When the next summary is due.
    pub(super) fn summary_due(&self) -> Time {
        self.summaries.front().map_or(Time::NEVER, |(due, _)| *due)
    }

    /// The next summary that is due by `now`, and the room it is for, which is not empty.
    pub(super) fn next_summary(&mut self, now: Time) -> Option<(RoomId, Presence)> {
        while self.summary_due() <= now {
            let (due, id) = self.summaries.pop_front()?;
            let room = self.get_mut(id).filter(|room| room.presence.due == due);
            if let Some(room) = room {
                return Some((id, std::mem::replace(&mut room.presence, Presence::NOTHING)));
            }
        }
        None
    }

    /// Asserts that only the fixed rooms are left, and nobody in them.
    #[cfg(test)]
    pub(super) fn assert_empty(&mut self) {
        assert_eq!(count(self.slab.len()), self.fixed_count);
        assert_eq!(self.by_name.len(), self.slab.len());
        for (_, room) in self.iter() {
            assert!(room.members.is_empty() && room.peers.is_empty() && !room.is_held());
            assert!(room.count_by_peer.iter().all(|count| *count == 0));
            assert_eq!(room.presence, Presence::NOTHING);
        }
        self.slab.iter_mut().for_each(|(_, room)| room.history.clear(&mut self.budget));
        assert_eq!(self.budget.len(), 0);
    }
}

impl<S> Index<RoomId> for Rooms<S> {
    type Output = Room;

    fn index(&self, id: RoomId) -> &Room {
        &self.slab[id.0 as usize]
    }
}

impl<S> IndexMut<RoomId> for Rooms<S> {
    fn index_mut(&mut self, id: RoomId) -> &mut Room {
        &mut self.slab[id.0 as usize]
    }
}

impl fmt::Display for RoomNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => {
                write!(f, "the name of a room is 1 to {NAME_LEN_MAX} letters, digits, - or _")
            }
            Self::Command => f.write_str("the name of a room must not be that of a command"),
        }
    }
}

impl Error for RoomNameError {}

fn shown_name(slab: &Slab<Room>, number: u32) -> ShownName {
    ShownName::new(slab[number as usize].name()).expect("a room's name is shorter")
}

/// Rooms and members are fewer than a `u32` counts.
fn count(len: usize) -> u32 {
    u32::try_from(len).expect("a session's and a room's number is a u32")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rooms_made_at_start() {
        for (name, verdict) in [
            ("python", Ok(())),
            ("Lobby", Ok(())),
            ("", Err(RoomNameError::Form)),
            ("two words", Err(RoomNameError::Form)),
            ("aaaaaaaaaaaaaaaaaaaaa", Err(RoomNameError::Form)),
            ("quit", Err(RoomNameError::Command)),
            ("ONLINE", Err(RoomNameError::Command)),
        ] {
            assert_eq!(validate_room_name(name), verdict, "{name:?}");
        }
    }
}
