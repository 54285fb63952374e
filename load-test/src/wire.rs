//! Bytes on the wire, both ways, without I/O: splitting what arrives into lines, and the header
//! that every sent line begins with, so that each delivery tells who sent it, which one it is and
//! when it was due. A text is
//!
//! ```text
//! @RRRRRRRR.SSSSSS.QQQQQQQQ.IIIIIIIIIIIIIIII.TTTTTTTTTTTTTTTT.CCCCCCCC filler
//!  run      sender seq      intended ns      sent ns          checksum
//! ```
//!
//! in lower-case hex. The checksum covers all bytes but its own, so a byte changed anywhere, or a
//! line cut or joined, shows.

use crate::limits::LINE_LEN_MAX;
use memchr::memchr;

/// Length of the header with its checksum: the shortest text that can be sent.
pub const HEADER_LEN: usize = CHECKSUM_AT + 8;

const SENDER_AT: usize = 1 + 8 + 1;
const SEQ_AT: usize = SENDER_AT + 6 + 1;
const INTENDED_AT: usize = SEQ_AT + 8 + 1;
const SENT_AT: usize = INTENDED_AT + 16 + 1;
const CHECKSUM_AT: usize = SENT_AT + 16 + 1;
/// The largest sender id that fits the header.
pub(crate) const SENDERS_MAX: u32 = 0x00ff_ffff;

/// What a line says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Tells the lines of this run from those of any other.
    pub(crate) run: u32,
    pub(crate) sender: u32,
    /// Counts the lines of one sender from 0.
    pub(crate) seq: u32,
    /// When the line was due, on CLOCK_MONOTONIC.
    pub(crate) intended_ns: u64,
    /// When it was handed to the kernel.
    pub(crate) sent_ns: u64,
}

/// What a received line turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A line of a generator, intact.
    Line(Header),
    /// Notices, replies, people.
    Other,
    /// It carries a header's mark, but not what was sent.
    Corrupted,
}

/// Reads a line without its end. `prefixed`: the server puts `[NAME] ` before the text.
pub(crate) fn parse(line: &[u8], prefixed: bool) -> Parsed {
    let Some(at) = memchr(b'@', line) else { return Parsed::Other };
    let (prefix, text) = line.split_at(at);
    let prefix_right = if prefixed {
        prefix.starts_with(b"[") && prefix.ends_with(b"] ")
    } else {
        prefix.is_empty()
    };
    if !prefix_right || text.len() < HEADER_LEN {
        return Parsed::Corrupted;
    }
    header(text).map_or(Parsed::Corrupted, Parsed::Line)
}

fn header(text: &[u8]) -> Option<Header> {
    if hex(&text[CHECKSUM_AT..HEADER_LEN])? != u64::from(checksum(text)) {
        return None;
    }
    Some(Header {
        run: u32::try_from(hex(&text[1..SENDER_AT - 1])?).ok()?,
        sender: u32::try_from(hex(&text[SENDER_AT..SEQ_AT - 1])?).ok()?,
        seq: u32::try_from(hex(&text[SEQ_AT..INTENDED_AT - 1])?).ok()?,
        intended_ns: hex(&text[INTENDED_AT..SENT_AT - 1])?,
        sent_ns: hex(&text[SENT_AT..CHECKSUM_AT - 1])?,
    })
}

/// Appends the text of `text_len` bytes (at least `HEADER_LEN`) and its line end.
pub(crate) fn write_line(out: &mut Vec<u8>, header: Header, text_len: usize) {
    let start = out.len();
    out.push(b'@');
    push_hex(out, u64::from(header.run), 8, b'.');
    push_hex(out, u64::from(header.sender), 6, b'.');
    push_hex(out, u64::from(header.seq), 8, b'.');
    push_hex(out, header.intended_ns, 16, b'.');
    push_hex(out, header.sent_ns, 16, b'.');
    out.extend_from_slice(b"00000000");
    let filler = (b'a'..=b'z').cycle().skip(header.seq as usize % 26);
    out.extend(filler.take(text_len.saturating_sub(HEADER_LEN)));
    let sum = checksum(&out[start..]);
    let mut digits = Vec::with_capacity(9);
    push_hex(&mut digits, u64::from(sum), 8, b'.');
    out[start + CHECKSUM_AT..start + HEADER_LEN].copy_from_slice(&digits[..8]);
    out.extend_from_slice(b"\r\n");
}

/// Over everything but the checksum itself; eight bytes a step, each step reversible, so that a
/// single changed byte always changes the 64-bit state.
fn checksum(text: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = text.len() as u64;
    for part in [&text[..CHECKSUM_AT], &text[HEADER_LEN..]] {
        let (words, rest) = part.as_chunks::<8>();
        for word in words {
            state = (state ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR).rotate_left(29);
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        state = (state ^ u64::from_le_bytes(last)).wrapping_mul(FACTOR).rotate_left(29);
    }
    u32::try_from((state ^ (state >> 32)) & 0xffff_ffff).expect("masked to 32 bits")
}

/// The value of each hex digit, `NO_DIGIT` for other bytes.
const DIGITS: [u8; 256] = {
    let mut table = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        table[HEX[value as usize] as usize] = value;
        value += 1;
    }
    table
};
const HEX: &[u8; 16] = b"0123456789abcdef";
const NO_DIGIT: u8 = 0x80;

