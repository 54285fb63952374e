//! What people expect beside lines and rooms, byte for byte.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{Client, Server, WELCOME, chatd};

#[test]
fn what_one_does() {
    let server = Server::start("");
    let [mut plato, mut solon] = server.lobby(["plato", "solon"]);
    plato.send("/me waves\r\n/me\r\n");
    plato.expect("Usage: /me TEXT\r\n");
    solon.expect("* plato waves\r\n");
    let mut guest = server.connect();
    for other in [&mut plato, &mut solon] {
        other.expect_line(format!("Client joined {}", guest.name));
    }
    guest.send("/me waves, too\n");
    for other in [&mut plato, &mut solon] {
        other.expect(format!("* {} waves, too\r\n", guest.name));
    }
}

#[test]
fn a_room_has_a_topic() {
    let server = Server::start("--workers 2");
    let [mut plato, mut solon] = server.lobby(["plato", "solon"]);
    plato.send("/topic\n/topic The \u{1b}[1mweather\n");
    plato.expect("There is no topic in lobby\r\nplato set the topic: The [1mweather\r\n");
    solon.expect("plato set the topic: The [1mweather\r\n");
    solon.send("/topic\n/rooms\n");
    solon.expect("The topic of lobby: The [1mweather\r\n");
    solon.expect("1 room:\r\n  lobby (2): The [1mweather\r\n");
    let mut guest = server.connect();
    guest.expect("The topic of lobby: The [1mweather\r\n");
    for other in [&mut plato, &mut solon] {
        other.expect_line(format!("Client joined {}", guest.name));
    }
    guest.send("/topic -\n");
    let removed = format!("{} removed the topic", guest.name);
    for reader in [&mut plato, &mut solon, &mut guest] {
        reader.expect_line(&removed);
    }
}

#[test]
fn one_who_is_away() {
    let server = Server::start("");
    let [mut plato, mut solon] = server.lobby(["plato", "solon"]);
    plato.send("/away at lunch\n");
    plato.expect("You are marked away: at lunch\r\n");
    solon.send("/msg plato hi\n/msg plato hello?\n/who\n/whois plato\n");
    solon.expect("[you -> plato] hi\r\nplato is away: at lunch\r\n[you -> plato] hello?\r\n");
    solon.expect("2 in lobby:\r\n  plato (away)\r\n  solon\r\n");
    solon.expect("plato is in lobby\r\nplato is away: at lunch\r\n");
    plato.expect("[solon -> you] hi\r\n[solon -> you] hello?\r\n");
    plato.send("/reply here\n/whois solon\n/here\n");
    plato.expect("You are marked away no longer\r\n[you -> solon] here\r\n");
    plato.expect("solon is in lobby\r\nYou were not marked away\r\n");
    solon.expect("[plato -> you] here\r\n");
    solon.send(format!("/away {}\n", "x".repeat(161)));
    solon.expect("That was over 160 bytes and was not kept\r\n");
}

#[test]
fn a_reply_needs_somebody_to_go_to() {
    let server = Server::start("--admin 127.0.0.1:0");
    let [mut plato, mut solon] = server.lobby(["plato", "solon"]);
    plato.send("/reply hi\n");
    plato.expect("Nobody wrote to you, or they are gone\r\n");
    solon.send("/msg plato hi\n/quit\n");
    solon.expect("[you -> plato] hi\r\nGoodbye\r\n");
    solon.expect_end();
    plato.expect("[solon -> you] hi\r\nClient left solon\r\n");
    plato.send("/reply hi\n");
    plato.expect("Nobody wrote to you, or they are gone\r\n");
    assert_eq!(server.metric("chatd_refused_total{reason=\"nobody_to_reply_to\"}"), 2);
}

#[test]
fn the_message_of_the_day() {
    let path = std::env::temp_dir().join(format!("chatd-test-motd-{}", std::process::id()));
    fs::write(&path, "Be kind.\n\n\u{1b}[2JLine three\r\n").expect("a writable directory");
    let motd = "Be kind.\r\n\r\n[2JLine three\r\n";
    let server =
        Server::spawn(chatd().arg("--motd").arg(&path).args(["--listen", "p2p://127.0.0.1:0"]));
    let mut plato = server.connect();
    plato.expect(motd);
    plato.send("/motd\n");
    plato.expect(motd);
    // Programs are not told.
    let mut program = Client::to(server.logged("listening dialect=p2p addr="));
    program.send("1");
    program.expect("hello 1,you login successed\n");
    plato.expect_line("Client joined 1");

    fs::write(&path, "x".repeat(4_097)).expect("a writable directory");
    let output = chatd().arg("--motd").arg(&path).arg("--check-config").output().expect("it runs");
    fs::remove_file(&path).expect("it was written");
    assert_eq!(output.status.code(), Some(78));
    let told = String::from_utf8(output.stderr).expect("text");
    let shown = path.display();
    let expected = format!("the message of the day, {shown}: at most 4096 bytes; shorten it\n");
    assert!(told.ends_with(&expected), "{told}");
}

