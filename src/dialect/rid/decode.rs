//! Bytes to frames, kept from read to read, so that it never matters how the bytes were cut.
//!
//! A frame is `<RID:111>text</RID:111>`: the text ends at the first closing tag of the same number.
//! Line ends between frames mean nothing; whatever else stands there is thrown away, and reported
//! once for each run up to a line end or the next `<RID:`. Between frames there is no heap.

use std::cell::Cell;
use std::ops::ControlFlow;

use memchr::{memchr, memchr3, memmem};
use serde::{Deserialize, Serialize};

use crate::dialect::{Input, Sound, is_default, words};
use crate::limits::{DISCARDED_LEN_MAX, FRAME_LEN_MAX, FRAME_LINES_MAX, NAME_LEN_MAX};
use crate::text;

const LF: u8 = b'\n';
const CR: u8 = b'\r';
/// A frame begins so, then come digits and `>`.
const HEAD: &[u8] = b"<RID:";
/// And it ends so, with the same digits and `>`.
const TAIL: &[u8] = b"</RID:";
const TAIL_LEN_MAX: usize = TAIL.len() + NAME_LEN_MAX + 1;

thread_local! {
    /// For texts that the gate changes, and for one line of such. For each thread instead of for
    /// each connection.
    static SCRATCH: Cell<(String, String)> = const { Cell::new((String::new(), String::new())) };
}

type Sink<'a> = dyn FnMut(Input<'_>) -> ControlFlow<()> + 'a;

/// How many bytes were taken, and whether to go on.
type Step = (usize, ControlFlow<()>);

/// The reading side of one rid connection.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Decoder {
    /// A frame so far, `FRAME_LEN_MAX` bytes at most; of one over the limit, its opening tag and
    /// what may be the beginning of its closing one. Empty between frames.
    #[serde(with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    held: Vec<u8>,
    /// Bytes thrown away of this run or frame.
    #[serde(skip_serializing_if = "is_default")]
    discarded_len: u32,
    #[serde(skip_serializing_if = "is_default")]
    state: State,
    /// The run of bytes thrown away has been reported.
    #[serde(skip_serializing_if = "is_default")]
    reported: bool,
}

// The counter holds its limit, and what one step may add to it.
const _: () = assert!(DISCARDED_LEN_MAX < u32::MAX as usize);
// One for each connection, and not larger than telnet's.
const _: () = assert!(size_of::<Decoder>() <= 40);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// Between frames.
    #[default]
    Between,
    /// `held` may become an opening tag.
    Opening,
    /// `held` begins with an opening tag of that length.
    Text { tag_len: u8 },
    /// The same, and the frame is over the limit.
    Dropping { tag_len: u8 },
    /// After the last input. All that comes is swallowed.
    Closed,
}

/// What bytes are as an opening tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    /// They begin with one of this length.
    Whole(usize),
    /// More has to come.
    Part,
    /// They are none from this byte on.
    Not(usize),
}

