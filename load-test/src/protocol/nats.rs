//! NATS: a room is a subject, and a client has one subscription. The author does not hear itself:
//! `CONNECT` turns that off. The server confirms nothing by itself, but answers in the order of
//! what came: the PONG to a PING after each thing asked for tells that it has happened.

use crate::protocol::Item;
use crate::protocol::frames::{Frame, number};
use memchr::memchr;

pub(crate) fn hello(out: &mut Vec<u8>) {
    let options = concat!(
        r#"{"verbose":false,"pedantic":false,"echo":false,"lang":"load-test","version":""#,
        env!("CARGO_PKG_VERSION"),
        r#""}"#
    );
    out.extend_from_slice(format!("CONNECT {options}\r\nPING\r\n").as_bytes());
}

pub(crate) fn enter(out: &mut Vec<u8>, room: &str) {
    out.extend_from_slice(format!("SUB {room} 1\r\nPING\r\n").as_bytes());
}

pub(crate) fn leave(out: &mut Vec<u8>) {
    out.extend_from_slice(b"UNSUB 1\r\nPING\r\n");
}

pub(crate) fn say(out: &mut Vec<u8>, room: &str, text: &[u8]) {
    out.extend_from_slice(format!("PUB {room} {}\r\n", text.len()).as_bytes());
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

/// A line, and after one that begins with MSG as many bytes as its last word says.
pub(crate) fn frame(bytes: &[u8]) -> Frame<'_> {
    let Some(end) = memchr(b'\n', bytes) else { return Frame::Partial };
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    let (word, words) = line.split_at(memchr(b' ', line).unwrap_or(line.len()));
    let item = match word {
        b"MSG" => return message(bytes, end + 1, words),
        b"PONG" => Some(Item::Done),
        b"PING" => Some(Item::Answer(b"PONG\r\n")),
        b"-ERR" => Some(Item::Refused(words.trim_ascii())),
        b"INFO" | b"+OK" => None,
        _ => return Frame::Broken,
    };
    Frame::Whole(end + 1, item)
}

fn message<'a>(bytes: &'a [u8], text_at: usize, words: &[u8]) -> Frame<'a> {
    let len = words.rsplit(|byte| *byte == b' ').next().and_then(number);
    let Some(text_end) = len.and_then(|len| text_at.checked_add(len)) else {
        return Frame::Broken;
    };
    let whole = text_end.checked_add(2).and_then(|end| bytes.get(text_at..end));
    match whole.map(|text| text.strip_suffix(b"\r\n")) {
        None => Frame::Partial,
        Some(None) => Frame::Broken,
        Some(Some(text)) => Frame::Whole(text_end + 2, Some(Item::Text(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;
    use crate::protocol::streams::{items, written};

    #[test]
    fn what_is_said_is_commands() {
        let hello = written(hello);
        assert!(hello.starts_with(r#"CONNECT {\"verbose\":false,"#), "{hello}");
        assert!(hello.contains(r#"\"echo\":false"#), "{hello}");
        assert!(hello.ends_with(r#"}\r\nPING\r\n"#), "{hello}");
        assert_eq!(written(|out| enter(out, "r")), "SUB r 1\\r\\nPING\\r\\n");
        assert_eq!(written(leave), "UNSUB 1\\r\\nPING\\r\\n");
        assert_eq!(written(|out| say(out, "r", b"@text")), "PUB r 5\\r\\n@text\\r\\n");
    }

    #[test]
    fn what_arrives_is_lines_and_counted_texts() {
        let stream = b"INFO {\"server_id\":\"x\"} \r\nPONG\r\nPING\r\n+OK\r\n\
            MSG r 1 5\r\n@text\r\nMSG r 1 reply 8\r\n@\r\nMSG\r\n\r\n\
            -ERR 'Slow Consumer'\r\nMSG r 1 0\r\n\r\n";
        let expected = [
            "done",
            "answer PONG\\r\\n",
            "text @text",
            "text @\\r\\nMSG\\r\\n",
            "refused \\'Slow Consumer\\'",
            "text ",
        ];
        assert_eq!(items(Protocol::Nats, stream), expected);
    }

    #[test]
    fn what_is_no_frame_shows() {
        for wrong in [&b"hello\r\n"[..], b"MSG r 1 x\r\n", b"MSG r 1 2\r\n@text\r\n", b"MSG\r\n"] {
            let seen = items(Protocol::Nats, &[wrong, b"PONG\r\n"].concat());
            assert_eq!(seen[0], "corrupted", "{}", String::from_utf8_lossy(wrong));
            assert_eq!(seen.len(), 2);
        }
    }
}
