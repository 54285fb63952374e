//! The words that the dialects share: a message as one line without its end. What a dialect says in
//! a way of its own, it says before it comes here.

use std::fmt;
use std::io::Write;

use crate::chat::{CloseReason, Message, Nicknames, RESERVED_NAMES, RichMode, What};
use crate::limits::{
    IGNORED_MAX, INPUT_LEN_MAX, LINE_LEN_MAX, NAME_LEN_MAX, REMARK_LEN_MAX, ROOMS_MAX,
    ROOMS_PER_CLIENT_MAX,
};

/// Writes a text of ours.
macro_rules! put {
    ($out:expr, $($words:tt)*) => {
        write!($out, $($words)*).expect("a Vec takes whatever is written")
    };
}
pub(super) use put;

/// Appends the message's words. Only a text can hold a line end, and only if it was framed.
pub(super) fn write(message: &Message<&str>, out: &mut Vec<u8>) {
    use Message as M;
    match *message {
        M::Said { author, text } | M::Framed { author, text } | M::Direct { author, text } => {
            put!(out, "{author} said : {text}");
        }
        M::Acted { author, text } => put!(out, "* {author} {text}"),
        M::DirectSent { to, text } => put!(out, "you said to {to} : {text}"),
        M::Welcome => put!(out, "You're connected to the chatd chatserver"),
        M::Joined { name } => put!(out, "Client joined {name}"),
        M::Left { name } => put!(out, "Client left {name}"),
        M::Renamed { old, new } => put!(out, "{} is now {new}", Client(old)),
        M::Presence { joined, left, renamed, members } => {
            presence(out, [(joined, "joined"), (left, "left"), (renamed, "renamed")], members);
        }
        M::Help => put!(out, "Write what this port takes; there are no commands"),
        M::HelpOn { form } => put!(out, "Usage: {form}"),
        // Where there is one, it stands among the texts that everybody is sent.
        M::Motd => put!(out, "There is no message of the day"),
        M::YouAre { name } => put!(out, "You are {name}"),
        M::YouAreIn { room, members } => you_are_in(out, room, members),
        M::Who { room, members } => put!(out, "{members} in {room}:"),
        M::WhoEntry { name, away: false } => put!(out, "  {name}"),
        M::WhoEntry { name, away: true } => put!(out, "  {name} (away)"),
        M::IsIn { name, room } => put!(out, "{} is in {room}", Client(name)),
        M::IsNowhere { name } => put!(out, "{} is in no room", Client(name)),
        M::IsAway { name, text } => put!(out, "{} is away{}", Client(name), Remark(text)),
        M::YouAreAway { text } => put!(out, "You are marked away{}", Remark(text)),
        M::YouAreBack => put!(out, "You are marked away no longer"),
        M::YouAreHere => put!(out, "You were not marked away"),
        M::Topic { room, topic: "" } => put!(out, "There is no topic in {room}"),
        M::Topic { room, topic } => put!(out, "The topic of {room}: {topic}"),
        M::TopicSet { name, topic: "" } => put!(out, "{} removed the topic", Client(name)),
        M::TopicSet { name, topic } => put!(out, "{} set the topic: {topic}", Client(name)),
        M::Rooms { count: 1 } => put!(out, "1 room:"),
        M::Rooms { count } => put!(out, "{count} rooms:"),
        M::RoomsEntry { room, members, topic } => {
            put!(out, "  {room} ({members}){}", Remark(topic));
        }
        M::PastHead { room, lines: 0 } => put!(out, "No lines of {room} are kept"),
        M::PastHead { room, lines: 1 } => put!(out, "The last line of {room} (UTC):"),
        M::PastHead { room, lines } => put!(out, "The last {lines} lines of {room} (UTC):"),
        M::Past { minute, author, what, text } => {
            put!(out, "  {:02}:{:02} ", minute / 60, minute % 60);
            match what {
                What::Said => put!(out, "[{author}] {text}"),
                What::Acted => put!(out, "* {author} {text}"),
            }
        }
        M::TimeIs { on: true } => put!(out, "Lines begin with the time, UTC"),
        M::TimeIs { on: false } => put!(out, "Lines begin without the time"),
        M::HistoryIs { on: true } => put!(out, "You are shown the last lines of a room you join"),
        M::HistoryIs { on: false } => {
            put!(out, "You are not shown the last lines of a room you join");
        }
        M::IgnoreIs { name, on: true } => put!(out, "You ignore {name}"),
        M::IgnoreIs { name, on: false } => put!(out, "You do not ignore {name}"),
        M::Ignored { count: 0 } => put!(out, "You ignore nobody"),
        M::Ignored { count } => put!(out, "You ignore {count}:"),
        M::IgnoredEntry { name } => put!(out, "  {name}"),
        M::AndMore { count } => put!(out, "  and {count} more"),
        M::Goodbye => put!(out, "Goodbye"),
        M::Here => put!(out, "Yes, chatd is here"),
        M::Stopping => closing(out, CloseReason::Stop),
        M::UnknownCommand { name } => put!(out, "Unknown command: {name}"),
        M::NoCommand => put!(
            out,
            "A command follows its slash at once: /help lists them. To say a slash, write two"
        ),
        M::Usage { form } => put!(out, "Usage: {form}"),
        M::BadName { name, letters } => {
            put!(out, "Not a name: {name}. A name is ");
            name_rule(letters, out);
        }
        M::NameTaken { name, free: None } => put!(out, "Somebody else is called {name}"),
        M::NameTaken { name, free: Some(free) } => {
            put!(out, "Somebody else is called {name}; {free} is free");
        }
        M::NoSuchUser { name } => put!(out, "Nobody here is called {name}"),
        M::NobodyToReplyTo => put!(out, "Nobody wrote to you, or they are gone"),
        M::IgnoresYou { name } => {
            put!(out, "{} ignores you: that was not delivered", Client(name));
        }
        M::CannotIgnore => put!(out, "You cannot ignore yourself"),
        M::TooManyIgnored => {
            put!(out, "You ignore {IGNORED_MAX} people already: /unignore one of them first");
        }
        M::RemarkTooLong => put!(out, "That was over {REMARK_LEN_MAX} bytes and was not kept"),
        M::NoSuchRoom { name } => put!(out, "There is no room {name}"),
        M::AlreadyIn { room } => put!(out, "You are in {room} already"),
        M::TooManyRooms => put!(out, "There are {ROOMS_MAX} rooms already: no more can be made"),
        M::TooManyJoined => {
            put!(out, "You are in {ROOMS_PER_CLIENT_MAX} rooms already: one cannot be in more");
        }
        M::LineTooLong => put!(out, "That line was over {LINE_LEN_MAX} bytes and was not sent"),
        M::Invalid => put!(out, "Invalid format message"),
        M::Rich { mode } => put!(out, "{}", rich_mode(mode)),
        M::Skipped { lines: 1 } => put!(out, "(1 line skipped: your connection is slow)"),
        M::Skipped { lines } => put!(out, "({lines} lines skipped: your connection is slow)"),
        M::Closing { reason } => closing(out, reason),
    }
}

