//! How targets are spoken to: what to say, and what arriving bytes are. Pure. A file per protocol;
//! each has the words in one direction and a decoder for the other. Nothing here comes from the
//! server, so that a fault there cannot hide itself here.
//!
//! A client says `hello` when its connection is there, and is welcome with the first `Item::Done`.
//! Then it asks for one thing at a time, `enter` or `leave`, and the next `Item::Done` tells that
//! it has happened. Lines are said and heard in between.

mod floor;
mod frames;
mod irc;
mod lines;
mod mqtt;
mod nats;
mod p2p;
mod redis;
mod rid;
#[cfg(test)]
mod streams;
mod telnet;

use crate::limits::{IRC_TEXT_LEN_MAX, TEXT_LEN_MAX};
use clap::ValueEnum;
use frames::Frames;
use lines::Lines;
use serde::{Deserialize, Serialize};

/// What the target speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// chatd's lines for people
    Telnet,
    /// chatd's frames with the number of a room
    Rid,
    /// chatd's lines with the name of their reader; no rooms
    P2p,
    /// Any IRC server
    Irc,
    /// NATS: a room is a subject
    Nats,
    /// Redis 6 or later: a room is a channel of its pub/sub
    Redis,
    /// MQTT 3.1.1, QoS 0: a room is a topic
    Mqtt,
    /// A first line of any kind, then raw bytes from everyone to everyone else; no rooms
    #[value(hide = true)]
    Floor,
}

