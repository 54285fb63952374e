//! Redis: a room is a channel of its pub/sub. In RESP2 a connection that listens may not publish,
//! so a sender would be two connections; RESP3, which `HELLO 3` asks for and Redis has since 6.0,
//! lets one do both. The author hears itself.

use crate::protocol::Item;
use crate::protocol::frames::{Frame, number};
use memchr::memchr;

/// Values in values, of which `HELLO` answers two levels.
const DEPTH_MAX: usize = 8;

pub(crate) fn hello(out: &mut Vec<u8>) {
    command(out, &[b"HELLO", b"3"]);
}

pub(crate) fn enter(out: &mut Vec<u8>, room: &str) {
    command(out, &[b"SUBSCRIBE", room.as_bytes()]);
}

pub(crate) fn leave(out: &mut Vec<u8>, room: &str) {
    command(out, &[b"UNSUBSCRIBE", room.as_bytes()]);
}

pub(crate) fn say(out: &mut Vec<u8>, room: &str, text: &[u8]) {
    command(out, &[b"PUBLISH", room.as_bytes(), text]);
}

fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// A value (RESP3). What is pushed (`>`) are messages and confirmations; a map answers `HELLO`, a
/// number `PUBLISH`.
pub(crate) fn frame(bytes: &[u8]) -> Frame<'_> {
    let mut reader = Reader { bytes, at: 0 };
    match reader.item() {
        Ok(item) => Frame::Whole(reader.at, item),
        Err(Short::Partial) => Frame::Partial,
        Err(Short::Broken) => Frame::Broken,
    }
}

enum Short {
    Partial,
    Broken,
}

/// Reads values one after the other.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn item(&mut self) -> Result<Option<Item<'a>>, Short> {
        let start = self.at;
        match self.head()? {
            (b'>', 3) => self.push(),
            (b'-', _) => {
                let words = self.bytes[start + 1..self.at].trim_ascii_end();
                Ok(Some(Item::Refused(words)))
            }
            (kind, count) => {
                self.skip_rest(kind, count, DEPTH_MAX)?;
                Ok((kind == b'%').then_some(Item::Done))
            }
        }
    }

    /// Three values: what happened, the channel, and a text or a number.
    fn push(&mut self) -> Result<Option<Item<'a>>, Short> {
        let what = self.text()?;
        self.text()?;
        match what {
            b"message" => Ok(Some(Item::Text(self.text()?))),
            b"subscribe" | b"unsubscribe" => {
                self.skip(DEPTH_MAX)?;
                Ok(Some(Item::Done))
            }
            _ => {
                self.skip(DEPTH_MAX)?;
                Ok(None)
            }
        }
    }

    fn text(&mut self) -> Result<&'a [u8], Short> {
        match self.head()? {
            (b'$', len) => self.counted(len),
            _ => Err(Short::Broken),
        }
    }

    /// The first byte of a value and the number after it, or 0 where there is none.
    fn head(&mut self) -> Result<(u8, usize), Short> {
        let rest = &self.bytes[self.at..];
        let line = &rest[..memchr(b'\n', rest).ok_or(Short::Partial)?];
        self.at += line.len() + 1;
        let (kind, digits) = line.split_first().ok_or(Short::Broken)?;
        let digits = digits.strip_suffix(b"\r").ok_or(Short::Broken)?;
        match kind {
            b'$' | b'*' | b'%' | b'~' | b'>' | b'=' | b'!' => {
                // An absent value of RESP2 has the length -1.
                let absent = digits == b"-1";
                let count = if absent { Some(0) } else { number(digits) };
                Ok((if absent { b'_' } else { *kind }, count.ok_or(Short::Broken)?))
            }
            b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => Ok((*kind, 0)),
            _ => Err(Short::Broken),
        }
    }

    /// Bytes and the line end after them.
    fn counted(&mut self, len: usize) -> Result<&'a [u8], Short> {
        let end = self.at.checked_add(len).and_then(|end| end.checked_add(2));
        let whole = end.and_then(|end| self.bytes.get(self.at..end)).ok_or(Short::Partial)?;
        self.at += whole.len();
        whole.strip_suffix(b"\r\n").ok_or(Short::Broken)
    }

    fn skip(&mut self, depth: usize) -> Result<(), Short> {
        let (kind, count) = self.head()?;
        self.skip_rest(kind, count, depth)
    }

    fn skip_rest(&mut self, kind: u8, count: usize, depth: usize) -> Result<(), Short> {
        let values = match kind {
            b'$' | b'=' | b'!' => return self.counted(count).map(|_| ()),
            b'%' => count.saturating_mul(2),
            b'*' | b'~' | b'>' => count,
            _ => 0,
        };
        let depth = depth.checked_sub(1).ok_or(Short::Broken)?;
        (0..values).try_for_each(|_| self.skip(depth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;
    use crate::protocol::streams::{items, written};

    #[test]
    fn what_is_said_is_lists_of_counted_words() {
        assert_eq!(written(hello), "*2\\r\\n$5\\r\\nHELLO\\r\\n$1\\r\\n3\\r\\n");
        let subscribe = "*2\\r\\n$9\\r\\nSUBSCRIBE\\r\\n$1\\r\\nr\\r\\n";
        assert_eq!(written(|out| enter(out, "r")), subscribe);
        let unsubscribe = "*2\\r\\n$11\\r\\nUNSUBSCRIBE\\r\\n$1\\r\\nr\\r\\n";
        assert_eq!(written(|out| leave(out, "r")), unsubscribe);
        let publish = "*3\\r\\n$7\\r\\nPUBLISH\\r\\n$1\\r\\nr\\r\\n$5\\r\\n@text\\r\\n";
        assert_eq!(written(|out| say(out, "r", b"@text")), publish);
    }

    #[test]
    fn what_arrives_is_values() {
        let stream = b"%2\r\n$5\r\nproto\r\n:3\r\n$7\r\nmodules\r\n*0\r\n\
            >3\r\n$9\r\nsubscribe\r\n$1\r\nr\r\n:1\r\n:20\r\n\
            >3\r\n$7\r\nmessage\r\n$1\r\nr\r\n$8\r\n@te\r\nxt$\r\n+PONG\r\n$-1\r\n_\r\n\
            >3\r\n$11\r\nunsubscribe\r\n$1\r\nr\r\n:0\r\n-ERR unknown command 'HELLO'\r\n";
        let expected = [
            "done",
            "done",
            "text @te\\r\\nxt$",
            "done",
            "refused ERR unknown command \\'HELLO\\'",
        ];
        assert_eq!(items(Protocol::Redis, stream), expected);
    }

    #[test]
    fn what_is_no_value_shows() {
        let nested = b"*1\r\n".repeat(DEPTH_MAX + 1);
        let wrong: [&[u8]; 6] =
            [b"hello\r\n", b"\n", b"$x\r\n", b"$1\r\nab\r\n", b">3\r\n:1\r\n", &nested];
        for wrong in wrong {
            let seen = items(Protocol::Redis, &[wrong, b":1\r\n"].concat());
            assert_eq!(seen[0], "corrupted", "{}", String::from_utf8_lossy(wrong));
            assert_eq!(seen.len(), 2);
        }
        let endless =
            [&b">3\r\n$7\r\nmessage\r\n$1\r\nr\r\n$18446744073709551615\r\n"[..]].concat();
        assert!(items(Protocol::Redis, &endless).is_empty(), "and no overflow");
    }
}
