//! chatd's dialect for people: lines that end in CR LF. It greets, rooms are entered with `/join`
//! and left with `/leave`, to the lobby, and what somebody says has `[NAME] ` before it.

use crate::protocol::Item;
use memchr::memchr;

/// How the server greets.
const GREETING: &[u8] = b"You're connected to ";
/// How it answers those who come to a room.
const ENTERED: [&[u8]; 2] = [b"You are in ", b"You are alone in "];

pub(crate) fn enter(out: &mut Vec<u8>, room: &str) {
    out.extend_from_slice(format!("/join {room}\r\n").as_bytes());
}

/// Who has been in a room is not to be shown what was said without it: that is no delivery.
pub(crate) fn leave(out: &mut Vec<u8>) {
    out.extend_from_slice(b"/history off\r\n/leave\r\n");
}

/// Whether it begins as what was said before somebody came does, told to those who come:
/// `  17:44 [NAME] `. It is an answer to them, no delivery.
fn is_past(line: &[u8]) -> bool {
    let [b' ', b' ', h, hh, b':', m, mm, b' ', ..] = line else { return false };
    [h, hh, m, mm].iter().all(|digit| digit.is_ascii_digit())
}

/// What a line is.
pub(crate) fn item(line: &[u8]) -> Item<'_> {
    if let Some(at) = memchr(b'@', line) {
        let (prefix, text) = line.split_at(at);
        let framed = prefix.starts_with(b"[") && prefix.ends_with(b"] ");
        return if framed {
            Item::Text(text)
        } else if is_past(prefix) {
            Item::Notice(line)
        } else {
            Item::Corrupted
        };
    }
    let begins = |words: &[u8]| line.starts_with(words);
    if begins(GREETING) || ENTERED.into_iter().any(begins) {
        Item::Done
    } else {
        Item::Notice(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_told_from_the_others() {
        let rows: [(&[u8], Item<'_>); 16] = [
            (b"You're connected to the chatd chatserver", Item::Done),
            (b"You are in load-1 with 2 others", Item::Done),
            (b"You are alone in load-1", Item::Done),
            (b"[127.0.0.1:37994] @text", Item::Text(b"@text")),
            (b"[plato] @text @", Item::Text(b"@text @")),
            (b"@text", Item::Corrupted),
            (b"plato] @text", Item::Corrupted),
            (b"[plato]@text", Item::Corrupted),
            (b"[plato] hi", Item::Notice(b"[plato] hi")),
            (b"Client joined 127.0.0.1:37994", Item::Notice(b"Client joined 127.0.0.1:37994")),
            (b"  17:44 [plato] @text", Item::Notice(b"  17:44 [plato] @text")),
            (b"  17:44 * plato @text", Item::Notice(b"  17:44 * plato @text")),
            (b" 17:44 [plato] @text", Item::Corrupted),
            (b"  17-44 [plato] @text", Item::Corrupted),
            (b"You are plato", Item::Notice(b"You are plato")),
            (b"", Item::Notice(b"")),
        ];
        for (line, expected) in rows {
            assert_eq!(item(line), expected, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn what_is_said_is_lines() {
        let mut out = Vec::new();
        enter(&mut out, "load-1");
        leave(&mut out);
        assert_eq!(out, b"/join load-1\r\n/history off\r\n/leave\r\n");
    }
}
