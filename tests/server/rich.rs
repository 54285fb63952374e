//! Rich mode over sockets, byte for byte: one worker, so that an answer comes in the turn of its
//! question, before the line is drawn anew.

use rustix::process::Signal;

use crate::harness::{Client, Server};

const ASKED: &str = "Asked your client for rich mode. If nothing happens, it does not know it\r\n";
const ON: &str = "Rich mode is on: /rich off ends it\r\n";
const OFF: &str = "Rich mode is off\r\n";
/// What ends it: WONT ECHO, WONT SGA, DONT NAWS.
const RESTORED: &[u8] = b"\xff\xfc\x01\xff\xfc\x03\xff\xfe\x1f";
const CLEARED: &str = "\r\x1b[J";

fn start() -> Server {
    Server::start("--workers 1 --admin 127.0.0.1:0")
}

/// Asks, and says that it is no terminal of a known type but has a window.
fn ask(client: &mut Client) {
    client.send("/rich on\r\n");
    client.expect(ASKED);
    client.expect(b"\xff\xfd\x1f\xff\xfd\x18");
    client.send(b"\xff\xfb\x1f\xff\xfa\x1f\x00\x28\x00\x18\xff\xf0\xff\xfc\x18");
    client.expect(b"\xff\xfb\x01\xff\xfb\x03");
}

/// Puts a client of 40 columns into rich mode.
fn enrich(client: &mut Client) {
    ask(client);
    client.send(b"\xff\xfd\x01\xff\xfd\x03");
    client.expect(ON);
    client.expect("> ");
}

#[test]
fn messages_come_above_the_line_being_typed() {
    let server = start();
    let [mut plato, mut zeno] = server.lobby(["plato", "zeno"]);
    enrich(&mut plato);
    plato.send("half a 语");
    plato.expect("half a 语");
    for text in ["one", "two"] {
        zeno.send(format!("{text}\n"));
        plato.expect(format!("{CLEARED}[zeno] {text}\r\n> half a 语"));
    }
    zeno.send("/msg plato psst\n");
    zeno.expect_line("[you -> plato] psst");
    plato.expect(format!("{CLEARED}[zeno -> you] psst\r\n> half a 语"));
    // Over two rows: both are cleared.
    let long = "x".repeat(40);
    plato.send(&long);
    plato.expect(&long);
    zeno.send("three\n");
    plato.expect(format!("\x1b[A{CLEARED}[zeno] three\r\n> half a 语{long}"));
    plato.send("\r\0");
    zeno.expect_line(format!("[plato] half a 语{long}"));
    plato.expect("\r\n> ");
    plato.send("\x1b[A\x01\x0b/nick solon\r\0");
    plato.expect("/nick solon\r\nYou are solon\r\n> ");
    zeno.expect_line("plato is now solon");
    plato.send(b"\xff\xf6");
    plato.expect(format!("{CLEARED}Yes, chatd is here\r\n> "));
    plato.send("/rich off\r\n");
    plato.expect("/rich off\r\n");
    plato.expect(OFF);
    plato.expect(RESTORED);
    plato.send(b"\xff\xfe\x01\xff\xfe\x03\xff\xfc\x1f");
    zeno.send("four\n");
    plato.expect_line("[zeno] four");
    plato.send("plain\r\n");
    zeno.expect_line("[solon] plain");
}

#[test]
fn what_is_ignored_does_not_touch_the_line_being_typed() {
    let server = start();
    let [mut plato, mut zeno, mut solon] = server.lobby(["plato", "zeno", "solon"]);
    enrich(&mut plato);
    plato.send("/ignore zeno\r\0");
    plato.expect("/ignore zeno\r\nYou ignore zeno\r\n> ");
    plato.send("half");
    plato.expect("half");
    zeno.send("one\n/me waves\n");
    solon.expect("[zeno] one\r\n* zeno waves\r\n");
    solon.send("two\n");
    plato.expect(format!("{CLEARED}[solon] two\r\n> half"));
    zeno.expect_line("[solon] two");
}

