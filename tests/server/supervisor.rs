//! What a service manager is told, through a socket that the tests listen on.

use std::collections::BTreeMap;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::Instant;

use rustix::process::Pid;

use crate::harness::{PATIENCE, Server, chatd, run};

/// Listens under an abstract name, and returns it as the environment has it.
fn manager() -> (UnixDatagram, String) {
    let name = format!("chatd-test-{}-{:?}", std::process::id(), std::thread::current().id());
    let addr = SocketAddr::from_abstract_name(&name).expect("a short name");
    let socket = UnixDatagram::bind_addr(&addr).expect("nobody has it");
    socket.set_read_timeout(Some(PATIENCE)).expect("an option");
    (socket, format!("@{name}"))
}

fn told(manager: &UnixDatagram) -> String {
    let mut text = [0; 64];
    let len = manager.recv(&mut text).expect("it is told in time");
    String::from_utf8_lossy(&text[..len]).into_owned()
}

#[test]
fn the_service_manager_is_told_how_it_is() {
    let (manager, name) = manager();
    let mut command = chatd();
    command.args(["--workers", "2"]).env("NOTIFY_SOCKET", name).env("WATCHDOG_USEC", "100000");
    let server = Server::spawn(&mut command);
    assert_eq!(told(&manager), "READY=1");
    for _ in 0..3 {
        assert_eq!(told(&manager), "WATCHDOG=1");
    }
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let mut last = told(&manager);
    while last == "WATCHDOG=1" {
        last = told(&manager);
    }
    assert_eq!(last, "STOPPING=1");
}

#[test]
fn a_watchdog_for_another_process_is_left_alone() {
    let (manager, name) = manager();
    let mut command = chatd();
    command.env("NOTIFY_SOCKET", name).env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
    let server = Server::spawn(&mut command);
    assert_eq!(told(&manager), "READY=1");
    server.stop();
    assert_eq!(told(&manager), "STOPPING=1");
}

#[test]
fn a_service_manager_who_is_not_there_is_named() {
    let ended = run(chatd().args(["--listen", "127.0.0.1:0"]).env("NOTIFY_SOCKET", "/nowhere"));
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(71), "{stderr}");
    assert_eq!(stderr, "NOTIFY_SOCKET /nowhere: No such file or directory (os error 2)\n");
}

/// The old process says who the server is now, the new one that it is ready: whichever comes first.
#[test]
fn after_an_upgrade_the_new_process_is_the_server() {
    let (manager, name) = manager();
    let mut command = chatd();
    command.env("NOTIFY_SOCKET", name).env("WATCHDOG_USEC", "100000");
    let mut server = Server::spawn(&mut command);
    assert_eq!(told(&manager), "READY=1");
    let pids = [(); 2].map(|()| {
        server.upgrade();
        let mut news = [told_but_alive(&manager), told_but_alive(&manager)];
        news.sort_unstable();
        let pid = server.pid().as_raw_pid();
        assert_eq!(news, [format!("MAINPID={pid}\nWATCHDOG=1"), "READY=1".to_owned()]);
        pid
    });
    assert_ne!(pids[0], pids[1]);
    // The watchdog goes on, though the environment of the first named no process.
    while told(&manager) != "WATCHDOG=1" {}
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(told_but_alive(&manager), "STOPPING=1");
}

/// What the old process was told counts, not what the one was told who upgrades it: that process
/// may have a service manager of its own.
#[test]
fn a_new_process_has_the_service_manager_of_the_old_one() {
    let (_manager, name) = manager();
    let all = format!("export NOTIFY_SOCKET='{name}' WATCHDOG_USEC=60000000");
    for (script, expected) in [
        ("unset NOTIFY_SOCKET WATCHDOG_USEC".to_owned(), [None, None]),
        (all.clone(), [Some(&*name), Some("60000000")]),
        (format!("{all} WATCHDOG_PID=$$"), [Some(&*name), Some("60000000")]),
        (format!("{all} WATCHDOG_PID=1"), [Some(&*name), None]),
    ] {
        let mut command = Command::new("sh");
        let script = format!("{script}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_chatd")]);
        command.env_remove("WATCHDOG_PID").env("OLD", "1");
        let mut server = Server::spawn(&mut command);
        let mut upgrade = chatd();
        upgrade.env("NOTIFY_SOCKET", "/nowhere").env("WATCHDOG_USEC", "1").env("NEW", "1");
        upgrade.env("WATCHDOG_PID", server.pid().to_string());
        let output = server.upgrade_by(&mut upgrade);
        assert!(output.status.success(), "{script}: {output:?}");
        let environment = environment_of(server.pid());
        let value = |key| environment.get(key).map(String::as_str);
        let supervision = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"].map(value);
        assert_eq!(supervision, [expected[0], expected[1], None], "{script}");
        assert_eq!([value("OLD"), value("NEW")], [None, Some("1")], "{script}");
    }
}

/// What a process was started with.
pub(crate) fn environment_of(pid: Pid) -> BTreeMap<String, String> {
    let text = fs::read_to_string(format!("/proc/{pid}/environ")).expect("it runs");
    let entries = text.split_terminator('\0').filter_map(|entry| entry.split_once('='));
    entries.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// What else it is told than that all are alive.
#[track_caller]
fn told_but_alive(manager: &UnixDatagram) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let news = told(manager);
        if news != "WATCHDOG=1" {
            return news;
        }
        assert!(Instant::now() < deadline, "nothing else is told");
    }
}
