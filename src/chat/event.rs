//! What the core takes and what it gives: ids, events, actions, messages.
//!
//! Everything that carries text is generic over the text: `&str` at the core's door, a span of an
//! arena (`T = Span`) while it waits in a batch or an outbox, so that waiting allocates nothing.

use std::net::SocketAddr;

/// One of the parties that exchange batches with the hub: a worker, or the control thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u8);

/// A connection: the slot it occupies on its worker, and which occupant of that slot it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// The instant asked for by `Chat::deadline` came.
    Tick,
    /// The server stops: every worker says goodbye to its clients.
    Stop,
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
    /// All members of a room are told something, but its author.
    Say {
        /// Where.
        room: RoomId,
        /// Who does not hear it.
        author: Option<ConnId>,
        /// What.
        message: Message<T>,
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
}

/// Something people read. A dialect puts it into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<T> {
    /// To the newcomer, first of all.
    Welcome,
    /// To the others in a room: somebody entered it.
    Joined {
        /// Who.
        name: T,
    },
    /// To the others in a room: somebody left it.
    Left {
        /// Who.
        name: T,
    },
    /// To a large room, at most once a second: what its members did meanwhile.
    Presence {
        /// How many entered.
        joined: u32,
        /// How many left.
        left: u32,
        /// How many took another nickname.
        renamed: u32,
        /// How many are there now.
        members: u32,
    },
    /// To the others in a room: a line.
    Said {
        /// Its author's name.
        author: T,
        /// The line.
        text: T,
    },
    /// To the others in a room: a text as it was framed, with all its line ends, LF. It may hold
    /// several lines, and its last need not be ended.
    Framed {
        /// Its author's name.
        author: T,
        /// The text.
        text: T,
    },
    /// To the others in a room: somebody goes under another name.
    Renamed {
        /// The name before.
        old: T,
        /// The name from now on.
        new: T,
    },
    /// A direct message.
    Direct {
        /// Its author's name.
        author: T,
        /// The text.
        text: T,
    },
    /// To the author of a direct message: it was handed over.
    DirectSent {
        /// The reader's name.
        to: T,
        /// The text.
        text: T,
    },
    /// The list of commands.
    Help,
    /// To one who asked for a nickname: it is theirs.
    YouAre {
        /// The nickname.
        name: T,
    },
    /// To one who moved: the room they are in now.
    YouAreIn {
        /// The room's name.
        room: T,
        /// How many are there, the asker included.
        members: u32,
    },
    /// The head of the answer to `/who`.
    Who {
        /// The room's name.
        room: T,
        /// How many are there.
        members: u32,
    },
    /// One of those in the room.
    WhoEntry {
        /// Their name.
        name: T,
    },
    /// The head of the answer to `/rooms`.
    Rooms {
        /// How many rooms there are.
        count: u32,
    },
    /// One of the rooms.
    RoomsEntry {
        /// The room's name.
        room: T,
        /// How many are there.
        members: u32,
    },
    /// The end of a list that stops early.
    AndMore {
        /// How many are not named.
        count: u32,
    },
    /// The answer to `/quit`.
    Goodbye,
    /// The answer to a telnet "are you there".
    Here,
    /// The server stops.
    Stopping,
    /// Nothing goes by that command.
    UnknownCommand {
        /// What was typed, without the slash.
        name: T,
    },
    /// A command was given too little or too much.
    Usage {
        /// How it is written.
        form: &'static str,
    },
    /// The name asked for cannot be one.
    BadName {
        /// What was typed.
        name: T,
    },
    /// Somebody else has the nickname.
    NameTaken {
        /// The nickname.
        name: T,
    },
    /// Nobody goes by that name.
    NoSuchUser {
        /// What was typed.
        name: T,
    },
    /// No room goes by that name.
    NoSuchRoom {
        /// What was typed.
        name: T,
    },
    /// The move leads where the asker is already.
    AlreadyIn {
        /// The room's name.
        room: T,
    },
    /// No further room can be made.
    TooManyRooms,
    /// The client is in as many rooms as it may be (`limits::ROOMS_PER_CLIENT_MAX`).
    TooManyJoined,
    /// A line was refused for its length.
    LineTooLong,
    /// What came is nothing in the client's dialect.
    Invalid,
    /// To one who asked for rich mode, or for its end.
    Rich {
        /// What has become of that.
        mode: RichMode,
    },
    /// So many lines of a room were passed over: the reader was too slow for them.
    Skipped {
        /// How many.
        lines: u64,
    },
    /// The last line of a connection that the server ends.
    Closing {
        /// Why.
        reason: CloseReason,
    },
}

/// How it stands with a client's rich mode, in which the server edits the line being typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RichMode {
    /// The client was asked.
    Asked,
    /// It is on.
    On,
    /// It is off.
    Off,
    /// The client does not agree to it.
    Refused,
    /// The client says that it is a MUD client, which edits lines itself.
    MudClient,
}

