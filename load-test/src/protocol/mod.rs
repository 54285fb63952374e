//! How targets are spoken to: what to say, and what arriving bytes are. Pure. A file per protocol;
//! each has the words in one direction and a decoder for the other. Nothing here comes from the
//! server, so that a fault there cannot hide itself here.
//!
//! A client is welcome with the first `Item::Done`. Then it asks for one thing at a time, `enter`
//! or `leave`, and the next `Item::Done` tells that it has happened. Lines are said and heard in
//! between.

mod floor;
mod lines;
mod telnet;

use lines::Lines;

/// What the target speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// chatd's dialect for people: lines, rooms, `[NAME] ` before each line.
    Telnet,
    /// A first line of any kind, then raw bytes from everyone to everyone else.
    Floor,
}

/// What arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// What was asked for last has happened: the client is let in, in its room, or out of it.
    Done,
    /// The text of a line that somebody said, out of its frame.
    Text(&'a [u8]),
    /// A line with the mark of ours, in what is no frame of a line.
    Corrupted,
    /// Anything else that the server says. The last one before the end is its reason.
    Notice(&'a [u8]),
}

impl Protocol {
    /// What options and reports call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Telnet => "telnet",
            Self::Floor => "floor",
        }
    }

    /// Where a client goes: the name of its room on the target. `None`: it need not ask, because
    /// all are together from the start. `lobby`: it is to stay where it starts, if that is a place.
    pub(crate) fn room(self, run: u32, room: u32, lobby: bool) -> Option<String> {
        match self {
            Self::Telnet => (!lobby).then(|| format!("load-{run:x}-{room}")),
            Self::Floor => None,
        }
    }

    /// Whether there is more than one place to be.
    pub(crate) fn has_rooms(self) -> bool {
        self != Self::Floor
    }

    /// Appends what asks to be let into a room. Who is in another one leaves it.
    pub(crate) fn enter(self, out: &mut Vec<u8>, room: &str) {
        match self {
            Self::Telnet => telnet::enter(out, room),
            Self::Floor => {}
        }
    }

    /// Appends what asks to be let out of the room. False if only the connection's end does it.
    #[expect(dead_code, reason = "clients that come and go")]
    pub(crate) fn leave(self, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Telnet => telnet::leave(out),
            Self::Floor => return false,
        }
        true
    }

    /// Appends what says a text in the room.
    pub(crate) fn say(self, out: &mut Vec<u8>, text: &[u8]) {
        match self {
            Self::Telnet | Self::Floor => lines::write(out, text),
        }
    }

    /// The reading side of a connection.
    pub(crate) fn decoder(self) -> Decoder {
        match self {
            Self::Telnet => Decoder::Telnet(Lines::default()),
            Self::Floor => Decoder::Floor(floor::Decoder::default()),
        }
    }
}

/// The reading side of a connection: bytes, cut anywhere, to items.
pub(crate) enum Decoder {
    Telnet(Lines),
    Floor(floor::Decoder),
}

impl Decoder {
    /// Calls `on_item` for everything that ends in `chunk`.
    pub(crate) fn feed(&mut self, chunk: &[u8], mut on_item: impl FnMut(Item<'_>)) {
        match self {
            Self::Telnet(lines) => lines.feed(chunk, |line| on_item(telnet::item(line))),
            Self::Floor(decoder) => decoder.feed(chunk, on_item),
        }
    }
}
