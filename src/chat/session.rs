//! The sessions: one for each connection, found by connection and by name.
//!
//! A session is kept small (about 80 bytes with its places in the indexes), so that tens of
//! thousands of idle ones cost little: the first room a session is in stands in it; further ones,
//! and what else few have, stand aside in a table. Which members a room has is the room's own list;
//! a session knows its position there.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};
use slab::Slab;

use super::event::{ConnId, PeerId, RoomId};
use super::looks::{Looks, Nicknames};
use super::nick::{Name, NameIndex, ShownName};
use crate::limits::AWAY_TOLD_MAX;

/// A session's number; used again after it has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionId(pub(super) u32);

/// One user.
#[derive(Debug)]
pub(super) struct Session {
    /// Where it is connected.
    pub(super) conn: ConnId,
    /// Its first seat, or `NO_SEAT`.
    seat: Seat,
    /// Empty until one is taken.
    nick: Name,
    /// An IPv4 address is kept mapped. The scope of a link-local address is not kept.
    ip: Ipv6Addr,
    port: u16,
    /// It has something in `Sessions::asides`.
    has_aside: bool,
}

/// What few sessions have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Aside {
    /// The seats after the first. With any, there is a first.
    more_seats: Vec<Seat>,
    /// It is away.
    pub(super) away: Option<Away>,
    /// It is not told the last lines of a room that it joins.
    pub(super) no_history: bool,
    /// Who wrote to it last.
    pub(super) writer: Option<ConnId>,
    /// Whom it ignores, or ignored until they left: at most `IGNORED_MAX`.
    pub(super) ignored: Vec<ConnId>,
}

/// That somebody is away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Away {
    /// Why; may be empty.
    pub(super) text: Box<str>,
    /// Who was told so: at most `AWAY_TOLD_MAX`.
    pub(super) told: VecDeque<ConnId>,
}

/// A place in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seat {
    pub(super) room: RoomId,
    /// Its position among the room's members.
    pub(super) position: u32,
}

/// No room has this number (`limits::ROOMS_MAX`).
const NO_SEAT: Seat = Seat { room: RoomId(u32::MAX), position: 0 };

/// All users.
#[derive(Debug)]
pub(super) struct Sessions<S> {
    slab: Slab<Session>,
    /// By peer, then by the connection's index there: the session's number plus one, so that an
    /// empty slot takes no more than the number.
    by_conn: Box<[Vec<Option<NonZeroU32>>]>,
    by_name: NameIndex<S>,
    /// Where nicknames may look alike.
    looks: Option<Looks<S>>,
    asides: HashMap<u32, Box<Aside>, S>,
}

impl Session {
    /// The name people see.
    pub(super) fn name(&self) -> ShownName {
        if self.nick != Name::EMPTY {
            return ShownName::new(self.nick.as_str()).expect("a nickname is shorter");
        }
        let mut shown = ShownName::EMPTY;
        write!(shown, "{}", self.addr())
            .expect("SHOWN_NAME_LEN_MAX is that of the longest address");
        shown
    }

    /// The other end.
    pub(super) fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip.to_canonical(), self.port)
    }

    /// The nickname, empty until one is taken.
    pub(super) fn nick(&self) -> &str {
        self.nick.as_str()
    }
}

impl Away {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.into(), told: VecDeque::new() }
    }

    /// Whether that one is to be told now; then it counts as told. Of those told long ago the
    /// first are forgotten.
    pub(super) fn tells(&mut self, conn: ConnId) -> bool {
        if self.told.contains(&conn) {
            return false;
        }
        if self.told.len() >= AWAY_TOLD_MAX {
            self.told.pop_front();
        }
        self.told.push_back(conn);
        true
    }
}

impl<S: BuildHasher + Clone> Sessions<S> {
    /// No sessions, and space for `capacity`. Pages that are never used cost nothing.
    pub(super) fn new(peer_count: usize, capacity: usize, nicknames: Nicknames, hasher: S) -> Self {
        Self {
            slab: Slab::with_capacity(capacity),
            by_conn: (0..peer_count).map(|_| Vec::new()).collect(),
            by_name: NameIndex::with_capacity(capacity, hasher.clone()),
            looks: (nicknames == Nicknames::Unicode).then(|| Looks::new(hasher.clone())),
            asides: HashMap::with_hasher(hasher),
        }
    }
}