/// Why a connection ended. Each has a counter, a word for the log, and, where the server ends it, a
/// sentence for the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CloseReason {
    /// The other end closed.
    EndOfFile,
    /// The other end said `/quit`.
    Quit,
    /// The connection broke.
    Reset,
    /// It stopped answering: the kernel gave up on it.
    TimedOut,
    /// It read too slowly.
    Slow,
    /// It read slowly, and memory was short.
    Shed,
    /// It sent without ever ending a line.
    EndlessLine,
    /// It sent faster than the server could stop reading.
    Flood,
    /// It spoke another protocol.
    Foreign,
    /// There was no room for it.
    Full,
    /// Its address had as many connections as one may have.
    AddressFull,
    /// Its address connected too often.
    AddressRate,
    /// The server stopped.
    Stop,
    /// The server could not go on with it: memory was short, or a bug was caught.
    Internal,
}

impl CloseReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::EndOfFile,
        Self::Quit,
        Self::Reset,
        Self::TimedOut,
        Self::Slow,
        Self::Shed,
        Self::EndlessLine,
        Self::Flood,
        Self::Foreign,
        Self::Full,
        Self::AddressFull,
        Self::AddressRate,
        Self::Stop,
        Self::Internal,
    ];

    /// The word that stands for it in the log and in the metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::EndOfFile => "eof",
            Self::Quit => "quit",
            Self::Reset => "reset",
            Self::TimedOut => "timeout",
            Self::Slow => "slow",
            Self::Shed => "shed",
            Self::EndlessLine => "endless_line",
            Self::Flood => "flood",
            Self::Foreign => "foreign",
            Self::Full => "full",
            Self::AddressFull => "address_full",
            Self::AddressRate => "address_rate",
            Self::Stop => "stop",
            Self::Internal => "internal",
        }
    }
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
            Self::Tick => Event::Tick,
            Self::Stop => Event::Stop,
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
            Self::Say { room, author, message } => {
                Action::Say { room: *room, author: *author, message: message.map(text_of) }
            }
            Self::Hold { room, on } => Action::Hold { room: *room, on: *on },
            Self::Rich { conn, on } => Action::Rich { conn: *conn, on: *on },
            Self::Close { conn } => Action::Close { conn: *conn },
            Self::Stop => Action::Stop,
        }
    }
}

impl<T> Message<T> {
    /// The same message with its texts in another form.
    pub fn map<U>(&self, mut text_of: impl FnMut(&T) -> U) -> Message<U> {
        match self {
            Self::Welcome => Message::Welcome,
            Self::Joined { name } => Message::Joined { name: text_of(name) },
            Self::Left { name } => Message::Left { name: text_of(name) },
            Self::Presence { joined, left, renamed, members } => Message::Presence {
                joined: *joined,
                left: *left,
                renamed: *renamed,
                members: *members,
            },
            Self::Said { author, text } => {
                Message::Said { author: text_of(author), text: text_of(text) }
            }
            Self::Framed { author, text } => {
                Message::Framed { author: text_of(author), text: text_of(text) }
            }
            Self::Renamed { old, new } => Message::Renamed { old: text_of(old), new: text_of(new) },
            Self::Direct { author, text } => {
                Message::Direct { author: text_of(author), text: text_of(text) }
            }
            Self::DirectSent { to, text } => {
                Message::DirectSent { to: text_of(to), text: text_of(text) }
            }
            Self::Help => Message::Help,
            Self::YouAre { name } => Message::YouAre { name: text_of(name) },
            Self::YouAreIn { room, members } => {
                Message::YouAreIn { room: text_of(room), members: *members }
            }
            Self::Who { room, members } => Message::Who { room: text_of(room), members: *members },
            Self::WhoEntry { name } => Message::WhoEntry { name: text_of(name) },
            Self::Rooms { count } => Message::Rooms { count: *count },
            Self::RoomsEntry { room, members } => {
                Message::RoomsEntry { room: text_of(room), members: *members }
            }
            Self::AndMore { count } => Message::AndMore { count: *count },
            Self::Goodbye => Message::Goodbye,
            Self::Here => Message::Here,
            Self::Stopping => Message::Stopping,
            Self::UnknownCommand { name } => Message::UnknownCommand { name: text_of(name) },
            Self::Usage { form } => Message::Usage { form },
            Self::BadName { name } => Message::BadName { name: text_of(name) },
            Self::NameTaken { name } => Message::NameTaken { name: text_of(name) },
            Self::NoSuchUser { name } => Message::NoSuchUser { name: text_of(name) },
            Self::NoSuchRoom { name } => Message::NoSuchRoom { name: text_of(name) },
            Self::AlreadyIn { room } => Message::AlreadyIn { room: text_of(room) },
            Self::TooManyRooms => Message::TooManyRooms,
            Self::TooManyJoined => Message::TooManyJoined,
            Self::LineTooLong => Message::LineTooLong,
            Self::Invalid => Message::Invalid,
            Self::Rich { mode } => Message::Rich { mode: *mode },
            Self::Skipped { lines } => Message::Skipped { lines: *lines },
            Self::Closing { reason } => Message::Closing { reason: *reason },
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
