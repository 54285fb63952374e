//! Clients shared by several processes: what they found together is what one would have found.

mod faulty;

use faulty::{FAULTS, Fault, start};
use load_test::Report;
use load_test::report::FaultRow;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROCESSES: usize = 3;
/// How long processes may take to start or to go.
const PATIENCE: Duration = Duration::from_secs(30);

/// 40 clients, 4 of them senders, 200 lines/s after a warm-up of a tenth of a second.
fn load_test(fault: Fault, duration: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load-test"));
    command.args(["--target", &start(fault).to_string(), "--processes", &PROCESSES.to_string()]);
    command.args("--clients 40 --senders 4 --rate 200 --warmup 100ms --json -".split(' '));
    command.args(["--duration", duration]);
    command
}

fn report(fault: Fault) -> Report {
    let Output { stdout, stderr, .. } = load_test(fault, "1s").output().expect("it starts");
    let told = String::from_utf8_lossy(&stderr);
    serde_json::from_slice(&stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
}

#[test]
fn all_that_they_found_is_added_up() {
    let report = report(Fault::None);
    assert!(!report.audit.any_fault(), "{report}");
    assert_eq!(report.clients, 40);
    assert_eq!((report.audit.delivered, report.measured), (220 * 39, 200 * 39));
    assert_eq!(report.latency_us.count, 200 * 39);
    assert_eq!(report.connect_us.count, 40);
    assert_eq!(report.schedule_lag_us.count, 200, "each line is sent by one of them");
    let in_seconds: u64 = report.timeline.iter().map(|second| second.deliveries).sum();
    assert_eq!(in_seconds, 200 * 39);
    assert!(report.timeline.iter().all(|second| second.clients == 40), "{:?}", report.timeline);

    let lines = &report.broadcast_us;
    assert_eq!((lines.first.count, lines.last.count, lines.spread.count), (200, 200, 200));
    assert_eq!(lines.median.count, 200, "{report}");
    assert!(lines.first.p50 <= lines.median.p50 && lines.median.p50 <= lines.last.p50, "{report}");
    assert!(lines.first.max <= lines.last.max && lines.spread.max <= lines.last.max, "{report}");
    assert_eq!(lines.last.max, report.latency_us.max, "the last of all is the last of its line");

    let of_process = |number: usize| format!("receive-0 of process {number}");
    let names: Vec<_> = report.generator.threads.iter().map(|thread| &thread.name).collect();
    assert!((1..=PROCESSES).all(|number| names.contains(&&of_process(number))), "{names:?}");
    let names = names.iter().map(|name| name.as_str());
    let jitter: Vec<_> = names.filter(|name| name.starts_with("jitter")).collect();
    assert_eq!(jitter, ["jitter of process 1"], "one is enough");
    assert!(report.generator.jitter_us.count > 0, "{report}");
}

#[test]
fn a_fault_is_found_wherever_sender_and_receiver_are() {
    let report = report(Fault::Drop);
    assert_eq!(report.audit.lost, FAULTS as u64, "{report}");
    assert_eq!(report.audit.delivered + report.audit.lost, 220 * 39, "{report}");
    assert_eq!(report.faults.iter().map(|row| row.lost).sum::<u64>(), FAULTS as u64, "{report}");
    let shared = |row: &FaultRow| {
        let process = |client: u64| client % PROCESSES as u64;
        row.sender.is_some_and(|sender| process(sender.into()) != process(row.receiver))
    };
    assert!(
        report.faults.iter().any(shared),
        "client numbers are those of the whole run: {report}"
    );
}

#[test]
fn they_go_when_the_one_that_started_them_is_killed() {
    let mut command = load_test(Fault::None, "300s");
    let mut parent =
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let children = children(&parent);
    // Signal 9: it has no chance to do anything about them.
    parent.kill().expect("it runs");
    parent.wait().expect("it was killed");
    await_that("they are gone", || !children.iter().any(|child| child.exists()));
}

/// Their folders in /proc, when all are there.
fn children(parent: &Child) -> Vec<PathBuf> {
    let path = format!("/proc/{0}/task/{0}/children", parent.id());
    let mut children = Vec::new();
    await_that("there are as many as asked for", || {
        let ids = std::fs::read_to_string(&path).expect("the kernel tells (CONFIG_PROC_CHILDREN)");
        children = ids.split_whitespace().map(|id| PathBuf::from("/proc").join(id)).collect();
        children.len() == PROCESSES
    });
    children
}

fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not in {PATIENCE:?}: {what}");
        std::thread::yield_now();
    }
}
