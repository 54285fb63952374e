//! The line at the bottom of the other end's screen: what of it is drawn, and what to send so that
//! it looks as it should.
//!
//! Terminals wrap by themselves, and those that change the width of what they show (most do) know
//! then which rows were one line. So a line is written in one run, and where it ends depends on the
//! width alone. Only the last column needs help: a terminal that has written there stays there
//! until the next character comes; a space and CR take the cursor to the next row at once.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use unicode_width::UnicodeWidthChar;

use crate::dialect::Sound;
use crate::text;

/// What stands at the bottom of a screen.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Screen {
    width: usize,
    /// What is drawn, if the line is: it stands where the stream of everything sent ends.
    drawn: Option<Drawn>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Drawn {
    text: String,
    /// Before which byte of it the cursor stands.
    cursor: usize,
}

/// A place on the screen, from where the line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    row: usize,
    column: usize,
}

const BEGIN: Place = Place { row: 0, column: 0 };

impl Screen {
    /// Nothing is drawn yet.
    pub(super) fn new(width: usize) -> Self {
        Self { width, drawn: None }
    }

    pub(super) fn is_drawn(&self) -> bool {
        self.drawn.is_some()
    }

    /// Draws `text`, or what is different of it, and puts the cursor before its byte `cursor`.
    pub(super) fn draw(&mut self, text: &str, cursor: usize, out: &mut String) {
        let (old, old_cursor) = match &self.drawn {
            Some(drawn) => (drawn.text.as_str(), drawn.cursor),
            None => ("", 0),
        };
        let same = same_len(old, text);
        let mut at = self.place(&old[..old_cursor]);
        if same < old.len() || same < text.len() {
            go(at, self.place(&text[..same]), out);
            at = self.place(text);
        }
        if same < old.len() {
            out.push_str("\x1b[J");
        }
        if same < text.len() {
            out.push_str(&text[same..]);
            if at.column == 0 {
                out.push_str(" \r");
            }
        }
        go(at, self.place(&text[..cursor]), out);
        match &mut self.drawn {
            Some(drawn) => {
                drawn.text.truncate(same);
                drawn.text.push_str(&text[same..]);
                drawn.cursor = cursor;
            }
            None => self.drawn = Some(Drawn { text: text.to_owned(), cursor }),
        }
    }

    /// Takes the line away, all its rows, and leaves the cursor where it began.
    pub(super) fn clear(&mut self, out: &mut String) {
        let Some(drawn) = self.drawn.take() else { return };
        go(self.place(&drawn.text[..drawn.cursor]), BEGIN, out);
        out.push_str("\x1b[J");
    }

    /// The line stays as `text`, for good; what comes next comes below.
    pub(super) fn leave(&mut self, text: &str, out: &mut String) {
        self.draw(text, text.len(), out);
        self.drawn = None;
        if self.place(text).column > 0 {
            out.push_str("\r\n");
        }
    }

    /// Takes everything away.
    pub(super) fn wipe(&mut self, out: &mut String) {
        self.drawn = None;
        out.push_str("\x1b[H\x1b[2J");
    }

    /// The screen has this width now, and the rows of the line have become as many as they are at
    /// this width.
    pub(super) fn resize(&mut self, width: usize) {
        self.width = width;
    }

    /// Where the cursor stands after `text`. A wide character that does not fit goes to the next
    /// row.
    fn place(&self, text: &str) -> Place {
        let mut place = BEGIN;
        for character in text.chars() {
            let width = character.width().unwrap_or(0);
            if place.column + width > self.width {
                place = Place { row: place.row + 1, column: 0 };
            }
            place.column += width;
        }
        if place.column == self.width {
            place = Place { row: place.row + 1, column: 0 };
        }
        place
    }
}

impl Sound for Screen {
    fn is_sound(&self) -> bool {
        self.drawn.as_ref().is_none_or(|drawn| drawn.text.is_char_boundary(drawn.cursor))
    }
}

