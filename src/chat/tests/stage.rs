//! Users by name, and the workers' part played by maps: who is in which room, who has read what.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::RandomState;
use std::net::SocketAddr;

use crate::chat::{
    Action, Chat, Config, ConnId, Event, Message, Nicknames, PeerId, PeerSet, RoomId, Saved, Sink,
};
use crate::dialect::Dialect;
use crate::time::Time;

/// The peers of a stage: two workers, and one that observes if it is told to.
pub(super) const OBSERVER: PeerId = PeerId(2);

/// What the peers do with the actions they get, checked as it comes.
#[derive(Default)]
pub(super) struct Wire {
    pub(super) seats: BTreeSet<(ConnId, RoomId)>,
    pub(super) members: BTreeMap<RoomId, BTreeSet<ConnId>>,
    pub(super) heard: BTreeMap<ConnId, Vec<String>>,
    /// How those speak who do not speak telnet.
    dialects: BTreeMap<ConnId, Dialect>,
    pub(super) observed: Vec<String>,
    /// What the observer knows the rooms as.
    names: BTreeMap<RoomId, String>,
    /// Everything, in order, with the rooms' names where they are known; only if asked for.
    pub(super) log: Option<Vec<String>>,
    pub(super) holds: Vec<(PeerSet, RoomId, bool)>,
    pub(super) closed: Vec<ConnId>,
    pub(super) rich: Vec<(ConnId, bool)>,
    pub(super) stops: Vec<PeerSet>,
    /// Who is not told what whom does.
    pub(super) ignored: BTreeSet<(ConnId, ConnId)>,
    pub(super) say_count: usize,
    pub(super) delivery_count: usize,
}

/// The core, its peers, and the users.
pub(super) struct Stage {
    pub(super) chat: Chat,
    pub(super) wire: Wire,
    pub(super) now: Time,
    pub(super) config: Config,
    /// What the wall clock says, in seconds; otherwise it goes as `now` does.
    pub(super) wall: Option<u64>,
    conns: BTreeMap<String, ConnId>,
    free: [Vec<ConnId>; 2],
    slot_count: [u32; 2],
}

impl Wire {
    fn hear(&mut self, conn: ConnId, message: &Message<&str>) {
        let heard = self.heard.get_mut(&conn).expect("only who is connected is told anything");
        let dialect = self.dialects.get(&conn).copied().unwrap_or(Dialect::Telnet);
        heard.extend(words(dialect, message));
    }

    fn say(
        &mut self,
        peers: PeerSet,
        room: RoomId,
        author: Option<ConnId>,
        hears: bool,
        message: Message<&str>,
    ) {
        self.say_count += 1;
        if peers.contains(OBSERVER) {
            self.observed.extend(
                words(Dialect::Telnet, &message).iter().map(|words| format!("{}: {words}", room.0)),
            );
        }
        for conn in self.members.get(&room).cloned().unwrap_or_default() {
            assert!(peers.contains(conn.peer), "all peers with members are told");
            let ignores = author.is_some_and(|author| self.ignored.contains(&(conn, author)));
            if !ignores && (Some(conn) != author || hears) {
                self.delivery_count += 1;
                self.hear(conn, &message);
            }
        }
    }

    fn drop_conn(&mut self, conn: ConnId) {
        let all = (conn, RoomId(0))..=(conn, RoomId(u32::MAX));
        for (_, room) in self.seats.range(all.clone()) {
            self.members.get_mut(room).expect("it was entered").remove(&conn);
        }
        self.seats.extract_if(all, |_| true).for_each(drop);
        self.ignored.retain(|(who, _)| *who != conn);
    }
}