#[test]
fn the_terminal_is_given_back_at_the_end() {
    let server = start();
    let [mut plato, mut zeno] = server.lobby(["plato", "zeno"]);
    for client in [&mut plato, &mut zeno] {
        enrich(client);
    }
    plato.send("/quit\r\n");
    plato.expect("/quit\r\nGoodbye\r\n");
    plato.expect(RESTORED);
    plato.expect_end();
    zeno.expect(format!("{CLEARED}Client left plato\r\n> "));
    zeno.send("half");
    zeno.expect("half");
    server.signal(Signal::TERM);
    zeno.expect(format!("{CLEARED}The server is stopping. Goodbye\r\n"));
    zeno.expect(RESTORED);
    zeno.expect_end();
}

#[test]
fn clients_that_cannot_have_it_stay_in_line_mode() {
    let server = start();
    let refused = "Your client does not agree to rich mode: it stays as it is";
    let is_mud = "Your client is a MUD client, which edits lines itself: no rich mode";
    let mut watcher = server.connect();
    let mut expect_line_mode = |client: &mut Client| {
        client.send("by lin\x7fnes\r\n");
        client.catch_up();
        watcher.expect_line(format!("Client joined {}", client.name));
        watcher.expect_line(format!("[{}] by lines", client.name));
    };

    // It never answers, as nc.
    let mut silent = server.connect();
    silent.send("/rich on\n");
    silent.expect(ASKED);
    silent.expect(b"\xff\xfd\x1f\xff\xfd\x18");
    expect_line_mode(&mut silent);

    let mut stubborn = server.connect();
    ask(&mut stubborn);
    stubborn.send(b"\xff\xfd\x03\xff\xfe\x01");
    stubborn.expect_line(refused);
    stubborn.expect(b"\xff\xfc\x03\xff\xfe\x1f");
    expect_line_mode(&mut stubborn);

    // It shows GMCP.
    let mut gmcp = server.connect();
    gmcp.send(b"\xff\xfd\xc9");
    gmcp.expect(b"\xff\xfc\xc9");
    gmcp.send("/rich on\r\n");
    gmcp.expect_line(is_mud);
    expect_line_mode(&mut gmcp);

    // It says so when it is asked, the third time.
    let mut mtts = server.connect();
    mtts.send("/rich on\r\n");
    mtts.expect(ASKED);
    mtts.expect(b"\xff\xfd\x1f\xff\xfd\x18");
    mtts.send(b"\xff\xfb\x18");
    for name in ["NEWER", "XTERM-256COLOR", "MTTS 271"] {
        mtts.expect(b"\xff\xfa\x18\x01\xff\xf0");
        mtts.send([b"\xff\xfa\x18\x00", name.as_bytes(), b"\xff\xf0"].concat());
    }
    mtts.expect_line(is_mud);
    expect_line_mode(&mut mtts);
    server.wait_for_metric("chatd_refused_total{reason=\"rich\"}", |count| count == 3);
}

/// What stays on the screen of a client in rich mode below the prompt it has: whole lines.
fn lines_shown(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).expect("text and moves");
    let text = format!("> {text}").replace("> \r\x1b[J", "");
    text.split_terminator("\r\n").map(str::to_owned).collect()
}

#[test]
fn nothing_is_lost_in_a_flood() {
    let server = start();
    let [mut plato, mut zeno, mut plain] = server.lobby(["plato", "zeno", "plain"]);
    enrich(&mut plato);
    let said: Vec<_> = (0..400).map(|n| format!("[zeno] {n} {}", "语".repeat(n % 30))).collect();
    // A burst at a time, or `plain` would be too slow.
    for burst in said.chunks(20) {
        burst.iter().for_each(|line| zeno.send(line.replace("[zeno] ", "") + "\n"));
        burst.iter().for_each(|line| plain.expect_line(line));
    }
    plato.send("/quit\r\n");
    let read = plato.read_to_end();
    let read = read.strip_suffix(RESTORED).expect("the terminal is given back");
    let mut shown = lines_shown(read);
    // Where it stands among the lines is chance.
    let quit = shown.iter().position(|line| line == "/quit" || line == "> /quit");
    shown.remove(quit.expect("shown as it was typed"));
    assert_eq!(shown.pop().as_deref(), Some("Goodbye"));
    assert_eq!(shown.len(), said.len());
    shown.iter().zip(&said).for_each(|(shown, said)| assert_eq!(shown, said));
}
