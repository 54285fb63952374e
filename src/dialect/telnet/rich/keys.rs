//! Bytes to keys: characters of UTF-8, control keys, and the sequences of keys that have no
//! character, as the terminals in use send them. Bytes may be cut anywhere.

use serde::{Deserialize, Serialize};

use crate::dialect::Sound;

const BACKSPACE: u8 = 0x08;
const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;

/// What a person pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Character(char),
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Up,
    Down,
    Backspace,
    Delete,
    /// The word before the cursor.
    EraseWord,
    /// All before the cursor.
    EraseBefore,
    /// All from the cursor on.
    EraseAfter,
    /// The line.
    Cancel,
    /// Everything on the screen but the line.
    Wipe,
}

/// What came and is not a key yet.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Keys {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    #[default]
    Ground,
    /// The first bytes of a character.
    Utf8 { bytes: [u8; 4], len: u8 },
    /// After ESC.
    Escape,
    /// After ESC [: the first parameter, and whether there was another.
    Sequence { parameter: u8, more: bool },
    /// After ESC O.
    Application,
}

impl Keys {
    /// Reads bytes, none of which ends a line, and gives each key to `press`.
    pub(super) fn read(&mut self, bytes: &[u8], press: &mut dyn FnMut(Key)) {
        bytes.iter().for_each(|byte| self.read_byte(*byte, press));
    }

    /// The line ends here: what is not complete will not be.
    pub(super) fn end(&mut self, press: &mut dyn FnMut(Key)) {
        if let State::Utf8 { .. } = std::mem::take(&mut self.state) {
            press(Key::Character(char::REPLACEMENT_CHARACTER));
        }
    }

    fn read_byte(&mut self, byte: u8, press: &mut dyn FnMut(Key)) {
        if byte >= 0x80 {
            let State::Utf8 { bytes, len } = self.state else {
                return self.begin_character(byte, press);
            };
            return self.continue_character(bytes, len, byte, press);
        }
        let state = self.state;
        self.end(press);
        match (state, byte) {
            // A control byte ends whatever was begun, and counts.
            (_, 0..=0x1f | DELETE) => self.read_control(byte, press),
            (State::Escape, b'[') => self.state = State::Sequence { parameter: 0, more: false },
            (State::Escape, b'O') => self.state = State::Application,
            (State::Escape, b'b') => press(Key::WordLeft),
            (State::Escape, b'f') => press(Key::WordRight),
            (State::Escape, _) => {}
            (State::Sequence { parameter, more }, 0x20..=0x3f) => {
                let parameter = match byte {
                    b'0'..=b'9' if !more => {
                        parameter.saturating_mul(10).saturating_add(byte - b'0')
                    }
                    _ => parameter,
                };
                self.state = State::Sequence { parameter, more: more || byte == b';' };
            }
            (State::Sequence { parameter, more }, _) => {
                named_key(byte, parameter, more).into_iter().for_each(press);
            }
            (State::Application, _) => named_key(byte, 0, false).into_iter().for_each(press),
            (State::Ground | State::Utf8 { .. }, _) => press(Key::Character(char::from(byte))),
        }
    }

    fn read_control(&mut self, byte: u8, press: &mut dyn FnMut(Key)) {
        let ctrl = |letter: u8| letter - b'A' + 1;
        press(match byte {
            ESCAPE => return self.state = State::Escape,
            b'\t' => Key::Character('\t'),
            BACKSPACE | DELETE => Key::Backspace,
            _ if byte == ctrl(b'A') => Key::Home,
            _ if byte == ctrl(b'B') => Key::Left,
            _ if byte == ctrl(b'C') => Key::Cancel,
            _ if byte == ctrl(b'D') => Key::Delete,
            _ if byte == ctrl(b'E') => Key::End,
            _ if byte == ctrl(b'F') => Key::Right,
            _ if byte == ctrl(b'K') => Key::EraseAfter,
            _ if byte == ctrl(b'L') => Key::Wipe,
            _ if byte == ctrl(b'N') => Key::Down,
            _ if byte == ctrl(b'P') => Key::Up,
            _ if byte == ctrl(b'U') => Key::EraseBefore,
            _ if byte == ctrl(b'W') => Key::EraseWord,
            _ => return,
        });
    }

    fn begin_character(&mut self, byte: u8, press: &mut dyn FnMut(Key)) {
        self.state = State::Ground;
        self.continue_character([0; 4], 0, byte, press);
    }

