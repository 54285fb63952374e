//! What the process gives up after its start, as the kernel tells it, thread by thread.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::slice;
use std::thread;

use rustix::process::geteuid;
use seccompiler::{BpfProgram, TargetArch};
use serde_json::json;

use crate::harness::{Server, chatd, has_program, run};

/// What /proc/PID/task/*/status tells under `key`, for each thread.
fn told(server: &Server, key: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid().as_raw_pid())).expect("it runs");
    let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).ok();
    let value = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix(key).map(str::to_owned));
        line.expect("the kernel tells it").trim_start_matches(':').trim().to_owned()
    };
    tasks.filter_map(Result::ok).filter_map(status).map(value).collect()
}

/// The last part is done when the server serves.
fn serving(options: &str) -> Server {
    let server = Server::start(options);
    let _: String = server.logged("INFO serving");
    server
}

#[test]
fn every_thread_is_confined() {
    let server = serving("--workers 2 --admin 127.0.0.1:0");
    for (key, expected) in [
        ("Seccomp", "2"),
        ("NoNewPrivs", "1"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapInh", "0000000000000000"),
    ] {
        let values = told(&server, key);
        assert!(values.len() >= 4, "control, log and two workers: {values:?}");
        assert!(values.iter().all(|value| value == expected), "{key}: {values:?}");
    }
    for part in ["privileges", "files", "ring", "calls"] {
        let _: String = server.logged(&format!("INFO confined part=\"{part}\""));
    }
}

#[test]
fn a_part_that_is_left_out_is_told() {
    for part in ["privileges", "files", "ring", "calls"] {
        let server = serving(&format!("--unconfined {part}"));
        let _: String = server.logged(&format!("WARN not confined, as asked for part=\"{part}\""));
        let filtered = told(&server, "Seccomp").iter().all(|mode| mode == "2");
        assert_eq!(filtered, part != "calls");
    }
    let server = serving("--unconfined all");
    assert!(told(&server, "NoNewPrivs").iter().all(|value| value == "0"));
}

#[test]
fn root_becomes_whom_the_operator_named() {
    if !geteuid().is_root() {
        return eprintln!("SKIPPED: only root can become somebody else; run the tests as root");
    }
    let server = serving("--user nobody");
    let process =
        fs::metadata(format!("/proc/{}/task", server.pid().as_raw_pid())).expect("it runs");
    assert_ne!(process.uid(), 0);
    let uids = told(&server, "Uid");
    assert!(uids.iter().all(|uids| uids.split('\t').all(|uid| uid != "0")), "{uids:?}");
    assert!(told(&server, "Groups").iter().all(|groups| !groups.split(' ').any(|id| id == "0")));
    server.connect();
}

#[test]
fn a_user_who_is_not_there_is_named() {
    let ended = run(chatd().args(["--listen", "127.0.0.1:0", "--user", "no-such-user"]));
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(71), "{stderr}");
    assert_eq!(stderr, "becoming the user no-such-user: there is no such user\n");
}

#[test]
fn it_runs_within_the_profile_for_containers() {
    let profile: serde_json::Value =
        serde_json::from_str(include_str!("../../dist/seccomp.json")).expect("it is JSON");
    let groups = profile["syscalls"].as_array().expect("groups of calls");
    let names = groups.iter().flat_map(|group| group["names"].as_array().expect("names"));
    // What another machine's calls are called is unknown here.
    let here: Vec<_> =
        names.filter(|name| filter(slice::from_ref(name)).is_ok()).cloned().collect();
    for needed in ["io_uring_setup", "io_uring_enter", "io_uring_register"] {
        assert!(here.iter().any(|name| name == needed), "{needed}");
    }
    let filter = filter(&here).expect("they make a filter");
    // A child takes over the filter of the thread that starts it; the thread then ends.
    let server = thread::spawn(move || {
        seccompiler::apply_filter(&filter).expect("this kernel has filters");
        let mut server = serving("--workers 2 --admin 127.0.0.1:0");
        server.upgrade();
        server
    });
    let server = server.join().expect("it serves");
    server.connect();
}

/// A filter that allows these calls, for this machine.
fn filter(calls: &[serde_json::Value]) -> Result<BpfProgram, seccompiler::Error> {
    let rules: Vec<_> = calls.iter().map(|call| json!({ "syscall": call })).collect();
    let thread = json!({
        "mismatch_action": { "errno": 1 },
        "match_action": "allow",
        "filter": rules,
    });
    let arch = TargetArch::try_from(std::env::consts::ARCH).expect("a known machine");
    let mut made =
        seccompiler::compile_from_json(json!({ "it": thread }).to_string().as_bytes(), arch)?;
    Ok(made.remove("it").expect("it was asked for"))
}

#[test]
fn the_unit_for_systemd_leaves_little() {
    if !has_program("systemd-analyze", "systemd") {
        return;
    }
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/dist/chatd.service");
    let mut command = Command::new("systemd-analyze");
    let analysed = run(command.args(["security", "--offline=yes", "--threshold=15", unit]));
    let told = String::from_utf8_lossy(&analysed.stdout);
    assert!(analysed.status.success(), "an exposure above 1.5: {told}");
    assert!(!String::from_utf8_lossy(&analysed.stderr).contains("ignoring"), "{analysed:?}");
}
