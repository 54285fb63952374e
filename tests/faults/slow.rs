//! Those who read too slowly, of every kind and many at once, and those who read just in time.

use std::fs;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Client, End, Server, WELCOME, raise_descriptor_limit};
use crate::rest::serving;
use crate::scaled;
use crate::witnesses::Witnesses;

const CLOSED: &str = "chatd_closed_total{reason=\"slow\"}";
const BLOCKED: &str = "chatd_blocked_sockets";
/// Lines that are said at once: fewer than what makes a reader slow.
const BATCH: usize = 8;

/// What the system keeps for one that reads slowly. With much less a sender that fills the window
/// waits for a timer at each step (RFC 9293, 3.8.6.2.1), and who reads again catches up too slowly.
const HELD_LEN: usize = 8 << 10;

/// By when the kernel has let go of those who were reset; without that it keeps them for
/// `limits::USER_TIMEOUT`, 30 s.
const KEPT: Duration = Duration::from_secs(15);

/// A room with an author, readers, and those who read slowly: three of ten, half of them nothing
/// at all.
struct Plaza {
    author: Client,
    readers: Vec<Client>,
    deaf: Vec<Client>,
    sippers: Vec<Client>,
    /// Lines that were said; all readers have them.
    said: usize,
}

/// What the author says.
fn text(number: usize) -> String {
    format!("{number:0>1000}")
}

impl Plaza {
    fn of(server: &Server) -> Self {
        let parts = scaled(1);
        let enter = |mut client: Client| {
            client.expect_line(WELCOME);
            client.send("/join plaza\n");
            client.expect_to(" plaza");
            client.expect_to("\r\n");
            client
        };
        let mut author = enter(server.connect_unread());
        author.send("/nick author\n");
        author.expect_line("You are author");
        let slow = |_| enter(server.connect_holding(HELD_LEN));
        let deaf = (0..3 * parts).map(slow).collect();
        let sippers = (0..3 * parts).map(slow).collect();
        let readers = (1..14 * parts).map(|_| enter(server.connect_unread())).collect();
        Self { author, readers, deaf, sippers, said: 0 }
    }

    fn slow_count(&self) -> u64 {
        (self.deaf.len() + self.sippers.len()) as u64
    }

    /// The author says some lines, and each reader has them.
    fn talk(&mut self) {
        let numbers = self.said..self.said + BATCH;
        self.said += BATCH;
        self.author.send(numbers.clone().map(|number| text(number) + "\n").collect::<String>());
        for reader in &mut self.readers {
            numbers.clone().for_each(|number| hear(reader, number));
        }
        self.author.send("/who -\n");
        self.author.lines_before("There is no room -");
    }

    /// Talks until all sockets of those who read slowly are full. Returns the instant before which
    /// none of them was.
    fn fill(&mut self, server: &Server) -> Instant {
        let mut none_full = Instant::now();
        loop {
            let before = Instant::now();
            self.talk();
            let full = server.metric(BLOCKED);
            if full == 0 {
                none_full = before;
            }
            if full == self.slow_count() {
                return none_full;
            }
        }
    }
}

/// Until there is no sender any more, each of them reads one byte after each such time.
fn sip(sippers: &mut [Client], interval: Duration, over: &Receiver<()>) {
    while over.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        for sipper in &mut *sippers {
            sipper.sip();
        }
    }
}

/// Reads the author's line of that number, and notices before it.
#[track_caller]
fn hear(reader: &mut Client, number: usize) {
    let line = loop {
        let line = reader.line();
        if line.starts_with('[') {
            break line;
        }
        assert!(line.starts_with("Client ") || line.ends_with(" here"), "{line}");
    };
    assert_eq!(line, format!("[author] {}", text(number)));
}

/// Sockets at the server's end of its connections, and the bytes that wait in them: those that the
/// kernel has still, whoever has forgotten them.
fn sockets_of(server: &Server) -> (u64, u64) {
    const LISTEN: &str = "0A";
    const TIME_WAIT: &str = "06";
    let table = fs::read_to_string("/proc/net/tcp").expect("there is a /proc");
    let port = format!(":{:04X}", server.addr().port());
    let waiting = |line: &str| -> Option<u64> {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, state) = (fields.next()?, fields.nth(1)?);
        let (to_send, _) = fields.next()?.split_once(':')?;
        let is_one = local.ends_with(&port) && ![LISTEN, TIME_WAIT].contains(&state);
        is_one.then(|| u64::from_str_radix(to_send, 16).expect("a number"))
    };
    let found: Vec<u64> = table.lines().filter_map(waiting).collect();
    (found.len() as u64, found.iter().sum())
}

/// The kernel's memory for TCP, of the whole machine, in KiB.
fn tcp_memory() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").expect("there is a /proc");
    let pages = text.lines().find_map(|line| line.strip_prefix("TCP:")?.rsplit_once("mem "));
    pages.expect("a number of pages").1.parse::<u64>().expect("a number") * 4
}

