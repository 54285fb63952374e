//! How connections and the server end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{PATIENCE, Server, WELCOME};

const STOPPING: &str = "The server is stopping. Goodbye";

#[test]
fn half_a_line_at_the_end_is_dropped() {
    let server = Server::start("");
    let [mut plato, mut solon] = server.lobby(["plato", "solon"]);
    plato.send("whole\nhalf");
    plato.end_sending();
    plato.expect_end();
    solon.expect_line("[plato] whole");
    solon.expect_line("Client left plato");
    solon.catch_up();
}

#[test]
fn replies_to_everything_before_the_end_are_sent() {
    let server = Server::start("");
    let [mut solon] = server.lobby(["solon"]);
    let mut plato = server.connect_unread();
    plato.send("/nick plato\nhi\n/who\n/join garden\n/dance\n");
    plato.end_sending();
    plato.expect_line(WELCOME);
    plato.expect("You are plato\r\n2 in lobby:\r\n  solon\r\n  plato\r\n");
    plato.expect("You are alone in garden\r\nUnknown command: dance\r\n");
    plato.expect_end();
    solon.expect_line(format!("Client joined {}", plato.name));
    solon.expect_line(format!("{} is now plato", plato.name));
    solon.expect_line("[plato] hi");
    solon.expect_line("Client left plato");
}

#[test]
fn many_replies_are_sent_after_the_end() {
    const COUNT: usize = 5_000;
    let server = Server::start("");
    let mut plato = server.connect();
    plato.send("/who -\n".repeat(COUNT));
    plato.end_sending();
    plato.expect("There is no room -\r\n".repeat(COUNT));
    plato.expect_end();
}

#[test]
fn quit_is_answered_and_nothing_after_it() {
    let server = Server::start("--admin 127.0.0.1:0");
    let [mut plato, mut solon] = server.lobby(["plato", "solon"]);
    plato.send("bye\n/QUIT\nstill here\n/who\n");
    plato.expect_line("Goodbye");
    plato.expect_end();
    solon.expect_line("[plato] bye");
    solon.expect_line("Client left plato");
    solon.catch_up();
    server.wait_for_metric("chatd_closed_total{reason=\"quit\"}", |count| count == 1);
}

#[test]
fn goodbye_reaches_those_who_go_on_sending() {
    let server = Server::start("");
    for _ in 0..20 {
        let mut plato = server.connect();
        plato.send(["/quit\n", &"and another thing\n".repeat(2_000)].concat());
        plato.expect_line("Goodbye");
    }
}

#[test]
fn a_reset_in_the_middle_of_a_line_is_an_end() {
    let server = Server::start("--admin 127.0.0.1:0");
    let [mut plato, mut solon] = server.lobby(["plato", "solon"]);
    plato.send("whole\nhalf");
    solon.expect_line("[plato] whole");
    plato.reset();
    solon.expect_line("Client left plato");
    server.wait_for_metric("chatd_closed_total{reason=\"reset\"}", |count| count == 1);
}

#[test]
fn a_reset_while_much_is_owed_frees_everything() {
    let server = Server::start("--admin 127.0.0.1:0");
    let [mut solon] = server.lobby(["solon"]);
    for _ in 0..3 {
        let mut narrow = server.connect_narrow();
        solon.expect_line(format!("Client joined {}", narrow.name));
        narrow.send("/help\n".repeat(1_000));
        server.wait_for_metric("chatd_blocked_sockets", |count| count == 1);
        let name = narrow.name.clone();
        narrow.reset();
        solon.expect_line(format!("Client left {name}"));
    }
    server.wait_for_metric("chatd_connections", |count| count == 1);
    server.wait_for_metric("chatd_blocked_sockets", |count| count == 0);
    server.wait_for_metric("chatd_feed_bytes", |bytes| bytes == 0);
    server.wait_for_metric("chatd_closed_total{reason=\"reset\"}", |count| count == 3);
}

