//! Texts that everybody is sent: rendered once at the start, sent from where they stand.

use super::pool::Piece;
use crate::chat::{CloseReason, Message};
use crate::dialect::Dialect;
use crate::limits::SHARED_TEXT_LEN;

/// Where they stand in the ring's memory.
#[derive(Debug, Default)]
pub(super) struct SharedTexts {
    /// By dialect, then in the order of `messages`.
    pieces: [Vec<Piece>; Dialect::ALL.len()],
}

/// The messages without anything in them that differs from one reader to the next.
fn messages() -> impl Iterator<Item = Message<&'static str>> {
    let closing = CloseReason::ALL.into_iter().map(|reason| Message::Closing { reason });
    [Message::Welcome, Message::Help, Message::Goodbye, Message::Stopping, Message::Motd]
        .into_iter()
        .chain(closing)
}

impl SharedTexts {
    /// Renders them, and the message of the day, into the first bytes of `memory`, at most
    /// `SHARED_TEXT_LEN`.
    pub(super) fn write(motd: &str, memory: &mut [u8]) -> Self {
        let mut bytes = Vec::new();
        let pieces = Dialect::ALL.map(|dialect| {
            messages().map(|message| render(dialect, &message, motd, &mut bytes)).collect()
        });
        assert!(bytes.len() <= SHARED_TEXT_LEN as usize, "the texts are ours, or bounded");
        memory[..bytes.len()].copy_from_slice(&bytes);
        Self { pieces }
    }

    /// Where `message` stands, if it is one of them and has words in this dialect.
    pub(super) fn find(&self, dialect: Dialect, message: &Message<&str>) -> Option<Piece> {
        let place = match message {
            Message::Welcome => 0,
            Message::Help => 1,
            Message::Goodbye => 2,
            Message::Stopping => 3,
            Message::Motd => 4,
            Message::Closing { reason } => 5 + *reason as usize,
            _ => return None,
        };
        self.pieces[dialect.index()].get(place).copied().filter(|piece| piece.len > 0)
    }
}

fn render(dialect: Dialect, message: &Message<&str>, motd: &str, bytes: &mut Vec<u8>) -> Piece {
    let start = bytes.len();
    match message {
        Message::Motd => dialect.render_text(motd, bytes),
        _ => dialect.render(message, bytes),
    }
    let place = |len: usize| u32::try_from(len).expect("below SHARED_TEXT_LEN");
    Piece { start: place(start), len: place(bytes.len() - start) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MOTD_LEN_MAX;

    #[test]
    fn each_text_is_found_where_it_stands() {
        let mut memory = vec![0; SHARED_TEXT_LEN as usize];
        let texts = SharedTexts::write("one\ntwo", &mut memory);
        for dialect in Dialect::ALL {
            for message in messages() {
                let mut rendered = Vec::new();
                match message {
                    Message::Motd => dialect.render_text("one\ntwo", &mut rendered),
                    _ => dialect.render(&message, &mut rendered),
                }
                let piece = texts.find(dialect, &message).unwrap();
                let range = piece.start as usize..(piece.start + piece.len) as usize;
                assert_eq!(memory[range], rendered);
            }
            assert_eq!(texts.find(dialect, &Message::Here), None);
        }
        let none = SharedTexts::write("", &mut memory);
        assert_eq!(none.find(Dialect::Telnet, &Message::Motd), None);
        // The longest message of the day: nothing but line ends.
        SharedTexts::write(&"\n".repeat(MOTD_LEN_MAX), &mut memory);
    }
}