impl Sink for Wire {
    fn push(&mut self, peers: PeerSet, action: Action<&str>) {
        assert!(!peers.is_empty());
        if let Action::Opened { room, name } = action {
            self.names.insert(room, name.to_owned());
        }
        if let Some(log) = &mut self.log {
            log.push(format!("{peers:?} {}", in_words(&action, &self.names)));
        }
        match action {
            Action::Opened { room, name } => {
                assert_eq!(peers, PeerSet::one(OBSERVER));
                self.observed.push(format!("{} is {name}", room.0));
            }
            Action::Enter { conn, room } => {
                assert_eq!(peers, PeerSet::one(conn.peer));
                assert!(self.seats.insert((conn, room)));
                assert!(self.members.entry(room).or_default().insert(conn));
            }
            Action::Leave { conn, room } => {
                assert_eq!(peers, PeerSet::one(conn.peer));
                assert!(self.seats.remove(&(conn, room)));
                assert!(self.members.get_mut(&room).expect("it was entered").remove(&conn));
            }
            Action::Tell { conn, message } => {
                assert_eq!(peers, PeerSet::one(conn.peer));
                self.hear(conn, &message);
            }
            Action::Say { room, author, hears, message } => {
                self.say(peers, room, author, hears, message);
            }
            Action::Ignore { conn, other, on } => {
                assert!(peers.contains(conn.peer));
                let changed = match on {
                    true => self.ignored.insert((conn, other)),
                    false => self.ignored.remove(&(conn, other)),
                };
                assert!(changed, "said twice");
            }
            Action::Hold { room, on } => self.holds.push((peers, room, on)),
            Action::Stamp { conn, .. } => assert_eq!(peers, PeerSet::one(conn.peer)),
            Action::Rich { conn, on } => {
                assert_eq!(peers, PeerSet::one(conn.peer));
                self.rich.push((conn, on));
            }
            Action::Close { conn } => {
                assert_eq!(peers, PeerSet::one(conn.peer));
                assert!(self.seats.iter().all(|seat| seat.0 != conn));
                self.ignored.retain(|(who, _)| *who != conn);
                self.closed.push(conn);
            }
            Action::Stop | Action::Freeze | Action::HandOver => self.stops.push(peers),
        }
    }
}

impl Stage {
    /// Two workers and these rooms; nobody observes.
    pub(super) fn new(rooms: &[&str]) -> Self {
        Self::with_observers(rooms, PeerSet::default())
    }

    /// The letters of all scripts are allowed.
    pub(super) fn of_all_scripts() -> Self {
        Self::with(&[], PeerSet::default(), Nicknames::Unicode)
    }

    pub(super) fn with_observers(rooms: &[&str], observers: PeerSet) -> Self {
        Self::with(rooms, observers, Nicknames::Ascii)
    }

    fn with(rooms: &[&str], observers: PeerSet, nicknames: Nicknames) -> Self {
        let rooms = rooms.iter().map(|name| (*name).to_owned()).collect();
        let config = Config {
            peer_count: 3,
            observers,
            rooms,
            clients_max: 16,
            motd: false,
            nicknames,
            history_lines: 3,
        };
        let mut stage = Self {
            chat: Chat::new(config.clone(), RandomState::new()),
            wire: Wire::default(),
            now: Time::default(),
            config,
            wall: None,
            conns: BTreeMap::new(),
            free: Default::default(),
            slot_count: [0; 2],
        };
        stage.chat.open(&mut stage.wire);
        stage
    }

    /// Another process goes on with what this one saved, and says so to peers that know nothing.
    /// Those for whom `conn_of` has no number are gone, untold.
    pub(super) fn is_replaced(&mut self, conn_of: impl Fn(ConnId) -> Option<ConnId>) {
        let config = self.config.clone();
        self.is_replaced_by(config, conn_of);
    }

    /// The same, and the other is configured in that way.
    pub(super) fn is_replaced_by(
        &mut self,
        config: Config,
        conn_of: impl Fn(ConnId) -> Option<ConnId>,
    ) {
        let wire = &mut self.wire;
        wire.seats.clear();
        wire.members.clear();
        wire.ignored.clear();
        wire.names.clear();
        wire.heard = renumbered(&wire.heard, &conn_of);
        wire.dialects = renumbered(&wire.dialects, &conn_of);
        // Where numbers start anew, the next in a slot can have just those of one who is gone.
        for (_, conn) in self.conns.extract_if(.., |_, conn| conn_of(*conn).is_none()) {
            self.free[usize::from(conn.peer.0)].push(conn);
        }
        for conn in self.conns.values_mut() {
            *conn = conn_of(*conn).expect("the others were taken out");
        }
        for conn in self.conns.values() {
            let peer = usize::from(conn.peer.0);
            self.free[peer].retain(|free| free.index != conn.index);
            self.slot_count[peer] = self.slot_count[peer].max(conn.index + 1);
        }
        let saved = carried(&self.chat.save());
        self.chat = Chat::restore(config, RandomState::new(), saved, conn_of, &mut self.wire);
    }

