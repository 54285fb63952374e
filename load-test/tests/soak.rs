//! `load-test soak` through the program itself: a chatd passes, and servers that keep something are
//! found.

mod leaky;

use leaky::Leak;
use serde_json::Value;
use std::process::{Command, Output};

/// Phases as small and short as they can be.
const SHORT: &str = "--clients 60 --phase 300ms --json -";

fn soak(arguments: &str) -> (Output, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load-test"));
    let output = command.arg("soak").args(arguments.split_whitespace()).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let found = serde_json::from_slice(&output.stdout).expect(&told);
    (output, found)
}

fn reasons(found: &Value) -> String {
    found["reasons"].to_string()
}

#[test]
fn a_chatd_comes_back_to_rest_after_every_cycle() {
    let page = tempfile("soak.html");
    let (output, found) = soak(&format!("{SHORT} --cycles 3 --html {}", page.display()));
    assert_eq!(output.status.code(), Some(0), "{}", reasons(&found));
    assert_eq!((&found["verdict"], &found["reasons"]), (&"pass".into(), &Value::Array(vec![])));
    let cycles = found["cycles"].as_array().expect("a list");
    assert_eq!(cycles.len(), 3);
    let kinds: Vec<_> = cycles[0]["phases"].as_array().expect("a list").iter().collect();
    assert_eq!(kinds.len(), 24, "each kind in each dialect");
    let nuisances = kinds.iter().filter_map(|phase| phase["nuisances"].as_u64());
    assert!(nuisances.clone().count() == 6 && nuisances.min() > Some(0), "{kinds:?}");
    for cycle in cycles {
        let rest = &cycle["rest"];
        assert_eq!(rest["accepted"], rest["closed"], "{cycle}");
        assert_eq!(rest["seen"]["sockets"], 0, "{cycle}");
        assert_eq!(rest["seen"]["descriptors"], found["start"]["seen"]["descriptors"], "{cycle}");
    }
    assert!(found["audit"]["delivered"].as_u64() > Some(1000), "{found}");
    let html = std::fs::read_to_string(&page).expect("it was written");
    std::fs::remove_file(&page).expect("it is there");
    assert!(html.contains("<svg") && html.contains("came back to rest"), "{html}");
    assert!(!html.contains("<script") && !html.contains("src="), "it needs nothing else");
}

#[test]
fn what_a_server_keeps_is_found() {
    let short = "--phases resets,quiet,churn --cycles 1 --rest 1s";
    let rows = [
        (Leak::Nothing, "pass", "--phases resets,quiet,churn --cycles 3", "[]"),
        (Leak::Connection, "fail", short, "not at rest: descriptors"),
        (Leak::Count, "fail", short, "not at rest: connections 1, not 0"),
        (Leak::Memory, "fail", "--phases quiet --cycles 3", "resident memory at rest grew"),
    ];
    for (leak, verdict, options, words) in rows {
        let server = leaky::start(leak);
        let (output, found) = soak(&format!(
            "{SHORT} {options} --target {} --admin-url {} --server-pid {}",
            server.addr,
            server.admin,
            server.pid()
        ));
        assert_eq!(found["verdict"], verdict, "{leak:?}: {}", reasons(&found));
        assert!(reasons(&found).contains(words), "{leak:?}: {}", reasons(&found));
        assert_eq!(output.status.code(), Some(i32::from(verdict == "fail")), "{leak:?}");
    }
}

#[test]
fn a_signal_ends_it_with_a_report() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;
    let mut command = Command::new(env!("CARGO_BIN_EXE_load-test"));
    command.args("soak --clients 60 --phase 300ms --duration 1h --json -".split(' '));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("built");
    let mut told = BufReader::new(child.stderr.take().expect("asked for"));
    let mut first = String::new();
    told.read_line(&mut first).expect("it tells what it does");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is ours");
    let mut report = String::new();
    child.stdout.take().expect("asked for").read_to_string(&mut report).expect("text");
    let status = child.wait().expect("it is ours");
    let found: Value = serde_json::from_str(&report).expect(&first);
    assert_eq!(found["interrupted"], true);
    assert_eq!(found["cycles"].as_array().map(Vec::len), Some(1), "what was done until then");
    assert_eq!((&found["verdict"], status.code()), (&"void".into(), Some(98)), "too few to tell");
}

#[test]
fn what_cannot_be_done_is_refused() {
    let rows = [
        ("--duration 169h", "a week"),
        ("--rest 2h", "an hour"),
        ("--duration 5s --phase 6s", "--phase"),
        ("--phases nothing", "crowds"),
        ("--clients 5", "60"),
        ("--target 127.0.0.1:1", "--admin-url"),
        ("--server /nowhere/chatd", "no such file"),
    ];
    for (options, words) in rows {
        let mut command = Command::new(env!("CARGO_BIN_EXE_load-test"));
        let output = command.arg("soak").args(options.split(' ')).output().expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options}: {told}");
        assert!(told.contains(words), "{options}: {told}");
    }
}

fn tempfile(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("{}-{name}", std::process::id()))
}

/// Not a test: this program, started again by one, is the server that leaks.
#[test]
fn serve_if_told_to() {
    leaky::serve_if_told_to();
}
