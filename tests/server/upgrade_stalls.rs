//! While everything stands still for an upgrade: signals that tell the server to stop, and workers
//! that do not come to rest.

use std::fs;
use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use rustix::net::{SendFlags, send};
use rustix::process::{Pid, Signal};
use serde_json::json;

use crate::harness::{Client, PATIENCE, Server, chatd};
use crate::upgrade_failures::{Fake, GO, Witnesses, hello, pass_on, up_to_the_word_to_go};

const STOPPING: &str = "The server is stopping. Goodbye";

/// A worker that does not run, as under a debugger (ptrace(2)), while the rest of the server does.
struct Held {
    /// Dropped to let it go.
    release: Option<Sender<()>>,
    tracer: Option<JoinHandle<()>>,
}

impl Held {
    /// `None` where that is not permitted; then it is told, aloud.
    fn worker_of(server: &Server) -> Option<Self> {
        let thread = worker_of(server);
        let (release, released) = channel::<()>();
        let (told, held) = channel();
        // Only the thread that holds it may let it go, and does so by its end.
        let tracer = thread::spawn(move || {
            told.send(hold(thread)).expect("it is waited for");
            let _ = released.recv();
        });
        let held = held.recv_timeout(PATIENCE).expect("it stops");
        match held {
            Ok(()) => Some(Self { release: Some(release), tracer: Some(tracer) }),
            Err(error) => {
                eprintln!("SKIPPED: a thread of a child cannot be held here: {error}");
                None
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release.take();
        let ended = self.tracer.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || thread::panicking());
    }
}

/// Stops the thread while it waits in its ring: it holds no lock then that others want.
fn hold(thread: nix::unistd::Pid) -> nix::Result<()> {
    /// As each architecture numbers io_uring_enter(2).
    const RING: &str = "426 ";
    ptrace::seize(thread, ptrace::Options::empty())?;
    loop {
        ptrace::interrupt(thread)?;
        waitpid(thread, Some(WaitPidFlag::__WALL))?;
        let call = fs::read_to_string(format!("/proc/{thread}/syscall"));
        if call.map_err(|_| Errno::ENOSYS)?.starts_with(RING) {
            return Ok(());
        }
        ptrace::cont(thread, None)?;
    }
}

/// The thread of a worker.
fn worker_of(server: &Server) -> nix::unistd::Pid {
    let threads = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs");
    let mut threads = threads.map(|thread| thread.expect("it runs").path());
    let is_worker = |thread: &std::path::PathBuf| {
        fs::read_to_string(thread.join("comm")).is_ok_and(|name| name == "worker-0\n")
    };
    let worker = threads.find(is_worker).expect("it has started");
    let number = worker.file_name().and_then(|name| name.to_str()?.parse().ok());
    nix::unistd::Pid::from_raw(number.expect("a number"))
}

fn descriptors(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count()
}

/// Asks for everything, and waits until the server has begun to bring it to rest: the admin
/// endpoint, which the server has to have, is heard no more.
#[track_caller]
fn begin_to_freeze(server: &Server) -> Fake {
    let fake = Fake::of(server.pid());
    fake.ask(hello());
    let before = descriptors(server.pid());
    fake.say(json!("HandOver"));
    let deadline = Instant::now() + PATIENCE;
    while descriptors(server.pid()) >= before {
        assert!(Instant::now() < deadline, "it does not begin");
        thread::yield_now();
    }
    fake
}

fn start(options: &str) -> (Server, Vec<Client>) {
    let server = Server::start(&format!("--workers 2 --admin 127.0.0.1:0 {options}"));
    let _: String = server.logged("INFO serving");
    let clients = (0..8).map(|_| server.connect()).collect();
    (server, clients)
}

#[track_caller]
fn expect_goodbye(clients: Vec<Client>) {
    for mut client in clients {
        client.expect_to(format!("{STOPPING}\r\n"));
        client.expect_end();
    }
}

#[test]
fn a_signal_is_obeyed_once_everything_rests() {
    let (server, clients) = start("");
    let Some(held) = Held::worker_of(&server) else { return };
    let fake = begin_to_freeze(&server);
    server.signal(Signal::TERM);
    drop(held);
    let answer = fake.hear();
    let reason = "it was told to stop";
    let refused = answer.is_empty() || String::from_utf8_lossy(&answer).contains(reason);
    assert!(refused, "{}", answer.escape_ascii());
    expect_goodbye(clients);
    let ended = server.wait(PATIENCE);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains(&format!("cause=\"{reason}\"")), "{}", ended.log);
}