impl<S: BuildHasher> Sessions<S> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// All of them, in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = SessionId> {
        self.slab.iter().map(|(number, _)| session_id(number))
    }

    /// Whether the connection's peer is known.
    pub(super) fn knows_peer(&self, conn: ConnId) -> bool {
        usize::from(conn.peer.0) < self.by_conn.len()
    }

    /// The session of exactly this connection.
    pub(super) fn of(&self, conn: ConnId) -> Option<SessionId> {
        self.in_slot_of(conn).filter(|id| self[*id].conn == conn)
    }

    /// The session in the connection's slot, whichever its generation.
    pub(super) fn in_slot_of(&self, conn: ConnId) -> Option<SessionId> {
        let slots = self.by_conn.get(usize::from(conn.peer.0))?;
        let entry = slots.get(conn.index as usize).copied().flatten()?;
        Some(SessionId(entry.get() - 1))
    }

    /// Some session of that peer, while it has any.
    pub(super) fn any_of(&mut self, peer: PeerId) -> Option<SessionId> {
        let slots = self.by_conn.get_mut(usize::from(peer.0))?;
        while let Some(None) = slots.last() {
            slots.pop();
        }
        let entry = slots.last().copied().flatten()?;
        Some(SessionId(entry.get() - 1))
    }

    /// What is kept of connections of that peer, which are all gone, must mean none of those that
    /// will have the same numbers. Returns who ignored which of them.
    pub(super) fn forget_conns_of(&mut self, peer: PeerId) -> Vec<(SessionId, ConnId)> {
        let mut ignored = Vec::new();
        for (number, aside) in &mut self.asides {
            let gone = aside.ignored.extract_if(.., |conn| conn.peer == peer);
            ignored.extend(gone.map(|conn| (SessionId(*number), conn)));
            aside.writer = aside.writer.filter(|conn| conn.peer != peer);
            if let Some(away) = &mut aside.away {
                away.told.retain(|conn| conn.peer != peer);
            }
        }
        // The table has no order of its own, and numbers change when a chat is restored.
        ignored.sort_unstable_by_key(|(id, conn)| (self[*id].conn, *conn));
        ignored
    }

    /// Whom the session ignores; some may have left.
    pub(super) fn ignored(&self, id: SessionId) -> &[ConnId] {
        self.aside(id).map_or(&[], |aside| &aside.ignored)
    }

    /// The session that goes by that name.
    pub(super) fn named(&self, name: &str) -> Option<SessionId> {
        self.by_name.find(name, |number| self.slab[number as usize].name()).map(SessionId)
    }

    /// Adds a session that is in no room yet. Its peer is known and its slot free.
    pub(super) fn insert(&mut self, conn: ConnId, addr: SocketAddr) -> SessionId {
        let ip = match addr.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let (seat, nick, port) = (NO_SEAT, Name::EMPTY, addr.port());
        let session = Session { conn, seat, nick, ip, port, has_aside: false };
        let id = session_id(self.slab.insert(session));
        *self.slot_mut(conn) = NonZeroU32::new(id.0 + 1);
        self.by_name.insert(id.0, |number| self.slab[number as usize].name());
        id
    }

    /// Whether a nickname looks like that of somebody else.
    pub(super) fn looks_taken(&self, id: SessionId, nick: Name) -> bool {
        self.looks.as_ref().is_some_and(|looks| looks.are_taken(nick.as_str(), id.0))
    }

    /// Forgets a session that is in no room any more.
    pub(super) fn remove(&mut self, id: SessionId) {
        self.forget_look(id);
        self.by_name.remove(id.0, self[id].name().as_str());
        let session = self.slab.remove(id.0 as usize);
        if session.has_aside {
            self.asides.remove(&id.0);
        }
        *self.slot_mut(session.conn) = None;
    }

    /// Gives a session a nickname that nobody else has.
    pub(super) fn rename(&mut self, id: SessionId, nick: Name) {
        self.forget_look(id);
        if let Some(looks) = &mut self.looks {
            looks.insert(nick.as_str(), id.0);
        }
        self.by_name.remove(id.0, self[id].name().as_str());
        self[id].nick = nick;
        self.by_name.insert(id.0, |number| self.slab[number as usize].name());
    }

    /// What stands aside for the session, if anything.
    pub(super) fn aside(&self, id: SessionId) -> Option<&Aside> {
        if self[id].has_aside { self.asides.get(&id.0).map(Box::as_ref) } else { None }
    }

    /// The same, made if there is nothing. Who makes it calls `tidy` when it may be empty again.
    pub(super) fn aside_mut(&mut self, id: SessionId) -> &mut Aside {
        self[id].has_aside = true;
        self.asides.entry(id.0).or_default()
    }

    /// Lets go of what stands aside, if that is nothing.
    pub(super) fn tidy(&mut self, id: SessionId) {
        if self.aside(id).is_some_and(|aside| *aside == Aside::default()) {
            self.asides.remove(&id.0);
            self[id].has_aside = false;
        }
    }

    /// Why the session is away, if it is.
    pub(super) fn away(&self, id: SessionId) -> Option<&str> {
        self.aside(id)?.away.as_ref().map(|away| &*away.text)
    }

    /// That the session is away, if it is.
    pub(super) fn away_mut(&mut self, id: SessionId) -> Option<&mut Away> {
        if !self[id].has_aside {
            return None;
        }
        self.asides.get_mut(&id.0)?.away.as_mut()
    }

    /// The session is not away any more; says whether it was.
    pub(super) fn comes_back(&mut self, id: SessionId) -> bool {
        let was_away = self.aside(id).is_some_and(|aside| aside.away.is_some());
        if was_away {
            self.aside_mut(id).away = None;
            self.tidy(id);
        }
        was_away
    }

    fn forget_look(&mut self, id: SessionId) {
        let nick = self[id].nick;
        if let Some(looks) = self.looks.as_mut().filter(|_| nick != Name::EMPTY) {
            looks.remove(nick.as_str());
        }
    }

    /// The rooms the session is in, one for each `index` from 0 on.
    pub(super) fn seat(&self, id: SessionId, index: usize) -> Option<Seat> {
        match index.checked_sub(1) {
            None => Some(self[id].seat).filter(|seat| *seat != NO_SEAT),
            Some(index) => self.aside(id)?.more_seats.get(index).copied(),
        }
    }

    /// All of them.
    pub(super) fn seats(&self, id: SessionId) -> impl Iterator<Item = Seat> {
        (0..).map_while(move |index| self.seat(id, index))
    }

    /// Whether the session is in the room.
    pub(super) fn is_in(&self, id: SessionId, room: RoomId) -> bool {
        self.seats(id).any(|seat| seat.room == room)
    }

    /// Adds a seat in a room that the session is not in.
    pub(super) fn add_seat(&mut self, id: SessionId, seat: Seat) {
        if self[id].seat == NO_SEAT {
            self[id].seat = seat;
        } else {
            self.aside_mut(id).more_seats.push(seat);
        }
    }

    /// Takes away the seat in a room that the session is in, and returns it. The order of the
    /// others stays.
    pub(super) fn remove_seat(&mut self, id: SessionId, room: RoomId) -> Seat {
        if self.seat(id, 1).is_none() {
            debug_assert_eq!(self[id].seat.room, room, "it is in the room");
            return std::mem::replace(&mut self[id].seat, NO_SEAT);
        }
        let more = &mut self.aside_mut(id).more_seats;
        let removed = match more.iter().position(|seat| seat.room == room) {
            Some(index) => more.remove(index),
            None => {
                let next = more.remove(0);
                std::mem::replace(&mut self[id].seat, next)
            }
        };
        self.tidy(id);
        removed
    }

    /// The session's position in a room that it is in has changed.
    pub(super) fn move_seat(&mut self, id: SessionId, seat: Seat) {
        if self[id].seat.room == seat.room {
            self[id].seat = seat;
            return;
        }
        let more = self.asides.get_mut(&id.0).into_iter().flat_map(|aside| &mut aside.more_seats);
        for other in more.filter(|other| other.room == seat.room) {
            *other = seat;
        }
    }

    fn slot_mut(&mut self, conn: ConnId) -> &mut Option<NonZeroU32> {
        let slots = &mut self.by_conn[usize::from(conn.peer.0)];
        let index = conn.index as usize;
        if index >= slots.len() {
            slots.resize(index + 1, None);
        }
        &mut slots[index]
    }

    /// Asserts that no session and no trace of one is left.
    #[cfg(test)]
    pub(super) fn assert_empty(&self) {
        assert!(self.slab.is_empty());
        assert_eq!(self.by_name.len(), 0);
        assert!(self.looks.as_ref().is_none_or(Looks::is_empty));
        assert!(self.asides.is_empty());
        assert!(self.by_conn.iter().flatten().all(Option::is_none));
    }
}

