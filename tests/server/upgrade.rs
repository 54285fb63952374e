//! A new process takes the place of the one that serves, and nobody who is connected notices: not
//! one byte is lost, comes twice, or is different.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::{Signal, geteuid};

use crate::harness::{Client, Server, WELCOME, chatd, number};

const DIALECTS: &str = "--listen rid://127.0.0.1:0 --listen p2p://127.0.0.1:0";

/// A file of a test's own, gone afterwards.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Nobody came or went without being counted.
#[track_caller]
pub(crate) fn assert_balanced(server: &Server) {
    let metrics = server.metrics();
    let closed = metrics.lines().filter_map(|line| {
        let (_, count) = line.strip_prefix("chatd_closed_total{")?.split_once(' ')?;
        count.parse::<u64>().ok()
    });
    let [accepted, adopted, connections, handed_over] =
        ["accepted_total", "adopted_total", "connections", "handed_over_total"]
            .map(|name| number(&metrics, &format!("chatd_{name}")));
    let left = connections + handed_over + closed.sum::<u64>();
    assert_eq!(accepted + adopted, left, "{metrics}");
}

#[test]
fn people_go_on_where_they_were() {
    let mut server = Server::start("--workers 2 --room python --admin 127.0.0.1:0");
    let [mut plato, mut solon, mut zeno, mut kant] =
        server.lobby(["plato", "solon", "zeno", "kant"]);
    plato.send("/topic wine\n");
    for reader in [&mut plato, &mut solon, &mut zeno, &mut kant] {
        reader.expect_line("plato set the topic: wine");
    }
    zeno.send("/join garden\n");
    zeno.expect_line("You are alone in garden");
    for reader in [&mut plato, &mut solon, &mut kant] {
        reader.expect_line("Client left zeno");
    }
    plato.say("before", &mut [&mut solon, &mut kant]);
    solon.send("/time on\n/ignore kant\n/away at lunch\n");
    solon.expect_to("Lines begin with the time, UTC\r\n");
    solon.expect_to("You ignore kant\r\n");
    solon.expect_to("You are marked away: at lunch\r\n");
    plato.send("half ");
    for _ in 0..2 {
        server.upgrade();
        plato.send("a ");
    }
    kant.say("not to solon", &mut [&mut plato]);
    plato.send("line\n");
    let line = solon.line();
    assert!(line.ends_with(" [plato] half a a line") && line.len() == 27, "{line:?}");
    kant.expect_line("[plato] half a a line");
    // Names, rooms, topics, marks, and what was said stand as they did.
    let mut newcomer = server.connect();
    newcomer.expect_line("The topic of lobby: wine");
    let name = newcomer.name.clone();
    for reader in [&mut plato, &mut kant] {
        reader.expect_line(format!("Client joined {name}"));
    }
    newcomer.send("/nick plato\n/who\n/who garden\n/history\n");
    newcomer.expect_line("Somebody else is called plato; plato2 is free");
    newcomer.expect_line("4 in lobby:");
    let mut present: Vec<String> = (0..4).map(|_| newcomer.line()).collect();
    present.sort_unstable();
    assert_eq!(present, [&format!("  {name}"), "  kant", "  plato", "  solon (away)"]);
    newcomer.expect("1 in garden:\r\n  zeno\r\n");
    newcomer.expect_line("The last 3 lines of lobby (UTC):");
    for said in ["[plato] before", "[kant] not to solon", "[plato] half a a line"] {
        let line = newcomer.line();
        assert!(line.starts_with("  ") && line.ends_with(&format!(" {said}")), "{line:?}");
    }
    zeno.send("/back\n");
    zeno.expect_to("You are in lobby with 4 others\r\nThe topic of lobby: wine\r\n");
    assert_eq!(server.metric("chatd_adopted_total"), 4);
    assert_eq!(server.metric("chatd_upgrades_total"), 1);
    assert_balanced(&server);
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    for client in [&mut plato, &mut kant, &mut newcomer] {
        client.expect_to("The server is stopping. Goodbye\r\n");
        client.expect_end();
    }
}

