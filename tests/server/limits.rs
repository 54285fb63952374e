//! Bounds: clients at a time, slow readers, unread replies, many at once, one order on all workers.

use std::thread;

use crate::harness::{Client, End, Server, raise_descriptor_limit};

const SLOW: &str = "chatd_closed_total{reason=\"slow\"}";

/// The text of a flood's line: 1,000 bytes.
fn flood_text(number: usize) -> String {
    format!("{number:0>1000}")
}

#[test]
fn one_client_too_many_is_told_so() {
    let server = Server::start("--max-clients 3 --workers 2 --admin 127.0.0.1:0");
    let [mut plato, mut solon, mut zeno] = server.lobby(["plato", "solon", "zeno"]);
    for _ in 0..3 {
        let mut fourth = server.connect_unread();
        fourth.expect_line("The server is full. Try again later");
        fourth.expect_end();
    }
    plato.say("nobody came", &mut [&mut solon, &mut zeno]);
    drop(zeno);
    plato.expect_line("Client left zeno");
    solon.expect_line("Client left zeno");
    server.wait_for_metric("chatd_connections", |count| count == 2);
    let fourth = server.connect();
    plato.expect_line(format!("Client joined {}", fourth.name));
    server.wait_for_metric("chatd_closed_total{reason=\"full\"}", |count| count == 3);
}

#[test]
fn an_address_has_sixteen_connections() {
    let server = Server::start("--trust none --workers 2 --admin 127.0.0.1:0");
    let mut crowd: Vec<Client> = (0..16).map(|_| server.connect()).collect();
    for _ in 0..2 {
        let mut refused = server.connect_unread();
        refused.expect_line("Too many connections from your address. Close one first");
        refused.expect_end();
    }
    let mut neighbour = server.connect_from([127, 0, 0, 2]);
    neighbour.expect_line("You're connected to the chatd chatserver");
    crowd.pop();
    server.wait_for_metric("chatd_connections", |count| count == 16);
    server.connect();
    server.wait_for_metric("chatd_closed_total{reason=\"address_full\"}", |count| count == 2);
}

#[test]
fn the_bounds_of_an_address_can_be_chosen() {
    let server = Server::start("--trust none --address-clients 2 --address-rate 4");
    let told = |server: &Server| {
        let mut client = server.connect_unread();
        let line = client.line();
        (client, line)
    };
    let crowd = [server.connect(), server.connect()];
    let (_, line) = told(&server);
    assert_eq!(line, "Too many connections from your address. Close one first");
    drop(crowd);
    let (_, line) = told(&server);
    assert!(!line.ends_with("in a minute"), "the fourth may try: {line}");
    let (_, line) = told(&server);
    assert_eq!(line, "Too many connections from your address. Try again in a minute");
}

#[test]
fn an_address_that_connects_too_often_is_sent_away() {
    let server = Server::start("--trust none");
    let mut count = 0;
    let answer = loop {
        let mut client = server.connect_unread();
        client.send("/quit\n");
        let text = client.read_to_end();
        if !text.ends_with(b"Goodbye\r\n") {
            break text;
        }
        count += 1;
        assert!(count < 1_000, "nobody was sent away");
    };
    let told = "Too many connections from your address. Try again in a minute\r\n";
    assert_eq!(String::from_utf8_lossy(&answer), told);
    assert!(count >= 32, "{count} were let in");
}

#[test]
fn lines_that_come_too_fast_wait_and_none_is_lost() {
    let server = Server::start("--trust none --admin 127.0.0.1:0");
    let [mut author, mut reader] = server.lobby(["author", "reader"]);
    let lines: Vec<String> = (0..14).map(|number| format!("line {number}")).collect();
    author.send(lines.join("\n") + "\n/quit\n");
    for line in lines {
        reader.expect_line(format!("[author] {line}"));
    }
    reader.expect_line("Client left author");
    author.expect_line("Goodbye");
    author.expect_end();
    assert!(server.metric("chatd_read_pauses_total") > 0, "it did not wait");
}

