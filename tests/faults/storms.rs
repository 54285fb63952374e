//! Many at once, or one who does everything at once. Meanwhile two others talk, and lose nothing.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use socket2::Socket;

use crate::harness::{Client, Server, WELCOME, raise_descriptor_limit};
use crate::rest::{Rest, resident, serving};
use crate::scaled;
use crate::witnesses::Witnesses;

const FULL: &str = "The server is full. Try again later";

#[test]
fn those_who_come_and_break_off_leave_nothing() {
    const THREADS: usize = 2;
    let count = scaled(4_000);
    let (server, rest) = serving("--workers 2");
    let mut witnesses = Witnesses::of(&server);
    let start = Instant::now();
    witnesses.meanwhile(|| {
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for number in 0..count / THREADS {
                        // No more calls than it takes: there are many.
                        let stream = TcpStream::connect(server.addr()).expect("it listens");
                        let mut socket = Socket::from(stream);
                        // Some are broken off in the middle of a line.
                        if number % 4 == 0 {
                            let _ = socket.write(b"/who\nhalf a li");
                        }
                        socket.set_linger(Some(Duration::ZERO)).expect("an option");
                    }
                });
            }
        });
    });
    let took = start.elapsed().as_secs_f64();
    let latency = witnesses.latency();
    witnesses.talk();
    drop(witnesses);
    rest.returns(&server);
    let accepted = server.metric("chatd_accepted_total");
    let rate = count as f64 / took;
    eprintln!(
        "{count} came and broke off, {rate:.0}/s for {took:.1} s; {accepted} accepted, \
         and closed; others: {latency}"
    );
    assert!(accepted > count as u64 / 2, "a storm of {accepted} is none");
}

/// Who never ends a line keeps one place, and no more than its address may have.
#[test]
fn slow_senders_take_the_places_of_their_address_only() {
    let (server, rest) = serving("--trust none --max-clients 24 --address-rate 1000");
    let mut witnesses = Witnesses::of(&server);
    // Beside the pair, which comes from the same address.
    let mut slow: Vec<Client> = (0..14).map(|_| server.connect()).collect();
    for _ in 0..10 {
        let mut refused = server.connect_unread();
        refused.expect_line("Too many connections from your address. Close one first");
        refused.expect_end();
    }
    for byte in b"never ending" {
        slow.iter_mut().for_each(|client| client.send([*byte]));
        witnesses.talk();
    }
    let mut newcomer = server.connect_from([127, 0, 0, 2]);
    newcomer.expect_line(WELCOME);
    drop((witnesses, slow, newcomer));
    rest.returns(&server);
}

#[test]
fn a_place_that_a_slow_sender_leaves_is_free() {
    raise_descriptor_limit();
    let count = scaled(8);
    let (server, rest) = serving(&format!("--max-clients {} --workers 2", count + 2));
    let mut witnesses = Witnesses::of(&server);
    let never_ending = || {
        let mut client = server.connect_unread();
        client.expect_line(WELCOME);
        client.send("never");
        client
    };
    let mut slow: Vec<Client> = (0..count).map(|_| never_ending()).collect();
    let _ = witnesses.latency();
    let mut free = Duration::ZERO;
    for _ in 0..8 {
        let mut refused = server.connect_unread();
        refused.expect_line(FULL);
        refused.expect_end();
        slow.iter_mut().for_each(|client| client.send("r"));
        let left = Instant::now();
        slow.remove(0);
        server.wait_for_metric("chatd_connections", |open| open == count as u64 + 1);
        free = free.max(left.elapsed());
        slow.push(never_ending());
        witnesses.talk();
    }
    let latency = witnesses.latency();
    eprintln!(
        "{count} slow senders have all places; one is free {free:.1?} after it is \
         left; others: {latency}"
    );
    drop((witnesses, slow));
    rest.returns(&server);
}

/// More than there are places for, and for telling them so: the rest wait in the backlog until it
/// is their turn, and each is told.
#[test]
fn a_small_limit_of_open_files_is_a_small_server() {
    // What `README.md` says of clients: less 64, and 64 a listener. Two of them talk.
    const PLACES: usize = 256 - 64 - 64 - 2;
    const TOO_MANY: usize = 400;
    raise_descriptor_limit();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 256 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_chatd")]);
    let server = Server::spawn(command.args(["--workers", "1", "--admin", "127.0.0.1:0"]));
    let _: String = server.logged("INFO serving");
    let rest = Rest::of(&server);
    let mut witnesses = Witnesses::of(&server);
    let inside = witnesses.meanwhile(|| {
        let come = |_| server.connect_unread();
        let mut inside: Vec<Client> = (0..PLACES + TOO_MANY).map(come).collect();
        inside.retain_mut(|client| {
            let line = client.line();
            if line == FULL {
                client.expect_end();
            }
            line == WELCOME
        });
        inside
    });
    assert_eq!(inside.len(), PLACES);
    drop(inside);
    server.wait_for_metric("chatd_connections", |count| count == 2);
    let again: Vec<Client> = (0..PLACES).map(|_| server.connect()).collect();
    witnesses.talk();
    drop((witnesses, again));
    rest.returns(&server);
}

