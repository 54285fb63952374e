//! Messages to words.
//!
//! Nothing but what people write begins with `[` or `*`, so nobody can pass a line off as the
//! server's, nor the server's as somebody else's.

use std::io::Write;

use super::help;

use crate::chat::Message;
use crate::dialect::words::{self, put};

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
        Message::Help => out.extend_from_slice(help::LIST.as_bytes()),
        Message::HelpOn { form } => {
            help::write(form, out);
            out.extend_from_slice(b"\r\n");
        }
        _ => {
            words::write(message, out);
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Nicknames;
    use crate::chat::{CloseReason, What};
    use crate::dialect::tests::every_message;

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
            (Acted { author: name, text: "waves" }, "* plato waves"),
            (Acted { author: "[::1]:9", text: "waves" }, "* [::1]:9 waves"),
            (Renamed { old: "127.0.0.1:9", new: name }, "127.0.0.1:9 is now plato"),
            (Renamed { old: "[::1]:9", new: name }, "Client [::1]:9 is now plato"),
            (Direct { author: name, text: "hi" }, "[plato -> you] hi"),
            (DirectSent { to: name, text: "hi" }, "[you -> plato] hi"),
            (YouAre { name }, "You are plato"),
            (YouAreIn { room, members: 1 }, "You are alone in python"),
            (YouAreIn { room, members: 2 }, "You are in python with 1 other"),
            (YouAreIn { room, members: 3 }, "You are in python with 2 others"),
            (Who { room, members: 2 }, "2 in python:"),
            (WhoEntry { name, away: false }, "  plato"),
            (WhoEntry { name, away: true }, "  plato (away)"),
            (IsIn { name, room }, "plato is in python"),
            (IsIn { name: "[::1]:9", room }, "Client [::1]:9 is in python"),
            (IsNowhere { name }, "plato is in no room"),
            (IsAway { name, text: "" }, "plato is away"),
            (IsAway { name, text: "at lunch" }, "plato is away: at lunch"),
            (YouAreAway { text: "" }, "You are marked away"),
            (YouAreAway { text: "at lunch" }, "You are marked away: at lunch"),
            (YouAreBack, "You are marked away no longer"),
            (YouAreHere, "You were not marked away"),
            (Topic { room, topic: "snakes" }, "The topic of python: snakes"),
            (Topic { room, topic: "" }, "There is no topic in python"),
            (TopicSet { name, topic: "snakes" }, "plato set the topic: snakes"),
            (TopicSet { name: "[::1]:9", topic: "" }, "Client [::1]:9 removed the topic"),
            (Motd, "There is no message of the day"),
            (HelpOn { form: "/here" }, "/here: takes the mark away that /away made"),
            (
                NoCommand,
                "A command follows its slash at once: /help lists them. To say a slash, write two",
            ),
            (NobodyToReplyTo, "Nobody wrote to you, or they are gone"),
            (IgnoreIs { name, on: true }, "You ignore plato"),
            (IgnoreIs { name, on: false }, "You do not ignore plato"),
            (Ignored { count: 0 }, "You ignore nobody"),
            (Ignored { count: 2 }, "You ignore 2:"),
            (IgnoredEntry { name }, "  plato"),
            (IgnoresYou { name }, "plato ignores you: that was not delivered"),
            (IgnoresYou { name: "[::1]:9" }, "Client [::1]:9 ignores you: that was not delivered"),
            (CannotIgnore, "You cannot ignore yourself"),
            (TooManyIgnored, "You ignore 32 people already: /unignore one of them first"),
            (RemarkTooLong, "That was over 160 bytes and was not kept"),
            (Rooms { count: 1 }, "1 room:"),
            (Rooms { count: 2 }, "2 rooms:"),
            (RoomsEntry { room, members: 2, topic: "" }, "  python (2)"),
            (RoomsEntry { room, members: 2, topic: "snakes" }, "  python (2): snakes"),
            (PastHead { room, lines: 0 }, "No lines of python are kept"),
            (PastHead { room, lines: 1 }, "The last line of python (UTC):"),
            (PastHead { room, lines: 2 }, "The last 2 lines of python (UTC):"),
            (Past { minute: 61, author: name, what: What::Said, text: "hi" }, "  01:01 [plato] hi"),
            (
                Past { minute: 1_439, author: name, what: What::Acted, text: "waves" },
                "  23:59 * plato waves",
            ),
            (TimeIs { on: true }, "Lines begin with the time, UTC"),
            (TimeIs { on: false }, "Lines begin without the time"),
            (HistoryIs { on: true }, "You are shown the last lines of a room you join"),
            (HistoryIs { on: false }, "You are not shown the last lines of a room you join"),
            (AndMore { count: 5 }, "  and 5 more"),
            (Goodbye, "Goodbye"),
            (Here, "Yes, chatd is here"),
            (Stopping, "The server is stopping. Goodbye"),
            (UnknownCommand { name: "foo" }, "Unknown command: foo"),
            (Usage { form: "/nick NAME" }, "Usage: /nick NAME"),
            (
                BadName { name: "a b", letters: Nicknames::Ascii },
                "Not a name: a b. A name is 1 to 20 letters, digits, - or _, \
                 and no nickname is all, chatd, server, system or you",
            ),
            (
                BadName { name: "a b", letters: Nicknames::Unicode },
                "Not a name: a b. A name is 1 to 20 letters, digits, - or _ of one script \
                 (10 in Greek or Cyrillic, 6 in Chinese), \
                 and no nickname is all, chatd, server, system or you",
            ),
            (NameTaken { name, free: None }, "Somebody else is called plato"),
            (
                NameTaken { name, free: Some("plato2") },
                "Somebody else is called plato; plato2 is free",
            ),
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
    fn only_what_people_write_begins_with_a_bracket_or_a_star() {
        for message in every_message("[::1]:9", "text", 1) {
            let is_theirs = matches!(
                message,
                Message::Said { .. }
                    | Message::Acted { .. }
                    | Message::Framed { .. }
                    | Message::Direct { .. }
                    | Message::DirectSent { .. }
            );
            for words in rendered(&message).lines() {
                assert_eq!(words.starts_with(['[', '*']), is_theirs, "{message:?}: {words}");
            }
        }
    }
}
