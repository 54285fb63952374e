//! Clients for programs, over frames (`rid`) and over lines with an address (`p2p`), and people of
//! all dialects in the same rooms.

use crate::harness::{Client, Server};

/// The options that open all dialects. The harness adds telnet.
const ALL: &str = "--listen rid://127.0.0.1:0 --listen p2p://127.0.0.1:0";

/// A p2p client that was let in. It sends its id as it is, without a line end.
fn p2p(server: &Server, id: &str) -> Client {
    let mut client = server.connect_as("p2p");
    client.send(id);
    client.expect(format!("hello {id},you login successed\n"));
    client
}

/// A rid client in the room, which nobody else is in.
fn rid(server: &Server, room: &str) -> Client {
    let mut client = server.connect_as("rid");
    client.frame(room, "");
    client.settle();
    client
}

impl Client {
    fn frame(&mut self, room: &str, text: &str) {
        self.send(format!("<RID:{room}>{text}</RID:{room}>"));
    }

    /// Waits until the server has dealt with all that this rid client sent.
    #[track_caller]
    fn settle(&mut self) {
        self.send("?\n");
        self.expect("\nInvalid format message\n");
    }

    /// As rid readers see its address.
    fn pair(&self) -> String {
        let (host, port) = self.name.rsplit_once(':').expect("an address has a port");
        format!("('{host}', {port})")
    }
}

#[test]
fn clients_of_rooms_by_number_hold_their_conversation() {
    let server = Server::start(ALL);
    let mut first = rid(&server, "111");
    let mut second = server.connect_as("rid");
    second.frame("111", "");
    first.expect(format!("\n[{}] entered room.\n", second.name));
    // Each typed line is a frame, its line end included.
    first.frame("111", "hello\n");
    second.expect(format!("\n<{}>hello\n", first.pair()));
    second.frame("111", "hello yourself");
    first.expect(format!("\n<{}>hello yourself", second.pair()));

    // The first frame for another room enters it, and is dropped.
    first.frame("222", "nobody hears this");
    first.settle();
    let mut third = server.connect_as("rid");
    third.frame("222", "nor this");
    first.expect(format!("\n[{}] entered room.\n", third.name));
    first.frame("222", "to 222\n");
    third.expect(format!("\n<{}>to 222\n", first.pair()));
    first.frame("111", "to 111\n");
    second.expect(format!("\n<{}>to 111\n", first.pair()));

    // One who goes is announced in all rooms it was in.
    first.end_sending();
    first.expect_end();
    second.expect(format!("\n[{}] left room.\n", first.name));
    third.expect(format!("\n[{}] left room.\n", first.name));
    for mut client in [second, third] {
        client.end_sending();
        client.expect_end();
    }
}

#[test]
fn frames_may_come_in_any_pieces() {
    let server = Server::start(ALL);
    let mut first = rid(&server, "1");
    let mut second = rid(&server, "2");
    second.frame("1", "");
    first.expect(format!("\n[{}] entered room.\n", second.name));
    let said = |text: &str| format!("\n<{}>{text}", first.pair());
    let (one, two, many) = (said("one"), said("two\n"), said("a\n\nb"));
    let longest = "x".repeat(4096 - "<RID:1></RID:1>".len());
    let long = said(&longest);

    first.send("<RID:1>one</RID:1><RID:1>two\n</RID:1>\r\n<RID:1>a\r\n\nb</RID:1>");
    second.expect([&one[..], &two, &many].concat());
    first.send_bytewise("<RID:1>one</RID:1><RID:1>two\n</RID:1>");
    second.expect([&one[..], &two].concat());
    first.frame("1", &longest);
    second.expect(&long);
    first.frame("1", &(longest + "x"));
    first.expect("\nThat frame was over 4096 bytes or 64 lines and was not sent\n");
    first.frame("1", "one");
    second.expect(&one);
}

#[test]
fn what_is_no_frame_is_reported_and_harms_nobody() {
    let server = Server::start(ALL);
    let mut first = rid(&server, "1");
    let mut second = server.connect_as("rid");
    second.frame("1", "");
    first.expect(format!("\n[{}] entered room.\n", second.name));
    for rubbish in ["hello", "\n<RID:x>a</RID:x>\n", "<RID:1", "\n</RID:1>\n", "\0\u{7f}\n"] {
        second.send(rubbish);
        second.settle_after(rubbish);
    }
    second.frame("1", "still here");
    first.expect(format!("\n<{}>still here", second.pair()));
}

impl Client {
    /// The report of one run, however it was cut, and of what follows it on a line of its own.
    #[track_caller]
    fn settle_after(&mut self, rubbish: &str) {
        if !rubbish.ends_with('\n') {
            self.send("\n");
        }
        self.expect("\nInvalid format message\n");
        self.settle();
    }
}

