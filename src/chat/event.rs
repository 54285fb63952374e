//! What the core takes and what it gives: ids, events, actions.
//!
//! Everything that carries text is generic over the text: `&str` at the core's door, a span of an
//! arena (`T = Span`) while it waits in a batch or an outbox, so that waiting allocates nothing.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::message::Message;

/// One of the parties that exchange batches with the hub: a worker, or the control thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId(pub u8);

/// A connection: the slot it occupies on its worker, and which occupant of that slot it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnId {
    /// The worker that holds it.
    pub peer: PeerId,
    /// Its slot there.
    pub index: u32,
    /// Counts the occupants of the slot, so that a late event never reaches a successor.
    pub generation: u32,
}

/// A room. The number is used again once the room is gone; in the order in which a peer receives
/// actions it never means two rooms at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoomId(pub u32);

/// A set of peers, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerSet(pub u64);

impl PeerSet {
    /// The set of that one peer. `peer` is below 64 (`limits::PEERS_MAX`).
    #[must_use]
    pub fn one(peer: PeerId) -> Self {
        Self(1 << peer.0)
    }

    /// The first `count` peers.
    #[must_use]
    pub fn first(count: usize) -> Self {
        debug_assert!(count < 64);
        Self((1 << count) - 1)
    }

    /// Adds a peer.
    pub fn insert(&mut self, peer: PeerId) {
        self.0 |= Self::one(peer).0;
    }

    /// Takes a peer out.
    pub fn remove(&mut self, peer: PeerId) {
        self.0 &= !Self::one(peer).0;
    }

    /// Whether the peer is in it.
    #[must_use]
    pub fn contains(self, peer: PeerId) -> bool {
        self.0 & Self::one(peer).0 != 0
    }

    /// Whether nobody is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The peers in both or either of the sets.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The peers, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = PeerId> {
        let mut bits = self.0;
        std::iter::from_fn(move || {
            (bits != 0).then(|| {
                let lowest = bits.trailing_zeros();
                bits &= bits - 1;
                PeerId(u8::try_from(lowest).expect("a u64 has 64 bits"))
            })
        })
    }
}

/// Where a newcomer starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// In the lobby, with a welcome.
    Lobby,
    /// In no room, and told nothing.
    Nowhere,
}

/// What happened, told to the core. Texts have been through the gate (`text`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<T> {
    /// Somebody connected.
    Connected {
        /// The new connection.
        conn: ConnId,
        /// The other end, the name it goes under until it takes a nickname.
        addr: SocketAddr,
        /// Where they start.
        start: Start,
    },
    /// A whole line, without its end.
    Line {
        /// Who wrote it.
        conn: ConnId,
        /// At most `limits::LINE_LEN_MAX` bytes.
        text: T,
    },
    /// A text for a room. Who is not in the room enters it, and the text is dropped.
    Frame {
        /// Who wrote it.
        conn: ConnId,
        /// The room's name.
        room: T,
        /// At most `limits::FRAME_LINES_MAX` lines and `limits::FRAME_LEN_MAX` bytes. The only
        /// text that may hold line ends: LF.
        text: T,
    },
    /// The name under which the client wants to be in the lobby. Without it it cannot stay.
    Id {
        /// Whose.
        conn: ConnId,
        /// The name.
        name: T,
    },
    /// A line for one person, or for all in the lobby, its author too.
    To {
        /// Who wrote it.
        conn: ConnId,
        /// The reader's name, or `all`.
        name: T,
        /// At most `limits::LINE_LEN_MAX` bytes.
        text: T,
    },
    /// What the client sent is nothing in its dialect. Told to the core as `LineTooLong` is.
    Invalid {
        /// Who sent it.
        conn: ConnId,
    },
    /// A line over the limit was refused. Told to the core so that the answer keeps its place among
    /// the other replies.
    LineTooLong {
        /// Who wrote it.
        conn: ConnId,
    },
    /// The connection is gone or going; nothing is accepted from it any more.
    Disconnected {
        /// Whose.
        conn: ConnId,
    },
    /// A worker fell so far behind in a room that its authors must wait (`on`), or caught up.
    Congested {
        /// The worker.
        peer: PeerId,
        /// The room.
        room: RoomId,
        /// Whether it is behind.
        on: bool,
    },
    /// A worker is gone, and all its connections with it. One that takes its number starts anew.
    Lost {
        /// The worker.
        peer: PeerId,
    },
    /// The instant asked for by `Chat::deadline` came.
    Tick,
    /// The server stops: every worker says goodbye to its clients.
    Stop,
    /// Everything is to be handed over: every peer becomes still.
    Freeze,
    /// A peer has nothing under way and tells nothing more.
    Still {
        /// Which.
        peer: PeerId,
    },
}