#[test]
fn a_thousand_who_come_at_once_are_welcomed() {
    raise_descriptor_limit();
    let server = Server::start("--workers 4 --admin 127.0.0.1:0");
    let mut crowd: Vec<Client> = thread::scope(|scope| {
        let connect = || (0..250).map(|_| server.connect_unread()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(connect)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it connects")).collect()
    });
    for client in &mut crowd {
        client.expect_line("You're connected to the chatd chatserver");
    }
    let mut author = crowd.pop().expect("there are many");
    author.send("can you all hear me?\n");
    let line = format!("[{}] can you all hear me?", author.name);
    for client in &mut crowd {
        client.lines_before(&line);
    }
    assert_eq!(server.metric("chatd_accepted_total"), 1_000);
    drop(crowd);
    server.wait_for_metric("chatd_connections", |count| count == 1);
}

#[test]
fn a_large_room_is_told_the_numbers_of_those_who_come_and_go() {
    let server = Server::start("");
    let mut crowd: Vec<Client> = (0..70).map(|_| server.connect()).collect();
    let last = crowd.last_mut().expect("there are some");
    let line = last.line();
    assert!(line.ends_with(" joined; 70 here"), "{line}");
    crowd.truncate(69);
    let line = crowd[68].line();
    assert!(line.ends_with(" joined; 70 here"), "{line}");
    crowd[68].expect_line("1 left; 69 here");
}

/// Four write at a time, four read, all on several workers: everybody has the same lines in the
/// same order, the authors too, but for their own.
#[test]
fn all_members_see_one_order() {
    const LINES: usize = 200;
    let server = Server::start("--workers 4");
    let members = server.lobby(["a", "b", "c", "d", "e", "f", "g", "h"]);
    let authors = ["a", "b", "c", "d"];
    let sequences = members.map(|mut member| {
        let is_author = authors.contains(&member.name.as_str());
        thread::spawn(move || {
            let mut sender = member.sender();
            let sending = is_author.then(|| {
                thread::spawn(move || {
                    (0..LINES).for_each(|number| sender.send(format!("{number}\n")));
                })
            });
            let count = if is_author { 3 * LINES } else { 4 * LINES };
            let lines: Vec<String> = (0..count).map(|_| member.line()).collect();
            if let Some(sending) = sending {
                sending.join().expect("it ends");
            }
            (member, lines)
        })
    });
    let sequences = sequences.map(|thread| thread.join().expect("it ends"));
    let (_, order) = &sequences[7];
    for author in authors {
        let own = format!("[{author}] ");
        let numbers: Vec<_> = order.iter().filter_map(|line| line.strip_prefix(&own)).collect();
        let sent: Vec<String> = (0..LINES).map(|number| number.to_string()).collect();
        assert_eq!(numbers, sent, "{author}");
    }
    for (member, lines) in &sequences {
        let own = format!("[{}] ", member.name);
        let expected: Vec<_> = order.iter().filter(|line| !line.starts_with(&own)).collect();
        assert!(lines.iter().eq(expected), "{} saw another order", member.name);
    }
}

#[test]
fn a_slow_reader_is_closed_and_the_others_lose_nothing() {
    const LINES: usize = 3_000;
    // So few that those who read are never behind.
    const BATCH: usize = 30;
    let server = Server::start("--workers 2 --admin 127.0.0.1:0");
    let mut slow = server.connect_narrow();
    slow.expect_line("You're connected to the chatd chatserver");
    let [mut author, mut one, mut two] = server.lobby(["author", "one", "two"]);
    let left = format!("Client left {}", slow.name);
    let (mut one_left, mut two_left) = (0, 0);
    for number in (0..LINES).step_by(BATCH) {
        let batch = number..number + BATCH;
        author.send(batch.clone().map(|number| flood_text(number) + "\n").collect::<String>());
        for (reader, left_count) in [(&mut one, &mut one_left), (&mut two, &mut two_left)] {
            for number in batch.clone() {
                let mut line = reader.line();
                if line == left {
                    *left_count += 1;
                    line = reader.line();
                }
                assert_eq!(line, format!("[author] {}", flood_text(number)));
            }
        }
    }
    author.expect_line(left);
    assert_eq!((one_left, two_left), (1, 1));
    server.wait_for_metric(SLOW, |count| count == 1);

    // What the slow one has is the first lines, without a gap; the last may be cut.
    let (text, end) = slow.read_to_any_end();
    assert_eq!(end, End::Reset);
    let text = String::from_utf8(text).expect("lines are text");
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let said = text[..whole].split_terminator("\r\n").filter(|line| line.starts_with('['));
    for (number, line) in said.enumerate() {
        assert_eq!(line, format!("[author] {}", flood_text(number)));
    }
}

#[test]
fn a_reader_who_stands_still_is_closed_after_a_while() {
    let server = Server::start("--admin 127.0.0.1:0");
    let [mut author] = server.lobby(["author"]);
    let mut slow = server.connect_narrow();
    author.expect_line(format!("Client joined {}", slow.name));
    for number in 0.. {
        author.send(flood_text(number) + "\n");
        author.catch_up();
        if server.metric("chatd_blocked_sockets") == 1 {
            break;
        }
    }
    assert_eq!(server.metric(SLOW), 0, "it is not far behind");
    author.expect_line(format!("Client left {}", slow.name));
    server.wait_for_metric(SLOW, |count| count == 1);
    assert_eq!(slow.read_to_any_end().1, End::Reset);
}

#[test]
fn direct_messages_to_one_who_does_not_read_do_not_pile_up() {
    let server = Server::start("--admin 127.0.0.1:0");
    let [mut author] = server.lobby(["author"]);
    let mut slow = server.connect_narrow();
    author.expect_line(format!("Client joined {}", slow.name));
    let (name, left) = (slow.name.clone(), format!("Client left {}", slow.name));
    let mut sender = author.sender();
    let sending = thread::spawn(move || {
        (0..1_000).for_each(|number| sender.send(format!("/msg {name} {}\n", flood_text(number))));
        sender.send("/who -\n");
    });
    let answers = author.lines_before("There is no room -");
    sending.join().expect("it ends");
    let gone = format!("Nobody here is called {}", slow.name);
    assert!(answers.contains(&gone), "{answers:?}");
    // A notice of the room may come before any of the answers or after all of them.
    if !answers.contains(&left) {
        author.expect_line(left);
    }
    assert_eq!(server.metric(SLOW), 1);
    assert_eq!(slow.read_to_any_end().1, End::Reset);
}

#[test]
fn a_slow_reader_may_miss_lines_instead() {
    let server = Server::start("--slow skip --admin 127.0.0.1:0");
    let [mut author] = server.lobby(["author"]);
    let mut slow = server.connect_narrow();
    slow.expect_line("You're connected to the chatd chatserver");
    author.expect_line(format!("Client joined {}", slow.name));
    let mut sent = 0;
    while server.metric("chatd_lines_skipped_total") == 0 {
        for _ in 0..8 {
            author.send(flood_text(sent) + "\n");
            sent += 1;
        }
        author.catch_up();
    }
    read_with_a_gap(&mut slow, sent);
    author.say("and on it goes", &mut [&mut slow]);
    assert_eq!(server.metric(SLOW), 0);
}

#[test]
fn lines_of_the_ignored_are_not_missed() {
    let server = Server::start("--workers 1 --slow skip --admin 127.0.0.1:0");
    let [mut author, mut noise] = server.lobby(["author", "noise"]);
    let mut slow = server.connect_narrow();
    slow.expect_line("You're connected to the chatd chatserver");
    for other in [&mut author, &mut noise] {
        other.expect_line(format!("Client joined {}", slow.name));
    }
    slow.send("/ignore noise\n/ignore author\n/unignore author\n");
    slow.expect("You ignore noise\r\nYou ignore author\r\nYou do not ignore author\r\n");
    let mut sent = 0;
    while server.metric("chatd_lines_skipped_total") == 0 {
        for _ in 0..8 {
            author.send(flood_text(sent) + "\n");
            noise.expect_line(format!("[author] {}", flood_text(sent)));
            noise.send("loud\n".repeat(3));
            author.expect("[noise] loud\r\n".repeat(3));
            sent += 1;
        }
    }
    read_with_a_gap(&mut slow, sent);
    author.send("and on it goes\n");
    slow.expect_line("[author] and on it goes");
}

/// Reads the author's lines, `sent` in all, and how many of them are missing at one place.
#[track_caller]
fn read_with_a_gap(slow: &mut Client, sent: usize) {
    let mut next = 0;
    let mut skips = 0;
    while next < sent {
        let line = slow.line();
        if let Some(count) = skipped(&line) {
            next += count;
            skips += 1;
        } else {
            assert_eq!(line, format!("[author] {}", flood_text(next)));
            next += 1;
        }
    }
    assert_eq!((next, skips), (sent, 1));
}

/// How many lines were skipped, if that is what the line says.
fn skipped(line: &str) -> Option<usize> {
    let words = line.strip_prefix('(')?;
    let (count, words) = words.split_once(' ')?;
    assert_eq!(words, "lines skipped: your connection is slow)");
    count.parse().ok()
}

/// Nobody can make the server keep answers that he does not read: his commands wait, and none is
/// lost.
#[test]
fn commands_wait_while_their_answers_are_unread() {
    const COUNT: usize = 10_000;
    let server = Server::start("--workers 1 --admin 127.0.0.1:0");
    let mut other = server.connect();
    let mut asker = server.connect_narrow();
    asker.expect_line("You're connected to the chatd chatserver");
    other.expect_line(format!("Client joined {}", asker.name));
    let mut sender = asker.sender();
    let sending = thread::spawn(move || sender.send("/who -\n".repeat(COUNT)));
    server.wait_for_metric("chatd_blocked_sockets", |count| count == 1);
    // Time enough to read all commands: each round is a turn, and a turn may read 16.
    (0..COUNT / 10).for_each(|_| other.catch_up());
    // The chunk of the other's last answer may be counted still, for a turn.
    server.wait_for_metric("chatd_feed_bytes", |count| count <= 64 << 10);
    for _ in 0..COUNT {
        asker.expect_line("There is no room -");
    }
    sending.join().expect("it ends");
    asker.catch_up();
}
