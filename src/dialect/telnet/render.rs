//! Messages to words.
//!
//! Nothing but what people write begins with `[`, so nobody can pass a line off as the server's,
//! nor the server's as somebody else's.

use std::fmt::Arguments;
use std::io::Write;

use crate::chat::{CloseReason, Message, RESERVED_NAMES};
use crate::limits::{INPUT_LEN_MAX, LINE_LEN_MAX, NAME_LEN_MAX, ROOMS_MAX};

const HELP: &str = "\
Commands:\r
  /help            this list\r
  /nick NAME       take a nickname (also /login NAME)\r
  /join ROOM       go to a room; it is made if there is none of that name\r
  /leave           go back to the lobby (also /back)\r
  /ROOM            go to a room that is always there, such as /lobby\r
  /rooms           list the rooms\r
  /who [ROOM]      list who is in your room, or in another (also /online)\r
  /msg NAME TEXT   write to one person only\r
  /quit            end the connection (also /logout)\r
Everything else goes to the others in your room.\r
To begin a line with a slash, write two: //like this\r
";

/// Appends the message in telnet's words, CR LF at each line's end.
pub fn render(message: &Message<&str>, out: &mut Vec<u8>) {
    use Message as M;
    match *message {
        M::Said { author, text } => line(out, format_args!("[{author}] {text}")),
        M::Direct { author, text } => line(out, format_args!("[{author} -> you] {text}")),
        M::DirectSent { to, text } => line(out, format_args!("[you -> {to}] {text}")),
        M::Welcome => line(out, format_args!("You're connected to the chatd chatserver")),
        M::Joined { name } => line(out, format_args!("Client joined {name}")),
        M::Left { name } => line(out, format_args!("Client left {name}")),
        M::Renamed { old, new } => renamed(out, old, new),
        M::Presence { joined, left, renamed, members } => {
            presence(out, [(joined, "joined"), (left, "left"), (renamed, "renamed")], members);
        }
        M::Help => out.extend_from_slice(HELP.as_bytes()),
        M::YouAre { name } => line(out, format_args!("You are {name}")),
        M::YouAreIn { room, members } => you_are_in(out, room, members),
        M::Who { room, members } => line(out, format_args!("{members} in {room}:")),
        M::WhoEntry { name } => line(out, format_args!("  {name}")),
        M::Rooms { count: 1 } => line(out, format_args!("1 room:")),
        M::Rooms { count } => line(out, format_args!("{count} rooms:")),
        M::RoomsEntry { room, members } => line(out, format_args!("  {room} ({members})")),
        M::AndMore { count } => line(out, format_args!("  and {count} more")),
        M::Goodbye => line(out, format_args!("Goodbye")),
        M::Here => line(out, format_args!("Yes, chatd is here")),
        M::Stopping => closing(out, CloseReason::Stop),
        M::UnknownCommand { name } => line(out, format_args!("Unknown command: {name}")),
        M::Usage { form } => line(out, format_args!("Usage: {form}")),
        M::BadName { name } => bad_name(out, name),
        M::NameTaken { name } => line(out, format_args!("Somebody else is called {name}")),
        M::NoSuchUser { name } => line(out, format_args!("Nobody here is called {name}")),
        M::NoSuchRoom { name } => line(out, format_args!("There is no room {name}")),
        M::AlreadyIn { room } => line(out, format_args!("You are in {room} already")),
        M::TooManyRooms => {
            line(out, format_args!("There are {ROOMS_MAX} rooms already: no more can be made"));
        }
        M::LineTooLong => {
            line(out, format_args!("That line was over {LINE_LEN_MAX} bytes and was not sent"));
        }
        M::Skipped { lines: 1 } => {
            line(out, format_args!("(1 line skipped: your connection is slow)"));
        }
        M::Skipped { lines } => {
            line(out, format_args!("({lines} lines skipped: your connection is slow)"));
        }
        M::Closing { reason } => closing(out, reason),
    }
}

fn line(out: &mut Vec<u8>, words: Arguments<'_>) {
    out.write_fmt(words).expect("a Vec takes whatever is written");
    out.extend_from_slice(b"\r\n");
}

