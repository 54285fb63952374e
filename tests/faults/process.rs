//! What happens to a process: signals, a log that nobody reads, a transcript, its sudden end.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::harness::{
    Client, End, PATIENCE, Server, WELCOME, chatd, has_program, raise_descriptor_limit,
};
use crate::rest::{Rest, serving};
use crate::scaled;
use crate::witnesses::{Over, Witnesses};

/// Less than a client of these tests waits for anything.
const STILL_MAX: Duration = Duration::from_secs(30);

/// Two addresses where nobody listens. Nobody else asks for ports of this host.
fn free_addresses(host: u8) -> [SocketAddr; 2] {
    let free = SocketAddr::from(([127, 9, 9, host], 0));
    let taken = [(); 2].map(|()| TcpListener::bind(free).expect("a free port"));
    taken.map(|listener| listener.local_addr().expect("it is bound"))
}

#[test]
fn signals_that_mean_nothing_change_nothing() {
    let (server, rest) = serving("--workers 2");
    let mut witnesses = Witnesses::of(&server);
    for signal in [Signal::HUP, Signal::USR1] {
        server.signal(signal);
        let told = format!("a signal that means nothing here signal={}", signal.as_raw());
        let _: String = server.logged(&told);
        witnesses.talk();
    }
    server.signal(Signal::PIPE);
    witnesses.talk();
    drop(witnesses);
    rest.returns(&server);
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn a_terminal_that_closes_does_not_end_the_server() {
    if !has_program("setsid", "util-linux") {
        return;
    }
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .expect("a pseudo terminal");
    grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("it is ours");
    let name = ptsname(&terminal, Vec::new()).expect("it has a name");
    let name = name.to_str().expect("a path in ASCII");
    let open = || File::options().read(true).write(true).open(name).expect("it is unlocked");
    let [addr, admin] = free_addresses(1);
    let mut command = Command::new("setsid");
    command.args(["--ctty", env!("CARGO_BIN_EXE_chatd")]);
    command.stdin(open()).stdout(open()).stderr(open());
    let server = Server::silent(&mut command, addr, admin);
    drop(command);
    let mut witnesses = Witnesses::of(&server);
    assert_ne!(terminal_of(&server), "0", "it has no terminal");
    drop(terminal);
    let deadline = Instant::now() + PATIENCE;
    while terminal_of(&server) != "0" {
        assert!(Instant::now() < deadline, "it has its terminal still");
        thread::yield_now();
    }
    // Lines of the log cannot be written any more.
    server.signal(Signal::USR1);
    for _ in 0..20 {
        server.connect().reset();
        witnesses.talk();
    }
    drop(witnesses);
    server.wait_for_metric("chatd_connections", |count| count == 0);
    assert_eq!(server.stop().code, Some(0));
}

/// The number of its controlling terminal: the seventh field of proc_pid_stat(5).
fn terminal_of(server: &Server) -> String {
    let path = format!("/proc/{}/stat", server.pid().as_raw_pid());
    let text = fs::read_to_string(path).expect("it runs");
    let (_, fields) = text.rsplit_once(") ").expect("a name in brackets");
    fields.split(' ').nth(4).expect("many fields").to_owned()
}

#[test]
fn a_log_that_cannot_be_written_stops_nobody() {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").expect("a device"));
    let broken = || Stdio::from(io::pipe().expect("a pipe").1);
    let closed = ["-c", "exec \"$0\" \"$@\" 2>&-", env!("CARGO_BIN_EXE_chatd")];
    let mut shell = Command::new("sh");
    shell.args(closed);
    let mut commands = [shell, chatd(), chatd()];
    commands[1].stderr(full());
    commands[2].stderr(broken());
    for mut command in commands {
        command.args(["--log-level", "debug"]);
        let [addr, admin] = free_addresses(2);
        let server = Server::silent(&mut command, addr, admin);
        // Its pipe's other end would be kept open.
        drop(command);
        let mut witnesses = Witnesses::of(&server);
        for _ in 0..20 {
            server.connect().reset();
            witnesses.talk();
        }
        drop(witnesses);
        server.wait_for_metric("chatd_connections", |count| count == 0);
        assert_eq!(server.stop().code, Some(0));
    }
}

/// A terminal that is held, or a journal that hangs.
#[test]
fn a_log_that_nobody_reads_stops_nobody_and_is_counted() {
    const DROPPED: &str = "chatd_log_dropped_lines_total";
    let (server, rest) = serving("--workers 2 --log-level debug");
    let mut witnesses = Witnesses::of(&server);
    let unread = server.hold_log();
    // Each is a line of the log: more than the pipe and the queue hold.
    while server.metric(DROPPED) == 0 {
        (0..500).for_each(|_| server.connect_unread().reset());
        witnesses.talk();
    }
    drop(unread);
    let latency = witnesses.latency();
    drop(witnesses);
    rest.returns(&server);
    // It goes on where it stopped.
    let deadline = Instant::now() + PATIENCE;
    let is_logged = || {
        let state = || (server.log_count("a signal that means"), server.metric(DROPPED));
        let (count, dropped) = state();
        server.signal(Signal::USR1);
        while state() == (count, dropped) {
            assert!(Instant::now() < deadline, "neither logged nor dropped");
        }
        server.metric(DROPPED) == dropped
    };
    while !is_logged() {}
    let dropped = server.metric(DROPPED);
    eprintln!("{dropped} lines of an unread log were dropped; meanwhile: {latency}");
    assert!(is_logged(), "the log is read, and lines are dropped");
}

#[test]
fn a_server_whose_log_nobody_reads_ends_all_the_same() {
    let (server, _) = serving("--log-level debug");
    let unread = server.hold_log();
    while server.metric("chatd_log_dropped_lines_total") == 0 {
        (0..500).for_each(|_| server.connect_unread().reset());
    }
    server.signal(Signal::TERM);
    let deadline = Instant::now() + PATIENCE;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(server.pid()), options).expect("it is our child").is_none() {
        assert!(Instant::now() < deadline, "it does not end");
        thread::yield_now();
    }
    drop(unread);
    assert_eq!(server.wait(PATIENCE).code, Some(0));
}

