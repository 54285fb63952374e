//! Messages to words.
//!
//! Clients know that they were let in by the word `successed`, so no refusal may hold it, nor
//! repeat an id that does.

use std::io::Write;

use crate::chat::{CloseReason, Message};
use crate::dialect::words::{self, put};

/// Appends the message in the words of this dialect, LF at each line's end.
pub fn render(message: &Message<&str>, out: &mut Vec<u8>) {
    match *message {
        // Those who come and go are not announced here, nor what the lobby is about.
        Message::Joined { .. }
        | Message::Left { .. }
        | Message::Renamed { .. }
        | Message::TopicSet { .. }
        | Message::Presence { .. } => return,
        Message::Framed { author, text } => {
            for line in words::lines(text) {
                put!(out, "{author} said : {line}\n");
            }
            return;
        }
        Message::YouAre { name } => put!(out, "hello {name},you login successed"),
        Message::BadName { letters, .. } => {
            put!(out, "That cannot be an id. An id is ");
            words::name_rule(letters, out);
        }
        Message::NameTaken { .. } => put!(out, "That id is taken. Choose another"),
        Message::NoSuchUser { .. } => put!(out, "remote is offline"),
        Message::Invalid => put!(out, "Not a message. Write ID||TEXT, or all||TEXT"),
        Message::Help => put!(out, "Write ID||TEXT to one person, or all||TEXT to all"),
        Message::Closing { reason: CloseReason::Foreign } => put!(out, "This is a chat server"),
        _ => words::write(message, out),
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Nicknames;
    use crate::dialect::tests::every_message;

    fn rendered(message: &Message<&str>) -> String {
        let mut out = Vec::new();
        render(message, &mut out);
        String::from_utf8(out).expect("messages are text")
    }

    #[test]
    fn words() {
        use Message::*;
        let (author, name) = ("plato", "plato");
        for (message, words) in [
            (YouAre { name: "1" }, "hello 1,you login successed\n"),
            (Said { author, text: "hi" }, "plato said : hi\n"),
            (Said { author: "127.0.0.1:9", text: "" }, "127.0.0.1:9 said : \n"),
            (Direct { author, text: "hi" }, "plato said : hi\n"),
            (Framed { author, text: "a\nb\n" }, "plato said : a\nplato said : b\n"),
            (Acted { author, text: "waves" }, "* plato waves\n"),
            (IsAway { name, text: "at lunch" }, "plato is away: at lunch\n"),
            (TopicSet { name, topic: "snakes" }, ""),
            (NoSuchUser { name }, "remote is offline\n"),
            (Invalid, "Not a message. Write ID||TEXT, or all||TEXT\n"),
            (NameTaken { name, free: Some("plato2") }, "That id is taken. Choose another\n"),
            (
                BadName { name, letters: Nicknames::Ascii },
                "That cannot be an id. An id is 1 to 20 letters, digits, - or _, \
                 and no nickname is all, chatd, server, system or you\n",
            ),
            (LineTooLong, "That line was over 1024 bytes and was not sent\n"),
            (Stopping, "The server is stopping. Goodbye\n"),
            (Joined { name }, ""),
            (Left { name }, ""),
            (Renamed { old: "127.0.0.1:9", new: name }, ""),
        ] {
            assert_eq!(rendered(&message), words);
        }
    }

    #[test]
    fn only_a_login_has_the_word_for_it() {
        for message in every_message("successed", "text", 1) {
            let is_refusal = matches!(message, Message::BadName { .. } | Message::NameTaken { .. });
            assert!(!is_refusal || !rendered(&message).contains("successed"), "{message:?}");
        }
    }
}