#[test]
fn programs_go_on_in_the_middle_of_a_word() {
    let mut server = Server::start(&format!("--workers 2 {DIALECTS}"));
    let mut rid = server.connect_as("rid");
    let mut other = server.connect_as("rid");
    for client in [&mut rid, &mut other] {
        client.send("<RID:1></RID:1>");
        client.send("?\n");
        client.expect_to("\nInvalid format message\n");
    }
    rid.expect(format!("\n[{}] entered room.\n", other.name));
    let mut one = server.connect_as("p2p");
    one.send("1");
    one.expect("hello 1,you login successed\n");
    let mut late = server.connect_as("p2p");
    rid.send("<RID:1>in two ");
    one.send("1||to ");
    server.upgrade();
    rid.send("parts</RID:1>");
    one.send("myself\n");
    let (host, port) = rid.name.rsplit_once(':').expect("an address has a port");
    other.expect(format!("\n<('{host}', {port})>in two parts"));
    one.expect("1 said : to myself\n");
    // Who had not said its id yet says it now.
    late.send("2");
    late.expect("hello 2,you login successed\n");
    late.send("1||hi\n");
    one.expect("2 said : hi\n");
}

#[test]
fn the_line_being_typed_is_drawn_again() {
    let mut server = Server::start("--workers 1");
    let [mut plato, mut zeno] = server.lobby(["plato", "zeno"]);
    plato.send("/rich on\r\n");
    plato.expect_to(b"\xff\xfd\x1f\xff\xfd\x18");
    plato.send(b"\xff\xfb\x1f\xff\xfa\x1f\x00\x28\x00\x18\xff\xf0\xff\xfc\x18");
    plato.expect(b"\xff\xfb\x01\xff\xfb\x03");
    plato.send(b"\xff\xfd\x01\xff\xfd\x03");
    plato.expect_to("> ");
    plato.send("a line");
    plato.expect("a line");
    server.upgrade();
    zeno.send("one\n");
    plato.expect_to("[zeno] one\r\n> a line");
    plato.send(" more\r\0");
    zeno.expect_line("[plato] a line more");
    // What was typed before can be called back.
    plato.send("\x1b[A\r\0");
    zeno.expect_line("[plato] a line more");
}

#[test]
fn unread_bytes_come_once_and_in_order() {
    const COUNT: usize = 700;
    let mut server = Server::start("--workers 2 --admin 127.0.0.1:0 --behind-bytes 131072");
    let [mut author] = server.lobby(["author"]);
    let mut late = server.connect_holding(16 << 10);
    author.expect_line(format!("Client joined {}", late.name));
    let text = |number: usize| format!("{number:0>150}");
    for number in 0..COUNT {
        author.send(text(number) + "\n");
        author.catch_up();
    }
    late.send("/who -\n");
    server.wait_for_metric("chatd_blocked_sockets", |count| count == 1);
    server.upgrade();
    server.upgrade();
    author.send("after\n");
    late.expect_line(WELCOME);
    // Its answer overtakes what the room is told.
    let mut lines = late.lines_before("[author] after");
    let answers = lines.iter().filter(|line| *line == "There is no room -").count();
    assert_eq!(answers, 1);
    lines.retain(|line| line != "There is no room -");
    let expected: Vec<_> = (0..COUNT).map(|number| format!("[author] {}", text(number))).collect();
    assert_eq!(lines, expected);
    late.catch_up();
    assert_balanced(&server);
}

/// One speaks, one listens, and people come and go, while the server is upgraded again and again.
#[test]
fn nothing_is_lost_under_way() {
    let mut server = Server::start("--workers 2 --admin 127.0.0.1:0");
    let [mut speaker, mut listener] = server.lobby(["speaker", "listener"]);
    for client in [&mut speaker, &mut listener] {
        client.send("/join quiet\n");
        client.expect_to(" quiet");
        client.line();
    }
    speaker.expect_to("Client joined listener\r\n");
    let over = AtomicBool::new(false);
    let addr = server.addr();
    thread::scope(|scope| {
        let talk = scope.spawn(|| {
            let mut said = 0;
            while !over.load(Ordering::Relaxed) {
                said += 1;
                speaker.say(&said.to_string(), &mut [&mut listener]);
            }
            said
        });
        let visits = scope.spawn(|| {
            let mut visits = 0;
            while !over.load(Ordering::Relaxed) {
                let mut visitor = Client::to(addr);
                visitor.expect_line(WELCOME);
                visitor.send("/quit\n");
                visitor.expect_to("Goodbye\r\n");
                visitor.expect_end();
                visits += 1;
            }
            visits
        });
        for _ in 0..5 {
            server.upgrade();
        }
        over.store(true, Ordering::Relaxed);
        assert!(talk.join().expect("each line came") > 0);
        assert!(visits.join().expect("each was served") > 0);
    });
    server.wait_for_metric("chatd_connections", |count| count == 2);
    assert_balanced(&server);
}

