//! The client at servers of the dialects for programs.

use std::io::Write;
use std::net::TcpStream;

use crate::pipes::{chat, read_until, run};
use crate::servers::{Peer, Server};
use crate::terminal::{HALF, ROWS, WIDE, WIDTHS};
use crate::tmux::Terminal;

const ASKED: &str = "Please input remote id:";

fn rid(server: &Server, width: u16) -> Option<Terminal> {
    let terminal = Terminal::chat(width, ROWS, server.rid, "--dialect rid --room 111")?;
    terminal.wait_for_line("-- Connected");
    Some(terminal)
}

fn p2p(server: &Server, width: u16, id: &str) -> Option<Terminal> {
    let options = format!("--dialect p2p --id {id}");
    let terminal = Terminal::chat(width, ROWS, server.p2p, &options)?;
    terminal.wait_for_end(&[&format!("hello {id},you login successed"), "<You>"]);
    Some(terminal)
}

/// Somebody in the room 111, with the one client who is there already.
fn peer_in_the_room(server: &Server) -> Peer {
    let mut peer = Peer::connect(server.port, "zeno");
    while {
        peer.say("/who 111");
        peer.wait_for_either("1 in 111:", "There is no room 111") != "1 in 111:"
    } {}
    peer.say("/join 111");
    peer.wait_for("You are in 111 with 1 other");
    peer
}

#[test]
fn half_a_line_stands_in_a_room_by_number() {
    for width in WIDTHS {
        let server = Server::start();
        let Some(terminal) = rid(&server, width) else { return };
        let mut zeno = peer_in_the_room(&server);
        terminal.wait_for_end(&["[zeno] entered room.", "<You>"]);
        terminal.type_text(HALF);
        for line in ["first", WIDE, "third"] {
            zeno.say(line);
        }
        let (wide, typed) = (format!("<zeno>{WIDE}"), format!("<You> {HALF}"));
        terminal.wait_for_end(&["<zeno>first", &wide, "<zeno>third", &typed]);
        terminal.enter(", done");
        zeno.wait_for(&format!("] {HALF}, done"));
        terminal.wait_for_end(&["<zeno>third", &format!("{typed}, done"), "<You>"]);
    }
}

#[test]
fn half_a_line_and_half_an_id_stand() {
    for width in WIDTHS {
        let server = Server::start();
        let Some(terminal) = p2p(&server, width, "solon") else { return };
        let mut zeno = Peer::connect(server.port, "zeno");
        terminal.type_text(HALF);
        for line in ["first", WIDE, "third"] {
            zeno.say(line);
        }
        let (wide, typed) = (format!("zeno said : {WIDE}"), format!("<You> {HALF}"));
        let seen = ["zeno said : first", &wide, "zeno said : third"];
        terminal.wait_for_end(&[&seen[..], &[&typed]].concat());
        terminal.press(&["Enter"]);
        terminal.wait_for_end(&[&seen[..], &[&typed, ASKED]].concat());
        terminal.type_text("ze");
        zeno.say("fourth");
        let asked = format!("{ASKED}ze");
        terminal.wait_for_end(&[&typed, "zeno said : fourth", &asked]);
        terminal.enter("no");
        zeno.wait_for(&format!("[solon -> you] {HALF}"));
        terminal.wait_for_end(&["zeno said : fourth", &format!("{ASKED}zeno"), "<You>"]);
    }
}

#[test]
fn messages_between_a_line_and_its_reader_are_whole_and_in_order() {
    let server = Server::start();
    let Some(terminal) = p2p(&server, 80, "solon") else { return };
    let mut zeno = Peer::connect(server.port, "zeno");
    for round in 0..20 {
        (0..5).for_each(|n| zeno.say(&format!("line {}", round * 10 + n)));
        terminal.enter(&format!("text {round}"));
        (5..10).for_each(|n| zeno.say(&format!("line {}", round * 10 + n)));
        terminal.enter("zeno");
        zeno.wait_for(&format!("[solon -> you] text {round}"));
    }
    terminal.wait_for_line("zeno said : line 199");
    let screen = terminal.lines();
    let said = screen.iter().filter_map(|line| line.strip_prefix("zeno said : line "));
    let said: Vec<u32> = said.map(|number| number.parse().expect("a whole line")).collect();
    assert!(said.len() > 5 && said.windows(2).all(|two| two[0] + 1 == two[1]), "{screen:#?}");
    let is_own = |line: &str| line.starts_with("<You>") || line.starts_with(ASKED);
    let others = screen.iter().filter(|line| !line.starts_with("zeno said : line "));
    others.for_each(|line| assert!(is_own(line), "{screen:#?}"));
}

#[test]
fn a_line_can_be_taken_back_from_its_reader() {
    let server = Server::start();
    let Some(terminal) = p2p(&server, 80, "solon") else { return };
    let mut zeno = Peer::connect(server.port, "zeno");
    terminal.enter("hi");
    terminal.wait_for_end(&["<You> hi", ASKED]);
    terminal.press(&["C-c"]);
    terminal.wait_for_end(&["<You> hi"]);
    terminal.enter(" there");
    terminal.enter("nobody");
    terminal.wait_for_end(&["remote is offline", "<You>"]);
    zeno.say("hello");
    terminal.wait_for_end(&["zeno said : hello", "<You>"]);
    // The line, and who was written to, can be called back; names are completed.
    terminal.press(&["Up", "Enter"]);
    terminal.wait_for_end(&["<You> hi there", ASKED]);
    terminal.press(&["Up"]);
    terminal.wait_for_end(&["<You> hi there", &format!("{ASKED}nobody")]);
    terminal.press(&["C-u"]);
    terminal.type_text("ze");
    terminal.press(&["Tab", "Enter"]);
    zeno.wait_for("[solon -> you] hi there");
    terminal.press(&["C-d"]);
    assert_eq!(terminal.exit_code(), "0");
}