/// By age where nobody talks any more, by bytes where the talk goes on. They are reset, so that the
/// kernel keeps nothing.
#[test]
fn slow_readers_of_every_kind_are_closed() {
    raise_descriptor_limit();
    let age = scaled(1).min(10) as u64;
    for talks_on in [false, true] {
        let (server, rest) = serving(&format!("--workers 2 --behind-age {age}"));
        let mut witnesses = Witnesses::of(&server);
        let before = tcp_memory();
        let mut plaza = Plaza::of(&server);
        let (slow, all) = (plaza.slow_count(), plaza.slow_count() + plaza.readers.len() as u64 + 1);
        let none_full = plaza.fill(&server);
        let (most, (_, waiting)) = (tcp_memory(), sockets_of(&server));
        assert!(waiting > 0, "nothing waits for {slow} who do not read");
        let (over, is_over) = channel::<()>();
        let sippers = std::mem::take(&mut plaza.sippers);
        let sipping = thread::spawn(move || {
            let mut sippers = sippers;
            sip(&mut sippers, Duration::from_millis(900 * age), &is_over);
            sippers
        });
        if talks_on {
            while server.metric(CLOSED) < slow {
                plaza.talk();
            }
        } else {
            witnesses.meanwhile(|| server.wait_for_metric(CLOSED, |count| count == slow));
        }
        let gone = none_full.elapsed();
        drop(over);
        plaza.sippers = sipping.join().expect("it ends");
        // All but the admin endpoint's, which is another port, and the witnesses'.
        let deadline = Instant::now() + KEPT;
        while sockets_of(&server) != (all - slow + 2, 0) {
            assert!(Instant::now() < deadline, "the kernel keeps {:?}", sockets_of(&server));
            thread::yield_now();
        }
        eprintln!(
            "{slow} of {all} do not read{}: closed {:.1} s after none was full; TCP memory \
             {before} KiB, {most} KiB while they were full, {} KiB then",
            if talks_on { ", and the talk goes on" } else { "" },
            gone.as_secs_f64(),
            tcp_memory()
        );
        for slow in plaza.deaf.iter_mut().chain(&mut plaza.sippers) {
            assert_eq!(slow.read_to_any_end().1, End::Reset);
        }
        plaza.talk();
        assert_eq!(server.metric(CLOSED), slow);
        drop((witnesses, plaza));
        rest.returns(&server);
    }
}

/// What they have is whole but for the lines they are told of.
#[test]
fn slow_readers_of_every_kind_miss_lines_instead() {
    raise_descriptor_limit();
    let (server, rest) = serving("--workers 2 --slow skip");
    let witnesses = Witnesses::of(&server);
    let mut plaza = Plaza::of(&server);
    let (over, is_over) = channel::<()>();
    let mut sippers = std::mem::take(&mut plaza.sippers);
    let sipping = thread::spawn(move || {
        sip(&mut sippers, Duration::from_millis(900), &is_over);
        sippers
    });
    // More than sockets hold and a reader may be behind.
    while plaza.said < 300 {
        plaza.talk();
    }
    drop(over);
    plaza.sippers = sipping.join().expect("it ends");
    let said = plaza.said;
    let skipped = |line: &str| -> Option<usize> {
        line.strip_prefix('(')?
            .strip_suffix(" lines skipped: your connection is slow)")?
            .parse()
            .ok()
    };
    for slow in plaza.deaf.iter_mut().chain(&mut plaza.sippers) {
        // Notices of the room may be among the lines skipped.
        let (mut next, mut missed, mut told) = (0, 0, false);
        while next + missed < said {
            let line = slow.line();
            if let Some(count) = skipped(&line) {
                (missed, told) = (missed + count, true);
            } else if let Some(number) = line.strip_prefix("[author] ") {
                let number: usize = number.parse().expect("a number");
                assert!((next..=next + missed).contains(&number), "{number} after {next}");
                (next, missed) = (number + 1, 0);
            }
        }
        assert!(told, "nothing was skipped");
    }
    let skipped = server.metric("chatd_lines_skipped_total");
    eprintln!("{} do not read, miss {skipped} lines, and are told so", plaza.slow_count());
    assert_eq!(server.metric(CLOSED), 0);
    drop((witnesses, plaza));
    rest.returns(&server);
}

/// Again and again: that is not slow, and nothing is lost.
#[test]
fn who_reads_just_before_it_is_too_late_stays() {
    /// More than the replies at which a client's own lines wait, less than what makes it slow.
    const BEHIND: usize = 32;
    /// Of those who are late, so many are read one after the other.
    const PART: usize = 10;
    raise_descriptor_limit();
    let (server, rest) = serving("--workers 2");
    let mut witnesses = Witnesses::of(&server);
    let mut plaza = Plaza::of(&server);
    let (mut heard, rounds) = (0, 5);
    for _ in 0..rounds {
        plaza.fill(&server);
        witnesses.meanwhile(|| (0..BEHIND / BATCH).for_each(|_| plaza.talk()));
        let said = plaza.said;
        thread::scope(|scope| {
            // Who has a small window waits at each step; that shall not add up.
            let late = plaza.deaf.chunks_mut(PART).chain(plaza.sippers.chunks_mut(PART));
            for part in late {
                scope.spawn(move || {
                    for late in part {
                        (heard..said).for_each(|number| hear(late, number));
                    }
                });
            }
        });
        heard = plaza.said;
        server.wait_for_metric(BLOCKED, |count| count == 0);
    }
    assert_eq!(server.metric(CLOSED), 0);
    eprintln!("{} read late {rounds} times, and have all {heard} lines", plaza.slow_count());
    drop((witnesses, plaza));
    rest.returns(&server);
}
