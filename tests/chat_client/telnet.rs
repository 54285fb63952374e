//! Telnet in rich mode, in a terminal: the same promises as the terminal client's, kept by the
//! server.

use std::io::Write;
use std::process::Command;

use crate::servers::{Peer, Server};
use crate::tmux::Terminal;

const ROWS: u16 = 30;
const HALF: &str = "half a line 语言 goes over the edge 多种多样";
const WIDE: &str = "日本語の文字がここにたくさんあるのでかならずおりかえします";
const ON: &str = "Rich mode is on: /rich off ends it";

/// Telnet at this port in a terminal that stays, and how that was set before. None, and said aloud,
/// where there is no telnet or tmux.
fn telnet(columns: u16, port: u16) -> Option<(Terminal, String)> {
    if Command::new("telnet").arg("--version").output().is_err() {
        let words = "SKIPPED, no telnet: a test of rich mode. apt-get install telnet\n";
        std::io::stderr().write_all(words.as_bytes()).expect("said");
        return None;
    }
    let command = format!("echo begin; read go; telnet 127.0.0.1 {port}; exec cat");
    let terminal = Terminal::open(columns, ROWS, &command)?;
    terminal.wait_for_line("begin");
    let settings = terminal.settings();
    terminal.press(&["Enter"]);
    terminal.wait_for_line("You're connected");
    Some((terminal, settings))
}

fn enrich(terminal: &Terminal) {
    terminal.enter("/rich on");
    terminal.wait_for_end(&[ON, ">"]);
}

fn rich(columns: u16, port: u16) -> Option<Terminal> {
    let (terminal, _) = telnet(columns, port)?;
    enrich(&terminal);
    Some(terminal)
}

/// Somebody else, of whose coming the terminal was told.
fn join(terminal: &Terminal, port: u16) -> Peer {
    let zeno = Peer::connect(port, "zeno");
    terminal.wait_for("zeno", |lines| lines.iter().any(|line| line.ends_with("is now zeno")));
    zeno
}

#[test]
fn half_a_line_stands_under_what_arrives() {
    for width in [40, 80, 200] {
        let server = Server::start();
        let Some(terminal) = rich(width, server.port) else { return };
        let mut zeno = join(&terminal, server.port);
        terminal.type_text(HALF);
        let typed = format!("> {HALF}");
        terminal.wait_for_end(&[&typed]);
        for line in ["first", WIDE, "third"] {
            zeno.say(line);
        }
        let wide = format!("[zeno] {WIDE}");
        terminal.wait_for_end(&["[zeno] first", &wide, "[zeno] third", &typed]);
        terminal.press(&["Home", "M-f"]);
        terminal.type_text("语");
        zeno.say("fourth");
        let inserted = format!("> {}", HALF.replacen("half", "half语", 1));
        terminal.wait_for_end(&["[zeno] third", "[zeno] fourth", &inserted]);
        terminal.press(&["BSpace", "End"]);
        terminal.enter(", done");
        zeno.wait_for(&format!("] {HALF}, done"));
        terminal.wait_for_end(&["[zeno] fourth", &format!("{typed}, done"), ">"]);
    }
}

#[test]
fn keys_do_what_they_say() {
    let server = Server::start();
    let Some(terminal) = rich(80, server.port) else { return };
    let mut zeno = join(&terminal, server.port);
    for (keys, line) in [
        (&["a", "b", "c", "Left", "Left", "X"][..], "aXbc"),
        (&["Home", "Y", "End", "Z"], "YaXbcZ"),
        (&["Left", "DC", "BSpace"], "YaXb"),
        (&["Home", "Right", "C-k"], "Y"),
        (&["C-u", "o", "n", "e", "Space", "t", "w", "o", "C-w"], "one"),
        (&["C-c", "n", "e", "w"], "new"),
    ] {
        terminal.press(keys);
        terminal.wait_for_end(&[&format!("> {line}")]);
    }
    terminal.press(&["Enter"]);
    zeno.wait_for("] new");
    terminal.enter("older");
    terminal.wait_for_end(&["> new", "> older", ">"]);
    terminal.type_text("draft");
    terminal.press(&["Up", "Up"]);
    terminal.wait_for_end(&["> older", "> new"]);
    terminal.press(&["Down", "Down"]);
    terminal.wait_for_end(&["> older", "> draft"]);
}

#[test]
fn typing_goes_on_in_a_flood() {
    let server = Server::start();
    let Some(terminal) = rich(40, server.port) else { return };
    let mut zeno = join(&terminal, server.port);
    let typed: String = ('a'..='z').chain('A'..='Z').collect();
    for (count, letter) in typed.chars().enumerate() {
        (0..20).for_each(|n| zeno.say(&format!("line {}", count * 20 + n)));
        terminal.type_text(&letter.to_string());
    }
    let last = typed.len() * 20 - 1;
    let tail: Vec<_> = (last - 9..=last).map(|n| format!("[zeno] line {n}")).collect();
    let typed_line = format!("> {typed}");
    let tail: Vec<_> = tail.iter().chain([&typed_line]).map(String::as_str).collect();
    terminal.wait_for_end(&tail);
    terminal.press(&["Enter"]);
    zeno.wait_for(&format!("] {typed}"));
}

#[test]
fn the_line_follows_the_width() {
    let server = Server::start();
    let Some(terminal) = rich(80, server.port) else { return };
    let mut zeno = join(&terminal, server.port);
    let mut typed = format!("> {HALF}");
    terminal.type_text(HALF);
    for (number, width) in [40, 30, 100, 25].into_iter().enumerate() {
        terminal.wait_for_end(&[&typed]);
        terminal.resize(width, ROWS);
        // Telnet tells its size before it sends a further key.
        terminal.type_text("!");
        typed.push('!');
        terminal.wait_for_end(&[&typed]);
        zeno.say(&format!("number {number}"));
        terminal.wait_for_end(&[&format!("[zeno] number {number}"), &typed]);
    }
    let above =
        ["[zeno] number 0", "[zeno] number 1", "[zeno] number 2", "[zeno] number 3", &typed];
    terminal.wait_for_end(&above);
}

#[test]
fn the_terminal_is_left_as_it_was() {
    for ending in ["/rich off", "/quit", "kill"] {
        let server = Server::start();
        let Some((terminal, before_telnet)) = telnet(80, server.port) else { return };
        let before = terminal.settings();
        enrich(&terminal);
        assert_ne!(terminal.settings(), before, "each key is sent");
        let expected = if ending == "/rich off" { &before } else { &before_telnet };
        match ending {
            "kill" => {
                terminal.type_text("half");
                terminal.wait_for_end(&["> half"]);
                server.kill();
                terminal.wait_for_end(&["> halfConnection closed by foreign host."]);
            }
            "/quit" => {
                terminal.enter(ending);
                terminal.wait_for_end(&[
                    "> /quit",
                    "Goodbye",
                    "Connection closed by foreign host.",
                ]);
            }
            _ => {
                terminal.enter(ending);
                terminal.wait_for_end(&["> /rich off", "Rich mode is off"]);
                let mut zeno = join(&terminal, server.port);
                terminal.wait_for("line mode", |_| terminal.settings() == *expected);
                terminal.enter("plaiX\u{7f}n");
                zeno.wait_for("] plain");
            }
        }
        terminal.wait_for("the terminal as it was", |_| terminal.settings() == *expected);
    }
}
