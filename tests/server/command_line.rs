//! What the operator types: options, the file, exit codes.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{Client, Server, WELCOME, chatd, has_program, run};

/// The exit code and what was written to stderr.
fn outcome(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[track_caller]
fn refuses(options: &str, code: i32, told: &str) {
    let (ended, stderr) = outcome(&run(chatd().args(options.split_ascii_whitespace())));
    assert_eq!(ended, Some(code), "{options}: {stderr}");
    assert!(stderr.contains(told), "{options}: {stderr}");
}

#[test]
fn usage_errors_end_with_2_and_say_what_to_write() {
    for (options, told) in [
        ("--port 2626", "unexpected argument '--port'"),
        ("chat", "unrecognized subcommand 'chat'"),
        ("upgrade", "required arguments were not provided"),
        ("upgrade 0", "0 is not in 1.."),
        ("--workers 1 upgrade 1", "cannot be used with"),
        ("--listen 127.0.0.1", "\"127.0.0.1\" has no port: write it as ADDR:PORT"),
        ("--listen telnet://127.0.0.1", "has no port"),
        ("--listen ::1", "\"::1\" has no port: write it as [ADDR]:PORT"),
        ("--listen smoke://127.0.0.1:0", "there is no dialect \"smoke\""),
        ("--listen 127.0.0.1:99999", "is not an address"),
        ("--listen 127.0.0.1:7 --listen 127.0.0.1:7", "two listeners on 127.0.0.1:7"),
        ("--workers 0", "it is a number from 1 to "),
        ("--workers many", "it is a number from 1 to "),
        ("--max-clients 0", "it is a number from 1 to "),
        ("--slow never", "invalid value 'never'"),
        ("--room two/words", "\"two/words\" cannot name a room"),
        (
            "--room help",
            "\"help\" cannot name a room: the name of a room must not be that of a command",
        ),
        ("--check-config --workers 0", "it is a number from 1 to "),
    ] {
        refuses(options, 2, told);
    }
}

#[test]
fn an_address_that_is_not_to_be_had_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("it is bound");
    refuses(&format!("--listen {addr}"), 71, &format!("{addr} is in use"));
    refuses(&format!("--listen 127.0.0.1:0 --admin {addr}"), 71, &format!("{addr} is in use"));
    refuses("--listen 192.0.2.1:2626", 71, "192.0.2.1");
}

#[test]
fn a_second_server_does_not_share_the_port_of_the_first() {
    let server = Server::start("");
    let addr = server.addr();
    refuses(&format!("--listen {addr}"), 71, &format!("{addr} is in use"));
    server.connect();
}

#[test]
fn a_port_may_be_used_again_at_once() {
    let server = Server::start("");
    let addr = server.addr();
    let mut client = server.connect();
    assert_eq!(server.stop().code, Some(0));
    client.expect_line("The server is stopping. Goodbye");
    client.expect_end();
    let next = Server::start(&format!("--listen {addr}"));
    assert_eq!(next.addr(), addr);
}

#[test]
fn several_listeners_lead_to_the_same_rooms() {
    if TcpListener::bind("[::1]:0").is_err() {
        return eprintln!("SKIPPED: there is no IPv6 here. To run this: sysctl net.ipv6.conf.lo");
    }
    // The harness asks for the second.
    let server = Server::start("--workers 2 --listen [::1]:0");
    let mut six = server.connect();
    let port: u16 = server.logged("listening dialect=telnet addr=127.0.0.1:");
    let mut four = Client::to(([127, 0, 0, 1], port).into());
    four.expect_line(WELCOME);
    six.expect_line(format!("Client joined {}", four.name));
    assert!(six.name.starts_with("[::1]:"), "{}", six.name);
    six.say("hello", &mut [&mut four]);
    six.send("/nick plato\n");
    six.expect_line("You are plato");
    // No line of the server's begins with a bracket.
    four.expect_line(format!("Client {} is now plato", six.name));
}

#[test]
fn errors_in_the_file_say_where() {
    for (name, text, told) in [
        ("number", "drain = 1\nworkers = 0\n", ":2:11: it is a number from 1 to "),
        ("unknown", "\n  port = 5\n", ":2:3: unknown field `port`"),
        ("address", "listen = [\"127.0.0.1\"]\n", ":1:10: \"127.0.0.1\" has no port"),
        ("syntax", "listen = [\n", ":"),
    ] {
        let path = file(&format!("{name}.toml"), text);
        for option in ["--config", "--check-config --config"] {
            refuses(&format!("{option} {path}"), 78, &format!("{path}{told}"));
        }
    }
    refuses("--config /nowhere/chatd.toml", 78, "/nowhere/chatd.toml: No such file or directory");
}

#[test]
fn a_file_that_is_right_is_said_to_be() {
    let path = file("right.toml", "listen = [\"127.0.0.1:0\"]\nroom = [\"python\"]\nworkers = 1\n");
    let output = run(chatd().args(["--check-config", "--config", &path]));
    assert_eq!(outcome(&output), (Some(0), String::new()));
    assert_eq!(output.stdout, b"ok\n");

    let server = Server::start(&format!("--config {path}"));
    let mut client = server.connect();
    client.send("/python\n");
    client.expect_line("You are alone in python");
}

#[test]
fn help_and_version_go_to_stdout() {
    for (option, told) in [("--help", "--listen"), ("--version", "chatd ")] {
        let output = run(chatd().arg(option));
        assert_eq!(outcome(&output), (Some(0), String::new()));
        assert!(String::from_utf8_lossy(&output.stdout).contains(told), "{option}");
    }
}

/// Filters as containers have them: one call of io_uring fails with EPERM, the rest is let through.
#[test]
fn without_io_uring_the_way_out_is_named() {
    const FILTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server/deny_io_uring.py");
    if !has_program("python3", "python3") {
        return;
    }
    let server = env!("CARGO_BIN_EXE_chatd");
    for denied in ["425", "426", "427"] {
        let options = [FILTER, denied, server, "--listen", "127.0.0.1:0"];
        let (code, stderr) = outcome(&run(Command::new("python3").args(options)));
        assert_eq!(code, Some(69), "{denied}: {stderr}");
        assert!(stderr.starts_with("io_uring is not available: "), "{denied}: {stderr}");
        assert!(
            stderr.ends_with(
                " not permitted. Likely a seccomp filter, as containers have by default: allow \
                 io_uring_setup, io_uring_enter and io_uring_register in its profile\n"
            ),
            "{denied}: {stderr}"
        );
    }
}

/// Writes a file of this test's own, and returns its path.
fn file(name: &str, text: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).expect("a writable directory");
    path.to_str().expect("a path in ASCII").to_owned()
}