#[test]
fn a_transcript_that_nobody_reads_is_counted() {
    let mut command = chatd();
    command.args(["--workers", "2", "--transcript", "-", "--admin", "127.0.0.1:0", "--drain", "1"]);
    let server = Server::spawn(command.stdout(Stdio::piped()));
    let _: String = server.logged("INFO serving");
    let rest = Rest::of(&server);
    let mut witnesses = Witnesses::of(&server);
    let mut author = server.connect();
    let text = "x".repeat(1_000) + "\n";
    witnesses.meanwhile(|| {
        while server.metric("chatd_transcript_dropped_lines_total") == 0 {
            author.send(text.repeat(100));
            author.catch_up();
        }
    });
    drop((witnesses, author));
    rest.returns(&server);
    assert_eq!(server.stop().code, Some(0));
}

/// Meanwhile the others go on sending, and one reads what was on its way: none of that is lateness
/// of theirs.
#[test]
fn nobody_is_to_blame_for_a_server_that_stood_still() {
    // Longer than a byte may be late.
    const AGE: u64 = 3;
    let still =
        Duration::from_secs(AGE + 1).max(Duration::from_secs(scaled(3) as u64).min(STILL_MAX));
    let (server, rest) = serving(&format!("--workers 2 --behind-age {AGE}"));
    let [mut author, mut quick] = server.lobby(["author", "quick"]);
    let mut late = server.connect_narrow();
    late.expect_line(WELCOME);
    author.expect_line(format!("Client joined {}", late.name));
    quick.expect_line(format!("Client joined {}", late.name));
    let text = |number: usize| format!("{number:0>1000}");
    let mut sent = 0;
    let mut say = |author: &mut Client| {
        author.send(text(sent) + "\n");
        sent += 1;
        sent
    };
    while server.metric("chatd_blocked_sockets") == 0 {
        say(&mut author);
        author.catch_up();
    }
    let before = say(&mut author);
    author.catch_up();
    server.signal(Signal::STOP);
    let stopped = Instant::now();
    // What is on its way is read now, and more is sent than the server can have taken.
    let reading = thread::spawn(move || {
        (0..before).for_each(|number| late.expect_line(format!("[author] {}", text(number))));
        late
    });
    let total = (0..20).map(|_| say(&mut author)).last().expect("there are some");
    // Whoever comes is told of first or last: both are right.
    let joined = |line: &str| line.starts_with("Client joined ");
    let mut newcomer = server.connect_unread();
    while stopped.elapsed() < still {
        thread::park_timeout(still.saturating_sub(stopped.elapsed()));
    }
    server.signal(Signal::CONT);
    let mut late = reading.join().expect("it has what was sent before");
    newcomer.expect_line(WELCOME);
    for (reader, first) in [(&mut quick, 0), (&mut late, before)] {
        let mut lines = (0..=total - first).map(|_| reader.line()).filter(|line| !joined(line));
        for number in first..total {
            assert_eq!(lines.next(), Some(format!("[author] {}", text(number))));
        }
        assert_eq!(lines.next(), None);
    }
    assert_eq!(server.metric("chatd_closed_total{reason=\"slow\"}"), 0);
    eprintln!("stopped for {still:?}: nobody was closed, all {total} lines came");
    drop((author, quick, late, newcomer));
    rest.returns(&server);
}

