//! Rich mode: the line is edited here, and drawn on the other end's screen under whatever arrives.
//!
//! Pure: keys in, bytes to draw out. The line is *drawn* if it stands on the screen where the
//! stream of everything sent so far ends. Before anything else is sent it is taken away (`clear`),
//! and once nothing else is to be sent it is drawn anew (`draw`); between the two, keys change it
//! without drawing. Everything drawn went through the text gate.

mod edit;
mod keys;
mod screen;

use edit::Edit;
use keys::{Key, Keys};
use screen::Screen;
use serde::{Deserialize, Serialize};

use super::line::TypedLine;
use crate::dialect::sound;
use crate::limits::{SCREEN_WIDTH, SCREEN_WIDTH_MAX, SCREEN_WIDTH_MIN};

const PROMPT: &str = "> ";

/// The editor of one connection.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Rich {
    #[serde(deserialize_with = "sound")]
    keys: Keys,
    #[serde(deserialize_with = "sound")]
    edit: Edit,
    #[serde(deserialize_with = "sound")]
    screen: Screen,
    /// The line was drawn for the last time, and waits to be taken.
    finished: bool,
    /// Everything but the line is to go from the screen.
    wipe: bool,
}

impl Rich {
    /// An empty line on a screen of this width, which is 0 if it is not known.
    pub(super) fn new(width: u16) -> Self {
        Self {
            keys: Keys::default(),
            edit: Edit::default(),
            screen: Screen::new(usable(width)),
            finished: false,
            wipe: false,
        }
    }

    /// Reads bytes, none of which ends the line.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        let Self { keys, edit, wipe, .. } = self;
        keys.read(bytes, &mut |key| press(edit, wipe, key));
    }

    /// Whether the line is drawn.
    pub(super) fn is_drawn(&self) -> bool {
        self.screen.is_drawn()
    }

    /// Draws the line, or what of it has changed.
    pub(super) fn draw(&mut self, out: &mut String) {
        if std::mem::take(&mut self.wipe) {
            self.screen.wipe(out);
        }
        self.screen.draw(&self.text(), PROMPT.len() + self.edit.cursor(), out);
    }

    /// Takes the line from the screen.
    pub(super) fn clear(&mut self, out: &mut String) {
        self.screen.clear(out);
    }

    /// The screen has another width now. The line is drawn anew if it is drawn.
    pub(super) fn resize(&mut self, width: u16, out: &mut String) {
        self.screen.resize(usable(width));
        if self.is_drawn() {
            self.clear(out);
            self.draw(out);
        }
    }

    /// The line is ended: draws it for the last time, which has to be sent before `take`. Once.
    pub(super) fn finish(&mut self, out: &mut String) -> bool {
        if std::mem::replace(&mut self.finished, true) {
            return false;
        }
        let Self { keys, edit, wipe, .. } = self;
        keys.end(&mut |key| press(edit, wipe, key));
        let text = self.text();
        self.screen.leave(&text, out);
        true
    }

    /// The line that was ended, `None` if it was too long; the next is empty.
    pub(super) fn take(&mut self) -> Option<String> {
        self.finished = false;
        self.edit.enter()
    }

    /// What is typed of a line that was not ended.
    pub(super) fn into_typed(self) -> TypedLine {
        self.edit.into_typed()
    }

    /// More was typed of the line already than it may hold.
    pub(super) fn exceed(&mut self) {
        self.edit.exceed();
    }

    fn text(&self) -> String {
        [PROMPT, self.edit.line()].concat()
    }
}

fn press(edit: &mut Edit, wipe: &mut bool, key: Key) {
    *wipe |= key == Key::Wipe;
    edit.obey(key);
}

/// What to reckon with: some clients send 0, or pixels.
fn usable(width: u16) -> usize {
    match usize::from(width) {
        0 => SCREEN_WIDTH,
        width => width.clamp(SCREEN_WIDTH_MIN, SCREEN_WIDTH_MAX),
    }
}

#[cfg(test)]
mod tests;