/// Clients have no descriptors, so that those who are there and those who come notice nothing; the
/// admin endpoint's do, and wait.
#[test]
fn without_a_free_descriptor_clients_come_and_go() {
    let (server, rest) = serving("--workers 2 --log-level debug");
    let mut witnesses = Witnesses::of(&server);
    let limit = |current: Option<u64>| {
        let limit = getrlimit(Resource::Nofile);
        let limit = Rlimit { current, maximum: limit.maximum };
        prlimit(Some(server.pid()), Resource::Nofile, limit).expect("it is our child")
    };
    let open = |number: &u64| {
        let path = format!("/proc/{}/fd/{number}", server.pid().as_raw_pid());
        fs::symlink_metadata(path).is_ok()
    };
    let lowest = (0..).find(|number| !open(number)).expect("they are few");
    let before = limit(Some(lowest));
    thread::scope(|scope| {
        let asked = scope.spawn(|| server.metric("chatd_accept_errors_total"));
        let _: String = server.logged("DEBUG admin accept error=");
        for _ in 0..50 {
            let mut client = server.connect();
            witnesses.talk();
            client.send("/quit\n");
            client.expect_line("Goodbye");
            client.expect_end();
        }
        limit(before.current);
        assert_eq!(asked.join().expect("it is answered"), 0);
    });
    eprintln!("50 came and went without a free descriptor; others: {}", witnesses.latency());
    drop(witnesses);
    rest.returns(&server);
}

/// Those who stay are told how many left, once a second, and another room hears nothing of it.
#[test]
fn a_room_that_all_leave_at_once_is_told_their_number() {
    raise_descriptor_limit();
    let count = scaled(1_500);
    let (server, rest) = serving("--workers 2");
    let mut witnesses = Witnesses::of(&server);
    let mut stayer = server.connect();
    stayer.send("/join plaza\n");
    stayer.expect_line("You are alone in plaza");
    let mut crowd: Vec<Client> = (0..count).map(|_| server.connect_unread()).collect();
    crowd.iter_mut().for_each(|client| client.send("/join plaza\n"));
    witnesses.meanwhile(|| count_presence(&mut stayer, "joined", count));
    let _ = witnesses.latency();
    (0..1_000).for_each(|_| witnesses.talk());
    let calm = witnesses.latency();
    let start = Instant::now();
    witnesses.meanwhile(|| {
        drop(crowd);
        count_presence(&mut stayer, "left", count);
    });
    let (took, latency) = (start.elapsed().as_secs_f64(), witnesses.latency());
    eprintln!(
        "{count} left at once, all told after {took:.2} s; others: {latency}; before: {calm}"
    );
    stayer.catch_up();
    witnesses.talk();
    drop((witnesses, stayer));
    rest.returns(&server);
}

/// Reads notices until so many people did `what`, and no more than that.
#[track_caller]
fn count_presence(reader: &mut Client, what: &str, expected: usize) {
    let mut count = 0;
    while count < expected {
        let line = reader.line();
        count += if line.starts_with(&format!("Client {what} ")) {
            1
        } else if let Some((number, _)) = line.split_once(&format!(" {what}; ")) {
            number.parse().expect("a number of people")
        } else {
            panic!("{count} of {expected} {what}, and then {line}")
        };
    }
    assert_eq!(count, expected, "{what}");
}

#[test]
fn a_flood_is_heard_in_its_room_only() {
    /// Lines that the flood may be ahead of its reader: who reads too slowly is sent away.
    const AHEAD: usize = 400;
    let count = scaled(20_000);
    let text = |number: usize| format!("{number:0>100}");
    let (server, rest) = serving("--workers 2");
    let mut witnesses = Witnesses::of(&server);
    let [mut flooder, mut reader, mut loner] = server.lobby(["flooder", "reader", "loner"]);
    loner.send("/join nowhere\n");
    loner.expect_line("You are alone in nowhere");
    flooder.expect_line("Client left loner");
    reader.expect_line("Client left loner");
    let read = AtomicUsize::new(0);
    let _ = witnesses.latency();
    let start = Instant::now();
    witnesses.meanwhile(|| {
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..count {
                    reader.expect_line(format!("[flooder] {}", text(number)));
                    read.store(number, Ordering::Relaxed);
                }
            });
            // Nobody hears this one, and nobody holds him up.
            scope.spawn(|| (0..count).for_each(|number| loner.send(text(number) + "\n")));
            for first in (0..count).step_by(50) {
                while read.load(Ordering::Relaxed) + AHEAD < first {
                    thread::yield_now();
                }
                let lines = (first..first + 50).map(|number| text(number) + "\n");
                flooder.send(lines.collect::<String>());
            }
        });
        loner.catch_up();
    });
    let (rate, latency) = (count as f64 / start.elapsed().as_secs_f64(), witnesses.latency());
    eprintln!("{count} lines of two flooders each, {rate:.0}/s; others: {latency}");
    drop((witnesses, flooder, reader, loner));
    rest.returns(&server);
}

