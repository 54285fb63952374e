//! A new process that fails, in every way and at every point, leaves the server as it was: nobody
//! who is connected notices, and the next one may try.
//!
//! Most of them are played by the test, which speaks their half of the conversation.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::cmsg_space;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept, bind,
    connect, listen, recv, recvmsg, send, sendmsg, socketpair,
};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use rustix::thread::set_thread_res_uid;
use serde_json::{Value, json};

use crate::harness::{Client, PATIENCE, Server, chatd, run, seqpacket, wait};
use crate::supervisor::environment_of;
use crate::upgrade::{Place, assert_balanced};

/// The half of a new process.
pub(crate) struct Fake(OwnedFd);

impl Fake {
    pub(crate) fn of(pid: Pid) -> Self {
        Self::try_of(pid).expect("it listens")
    }

    pub(crate) fn try_of(pid: Pid) -> rustix::io::Result<Self> {
        let socket = seqpacket();
        // For a place in the queue, too.
        for direction in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&socket, direction, Some(PATIENCE)).expect("an option");
        }
        let name =
            SocketAddrUnix::new_abstract_name(format!("chatd-{}", pid.as_raw_pid()).as_bytes());
        connect(&socket, &name.expect("a short name"))?;
        Ok(Self(socket))
    }

    pub(crate) fn try_say(&self, word: &Value) -> rustix::io::Result<usize> {
        let mut packet = vec![0];
        packet.extend(rmp_serde::to_vec(word).expect("it can be written"));
        send(&self.0, &packet, SendFlags::NOSIGNAL)
    }

    pub(crate) fn say(&self, word: Value) {
        self.try_say(&word).expect("it is heard");
    }

    /// An answer, or nothing at the end. Descriptors that come with it are let go of.
    pub(crate) fn hear(&self) -> Vec<u8> {
        let mut answer = Vec::new();
        let mut packet = vec![0; 1 << 17];
        loop {
            let heard = recv(&self.0, &mut packet[..], RecvFlags::empty());
            let len = match heard {
                Ok((_, len)) => len,
                Err(error) if error == rustix::io::Errno::CONNRESET => 0,
                Err(error) => panic!("it says nothing: {error}"),
            };
            let Some((more, part)) = packet[..len].split_first() else { return answer };
            answer.extend_from_slice(part);
            if *more == 0 {
                return answer;
            }
        }
    }

    #[track_caller]
    pub(crate) fn ask(&self, word: Value) {
        let asked = word.to_string();
        self.say(word);
        let answer = self.hear();
        assert!(answer.starts_with(b"\x81\xa5Given"), "{asked}: {}", answer.escape_ascii());
    }
}

pub(crate) fn hello() -> Value {
    json!({ "Hello": { "version": 1 } })
}

/// Two who talk, one of them in the middle of a line, and one who reads nothing.
pub(crate) struct Witnesses {
    plato: Client,
    zeno: Client,
    late: Client,
    said: usize,
}

impl Witnesses {
    pub(crate) fn of(server: &Server) -> Self {
        let [mut plato, mut zeno] = server.lobby(["plato", "zeno"]);
        let late = server.connect_holding(16 << 10);
        for client in [&mut plato, &mut zeno] {
            client.expect_line(format!("Client joined {}", late.name));
        }
        let mut witnesses = Self { plato, zeno, late, said: 0 };
        while server.metric("chatd_blocked_sockets") == 0 {
            witnesses.talk();
        }
        witnesses.zeno.send("half");
        witnesses
    }

    #[track_caller]
    pub(crate) fn talk(&mut self) {
        self.plato.say(&format!("{:0>150}", self.said), &mut [&mut self.zeno]);
        self.said += 1;
    }

    /// The rest of everything.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        self.talk();
        self.zeno.send(" a line\n");
        self.plato.expect_line("[zeno] half a line");
        self.late.expect_to("chatserver\r\n");
        for number in 0..self.said {
            self.late.expect_line(format!("[plato] {number:0>150}"));
        }
        self.late.expect_line("[zeno] half a line");
    }
}

pub(crate) const FAILED: &str = "chatd_upgrades_failed_total";

