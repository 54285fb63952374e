//! Bytes to lines: a state machine over single bytes, kept from read to read, so that it never
//! matters how the bytes were cut.
//!
//! A line ends at LF, CR LF, CR NUL or a lone CR, and is given out at once, at the CR. Telnet
//! commands (RFC 854) may stand anywhere; every option is refused, once. The keys that erase work,
//! because some clients send each key as it is typed. Between two lines a connection that never
//! negotiated holds no heap.

use std::cell::Cell;
use std::ops::ControlFlow;

use memchr::memchr3;

use super::foreign::Opening;
use super::line::TypedLine;
use crate::dialect::Input;
use crate::limits::{COMMANDS_LEN_MAX, INPUT_LEN_MAX, LINE_LEN_MAX, SUBNEGOTIATION_LEN_MAX};
use crate::text;

const NUL: u8 = 0x00;
const BACKSPACE: u8 = 0x08;
const LF: u8 = b'\n';
const CR: u8 = b'\r';
const CTRL_U: u8 = 0x15;
const CTRL_W: u8 = 0x17;
const DELETE: u8 = 0x7f;

/// The bytes of telnet's commands.
mod command {
    pub(super) const SE: u8 = 240;
    pub(super) const BRK: u8 = 243;
    pub(super) const IP: u8 = 244;
    pub(super) const AYT: u8 = 246;
    pub(super) const EC: u8 = 247;
    pub(super) const EL: u8 = 248;
    pub(super) const SB: u8 = 250;
    pub(super) const WILL: u8 = 251;
    pub(super) const WONT: u8 = 252;
    pub(super) const DO: u8 = 253;
    pub(super) const DONT: u8 = 254;
    pub(super) const IAC: u8 = 255;
}
use command::{AYT, BRK, DO, DONT, EC, EL, IAC, IP, SB, SE, WILL, WONT};

thread_local! {
    /// For lines that the gate changes. One for each thread instead of one for each connection.
    static SCRATCH: Cell<String> = const { Cell::new(String::new()) };
}

type Sink<'a> = dyn FnMut(Input<'_>) -> ControlFlow<()> + 'a;

/// The reading side of one telnet connection.
#[derive(Debug, Default)]
pub struct Decoder {
    /// What came since the last line end, after erasing. Empty if `text_len` is 0.
    line: TypedLine,
    /// The requests already refused; there from the first one on.
    refused: Option<Box<Refused>>,
    /// Bytes of commands, and NULs, since the last line end.
    commands_len: u32,
    /// Bytes of text since the last line end, erased ones and keys that erase too.
    text_len: u16,
    state: State,
    opening: Opening,
}

// One for each connection.
const _: () = assert!(size_of::<Decoder>() <= 48);
// The counters hold their limits.
const _: () = assert!(INPUT_LEN_MAX <= u16::MAX as usize);
const _: () = assert!(SUBNEGOTIATION_LEN_MAX <= u16::MAX as usize);
const _: () = assert!(COMMANDS_LEN_MAX < u32::MAX as usize);

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// A CR ended a line; an LF or NUL that follows belongs to it.
    AfterCr,
    /// After IAC.
    Command,
    /// After IAC WILL or IAC DO: the option to refuse.
    Request(Request),
    /// After IAC WONT or IAC DONT: an option that is off anyway.
    Off,
    /// After IAC SB: skipped up to IAC SE. `len` bytes so far.
    Subnegotiation { len: u16 },
    /// After an IAC inside of one.
    SubnegotiationCommand { len: u16 },
    /// After the last input. All that comes is swallowed.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Will,
    Do,
}

/// A bit for each request and option. A request is answered once, so there can be no loop
/// (RFC 1143).
#[derive(Debug, Default)]
struct Refused {
    bits: [[u64; 4]; 2],
}

/// More came without a line end than a limit allows.
struct Endless;

/// How many bytes were taken, and whether to go on.
type Step = (usize, ControlFlow<()>);

