//! The whole library against a server that does what a chat server must not: every fault it makes
//! is counted, exactly, and nothing else is. The server is a thread with plain sockets.

use load_test::{Group, Protocol, Scenario, Totals, Verdict};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// What the server does to the deliveries it makes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manners {
    Honest,
    /// In turn, with one delivery in `FAULT_EVERY` each.
    Faulty,
    /// Closes the connection of the client it delivers to at the `CLOSE_AT`th delivery.
    Closes,
}

const FAULT_EVERY: usize = 500;
const CLOSE_AT: usize = 300;

enum Event {
    Joined(TcpStream, SocketAddr),
    Line(SocketAddr, Vec<u8>),
}

struct Member {
    stream: TcpStream,
    addr: SocketAddr,
    room: Option<String>,
    /// Held back until the next delivery to the same member.
    held: Option<Vec<u8>>,
}

/// Listens, and serves from threads that end with the test.
fn start(manners: Manners) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let (sender, events) = channel();
    std::thread::spawn(move || accept(&listener, &sender));
    std::thread::spawn(move || serve(&events, manners));
    addr
}

fn accept(listener: &TcpListener, events: &Sender<Event>) {
    while let Ok((stream, addr)) = listener.accept() {
        let reader = BufReader::new(stream.try_clone().expect("a descriptor is left"));
        let lines = events.clone();
        events.send(Event::Joined(stream, addr)).expect("the server runs as long as the test");
        std::thread::spawn(move || {
            for line in reader.split(b'\n').map_while(Result::ok) {
                if lines.send(Event::Line(addr, line)).is_err() {
                    return;
                }
            }
        });
    }
}

fn serve(events: &Receiver<Event>, manners: Manners) {
    let mut members: Vec<Member> = Vec::new();
    let mut delivery = 0;
    for event in events {
        match event {
            Event::Joined(mut stream, addr) => {
                let welcome = b"You're connected to the chatd chatserver\r\n";
                let _gone = stream.write_all(welcome);
                members.push(Member { stream, addr, room: None, held: None });
            }
            Event::Line(author, line) => {
                let text = line.strip_suffix(b"\r").unwrap_or(&line);
                let Some(room) = text.strip_prefix(b"/join ") else {
                    let line = [format!("[{author}] ").as_bytes(), text, b"\r\n"].concat();
                    broadcast(&mut members, author, &line, &mut delivery, manners);
                    continue;
                };
                let member = members.iter_mut().find(|member| member.addr == author);
                let member = member.expect("who sends has joined");
                let room = String::from_utf8_lossy(room).into_owned();
                let notices = format!("Client joined {room}\r\nYou are in {room}.\r\n");
                let _gone = member.stream.write_all(notices.as_bytes());
                member.room = Some(room);
            }
        }
    }
}

