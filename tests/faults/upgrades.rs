//! A new process takes the place of the one that serves, with many there: each keeps the
//! connection, the name, the room, the half of a line, and what was not read.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::net::{RecvFlags, SendFlags, SocketAddrUnix, connect, recv, send};
use rustix::process::geteuid;

use crate::harness::{
    Client, PATIENCE, Server, WELCOME, chatd, raise_descriptor_limit, run, seqpacket,
};
use crate::rest::serving;
use crate::scaled;
use crate::witnesses::Witnesses;

const ROOM_LEN: usize = 10;

/// So many, each with a name of its own, in rooms of ten; each has begun a line. Before that the
/// first of each room said one that no other has read.
fn crowd(server: &Server, count: usize) -> Vec<Client> {
    let mut crowd: Vec<Client> = (0..count).map(|_| server.connect_unread()).collect();
    for (number, client) in crowd.iter_mut().enumerate() {
        client.send(format!("/nick c{number}\n/join r{}\n", number / ROOM_LEN));
        // Among what it was told of others in the lobby.
        client.expect_to(format!("You are c{number}\r\n"));
        client.expect_to(format!(" r{}", number / ROOM_LEN));
        client.line();
    }
    for (index, room) in crowd.chunks_mut(ROOM_LEN).enumerate() {
        let last = index * ROOM_LEN + room.len() - 1;
        room[0].expect_to(format!("Client joined c{last}\r\n"));
        room[0].send("unread\n");
        room[0].catch_up();
        room.iter_mut().for_each(|client| client.send("half "));
    }
    crowd
}

/// Each says the rest of its line, and everybody in the room reads all of it, once.
fn finish(crowd: &mut [Client]) {
    for (index, room) in crowd.chunks_mut(ROOM_LEN).enumerate() {
        let first = index * ROOM_LEN;
        for client in &mut room[1..] {
            client.expect_to(format!("[c{first}] unread\r\n"));
        }
        for number in 0..room.len() {
            room[number].send("a line\n");
            let line = format!("[c{}] half a line", first + number);
            for (reader, client) in room.iter_mut().enumerate() {
                if reader != number {
                    client.expect_line(&line);
                }
            }
        }
        room.iter_mut().for_each(|client| client.send("half "));
        room[0].send("\nunread\nhalf ");
        for client in &mut room[1..] {
            client.expect_line(format!("[c{first}] half "));
        }
    }
}

#[test]
fn everybody_stays_and_nothing_is_lost() {
    raise_descriptor_limit();
    let count = scaled(200);
    let (mut server, rest) = serving("--workers 2");
    let mut witnesses = Witnesses::of(&server);
    let mut crowd = crowd(&server, count);
    for _ in 0..3 {
        let addr = server.addr();
        let told = witnesses.meanwhile(|| {
            let newcomers = thread::spawn(move || {
                let start = Instant::now();
                let mut newcomers: Vec<Client> = (0..20).map(|_| Client::to(addr)).collect();
                newcomers.iter_mut().for_each(|client| client.expect_line(WELCOME));
                (newcomers, start.elapsed())
            });
            let told = server.upgrade();
            let (newcomers, waited) = newcomers.join().expect("all are welcomed");
            drop(newcomers);
            format!("{} newcomers waited for {} ms", told.trim_end(), waited.as_millis())
        });
        let longest = witnesses.longest().as_millis();
        eprintln!("{told}; a line waited for {longest} ms at most");
        finish(&mut crowd);
        assert_eq!(server.metric("chatd_upgrades_total"), 1);
    }
    drop((witnesses, crowd));
    rest.returns(&server);
}

/// Lines come without a pause, in two dialects, while one process after the other takes over.
#[test]
fn a_flood_goes_on_over_upgrades() {
    /// Lines that it may be ahead of its slowest reader: who reads too slowly is sent away.
    const AHEAD: usize = 200;
    const READERS: usize = 4;
    let count = scaled(6_000);
    let listen = "--listen rid://127.0.0.1:0 --listen p2p://127.0.0.1:0";
    let (mut server, rest) = serving(&format!("--workers 2 {listen}"));
    let mut author = server.connect();
    author.take_name("author");
    let mut readers: Vec<Client> = (0..READERS).map(|_| server.connect()).collect();
    let mut program = server.connect_as("p2p");
    program.send("1");
    program.expect("hello 1,you login successed\n");
    author.expect_to("Client joined 1\r\n");
    readers.iter_mut().for_each(|reader| reader.expect_to("Client joined 1\r\n"));
    let read = [const { AtomicUsize::new(0) }; READERS + 1];
    let reads = |client: &mut Client, before: &str, after: &str, read: &AtomicUsize| {
        for number in 0..count {
            client.expect(format!("{before}{number:0>100}{after}"));
            read.store(number + 1, Ordering::Relaxed);
        }
    };
    let slowest = || read.iter().map(|read| read.load(Ordering::Relaxed)).min().unwrap_or(0);
    let mut upgrades = 0;
    thread::scope(|scope| {
        let (last, others) = read.split_last().expect("there are some");
        scope.spawn(|| reads(&mut program, "author said : ", "\n", last));
        for (client, read) in readers.iter_mut().zip(others) {
            scope.spawn(|| reads(client, "[author] ", "\r\n", read));
        }
        let flood = scope.spawn(|| {
            for first in (0..count).step_by(20) {
                let mut reached = (slowest(), Instant::now());
                while slowest() + AHEAD < first {
                    if slowest() > reached.0 {
                        reached = (slowest(), Instant::now());
                    }
                    assert!(reached.1.elapsed() < PATIENCE, "a reader stands still");
                    thread::yield_now();
                }
                author
                    .send((first..first + 20).map(|n| format!("{n:0>100}\n")).collect::<String>());
            }
        });
        while !flood.is_finished() {
            server.upgrade();
            upgrades += 1;
        }
    });
    eprintln!("{count} lines to {} readers each, over {upgrades} upgrades", READERS + 1);
    drop((author, readers, program));
    rest.returns(&server);
}