impl Decoder {
    /// See `dialect::Decoder::decode`.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        sink: &mut dyn FnMut(Input<'_>) -> ControlFlow<()>,
    ) -> usize {
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
            State::Between => match whole_frame(rest) {
                Some((tag_len, len)) => {
                    self.end_run();
                    (len, give_frame(&rest[..len], tag_len, sink))
                }
                None => self.read_between(rest, sink),
            },
            State::Opening => self.read_tag(rest, sink),
            State::Text { tag_len } => self.read_text(tag_len, rest, sink),
            State::Dropping { tag_len } => self.drop_text(tag_len, rest, sink),
            State::Closed => (rest.len(), ControlFlow::Continue(())),
        }
    }

    /// Reads up to what may begin a frame, to the next line end, or into a run.
    fn read_between(&mut self, rest: &[u8], sink: &mut Sink<'_>) -> Step {
        match rest[0] {
            b'<' => {
                self.state = State::Opening;
                (0, ControlFlow::Continue(()))
            }
            LF | CR => {
                self.end_run();
                (1, ControlFlow::Continue(()))
            }
            _ => {
                let len = memchr3(LF, CR, b'<', rest).unwrap_or(rest.len());
                (len, self.discard(len, sink))
            }
        }
    }

    /// Adds bytes to an opening tag. If it becomes none, what was held belongs to a run.
    fn read_tag(&mut self, rest: &[u8], sink: &mut Sink<'_>) -> Step {
        let before = self.held.len();
        let part = &rest[..rest.len().min(HEAD.len() + NAME_LEN_MAX + 1 - before)];
        self.held.extend_from_slice(part);
        match tag(&self.held) {
            Tag::Part => (part.len(), ControlFlow::Continue(())),
            Tag::Whole(tag_len) => {
                self.held.truncate(tag_len);
                self.end_run();
                self.state = State::Text { tag_len: u8::try_from(tag_len).expect("it is short") };
                (tag_len - before, ControlFlow::Continue(()))
            }
            Tag::Not(len) => {
                self.held = Vec::new();
                self.state = State::Between;
                if len >= HEAD.len() {
                    self.end_run();
                }
                (len - before, self.discard(len, sink))
            }
        }
    }

    /// Adds text to the frame, up to and with the next `>`.
    fn read_text(&mut self, tag_len: u8, rest: &[u8], sink: &mut Sink<'_>) -> Step {
        let len = memchr(b'>', rest).map_or(rest.len(), |end| end + 1);
        if self.held.len() + len > FRAME_LEN_MAX {
            return self.begin_dropping(tag_len, sink);
        }
        self.held.extend_from_slice(&rest[..len]);
        if !ends_frame(&self.held, tag_len.into()) {
            return (len, ControlFlow::Continue(()));
        }
        self.state = State::Between;
        let frame = std::mem::take(&mut self.held);
        (len, give_frame(&frame, tag_len.into(), sink))
    }

    /// The frame is over the limit: it is refused at once, and passed over.
    fn begin_dropping(&mut self, tag_len: u8, sink: &mut Sink<'_>) -> Step {
        self.state = State::Dropping { tag_len };
        self.forget_text(tag_len.into());
        self.held.shrink_to_fit();
        (0, sink(Input::LineTooLong))
    }

    fn drop_text(&mut self, tag_len: u8, rest: &[u8], sink: &mut Sink<'_>) -> Step {
        let len = memchr(b'>', rest).map_or(rest.len(), |end| end + 1);
        if self.count_discarded(len) {
            return (len, self.close(sink));
        }
        self.held.extend_from_slice(&rest[len.saturating_sub(TAIL_LEN_MAX)..len]);
        if ends_frame(&self.held, tag_len.into()) {
            self.held = Vec::new();
            self.state = State::Between;
            self.end_run();
        } else {
            self.forget_text(tag_len.into());
        }
        (len, ControlFlow::Continue(()))
    }

    /// Keeps the opening tag and as much of the end as can begin a closing one.
    fn forget_text(&mut self, tag_len: usize) {
        let keep_from = self.held.len().saturating_sub(TAIL_LEN_MAX).max(tag_len);
        self.held.drain(tag_len..keep_from);
    }

    /// Throws `len` bytes away that are no frame.
    fn discard(&mut self, len: usize, sink: &mut Sink<'_>) -> ControlFlow<()> {
        if self.count_discarded(len) {
            return self.close(sink);
        }
        if std::mem::replace(&mut self.reported, true) {
            ControlFlow::Continue(())
        } else {
            sink(Input::Invalid)
        }
    }

    /// Whether that is more than may be.
    fn count_discarded(&mut self, len: usize) -> bool {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.discarded_len = self.discarded_len.saturating_add(len);
        self.discarded_len as usize > DISCARDED_LEN_MAX
    }

    fn end_run(&mut self) {
        self.reported = false;
        self.discarded_len = 0;
    }

    /// Gives the last input.
    fn close(&mut self, sink: &mut Sink<'_>) -> ControlFlow<()> {
        self.state = State::Closed;
        self.held = Vec::new();
        sink(Input::EndlessLine)
    }
}

