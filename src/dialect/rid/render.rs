//! Messages to words.
//!
//! An address is shown as Python shows a pair of a host and a port. A text may hold line ends, so
//! that nothing in this protocol keeps its author from writing lines that look like another's;
//! readers of the other dialects see each line with its author.

use std::fmt;
use std::io::Write;

use crate::chat::{CloseReason, Message};
use crate::dialect::words::{self, put};
use crate::limits::{DISCARDED_LEN_MAX, FRAME_LEN_MAX, FRAME_LINES_MAX};

/// An author.
struct Author<'a>(&'a str);

/// Appends the message in the words of this dialect.
pub fn render(message: &Message<&str>, out: &mut Vec<u8>) {
    out.push(b'\n');
    match *message {
        // As it was framed: its last line is ended only if it was ended there.
        Message::Framed { author, text } => return put!(out, "<{}>{text}", Author(author)),
        Message::Said { author, text } => put!(out, "<{}>{text}", Author(author)),
        Message::Acted { author, text } => put!(out, "* {} {text}", Author(author)),
        Message::Direct { author, text } => put!(out, "<{} -> you>{text}", Author(author)),
        Message::DirectSent { to, text } => put!(out, "<you -> {}>{text}", Author(to)),
        Message::Joined { name } => put!(out, "[{name}] entered room."),
        Message::Left { name } => put!(out, "[{name}] left room."),
        Message::Help => put!(out, "Write <RID:111>text</RID:111> to the room 111"),
        Message::LineTooLong => put!(
            out,
            "That frame was over {FRAME_LEN_MAX} bytes or {FRAME_LINES_MAX} lines and was not sent"
        ),
        Message::Closing { reason: CloseReason::EndlessLine } => {
            put!(out, "You sent {DISCARDED_LEN_MAX} bytes without ending a frame. Goodbye");
        }
        _ => words::write(message, out),
    }
    out.push(b'\n');
}

impl fmt::Display for Author<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No nickname has a colon, and every address has a port.
        match self.0.rsplit_once(':') {
            None => f.write_str(self.0),
            Some((host, port)) => {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                write!(f, "('{host}', {port})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        use Message::*;
        let address = "127.0.0.1:37993";
        let (name, author) = ("plato", "plato");
        for (message, words) in [
            (Framed { author: address, text: "hi\n" }, "\n<('127.0.0.1', 37993)>hi\n"),
            (Framed { author: address, text: "hi" }, "\n<('127.0.0.1', 37993)>hi"),
            (Framed { author: address, text: "" }, "\n<('127.0.0.1', 37993)>"),
            (Framed { author: "[::1]:9", text: "a\n\nb" }, "\n<('::1', 9)>a\n\nb"),
            (Framed { author, text: "hi\n" }, "\n<plato>hi\n"),
            (Said { author: address, text: "hi" }, "\n<('127.0.0.1', 37993)>hi\n"),
            (Said { author, text: "hi" }, "\n<plato>hi\n"),
            (Direct { author, text: "hi" }, "\n<plato -> you>hi\n"),
            (Direct { author: address, text: "hi" }, "\n<('127.0.0.1', 37993) -> you>hi\n"),
            (DirectSent { to: name, text: "hi" }, "\n<you -> plato>hi\n"),
            (Acted { author, text: "waves" }, "\n* plato waves\n"),
            (Acted { author: address, text: "waves" }, "\n* ('127.0.0.1', 37993) waves\n"),
            (Topic { room: "111", topic: "snakes" }, "\nThe topic of 111: snakes\n"),
            (TopicSet { name, topic: "snakes" }, "\nplato set the topic: snakes\n"),
            (Joined { name: address }, "\n[127.0.0.1:37993] entered room.\n"),
            (Joined { name }, "\n[plato] entered room.\n"),
            (Left { name }, "\n[plato] left room.\n"),
            (Renamed { old: address, new: name }, "\n127.0.0.1:37993 is now plato\n"),
            (Invalid, "\nInvalid format message\n"),
            (LineTooLong, "\nThat frame was over 4096 bytes or 64 lines and was not sent\n"),
            (TooManyJoined, "\nYou are in 20 rooms already: one cannot be in more\n"),
            (Stopping, "\nThe server is stopping. Goodbye\n"),
            (
                Closing { reason: CloseReason::EndlessLine },
                "\nYou sent 1048576 bytes without ending a frame. Goodbye\n",
            ),
            (Closing { reason: CloseReason::Full }, "\nThe server is full. Try again later\n"),
        ] {
            let mut out = Vec::new();
            render(&message, &mut out);
            assert_eq!(String::from_utf8(out).expect("text"), words);
        }
    }
}
