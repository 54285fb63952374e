//! In a terminal.

use std::fs;

use crate::servers::{Peer, Server};
use crate::tmux::{Terminal, wait};

pub(crate) const WIDTHS: [u16; 3] = [40, 80, 200];
pub(crate) const ROWS: u16 = 30;
/// Longer than the narrowest terminal, wide characters on both sides of its edge.
pub(crate) const HALF: &str = "half a line 语言 goes over the edge 多种多样";
pub(crate) const WIDE: &str = "日本語の文字がここにたくさんあるのでかならずおりかえします";

#[test]
fn half_a_line_stands_under_what_arrives() {
    for width in WIDTHS {
        let server = Server::start();
        let Some(terminal) = Terminal::chat(width, ROWS, server.port, "") else { return };
        terminal.wait_for_line("You're connected");
        let mut zeno = Peer::connect(server.port, "zeno");
        terminal.type_text(HALF);
        terminal.wait_for_end(&[&format!("> {HALF}")]);
        for line in ["first", WIDE, "third"] {
            zeno.say(line);
        }
        let wide = format!("[zeno] {WIDE}");
        let typed = format!("> {HALF}");
        terminal.wait_for_end(&["[zeno] first", &wide, "[zeno] third", &typed]);
        terminal.enter(", done");
        zeno.wait_for(&format!("] {HALF}, done"));
        terminal.wait_for_end(&["[zeno] third", &format!("> {HALF}, done"), ">"]);
    }
}

#[test]
fn the_cursor_stays_in_the_middle_of_the_line() {
    for width in WIDTHS {
        let server = Server::start();
        let Some(terminal) = Terminal::chat(width, ROWS, server.port, "") else { return };
        terminal.wait_for_line("You're connected");
        let mut zeno = Peer::connect(server.port, "zeno");
        terminal.type_text(HALF);
        terminal.press(&["Home", "M-f"]);
        terminal.wait_for_end(&[&format!("> {HALF}")]);
        zeno.say("first");
        terminal.wait_for_end(&["[zeno] first", &format!("> {HALF}")]);
        terminal.type_text("语");
        zeno.say("second");
        let inserted = HALF.replacen("half", "half语", 1);
        terminal.wait_for_end(&["[zeno] first", "[zeno] second", &format!("> {inserted}")]);
        terminal.press(&["C-w", "Enter"]);
        zeno.wait_for(HALF.strip_prefix("half").expect("so it begins"));
    }
}