impl Sound for Decoder {
    /// What is held is what the state says.
    fn is_sound(&self) -> bool {
        match self.state {
            State::Between | State::Closed => self.held.is_empty(),
            State::Opening => tag(&self.held) == Tag::Part,
            State::Text { tag_len } | State::Dropping { tag_len } => {
                tag(&self.held) == Tag::Whole(tag_len.into())
            }
        }
    }
}

fn tag(bytes: &[u8]) -> Tag {
    let common = bytes.iter().zip(HEAD).take_while(|(byte, expected)| byte == expected).count();
    if common < HEAD.len() {
        return if common == bytes.len() { Tag::Part } else { Tag::Not(common) };
    }
    let digits = bytes[HEAD.len()..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let len = HEAD.len() + digits.min(NAME_LEN_MAX);
    match bytes.get(len) {
        None => Tag::Part,
        Some(b'>') if digits > 0 => Tag::Whole(len + 1),
        Some(_) => Tag::Not(len),
    }
}

/// The digits of an opening tag.
fn number(tag: &[u8]) -> &[u8] {
    &tag[HEAD.len()..tag.len() - 1]
}

/// Whether the bytes, which begin with an opening tag, end with the closing one. The two cannot
/// overlap.
fn ends_frame(bytes: &[u8], tag_len: usize) -> bool {
    let (tag, text) = bytes.split_at(tag_len);
    text.strip_suffix(b">")
        .and_then(|text| text.strip_suffix(number(tag)))
        .is_some_and(|text| text.ends_with(TAIL))
}

/// The lengths of the opening tag and of the frame that `bytes` begin with, if all of it is there.
fn whole_frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let Tag::Whole(tag_len) = tag(bytes) else { return None };
    let within = &bytes[..bytes.len().min(FRAME_LEN_MAX)];
    let tails = memmem::find_iter(&within[tag_len..], TAIL).map(|at| tag_len + at);
    let digits = number(&within[..tag_len]);
    let ends = tails.map(|at| at + TAIL.len() + digits.len() + 1);
    let len = ends
        .into_iter()
        .find(|end| within.get(..*end).is_some_and(|frame| ends_frame(frame, tag_len)))?;
    Some((tag_len, len))
}

/// Passes the frame's text through the gate, line by line.
fn give_frame(frame: &[u8], tag_len: usize, sink: &mut Sink<'_>) -> ControlFlow<()> {
    let digits = number(&frame[..tag_len]);
    let room = str::from_utf8(digits).expect("digits are text");
    let text = &frame[tag_len..frame.len() - TAIL.len() - digits.len() - 1];
    let (mut clean, mut scratch) = SCRATCH.take();
    clean.clear();
    clean_lines(text, &mut clean, &mut scratch);
    let fits = clean.len() <= FRAME_LEN_MAX && words::lines(&clean).count() <= FRAME_LINES_MAX;
    let flow = sink(if fits { Input::Frame { room, text: &clean } } else { Input::LineTooLong });
    SCRATCH.set((clean, scratch));
    flow
}

/// Appends the text to `out` as it may be shown. CR LF and a lone CR become LF.
fn clean_lines(mut text: &[u8], out: &mut String, scratch: &mut String) {
    while let Some(end) = memchr::memchr2(LF, CR, text) {
        out.push_str(text::clean(&text[..end], scratch));
        out.push('\n');
        let end_len = if text[end..].starts_with(b"\r\n") { 2 } else { 1 };
        text = &text[end + end_len..];
    }
    out.push_str(text::clean(text, scratch));
}

#[cfg(test)]
mod tests;
