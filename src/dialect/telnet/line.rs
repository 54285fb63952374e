//! The line being typed, while its end has not come, and the keys that edit it.
//!
//! Holds what was sent, not yet cleaned, because a character may be cut by two reads. At most
//! `LINE_LEN_MAX` bytes: of a line that went over, only that it did is kept.

use serde::{Deserialize, Serialize};

use crate::limits::LINE_LEN_MAX;
use crate::text;

/// The least that is allocated: few lines outgrow it more than once.
const CAPACITY_MIN: usize = 64;

/// What is typed so far.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum TypedLine {
    /// All of it. Allocated from the first byte on.
    Held(#[serde(with = "serde_bytes")] Vec<u8>),
    /// It was over the limit once. Stays so until the line is erased whole, because what was let go
    /// cannot be edited.
    TooLong,
}

impl Default for TypedLine {
    fn default() -> Self {
        Self::Held(Vec::new())
    }
}

impl TypedLine {
    /// Adds bytes at the end.
    pub(super) fn push(&mut self, run: &[u8]) {
        let Self::Held(bytes) = self else { return };
        let len = bytes.len() + run.len();
        if len > LINE_LEN_MAX {
            *self = Self::TooLong;
            return;
        }
        if len > bytes.capacity() {
            let capacity = len.max(2 * bytes.capacity()).clamp(CAPACITY_MIN, LINE_LEN_MAX);
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(run);
    }

    /// Erases the last character as a person sees it: with its marks, and with what is not drawn.
    pub(super) fn erase_character(&mut self) {
        let Self::Held(bytes) = self else { return };
        while let Some((start, character)) = last_character(bytes) {
            bytes.truncate(start);
            if text::is_drawn(character) {
                break;
            }
        }
    }

    /// Erases the last word and the space after it.
    pub(super) fn erase_word(&mut self) {
        let Self::Held(bytes) = self else { return };
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
        let word_end = bytes.iter().rposition(|byte| !is_space(byte)).map_or(0, |last| last + 1);
        let word_start = bytes[..word_end].iter().rposition(is_space).map_or(0, |space| space + 1);
        bytes.truncate(word_start);
    }

    /// Erases all of it and frees its memory.
    pub(super) fn erase(&mut self) {
        *self = Self::default();
    }
}

/// The last character and where it starts; a byte that is no part of one counts as U+FFFD.
fn last_character(bytes: &[u8]) -> Option<(usize, char)> {
    let last = bytes.len().checked_sub(1)?;
    let is_start = |&index: &usize| !matches!(bytes[index], 0x80..=0xbf);
    let character = (last.saturating_sub(3)..=last).rev().find(is_start).and_then(|start| {
        let mut characters = str::from_utf8(&bytes[start..]).ok()?.chars();
        Some((start, characters.next()?))
    });
    Some(character.unwrap_or((last, char::REPLACEMENT_CHARACTER)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(typed: &[u8], edit: fn(&mut TypedLine)) -> Vec<u8> {
        let mut line = TypedLine::default();
        line.push(typed);
        edit(&mut line);
        match line {
            TypedLine::Held(bytes) => bytes,
            TypedLine::TooLong => b"too long".to_vec(),
        }
    }

    #[test]
    fn a_character_is_erased_with_its_marks() {
        for (typed, left) in [
            (&b""[..], &b""[..]),
            (b"a", b""),
            (b"ab", b"a"),
            ("aé".as_bytes(), b"a"),
            ("a世".as_bytes(), b"a"),
            ("a😀".as_bytes(), b"a"),
            ("xe\u{301}\u{302}".as_bytes(), b"x"),
            ("\u{301}".as_bytes(), b""),
            ("ab\u{1b}".as_bytes(), b"a"),
            (b"a\x80", b"a"),
            (b"a\xe4\xb8", b"a\xe4"),
            (b"a\xff", b"a"),
            (b"\x80\x80\x80\x80\x80", b"\x80\x80\x80\x80"),
            (b"a\t", b"a"),
        ] {
            assert_eq!(edited(typed, TypedLine::erase_character), left, "{typed:?}");
        }
    }

    #[test]
    fn a_word_is_erased_with_the_space_after_it() {
        for (typed, left) in [
            (&b""[..], &b""[..]),
            (b"one", b""),
            (b"one two", b"one "),
            (b"one two \t ", b"one "),
            (b"   ", b""),
            ("eins zwölf".as_bytes(), b"eins "),
        ] {
            assert_eq!(edited(typed, TypedLine::erase_word), left, "{typed:?}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        for piece_len in [1, 7, 63, 300, LINE_LEN_MAX] {
            let mut line = TypedLine::default();
            for _ in 0..LINE_LEN_MAX / piece_len {
                line.push(&vec![b'x'; piece_len]);
                let TypedLine::Held(bytes) = &line else { panic!("within the limit") };
                assert!(bytes.capacity() <= LINE_LEN_MAX, "{piece_len}");
            }
            line.push(&[b'x'; LINE_LEN_MAX]);
            assert!(matches!(line, TypedLine::TooLong));
            line.erase_character();
            line.erase_word();
            assert!(matches!(line, TypedLine::TooLong));
            line.erase();
            assert!(matches!(line, TypedLine::Held(bytes) if bytes.capacity() == 0));
        }
    }
}
