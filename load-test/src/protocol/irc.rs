//! IRC (RFC 2812). A client gives its name, is welcome with the numeric 001, joins a channel and is
//! in it with 366, which ends the list of its members. The author does not hear itself. That a
//! client has left is told by the answer to a PING after the PART.

use crate::protocol::Item;
use memchr::{memchr, memmem};

/// Numerics from 400 on are errors, but that there is no message of the day is none.
const NO_MESSAGE_OF_THE_DAY: &[u8] = b"422";

pub(crate) fn hello(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(format!("NICK {name}\r\nUSER {name} 0 * :{name}\r\n").as_bytes());
}

pub(crate) fn enter(out: &mut Vec<u8>, room: &str) {
    out.extend_from_slice(format!("JOIN {room}\r\n").as_bytes());
}

pub(crate) fn leave(out: &mut Vec<u8>, room: &str) {
    out.extend_from_slice(format!("PART {room}\r\nPING :left\r\n").as_bytes());
}

pub(crate) fn say(out: &mut Vec<u8>, room: &str, text: &[u8]) {
    for part in [b"PRIVMSG ", room.as_bytes(), b" :", text, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Tells what a line is: `[:SOURCE ]COMMAND[ PARAMETER..][ :TEXT]`.
pub(crate) fn read(line: &[u8], mut on_item: impl FnMut(Item<'_>)) {
    let sourced = line.first() == Some(&b':');
    let message = if sourced { after_word(line) } else { line };
    let (command, parameters) = message.split_at(word_len(message));
    let item = match command {
        b"PRIVMSG" => trailing(parameters).map_or(Item::Notice(line), Item::Text),
        b"PING" => return on_item(Item::Answer(&[b"PONG", parameters, b"\r\n"].concat())),
        b"001" | b"366" | b"PONG" => Item::Done,
        _ if memmem::find(line, b" :@").is_some() => Item::Corrupted,
        [b'4' | b'5', _, _] if command != NO_MESSAGE_OF_THE_DAY => Item::Refused(line),
        _ => Item::Notice(line),
    };
    on_item(item);
}

fn word_len(text: &[u8]) -> usize {
    memchr(b' ', text).unwrap_or(text.len())
}

fn after_word(text: &[u8]) -> &[u8] {
    text.get(word_len(text) + 1..).unwrap_or_default()
}

/// The text after a target: ` #room :text`.
fn trailing(parameters: &[u8]) -> Option<&[u8]> {
    after_word(parameters.get(1..)?).strip_prefix(b":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;
    use crate::protocol::streams::{items, written};

    #[test]
    fn what_is_said_is_commands() {
        assert_eq!(written(|out| hello(out, "l1")), "NICK l1\\r\\nUSER l1 0 * :l1\\r\\n");
        assert_eq!(written(|out| enter(out, "#r")), "JOIN #r\\r\\n");
        assert_eq!(written(|out| leave(out, "#r")), "PART #r\\r\\nPING :left\\r\\n");
        assert_eq!(written(|out| say(out, "#r", b"@text")), "PRIVMSG #r :@text\\r\\n");
    }

    #[test]
    fn what_arrives_is_messages() {
        let stream = b":irc.local NOTICE * :*** Looking up your hostname\r\nPING :cookie 1\r\n\
            :irc.local 001 l1 :Welcome, l1!~l1@localhost\r\n:irc.local 422 l1 :No MOTD\r\n\
            :l1!~l1@127.0.0.1 JOIN :#r\r\n:irc.local 366 l1 #r :End of NAMES list\r\n\
            :l2!~l2@127.0.0.1 PRIVMSG #r :@text :@\r\n:l2!~l2@127.0.0.1 PRIVMSG #r :hi\r\n\
            :l2!~l2@127.0.0.1 PRIVMSX #r :@text\r\n:irc.local PONG irc.local :left\r\n\
            :irc.local 471 l1 #r :Cannot join channel (+l)\r\nPRIVMSG\r\n\
            ERROR :Closing link: (l1@127.0.0.1) [SendQ exceeded]\r\n";
        let expected = [
            "notice :irc.local NOTICE * :*** Looking up your hostname",
            "answer PONG :cookie 1\\r\\n",
            "done",
            "notice :irc.local 422 l1 :No MOTD",
            "notice :l1!~l1@127.0.0.1 JOIN :#r",
            "done",
            "text @text :@",
            "text hi",
            "corrupted",
            "done",
            "refused :irc.local 471 l1 #r :Cannot join channel (+l)",
            "notice PRIVMSG",
            "notice ERROR :Closing link: (l1@127.0.0.1) [SendQ exceeded]",
        ];
        assert_eq!(items(Protocol::Irc, stream), expected);
    }
}