#[test]
fn suspended_between_a_line_and_its_reader_it_goes_on_there() {
    let server = Server::start();
    let shell = "exec env ENV=/dev/null PS1='shell: ' sh -i";
    let Some(terminal) = Terminal::open(80, ROWS, shell) else { return };
    let chat = env!("CARGO_BIN_EXE_chat");
    terminal.enter(&format!("{chat} 127.0.0.1 {} --dialect p2p --id solon", server.p2p));
    terminal.wait_for_line("hello solon");
    let mut zeno = Peer::connect(server.port, "zeno");
    terminal.enter("hi");
    terminal.wait_for_end(&["<You> hi", ASKED]);
    terminal.press(&["C-z"]);
    terminal.wait_for("the shell", |lines| lines.last().is_some_and(|l| l.ends_with("shell:")));
    zeno.say("meanwhile");
    // The shell has a terminal that edits lines and echoes.
    terminal.enter("stty -a | grep -ow -e '-*icanon' -e '-*echo' -e '-*isig'");
    terminal.wait_for_end(&["isig", "icanon", "echo", "shell:"]);
    terminal.enter("fg");
    terminal.wait_for_end(&["zeno said : meanwhile", ASKED]);
    terminal.enter("zeno");
    zeno.wait_for("[solon -> you] hi");
    terminal.press(&["C-d"]);
    terminal.wait_for("the shell", |lines| lines.last().is_some_and(|l| l.ends_with("shell:")));
    terminal.enter("stty -a | grep -ow -e '-*icanon' -e '-*echo' -e '-*isig'");
    terminal.wait_for_end(&["isig", "icanon", "echo", "shell:"]);
}

#[test]
fn a_lost_connection_comes_back_in_the_room() {
    let server = Server::start();
    let Some(terminal) = rid(&server, 80) else { return };
    let server = server.restart(|| terminal.wait_for_line("-- Connection lost."));
    terminal.wait_for_line(&format!("-- Connected to 127.0.0.1:{} again", server.rid));
    let mut zeno = peer_in_the_room(&server);
    terminal.wait_for_end(&["[zeno] entered room.", "<You>"]);
    terminal.enter("/quit is text here");
    zeno.wait_for("] /quit is text here");
}

#[test]
fn plain_mode_asks_for_the_reader_in_a_line() {
    let server = Server::start();
    let mut zeno = Peer::connect(server.port, "zeno");
    let options = "--dialect p2p --id solon --plain";
    let Some(terminal) = Terminal::chat(80, ROWS, server.p2p, options) else { return };
    terminal.wait_for_end(&["hello solon,you login successed"]);
    terminal.enter("hi");
    terminal.wait_for_end(&["hi", ASKED]);
    terminal.enter("zeno");
    zeno.wait_for("[solon -> you] hi");
}

#[test]
fn pipes_in_a_room_by_number() {
    let server = Server::start();
    let target = format!("127.0.0.1:{}", server.rid);
    let mut child = chat(&["--dialect", "rid", "--room", "111", &target]);
    let mut zeno = peer_in_the_room(&server);
    read_until(&mut child, "[zeno] entered room.\n");
    zeno.say("hello");
    read_until(&mut child, "<zeno>hello\n");
    // Programs need not end what they say.
    let mut program = TcpStream::connect(("127.0.0.1", server.rid)).expect("chatd listens");
    let frames = "<RID:111></RID:111><RID:111>no line end</RID:111>";
    program.write_all(frames.as_bytes()).expect("sent");
    read_until(&mut child, ">no line end\n");
    assert_eq!(run(child, "one\ntwo").0, Some(0));
    zeno.wait_for("] one");
    zeno.wait_for("] two");
}

#[test]
fn pipes_by_id() {
    let server = Server::start();
    let target = format!("127.0.0.1:{}", server.p2p);
    let mut zeno = Peer::connect(server.port, "zeno");
    let child = chat(&["--dialect", "p2p", "--id", "solon", &target]);
    let (code, stdout, stderr) = run(child, "zeno||hi\nnobody||hi\nzeno||no line end");
    let told = "hello solon,you login successed\nremote is offline\n";
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), told, ""));
    zeno.wait_for("[solon -> you] hi");
    zeno.wait_for("[solon -> you] no line end");
}

#[test]
fn an_id_that_is_taken_ends_it() {
    let server = Server::start();
    let target = format!("127.0.0.1:{}", server.p2p);
    let _zeno = Peer::connect(server.port, "zeno");
    let child = chat(&["--dialect", "p2p", "--id", "zeno", &target]);
    let told = "That id is taken. Choose another\n";
    let ended = "Disconnected from chat server\n";
    assert_eq!(run(child, "zeno||hi\n"), (Some(1), told.to_owned(), ended.to_owned()));

    let options = "--dialect p2p --id zeno";
    let Some(terminal) = Terminal::chat(80, ROWS, server.p2p, options) else { return };
    assert_eq!(terminal.exit_code(), "1");
    let told = [told.trim(), ended.trim()];
    terminal
        .wait_for("the reason", |lines| told.iter().all(|line| lines.contains(&(*line).into())));
}

#[test]
fn what_belongs_to_a_dialect_is_asked_for() {
    for (words, error) in [
        (&["--dialect", "rid"][..], "--dialect rid needs --room NUMBER"),
        (&["--dialect", "p2p"], "--dialect p2p needs --id ID"),
        (&["--room", "1"], "--room goes with --dialect rid only"),
    ] {
        let (code, _, stderr) = run(chat(words), "");
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(error), "{stderr}");
    }
}