fn broadcast(
    members: &mut [Member],
    author: SocketAddr,
    line: &[u8],
    delivery: &mut usize,
    manners: Manners,
) {
    let of_author = members.iter().find(|member| member.addr == author);
    let room = of_author.expect("who sends has joined").room.clone();
    let others = members.iter_mut().filter(|member| member.addr != author && member.room == room);
    for member in others {
        *delivery += 1;
        let due = manners == Manners::Faulty && delivery.is_multiple_of(FAULT_EVERY);
        let bytes = match (*delivery / FAULT_EVERY) % 5 {
            _ if !due => line.to_vec(),
            0 => vec![],
            1 => [line, line].concat(),
            2 => {
                member.held = Some(line.to_vec());
                continue;
            }
            3 => {
                let mut changed = line.to_vec();
                let last = changed.len() - 3;
                changed[last] ^= 1;
                changed
            }
            _ => foreign(line),
        };
        let held = member.held.take().unwrap_or_default();
        let _gone = member.stream.write_all(&[bytes, held].concat());
        if manners == Manners::Closes && *delivery == CLOSE_AT {
            let _gone = member.stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// The line, and the last line of another run before it: what a mixed-up room would bring.
fn foreign(line: &[u8]) -> Vec<u8> {
    const OTHER: &[u8] = b"[plato] @fffffff0.000000.00000000.0000000000000001.\
        0000000000000002.0ff355fcabcdefghijkl\r\n";
    [OTHER, line].concat()
}

/// 40 clients, 4 of them senders, 200 lines/s for 1 s after a warm-up of a tenth of that.
fn scenario(rooms: u32, threads: usize) -> Scenario {
    let group = Group { clients: 40, rooms, senders: 4, rate: 200.into(), ..Group::default() };
    Scenario {
        groups: vec![group],
        warmup: Duration::from_millis(100),
        duration: Duration::from_secs(1),
        grace: Duration::from_secs(1),
        threads,
        ..Scenario::default()
    }
}

#[test]
fn an_honest_server_passes() {
    for (rooms, threads) in [(0, 1), (1, 1), (3, 2)] {
        let report = load_test::run(scenario(rooms, threads), start(Manners::Honest), None);
        let report = report.expect("it runs");
        assert_ne!(report.verdict, Verdict::Fail, "{report}");
        assert_eq!(report.audit.delivered, report.audit.expected, "{report}");
        assert!(report.audit.expected >= 220 * 12, "{report}");
        assert!(report.measured < report.audit.delivered, "the warm-up is not measured");
        assert!(report.latency_us.p50 >= report.latency_uncorrected_us.p50, "{report}");
        assert!(report.broadcast_us.first.p50 <= report.broadcast_us.last.p50, "{report}");
    }
}

#[test]
fn every_fault_is_counted() {
    let report = load_test::run(scenario(1, 1), start(Manners::Faulty), None).expect("it runs");
    // 220 lines to 39 receivers each: 8,580 deliveries, 17 of them with a fault: the kinds take
    // turns, doubled first. Order is that of each sender: a line held back until the next one,
    // which is another sender's, is not out of order.
    let expected = Totals {
        expected: 8580,
        delivered: 8580 - 3 - 3,
        lost: 3,
        duplicated: 4,
        reordered: 0,
        corrupted: 3,
        foreign: 3,
        closed: 0,
    };
    assert_eq!(report.audit, expected, "{report}");
    assert_eq!(report.verdict, Verdict::Fail);
    assert_eq!(report.faults.iter().map(|row| row.duplicated).sum::<u64>(), 4);
}

#[test]
fn swapped_lines_of_one_sender_are_reordered() {
    let mut scenario = scenario(1, 1);
    scenario.groups[0].senders = 1;
    let report = load_test::run(scenario, start(Manners::Faulty), None).expect("it runs");
    assert_eq!(report.audit.reordered, 4, "{report}");
    assert_eq!(report.audit.lost, 3, "{report}");
}

#[test]
fn a_client_that_the_server_closes_is_counted_and_not_waited_for() {
    let mut scenario = scenario(1, 1);
    scenario.grace = Duration::from_secs(3600);
    let report = load_test::run(scenario, start(Manners::Closes), None).expect("it runs");
    let Totals { expected, delivered, lost, closed, .. } = report.audit;
    assert_eq!(closed, 1, "{report}");
    assert_eq!(delivered + lost, expected, "{report}");
    assert!(lost > 0, "{report}");
}

#[test]
fn one_who_is_not_let_in_ends_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || drop(listener.accept()));
    let failure = load_test::run(scenario(1, 1), addr, None).expect_err("nobody is let in");
    assert!(failure.to_string().contains("client"), "{failure}");
}

#[test]
fn the_floor_has_neither_prefix_nor_rooms() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || relay_two(&listener));
    let group = Group { clients: 2, rooms: 0, senders: 1, rate: 50.into(), ..Group::default() };
    let scenario = Scenario {
        groups: vec![group],
        warmup: Duration::ZERO,
        duration: Duration::from_secs(1),
        protocol: Protocol::Floor,
        ..Scenario::default()
    };
    let report = load_test::run(scenario, addr, None).expect("it runs");
    assert_ne!(report.verdict, Verdict::Fail, "{report}");
    assert_eq!(report.audit.delivered, 50);
}

/// Copies what the first client sends to the second.
fn relay_two(listener: &TcpListener) {
    let mut clients: Vec<_> = listener.incoming().take(2).map_while(Result::ok).collect();
    for client in &mut clients {
        let _gone = client.write_all(b"hi\r\n");
    }
    let [first, second] = &mut clients[..] else { return };
    let _gone = std::io::copy(first, second);
}
