//! What the five programs did wrong; `main.rs` has the list.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::harness::{Client, PATIENCE, Server, WELCOME, wait};

const PROGRAMS: &str = "--listen rid://127.0.0.1:0 --listen p2p://127.0.0.1:0";

/// A p2p client that was let in.
fn p2p(server: &Server, id: &str) -> Client {
    let mut client = server.connect_as("p2p");
    client.send(id);
    client.expect(format!("hello {id},you login successed\n"));
    client
}

/// Two rid clients in the room 111.
fn pair_in_a_room(server: &Server) -> [Client; 2] {
    let mut first = server.connect_as("rid");
    // The report of what is no frame tells that the frame before it was dealt with.
    first.send("<RID:111></RID:111>?\n");
    first.expect("\nInvalid format message\n");
    let mut second = server.connect_as("rid");
    second.send("<RID:111></RID:111>");
    first.expect(format!("\n[{}] entered room.\n", second.name));
    [first, second]
}

#[test]
fn reads_are_not_lines() {
    let server = Server::start("");
    let [mut one, mut two] = server.lobby(["one", "two"]);
    let long = "more than a hundred bytes, ".repeat(20);
    one.say(&long, &mut [&mut two]);
    one.send("several\r\nlines\r\nat once\r\n");
    two.expect("[one] several\r\n[one] lines\r\n[one] at once\r\n");
    // What is said in between shows that the half was read by itself.
    one.send("half a line");
    two.say("wait", &mut [&mut one]);
    one.send(" and the rest\r\n");
    two.expect_line("[one] half a line and the rest");
}

#[test]
fn a_line_sent_key_by_key_is_one_message() {
    let server = Server::start("");
    let [mut one, mut two] = server.lobby(["one", "two"]);
    for line_end in ["\r\n", "\r\0", "\r", "\n"] {
        one.send_bytewise(format!("key by kez\u{8}y{line_end}"));
        two.expect_line("[one] key by key");
    }
}

#[test]
fn a_blocked_client_blocks_nobody() {
    // More than any socket holds.
    const LINES: usize = 400;
    let server = Server::start("--admin 127.0.0.1:0");
    let [mut one, mut two] = server.lobby(["one", "two"]);
    let blocked = server.connect_narrow();
    for reader in [&mut one, &mut two] {
        reader.expect_line(format!("Client joined {}", blocked.name));
    }
    for line in 0..LINES {
        let text = format!("{line} {:0>900}", "");
        one.send(format!("{text}\n"));
        // What becomes of the blocked one is told in between.
        while two.line() != format!("[one] {text}") {}
    }
    server.wait_for_metric("chatd_closed_total{reason=\"slow\"}", |count| count == 1);
}

#[test]
fn a_failing_send_ends_nothing() {
    let server = Server::start("");
    let [mut one, mut two] = server.lobby(["one", "two"]);
    for line in 0..50 {
        let gone = server.connect();
        let name = gone.name.clone();
        for reader in [&mut one, &mut two] {
            reader.expect_line(format!("Client joined {name}"));
        }
        // The line is on its way to one who resets.
        one.send(format!("{line}\n"));
        gone.reset();
        let heard = [two.line(), two.line()];
        for expected in [format!("[one] {line}"), format!("Client left {name}")] {
            assert!(heard.contains(&expected), "{expected} is not in {heard:?}");
        }
        one.expect_line(format!("Client left {name}"));
    }
}

#[test]
fn every_frame_of_a_read_counts() {
    let server = Server::start(PROGRAMS);
    let [mut first, mut second] = pair_in_a_room(&server);
    second.send("<RID:111>one\n</RID:111><RID:111>two\n</RID:111><RID:111>three\n</RID:111>");
    let (host, port) = second.name.rsplit_once(':').expect("a port");
    for text in ["one", "two", "three"] {
        first.expect(format!("\n<('{host}', {port})>{text}\n"));
    }
}

#[test]
fn a_member_that_leaves_is_announced() {
    for ends in [Client::reset, drop] {
        // One each: who was there before may be leaving still.
        let server = Server::start(PROGRAMS);
        let [mut first, second] = pair_in_a_room(&server);
        let name = second.name.clone();
        ends(second);
        first.expect(format!("\n[{name}] left room.\n"));
    }
}

#[test]
fn the_client_reads_any_input() {
    let server = Server::start("");
    let [mut plato] = server.lobby(["plato"]);
    let path = std::env::temp_dir().join(format!("chat-input-{}", std::process::id()));
    File::create(&path).and_then(|mut file| file.write_all(b"/nick file\nhi\n")).expect("written");
    let mut chat = Command::new(env!("CARGO_BIN_EXE_chat"));
    chat.args([server.addr().to_string()]).stdout(Stdio::piped());
    // Neither can be waited for: epoll refuses them both.
    for (input, last) in [(path.to_str().expect("UTF-8"), "You are file\n"), ("/dev/null", "")] {
        let input = File::open(input).expect("it is there");
        let output = wait(chat.stdin(input).spawn().expect("it was built"), PATIENCE);
        let told = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!((output.status.code(), told), (Some(0), format!("{WELCOME}\n{last}")));
        let joined = plato.line();
        let name = joined.strip_prefix("Client joined ").expect("a newcomer");
        if last.is_empty() {
            plato.expect_line(format!("Client left {name}"));
        } else {
            plato.expect(format!("{name} is now file\r\n[file] hi\r\nClient left file\r\n"));
        }
    }
    std::fs::remove_file(path).expect("it is there");
}

#[test]
fn an_unknown_id_ends_nothing() {
    let server = Server::start(PROGRAMS);
    let mut first = p2p(&server, "1");
    first.send("nobody||hi\n");
    first.expect("remote is offline\n");
    first.send("1||still here\n");
    first.expect("1 said : still here\n");
}

#[test]
fn a_message_without_its_mark_ends_nothing() {
    let server = Server::start(PROGRAMS);
    let mut first = p2p(&server, "1");
    first.send("hi\n2|hi\n");
    for _ in 0..2 {
        first.expect("Not a message. Write ID||TEXT, or all||TEXT\n");
    }
    first.send("1||still here\n");
    first.expect("1 said : still here\n");
}

#[test]
fn a_reset_ends_nothing() {
    let server = Server::start(PROGRAMS);
    let mut watcher = server.connect();
    let mut first = p2p(&server, "1");
    watcher.expect_line("Client joined 1");
    let second = p2p(&server, "2");
    watcher.expect_line("Client joined 2");
    second.reset();
    watcher.expect_line("Client left 2");
    first.send("2||hi\n1||still here\n");
    first.expect("remote is offline\n1 said : still here\n");
}

#[test]
fn an_id_stays_with_its_holder() {
    let server = Server::start(PROGRAMS);
    let mut first = p2p(&server, "1");
    let mut other = p2p(&server, "2");
    let mut second = server.connect_as("p2p");
    second.send("1");
    second.expect("That id is taken. Choose another\n");
    second.expect_end();
    other.send("1||hi\n");
    first.expect("2 said : hi\n");
}

#[test]
fn the_sender_is_told_that_somebody_is_offline() {
    let server = Server::start(PROGRAMS);
    let mut first = p2p(&server, "1");
    let mut second = p2p(&server, "2");
    second.send("3||hi\n");
    second.expect("remote is offline\n");
    // Nothing came before that.
    second.send("1||hi\n");
    first.expect("2 said : hi\n");
}