#[test]
fn a_second_signal_waits_for_no_rest() {
    let (server, _clients) = start("--drain 60");
    let Some(held) = Held::worker_of(&server) else { return };
    let _fake = begin_to_freeze(&server);
    // Two of the same might be one.
    server.signal(Signal::TERM);
    server.signal(Signal::INT);
    let signal: i32 = server.logged("\nended at once by signal ");
    drop(held);
    assert!([Signal::TERM, Signal::INT].map(Signal::as_raw).contains(&signal), "{signal}");
    let ended = server.wait(PATIENCE);
    assert_eq!(ended.code, Some(128 + signal), "{}", ended.log);
}

/// It comes while the clients are with a new process, which fails, and is dealt with when they are
/// back.
#[test]
fn a_signal_meanwhile_is_not_lost() {
    let (server, clients) = start("");
    let fake = Fake::of(server.pid());
    [hello(), json!("Sockets"), json!("HandOver")].into_iter().for_each(|word| fake.ask(word));
    server.signal(Signal::TERM);
    drop(fake);
    expect_goodbye(clients);
    assert_eq!(server.wait(PATIENCE).code, Some(0));
}

/// It was told everything, and says nothing. Nobody waits for it. (One that has the sockets as well
/// keeps them open until it ends: then clients read the goodbye, and the end only with its own.)
#[test]
fn a_signal_does_not_wait_for_a_new_process_that_hangs() {
    let (server, clients) = start("");
    let fake = Fake::of(server.pid());
    [hello(), json!("HandOver")].into_iter().for_each(|word| fake.ask(word));
    server.signal(Signal::TERM);
    assert_eq!(fake.hear(), b"", "the end");
    expect_goodbye(clients);
    let ended = server.wait(PATIENCE);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains("cause=\"it was told to stop\""), "{}", ended.log);
}

/// From the word to go on the clients are the new one's. Who tells the old one to stop tells it
/// what it does anyway.
#[test]
fn a_signal_after_the_word_to_go_is_the_old_ones_alone() {
    let options = ["--workers", "2", "--admin", "127.0.0.1:0"];
    let mut server = Server::spawn(chatd().args(options));
    let witnesses = Witnesses::of(&server);
    let (old, new, mut child) = up_to_the_word_to_go(&server, &options);
    server.signal(Signal::TERM);
    send(&new, &[b"\0", GO].concat(), SendFlags::NOSIGNAL).expect("it hears");
    pass_on(&new, &old);
    let report = io::read_to_string(child.stdout.take().expect("it is piped"));
    let report = report.expect("it is text");
    assert!(report.starts_with("+clients: 3, "), "{report}");
    server.is_succeeded_by(Pid::from_child(&child.release()));
    let _: String = server.logged("INFO handed over pid=");
    witnesses.finish();
    assert_eq!(server.stop().code, Some(0));
}

/// What has not come to rest cannot be handed over, and who has cannot go on.
#[test]
fn a_worker_that_never_rests_ends_the_server() {
    let (server, clients) = start("--drain 0");
    let Some(held) = Held::worker_of(&server) else { return };
    let fake = begin_to_freeze(&server);
    assert_eq!(fake.hear(), b"", "the end");
    let _: String = server.logged("ERROR workers do not end workers=");
    drop(held);
    for mut client in clients {
        client.read_to_any_end();
    }
    let ended = server.wait(PATIENCE);
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    assert!(ended.log.ends_with("\nnot all workers come to rest\n"), "{}", ended.log);
}
