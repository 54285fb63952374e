//! chatd's lines with the name of their reader. What a client says first is its name. `all` are all
//! who speak this dialect; they have no rooms. The author hears what it says to all.

use crate::protocol::Item;
use memchr::memchr;

/// Between an author and a text.
const SAID: &[u8] = b" said : ";
/// How the server lets somebody in, the name in between.
const WELCOME: [&[u8]; 2] = [b"hello ", b",you login successed"];
/// How it refuses a name.
const REFUSALS: [&[u8]; 2] = [b"That id is taken", b"That cannot be an id"];

pub(crate) fn say(out: &mut Vec<u8>, text: &[u8]) {
    for part in [b"all||", text, b"\n"] {
        out.extend_from_slice(part);
    }
}

/// What a line is.
pub(crate) fn item(line: &[u8]) -> Item<'_> {
    if let Some(at) = memchr(b'@', line) {
        let (author, text) = line.split_at(at);
        return if author.ends_with(SAID) { Item::Text(text) } else { Item::Corrupted };
    }
    if line.starts_with(WELCOME[0]) && line.ends_with(WELCOME[1]) {
        Item::Done
    } else if REFUSALS.iter().any(|words| line.starts_with(words)) {
        Item::Refused(line)
    } else {
        Item::Notice(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;
    use crate::protocol::streams::{items, written};

    #[test]
    fn what_is_said_is_a_name_and_lines() {
        assert_eq!(written(|out| Protocol::P2p.hello(out, 1, 2)), "l10002000\\r\\n");
        assert_eq!(written(|out| say(out, b"@text")), "all||@text\\n");
    }

    #[test]
    fn what_arrives_is_lines() {
        let stream = b"hello plato,you login successed\nplato said : @text said : \n\
            solon said : hi\n@text\nThat id is taken. Choose another\n\
            That cannot be an id. An id is 1 to 20 letters\nremote is offline\n";
        let expected = [
            "done",
            "text @text said : ",
            "notice solon said : hi",
            "corrupted",
            "refused That id is taken. Choose another",
            "refused That cannot be an id. An id is 1 to 20 letters",
            "notice remote is offline",
        ];
        assert_eq!(items(Protocol::P2p, stream), expected);
    }
}
