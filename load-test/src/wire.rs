//! The texts that are sent, both ways, without I/O: each begins with a header, so that every
//! delivery tells who sent it, which one it is and when it was due. A text is
//!
//! ```text
//! @RRRRRRRR.SSSSSS.QQQQQQQQ.IIIIIIIIIIIIIIII.TTTTTTTTTTTTTTTT.CCCCCCCC filler
//!  run      sender seq      intended ns      sent ns          checksum
//! ```
//!
//! in lower-case hex. The checksum covers all bytes but its own, so a byte changed anywhere, or a
//! line cut or joined, shows.

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

/// Reads a text as it came out of the frame that the protocol puts around it.
pub(crate) fn parse(text: &[u8]) -> Parsed {
    if text.first() != Some(&b'@') {
        return Parsed::Other;
    }
    if text.len() < HEADER_LEN {
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

/// Appends the text of `text_len` bytes (at least `HEADER_LEN`).
pub(crate) fn write_text(out: &mut Vec<u8>, header: Header, text_len: usize) {
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
        write_text(&mut out, HEADER, text_len);
        assert_eq!(out.len(), text_len);
        out
    }

    #[test]
    fn reads_what_it_wrote() {
        for text_len in [HEADER_LEN, HEADER_LEN + 1, 100, 1024] {
            assert_eq!(parse(&text(text_len)), Parsed::Line(HEADER), "{text_len}");
        }
    }

    #[test]
    fn what_others_say_is_not_ours() {
        for text in [&b""[..], b"Yes, I'm here."] {
            assert_eq!(parse(text), Parsed::Other, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn every_changed_byte_shows() {
        let text = text(100);
        for at in 0..text.len() {
            for mask in [1, 0x20, 0x80, 0xff] {
                let mut changed = text.clone();
                changed[at] ^= mask;
                // Without its mark a text is no longer ours: the gap in its sequence shows it.
                let expected = if at == 0 { Parsed::Other } else { Parsed::Corrupted };
                assert_eq!(parse(&changed), expected, "byte {at}, mask {mask}");
            }
        }
    }

    #[test]
    fn cut_and_joined_texts_show() {
        let text = text(100);
        for len in 1..text.len() {
            assert_eq!(parse(&text[..len]), Parsed::Corrupted, "{len} bytes");
        }
        assert_eq!(parse(&[&text[..], &text[..]].concat()), Parsed::Corrupted);
    }
}