/// As a service manager does it. How soon it listens is printed.
#[test]
fn after_a_kill_the_next_server_has_the_port_and_the_clients() {
    raise_descriptor_limit();
    let count = scaled(200);
    let (server, _) = serving("--workers 2");
    let addr = server.addr();
    // From several addresses: where few ports are free, connecting is a long search for one.
    let come = |host| {
        let mut client = server.connect_from([127, 9, 9, host]);
        client.expect_line(WELCOME);
        client
    };
    let crowd: Vec<Client> = (1..=4).cycle().take(count).map(come).collect();
    server.signal(Signal::KILL);
    assert_eq!(server.wait(PATIENCE).code, None);
    let killed = Instant::now();
    let (server, rest) = serving(&format!("--workers 2 --listen {addr}"));
    let listening = killed.elapsed();
    assert_eq!(server.addr(), addr);
    let mut crowd = crowd.into_iter();
    let parts = [(); 4].map(|()| crowd.by_ref().take(count.div_ceil(4)).collect::<Vec<_>>());
    let again = thread::scope(|scope| {
        let come_again = |part: Vec<Client>, host: u8| {
            let come_again = |mut client: Client| {
                client.read_to_any_end();
                drop(client);
                server.connect_from([127, 9, 10, host])
            };
            let mut part: Vec<Client> = part.into_iter().map(come_again).collect();
            part.iter_mut().for_each(|client| client.expect_line(WELCOME));
            part
        };
        let mut hosts = 1..;
        let parts = parts.map(|part| {
            let host = hosts.next().expect("there are four");
            scope.spawn(move || come_again(part, host))
        });
        parts.map(|part| part.join().expect("all are welcome"))
    });
    let (back, listening) = (killed.elapsed().as_millis(), listening.as_millis());
    eprintln!("listening after {listening} ms, {count} clients are back after {back} ms");
    drop(again);
    rest.returns(&server);
}

/// With a client that reads nothing, many who read lines that come without end, and newcomers: it
/// ends within the time for that, which it would tell otherwise, and cuts no line. How long it
/// takes is printed.
#[test]
fn the_end_comes_in_time_under_load() {
    let (server, _) = serving("--workers 2 --drain 1");
    let mut deaf = server.connect_narrow();
    deaf.send("/help\n".repeat(1_000));
    server.wait_for_metric("chatd_blocked_sockets", |count| count == 1);
    let addr = server.addr();
    let over = AtomicBool::new(false);
    raise_descriptor_limit();
    let (ended, took, readers) = thread::scope(|scope| {
        let readers: Vec<Client> = (0..scaled(20)).map(|_| server.connect()).collect();
        let readers: Vec<_> = readers
            .into_iter()
            .map(|mut reader| {
                reader.send("/join one\n");
                scope.spawn(move || reader.read_to_any_end())
            })
            .collect();
        for room in ["one", "two"] {
            let mut flooder = server.connect();
            // One flooder a room: who does not read what others say is sent away.
            flooder.send(format!("/join {room}\n"));
            scope.spawn(move || while flooder.try_send("a line\n".repeat(50)).is_ok() {});
        }
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = TcpStream::connect(addr);
            }
        });
        let _over = Over(&over);
        server.wait_for_metric("chatd_lines_in_total", |count| count > 10_000);
        let start = Instant::now();
        server.signal(Signal::TERM);
        let ended = server.wait(PATIENCE);
        let took = start.elapsed();
        let readers = readers.into_iter().map(|reader| reader.join().expect("it ends"));
        (ended, took, readers.collect::<Vec<_>>())
    });
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    // One that was closed before, because it could not read so fast, may have half a line.
    let to_the_end = readers.iter().filter(|(_, end)| *end == End::Closed);
    for (read, _) in to_the_end.clone() {
        let end = String::from_utf8_lossy(&read[read.len().saturating_sub(100)..]);
        assert!(end.ends_with("\r\n"), "a line is cut: {end}");
    }
    eprintln!(
        "ended after {took:.1?}; {} of {} readers were there to the end, and have whole lines",
        to_the_end.count(),
        readers.len()
    );
    deaf.read_to_any_end();
}
