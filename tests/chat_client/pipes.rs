//! Without a terminal.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use crate::servers::{Peer, Server};

pub(crate) fn chat(words: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_chat"))
        .args(words)
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("chat is built")
}

fn chat_at(port: u16) -> Child {
    chat(&["127.0.0.1", &port.to_string()])
}

/// Exit code, standard output, standard error.
fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Gives the input, all of it, and waits for the end.
pub(crate) fn run(mut child: Child, input: &str) -> (Option<i32>, String, String) {
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("taken");
    drop(stdin);
    told(&child.wait_with_output().expect("it ends"))
}

/// Reads standard output until it has this.
pub(crate) fn read_until(child: &mut Child, words: &str) {
    let stdout = child.stdout.as_mut().expect("piped");
    let mut all = Vec::new();
    let mut byte = [0];
    while !all.ends_with(words.as_bytes()) {
        stdout.read_exact(&mut byte).expect("more to come");
        all.extend_from_slice(&byte);
    }
}

#[test]
fn lines_go_in_and_out() {
    let server = Server::start();
    let mut zeno = Peer::connect(server.port, "zeno");
    let (code, stdout, stderr) = run(chat_at(server.port), "/nick plato\nhi\nno line end");
    let expected = "You're connected to the chatd chatserver\nYou are plato\n";
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), expected, ""));
    zeno.wait_for("[plato] hi");
    zeno.wait_for("[plato] no line end");
}

#[test]
fn every_line_is_taken_before_the_end() {
    let server = Server::start();
    let mut zeno = Peer::connect(server.port, "zeno");
    let input: String = (0..2_000).map(|n| format!("line {n}\n")).collect();
    let (code, stdout, stderr) = run(chat_at(server.port), &(input + "/nick plato\n"));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.ends_with("\nYou are plato\n"), "the answers come too: {stdout}");
    (0..2_000).for_each(|n| drop(zeno.wait_for(&format!("] line {n}"))));
}

#[test]
fn what_others_say_comes_without_colours() {
    let server = Server::start();
    let mut child = chat_at(server.port);
    read_until(&mut child, "chatserver\n");
    let mut zeno = Peer::connect(server.port, "zeno");
    zeno.say("hello");
    read_until(&mut child, "\n[zeno] hello\n");
    assert_eq!(run(child, "").0, Some(0));
}

#[test]
fn quit_ends_it_though_the_input_does_not() {
    let server = Server::start();
    let mut child = chat_at(server.port);
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"/quit\n").expect("taken");
    let (code, stdout, stderr) = told(&child.wait_with_output().expect("it ends"));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.ends_with("\nGoodbye\n"), "{stdout}");
}

#[test]
fn a_lost_connection_is_said() {
    let server = Server::start();
    let mut child = chat_at(server.port);
    read_until(&mut child, "chatserver\n");
    let stdin = child.stdin.take();
    server.kill();
    let (code, _, stderr) = told(&child.wait_with_output().expect("it ends"));
    assert_eq!((code, stderr.as_str()), (Some(1), "Disconnected from chat server\n"));
    drop(stdin);
}

#[test]
fn no_server_is_said() {
    // Taken and not listened at: nobody else gets it meanwhile.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    drop(listener);
    let target = format!("127.0.0.1:{port}");
    let (code, stdout, stderr) = told(&chat(&[&target]).wait_with_output().expect("it ends"));
    let expected = format!("Unable to connect to {target}: Connection refused\n");
    assert_eq!((code, stdout.as_str(), stderr), (Some(1), "", expected));
}

#[test]
fn no_host_is_a_usage_error() {
    for words in [&["a:b"][..], &["a:9", "9"], &["--dialect"]] {
        let (code, _, stderr) = told(&chat(words).wait_with_output().expect("it ends"));
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("error: "), "{stderr}");
    }
}

#[test]
fn a_server_cannot_reach_the_terminal() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut child = chat_at(listener.local_addr().expect("its address").port());
    let stdin = child.stdin.take();
    let (mut stream, _) = listener.accept().expect("chat connects");
    let bytes =
        b"\x1b]0;title\x07\x1b[2J\x9b1mx\r\n\xff\xfb\x01[z] \xe2\x80\xaeevil\xc2\x9b31m\x00\n";
    stream.write_all(bytes).expect("sent");
    stream.shutdown(std::net::Shutdown::Write).expect("shut");
    let (code, stdout, stderr) = told(&child.wait_with_output().expect("it ends"));
    assert_eq!(stdout, "]0;title[2J\u{fffd}1mx\n[z] evil31m\n");
    // Its closing while input could still come is a loss.
    assert_eq!((code, stderr.as_str()), (Some(1), "Disconnected from chat server\n"));
    drop(stdin);
}
