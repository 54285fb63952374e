//! Over a socket, a recording is heard by the others as it was meant, and answered as it should be.

use crate::harness::{Client, Server};
use crate::negotiation::{Stream, judge};
use crate::{Recording, recordings};

/// What each of them asks for in the end.
const GOODBYE: &str = "Goodbye";

fn replay(server: &Server, watcher: &mut Client, file: &Recording, pieces: &[Vec<u8>]) {
    let mut client = server.connect();
    watcher.expect_line(format!("Client joined {}", client.name));
    for piece in pieces {
        // After the goodbye there may be nobody to take the rest of a line end.
        let _ = client.try_send(piece);
    }
    let said = file.lines.iter().filter(|line| !line.is_empty() && !line.starts_with('/'));
    for line in said {
        watcher.expect_line(format!("[{}] {line}", client.name));
    }
    watcher.expect_line(format!("Client left {}", client.name));
    // The welcome was compared already: before it had sent anything, it was sent nothing else.
    let answer = Stream::of(&client.read_to_end());
    let here = "Yes, chatd is here\r\n".repeat(file.are_you_there);
    let text = String::from_utf8_lossy(&answer.text);
    assert_eq!(text, format!("{here}{GOODBYE}\r\n"), "{}", file.name);
    assert_eq!(judge(&Stream::of(&file.bytes()), &answer), Ok(()), "{}", file.name);
}

#[test]
fn recordings_are_heard_as_they_were_meant() {
    let server = Server::start("");
    let [mut watcher] = server.lobby(["watcher"]);
    for file in recordings() {
        let bytes = file.bytes();
        replay(&server, &mut watcher, &file, &file.reads());
        replay(&server, &mut watcher, &file, std::slice::from_ref(&bytes));
        let single: Vec<_> = bytes.iter().map(|byte| vec![*byte]).collect();
        replay(&server, &mut watcher, &file, &single);
    }
}