#[test]
fn one_that_goes_at_any_point_is_not_missed() {
    let mut server = Server::start("--workers 2 --admin 127.0.0.1:0");
    let _: String = server.logged("INFO serving");
    let mut witnesses = Witnesses::of(&server);
    let words = [hello(), json!("Sockets"), json!("HandOver"), json!({ "Ready": { "pid": 1 } })];
    for count in 1..=words.len() {
        let fake = Fake::of(server.pid());
        words[..count].iter().for_each(|word| fake.ask(word.clone()));
        drop(fake);
        server.wait_for_metric(FAILED, |failed| failed == count as u64);
        witnesses.talk();
    }
    // Also one that does not wait for its answers.
    let fake = Fake::of(server.pid());
    words.iter().for_each(|word| fake.say(word.clone()));
    drop(fake);
    server.wait_for_metric(FAILED, |failed| failed == words.len() as u64 + 1);
    let adopted = server.metric("chatd_adopted_total");
    assert!([2 * 3, 3 * 3].contains(&adopted), "{adopted}");
    assert_eq!(server.metric("chatd_handed_over_total"), adopted);
    assert_balanced(&server);
    witnesses.talk();
    server.upgrade();
    witnesses.finish();
    assert_balanced(&server);
}

#[test]
fn one_that_hangs_is_given_up() {
    let mut server = Server::start("--workers 2 --admin 127.0.0.1:0");
    let mut witnesses = Witnesses::of(&server);
    // Before it has the clients, nobody waits for it. The next has to.
    let idle = Fake::of(server.pid());
    idle.ask(hello());
    (0..10).for_each(|_| witnesses.talk());
    assert_eq!(server.metric(FAILED), 0);
    drop(idle);
    // It has them, and says nothing.
    let fake = Fake::of(server.pid());
    [hello(), json!("Sockets"), json!("HandOver")].into_iter().for_each(|word| fake.ask(word));
    assert_eq!(fake.hear(), b"", "the end");
    witnesses.talk();
    // It may go, and does not.
    let fake = Fake::of(server.pid());
    let words = [hello(), json!("HandOver"), json!({ "Ready": { "pid": 1 } })];
    words.into_iter().for_each(|word| fake.ask(word));
    assert_eq!(fake.hear(), b"", "the end");
    let late = fake.try_say(&json!("Taken"));
    assert_eq!(late.map_err(|error| error.kind()), Err(ErrorKind::BrokenPipe));
    server.wait_for_metric(FAILED, |failed| failed == 3);
    let _: String = server.logged("cause=\"the new process took too long\" stall_ms=");
    witnesses.talk();
    assert_balanced(&server);
    server.upgrade();
    witnesses.finish();
}

/// A process that ends with the test, if that fails before somebody else minds it.
pub(crate) struct Kept(Option<Child>);