fn renamed(out: &mut Vec<u8>, old: &str, new: &str) {
    // An IPv6 address brings its own bracket, which must not stand first.
    let client = if old.starts_with('[') { "Client " } else { "" };
    line(out, format_args!("{client}{old} is now {new}"));
}

fn presence(out: &mut Vec<u8>, parts: [(u32, &str); 3], members: u32) {
    let mut mark = "";
    for (count, what) in parts.into_iter().filter(|(count, _)| *count > 0) {
        write!(out, "{mark}{count} {what}").expect("a Vec takes whatever is written");
        mark = ", ";
    }
    let mark = if mark.is_empty() { "" } else { "; " };
    line(out, format_args!("{mark}{members} here"));
}

fn you_are_in(out: &mut Vec<u8>, room: &str, members: u32) {
    match members.saturating_sub(1) {
        0 => line(out, format_args!("You are alone in {room}")),
        1 => line(out, format_args!("You are in {room} with 1 other")),
        others => line(out, format_args!("You are in {room} with {others} others")),
    }
}

fn bad_name(out: &mut Vec<u8>, name: &str) {
    let [first, second, third, fourth] = RESERVED_NAMES;
    line(
        out,
        format_args!(
            "Not a name: {name}. A name is 1 to {NAME_LEN_MAX} letters, digits, - or _, \
             and no nickname is {first}, {second}, {third} or {fourth}"
        ),
    );
}