#[test]
fn the_number_of_workers_may_change() {
    let file = Place::new("workers.toml");
    let write = |workers: u32| {
        fs::write(&file.0, format!("workers = {workers}\n")).expect("a writable directory");
    };
    write(1);
    let mut command = chatd();
    let mut server = Server::spawn(command.arg("--config").arg(&file.0));
    let [mut plato, mut zeno] = server.lobby(["plato", "zeno"]);
    for workers in [3, 1] {
        write(workers);
        server.upgrade();
        plato.say("hello", &mut [&mut zeno]);
        let crowd: Vec<Client> = (0..16).map(|_| server.connect()).collect();
        for client in &crowd {
            plato.expect_line(format!("Client joined {}", client.name));
            zeno.expect_line(format!("Client joined {}", client.name));
        }
        for client in crowd {
            client.reset();
        }
        for _ in 0..16 {
            plato.expect_to("Client left 127.0.0.1:");
            plato.line();
            zeno.expect_to("Client left 127.0.0.1:");
            zeno.line();
        }
    }
    zeno.say("bye", &mut [&mut plato]);
}

#[test]
fn a_transcript_goes_on() {
    let file = Place::new("upgrade-transcript");
    let mut command = chatd();
    command.args(["--workers", "2", "--transcript"]).arg(&file.0);
    let mut server = Server::spawn(&mut command);
    let [mut plato, mut zeno] = server.lobby(["plato", "zeno"]);
    plato.send("/join garden\n");
    plato.expect_line("You are alone in garden");
    zeno.expect_line("Client left plato");
    for number in 0..4 {
        plato.send(format!("garden {number}\n"));
        plato.catch_up();
        zeno.send(format!("lobby {number}\n"));
        zeno.catch_up();
        server.upgrade();
    }
    assert_eq!(server.stop().code, Some(0));
    let text = fs::read_to_string(&file.0).expect("it was written");
    let said: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once(' ')?.1.split_once('['))
        .map(|(_, said)| said)
        .collect();
    let expected: Vec<String> = (0..4)
        .flat_map(|number| [format!("plato] garden {number}"), format!("zeno] lobby {number}")])
        .collect();
    assert_eq!(said, expected);
}

#[test]
fn standard_output_goes_on() {
    let mut command = chatd();
    command.args(["--transcript", "-"]).stdout(Stdio::piped());
    let mut server = Server::spawn(&mut command);
    let [mut plato] = server.lobby(["plato"]);
    plato.send("one\n");
    plato.catch_up();
    server.upgrade();
    plato.send("two\n");
    plato.catch_up();
    let ended = server.stop();
    assert_eq!(ended.code, Some(0));
    let text = String::from_utf8(ended.stdout).expect("it is text");
    let said: Vec<&str> =
        text.lines().filter_map(|line| line.split_once("[plato] ")).map(|s| s.1).collect();
    assert_eq!(said, ["one", "two"]);
}

#[test]
fn who_became_somebody_else_is_upgraded_by_the_one_who_started_it() {
    if !geteuid().is_root() {
        return eprintln!("SKIPPED: only root can become somebody else; run the tests as root");
    }
    let mut server = Server::start("--user nobody");
    let [mut plato, mut zeno] = server.lobby(["plato", "zeno"]);
    server.upgrade();
    plato.say("hello", &mut [&mut zeno]);
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_pid()));
    let status = status.expect("it runs");
    let uids = status.lines().find(|line| line.starts_with("Uid:")).expect("the kernel tells it");
    assert!(!uids.split('\t').any(|uid| uid == "0"), "{uids}");
}

#[test]
fn a_signal_says_what_to_run() {
    let server = Server::start("");
    server.signal(Signal::USR2);
    let pid: i32 = server.logged("to upgrade this server, run: chatd upgrade ");
    assert_eq!(pid, server.pid().as_raw_pid());
    server.connect();
}
