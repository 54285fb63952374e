//! One test for each bug that was found, named by what went wrong.

use std::time::{Duration, Instant};

use crate::harness::Server;

/// A reader with more than one chunk waiting was sent twice in one batch. Where the socket was full
/// by then, the outcome of the first send was taken for that of the second, and lines were lost
/// in the middle.
#[test]
fn a_reader_who_pauses_misses_nothing() {
    // Less than a slow reader may be behind, more than its socket takes.
    const LINES: usize = 60;
    let server = Server::start("--admin 127.0.0.1:0");
    let [mut author] = server.lobby(["author"]);
    let mut reader = server.connect_narrow();
    reader.expect_line("You're connected to the chatd chatserver");
    author.expect_line(format!("Client joined {}", reader.name));
    for round in 0..20 {
        let lines: Vec<String> = (0..LINES).map(|line| format!("{round} {line:0>990}")).collect();
        for few in lines.chunks(4) {
            author.send(few.join("\n") + "\n");
            author.catch_up();
        }
        server.wait_for_metric("chatd_blocked_sockets", |count| count == 1);
        for line in lines {
            reader.expect_line(format!("[author] {line}"));
        }
    }
}

/// A reader whose socket filled up in the last sweep before the authors were held was looked at
/// no more, as nothing new came: everybody waited until its bytes were ten seconds old.
#[test]
fn a_reader_with_a_full_socket_does_not_hold_the_room() {
    const LINES: usize = 1_000;
    // Half of what the age of its bytes would take.
    const SOON: Duration = Duration::from_secs(5);
    let server = Server::start("");
    let [mut author] = server.lobby(["author"]);
    let flood = format!("{:0>1000}\n", 0).repeat(LINES) + "/who -\n";
    for _ in 0..12 {
        let slow = server.connect_narrow();
        author.expect_line(format!("Client joined {}", slow.name));
        let begun = Instant::now();
        author.send(&flood);
        let mut lines = author.lines_before("There is no room -");
        if lines.is_empty() {
            lines.push(author.line());
        }
        assert_eq!(lines, [format!("Client left {}", slow.name)]);
        assert!(begun.elapsed() < SOON, "everybody waited for {:?}", begun.elapsed());
    }
}
