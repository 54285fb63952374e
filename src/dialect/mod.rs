//! How people's clients speak: bytes to inputs one way, messages to bytes the other.
//!
//! Pure: no sockets, no clock. A dialect knows the words and the framing; it does not know who is
//! in which room. To add one: a folder here, its name in [`Dialect`], and what is new in [`Input`].
#![forbid(unsafe_code)]

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::chat::{Message, RichMode, Start};

pub mod p2p;
pub mod rid;
pub mod telnet;
#[cfg(test)]
mod tests;
mod words;

/// A way of speaking, chosen by the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Lines, for telnet, nc and people.
    Telnet,
    /// Frames with the number of a room, for programs; several rooms at a time.
    Rid,
    /// Lines with the name of their reader, for programs; always in the lobby.
    P2p,
}

/// What a client said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A whole line without its end, through the text gate. May be empty.
    Line(&'a str),
    /// A text for a room; the only one that may hold line ends, LF, each of its lines through the
    /// gate by itself.
    Frame {
        /// The room's name: digits.
        room: &'a str,
        /// At most `limits::FRAME_LINES_MAX` lines and `limits::FRAME_LEN_MAX` bytes. May be empty.
        text: &'a str,
    },
    /// The name the client wants, whatever it may be. Comes once, first of all.
    Id(&'a str),
    /// A line for somebody.
    To {
        /// Who: the part before the `||`, trimmed.
        name: &'a str,
        /// The part after it. May be empty.
        text: &'a str,
    },
    /// What came is nothing in this dialect; it was thrown away.
    Invalid,
    /// A line over `limits::LINE_LEN_MAX`, or a frame over its limits: it was thrown away whole.
    LineTooLong,
    /// The client asks whether the server is there (telnet AYT).
    AreYouThere,
    /// Bytes that go back as they are: telnet's answers, and what rich mode draws; between two
    /// lines only.
    Answer(&'a [u8]),
    /// Rich mode begins, or will not, or is over.
    Rich {
        /// What the person is told.
        mode: RichMode,
        /// Bytes that go back after that.
        answer: &'a [u8],
    },
    /// The input went on without ending a line for `limits::INPUT_LEN_MAX` bytes, or a frame for
    /// `limits::DISCARDED_LEN_MAX`. The last input.
    EndlessLine,
    /// The client speaks another protocol. The last input.
    Foreign,
}

/// The reading side of one connection: bytes in any pieces to inputs.
///
/// Goes through serde without a trace: what is read from then on makes the same inputs. What was
/// not written by this program may make others, but never a panic.
#[derive(Debug, Serialize, Deserialize)]
pub enum Decoder {
    /// For `Dialect::Telnet`.
    Telnet(telnet::Decoder),
    /// For `Dialect::Rid`.
    Rid(#[serde(deserialize_with = "sound")] rid::Decoder),
    /// For `Dialect::P2p`.
    P2p(p2p::Decoder),
}

impl Input<'_> {
    /// Whether it counts as a line: it costs others something, or asks for an answer.
    #[must_use]
    pub fn counts(&self) -> bool {
        !matches!(self, Self::Answer(_) | Self::Rich { .. } | Self::EndlessLine | Self::Foreign)
    }
}

impl Dialect {
    /// All of them; the position is the dialect's number.
    pub const ALL: [Self; 3] = [Self::Telnet, Self::Rid, Self::P2p];

    /// Its number, below `ALL.len()`.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// A fresh reader.
    #[must_use]
    pub fn decoder(self) -> Decoder {
        match self {
            Self::Telnet => Decoder::Telnet(telnet::Decoder::default()),
            Self::Rid => Decoder::Rid(rid::Decoder::default()),
            Self::P2p => Decoder::P2p(p2p::Decoder::default()),
        }
    }

    /// Where those who speak it start.
    #[must_use]
    pub fn start(self) -> Start {
        match self {
            Self::Telnet => Start::Lobby,
            Self::Rid | Self::P2p => Start::Nowhere,
        }
    }

    /// Appends the message in this dialect's words, whole lines with their ends, to `out`. Nothing,
    /// where those who speak it are not told.
    pub fn render(self, message: &Message<&str>, out: &mut Vec<u8>) {
        match self {
            Self::Telnet => telnet::render(message, out),
            Self::Rid => rid::render(message, out),
            Self::P2p => p2p::render(message, out),
        }
    }

    /// Appends a text of any lines, as the server's.
    pub fn render_text(self, text: &str, out: &mut Vec<u8>) {
        for line in text.lines() {
            match self {
                Self::Telnet => out.extend_from_slice(&[line.as_bytes(), b"\r\n"].concat()),
                Self::Rid => out.extend_from_slice(&[b"\n", line.as_bytes(), b"\n"].concat()),
                Self::P2p => out.extend_from_slice(&[line.as_bytes(), b"\n"].concat()),
            }
        }
    }
}

impl Decoder {
    /// Reads `bytes`, gives each input to `sink` in order, and returns how many bytes were taken:
    /// all of them, or, when `sink` breaks, those up to the end of the input it broke on. Nothing
    /// is lost either way: the caller hands in the rest later.
    ///
    /// `bytes` are what one read brought, or such a rest with what came meanwhile. Only
    /// `Input::Id` depends on it.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        sink: &mut dyn FnMut(Input<'_>) -> ControlFlow<()>,
    ) -> usize {
        match self {
            Self::Telnet(decoder) => decoder.decode(bytes, sink),
            Self::Rid(decoder) => decoder.decode(bytes, sink),
            Self::P2p(decoder) => decoder.decode(bytes, sink),
        }
    }
}

/// What other code relies on beside its form.
trait Sound {
    fn is_sound(&self) -> bool;
}

/// Reads what is sound.
fn sound<'de, T: Deserialize<'de> + Sound, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    let read = T::deserialize(from)?;
    if read.is_sound() { Ok(read) } else { Err(serde::de::Error::custom("a torn state")) }
}

/// Whether a field need not be written.
fn is_default<T: Default + PartialEq>(field: &T) -> bool {
    *field == T::default()
}

/// Rich mode, which only telnet has. See `telnet::Decoder`.
impl Decoder {
    /// Asks for rich mode, or ends it; says what becomes of that, and appends what is to be sent
    /// after that to `out`. `None` where there is no such mode.
    pub fn set_rich(&mut self, on: bool, out: &mut Vec<u8>) -> Option<RichMode> {
        match self {
            Self::Telnet(decoder) => Some(decoder.set_rich(on, out)),
            Self::Rid(_) | Self::P2p(_) => None,
        }
    }

    /// Takes the line being typed from the screen; what does that is appended to `out`.
    pub fn clear(&mut self, out: &mut Vec<u8>) {
        if let Self::Telnet(decoder) = self {
            decoder.clear(out);
        }
    }

    /// Draws the line being typed below everything sent; what does that is appended to `out`.
    pub fn draw(&mut self, out: &mut Vec<u8>) {
        if let Self::Telnet(decoder) = self {
            decoder.draw(out);
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Telnet => "telnet",
            Self::Rid => "rid",
            Self::P2p => "p2p",
        })
    }
}

impl FromStr for Dialect {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|dialect| dialect.to_string() == word)
            .ok_or_else(|| format!("there is no dialect {word:?}; there are telnet, rid and p2p"))
    }
}