#[test]
fn typing_goes_on_in_a_flood() {
    let server = Server::start();
    let Some(terminal) = Terminal::chat(40, ROWS, server.port, "") else { return };
    terminal.wait_for_line("You're connected");
    let mut zeno = Peer::connect(server.port, "zeno");
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
fn lines_come_back() {
    let server = Server::start();
    let Some(terminal) = Terminal::chat(80, ROWS, server.port, "") else { return };
    terminal.wait_for_line("You're connected");
    terminal.enter("first of all");
    terminal.enter("second");
    terminal.wait_for_end(&["> first of all", "> second", ">"]);
    terminal.type_text("draft");
    terminal.press(&["Up", "Up"]);
    terminal.wait_for_end(&["> second", "> first of all"]);
    terminal.press(&["Down", "Down"]);
    terminal.wait_for_end(&["> second", "> draft"]);
    // The cursor is at the end of what came back.
    terminal.press(&["Up"]);
    terminal.type_text("!");
    terminal.wait_for_end(&["> second", "> second!"]);
    terminal.press(&["C-a", "Down"]);
    terminal.type_text("s");
    terminal.wait_for_end(&["> second", "> drafts"]);
    terminal.press(&["C-c"]);
    terminal.wait_for_end(&["> second", ">"]);
    terminal.type_text("of");
    terminal.press(&["C-r"]);
    terminal.wait_for_end(&["> second", "> first of all"]);
}

#[test]
fn tab_completes_what_was_seen() {
    let server = Server::start();
    let Some(terminal) = Terminal::chat(80, ROWS, server.port, "") else { return };
    terminal.wait_for_line("You're connected");
    let mut zeno = Peer::connect(server.port, "zenobia");
    terminal.wait_for_line("127.0.0.1");
    zeno.say("/join cavern");
    terminal.wait_for_line("Client left zenobia");
    terminal.enter("/rooms");
    terminal.wait_for_line("  cavern (1)");
    terminal.type_text("/jo");
    terminal.press(&["Tab"]);
    terminal.type_text("ca");
    terminal.press(&["Tab"]);
    terminal.wait_for_end(&["> /join cavern"]);
    terminal.press(&["Enter"]);
    terminal.wait_for_line("You are in cavern with 1 other");
    zeno.say("welcome");
    terminal.wait_for_line("[zenobia] welcome");
    terminal.type_text("ZE");
    terminal.press(&["Tab"]);
    terminal.enter("thanks");
    zeno.wait_for("] zenobia: thanks");
}

#[test]
fn proposals_do_not_hold_messages_up() {
    let server = Server::start();
    // All of them would not fit, and the editor would ask for a key before it goes on.
    let Some(terminal) = Terminal::chat(40, 8, server.port, "") else { return };
    terminal.wait_for_line("You're connected");
    let mut others: Vec<_> =
        (0..30).map(|n| Peer::connect(server.port, &format!("somebody-{n}"))).collect();
    terminal.wait_for("all", |lines| lines.iter().any(|l| l.ends_with("now somebody-29")));
    terminal.type_text("some");
    terminal.press(&["Tab"]);
    terminal.wait_for_end(&["> somebody-"]);
    others[0].say("hello");
    terminal.wait_for_end(&["[somebody-0] hello", "> somebody-"]);
}

#[test]
fn every_line_of_a_paste_is_sent() {
    let server = Server::start();
    let Some(terminal) = Terminal::chat(80, ROWS, server.port, "") else { return };
    terminal.wait_for_line("You're connected");
    let mut zeno = Peer::connect(server.port, "zeno");
    terminal.paste("one\ntwo\n\nthree 语言\n");
    terminal.wait_for("the paste", |lines| lines.iter().any(|line| line.starts_with("three")));
    zeno.say("meanwhile");
    terminal.wait_for_end(&["[zeno] meanwhile", "> one", "two", "", "three 语言"]);
    terminal.press(&["Enter"]);
    for line in ["] one", "] two", "] three 语言"] {
        zeno.wait_for(line);
    }
    terminal.wait_for_end(&["[zeno] meanwhile", "> one", "> two", "> three 语言", ">"]);
}

#[test]
fn a_lost_connection_comes_back_with_name_and_room() {
    let server = Server::start();
    let port = server.port;
    let Some(terminal) = Terminal::chat(80, ROWS, port, "") else { return };
    terminal.wait_for_line("You're connected");
    terminal.enter("/nick plato");
    terminal.enter("/join cave");
    terminal.wait_for_line("You are alone in cave");
    let server = server.restart(|| {
        terminal.wait_for_line("-- Connection lost. Trying again in 1 s");
        terminal.enter("kept");
        terminal.wait_for_end(&["-- Not connected: your line is kept", "> kept"]);
    });
    terminal.wait_for_line(&format!("-- Connected to 127.0.0.1:{port} again"));
    terminal.wait_for("the room", |lines| {
        let count = |words: &str| lines.iter().filter(|line| *line == words).count();
        count("You are plato") == 2 && count("You are alone in cave") == 2
    });
    let mut zeno = Peer::connect(port, "zeno");
    zeno.say("/join cave");
    zeno.wait_for("You are in cave with 1 other");
    terminal.press(&["Enter"]);
    zeno.wait_for("[plato] kept");
    drop(server);
}

#[test]
fn the_terminal_is_left_as_it_was() {
    let check = "stty -a | grep -ow -e '-*icanon' -e '-*echo' -e '-*icrnl'; echo";
    let kept = ["icanon", "echo", "icrnl"];
    let is_kept = |lines: &[String]| kept.iter().all(|word| lines.iter().any(|l| l == word));
    for ending in ["/quit", "C-d", "kill"] {
        let server = Server::start();
        let (chat, port) = (env!("CARGO_BIN_EXE_chat"), server.port);
        let command = format!("{chat} --no-reconnect 127.0.0.1 {port}; echo code $?; {check}");
        let Some(terminal) = Terminal::open(80, ROWS, &command) else { return };
        terminal.wait_for_line("You're connected");
        let expected = match ending {
            "/quit" => {
                terminal.enter("/quit");
                &["Goodbye", "code 0"][..]
            }
            "C-d" => {
                terminal.press(&["C-d"]);
                &[">", "code 0"]
            }
            _ => {
                terminal.type_text("half");
                terminal.wait_for_end(&["> half"]);
                server.kill();
                &["> half", "Disconnected from chat server", "code 1"]
            }
        };
        terminal.wait_for(ending, |lines| {
            let lines: Vec<_> = lines.iter().filter(|line| !line.is_empty()).cloned().collect();
            lines.windows(expected.len()).any(|window| window == expected)
        });
        terminal.wait_for("the terminal's settings", is_kept);
    }
}

#[test]
fn suspended_and_resumed_it_has_its_line_and_the_keys() {
    let server = Server::start();
    let (chat, port) = (env!("CARGO_BIN_EXE_chat"), server.port);
    let shell = "exec env ENV=/dev/null PS1='shell: ' sh -i";
    let Some(terminal) = Terminal::open(80, ROWS, shell) else { return };
    terminal.enter(&format!("{chat} 127.0.0.1 {port}"));
    terminal.wait_for_line("You're connected");
    let mut zeno = Peer::connect(port, "zeno");
    terminal.wait_for("the name", |lines| lines.iter().any(|l| l.ends_with(" is now zeno")));
    terminal.type_text("half");
    terminal.wait_for_end(&["> half"]);
    terminal.press(&["C-z"]);
    terminal.wait_for("the shell", |lines| lines.last().is_some_and(|l| l.ends_with("shell:")));
    zeno.say("meanwhile");
    terminal.enter("fg");
    terminal.wait_for_end(&["[zeno] meanwhile", "> half"]);
    terminal.press(&["C-u"]);
    terminal.wait_for_end(&["[zeno] meanwhile", ">"]);
    terminal.enter("whole");
    zeno.wait_for("] whole");
}

#[test]
fn colours_are_on_unless_unwanted() {
    let server = Server::start();
    let mut zeno = Peer::connect(server.port, "zeno");
    for (environment, option, coloured) in [
        ("", "", true),
        ("", "--no-color", false),
        ("NO_COLOR=1", "", false),
        ("NO_COLOR=", "", true),
        ("", "--plain", false),
    ] {
        let (chat, port) = (env!("CARGO_BIN_EXE_chat"), server.port);
        let command = format!("{environment} exec {chat} 127.0.0.1:{port} {option}");
        let Some(terminal) = Terminal::open(80, ROWS, &command) else { return };
        terminal.wait_for_line("You're connected");
        zeno.say("hello");
        terminal.wait_for_line("[zeno] hello");
        let screen = terminal.coloured();
        assert_eq!(screen.contains('\x1b'), coloured, "{environment} {option}: {screen:?}");
    }
}

#[test]
fn plain_mode_redraws_nothing() {
    let server = Server::start();
    let Some(terminal) = Terminal::chat(40, ROWS, server.port, "--plain --time") else { return };
    terminal.wait_for("the welcome", |lines| lines.iter().any(|l| l.contains("You're connected")));
    let path = std::env::temp_dir().join(format!("chat-plain-{}", std::process::id()));
    terminal.record(path.to_str().expect("UTF-8"));
    let mut zeno = Peer::connect(server.port, "zeno");
    zeno.say("hello");
    let read = || fs::read_to_string(&path).unwrap_or_default();
    wait("the message", || read().contains("[zeno] hello").then_some(()), read);
    terminal.enter("hi there");
    zeno.wait_for("] hi there");
    let written = wait("the echo", || Some(read()).filter(|all| all.contains("hi there")), read);
    fs::remove_file(&path).expect("removed");
    assert!(!written.contains('\x1b'), "{written:?}");
    let line = written.lines().find(|line| line.contains("[zeno] hello")).expect("it arrived");
    let time: Vec<_> = line.split(' ').next().expect("a time").split(':').collect();
    assert!(time.len() == 2 && time.iter().all(|part| part.len() == 2), "{line:?}");
    terminal.press(&["C-d"]);
    assert_eq!(terminal.exit_code(), "0");
}