impl<S> Index<SessionId> for Sessions<S> {
    type Output = Session;

    fn index(&self, id: SessionId) -> &Session {
        &self.slab[id.0 as usize]
    }
}

impl<S> IndexMut<SessionId> for Sessions<S> {
    fn index_mut(&mut self, id: SessionId) -> &mut Session {
        &mut self.slab[id.0 as usize]
    }
}

fn session_id(number: usize) -> SessionId {
    SessionId(u32::try_from(number).expect("sessions are fewer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SHOWN_NAME_LEN_MAX;

    fn shown(addr: &str) -> String {
        let addr = addr.parse().expect("the tests give addresses");
        let mut sessions = Sessions::new(1, 1, Nicknames::Ascii, std::hash::RandomState::new());
        let conn = ConnId { peer: PeerId(0), index: 0, generation: 0 };
        let id = sessions.insert(conn, addr);
        sessions[id].name().as_str().to_owned()
    }

    #[test]
    fn a_session_is_small() {
        assert!(size_of::<Session>() <= 60);
        assert_eq!(size_of::<Option<NonZeroU32>>(), 4);
    }

    #[test]
    fn seats_keep_their_order() {
        let mut sessions = Sessions::new(1, 1, Nicknames::Ascii, std::hash::RandomState::new());
        let conn = ConnId { peer: PeerId(0), index: 0, generation: 0 };
        let id = sessions.insert(conn, "127.0.0.1:1".parse().expect("an address"));
        let seat = |room, position| Seat { room: RoomId(room), position };
        let seats = |sessions: &Sessions<_>| sessions.seats(id).collect::<Vec<_>>();
        assert_eq!(seats(&sessions), []);
        for room in 0..4 {
            sessions.add_seat(id, seat(room, 7));
        }
        sessions.move_seat(id, seat(0, 8));
        sessions.move_seat(id, seat(2, 9));
        assert_eq!(seats(&sessions), [seat(0, 8), seat(1, 7), seat(2, 9), seat(3, 7)]);
        assert!(sessions.is_in(id, RoomId(3)) && !sessions.is_in(id, RoomId(4)));
        assert_eq!(sessions.remove_seat(id, RoomId(2)), seat(2, 9));
        assert_eq!(sessions.remove_seat(id, RoomId(0)), seat(0, 8));
        assert_eq!(seats(&sessions), [seat(1, 7), seat(3, 7)]);
        assert_eq!(sessions.remove_seat(id, RoomId(3)), seat(3, 7));
        assert!(sessions.asides.is_empty());
        assert_eq!(sessions.remove_seat(id, RoomId(1)), seat(1, 7));
        assert_eq!(seats(&sessions), []);
    }

    #[test]
    fn addresses_as_people_see_them() {
        let longest = "[1111:2222:3333:4444:5555:6666:7777:8888]:65535";
        assert_eq!(longest.len(), SHOWN_NAME_LEN_MAX);
        for (addr, name) in [
            ("127.0.0.1:37994", "127.0.0.1:37994"),
            ("255.255.255.255:65535", "255.255.255.255:65535"),
            ("[::ffff:10.1.2.3]:80", "10.1.2.3:80"),
            ("[::1]:80", "[::1]:80"),
            ("[fe80::1%7]:80", "[fe80::1]:80"),
            (longest, longest),
        ] {
            assert_eq!(shown(addr), name);
        }
    }
}
