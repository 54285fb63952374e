//! Every protocol against the real thing: chatd in its three dialects, and the servers of others
//! that are installed. A small load on each must pass the audit, and nothing must be left behind.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take that should be there at once.
const DEADLINE: Duration = Duration::from_secs(30);
/// A run that is void is no fault of what is tested: machines on which tests run are busy.
const VOID: i32 = 98;

fn peers(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load-test"));
    command.arg("peers").args(arguments.split_whitespace());
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("the program was built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// 20 clients, 5 of them senders, 40 lines/s for a second, on chatd and on `peer`. False if that is
/// not installed.
fn measure(peer: &str, rooms: u32) -> bool {
    let load = "--rounds 1 --clients 20 --senders 5 --rate 40 --warmup 0s --duration 1s --json -";
    let output = run(&mut peers(&format!("{peer} {load} --rooms {rooms}")));
    let said = text(&output.stderr);
    let found: Value = serde_json::from_slice(&output.stdout).expect(&said);
    if let Some(absent) = found["absent"].get(0) {
        let (name, package) = (&absent["peer"], absent["package"].as_str().expect("a word"));
        eprintln!("SKIPPED: there is no {name} here. To run this: apt-get install {package}");
        return false;
    }
    for row in found["peers"].as_array().expect("a list") {
        assert!(row["failures"].as_array().is_some_and(Vec::is_empty), "{row:#}");
        let audit = &row["runs"][0]["audit"];
        assert_eq!(audit["delivered"], audit["expected"], "{audit:#}");
        assert!(audit["expected"].as_u64() >= Some(40 * 5), "{audit:#}");
        for fault in ["lost", "duplicated", "reordered", "corrupted", "foreign", "closed"] {
            assert_eq!(audit[fault], 0, "{audit:#}");
        }
        assert!(row["median"]["p50_us"].as_f64() > Some(0.0), "{:#}", row["median"]);
        assert!(row["ratio"]["p50_us"].as_f64() > Some(0.0), "{:#}", row["ratio"]);
    }
    let code = output.status.code();
    assert!(code == Some(0) || code == Some(VOID), "{code:?}\n{said}");
    true
}

#[test]
fn chatd_in_its_dialects() {
    assert!(measure("rid p2p", 3));
}

/// What was said while they were away is told to them, and is no delivery.
#[test]
fn those_who_return_to_chatd() {
    let load = "--clients 40 --rooms 2 --senders 10 --rate 40 --churn 20 --warmup 0s --duration 2s";
    let mut command = Command::new(env!("CARGO_BIN_EXE_load-test"));
    let output = run(command.args(["--json", "-"]).args(load.split_whitespace()));
    let said = text(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).expect(&said);
    assert!(report["churn"]["returned"].as_u64() > Some(0), "{:#}", report["churn"]);
    let code = output.status.code();
    assert!(code == Some(0) || code == Some(VOID), "{code:?} {:#}\n{said}", report["audit"]);
}

#[test]
fn the_floor() {
    assert!(measure("floor", 1));
}

#[test]
fn ngircd() {
    measure("ngircd", 3);
}

#[test]
fn inspircd() {
    measure("inspircd", 3);
}

#[test]
fn nats() {
    measure("nats", 3);
}

#[test]
fn redis() {
    measure("redis", 3);
}

#[test]
fn mosquitto() {
    measure("mosquitto", 3);
}

/// A program named `redis-server` that is none, in a folder of its own.
struct Impostor(PathBuf);

impl Impostor {
    fn new(script: &str) -> Self {
        let name = format!("load-test-impostor-{}-{:?}", std::process::id(), Instant::now());
        let folder = std::env::temp_dir().join(name.replace(|c: char| !c.is_alphanumeric(), "-"));
        std::fs::create_dir(&folder).expect("a writable directory");
        let program = folder.join("redis-server");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("it is ours");
        for path in [&folder, &program] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("it is ours");
        }
        Self(folder)
    }

    fn path(&self) -> String {
        format!("{}:{}", self.0.display(), std::env::var("PATH").unwrap_or_default())
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("it is ours");
    }
}

#[test]
fn one_that_does_not_start_is_told_and_the_others_are_measured() {
    let impostor = Impostor::new("[ \"$1\" = --version ] || { echo no memory; exit 1; }");
    let load = "redis --rounds 1 --clients 4 --senders 1 --warmup 0s --duration 200ms";
    let output = run(peers(load).env("PATH", impostor.path()));
    let (table, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{table}{said}");
    assert!(table.contains("redis-server left before it listened: no memory"), "{table}");
    assert!(
        table.lines().any(|line| line.starts_with("chatd ") && line.contains(" us")),
        "{table}"
    );
    assert!(table.lines().any(|line| line.starts_with("Redis ") && line.ends_with("not measured")));
}

#[test]
fn what_a_protocol_cannot_do_is_refused_before_anything_starts() {
    let impostor = Impostor::new("exit 1");
    let output = run(peers("redis --size 2000").env("PATH", impostor.path()));
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let mut irc = Command::new(env!("CARGO_BIN_EXE_load-test"));
    irc.args(["--protocol", "irc", "--target", "127.0.0.1:1", "--size", "351"]);
    let output = run(&mut irc);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("irc takes at most 350 bytes"));
    let mut nats = Command::new(env!("CARGO_BIN_EXE_load-test"));
    let output = run(nats.args(["--protocol", "nats"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--target"), "{}", text(&output.stderr));
}

#[test]
fn a_signal_stops_the_servers_too() {
    let impostor = Impostor::new("[ \"$1\" = --version ] || exec sleep 3600");
    let mut command =
        peers("redis --rounds 1 --clients 2 --senders 1 --warmup 0s --duration 100ms");
    command.env("PATH", impostor.path()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut load_test = command.spawn().expect("it was built");
    let mut lines = BufReader::new(load_test.stderr.take().expect("it was asked for")).lines();
    let reached = lines.any(|line| line.is_ok_and(|line| line.ends_with(": Redis")));
    assert!(reached, "it takes its turn after chatd");
    let server = await_some(|| children(&load_test).find(|pid| is_sleep(*pid)));
    kill_process(Pid::from_child(&load_test), Signal::TERM).expect("it runs");
    let status = load_test.wait().expect("it was started");
    assert_eq!(status.code(), Some(128 + Signal::TERM.as_raw()));
    await_some(|| (!is_sleep(server)).then_some(()));
}

fn await_some<T>(look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "not seen within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Its child processes.
fn children(parent: &Child) -> impl Iterator<Item = u32> {
    let path = format!("/proc/{0}/task", parent.id());
    let threads = std::fs::read_dir(path).into_iter().flatten().flatten();
    let lists = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")));
    let lists: Vec<_> = lists.map(Result::unwrap_or_default).collect();
    let pids = lists.iter().flat_map(|list| list.split_whitespace());
    pids.filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>().into_iter()
}

/// Whether the process has become the one that the script is to become.
fn is_sleep(pid: u32) -> bool {
    let words = std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline"));
    words.is_ok_and(|words| words.starts_with(b"sleep"))
}