/// At most 16 digits.
fn hex(digits: &[u8]) -> Option<u64> {
    let mut value = 0;
    let mut seen = 0;
    for &byte in digits {
        let digit = DIGITS[usize::from(byte)];
        seen |= digit;
        value = value << 4 | u64::from(digit);
    }
    (seen & NO_DIGIT == 0).then_some(value)
}

fn push_hex(out: &mut Vec<u8>, value: u64, digits: u32, after: u8) {
    let digit = |place: u32| HEX[(value >> (4 * place) & 15) as usize];
    out.extend((0..digits).rev().map(digit));
    out.push(after);
}

/// Cuts a stream into lines; keeps the beginning of one whose end has not come.
#[derive(Default)]
pub(crate) struct Splitter {
    /// No line feed in it, `LINE_LEN_MAX` bytes at most: of a longer line the rest is dropped.
    pending: Vec<u8>,
}

impl Splitter {
    /// Calls `on_line` for each line that ends in `chunk`, without its line feed or CR LF.
    pub(crate) fn feed(&mut self, mut chunk: &[u8], mut on_line: impl FnMut(&[u8])) {
        while let Some(end) = memchr(b'\n', chunk) {
            let (head, rest) = chunk.split_at(end);
            if self.pending.is_empty() {
                on_line(without_carriage_return(head));
            } else {
                self.keep(head);
                on_line(without_carriage_return(&self.pending));
                self.pending.clear();
            }
            chunk = &rest[1..];
        }
        self.keep(chunk);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_LEN_MAX - self.pending.len();
        self.pending.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

fn without_carriage_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        run: 0xdead_beef,
        sender: 0x1234,
        seq: 77,
        intended_ns: u64::MAX - 1,
        sent_ns: 0x0123_4567_89ab_cdef,
    };

    fn text(text_len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        write_line(&mut out, HEADER, text_len);
        assert_eq!(out.split_off(text_len), b"\r\n");
        out
    }

    fn prefixed(text: &[u8]) -> Vec<u8> {
        [b"[127.0.0.1:4000] ", text].concat()
    }

    #[test]
    fn reads_what_it_wrote() {
        for text_len in [HEADER_LEN, HEADER_LEN + 1, 100, 1024] {
            let text = text(text_len);
            assert_eq!(parse(&text, false), Parsed::Line(HEADER), "{text_len}");
            assert_eq!(parse(&prefixed(&text), true), Parsed::Line(HEADER), "{text_len}");
        }
    }

    #[test]
    fn other_lines_are_not_ours() {
        let others: [&[u8]; 5] = [
            b"",
            b"You're connected to the chatd chatserver",
            b"Client joined 127.0.0.1:37994",
            b"You are alone in lobby",
            b"[plato] Yes, I'm here.",
        ];
        for line in others {
            assert_eq!(parse(line, true), Parsed::Other, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn every_changed_byte_shows() {
        let line = prefixed(&text(100));
        let text_at = line.len() - 100;
        for at in text_at..line.len() {
            for mask in [1, 0x20, 0x80, 0xff] {
                let mut changed = line.clone();
                changed[at] ^= mask;
                let parsed = parse(&changed, true);
                // Without its mark a line is no longer ours: the gap in its sequence shows it.
                let expected = if at == text_at { Parsed::Other } else { Parsed::Corrupted };
                assert_eq!(parsed, expected, "byte {at}, mask {mask}");
            }
        }
    }

    #[test]
    fn cut_joined_and_wrongly_prefixed_lines_show() {
        let line = prefixed(&text(100));
        for len in 18..line.len() {
            assert_eq!(parse(&line[..len], true), Parsed::Corrupted, "{len} bytes");
        }
        assert_eq!(parse(&[&line[..], &line[..]].concat(), true), Parsed::Corrupted);
        assert_eq!(parse(&text(100), true), Parsed::Corrupted, "no prefix");
        assert_eq!(parse(&line, false), Parsed::Corrupted, "a prefix from the floor");
    }

    #[test]
    fn splits_alike_at_every_position() {
        let stream = b"one\r\ntwo\n\r\n\nlonger line\r\nrest";
        let expected: [&[u8]; 5] = [b"one", b"two", b"", b"", b"longer line"];
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let mut splitter = Splitter::default();
                let mut lines = Vec::new();
                for chunk in [&stream[..first], &stream[first..second], &stream[second..]] {
                    splitter.feed(chunk, |line| lines.push(line.to_vec()));
                }
                assert_eq!(lines, expected, "split at {first} and {second}");
                assert_eq!(splitter.pending, b"rest");
            }
        }
    }

    #[test]
    fn an_endless_line_is_bounded() {
        let mut splitter = Splitter::default();
        for _ in 0..10 {
            splitter.feed(&[b'x'; 1000], |_| panic!("no line has ended"));
        }
        let mut lines = Vec::new();
        splitter.feed(b"\nnext\n", |line| lines.push(line.len()));
        assert_eq!(lines, [LINE_LEN_MAX, 4]);
    }
}
