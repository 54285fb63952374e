//! Bytes to an id and then to lines, kept from read to read. Between two lines there is no heap.
//!
//! A line ends at LF; a CR before it belongs to the end. Empty lines are passed over.

use std::cell::Cell;
use std::ops::ControlFlow;

use memchr::memchr;
use serde::{Deserialize, Serialize};

use crate::dialect::{Input, is_default};
use crate::limits::{ID_READ_LEN_MAX, INPUT_LEN_MAX, LINE_LEN_MAX};
use crate::text;

const LF: u8 = b'\n';
const CR: u8 = b'\r';
/// What stands between a name and a text.
const MARK: &str = "||";

thread_local! {
    /// For lines that the gate changes. One for each thread instead of one for each connection.
    static SCRATCH: Cell<String> = const { Cell::new(String::new()) };
}

type Sink<'a> = dyn FnMut(Input<'_>) -> ControlFlow<()> + 'a;

/// How many bytes were taken, and whether to go on.
type Step = (usize, ControlFlow<()>);

/// The reading side of one p2p connection.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Decoder {
    /// What came since the last line end, as long as it can still be a line: with the CR that may
    /// belong to its end, a byte over the limit. Empty when it no longer can.
    #[serde(with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    held: Vec<u8>,
    /// Bytes since the last line end, kept or not.
    #[serde(skip_serializing_if = "is_default")]
    len: u16,
    #[serde(skip_serializing_if = "is_default")]
    state: State,
}

// The counter holds its limit.
const _: () = assert!(INPUT_LEN_MAX <= u16::MAX as usize);
// One for each connection, and not larger than telnet's.
const _: () = assert!(size_of::<Decoder>() <= 40);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// Nothing came yet.
    #[default]
    Id,
    Lines,
    /// After the last input. All that comes is swallowed.
    Closed,
}

impl Decoder {
    /// See `dialect::Decoder::decode`. The id is looked for in the first `bytes` alone. Those are
    /// what the first read brought, unless the server was too busy to look at it before the second
    /// came: an id with a line end is found in any case.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        sink: &mut dyn FnMut(Input<'_>) -> ControlFlow<()>,
    ) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            let (len, flow) = match self.state {
                State::Id => self.read_id(rest, sink),
                State::Lines => self.read_line(rest, sink),
                State::Closed => (rest.len(), ControlFlow::Continue(())),
            };
            taken += len;
            if flow.is_break() {
                break;
            }
        }
        taken
    }

    /// Without a line end in time all of the read is the id; if it is too long for one, the core
    /// will say so.
    fn read_id(&mut self, read: &[u8], sink: &mut Sink<'_>) -> Step {
        self.state = State::Lines;
        let window = &read[..read.len().min(ID_READ_LEN_MAX)];
        let (id, taken) = match memchr(LF, window) {
            Some(end) => (&window[..end], end + 1),
            None => (window, read.len()),
        };
        (taken, clean(without_cr(id), |id| sink(Input::Id(id.trim()))))
    }

    fn read_line(&mut self, rest: &[u8], sink: &mut Sink<'_>) -> Step {
        let end = memchr(LF, rest);
        let piece = &rest[..end.unwrap_or(rest.len())];
        if end.is_some() && self.len == 0 && piece.len() <= INPUT_LEN_MAX {
            return (piece.len() + 1, give_line(Some(piece), sink));
        }
        if !self.hold(piece) {
            self.state = State::Closed;
            return (piece.len(), sink(Input::EndlessLine));
        }
        if end.is_none() {
            return (piece.len(), ControlFlow::Continue(()));
        }
        let is_whole = self.held.len() == usize::from(self.len);
        self.len = 0;
        let line = std::mem::take(&mut self.held);
        (piece.len() + 1, give_line(is_whole.then_some(&line), sink))
    }

    /// Adds bytes to the line; `false` if more came without a line end than may.
    fn hold(&mut self, piece: &[u8]) -> bool {
        let len = usize::from(self.len) + piece.len();
        if len > LINE_LEN_MAX + 1 {
            self.held = Vec::new();
        } else {
            self.held.extend_from_slice(piece);
        }
        self.len = u16::try_from(len.min(INPUT_LEN_MAX)).expect("it holds the limit");
        len <= INPUT_LEN_MAX
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(&[CR]).unwrap_or(line)
}

/// `None` is a line that was too long to keep.
fn give_line(line: Option<&[u8]>, sink: &mut Sink<'_>) -> ControlFlow<()> {
    let line = line.map(without_cr).filter(|line| line.len() <= LINE_LEN_MAX);
    match line {
        None => sink(Input::LineTooLong),
        Some(b"") => ControlFlow::Continue(()),
        Some(line) => clean(line, |line| sink(input(line))),
    }
}

/// A line that came through the gate, where it may have grown.
fn input(line: &str) -> Input<'_> {
    match line.split_once(MARK) {
        _ if line.len() > LINE_LEN_MAX => Input::LineTooLong,
        None => Input::Invalid,
        Some((name, text)) => Input::To { name: name.trim(), text },
    }
}

fn clean<T>(bytes: &[u8], give: impl FnOnce(&str) -> T) -> T {
    let mut scratch = SCRATCH.take();
    let given = give(text::clean(bytes, &mut scratch));
    SCRATCH.set(scratch);
    given
}

#[cfg(test)]
mod tests;