    pub(super) fn handle(&mut self, event: Event<&str>) {
        self.chat.set_wall(self.wall.unwrap_or(self.now.0 / 1_000_000_000));
        self.chat.handle(self.now, event, &mut self.wire);
    }

    /// A user on worker 0, and so on by turns.
    pub(super) fn connects(&mut self, user: &str, addr: &str) -> ConnId {
        let peer = PeerId(u8::from(self.slot_count[0] > self.slot_count[1]));
        self.connects_to(peer, user, addr)
    }

    /// A user of another dialect than telnet, on either worker.
    pub(super) fn connects_as(&mut self, dialect: Dialect, user: &str, addr: &str) -> ConnId {
        let peer = PeerId(u8::from(self.slot_count[0] > self.slot_count[1]));
        self.enters(dialect, peer, user, addr)
    }

    /// A user on that worker, in a slot that was used before if there is one.
    pub(super) fn connects_to(&mut self, peer: PeerId, user: &str, addr: &str) -> ConnId {
        self.enters(Dialect::Telnet, peer, user, addr)
    }

    fn enters(&mut self, dialect: Dialect, peer: PeerId, user: &str, addr: &str) -> ConnId {
        let worker = usize::from(peer.0);
        let conn = self.free[worker].pop().unwrap_or_else(|| {
            self.slot_count[worker] += 1;
            ConnId { peer, index: self.slot_count[worker] - 1, generation: 0 }
        });
        let addr: SocketAddr = addr.parse().expect("the tests give addresses");
        self.conns.insert(user.to_owned(), conn);
        self.wire.heard.insert(conn, Vec::new());
        self.wire.dialects.insert(conn, dialect);
        self.handle(Event::Connected { conn, addr, start: dialect.start() });
        conn
    }

    pub(super) fn says(&mut self, user: &str, text: &str) {
        let conn = self.conns[user];
        self.handle(Event::Line { conn, text });
        self.see_close(user);
    }

    /// A rid user's frame.
    pub(super) fn frames(&mut self, user: &str, room: &str, text: &str) {
        let conn = self.conns[user];
        self.handle(Event::Frame { conn, room, text });
    }

    /// A p2p user's id.
    pub(super) fn is_called(&mut self, user: &str, name: &str) {
        let conn = self.conns[user];
        self.handle(Event::Id { conn, name });
        self.see_close(user);
    }

    /// A p2p user's line.
    pub(super) fn writes(&mut self, user: &str, name: &str, text: &str) {
        let conn = self.conns[user];
        self.handle(Event::To { conn, name, text });
    }

    /// A user whom the server closed is gone, with what it was told last.
    fn see_close(&mut self, user: &str) {
        let conn = self.conns[user];
        if self.wire.closed.contains(&conn) {
            self.wire.closed.clear();
            self.conns.remove(user);
            self.free_slot(conn);
        }
    }

    /// What the user has read since last asked.
    pub(super) fn reads(&mut self, user: &str) -> Vec<String> {
        let conn = self.conns[user];
        std::mem::take(self.wire.heard.get_mut(&conn).expect("the user is connected"))
    }

    #[track_caller]
    pub(super) fn hears(&mut self, user: &str, lines: &[&str]) {
        assert_eq!(self.reads(user), lines, "{user}");
    }

    /// What everybody has read so far is looked at no more.
    pub(super) fn forget_the_rest(&mut self) {
        self.wire.heard.values_mut().for_each(Vec::clear);
    }