#[test]
fn ten_thousand_commands_in_a_segment_are_answered_in_order() {
    const COUNT: usize = 10_000;
    let (server, rest) = serving("--workers 1");
    let mut witnesses = Witnesses::of(&server);
    let mut asker = server.connect();
    let commands: String = (0..COUNT).map(|number| format!("/{number:04}\n")).collect();
    assert!(commands.len() < 1 << 16, "it fits one segment of the loopback");
    let _ = witnesses.latency();
    let start = Instant::now();
    witnesses.meanwhile(|| {
        asker.send(commands);
        for number in 0..COUNT {
            asker.expect_line(format!("Unknown command: {number:04}"));
        }
        asker.catch_up();
    });
    let (took, latency) = (start.elapsed(), witnesses.latency());
    eprintln!("{COUNT} commands in a segment are answered after {took:.1?}; others: {latency}");
    drop((witnesses, asker));
    rest.returns(&server);
}

#[test]
fn rooms_end_with_the_one_who_made_them() {
    let count = scaled(20_000);
    let (server, rest) = serving("--workers 2 --listen rid://127.0.0.1:0");
    let mut witnesses = Witnesses::of(&server);
    let mut wanderer = server.connect();
    let mut sender = wanderer.sender();
    let (before, start) = (resident(&server), Instant::now());
    witnesses.meanwhile(|| {
        thread::scope(|scope| {
            scope
                .spawn(move || (0..count).for_each(|room| sender.send(format!("/join r{room}\n"))));
            for room in 0..count {
                wanderer.expect_line(format!("You are alone in r{room}"));
            }
        });
        wanderer.catch_up();
    });
    let (took, after) = (start.elapsed().as_secs_f64(), resident(&server));
    let latency = witnesses.latency();
    eprintln!(
        "{count} rooms made and left in {took:.1} s, {before} KiB before, {after} KiB \
         after; others: {latency}"
    );
    // The lobby, that of the pair, and the wanderer's last.
    assert_eq!(server.metric("chatd_rooms"), 3);
    // Those of the dialect for programs are in many at a time.
    let crowd: Vec<Client> = (0..20)
        .map(|client| {
            let mut many = server.connect_as("rid");
            let rooms = (0..20).map(|room| format!("<RID:{}></RID:{0}>", client * 20 + room));
            many.send(rooms.collect::<String>() + "?\n");
            many.expect("\nInvalid format message\n");
            many
        })
        .collect();
    assert_eq!(server.metric("chatd_rooms"), 3 + 20 * 20);
    witnesses.talk();
    drop((witnesses, wanderer, crowd));
    rest.returns(&server);
}

/// However it is written: names are the same without regard to case.
#[test]
fn one_of_many_who_ask_for_a_name_at_once_gets_it() {
    const THREADS: usize = 4;
    const NAMES: [&str; 4] = ["plato", "solon", "zeno", "thales"];
    raise_descriptor_limit();
    let each = scaled(50);
    let (server, rest) = serving("--workers 4");
    let mut witnesses = Witnesses::of(&server);
    let start = Barrier::new(THREADS);
    let race = |own: usize| {
        let mut crowd: Vec<Client> = (0..each).map(|_| server.connect_unread()).collect();
        let (mut names, mut longest) = (Vec::new(), Duration::ZERO);
        for name in NAMES {
            let spellings =
                [name.to_owned(), name.to_uppercase(), name[..1].to_uppercase() + &name[1..]];
            start.wait();
            let begun = Instant::now();
            for (number, client) in crowd.iter_mut().enumerate() {
                client.send(format!("/nick {}\n", spellings[(own + number) % spellings.len()]));
            }
            for client in &mut crowd {
                names.extend(answer(client));
            }
            longest = longest.max(begun.elapsed());
        }
        (crowd, names, longest)
    };
    let raced = witnesses.meanwhile(|| {
        thread::scope(|scope| {
            let threads = [0, 1, 2, 3].map(|own| scope.spawn(move || race(own)));
            threads.map(|thread| thread.join().expect("it ends"))
        })
    });
    let mut won: Vec<String> =
        raced.iter().flat_map(|(_, names, _)| names).map(|name| name.to_lowercase()).collect();
    won.sort_unstable();
    let mut expected = NAMES;
    expected.sort_unstable();
    assert_eq!(won, expected);
    let longest = raced.iter().map(|(_, _, longest)| *longest).max().unwrap_or_default();
    let (count, latency) = (THREADS * each, witnesses.latency());
    eprintln!(
        "{count} ask for one name at once: one has it, all are answered after {longest:.1?}; \
         others: {latency}"
    );
    drop((witnesses, raced));
    rest.returns(&server);
}

/// What came of asking for a name: the name, or nothing.
#[track_caller]
fn answer(client: &mut Client) -> Option<String> {
    loop {
        let line = client.line();
        if let Some(name) = line.strip_prefix("You are ") {
            return Some(name.to_owned());
        }
        if line.starts_with("Somebody else is called ") {
            return None;
        }
    }
}
