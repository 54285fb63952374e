//! One test for each bug that was found, named by what went wrong.

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