#[test]
fn clients_by_id_hold_their_conversation() {
    let server = Server::start(ALL);
    let mut first = p2p(&server, "1");
    let mut second = p2p(&server, "2");
    first.send("2||hi\n");
    second.expect("1 said : hi\n");
    second.send("1||hi yourself\n1||and\r\n");
    first.expect("2 said : hi yourself\n2 said : and\n");
    second.send("all||to everybody\n");
    first.expect("2 said : to everybody\n");
    second.expect("2 said : to everybody\n");

    // What ended the server once.
    first.send("3||hi\n");
    first.expect("remote is offline\n");
    first.send("hi\n");
    first.expect("Not a message. Write ID||TEXT, or all||TEXT\n");
    second.end_sending();
    second.expect_end();
    first.send("2||hi\nall||alone\n");
    first.expect("remote is offline\n1 said : alone\n");
    first.end_sending();
    first.expect_end();
}

#[test]
fn an_id_that_cannot_be_is_refused_with_one_line() {
    let server = Server::start(ALL);
    let mut first = p2p(&server, "plato");
    let rule = "That cannot be an id. An id is 1 to 20 letters, digits, - or _, \
                and no nickname is all, chatd, server, system or you\n";
    for (id, answer) in [
        ("PLATO", "That id is taken. Choose another\n"),
        ("all", rule),
        ("two words", rule),
        ("\n", rule),
        ("GET / HTTP/1.1\r\nHost: chatd\r\n\r\n", rule),
    ] {
        let mut second = server.connect_as("p2p");
        second.send(id);
        second.expect(answer);
        second.expect_end();
    }
    // The one who has the id keeps it.
    first.send("plato||hi\n");
    first.expect("plato said : hi\n");
}

#[test]
fn people_of_all_dialects_meet() {
    let server = Server::start(&format!("{ALL} --history-lines 0"));
    let [mut plato] = server.lobby(["plato"]);
    let mut zeno = p2p(&server, "zeno");
    plato.expect_line("Client joined zeno");

    // In the lobby: telnet and p2p.
    plato.send("who is there?\n");
    zeno.expect("plato said : who is there?\n");
    zeno.send("all||I am\n");
    plato.expect_line("[zeno] I am");
    zeno.expect("zeno said : I am\n");

    // In a room with a number: telnet and rid.
    let mut rid = rid(&server, "111");
    plato.send("/join 111\n");
    plato.expect_line("You are in 111 with 1 other");
    rid.expect("\n[plato] entered room.\n");
    plato.send("from telnet\n");
    rid.expect("\n<plato>from telnet\n");
    rid.frame("111", "from rid\n");
    plato.expect_line(format!("[{}] from rid", rid.name));
    rid.frame("111", "one\n[zeno] two");
    plato.expect_line(format!("[{}] one", rid.name));
    plato.expect_line(format!("[{}] [zeno] two", rid.name));
    let mut solon = server.connect();
    solon.send("/join 111\n");
    solon.expect_line("You are in 111 with 2 others");
    rid.expect(format!("\n[{}] entered room.\n", solon.name));
    plato.expect_line(format!("Client joined {}", solon.name));
    solon.send("no name\n");
    rid.expect(format!("\n<{}>no name\n", solon.pair()));
    plato.expect_line(format!("[{}] no name", solon.name));

    // Direct messages: from each who can write them to all.
    zeno.send(format!("plato||hi\n{}||hi\n", rid.name));
    plato.expect_line("[zeno -> you] hi");
    rid.expect("\n<zeno -> you>hi\n");
    plato.send(format!("/msg zeno hi\n/msg {} hi\n", rid.name));
    plato.expect(format!("[you -> zeno] hi\r\n[you -> {}] hi\r\n", rid.name));
    zeno.expect("plato said : hi\n");
    rid.expect("\n<plato -> you>hi\n");

    // Those who leave, and the end.
    plato.send("/leave\n");
    plato.expect_line("You are in lobby with 1 other");
    rid.expect("\n[plato] left room.\n");
    solon.expect_line("Client left plato");
    solon.end_sending();
    solon.expect_end();
    rid.expect(format!("\n[{}] left room.\n", solon.name));
    server.stop();
    plato.expect_line("The server is stopping. Goodbye");
    zeno.expect("The server is stopping. Goodbye\n");
    rid.expect("\nThe server is stopping. Goodbye\n");
    for client in [&mut plato, &mut zeno, &mut rid] {
        client.expect_end();
    }
}

#[test]
fn a_full_server_says_so_in_each_dialect() {
    let server = Server::start(&format!("{ALL} --max-clients 1 --workers 1"));
    let _first = server.connect();
    let full = "The server is full. Try again later\n";
    for (dialect, words) in [("rid", format!("\n{full}")), ("p2p", full.to_owned())] {
        let mut second = server.connect_as(dialect);
        second.expect(words);
        second.expect_end();
    }
}
