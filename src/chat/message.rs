//! What people are told, without the words.

use super::close_reason::CloseReason;

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
            Self::Skipped { lines } => Message::Skipped { lines: *lines },
            Self::Closing { reason } => Message::Closing { reason: *reason },
        }
    }
}
