//! Bytes to lines: a state machine over single bytes, kept from read to read, so that it never
//! matters how the bytes were cut.
//!
//! A line ends at LF, CR LF, CR NUL or a lone CR, and is given out at once, at the CR. Telnet
//! commands (RFC 854) may stand anywhere (`negotiation`). The keys that erase work, because some
//! clients send each key as it is typed; in rich mode all keys do, and are drawn (`rich`). Between
//! two lines a connection that never negotiated holds no heap.

use std::cell::Cell;
use std::ops::ControlFlow;

use memchr::memchr3;
use serde::{Deserialize, Serialize};

use super::code::{AYT, BRK, DO, DONT, EC, EL, IAC, IP, SB, SE, WILL, WONT};
use super::foreign::Opening;
use super::line::TypedLine;
use super::negotiation::{Negotiation, Word};
use super::rich::Rich;
use crate::chat::RichMode;
use crate::dialect::{Input, is_default};
use crate::limits::{COMMANDS_LEN_MAX, INPUT_LEN_MAX, LINE_LEN_MAX, SUBNEGOTIATION_LEN_MAX};
use crate::text;

const NUL: u8 = 0x00;
const BACKSPACE: u8 = 0x08;
const LF: u8 = b'\n';
const CR: u8 = b'\r';
const CTRL_C: u8 = 0x03;
const CTRL_U: u8 = 0x15;
const CTRL_W: u8 = 0x17;
const DELETE: u8 = 0x7f;

thread_local! {
    /// For lines that the gate changes. One for each thread instead of one for each connection.
    static SCRATCH: Cell<String> = const { Cell::new(String::new()) };
}

type Sink<'a> = dyn FnMut(Input<'_>) -> ControlFlow<()> + 'a;

