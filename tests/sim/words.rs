//! What readers of `rid` and `p2p` are told, put into words here once more, apart from the server.

use chatd::chat::Message;
use chatd::dialect::Dialect;

/// A message of a room in the dialect's words, with its end; nothing if they are not told.
pub(crate) fn of_room(dialect: Dialect, message: &Message<&str>) -> String {
    match dialect {
        Dialect::Rid => rid(message),
        Dialect::P2p => p2p(message),
        Dialect::Telnet => unreachable!("people read lines"),
    }
}

fn rid(message: &Message<&str>) -> String {
    match *message {
        Message::Framed { author, text } => format!("\n<{}>{text}", pair(author)),
        Message::Said { author, text } => format!("\n<{}>{text}\n", pair(author)),
        Message::Acted { author, text } => format!("\n* {} {text}\n", pair(author)),
        Message::Joined { name } => format!("\n[{name}] entered room.\n"),
        Message::Left { name } => format!("\n[{name}] left room.\n"),
        _ => format!("\n{}\n", of_all(message)),
    }
}

fn p2p(message: &Message<&str>) -> String {
    match *message {
        Message::Said { author, text } => format!("{author} said : {text}\n"),
        Message::Acted { author, text } => format!("* {author} {text}\n"),
        _ => String::new(),
    }
}

fn of_all(message: &Message<&str>) -> String {
    match *message {
        Message::Renamed { old, new } => format!("{old} is now {new}"),
        Message::TopicSet { name, topic: "" } => format!("{name} removed the topic"),
        Message::TopicSet { name, topic } => format!("{name} set the topic: {topic}"),
        _ => panic!("not said in rooms: {message:?}"),
    }
}

/// What one who enters a room is told of its topic.
pub(crate) fn topic(room: &str, topic: &str) -> String {
    format!("The topic of {room}: {topic}")
}

/// What is nothing in the dialect.
pub(crate) fn invalid(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::P2p => "Not a message. Write ID||TEXT, or all||TEXT",
        _ => "Invalid format message",
    }
}

pub(crate) fn too_long(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Rid => "That frame was over 4096 bytes or 64 lines and was not sent",
        _ => "That line was over 1024 bytes and was not sent",
    }
}

/// The author and the text of a direct message.
pub(crate) fn direct(dialect: Dialect, line: &str) -> Option<(String, String)> {
    let (author, text) = match dialect {
        Dialect::Rid => line.strip_prefix('<')?.split_once(" -> you>")?,
        _ => line.split_once(" said : ").filter(|(_, text)| text.starts_with('d'))?,
    };
    let author = match author.strip_prefix("('").and_then(|pair| pair.strip_suffix(')')) {
        Some(pair) => pair.replace("', ", ":"),
        None => author.to_owned(),
    };
    Some((author, text.to_owned()))
}

/// An author without a nickname is shown as a pair of a host and a port.
fn pair(author: &str) -> String {
    match author.split_once(':') {
        Some((host, port)) => format!("('{host}', {port})"),
        None => author.to_owned(),
    }
}