impl Kept {
    /// It is minded by the caller.
    pub(crate) fn release(mut self) -> Child {
        self.0.take().expect("released once")
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Deref for Kept {
    type Target = Child;

    fn deref(&self) -> &Child {
        self.0.as_ref().expect("not released")
    }
}

impl DerefMut for Kept {
    fn deref_mut(&mut self) -> &mut Child {
        self.0.as_mut().expect("not released")
    }
}

/// The real one, with the test in between, up to the word to go, which is not passed on. Returned
/// are the ends towards the server and towards the new process, and that.
pub(crate) fn up_to_the_word_to_go(server: &Server, options: &[&str]) -> (OwnedFd, OwnedFd, Kept) {
    let old = Fake::of(server.pid());
    old.ask(hello());
    let (new, stdin) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .expect("two descriptors");
    let mut command = chatd();
    command.args(options).args(["--listen", "telnet://127.0.0.1:0"]);
    command.env("CHATD_HANDOVER", "1").stdin(stdin).stdout(Stdio::piped());
    let child = Kept(Some(command.spawn().expect("the binary was built")));
    for _ in ["Sockets", "HandOver"] {
        pass_on(&new, &old.0);
        while pass_on(&old.0, &new) {}
    }
    pass_on(&new, &old.0);
    assert_eq!(old.hear(), GO, "it may go");
    (old.0, new, child)
}

pub(crate) const GO: &[u8] = b"\x81\xa5Given\xc0";

#[test]
fn one_that_is_not_let_go_has_touched_nothing() {
    let options = ["--workers", "2", "--admin", "127.0.0.1:0"];
    let mut server = Server::spawn(chatd().args(options));
    let mut witnesses = Witnesses::of(&server);
    let (_old, new, child) = up_to_the_word_to_go(&server, &options);
    witnesses.plato.send("said meanwhile\n");
    // Its sockets are its own by now, and it waits.
    let newcomer = server.connect_unread();
    drop(new);
    let ended = wait(child.release(), PATIENCE);
    let report = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.status.code(), Some(71), "{report}");
    assert!(
        report.ends_with("the server has ended the conversation; its log says why"),
        "{report}"
    );
    let joined = format!("Client joined {}", newcomer.name);
    witnesses.plato.expect_line(&joined);
    // Whichever comes first.
    let mut lines = [witnesses.zeno.line(), witnesses.zeno.line()];
    lines.sort_unstable();
    assert_eq!(lines, [&joined[..], "[plato] said meanwhile"]);
    newcomer.reset();
    for client in [&mut witnesses.plato, &mut witnesses.zeno] {
        client.expect_line(joined.replace("joined", "left"));
    }
    assert_balanced(&server);
    server.upgrade();
    witnesses.talk();
    witnesses.late.expect_to("[plato] said meanwhile\r\n");
}

/// Passes a packet on, with the descriptors that come with it. Whether the message goes on.
pub(crate) fn pass_on(from: &OwnedFd, to: &OwnedFd) -> bool {
    let mut packet = vec![0; 1 << 17];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(253))];
    let mut taken = RecvAncillaryBuffer::new(&mut space);
    let parts = &mut [IoSliceMut::new(&mut packet)];
    let len = recvmsg(from, parts, &mut taken, RecvFlags::CMSG_CLOEXEC).expect("it speaks").bytes;
    assert_ne!(len, 0, "it has ended");
    let taken: Vec<OwnedFd> = taken
        .drain()
        .flat_map(|part| match part {
            RecvAncillaryMessage::ScmRights(part) => part.collect(),
            _ => Vec::new(),
        })
        .collect();
    let given: Vec<_> = taken.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(253))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !given.is_empty() {
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&given)));
    }
    let parts = [IoSlice::new(&packet[..len])];
    sendmsg(to, &parts, &mut ancillary, SendFlags::NOSIGNAL).expect("it is heard");
    packet[0] == 1
}

#[test]
fn one_that_talks_nonsense_is_not_listened_to() {
    let mut server = Server::start("--workers 2 --admin 127.0.0.1:0");
    let mut witnesses = Witnesses::of(&server);
    let ready = || json!({ "Ready": { "pid": 1 } });
    let talks = [
        vec![json!("Nonsense")],
        vec![json!({ "Hello": { "version": "one" } })],
        vec![json!("x".repeat(1_000))],
        vec![json!("Taken")],
        vec![ready()],
        vec![hello(), json!("HandOver"), json!("HandOver")],
        vec![hello(), json!("HandOver"), json!("Taken")],
        vec![hello(), json!("HandOver"), ready(), ready()],
    ];
    for (count, words) in (1..).zip(&talks) {
        let fake = Fake::of(server.pid());
        let (last, before) = words.split_last().expect("there are some");
        before.iter().for_each(|word| fake.ask(word.clone()));
        fake.say(last.clone());
        assert_eq!(fake.hear(), b"", "{words:?}");
        server.wait_for_metric(FAILED, |failed| failed == count);
        witnesses.talk();
    }
    let fake = Fake::of(server.pid());
    fake.say(json!({ "Hello": { "version": 1_000 } }));
    let answer = fake.hear();
    let reason = "it hands over in the way 1, this program takes over in the way 1000: restart it";
    assert!(String::from_utf8_lossy(&answer).contains(reason), "{}", answer.escape_ascii());
    assert_balanced(&server);
    server.upgrade();
    witnesses.finish();
}

