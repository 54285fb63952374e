//! Messages to words.
//!
//! Nothing but what people write begins with `[`, so nobody can pass a line off as the server's,
//! nor the server's as somebody else's.

use std::io::Write;

use crate::chat::Message;
use crate::dialect::words::{self, put};

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
  /rich on|off     edit your line on the server, under what arrives\r
  /quit            end the connection (also /logout)\r
Everything else goes to the others in your room.\r
To begin a line with a slash, write two: //like this\r
";

/// Appends the message in telnet's words, CR LF at each line's end.
pub fn render(message: &Message<&str>, out: &mut Vec<u8>) {
    match *message {
        Message::Said { author, text } => put!(out, "[{author}] {text}\r\n"),
        Message::Framed { author, text } => {
            for line in words::lines(text) {
                put!(out, "[{author}] {line}\r\n");
            }
        }
        Message::Direct { author, text } => put!(out, "[{author} -> you] {text}\r\n"),
        Message::DirectSent { to, text } => put!(out, "[you -> {to}] {text}\r\n"),
        Message::Help => out.extend_from_slice(HELP.as_bytes()),
        _ => {
            words::write(message, out);
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::CloseReason;
    use crate::dialect::tests::every_message;
    use crate::limits::HELP_LEN_MAX;

    fn rendered(message: &Message<&str>) -> String {
        let mut out = Vec::new();
        render(message, &mut out);
        String::from_utf8(out).expect("messages are text")
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
            (TooManyJoined, "You are in 20 rooms already: one cannot be in more"),
            (Invalid, "Invalid format message"),
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
    fn each_line_of_a_framed_text_has_its_author() {
        for (text, lines) in [
            ("hi", "[plato] hi\r\n"),
            ("hi\n", "[plato] hi\r\n"),
            ("", "[plato] \r\n"),
            ("\n", "[plato] \r\n"),
            ("one\n\n[solon] two\n", "[plato] one\r\n[plato] \r\n[plato] [solon] two\r\n"),
        ] {
            assert_eq!(rendered(&Message::Framed { author: "plato", text }), lines, "{text:?}");
        }
    }

    #[test]
    fn only_what_people_write_begins_with_a_bracket() {
        for message in every_message("[::1]:9", "text", 1) {
            let is_theirs = matches!(
                message,
                Message::Said { .. }
                    | Message::Framed { .. }
                    | Message::Direct { .. }
                    | Message::DirectSent { .. }
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