/// The reading side of one telnet connection.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Decoder {
    /// What came since the last line end, after erasing. Empty if `text_len` is 0.
    #[serde(skip_serializing_if = "is_default")]
    line: TypedLine,
    /// There from the first request on, of whichever end.
    #[serde(skip_serializing_if = "Option::is_none")]
    negotiation: Option<Box<Negotiation>>,
    /// Bytes of commands, and NULs, since the last line end.
    #[serde(skip_serializing_if = "is_default")]
    commands_len: u32,
    /// Bytes of text since the last line end, erased ones and keys that erase too.
    #[serde(skip_serializing_if = "is_default")]
    text_len: u16,
    #[serde(skip_serializing_if = "is_default")]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    #[default]
    Text,
    /// A CR ended a line; an LF or NUL that follows belongs to it.
    AfterCr,
    /// After IAC.
    Command,
    /// After IAC and WILL, WONT, DO or DONT: the option.
    Option(Word),
    /// After IAC SB: up to IAC SE. `len` bytes so far.
    Subnegotiation { len: u16 },
    /// After an IAC inside of one.
    SubnegotiationCommand { len: u16 },
    /// After the last input. All that comes is swallowed.
    Closed,
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
                return taken;
            }
        }
        // All was taken, so that it does not matter whether the sink breaks.
        if self.rich().is_some_and(|rich| rich.is_drawn()) {
            let _ = self.answer(sink, Rich::draw);
        }
        taken
    }

    /// Asks for rich mode, or ends it: what becomes of that. `out` is sent after that was said.
    pub fn set_rich(&mut self, on: bool, out: &mut Vec<u8>) -> RichMode {
        if on {
            return self.negotiation.get_or_insert_default().ask(out);
        }
        if let Some(negotiation) = &mut self.negotiation
            && let Some(typed) = negotiation.end(out)
        {
            self.type_on(typed);
        }
        RichMode::Off
    }

    /// In rich mode, takes the line being typed from the screen, so that something else can be
    /// sent.
    pub fn clear(&mut self, out: &mut Vec<u8>) {
        self.put_drawn(out, Rich::clear);
    }

    /// In rich mode, draws the line being typed below everything sent.
    pub fn draw(&mut self, out: &mut Vec<u8>) {
        self.put_drawn(out, Rich::draw);
    }

    fn rich(&mut self) -> Option<&mut Rich> {
        self.negotiation.as_mut()?.rich()
    }

    fn put_drawn(&mut self, out: &mut Vec<u8>, put: impl FnOnce(&mut Rich, &mut String)) {
        let mut drawn = String::new();
        if let Some(rich) = self.rich() {
            put(rich, &mut drawn);
        }
        out.extend_from_slice(drawn.as_bytes());
    }

    /// Gives what the editor draws, if it draws anything.
    fn answer(
        &mut self,
        sink: &mut Sink<'_>,
        put: impl FnOnce(&mut Rich, &mut String),
    ) -> ControlFlow<()> {
        let mut drawn = Vec::new();
        self.put_drawn(&mut drawn, put);
        if drawn.is_empty() { ControlFlow::Continue(()) } else { sink(Input::Answer(&drawn)) }
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
        if self.rich().is_some() {
            return self.read_keys(text, after, sink);
        }
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

    /// As `read_text`, in rich mode. Where a line ends, what it looks like at last is given first,
    /// and its end is taken with the line itself.
    fn read_keys(&mut self, text: &[u8], after: &[u8], sink: &mut Sink<'_>) -> Step {
        if self.count_commands(text.len()).is_err() {
            return (text.len(), self.close(Input::EndlessLine, sink));
        }
        let Some(rich) = self.rich() else { return (0, ControlFlow::Continue(())) };
        rich.read(text);
        if matches!(after, [LF | CR, ..]) {
            let mut drawn = String::new();
            if rich.finish(&mut drawn) {
                return (text.len(), sink(Input::Answer(drawn.as_bytes())));
            }
            let line = rich.take();
            let len = text.len() + self.end_line(after);
            return match line {
                Some(line) => (len, give_line(line.as_bytes(), sink)),
                None => (len, sink(Input::LineTooLong)),
            };
        }
        if !after.is_empty() {
            self.state = State::Command;
            self.commands_len += 1;
        }
        (text.len() + after.len().min(1), ControlFlow::Continue(()))
    }

    /// Goes on with what was typed in rich mode.
    fn type_on(&mut self, typed: TypedLine) {
        self.text_len = match &typed {
            TypedLine::Held(bytes) => u16::try_from(bytes.len()).expect("a line fits"),
            TypedLine::TooLong => 1,
        };
        self.line = typed;
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
        // Before the server says something by itself, the line being typed goes from the screen.
        if self.says_something(byte) && self.rich().is_some_and(|rich| rich.is_drawn()) {
            return (0, self.answer(sink, Rich::clear));
        }
        let state = std::mem::take(&mut self.state);
        let flow = match (state, byte) {
            // A stray 0xFF, as in Latin-1: the line ends all the same.
            (State::Command | State::SubnegotiationCommand { .. }, LF | CR) => {
                return (0, ControlFlow::Continue(()));
            }
            (State::Option(word), option) => {
                self.negotiate(sink, |negotiation, out, _| negotiation.hear(word, option, out))
            }
            (State::Subnegotiation { len }, IAC) => {
                self.state = State::SubnegotiationCommand { len };
                ControlFlow::Continue(())
            }
            (State::Subnegotiation { len }, _) => self.keep(len, byte, sink),
            (State::SubnegotiationCommand { len }, IAC) => self.keep(len, byte, sink),
            (State::SubnegotiationCommand { .. }, SE) => {
                self.negotiate(sink, Negotiation::end_subnegotiation)
            }
            (State::Command | State::SubnegotiationCommand { .. }, _) => {
                self.obey_command(byte, sink)
            }
            (State::Text | State::AfterCr | State::Closed, _) => ControlFlow::Continue(()),
        };
        (1, flow)
    }

    /// Whether this byte of a command brings a message to the person.
    fn says_something(&self, byte: u8) -> bool {
        match self.state {
            State::Command => byte == AYT,
            State::Option(word) => {
                self.negotiation.as_ref().is_some_and(|it| it.would_end(word, byte))
            }
            _ => false,
        }
    }

    /// Obeys the byte after IAC.
    fn obey_command(&mut self, byte: u8, sink: &mut Sink<'_>) -> ControlFlow<()> {
        match byte {
            WILL => self.state = State::Option(Word::Will),
            WONT => self.state = State::Option(Word::Wont),
            DO => self.state = State::Option(Word::Do),
            DONT => self.state = State::Option(Word::Dont),
            SB => {
                self.negotiation.get_or_insert_default().begin_subnegotiation();
                self.state = State::Subnegotiation { len: 0 };
            }
            EC => self.obey_keys(&[BACKSPACE], TypedLine::erase_character),
            EL | IP | BRK => self.obey_keys(&[CTRL_C], TypedLine::erase),
            AYT => return sink(Input::AreYouThere),
            IAC => {
                if let Some(rich) = self.rich() {
                    rich.read(&[IAC]);
                } else if self.hold(&[IAC]).is_err() {
                    return self.close(Input::EndlessLine, sink);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn obey_keys(&mut self, keys: &[u8], erase: fn(&mut TypedLine)) {
        match self.rich() {
            Some(rich) => rich.read(keys),
            None => erase(&mut self.line),
        }
    }

    /// Reads one byte of a subnegotiation of which `len` bytes came before.
    fn keep(&mut self, len: u16, byte: u8, sink: &mut Sink<'_>) -> ControlFlow<()> {
        match add(len, 1, SUBNEGOTIATION_LEN_MAX) {
            Ok(len) => {
                self.state = State::Subnegotiation { len };
                self.negotiation.get_or_insert_default().keep(byte);
                ControlFlow::Continue(())
            }
            Err(Endless) => self.close(Input::EndlessLine, sink),
        }
    }

    /// Something of a negotiation came. At most one input: what is said of rich mode brings with it
    /// what is to be sent.
    fn negotiate(
        &mut self,
        sink: &mut Sink<'_>,
        hear: impl FnOnce(&mut Negotiation, &mut Vec<u8>, &mut String) -> Option<RichMode>,
    ) -> ControlFlow<()> {
        let (mut answer, mut drawn) = (Vec::new(), String::new());
        let negotiation = self.negotiation.get_or_insert_default();
        let mode = hear(negotiation, &mut answer, &mut drawn);
        answer.extend_from_slice(drawn.as_bytes());
        match mode {
            Some(mode) => {
                match mode {
                    RichMode::On => self.take_over_line(),
                    RichMode::Off => drop(self.set_rich(false, &mut answer)),
                    _ => {}
                }
                sink(Input::Rich { mode, answer: &answer })
            }
            None if answer.is_empty() => ControlFlow::Continue(()),
            None => sink(Input::Answer(&answer)),
        }
    }

    /// What is typed already goes on in rich mode.
    fn take_over_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.text_len = 0;
        let Some(rich) = self.rich() else { return };
        match line {
            TypedLine::Held(bytes) => rich.read(&bytes),
            TypedLine::TooLong => rich.exceed(),
        }
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
        // Rich mode is ended with the connection.
        self.negotiation.take_if(|negotiation| !negotiation.is_rich());
        sink(input)
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