/// The lines of a framed text: what follows the last line end is one only if it is not empty.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.strip_suffix('\n').unwrap_or(text).split('\n')
}

/// What can be a nickname.
pub(super) fn name_rule(letters: Nicknames, out: &mut Vec<u8>) {
    let [others @ .., last] = RESERVED_NAMES;
    let others = others.join(", ");
    put!(out, "1 to {NAME_LEN_MAX} letters, digits, - or _");
    if letters == Nicknames::Unicode {
        // Two bytes for each Greek or Cyrillic letter, three for each Chinese one.
        let (two, three) = (NAME_LEN_MAX / 2, NAME_LEN_MAX / 3);
        put!(out, " of one script ({two} in Greek or Cyrillic, {three} in Chinese)");
    }
    put!(out, ", and no nickname is {others} or {last}");
}

/// A name at the beginning of a line.
struct Client<'a>(&'a str);

impl fmt::Display for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An IPv6 address brings its own bracket, which must not stand first.
        let client = if self.0.starts_with('[') { "Client " } else { "" };
        write!(f, "{client}{}", self.0)
    }
}

/// What may be said behind a line of ours.
struct Remark<'a>(&'a str);

impl fmt::Display for Remark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

fn rich_mode(mode: RichMode) -> &'static str {
    match mode {
        RichMode::Asked => {
            "Asked your client for rich mode. If nothing happens, it does not know it"
        }
        RichMode::On => "Rich mode is on: /rich off ends it",
        RichMode::Off => "Rich mode is off",
        RichMode::Refused => "Your client does not agree to rich mode: it stays as it is",
        RichMode::MudClient => {
            "Your client is a MUD client, which edits lines itself: no rich mode"
        }
    }
}

fn presence(out: &mut Vec<u8>, parts: [(u32, &str); 3], members: u32) {
    let mut mark = "";
    for (count, what) in parts.into_iter().filter(|(count, _)| *count > 0) {
        put!(out, "{mark}{count} {what}");
        mark = ", ";
    }
    let mark = if mark.is_empty() { "" } else { "; " };
    put!(out, "{mark}{members} here");
}

fn you_are_in(out: &mut Vec<u8>, room: &str, members: u32) {
    match members.saturating_sub(1) {
        0 => put!(out, "You are alone in {room}"),
        1 => put!(out, "You are in {room} with 1 other"),
        others => put!(out, "You are in {room} with {others} others"),
    }
}

fn closing(out: &mut Vec<u8>, reason: CloseReason) {
    let words = match reason {
        CloseReason::Slow | CloseReason::Shed => "You read too slowly. Goodbye",
        CloseReason::EndlessLine => {
            return put!(out, "You sent {INPUT_LEN_MAX} bytes without ending a line. Goodbye");
        }
        CloseReason::Flood => "You sent faster than the server could take it. Goodbye",
        CloseReason::Foreign => "This is a chat server: telnet or nc, please",
        CloseReason::Full => "The server is full. Try again later",
        CloseReason::AddressFull => "Too many connections from your address. Close one first",
        CloseReason::AddressRate => "Too many connections from your address. Try again in a minute",
        CloseReason::Stop => "The server is stopping. Goodbye",
        CloseReason::Internal => "The server made a mistake and must close this. Goodbye",
        CloseReason::EndOfFile | CloseReason::Quit | CloseReason::Reset | CloseReason::TimedOut => {
            "Goodbye"
        }
    };
    put!(out, "{words}");
}