    pub(super) fn disconnects(&mut self, user: &str) {
        let conn = self.conns.remove(user).expect("the user is connected");
        self.wire.drop_conn(conn);
        self.free_slot(conn);
        self.handle(Event::Disconnected { conn });
    }

    /// The worker is gone, and all users on it; another takes its place.
    pub(super) fn loses(&mut self, peer: PeerId) {
        let gone: Vec<_> = self.conns.extract_if(.., |_, conn| conn.peer == peer).collect();
        for (_, conn) in gone {
            self.wire.drop_conn(conn);
            self.wire.heard.remove(&conn);
        }
        // It counts slots and their occupants from the beginning.
        self.free[usize::from(peer.0)].clear();
        self.slot_count[usize::from(peer.0)] = 0;
        self.handle(Event::Lost { peer });
    }

    pub(super) fn is_here(&self, user: &str) -> bool {
        self.conns.contains_key(user)
    }

    pub(super) fn conn(&self, user: &str) -> ConnId {
        self.conns[user]
    }

    pub(super) fn room_of(&self, user: &str) -> RoomId {
        let conn = self.conns[user];
        let mut rooms = self.wire.seats.iter().filter(|seat| seat.0 == conn).map(|seat| seat.1);
        let room = rooms.next().expect("the user is in a room");
        assert_eq!(rooms.next(), None, "and in one only");
        room
    }

    pub(super) fn tick(&mut self) {
        self.now = self.chat.deadline();
        self.handle(Event::Tick);
    }

    /// Everything said was looked at; everybody goes; nothing is left.
    #[track_caller]
    pub(super) fn ends(mut self) {
        let unread: Vec<_> = self.wire.heard.values().filter(|lines| !lines.is_empty()).collect();
        assert!(unread.is_empty(), "not looked at: {unread:?}");
        for user in self.conns.keys().cloned().collect::<Vec<_>>() {
            self.disconnects(&user);
        }
        assert!(self.wire.seats.is_empty());
        assert_eq!(self.chat.client_count(), 0);
        self.chat.assert_empty();
    }

    fn free_slot(&mut self, conn: ConnId) {
        self.wire.heard.remove(&conn);
        let next = ConnId { generation: conn.generation + 1, ..conn };
        self.free[usize::from(conn.peer.0)].push(next);
    }
}

/// The action, with the names of rooms instead of their numbers.
fn in_words(action: &Action<&str>, names: &BTreeMap<RoomId, String>) -> String {
    let mut words = format!("{action:?}");
    if let Action::Opened { room, .. }
    | Action::Enter { room, .. }
    | Action::Leave { room, .. }
    | Action::Say { room, .. }
    | Action::Hold { room, .. } = action
        && let Some(name) = names.get(room)
    {
        words = words.replacen(&format!("{room:?}"), name, 1);
    }
    words
}

fn renumbered<T: Clone>(
    of: &BTreeMap<ConnId, T>,
    conn_of: impl Fn(ConnId) -> Option<ConnId>,
) -> BTreeMap<ConnId, T> {
    of.iter().filter_map(|(conn, it)| Some((conn_of(*conn)?, it.clone()))).collect()
}

/// As it comes out at the other end.
fn carried(saved: &Saved) -> Saved {
    let bytes = rmp_serde::to_vec_named(saved).expect("it can be written");
    rmp_serde::from_slice(&bytes).expect("it can be read")
}

impl Chat {
    #[track_caller]
    pub(super) fn assert_empty(&mut self) {
        self.sessions.assert_empty();
        self.rooms.assert_empty();
    }
}

/// The message as telnet's lines without their ends, the list of commands as one word; or all that
/// the dialect makes of it.
fn words(dialect: Dialect, message: &Message<&str>) -> Vec<String> {
    let mut out = Vec::new();
    match message {
        Message::Help => out.extend_from_slice(b"(help)"),
        _ => dialect.render(message, &mut out),
    }
    let text = String::from_utf8(out).expect("messages are text");
    match dialect {
        Dialect::Telnet => text.split_terminator("\r\n").map(str::to_owned).collect(),
        _ if text.is_empty() => Vec::new(),
        _ => vec![text],
    }
}