fn closing(out: &mut Vec<u8>, reason: CloseReason) {
    let words = match reason {
        CloseReason::Slow => "You read too slowly. Goodbye",
        CloseReason::EndlessLine => {
            return line(
                out,
                format_args!("You sent {INPUT_LEN_MAX} bytes without ending a line. Goodbye"),
            );
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
    line(out, format_args!("{words}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{ECHO_LEN_MAX, HELP_LEN_MAX, RENDERED_LEN_MAX, SHOWN_NAME_LEN_MAX};

    fn rendered(message: &Message<&str>) -> String {
        let mut out = Vec::new();
        render(message, &mut out);
        String::from_utf8(out).expect("messages are text")
    }

    /// Every kind of message, with these texts and numbers in it.
    fn every_message<'a>(name: &'a str, text: &'a str, count: u32) -> Vec<Message<&'a str>> {
        use Message::*;
        let echo = &name[..name.floor_char_boundary(ECHO_LEN_MAX)];
        let mut messages = vec![
            Welcome,
            Joined { name },
            Left { name },
            Presence { joined: count, left: count, renamed: count, members: count },
            Said { author: name, text },
            Renamed { old: name, new: name },
            Direct { author: name, text },
            DirectSent { to: name, text },
            Help,
            YouAre { name },
            YouAreIn { room: name, members: count },
            Who { room: name, members: count },
            WhoEntry { name },
            Rooms { count },
            RoomsEntry { room: name, members: count },
            AndMore { count },
            Goodbye,
            Here,
            Stopping,
            UnknownCommand { name: echo },
            Usage { form: "/msg NAME TEXT" },
            BadName { name: echo },
            NameTaken { name },
            NoSuchUser { name: echo },
            NoSuchRoom { name: echo },
            AlreadyIn { room: name },
            TooManyRooms,
            LineTooLong,
            Skipped { lines: u64::MAX },
        ];
        messages.extend(CloseReason::ALL.map(|reason| Closing { reason }));
        messages
    }

    #[test]
    fn words() {
        use Message::*;
        let name = "plato";
        let room = "python";
        let (joined, left, renamed, members) = (3, 1, 2, 1200);
        for (message, words) in [
            (Welcome, "You're connected to the chatd chatserver"),
            (Joined { name }, "Client joined plato"),
            (Left { name }, "Client left plato"),
            (Said { author: name, text: "[hi]" }, "[plato] [hi]"),
            (Said { author: "[::1]:9", text: "hi" }, "[[::1]:9] hi"),
            (Presence { joined, left, renamed, members }, "3 joined, 1 left, 2 renamed; 1200 here"),
            (Presence { joined, left: 0, renamed: 0, members }, "3 joined; 1200 here"),
            (Presence { joined: 0, left, renamed: 0, members: 7 }, "1 left; 7 here"),
            (Presence { joined: 0, left, renamed, members }, "1 left, 2 renamed; 1200 here"),
            (Renamed { old: "127.0.0.1:9", new: name }, "127.0.0.1:9 is now plato"),
            (Renamed { old: "[::1]:9", new: name }, "Client [::1]:9 is now plato"),
            (Direct { author: name, text: "hi" }, "[plato -> you] hi"),
            (DirectSent { to: name, text: "hi" }, "[you -> plato] hi"),
            (YouAre { name }, "You are plato"),
            (YouAreIn { room, members: 1 }, "You are alone in python"),
            (YouAreIn { room, members: 2 }, "You are in python with 1 other"),
            (YouAreIn { room, members: 3 }, "You are in python with 2 others"),
            (Who { room, members: 2 }, "2 in python:"),
            (WhoEntry { name }, "  plato"),
            (Rooms { count: 1 }, "1 room:"),
            (Rooms { count: 2 }, "2 rooms:"),
            (RoomsEntry { room, members: 2 }, "  python (2)"),
            (AndMore { count: 5 }, "  and 5 more"),
            (Goodbye, "Goodbye"),
            (Here, "Yes, chatd is here"),
            (Stopping, "The server is stopping. Goodbye"),
            (UnknownCommand { name: "foo" }, "Unknown command: foo"),
            (Usage { form: "/nick NAME" }, "Usage: /nick NAME"),
            (
                BadName { name: "a b" },
                "Not a name: a b. A name is 1 to 20 letters, digits, - or _, \
                 and no nickname is all, chatd, server or system",
            ),
            (NameTaken { name }, "Somebody else is called plato"),
            (NoSuchUser { name }, "Nobody here is called plato"),
            (NoSuchRoom { name: room }, "There is no room python"),
            (AlreadyIn { room }, "You are in python already"),
            (TooManyRooms, "There are 65536 rooms already: no more can be made"),
            (LineTooLong, "That line was over 1024 bytes and was not sent"),
            (Skipped { lines: 1 }, "(1 line skipped: your connection is slow)"),
            (Skipped { lines: 3 }, "(3 lines skipped: your connection is slow)"),
            (Closing { reason: CloseReason::Slow }, "You read too slowly. Goodbye"),
            (
                Closing { reason: CloseReason::EndlessLine },
                "You sent 4096 bytes without ending a line. Goodbye",
            ),
            (
                Closing { reason: CloseReason::Foreign },
                "This is a chat server: telnet or nc, please",
            ),
            (Closing { reason: CloseReason::Full }, "The server is full. Try again later"),
            (Closing { reason: CloseReason::Stop }, "The server is stopping. Goodbye"),
            (Closing { reason: CloseReason::Reset }, "Goodbye"),
        ] {
            assert_eq!(rendered(&message), format!("{words}\r\n"));
        }
    }

    #[test]
    fn every_message_but_help_is_one_line_of_bounded_length() {
        let name = "[1111:2222:3333:4444:5555:6666:7777:8888]:65535";
        assert_eq!(name.len(), SHOWN_NAME_LEN_MAX);
        let text = "x".repeat(LINE_LEN_MAX);
        for message in every_message(name, &text, u32::MAX) {
            let words = rendered(&message);
            let body = words.strip_suffix("\r\n").expect("a line has its end");
            if message != Message::Help {
                assert!(words.len() <= RENDERED_LEN_MAX, "{message:?}: {}", words.len());
                assert!(!body.contains(['\r', '\n']), "{message:?}");
            }
        }
    }

    #[test]
    fn only_what_people_write_begins_with_a_bracket() {
        for message in every_message("[::1]:9", "text", 1) {
            let is_theirs = matches!(
                message,
                Message::Said { .. } | Message::Direct { .. } | Message::DirectSent { .. }
            );
            for words in rendered(&message).lines() {
                assert_eq!(words.starts_with('['), is_theirs, "{message:?}: {words}");
            }
        }
    }

    #[test]
    fn help_fits_a_screen() {
        let help = rendered(&Message::Help);
        assert!(help.len() <= HELP_LEN_MAX);
        assert!(help.ends_with("\r\n"));
        assert!(help.matches('\n').count() <= 24);
        for words in help.split_terminator("\r\n") {
            assert!(!words.contains(['\r', '\n']) && words.len() <= 78, "{words:?}");
        }
    }
}
