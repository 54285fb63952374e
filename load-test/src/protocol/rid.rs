//! chatd's frames: `<RID:111>text</RID:111>`. The first frame for a room enters it, and only the
//! end of the connection leaves it.
//!
//! The server neither greets nor says that a room was entered. What it answers at once is something
//! that is no frame, and it answers in the order of what came: so a byte between frames, sent after
//! each thing asked for, tells by its answer that it has happened.
//!
//! A text is sent with a line end, and arrives as `\n<AUTHOR>text\n`: lines, of which every other
//! one is empty.

use crate::protocol::Item;
use memchr::memchr;

/// No frame, and how that is answered.
const PROBE: &[u8] = b"?\n";
const ANSWER: &[u8] = b"Invalid format message";

/// A number of its own for each room of each run.
pub(crate) fn room(run: u32, room: u32) -> String {
    (u64::from(run) << 32 | u64::from(room)).to_string()
}

pub(crate) fn hello(out: &mut Vec<u8>) {
    out.extend_from_slice(PROBE);
}

pub(crate) fn enter(out: &mut Vec<u8>, room: &str) {
    out.extend_from_slice(format!("<RID:{room}></RID:{room}>").as_bytes());
    out.extend_from_slice(PROBE);
}

pub(crate) fn say(out: &mut Vec<u8>, room: &str, text: &[u8]) {
    for part in [b"<RID:", room.as_bytes(), b">", text, b"\n</RID:", room.as_bytes(), b">"] {
        out.extend_from_slice(part);
    }
}

/// What a line is.
pub(crate) fn item(line: &[u8]) -> Option<Item<'_>> {
    if let Some(at) = memchr(b'@', line) {
        let (author, text) = line.split_at(at);
        let framed = author.starts_with(b"<") && author.ends_with(b">");
        return Some(if framed { Item::Text(text) } else { Item::Corrupted });
    }
    match line {
        b"" => None,
        ANSWER => Some(Item::Done),
        _ => Some(Item::Notice(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;
    use crate::protocol::streams::{items, written};

    #[test]
    fn what_is_said_is_frames() {
        assert_eq!(written(hello), "?\\n");
        assert_eq!(written(|out| enter(out, "111")), "<RID:111></RID:111>?\\n");
        assert_eq!(written(|out| say(out, "7", b"@text")), "<RID:7>@text\\n</RID:7>");
        assert_eq!(room(u32::MAX, u32::MAX), u64::MAX.to_string(), "20 digits, which is allowed");
        assert_ne!(room(1, 2), room(2, 1));
    }

    #[test]
    fn what_arrives_is_lines() {
        let stream = b"\nInvalid format message\n\n[127.0.0.1:4000] entered room.\n\
            \n<('127.0.0.1', 4000)>@text one\n\n<plato>@two\n\n<plato>hi\n\n@three\n\
            \n<plato>and @four\n\nThe server is stopping. Goodbye\n";
        let expected = [
            "done",
            "notice [127.0.0.1:4000] entered room.",
            "text @text one",
            "text @two",
            "notice <plato>hi",
            "corrupted",
            "corrupted",
            "notice The server is stopping. Goodbye",
        ];
        assert_eq!(items(Protocol::Rid, stream), expected);
    }
}
