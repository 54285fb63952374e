//! A server that cannot hand over just now says why, and goes on; so does one that is asked by
//! somebody who may not.

use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use rustix::process::{Uid, geteuid};
use rustix::thread::set_thread_res_uid;

use crate::harness::{Client, PATIENCE, Server, chatd, number, raise_descriptor_limit};
use crate::upgrade::assert_balanced;
use crate::upgrade_failures::{FAILED, Fake};

#[track_caller]
fn assert_served(client: &mut Client) {
    client.send("/who -\n");
    client.expect_to("There is no room -\r\n");
}

/// The command refuses for that reason, and the server goes on.
#[track_caller]
fn assert_refused(server: &mut Server, command: &mut Command, reason: &str) {
    let pid = server.pid();
    let failed = server.metric(FAILED);
    let output = server.upgrade_by(command);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, format!("taking over: {reason}\nprocess {pid} goes on\n"));
    assert_eq!(output.status.code(), Some(71));
    assert_eq!(server.pid(), pid);
    assert_eq!(server.metric(FAILED), failed + 1);
    let _: String = server.logged(&format!("WARN no upgrade cause=\"{reason}\""));
}

/// As many as the limit of open files leaves room for; and one more.
#[test]
fn each_client_needs_an_open_file() {
    const LIMIT: usize = 400;
    /// 100 are kept back, and for each of three workers a ring, a bell, and two listeners twice.
    const ROOM: usize = LIMIT - 100 - 3 * (2 + 2 * 2);
    let limited = || {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {LIMIT}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_chatd")]);
        command
    };
    raise_descriptor_limit();
    let mut command = limited();
    command.args("--workers 3 --listen rid://127.0.0.1:0 --admin 127.0.0.1:0".split(' '));
    let mut server = Server::spawn(&mut command);
    let mut crowd: Vec<Client> = (0..ROOM).map(|_| server.connect()).collect();
    let told = server.upgrade_by(&mut limited());
    assert!(told.status.success(), "{told:?}");
    let all = crowd.len() as u64;
    crowd.iter_mut().for_each(assert_served);
    assert_eq!(server.metric("chatd_adopted_total"), all);
    let one_more = server.connect();
    let reason = format!(
        "{} clients need as many open files, and the limit of {LIMIT} leaves {ROOM}",
        ROOM + 1
    );
    assert_refused(&mut server, &mut limited(), &reason);
    crowd.iter_mut().for_each(assert_served);
    assert_balanced(&server);
    one_more.reset();
    server.wait_for_metric("chatd_connections", |count| count == all);
    let told = server.upgrade_by(&mut limited());
    assert!(told.status.success(), "{told:?}");
    crowd.iter_mut().for_each(assert_served);
    assert_balanced(&server);
}

/// What stands in memory once would be handed over once for each of them.
#[test]
fn too_many_do_not_read() {
    const READERS: usize = 180;
    /// Half of the memory for feeds: in chunks of 8 KiB, 4,096 and one for each of 200 clients, 64
    /// who are refused and 64 who come.
    const UNSENT_LEN_MAX: u64 = (4_096 + 200 + 64 + 64) * (8 << 10) / 2;
    raise_descriptor_limit();
    // As patient as it may be: how fast this machine is does not matter.
    let mut server = Server::start(
        "--workers 1 --max-clients 200 --behind-bytes 131072 --behind-age 20 --admin 127.0.0.1:0",
    );
    let mut author = server.connect();
    author.send("/nick author\n");
    author.expect_to("You are author\r\n");
    let mut readers: Vec<Client> = (0..READERS).map(|_| server.connect_narrow()).collect();
    let mut said = 0;
    loop {
        let metrics = server.metrics();
        let blocked = number(&metrics, "chatd_blocked_sockets");
        // The author has a few bytes of its own there.
        let len = number(&metrics, "chatd_feed_bytes").saturating_sub(8 << 10);
        if blocked == READERS as u64 && blocked * len > UNSENT_LEN_MAX {
            break;
        }
        assert!(said < 2_000, "{blocked} do not read {len} bytes");
        for _ in 0..20 {
            author.send(format!("{said:0>150}\n"));
            said += 1;
        }
        assert_served(&mut author);
    }
    let reason = "too many clients do not read just now: try again later";
    assert_refused(&mut server, &mut chatd(), reason);
    assert_eq!(number(&server.metrics(), "chatd_closed_total{reason=\"slow\"}"), 0);
    assert_served(&mut author);
    let mut late = readers.pop().expect("there are many");
    readers.into_iter().for_each(Client::reset);
    server.wait_for_metric("chatd_connections", |count| count == 2);
    server.upgrade();
    author.send("after\n");
    let mut lines = late.lines_before("[author] after");
    lines.retain(|line| line.starts_with("[author] "));
    let expected: Vec<_> = (0..said).map(|number| format!("[author] {number:0>150}")).collect();
    assert_eq!(lines, expected);
    assert_balanced(&server);
}

/// Anybody on the machine can ask. They do not stand in the way of the one who may, and do not fill
/// the log.
#[test]
fn a_crowd_of_strangers_stands_in_nobodys_way() {
    const STRANGERS: usize = 64;
    if !geteuid().is_root() {
        return eprintln!("SKIPPED: only root can become somebody else; run the tests as root");
    }
    raise_descriptor_limit();
    let mut server = Server::start("--workers 2");
    let _: String = server.logged("INFO serving");
    let [mut plato, mut zeno] = server.lobby(["plato", "zeno"]);
    let (pid, start) = (server.pid(), Instant::now());
    let (all_came, crowd) = mpsc::channel();
    let strangers = thread::spawn(move || {
        let nobody = Uid::from_raw(65_534);
        set_thread_res_uid(nobody, nobody, nobody).expect("root may");
        let mut crowd: Vec<Fake> = (0..STRANGERS).map(|_| Fake::of(pid)).collect();
        crowd.iter().for_each(|stranger| assert_eq!(stranger.hear(), b""));
        all_came.send(()).expect("they are waited for");
        // More and more come while the upgrade goes on, and none goes.
        crowd.extend((0..200).map_while(|_| Fake::try_of(pid).ok()));
    });
    crowd.recv_timeout(PATIENCE).expect("they are sent away");
    server.upgrade();
    strangers.join().expect("they find nobody there");
    let _: String = server.logged("INFO handed over pid=");
    let warnings = server.log_count("WARN no upgrade by this user");
    let seconds = usize::try_from(start.elapsed().as_secs()).expect("a few");
    assert!((1..=1 + seconds).contains(&warnings), "{warnings} within {seconds} s");
    plato.say("hello", &mut [&mut zeno]);
}
