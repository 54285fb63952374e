//! How people's clients speak: bytes to inputs one way, messages to bytes the other.
//!
//! Pure: no sockets, no clock. A dialect knows the words and the framing; it does not know who is
//! in which room.
#![forbid(unsafe_code)]

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

use crate::chat::Message;

pub mod telnet;

/// A way of speaking, chosen by the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Lines, for telnet, nc and people.
    Telnet,
}

/// What a client said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A whole line without its end, through the text gate. May be empty.
    Line(&'a str),
    /// A line over `limits::LINE_LEN_MAX` ended here; it was thrown away whole.
    LineTooLong,
    /// The client asks whether the server is there (telnet AYT).
    AreYouThere,
    /// Bytes of the protocol that go back as they are (telnet refusals); between two lines only.
    Answer(&'a [u8]),
    /// The input went on for `limits::INPUT_LEN_MAX` bytes without ending a line. The last input.
    EndlessLine,
    /// The client speaks another protocol. The last input.
    Foreign,
}

/// The reading side of one connection: bytes in any pieces to inputs.
#[derive(Debug)]
pub enum Decoder {
    /// For `Dialect::Telnet`.
    Telnet(telnet::Decoder),
}

impl Dialect {
    /// All of them; the position is the dialect's number.
    pub const ALL: [Self; 1] = [Self::Telnet];

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
        }
    }

    /// Appends the message in this dialect's words, whole lines with their ends, to `out`.
    pub fn render(self, message: &Message<&str>, out: &mut Vec<u8>) {
        match self {
            Self::Telnet => telnet::render(message, out),
        }
    }
}

impl Decoder {
    /// Reads `bytes`, gives each input to `sink` in order, and returns how many bytes were taken:
    /// all of them, or, when `sink` breaks, those up to the end of the input it broke on. Nothing
    /// is lost either way: the caller hands in the rest later.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        sink: &mut dyn FnMut(Input<'_>) -> ControlFlow<()>,
    ) -> usize {
        match self {
            Self::Telnet(decoder) => decoder.decode(bytes, sink),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Telnet => "telnet",
        })
    }
}

impl FromStr for Dialect {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|dialect| dialect.to_string() == word)
            .ok_or_else(|| format!("there is no dialect {word:?}; there is: telnet"))
    }
}