/// The file of options is written anew for each process that is to fail.
#[test]
fn what_it_finds_wrong_is_told_to_both_sides() {
    let file = Place::new("upgrade.toml");
    const ADMIN: &str = "admin = \"127.0.0.1:0\"\n";
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = listener.local_addr().expect("it is bound");
    fs::write(&file.0, ADMIN).expect("a writable directory");
    let mut command = chatd();
    command.arg("--config").arg(&file.0);
    let mut server = Server::spawn(&mut command);
    let mut witnesses = Witnesses::of(&server);
    let pid = server.pid();
    for (text, code, told) in [
        ("wrokers = 2\n".to_owned(), 78, "unknown field `wrokers`"),
        ("motd = \"/nowhere\"\n".to_owned(), 78, "/nowhere"),
        ("user = \"no-such-user\"\n".to_owned(), 71, "there is no such user"),
        ("max-clients = 1\n".to_owned(), 71, "3 clients, and there is room for fewer"),
        ("transcript = \"/nowhere/at/all\"\n".to_owned(), 71, "the transcript /nowhere"),
        (format!("admin = \"{taken}\"\n"), 71, "is in use"),
    ] {
        let admin = if text.contains("admin") { "" } else { ADMIN };
        fs::write(&file.0, format!("{admin}{text}")).expect("a writable directory");
        let output = server.upgrade_by(&mut chatd());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{text}: {stderr}");
        assert!(stderr.contains(told), "{text}: {stderr}");
        assert!(stderr.ends_with(&format!("\nprocess {pid} goes on\n")), "{text}: {stderr}");
        assert_eq!(server.pid(), pid);
        witnesses.talk();
    }
    assert_eq!(server.metric(FAILED), 6);
    fs::write(&file.0, format!("{ADMIN}workers = 1\n")).expect("a writable directory");
    server.upgrade();
    witnesses.finish();
}

#[test]
fn a_listener_that_clients_are_on_has_to_be_there() {
    let file = Place::new("upgrade-listeners.toml");
    let write = |listen: &str| {
        fs::write(&file.0, format!("listen = [{listen}]\n")).expect("a writable directory");
    };
    let [telnet, rid] = [(); 2].map(|()| {
        // Nobody else asks for ports of this host.
        let free = TcpListener::bind("127.9.8.1:0").expect("a free port");
        free.local_addr().expect("it is bound")
    });
    let [telnet, rid] = [format!("\"telnet://{telnet}\""), format!("\"rid://{rid}\"")];
    write(&[&telnet[..], &rid].join(","));
    let mut command = chatd();
    command.args(["--admin", "127.0.0.1:0", "--config"]).arg(&file.0);
    let mut server = Server::spawn_as_it_is(&mut command);
    let mut program = server.connect_as("rid");
    let mut person = server.connect();
    write(&telnet);
    let output = server.upgrade_by(&mut chatd());
    let stderr = String::from_utf8_lossy(&output.stderr);
    let rid_place = rid.trim_matches('"');
    let told = format!("nothing like {rid_place} is listened at now, where 1 clients are");
    assert!(stderr.contains(&told), "{stderr}");
    program.send("?\n");
    program.expect("\nInvalid format message\n");
    program.end_sending();
    program.expect_end();
    server.upgrade();
    person.catch_up();
    // One that is new is there, and one that was there is again.
    write(&[&rid[..], &telnet].join(","));
    server.upgrade();
    person.catch_up();
    server.connect();
    let mut program = server.connect_as("rid");
    program.send("?\n");
    program.expect("\nInvalid format message\n");
}

/// One whose workers cannot be made: it has the clients by then.
#[test]
fn one_without_memory_leaves_the_clients() {
    let mut server = Server::start("--workers 2 --admin 127.0.0.1:0");
    let mut witnesses = Witnesses::of(&server);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 400000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_chatd")]);
    let output = server.upgrade_by(&mut command);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{stderr}");
    server.wait_for_metric(FAILED, |failed| failed == 1);
    witnesses.talk();
    assert_balanced(&server);
    server.upgrade();
    witnesses.finish();
}

#[test]
fn a_server_that_stops_is_not_upgraded() {
    let server = Server::start("--workers 2 --drain 60");
    let _: String = server.logged("INFO serving");
    let mut witness = server.connect();
    let fake = Fake::of(server.pid());
    fake.ask(hello());
    server.signal(Signal::TERM);
    assert_eq!(fake.hear(), b"", "the end");
    witness.expect_line("The server is stopping. Goodbye");
    witness.expect_end();
    assert_eq!(server.wait(PATIENCE).code, Some(0));
}