#[test]
fn connections_that_end_at_once_leave_nothing() {
    let server = Server::start("--admin 127.0.0.1:0");
    for round in 0..300 {
        let mut client = server.connect_unread();
        match round % 3 {
            0 => client.reset(),
            1 => drop(client),
            _ => client.send("hi"),
        }
    }
    server.wait_for_metric("chatd_accepted_total", |count| count == 300);
    server.wait_for_metric("chatd_connections", |count| count == 0);
    server.wait_for_metric("chatd_clients", |count| count == 0);
}

#[test]
fn a_stopped_server_takes_leave_of_everybody() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start("--workers 2");
        let [mut plato, mut solon] = server.lobby(["plato", "solon"]);
        solon.send("half a line");
        server.signal(signal);
        for client in [&mut plato, &mut solon] {
            client.expect_line(STOPPING);
            client.expect_end();
        }
        let ended = server.wait(Duration::from_secs(5));
        assert_eq!(ended.code, Some(0), "{}", ended.log);
    }
}

/// Each reader has all lines from the first on, whole, up to where the server stopped.
#[test]
fn stopping_under_load_cuts_no_line() {
    /// Lines that the author may be ahead of the readers: who reads too slowly is sent away.
    const AHEAD: usize = 40;
    let line = |number: usize| format!("{number} {}", "x".repeat(number % 800));
    let server = Server::start("--workers 2");
    let [author, reader, other, third] = server.lobby(["author", "reader", "other", "third"]);
    let read = Arc::new([const { AtomicUsize::new(0) }; 3]);
    let mut sender = author.sender();
    let progress = Arc::clone(&read);
    let sending = thread::spawn(move || {
        for number in 0.. {
            while progress.iter().any(|read| read.load(Ordering::Relaxed) + AHEAD < number) {
                thread::yield_now();
            }
            if sender.try_send(line(number) + "\n").is_err() {
                return;
            }
        }
    });
    let reading = [reader, other, third].into_iter().enumerate().map(|(place, mut reader)| {
        let progress = Arc::clone(&read);
        thread::spawn(move || {
            for number in 0.. {
                let got = reader.line();
                if got == STOPPING {
                    break;
                }
                assert_eq!(got, format!("[author] {}", line(number)));
                progress[place].store(number, Ordering::Relaxed);
            }
            // The author waits for nobody any more.
            progress[place].store(usize::MAX - AHEAD, Ordering::Relaxed);
            reader.expect_end();
        })
    });
    let reading: Vec<_> = reading.collect();
    let begun = || read.iter().all(|read| read.load(Ordering::Relaxed) >= 100);
    while !begun() && !reading.iter().any(JoinHandle::is_finished) {
        thread::yield_now();
    }
    server.signal(Signal::TERM);
    for reading in reading {
        reading.join().expect("whole lines, and then the end");
    }
    let ended = server.wait(Duration::from_secs(5));
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    sending.join().expect("it ends");
}

#[test]
fn stopping_does_not_wait_for_those_who_do_not_read() {
    let server = Server::start("--drain 1 --admin 127.0.0.1:0");
    let mut narrow = server.connect_narrow();
    narrow.send("/help\n".repeat(1_000));
    server.wait_for_metric("chatd_blocked_sockets", |count| count == 1);
    server.signal(Signal::TERM);
    let ended = server.wait(PATIENCE);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    narrow.read_to_any_end();
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let server = Server::start("--drain 60 --admin 127.0.0.1:0");
    let mut narrow = server.connect_narrow();
    narrow.send("/help\n".repeat(1_000));
    server.wait_for_metric("chatd_blocked_sockets", |count| count == 1);
    server.signal(Signal::TERM);
    let _: String = server.logged("stopping signal=");
    server.signal(Signal::TERM);
    let ended = server.wait(PATIENCE);
    assert_eq!(ended.code, Some(128 + 15), "{}", ended.log);
    narrow.read_to_any_end();
}
