//! The line being typed, the place in it where the next key goes, and the lines before it.
//!
//! The line went through the text gate character by character, so that it can be drawn as it
//! stands. What moves or goes is a whole character as a person sees it: with the marks on it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::keys::Key;
use crate::dialect::Sound;
use crate::dialect::telnet::line::TypedLine;
use crate::limits::{LINE_LEN_MAX, RECALLED_LINES_MAX};
use crate::text;

/// A line under the keys of its author.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Edit {
    line: String,
    /// Where the next character goes: before a drawn character, or at the end.
    cursor: usize,
    /// More was typed than a line may hold. Stays so until the line is erased whole, so that
    /// nobody sends a part of what they meant.
    too_long: bool,
    /// The lines before, the last at the end; none is empty.
    history: VecDeque<String>,
    /// Which of them is shown, and what had been typed instead.
    recalled: Option<(usize, String)>,
}

impl Edit {
    pub(super) fn line(&self) -> &str {
        &self.line
    }

    pub(super) fn cursor(&self) -> usize {
        self.cursor
    }

    pub(super) fn obey(&mut self, key: Key) {
        match key {
            Key::Character(character) => self.insert(character),
            Key::Left => self.cursor = self.before(),
            Key::Right => self.cursor = self.after(),
            Key::WordLeft => self.cursor = self.word_before(),
            Key::WordRight => self.cursor = self.word_after(),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.line.len(),
            Key::Backspace => self.erase(self.before(), self.cursor),
            Key::Delete => self.erase(self.cursor, self.after()),
            Key::EraseWord => self.erase(self.word_before(), self.cursor),
            Key::EraseBefore => self.erase(0, self.cursor),
            Key::EraseAfter => self.erase(self.cursor, self.line.len()),
            Key::Cancel => self.erase(0, self.line.len()),
            Key::Up => self.recall_older(),
            Key::Down => self.recall_newer(),
            Key::Wipe => {}
        }
    }

    /// Ends the line: what it is, or `None` if it was over the limit.
    pub(super) fn enter(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        let too_long = std::mem::take(&mut self.too_long);
        self.cursor = 0;
        self.recalled = None;
        if !line.is_empty() && self.history.back() != Some(&line) {
            if self.history.len() == RECALLED_LINES_MAX {
                self.history.pop_front();
            }
            self.history.push_back(line.clone());
        }
        (!too_long).then_some(line)
    }

    /// More was typed of the line than it may hold.
    pub(super) fn exceed(&mut self) {
        self.too_long = true;
    }

    /// What was typed of the line.
    pub(super) fn into_typed(self) -> TypedLine {
        if self.too_long { TypedLine::TooLong } else { TypedLine::Held(self.line.into_bytes()) }
    }

    /// A mark belongs to the character before the cursor; whether it may stand there the gate says.
    fn insert(&mut self, character: char) {
        let before = self.before();
        let mut piece = self.line[before..self.cursor].to_owned();
        piece.push(character);
        let mut scratch = String::new();
        let piece = text::clean(piece.as_bytes(), &mut scratch);
        if self.line.len() - (self.cursor - before) + piece.len() > LINE_LEN_MAX {
            self.too_long = true;
            return;
        }
        self.line.replace_range(before..self.cursor, piece);
        self.cursor = before + piece.len();
    }

    fn erase(&mut self, from: usize, to: usize) {
        self.line.replace_range(from..to, "");
        self.cursor = from;
        self.too_long &= !self.line.is_empty();
    }

    /// Where the character before the cursor begins.
    fn before(&self) -> usize {
        let drawn = |(_, character): &(usize, char)| text::is_drawn(*character);
        self.line[..self.cursor].char_indices().rfind(drawn).map_or(0, |(start, _)| start)
    }

    /// Where the character at the cursor ends.
    fn after(&self) -> usize {
        let rest = &self.line[self.cursor..];
        let next = rest.char_indices().skip(1).find(|(_, character)| text::is_drawn(*character));
        self.cursor + next.map_or(rest.len(), |(start, _)| start)
    }

    fn word_before(&self) -> usize {
        let word = self.line[..self.cursor].trim_end_matches(' ');
        word.rfind(' ').map_or(0, |space| space + 1)
    }

    fn word_after(&self) -> usize {
        let rest = &self.line[self.cursor..];
        let word = rest.trim_start_matches(' ');
        let end = word.find(' ').unwrap_or(word.len());
        self.cursor + (rest.len() - word.len()) + end
    }

    fn recall_older(&mut self) {
        let shown = self.recalled.as_ref().map_or(self.history.len(), |(shown, _)| *shown);
        let Some(older) = shown.checked_sub(1).filter(|_| !self.too_long) else { return };
        let line = self.history[older].clone();
        let before = std::mem::replace(&mut self.line, line);
        let typed = self.recalled.take().map_or(before, |(_, typed)| typed);
        self.recalled = Some((older, typed));
        self.cursor = self.line.len();
    }

    fn recall_newer(&mut self) {
        let Some((shown, typed)) = self.recalled.take() else { return };
        match self.history.get(shown + 1) {
            Some(line) => {
                self.line.clone_from(line);
                self.recalled = Some((shown + 1, typed));
            }
            None => self.line = typed,
        }
        self.cursor = self.line.len();
    }
}