#[test]
fn only_a_server_of_ones_own_is_upgraded() {
    let refused = |command: &mut Command, pid: u32, told: &str| {
        let output = run(command.arg("upgrade").arg(pid.to_string()));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(71), "{stderr}");
        assert!(stderr.contains(told), "{stderr}");
    };
    // This process is one in another test.
    let other = std::os::unix::process::parent_id();
    refused(&mut chatd(), other, "is no chatd that runs here and can be upgraded");
    if !geteuid().is_root() {
        return eprintln!("SKIPPED: only root can become somebody else; run the tests as root");
    }
    let mut server = Server::start("");
    let _: String = server.logged("INFO serving");
    let pid = server.pid();
    let number = u32::try_from(pid.as_raw_pid()).expect("a process");
    refused(chatd().uid(65_534), number, "was started by user 0: upgrade it as that");
    // Nor is one heard who does not ask whose it is.
    let stranger = thread::spawn(move || {
        let nobody = rustix::process::Uid::from_raw(65_534);
        set_thread_res_uid(nobody, nobody, nobody).expect("root may");
        let fake = Fake::of(pid);
        let _ = fake.try_say(&hello());
        fake.hear()
    });
    assert_eq!(stranger.join().expect("it ends"), b"");
    let _: String = server.logged("WARN no upgrade by this user pid=");
    server.upgrade();
}

/// The test plays the old one. Whoever that is, it chooses no libraries for the new one.
#[test]
fn what_an_old_one_names_beside_its_service_manager_is_left_alone() {
    let own = std::process::id();
    let listener = seqpacket();
    set_socket_timeout(&listener, Timeout::Recv, Some(PATIENCE)).expect("an option");
    let name = SocketAddrUnix::new_abstract_name(format!("chatd-{own}").as_bytes());
    bind(&listener, &name.expect("a short name")).expect("nobody has it");
    listen(&listener, 1).expect("it is bound");
    let mut command = chatd();
    command.arg("upgrade").arg(own.to_string()).env("WATCHDOG_USEC", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let upgrade = command.spawn().expect("the binary was built");
    let old = Fake(accept(&listener).expect("it comes"));
    assert_eq!(old.hear(), rmp_serde::to_vec_named(&hello()).expect("it can be written"));
    let told = [
        ("LD_PRELOAD", "/nowhere.so"),
        ("NOTIFY_SOCKET", "@nobody"),
        ("PATH", "/nowhere"),
        ("CHATD_HANDOVER", "2"),
    ];
    old.say(json!({ "Given": {
        "arguments": ["--workers", "1"], "directory": "/", "environment": told, "descriptors": 0,
    }}));
    assert_eq!(old.hear(), b"\xa7Sockets");
    let new = child_of(upgrade.id());
    let mut expected: BTreeMap<String, String> = std::env::vars().collect();
    expected.retain(|key, _| !key.starts_with("WATCHDOG_"));
    expected.insert("NOTIFY_SOCKET".into(), "@nobody".into());
    expected.insert("CHATD_HANDOVER".into(), "1".into());
    assert_eq!(environment_of(new), expected);
    drop(old);
    assert_eq!(wait(upgrade, PATIENCE).status.code(), Some(71));
}

/// The process that this one has started.
fn child_of(parent: u32) -> Pid {
    let marker = format!("\nPPid:\t{parent}\n");
    let processes = fs::read_dir("/proc").expect("it is mounted");
    let mut processes =
        processes.filter_map(|process| process.ok()?.file_name().into_string().ok());
    let child = processes.find(|process| {
        let status = fs::read_to_string(format!("/proc/{process}/status"));
        status.is_ok_and(|status| status.contains(&marker))
    });
    child.and_then(|child| Pid::from_raw(child.parse().ok()?)).expect("it has one")
}

/// Whoever comes first has it.
#[test]
fn without_its_name_a_server_serves_all_the_same() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "read go; exec \"$0\" --listen 127.0.0.1:0", env!("CARGO_BIN_EXE_chatd")]);
    shell.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = shell.spawn().expect("a shell");
    let name = SocketAddrUnix::new_abstract_name(format!("chatd-{}", child.id()).as_bytes());
    let taken = seqpacket();
    bind(&taken, &name.expect("a short name")).expect("nobody has it");
    child.stdin.take().expect("it is piped").write_all(b"go\n").expect("it reads");
    let log = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut log = log.lines().map_while(Result::ok);
    let warned =
        "WARN this server cannot be upgraded while it runs cause=\"its name is not to be had";
    assert!(log.any(|line| line.contains(warned)));
    assert!(log.any(|line| line.ends_with("INFO serving")));
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it is there");
    assert_eq!(wait(child, PATIENCE).status.code(), Some(0));
}
