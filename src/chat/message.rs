//! What people are told, without the words.

use serde::{Deserialize, Serialize};

use super::close_reason::CloseReason;
use super::looks::Nicknames;

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
    /// To the others in a room: what somebody does.
    Acted {
        /// Their name.
        author: T,
        /// What, as the name's predicate.
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
    /// What a command does.
    HelpOn {
        /// How it is written, one of `command_forms`.
        form: &'static str,
    },
    /// The message of the day. Its text is the engine's; without one, that there is none.
    Motd,
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
        /// Whether they are away.
        away: bool,
    },
    /// To one who asks for somebody: a room they are in.
    IsIn {
        /// Their name.
        name: T,
        /// The room's name.
        room: T,
    },
    /// The same: they are in none.
    IsNowhere {
        /// Their name.
        name: T,
    },
    /// To one who asks for somebody or writes to them: they are away.
    IsAway {
        /// Their name.
        name: T,
        /// Why; may be empty.
        text: T,
    },
    /// To one who said so: they count as away.
    YouAreAway {
        /// Why; may be empty.
        text: T,
    },
    /// To one who was away: they count as here.
    YouAreBack,
    /// The same, to one who was not away.
    YouAreHere,
    /// What a room is about.
    Topic {
        /// The room's name.
        room: T,
        /// May be empty: nobody said what.
        topic: T,
    },
    /// To a room: what it is about from now on.
    TopicSet {
        /// Who says so.
        name: T,
        /// Empty: nothing any more.
        topic: T,
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
        /// What it is about; may be empty.
        topic: T,
    },
    /// The head of a room's last lines.
    PastHead {
        /// The room's name.
        room: T,
        /// How many lines follow.
        lines: u32,
    },
    /// One of them.
    Past {
        /// When it was said: minutes since midnight, UTC.
        minute: u16,
        /// Its author's name at that time.
        author: T,
        /// Whether it was said or done.
        what: What,
        /// The line.
        text: T,
    },
    /// To one who said so: they are told a room's last lines when they join it, or not.
    HistoryIs {
        /// Whether they are.
        on: bool,
    },
    /// To one who said so: their lines begin with the time, or not.
    TimeIs {
        /// Whether they do.
        on: bool,
    },
    /// To one who said so: they are told what somebody does no longer, or again.
    IgnoreIs {
        /// The other's name.
        name: T,
        /// Whether they are told no longer.
        on: bool,
    },
    /// The head of the list of those somebody ignores.
    Ignored {
        /// How many there are.
        count: u32,
    },
    /// One of them.
    IgnoredEntry {
        /// Their name.
        name: T,
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
    /// A slash without a word.
    NoCommand,
    /// A command was given too little or too much.
    Usage {
        /// How it is written.
        form: &'static str,
    },
    /// The name asked for cannot be one.
    BadName {
        /// What was typed.
        name: T,
        /// What a name may be made of.
        letters: Nicknames,
    },
    /// Somebody else has the nickname.
    NameTaken {
        /// The nickname.
        name: T,
        /// One like it that nobody has, if one was found.
        free: Option<T>,
    },
    /// Nobody goes by that name.
    NoSuchUser {
        /// What was typed.
        name: T,
    },
    /// Nobody wrote to the one who wants to reply, or they are gone.
    NobodyToReplyTo,
    /// To the author of a direct message: its reader ignores them, and was not told of it.
    IgnoresYou {
        /// The reader's name.
        name: T,
    },
    /// Nobody ignores themselves.
    CannotIgnore,
    /// No further person can be ignored (`limits::IGNORED_MAX`).
    TooManyIgnored,
    /// A topic or a reason was refused for its length (`limits::REMARK_LEN_MAX`).
    RemarkTooLong,
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

/// What a line is to its author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// Words.
    Said,
    /// A deed.
    Acted,
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
            Self::Acted { author, text } => {
                Message::Acted { author: text_of(author), text: text_of(text) }
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
            Self::HelpOn { form } => Message::HelpOn { form },
            Self::Motd => Message::Motd,
            Self::YouAre { name } => Message::YouAre { name: text_of(name) },
            Self::YouAreIn { room, members } => {
                Message::YouAreIn { room: text_of(room), members: *members }
            }
            Self::Who { room, members } => Message::Who { room: text_of(room), members: *members },
            Self::WhoEntry { name, away } => Message::WhoEntry { name: text_of(name), away: *away },
            Self::IsIn { name, room } => Message::IsIn { name: text_of(name), room: text_of(room) },
            Self::IsNowhere { name } => Message::IsNowhere { name: text_of(name) },
            Self::IsAway { name, text } => {
                Message::IsAway { name: text_of(name), text: text_of(text) }
            }
            Self::YouAreAway { text } => Message::YouAreAway { text: text_of(text) },
            Self::YouAreBack => Message::YouAreBack,
            Self::YouAreHere => Message::YouAreHere,
            Self::Topic { room, topic } => {
                Message::Topic { room: text_of(room), topic: text_of(topic) }
            }
            Self::TopicSet { name, topic } => {
                Message::TopicSet { name: text_of(name), topic: text_of(topic) }
            }
            Self::Rooms { count } => Message::Rooms { count: *count },
            Self::RoomsEntry { room, members, topic } => Message::RoomsEntry {
                room: text_of(room),
                members: *members,
                topic: text_of(topic),
            },
            Self::PastHead { room, lines } => {
                Message::PastHead { room: text_of(room), lines: *lines }
            }
            Self::Past { minute, author, what, text } => Message::Past {
                minute: *minute,
                author: text_of(author),
                what: *what,
                text: text_of(text),
            },
            Self::TimeIs { on } => Message::TimeIs { on: *on },
            Self::HistoryIs { on } => Message::HistoryIs { on: *on },
            Self::IgnoreIs { name, on } => Message::IgnoreIs { name: text_of(name), on: *on },
            Self::Ignored { count } => Message::Ignored { count: *count },
            Self::IgnoredEntry { name } => Message::IgnoredEntry { name: text_of(name) },
            Self::AndMore { count } => Message::AndMore { count: *count },
            Self::Goodbye => Message::Goodbye,
            Self::Here => Message::Here,
            Self::Stopping => Message::Stopping,
            Self::UnknownCommand { name } => Message::UnknownCommand { name: text_of(name) },
            Self::NoCommand => Message::NoCommand,
            Self::Usage { form } => Message::Usage { form },
            Self::BadName { name, letters } => {
                Message::BadName { name: text_of(name), letters: *letters }
            }
            Self::NameTaken { name, free } => {
                Message::NameTaken { name: text_of(name), free: free.as_ref().map(text_of) }
            }
            Self::NoSuchUser { name } => Message::NoSuchUser { name: text_of(name) },
            Self::NobodyToReplyTo => Message::NobodyToReplyTo,
            Self::IgnoresYou { name } => Message::IgnoresYou { name: text_of(name) },
            Self::CannotIgnore => Message::CannotIgnore,
            Self::TooManyIgnored => Message::TooManyIgnored,
            Self::RemarkTooLong => Message::RemarkTooLong,
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