#[test]
fn without_a_message_of_the_day_nothing_follows_the_welcome() {
    let server = Server::start("");
    let mut plato = server.connect_unread();
    plato.expect_line(WELCOME);
    plato.send("/motd\n");
    plato.expect_line("There is no message of the day");
}

#[test]
fn the_last_lines_of_a_room() {
    let server = Server::start("--history-lines 2 --room python --workers 2");
    let [mut plato, mut solon] = server.lobby(["plato", "solon"]);
    plato.send("/history\n/python\none\ntwo\n/me waves\n");
    plato.expect("No lines of lobby are kept\r\nYou are alone in python\r\n");
    plato.catch_up();
    solon.expect_line("Client left plato");
    solon.send("/join python\n");
    solon.expect("You are in python with 1 other\r\nThe last 2 lines of python (UTC):\r\n");
    solon.expect_past("[plato] two");
    solon.expect_past("* plato waves");
    plato.expect_line("Client joined solon");
    // What leads to a room as it always did shows none, and who wants none is shown none.
    solon.send("/back\n/PYTHON\n/history off\n/back\n/join python\n/history\n");
    solon.expect("You are alone in lobby\r\nYou are in python with 1 other\r\n");
    solon.expect("You are not shown the last lines of a room you join\r\n");
    solon.expect("You are alone in lobby\r\nYou are in python with 1 other\r\n");
    solon.expect("The last 2 lines of python (UTC):\r\n");
    solon.expect_past("[plato] two");
    solon.expect_past("* plato waves");
}

#[test]
fn lines_that_begin_with_the_time() {
    let server = Server::start("--workers 1 --history-lines 0 --admin 127.0.0.1:0");
    let [mut plato, mut solon, mut zeno] = server.lobby(["plato", "solon", "zeno"]);
    for client in [&mut plato, &mut solon] {
        client.send("/time on\n");
        client.expect_timed("Lines begin with the time, UTC");
    }
    zeno.send("hi\n/msg plato hi\n/me waves\n");
    zeno.expect("[you -> plato] hi\r\n");
    solon.expect_timed("[zeno] hi");
    solon.expect_timed("* zeno waves");
    // Between rooms and direct messages there is no order.
    let mut lines = [plato.line(), plato.line(), plato.line()].map(|line| line[6..].to_owned());
    lines.sort_unstable();
    assert_eq!(lines, ["* zeno waves", "[zeno -> you] hi", "[zeno] hi"]);
    // One rendering for both who want the time, one for the other; their own lines are theirs.
    plato.send("/whois nobody\n");
    plato.expect_timed("Nobody here is called nobody");
    let before = server.metric("chatd_renderings_total");
    plato.send("hello\n");
    solon.expect_timed("[plato] hello");
    zeno.expect("[plato] hello\r\n");
    assert_eq!(server.metric("chatd_renderings_total"), before + 2);
    plato.send("/time off\n/who -\n");
    plato.expect("Lines begin without the time\r\nThere is no room -\r\n");
    zeno.send("bye\n");
    plato.expect("[zeno] bye\r\n");
    solon.expect_timed("[zeno] bye");
}