    /// A byte after `len` bytes of a character that could still be one.
    fn continue_character(
        &mut self,
        mut bytes: [u8; 4],
        len: u8,
        byte: u8,
        press: &mut dyn FnMut(Key),
    ) {
        let len = usize::from(len);
        bytes[len] = byte;
        match str::from_utf8(&bytes[..=len]) {
            Ok(text) => {
                self.state = State::Ground;
                text.chars().for_each(|character| press(Key::Character(character)));
            }
            Err(error) if error.error_len().is_none() => {
                let len = u8::try_from(len + 1).expect("below 4");
                self.state = State::Utf8 { bytes, len };
            }
            // The byte is none of what was begun: it may begin something itself.
            Err(_) => {
                self.state = State::Ground;
                press(Key::Character(char::REPLACEMENT_CHARACTER));
                if len > 0 {
                    self.begin_character(byte, press);
                }
            }
        }
    }
}

/// The key that a sequence with this last byte stands for (xterm, VT220, rxvt, Linux).
fn named_key(last: u8, parameter: u8, with_others: bool) -> Option<Key> {
    Some(match (last, parameter) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) if with_others => Key::WordRight,
        (b'D', _) if with_others => Key::WordLeft,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', 1 | 7) => Key::Home,
        (b'F', _) | (b'~', 4 | 8) => Key::End,
        (b'~', 3) => Key::Delete,
        _ => return None,
    })
}

impl Sound for Keys {
    /// What began a character still can become one.
    fn is_sound(&self) -> bool {
        let State::Utf8 { bytes, len } = self.state else { return true };
        let begun = bytes.get(..usize::from(len)).map(str::from_utf8);
        matches!(begun, Some(Err(error)) if error.valid_up_to() == 0 && error.error_len().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Key::*;

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Key> {
        let mut keys = Keys::default();
        let mut pressed = Vec::new();
        for piece in pieces {
            keys.read(piece, &mut |key| pressed.push(key));
        }
        keys.end(&mut |key| pressed.push(key));
        assert_eq!(keys.state, State::Ground);
        pressed
    }

    #[test]
    fn bytes_and_the_keys_they_are() {
        const BAD: Key = Character(char::REPLACEMENT_CHARACTER);
        for (bytes, keys) in [
            (&b""[..], &[][..]),
            (b"a~", &[Character('a'), Character('~')]),
            ("é语😀".as_bytes(), &[Character('é'), Character('语'), Character('😀')]),
            (b"\x01\x02\x03\x04\x05\x06", &[Home, Left, Cancel, Delete, End, Right]),
            (b"\x08\x7f\x15\x0b\x17", &[Backspace, Backspace, EraseBefore, EraseAfter, EraseWord]),
            (b"\x10\x0e\x0c\x09", &[Up, Down, Wipe, Character('\t')]),
            (b"\0\x07\x1a\x1c", &[]),
            (b"\x1b[A\x1b[B\x1b[C\x1b[D", &[Up, Down, Right, Left]),
            (b"\x1bOA\x1bOB\x1bOC\x1bOD\x1bOH\x1bOF", &[Up, Down, Right, Left, Home, End]),
            (b"\x1b[H\x1b[1~\x1b[7~\x1b[F\x1b[4~\x1b[8~", &[Home, Home, Home, End, End, End]),
            (b"\x1b[3~\x1b[2~\x1b[15~\x1b[6~", &[Delete]),
            (b"\x1bb\x1bf\x1b[1;5D\x1b[1;5C", &[WordLeft, WordRight, WordLeft, WordRight]),
            (b"\x1b[200~a\x1b[201~", &[Character('a')]),
            (b"\x1b[999999999999999999993~\x1b[?1;2c", &[]),
            (b"\x1b[1\x1b[Ax", &[Up, Character('x')]),
            (b"\x1b\x7f\x1b[\x15\x1bO\x03", &[Backspace, EraseBefore, Cancel]),
            (b"\xffa\x80\xc0", &[BAD, Character('a'), BAD, BAD]),
            (b"\xe8\xaf", &[BAD]),
            (b"\xe8\xafa", &[BAD, Character('a')]),
            (b"\xe8\xe8\xaf\xad", &[BAD, Character('语')]),
            (b"\xe8\x1b[A", &[BAD, Up]),
            (b"\x1b\xc3\xa9\x1b[\xc3\xa9", &[Character('é'), Character('é')]),
        ] {
            assert_eq!(read([bytes]), keys, "{bytes:?}");
            assert_eq!(read(bytes.chunks(1)), keys, "{bytes:?}, each by itself");
            for cut in 0..=bytes.len() {
                assert_eq!(read([&bytes[..cut], &bytes[cut..]]), keys, "{bytes:?} cut at {cut}");
            }
        }
    }
}