/// How much the two begin with together, in bytes: up to a character that takes a place of its own,
/// because a mark is drawn onto what was written just before it.
fn same_len(old: &str, new: &str) -> usize {
    let pairs = old.char_indices().zip(new.chars());
    let differs = pairs.into_iter().find(|((_, old), new)| old != new);
    let mut same = differs.map_or(old.len().min(new.len()), |((place, _), _)| place);
    let is_mark = |line: &str, place: usize| {
        let next = line[place..].chars().next();
        next.is_some_and(|next| !text::is_drawn(next) || next.width() == Some(0))
    };
    while same > 0 && (is_mark(old, same) || is_mark(new, same)) {
        same = old.floor_char_boundary(same - 1);
    }
    same
}

/// Moves the cursor.
fn go(from: Place, to: Place, out: &mut String) {
    let mut step = |count: usize, letter: char| match count {
        0 => Ok(()),
        1 => write!(out, "\x1b[{letter}"),
        _ => write!(out, "\x1b[{count}{letter}"),
    };
    let rows = step(from.row.saturating_sub(to.row), 'A')
        .and_then(|()| step(to.row.saturating_sub(from.row), 'B'));
    let columns = if to.column == 0 && from.column > 0 {
        out.write_char('\r')
    } else {
        step(from.column.saturating_sub(to.column), 'D')
            .and_then(|()| step(to.column.saturating_sub(from.column), 'C'))
    };
    rows.and(columns).expect("a String takes whatever is written");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drawn(screen: &mut Screen, text: &str, cursor: usize) -> String {
        let mut out = String::new();
        screen.draw(text, cursor, &mut out);
        out
    }

    #[test]
    fn what_is_sent() {
        let mut screen = Screen::new(10);
        for (text, cursor, sent) in [
            ("> ", 2, "> "),
            ("> ", 2, ""),
            ("> a", 3, "a"),
            ("> ab", 4, "b"),
            ("> a", 3, "\x1b[D\x1b[J"),
            ("> a", 2, "\x1b[D"),
            ("> ba", 3, "\x1b[Jba\x1b[D"),
            ("> ba", 4, "\x1b[C"),
            ("> ba语", 7, "语"),
            ("> ba", 4, "\x1b[2D\x1b[J"),
            ("> bae", 5, "e"),
            ("> bae\u{301}", 7, "\x1b[D\x1b[Je\u{301}"),
            ("> bae\u{301}fg", 9, "fg"),
            ("> bae\u{301}fgh", 10, "h"),
            ("> bae\u{301}fghij", 12, "ij \r"),
            ("> bae\u{301}fghijk", 13, "k"),
            ("> bae\u{301}fghijk", 2, "\x1b[A\x1b[C"),
            ("> x", 3, "\x1b[Jx"),
        ] {
            assert_eq!(drawn(&mut screen, text, cursor), sent, "{text:?}");
        }
        let mut out = String::new();
        screen.clear(&mut out);
        assert_eq!(out, "\r\x1b[J");
    }

    #[test]
    fn all_rows_are_cleared() {
        for (width, cursor, sent) in [
            (10, 25, "\x1b[2A\r\x1b[J"),
            (10, 20, "\x1b[2A\x1b[J"),
            (10, 19, "\x1b[A\r\x1b[J"),
            (25, 25, "\x1b[A\x1b[J"),
            (30, 25, "\r\x1b[J"),
            (30, 0, "\x1b[J"),
        ] {
            let mut screen = Screen::new(width);
            drawn(&mut screen, &"x".repeat(25), cursor);
            let mut out = String::new();
            screen.clear(&mut out);
            assert_eq!(out, sent, "{width} {cursor}");
            assert!(!screen.is_drawn());
        }
    }

    #[test]
    fn a_line_stays_above_what_follows() {
        for (text, sent) in
            [("> hi", "> hi\r\n"), ("12345678", "12345678 \r"), ("世世世世", "世世世世 \r")]
        {
            let mut out = String::new();
            Screen::new(8).leave(text, &mut out);
            assert_eq!(out, sent);
        }
    }

    /// A terminal of some width and many rows, no wiser than a real one.
    struct Terminal {
        width: usize,
        rows: Vec<Vec<String>>,
        row: usize,
        column: usize,
    }

    impl Terminal {
        fn new(width: usize) -> Self {
            Self { width, rows: vec![vec![String::new(); width]; 200], row: 0, column: 0 }
        }

        fn show(&mut self, text: &str) {
            let mut rest = text.chars();
            while let Some(character) = rest.next() {
                match character {
                    '\r' => self.column = 0,
                    '\n' => self.row += 1,
                    '\x1b' => {
                        assert_eq!(rest.next(), Some('['));
                        let mut count = 0;
                        let last = loop {
                            let next = rest.next().expect("a whole sequence");
                            match next.to_digit(10) {
                                Some(digit) => count = count * 10 + digit as usize,
                                None => break next,
                            }
                        };
                        self.obey(last, count);
                    }
                    _ => self.put(character),
                }
            }
        }

        fn obey(&mut self, last: char, count: usize) {
            let step = count.max(1);
            self.column = self.column.min(self.width - 1);
            match last {
                'A' => self.row -= step,
                'B' => self.row += step,
                'C' => self.column += step,
                'D' => self.column -= step,
                'J' => {
                    self.rows[self.row][self.column..].fill(String::new());
                    self.rows[self.row + 1..].fill(vec![String::new(); self.width]);
                }
                other => panic!("{other:?} is not sent"),
            }
            assert!(self.column < self.width);
        }

        fn put(&mut self, character: char) {
            let width = character.width().expect("no control");
            if width == 0 {
                let last = self.rows[self.row][..self.column].iter_mut().rfind(|c| !c.is_empty());
                return last.expect("a mark has a base").push(character);
            }
            if self.column + width > self.width {
                self.row += 1;
                self.column = 0;
            }
            self.rows[self.row][self.column..self.column + width].fill(String::new());
            self.rows[self.row][self.column] = character.to_string();
            self.column += width;
        }

        fn text(&self) -> String {
            self.rows.iter().flatten().map(String::as_str).collect()
        }
    }

    /// Without blanks, of which a terminal has some where a wide character did not fit.
    fn bare(text: &str) -> String {
        text.replace(' ', "")
    }

    fn typed() -> impl Strategy<Value = String> {
        "[a-c世é語]{0,60}".prop_map(|text| format!("> {}", text.replace('é', "e\u{301}")))
    }

    proptest! {
        #[test]
        fn a_terminal_shows_the_line(
            width in 8_usize..30,
            steps in proptest::collection::vec(
                (typed(), any::<proptest::sample::Index>(), 0..4),
                1..20,
            ),
        ) {
            let mut screen = Screen::new(width);
            let mut terminal = Terminal::new(width);
            let mut above = String::new();
            for (text, place, what) in steps {
                let starts = text.char_indices().filter(|(_, it)| it.width() != Some(0));
                let cursors: Vec<_> = starts.map(|(start, _)| start).chain([text.len()]).collect();
                let cursor = cursors[place.index(cursors.len())];
                terminal.show(&drawn(&mut screen, &text, cursor));
                prop_assert_eq!(bare(&terminal.text()), bare(&format!("{above}{text}")));
                prop_assert_eq!(terminal.column, screen.place(&text[..cursor]).column);
                let mut out = String::new();
                match what {
                    0 => {
                        screen.clear(&mut out);
                        terminal.show(&out);
                        prop_assert_eq!(bare(&terminal.text()), above.as_str());
                        terminal.show("message\r\n");
                        above.push_str("message");
                    }
                    1 => {
                        screen.leave(&text, &mut out);
                        terminal.show(&out);
                        above.push_str(&bare(&text));
                        prop_assert_eq!(bare(&terminal.text()), above.as_str());
                        prop_assert_eq!(terminal.column, 0);
                    }
                    _ => {}
                }
            }
        }
    }
}