#[test]
fn one_who_is_ignored() {
    let server = Server::start("--workers 2 --room python --admin 127.0.0.1:0");
    let [mut plato, mut solon, mut zeno] = server.lobby(["plato", "solon", "zeno"]);
    plato.send("/ignore Zeno\n/ignore\n/ignore plato\n/ignore nobody\n");
    plato.expect("You ignore zeno\r\nYou ignore 1:\r\n  zeno\r\n");
    plato.expect("You cannot ignore yourself\r\nNobody here is called nobody\r\n");
    zeno.send("one\n/me waves\n/topic snakes\n");
    zeno.expect("zeno set the topic: snakes\r\n");
    zeno.send("/nick kant\n/python\ntwo\n/back\n");
    zeno.expect("You are kant\r\nYou are alone in python\r\n");
    zeno.expect("You are in lobby with 2 others\r\nThe topic of lobby: snakes\r\n");
    solon.expect("[zeno] one\r\n* zeno waves\r\nzeno set the topic: snakes\r\n");
    solon.expect("zeno is now kant\r\nClient left kant\r\nClient joined kant\r\n");
    zeno.send("/msg plato hi\n");
    zeno.expect("plato ignores you: that was not delivered\r\n");
    assert_eq!(server.metric("chatd_refused_total{reason=\"ignores_you\"}"), 1);
    solon.send("hello\n/msg plato hi\n");
    solon.expect("[you -> plato] hi\r\n");
    // Between rooms and direct messages there is no order.
    let mut lines = [plato.line(), plato.line()];
    lines.sort_unstable();
    assert_eq!(lines, ["[solon -> you] hi", "[solon] hello"]);
    zeno.expect("[solon] hello\r\n");

    // The history does without them, and so do rooms that are entered later.
    plato.send("/history\n/join python\n");
    plato.expect("The last line of lobby (UTC):\r\n");
    plato.expect_past("[solon] hello");
    plato.expect("You are alone in python\r\n");
    solon.expect_line("Client left plato");
    zeno.expect_line("Client left plato");
    zeno.send("/python\nthree\n");
    zeno.expect("You are in python with 1 other\r\n");
    solon.expect_line("Client left kant");
    solon.send("/python\nfour\n");
    solon.expect("You are in python with 2 others\r\n");
    plato.expect("Client joined solon\r\n[solon] four\r\n");
    zeno.expect("Client joined solon\r\n[solon] four\r\n");

    // From the command on, they are heard again.
    zeno.send("five\n");
    solon.expect_line("[kant] five");
    plato.send("/unignore kant\n/unignore kant\n/ignore\n");
    plato.expect("You do not ignore kant\r\nYou do not ignore kant\r\nYou ignore nobody\r\n");
    zeno.send("six\n/msg plato hi\n/quit\n");
    zeno.expect("[you -> plato] hi\r\nGoodbye\r\n");
    let mut lines = [plato.line(), plato.line(), plato.line()];
    lines.sort_unstable();
    assert_eq!(lines, ["Client left kant", "[kant -> you] hi", "[kant] six"]);
}

#[test]
fn programs_can_be_ignored_in_any_rendering() {
    let server = Server::start("--workers 1 --admin 127.0.0.1:0 --listen p2p://127.0.0.1:0");
    let [mut plato, mut solon] = server.lobby(["plato", "solon"]);
    let mut program = server.connect_as("p2p");
    program.send("1");
    program.expect("hello 1,you login successed\n");
    for person in [&mut plato, &mut solon] {
        person.expect("Client joined 1\r\n");
    }
    plato.send("/ignore 1\n");
    plato.expect_line("You ignore 1");
    program.send("plato||psst\n");
    program.expect("plato ignores you: that was not delivered\n");
    program.send("all||one\n");
    program.expect("1 said : one\n");
    solon.expect_line("[1] one");
    plato.send("/time on\n");
    plato.expect_timed("Lines begin with the time, UTC");
    // One rendering for each way of reading, whoever skips it.
    let before = server.metric("chatd_renderings_total");
    program.send("all||two\n");
    program.expect("1 said : two\n");
    solon.expect_line("[1] two");
    assert_eq!(server.metric("chatd_renderings_total"), before + 3);
    solon.send("three\n");
    plato.expect_timed("[solon] three");
    program.expect("solon said : three\n");
    plato.send("/unignore 1\n");
    plato.expect_timed("You do not ignore 1");
    program.send("all||four\n");
    plato.expect_timed("[1] four");
}

#[test]
fn no_lines_are_kept_where_the_operator_wants_none() {
    let server = Server::start("--history-lines 0 --room python");
    let [mut plato, mut solon] = server.lobby(["plato", "solon"]);
    plato.send("/python\none\n/history\n");
    plato.expect("You are alone in python\r\nNo lines of python are kept\r\n");
    solon.send("/join python\n");
    solon.expect("Client left plato\r\nYou are in python with 1 other\r\n");
    solon.catch_up();
}

impl Client {
    /// Reads a line of a room's past, said in this minute or the one before, by the clock here.
    #[track_caller]
    fn expect_past(&mut self, said: &str) {
        let line = self.line();
        assert_timed(line.strip_prefix("  ").unwrap_or_default(), said);
    }

    /// Reads a line that begins with the time.
    #[track_caller]
    fn expect_timed(&mut self, line: &str) {
        assert_timed(&self.line(), line);
    }
}

#[track_caller]
fn assert_timed(line: &str, said: &str) {
    let minute = now_in_minutes();
    let shown = [minute, minute + 24 * 60 - 1].map(|minute| minute % (24 * 60));
    let shown = shown.map(|minute| format!("{:02}:{:02} {said}", minute / 60, minute % 60));
    assert!(shown.iter().any(|shown| shown == line), "{line:?} is none of {shown:?}");
}

/// Minutes since midnight, UTC.
fn now_in_minutes() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    now.as_secs() / 60 % (24 * 60)
}