/// What a peer has to do, in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<T> {
    /// To the observers: a room has come to be under this number.
    Opened {
        /// Its number.
        room: RoomId,
        /// Its name.
        name: T,
    },
    /// The connection reads the room from here on.
    Enter {
        /// Who.
        conn: ConnId,
        /// Which room.
        room: RoomId,
    },
    /// The connection reads the room no longer.
    Leave {
        /// Who.
        conn: ConnId,
        /// Which room.
        room: RoomId,
    },
    /// One connection is told something.
    Tell {
        /// Who.
        conn: ConnId,
        /// What.
        message: Message<T>,
    },
    /// All members of a room are told something, but those who ignore its author.
    Say {
        /// Where.
        room: RoomId,
        /// Whose doing it is, if it is one person's.
        author: Option<ConnId>,
        /// Whether the author hears it too.
        hears: bool,
        /// What.
        message: Message<T>,
    },
    /// The connection is told nothing in rooms that `other` is the author of, from here on, or is
    /// again. To the observers too: it is part of who hears what.
    Ignore {
        /// Whose.
        conn: ConnId,
        /// The author.
        other: ConnId,
        /// Whether it is not told.
        on: bool,
    },
    /// Each line the connection is sent begins with the time, from here on, or not.
    Stamp {
        /// Whose.
        conn: ConnId,
        /// Whether it does.
        on: bool,
    },
    /// The members of a room are not read from (`on`), or are again.
    Hold {
        /// Which room.
        room: RoomId,
        /// Whether reading stops.
        on: bool,
    },
    /// The connection wants rich mode (`on`), or line mode again. Its dialect answers.
    Rich {
        /// Whose.
        conn: ConnId,
        /// Whether it wants it.
        on: bool,
    },
    /// The connection gets what it is owed and is closed. The core knows it no longer.
    Close {
        /// Whose.
        conn: ConnId,
    },
    /// The server stops.
    Stop,
    /// Nothing more is accepted or read. Once nothing is under way, the peer says that it is still.
    Freeze,
    /// All peers are still: the worker gives its connections away, and ends. The last action.
    HandOver,
}

impl<T> Event<T> {
    /// The same event with its text in another form.
    pub fn map<U>(&self, mut text_of: impl FnMut(&T) -> U) -> Event<U> {
        match self {
            Self::Connected { conn, addr, start } => {
                Event::Connected { conn: *conn, addr: *addr, start: *start }
            }
            Self::Line { conn, text } => Event::Line { conn: *conn, text: text_of(text) },
            Self::Frame { conn, room, text } => {
                Event::Frame { conn: *conn, room: text_of(room), text: text_of(text) }
            }
            Self::Id { conn, name } => Event::Id { conn: *conn, name: text_of(name) },
            Self::To { conn, name, text } => {
                Event::To { conn: *conn, name: text_of(name), text: text_of(text) }
            }
            Self::Invalid { conn } => Event::Invalid { conn: *conn },
            Self::LineTooLong { conn } => Event::LineTooLong { conn: *conn },
            Self::Disconnected { conn } => Event::Disconnected { conn: *conn },
            Self::Congested { peer, room, on } => {
                Event::Congested { peer: *peer, room: *room, on: *on }
            }
            Self::Lost { peer } => Event::Lost { peer: *peer },
            Self::Tick => Event::Tick,
            Self::Stop => Event::Stop,
            Self::Freeze => Event::Freeze,
            Self::Still { peer } => Event::Still { peer: *peer },
        }
    }
}

impl<T> Action<T> {
    /// The same action with its texts in another form.
    pub fn map<U>(&self, mut text_of: impl FnMut(&T) -> U) -> Action<U> {
        match self {
            Self::Opened { room, name } => Action::Opened { room: *room, name: text_of(name) },
            Self::Enter { conn, room } => Action::Enter { conn: *conn, room: *room },
            Self::Leave { conn, room } => Action::Leave { conn: *conn, room: *room },
            Self::Tell { conn, message } => {
                Action::Tell { conn: *conn, message: message.map(text_of) }
            }
            Self::Say { room, author, hears, message } => {
                let message = message.map(text_of);
                Action::Say { room: *room, author: *author, hears: *hears, message }
            }
            Self::Ignore { conn, other, on } => {
                Action::Ignore { conn: *conn, other: *other, on: *on }
            }
            Self::Hold { room, on } => Action::Hold { room: *room, on: *on },
            Self::Stamp { conn, on } => Action::Stamp { conn: *conn, on: *on },
            Self::Rich { conn, on } => Action::Rich { conn: *conn, on: *on },
            Self::Close { conn } => Action::Close { conn: *conn },
            Self::Stop => Action::Stop,
            Self::Freeze => Action::Freeze,
            Self::HandOver => Action::HandOver,
        }
    }
}

/// Where the core puts what it decides. Actions for one peer keep their order.
///
/// The core calls it in the middle of its work: an implementation keeps the action and returns, and
/// never calls the core.
pub trait Sink {
    /// Hands `action` to each of `peers`.
    fn push(&mut self, peers: PeerSet, action: Action<&str>);
}
