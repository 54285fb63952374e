//! Messages to words.

use crate::chat::Message;

/// Appends the message in telnet's words, CR LF at each line's end.
pub fn render(_message: &Message<&str>, _out: &mut Vec<u8>) {}