/// Has everything given to one who goes at once.
fn give_all_to_nobody(server: &Server) {
    let socket = seqpacket();
    let name = format!("chatd-{}", server.pid().as_raw_pid());
    let name = SocketAddrUnix::new_abstract_name(name.as_bytes()).expect("a short name");
    connect(&socket, &name).expect("it listens");
    send(&socket, b"\0\xa8HandOver", SendFlags::NOSIGNAL).expect("it hears");
    let mut packet = vec![1; 1 << 17];
    while packet[0] == 1 {
        recv(&socket, &mut packet[..], RecvFlags::empty()).expect("it gives them");
    }
}

/// Everything is given to one that goes, again and again, while others talk.
#[test]
fn everybody_stays_when_the_new_process_fails() {
    raise_descriptor_limit();
    let count = scaled(200);
    let (server, rest) = serving("--workers 2");
    let mut witnesses = Witnesses::of(&server);
    let mut crowd = crowd(&server, count);
    for failed in 1..=3 {
        witnesses.meanwhile(|| {
            give_all_to_nobody(&server);
            server.wait_for_metric("chatd_upgrades_failed_total", |count| count == failed);
        });
        eprintln!("{count} stayed, a line waited for {} ms", witnesses.longest().as_millis());
        finish(&mut crowd);
    }
    assert_eq!(server.metric("chatd_adopted_total"), 3 * (count as u64 + 2));
    drop((witnesses, crowd));
    rest.returns(&server);
}

/// It waits for a reader of its transcript, with the old one's sockets. Nobody else does: it is
/// ended when its time is over.
#[test]
fn a_new_process_that_hangs_is_killed() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fifo-{}", std::process::id()));
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a writable directory");
    let open = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let reader = rustix::fs::open(&path, open, Mode::empty()).expect("it is ours");
    let mut command = chatd();
    command.args(["--workers", "2", "--admin", "127.0.0.1:0", "--transcript"]).arg(&path);
    let mut server = Server::spawn(&mut command);
    let _: String = server.logged("INFO serving");
    let mut witnesses = Witnesses::of(&server);
    drop(reader);
    let told = witnesses.meanwhile(|| server.upgrade_by(&mut chatd()));
    let stderr = String::from_utf8_lossy(&told.stderr);
    let pid = server.pid();
    let expected =
        format!("the new process hung, and was killed\nprocess {} goes on\n", pid.as_raw_pid());
    assert_eq!((told.status.code(), &*stderr), (Some(1), &*expected));
    let _: String = server.logged("WARN no upgrade cause=\"the new process took too long\"");
    let reader = rustix::fs::open(&path, open, Mode::empty()).expect("it is ours");
    server.upgrade();
    witnesses.talk();
    drop(reader);
    std::fs::remove_file(&path).expect("it is ours");
}

/// The queues of a process that is gone count for a while: the next waits for their memory, and so
/// does the one that goes on.
#[test]
fn memory_for_one_server_is_enough() {
    /// KiB: what two workers take, and no third.
    const LOCKED: u32 = 1_000;
    const USER: u32 = 54_321;
    if !geteuid().is_root() {
        return eprintln!("SKIPPED: only root can become somebody else; run the tests as root");
    }
    let limited = || {
        let mut command = Command::new("sh");
        let script = format!("ulimit -l {LOCKED}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_chatd")]).uid(USER).gid(USER);
        command
    };
    let mut command = limited();
    command.args(["--workers", "2", "--admin", "127.0.0.1:0"]);
    let mut server = Server::spawn(&mut command);
    let _: String = server.logged("INFO serving");
    let mut witnesses = Witnesses::of(&server);
    for failed in 1..=5 {
        let told = witnesses.meanwhile(|| {
            give_all_to_nobody(&server);
            server.wait_for_metric("chatd_upgrades_failed_total", |count| count == 1);
            server.upgrade_by(&mut limited())
        });
        assert!(told.status.success(), "{failed}: {told:?}");
    }
    eprintln!("a line waited for {} ms at most", witnesses.longest().as_millis());
    let third = run(limited().args(["--listen", "127.0.0.1:0", "--workers", "1"]));
    let stderr = String::from_utf8_lossy(&third.stderr);
    assert!(stderr.contains("is the limit of locked memory too low"), "{stderr}");
}