impl Sound for Edit {
    /// The places are places, and all that may become the line is short enough for one.
    fn is_sound(&self) -> bool {
        let Self { line, cursor, history, recalled, .. } = self;
        let typed = recalled.iter().map(|(_, typed)| typed);
        line.is_char_boundary(*cursor)
            && recalled.as_ref().is_none_or(|(shown, _)| *shown < history.len())
            && history.iter().chain([line]).chain(typed).all(|line| line.len() <= LINE_LEN_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::telnet::rich::keys::Keys;
    use crate::dialect::tests::is_clean;
    use proptest::prelude::*;

    fn typed(edit: &mut Edit, bytes: &[u8]) {
        let mut keys = Keys::default();
        keys.read(bytes, &mut |key| edit.obey(key));
        keys.end(&mut |key| edit.obey(key));
    }

    /// The line with a bar where the cursor stands.
    fn after(bytes: &str) -> String {
        let mut edit = Edit::default();
        typed(&mut edit, bytes.as_bytes());
        let (before, after) = edit.line.split_at(edit.cursor);
        format!("{before}|{after}")
    }

    #[test]
    fn keys_and_what_they_do() {
        for (keys, line) in [
            ("", "|"),
            ("abc", "abc|"),
            ("a\tb", "a b|"),
            ("abc\x1b[D", "ab|c"),
            ("abc\x1b[D\x1b[DX", "aX|bc"),
            ("abc\x1b[D\x1b[C\x1b[C", "abc|"),
            ("abc\x01X\x05Y", "XabcY|"),
            ("abc\x1b[HX\x1b[FY", "XabcY|"),
            ("ab\x7f\x08\x08", "|"),
            ("abc\x02\x04", "ab|"),
            ("abc\x01\x1b[3~", "|bc"),
            ("one two\x17", "one |"),
            ("one two  \x17", "one |"),
            ("one two\x02\x17", "one |o"),
            ("one two\x02\x15", "|o"),
            ("one two\x01\x06\x0b", "o|"),
            ("one two\x03x", "x|"),
            ("one two\x1bb\x1bbX\x1bfY", "XoneY| two"),
            ("grün\x7f\x7f", "gr|"),
            ("a语b\x02\x7f", "a|b"),
            ("xe\u{301}\u{302}y\x02\x7f", "x|y"),
            ("xey\x02\u{301}", "xe\u{301}|y"),
            ("\u{301}a", "a|"),
            ("a\u{200d}b\u{202e}\u{9b}c", "abc|"),
        ] {
            assert_eq!(after(keys), line, "{keys:?}");
        }
    }

    #[test]
    fn lines_come_back() {
        let mut edit = Edit::default();
        for line in ["one", "two", "two", "", "three"] {
            typed(&mut edit, line.as_bytes());
            assert_eq!(edit.enter().as_deref(), Some(line));
        }
        let mut at = |keys: &str| {
            typed(&mut edit, keys.as_bytes());
            edit.line.clone()
        };
        assert_eq!(at("half\x1b[A"), "three");
        assert_eq!(at("\x10"), "two");
        assert_eq!(at("\x10\x10\x10"), "one");
        assert_eq!(at("!\x1b[B"), "two", "what was changed of a line before is forgotten");
        assert_eq!(at("\x0e\x0e\x0e"), "half");
        assert_eq!(at("\x0e"), "half");
        for number in 0..2 * RECALLED_LINES_MAX {
            typed(&mut edit, format!("\x15line {number}").as_bytes());
            edit.enter();
        }
        assert_eq!(edit.history.len(), RECALLED_LINES_MAX);
    }

    #[test]
    fn a_line_over_the_limit_stays_so_until_it_is_erased() {
        let mut edit = Edit::default();
        let most = "x".repeat(LINE_LEN_MAX);
        typed(&mut edit, most.as_bytes());
        assert_eq!(edit.enter(), Some(most.clone()));
        typed(&mut edit, most.as_bytes());
        typed(&mut edit, b"y\x7f\x7f\x10");
        assert_eq!(edit.line.len(), LINE_LEN_MAX - 2);
        assert_eq!(edit.enter(), None);
        typed(&mut edit, most.as_bytes());
        typed(&mut edit, b"y\x15z");
        assert_eq!(edit.enter().as_deref(), Some("z"));
    }

    proptest! {
        #[test]
        fn the_line_can_always_be_drawn(pieces in proptest::collection::vec(
            prop_oneof![
                any::<u8>().prop_map(|byte| vec![byte]),
                "\\PC|[\u{300}-\u{303}\u{200d}]".prop_map(String::into_bytes),
                "\x1b\\[[A-F]".prop_map(String::into_bytes),
            ],
            0..60,
        )) {
            let mut edit = Edit::default();
            let mut keys = Keys::default();
            for piece in pieces {
                keys.read(&piece, &mut |key| edit.obey(key));
                prop_assert!(is_clean(edit.line()), "{:?}", edit.line());
                prop_assert!(edit.line().len() <= LINE_LEN_MAX);
                prop_assert!(edit.line().is_char_boundary(edit.cursor()));
                let next = edit.line()[edit.cursor()..].chars().next();
                prop_assert!(next.is_none_or(text::is_drawn));
            }
        }
    }
}