/// What arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// What was asked for last has happened: the client is let in, in its room, or out of it.
    Done,
    /// What was asked for last will not happen, and why.
    Refused(&'a [u8]),
    /// The text of a line that somebody said, out of its frame.
    Text(&'a [u8]),
    /// A line with the mark of ours, in what is no frame of a line.
    Corrupted,
    /// What the server wants back, at once and as it is.
    Answer(&'a [u8]),
    /// Anything else that the server says. The last one before the end is its reason.
    Notice(&'a [u8]),
}

impl Protocol {
    /// What options and reports call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Telnet => "telnet",
            Self::Rid => "rid",
            Self::P2p => "p2p",
            Self::Irc => "irc",
            Self::Nats => "nats",
            Self::Redis => "redis",
            Self::Mqtt => "mqtt",
            Self::Floor => "floor",
        }
    }

    /// Whether chatd speaks it.
    pub(crate) fn is_chatd(self) -> bool {
        matches!(self, Self::Telnet | Self::Rid | Self::P2p)
    }

    /// Where a client goes: the name of its room on the target. `None`: it need not ask, because
    /// all are together from the start. `lobby`: it is to stay where it starts, if that is a place.
    pub(crate) fn room(self, run: u32, room: u32, lobby: bool) -> Option<String> {
        match self {
            Self::Telnet => (!lobby).then(|| format!("load-{run:x}-{room}")),
            Self::Rid => Some(rid::room(run, room)),
            Self::Irc => Some(format!("#load-{run:x}-{room}")),
            Self::Nats | Self::Redis | Self::Mqtt => Some(format!("load-{run:x}-{room}")),
            Self::P2p | Self::Floor => None,
        }
    }

    /// Whether there is more than one place to be.
    pub(crate) fn has_rooms(self) -> bool {
        !matches!(self, Self::P2p | Self::Floor)
    }

    /// Whether what a client says comes back to it.
    pub(crate) fn hears_itself(self) -> bool {
        matches!(self, Self::P2p | Self::Redis | Self::Mqtt)
    }

    /// The longest text that can be said, in bytes.
    pub(crate) fn text_len_max(self) -> usize {
        if self == Self::Irc { IRC_TEXT_LEN_MAX } else { TEXT_LEN_MAX }
    }

    /// Appends the client's first words; nothing where the server begins.
    pub(crate) fn hello(self, out: &mut Vec<u8>, run: u32, client: u32) {
        match self {
            Self::Telnet | Self::Floor => {}
            Self::Rid => rid::hello(out),
            Self::P2p => lines::write(out, name(run, client).as_bytes()),
            Self::Irc => irc::hello(out, &name(run, client)),
            Self::Nats => nats::hello(out),
            Self::Redis => redis::hello(out),
            Self::Mqtt => mqtt::hello(out, &name(run, client)),
        }
    }

    /// Whether the client has first words.
    pub(crate) fn speaks_first(self) -> bool {
        !matches!(self, Self::Telnet | Self::Floor)
    }

    /// Appends what asks to be let into a room.
    pub(crate) fn enter(self, out: &mut Vec<u8>, room: &str) {
        match self {
            Self::Telnet => telnet::enter(out, room),
            Self::Rid => rid::enter(out, room),
            Self::Irc => irc::enter(out, room),
            Self::Nats => nats::enter(out, room),
            Self::Redis => redis::enter(out, room),
            Self::Mqtt => mqtt::enter(out, room),
            Self::P2p | Self::Floor => {}
        }
    }

    /// Appends what asks to be let out of the room. False if only the connection's end does it.
    pub(crate) fn leave(self, out: &mut Vec<u8>, room: &str) -> bool {
        match self {
            Self::Telnet => telnet::leave(out),
            Self::Irc => irc::leave(out, room),
            Self::Nats => nats::leave(out),
            Self::Redis => redis::leave(out, room),
            Self::Mqtt => mqtt::leave(out, room),
            Self::Rid | Self::P2p | Self::Floor => return false,
        }
        true
    }

    /// Appends what says a text in the room, which need not be named where there is only one.
    pub(crate) fn say(self, out: &mut Vec<u8>, room: &str, text: &[u8]) {
        match self {
            Self::Telnet | Self::Floor => lines::write(out, text),
            Self::Rid => rid::say(out, room, text),
            Self::P2p => p2p::say(out, text),
            Self::Irc => irc::say(out, room, text),
            Self::Nats => nats::say(out, room, text),
            Self::Redis => redis::say(out, room, text),
            Self::Mqtt => mqtt::say(out, room, text),
        }
    }

    /// The reading side of a connection.
    pub(crate) fn decoder(self) -> Decoder {
        match self {
            Self::Telnet => Decoder::Telnet(Lines::default()),
            Self::Rid => Decoder::Rid(Lines::default()),
            Self::P2p => Decoder::P2p(Lines::default()),
            Self::Irc => Decoder::Irc(Lines::default()),
            Self::Nats => Decoder::Nats(Frames::default()),
            Self::Redis => Decoder::Redis(Frames::default()),
            Self::Mqtt => Decoder::Mqtt(Frames::default()),
            Self::Floor => Decoder::Floor(floor::Decoder::default()),
        }
    }
}

/// The reading side of a connection: bytes, cut anywhere, to items.
pub(crate) enum Decoder {
    Telnet(Lines),
    Rid(Lines),
    P2p(Lines),
    Irc(Lines),
    Nats(Frames),
    Redis(Frames),
    Mqtt(Frames),
    Floor(floor::Decoder),
}

impl Decoder {
    /// Calls `on_item` for everything that ends in `chunk`.
    pub(crate) fn feed(&mut self, chunk: &[u8], mut on_item: impl FnMut(Item<'_>)) {
        match self {
            Self::Telnet(lines) => lines.feed(chunk, |line| on_item(telnet::item(line))),
            Self::Rid(lines) => {
                lines.feed(chunk, |line| rid::item(line).into_iter().for_each(&mut on_item))
            }
            Self::P2p(lines) => lines.feed(chunk, |line| on_item(p2p::item(line))),
            Self::Irc(lines) => lines.feed(chunk, |line| irc::read(line, &mut on_item)),
            Self::Nats(frames) => frames.feed(chunk, nats::frame, on_item),
            Self::Redis(frames) => frames.feed(chunk, redis::frame, on_item),
            Self::Mqtt(frames) => frames.feed(chunk, mqtt::frame, on_item),
            Self::Floor(decoder) => decoder.feed(chunk, on_item),
        }
    }
}

/// A name for a client: 9 characters, which the oldest IRC servers take, and unlikely to be another
/// run's.
fn name(run: u32, client: u32) -> String {
    let digit = |number: u32, place: u32| {
        let digit = number / 36u32.pow(place) % 36;
        char::from_digit(digit, 36).expect("below 36")
    };
    let digits = (0..4).map(|place| digit(run, place));
    "l".chars().chain(digits).chain((0..4).map(|place| digit(client, place))).collect()
}

// A name tells all clients of a run apart.
const _: () = assert!(crate::limits::CLIENTS_MAX <= 36u32.pow(4));

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_clients_have_one_name() {
        let names: HashSet<_> = (0..100_000).map(|client| name(0xdead_beef, client)).collect();
        assert_eq!(names.len(), 100_000);
        assert!(names.iter().all(|name| name.len() == 9));
        assert_ne!(name(1, 7), name(2, 7));
        assert_eq!(name(1, 0), "l10000000");
    }

    #[test]
    fn options_call_it_as_reports_do() {
        for protocol in Protocol::value_variants() {
            let option = protocol.to_possible_value().expect("none is left out");
            assert_eq!(option.get_name(), protocol.name());
        }
    }
}