impl Decoder {
    /// See `dialect::Decoder::decode`.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        sink: &mut dyn FnMut(Input<'_>) -> ControlFlow<()>,
    ) -> usize {
        // Ahead of all else: where another protocol is recognised, the same bytes hold no line end
        // and no command, so nothing was given out before.
        if let Some(taken) = self.opening.read(bytes) {
            return if self.close(Input::Foreign, sink).is_break() { taken } else { bytes.len() };
        }
        let mut taken = 0;
        while taken < bytes.len() {
            let (len, flow) = self.step(&bytes[taken..], sink);
            taken += len;
            if flow.is_break() {
                break;
            }
        }
        taken
    }

    /// Reads the start of `rest`, which is not empty. Gives at most one input. Takes a byte or
    /// changes the state.
    fn step(&mut self, rest: &[u8], sink: &mut Sink<'_>) -> Step {
        match self.state {
            State::Text => self.read_text(rest, sink),
            State::AfterCr => {
                self.state = State::Text;
                (usize::from(matches!(rest[0], LF | NUL)), ControlFlow::Continue(()))
            }
            State::Closed => (rest.len(), ControlFlow::Continue(())),
            _ => self.read_command(rest[0], sink),
        }
    }

    /// Reads text up to and with the next line end or IAC.
    fn read_text(&mut self, rest: &[u8], sink: &mut Sink<'_>) -> Step {
        let text_end = memchr3(LF, CR, IAC, rest).unwrap_or(rest.len());
        let (text, after) = rest.split_at(text_end);
        let ends_line = matches!(after, [LF | CR, ..]);
        if ends_line && self.text_len == 0 && text.len() <= LINE_LEN_MAX && !has_keys(text) {
            return (text_end + self.end_line(after), give_line(text, sink));
        }
        if self.hold(text).is_err() {
            return (text_end, self.close(Input::EndlessLine, sink));
        }
        if ends_line {
            let line = std::mem::take(&mut self.line);
            return (text_end + self.end_line(after), give_typed_line(&line, sink));
        }
        if !after.is_empty() {
            self.state = State::Command;
            self.commands_len += 1;
        }
        (rest.len().min(text_end + 1), ControlFlow::Continue(()))
    }

    /// Adds text to the line, obeying the keys in it.
    fn hold(&mut self, text: &[u8]) -> Result<(), Endless> {
        let nul_count = text.iter().filter(|&&byte| byte == NUL).count();
        self.text_len = add(self.text_len, text.len() - nul_count, INPUT_LEN_MAX)?;
        self.count_commands(nul_count)?;
        let mut rest = text;
        while let Some(len) = rest.iter().position(is_key) {
            self.line.push(&rest[..len]);
            self.obey(rest[len]);
            rest = &rest[len + 1..];
        }
        self.line.push(rest);
        Ok(())
    }

    fn obey(&mut self, key: u8) {
        match key {
            BACKSPACE | DELETE => self.line.erase_character(),
            CTRL_W => self.line.erase_word(),
            CTRL_U => self.line.erase(),
            _ => {}
        }
    }

    /// Makes ready for the next line. Returns how many bytes at the start of `after` end this one.
    fn end_line(&mut self, after: &[u8]) -> usize {
        self.text_len = 0;
        self.commands_len = 0;
        match after {
            [CR, LF | NUL, ..] => 2,
            [CR] => {
                self.state = State::AfterCr;
                1
            }
            _ => 1,
        }
    }

    /// Reads one byte of a command.
    fn read_command(&mut self, byte: u8, sink: &mut Sink<'_>) -> Step {
        if self.count_commands(1).is_err() {
            return (1, self.close(Input::EndlessLine, sink));
        }
        let state = std::mem::take(&mut self.state);
        let flow = match (state, byte) {
            // A stray 0xFF, as in Latin-1: the line ends all the same.
            (State::Command | State::SubnegotiationCommand { .. }, LF | CR) => {
                return (0, ControlFlow::Continue(()));
            }
            (State::Request(request), option) => self.refuse(request, option, sink),
            (State::Subnegotiation { len }, IAC) => {
                self.state = State::SubnegotiationCommand { len };
                ControlFlow::Continue(())
            }
            (State::Subnegotiation { len }, _) => self.skip(len, sink),
            (State::SubnegotiationCommand { len }, IAC) => self.skip(len, sink),
            (State::SubnegotiationCommand { .. }, SE) => ControlFlow::Continue(()),
            (State::Command | State::SubnegotiationCommand { .. }, _) => {
                self.obey_command(byte, sink)
            }
            (State::Off | State::Text | State::AfterCr | State::Closed, _) => {
                ControlFlow::Continue(())
            }
        };
        (1, flow)
    }

    /// Obeys the byte after IAC.
    fn obey_command(&mut self, byte: u8, sink: &mut Sink<'_>) -> ControlFlow<()> {
        match byte {
            WILL => self.state = State::Request(Request::Will),
            DO => self.state = State::Request(Request::Do),
            WONT | DONT => self.state = State::Off,
            SB => self.state = State::Subnegotiation { len: 0 },
            EC => self.line.erase_character(),
            EL | IP | BRK => self.line.erase(),
            AYT => return sink(Input::AreYouThere),
            IAC if self.hold(&[IAC]).is_err() => return self.close(Input::EndlessLine, sink),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    /// Passes over one byte of a subnegotiation of which `len` bytes came before.
    fn skip(&mut self, len: u16, sink: &mut Sink<'_>) -> ControlFlow<()> {
        match add(len, 1, SUBNEGOTIATION_LEN_MAX) {
            Ok(len) => {
                self.state = State::Subnegotiation { len };
                ControlFlow::Continue(())
            }
            Err(Endless) => self.close(Input::EndlessLine, sink),
        }
    }

    fn refuse(&mut self, request: Request, option: u8, sink: &mut Sink<'_>) -> ControlFlow<()> {
        if !self.refused.get_or_insert_default().insert(request, option) {
            return ControlFlow::Continue(());
        }
        let refusal = match request {
            Request::Will => DONT,
            Request::Do => WONT,
        };
        sink(Input::Answer(&[IAC, refusal, option]))
    }

    fn count_commands(&mut self, count: usize) -> Result<(), Endless> {
        let len = self.commands_len as usize + count;
        self.commands_len = u32::try_from(len).map_err(|_| Endless)?;
        if len > COMMANDS_LEN_MAX { Err(Endless) } else { Ok(()) }
    }

    /// Gives the last input.
    fn close(&mut self, input: Input<'_>, sink: &mut Sink<'_>) -> ControlFlow<()> {
        self.state = State::Closed;
        self.line.erase();
        self.refused = None;
        sink(input)
    }
}

impl Refused {
    /// Whether the request is a new one.
    fn insert(&mut self, request: Request, option: u8) -> bool {
        let word = &mut self.bits[request as usize][usize::from(option / 64)];
        let bit = 1 << (option % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

/// Bytes of text that are not kept but obeyed or, NUL, passed over.
fn is_key(byte: &u8) -> bool {
    matches!(*byte, NUL | BACKSPACE | CTRL_U | CTRL_W | DELETE)
}

fn has_keys(text: &[u8]) -> bool {
    // No early exit: without one the compiler checks many bytes at a time.
    text.iter().fold(false, |any, byte| any | is_key(byte))
}

/// `len + count`, if it is within the limit.
fn add(len: u16, count: usize, len_max: usize) -> Result<u16, Endless> {
    let len = usize::from(len) + count;
    if len > len_max { Err(Endless) } else { u16::try_from(len).map_err(|_| Endless) }
}

fn give_typed_line(line: &TypedLine, sink: &mut Sink<'_>) -> ControlFlow<()> {
    match line {
        TypedLine::Held(bytes) => give_line(bytes, sink),
        TypedLine::TooLong => sink(Input::LineTooLong),
    }
}

/// Passes the line through the gate. It may come out longer, as U+FFFD takes 3 bytes, and must
/// still be within the limit.
fn give_line(line: &[u8], sink: &mut Sink<'_>) -> ControlFlow<()> {
    let mut scratch = SCRATCH.take();
    let text = text::clean(line, &mut scratch);
    let flow =
        if text.len() > LINE_LEN_MAX { sink(Input::LineTooLong) } else { sink(Input::Line(text)) };
    SCRATCH.set(scratch);
    flow
}

#[cfg(test)]
mod tests;
