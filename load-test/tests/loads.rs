//! Loads of every shape against an honest server, through the program itself: each delivery is as
//! the plan says, whatever the rooms, rates, sizes and bursts.

mod faulty;

use faulty::Fault;
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

/// The report of a run that must have no fault. Others use the machine, so it may be void.
fn report(words: &str) -> Value {
    let addr = faulty::start(Fault::None);
    report_of(&format!("--target {addr} {words}"))
}

/// The same, of a server that is named in the options, or of a chatd.
fn report_of(words: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load-test"));
    command.args(["--json", "-"]).args(words.split_whitespace());
    let output = command.output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).expect(&told);
    let audit = &report["audit"];
    for fault in ["lost", "duplicated", "reordered", "corrupted", "foreign", "closed"] {
        assert_eq!(audit[fault], 0, "{words}: {audit}");
    }
    assert!([Some(0), Some(98)].contains(&output.status.code()), "{words}: {told}");
    report
}

fn measured(report: &Value) -> Vec<(&str, u64)> {
    let groups = report["groups"].as_array().expect("there are groups");
    let groups = groups.iter().map(|group| {
        let count = group["measured"].as_u64().expect("counted");
        (group["name"].as_str().expect("named"), count)
    });
    groups.collect()
}

#[test]
fn an_uneven_load_comes_as_planned_and_again_the_same() {
    let words = "--clients 40 --rooms 6 --room-skew zipf:1 --senders 12 --rate 40,80 --burst 4 \
        --size 80-200:90%,300:10% --warmup 500ms --duration 2s \
        --group name=pair,clients=2,senders=2,rate=20,jitter=true";
    let [first, second] = [report(words), report(words)];
    assert_eq!(first["audit"], second["audit"], "the same seed, the same load");
    assert_eq!(first["scenario"], second["scenario"]);
    let groups = measured(&first);
    assert_eq!(groups[1], ("pair", 40), "20 lines/s for 2 s, to the other one");
    // 120 lines, each to fewer than the 14 others of the largest room.
    assert!((120..120 * 14).contains(&groups[0].1), "{groups:?}");
}

#[test]
fn steps_and_bursts_send_what_they_say() {
    let report = report(
        "--clients 10 --senders 4 --rate 20,40 --burst 4 --warmup 0s --duration 1s --seed 3",
    );
    // Whole bursts: 8 of the 10 lines of the first half second, 20 of the other; nine hear each.
    assert_eq!(report["audit"]["delivered"], (8 + 20) * 9);
    assert_eq!(measured(&report), [("all", (8 + 20) * 9)]);
}

#[test]
fn who_only_listens_stays_for_the_whole_time() {
    let begun = Instant::now();
    let report = report("--clients 5 --senders 0 --warmup 0s --duration 1s");
    assert!(begun.elapsed() >= Duration::from_secs(1), "that they do is what takes the time");
    assert_eq!(report["clients"], 5);
    assert_eq!(report["audit"]["expected"], 0);
}

#[test]
fn a_named_load_is_told_as_what_it_stands_for() {
    let report = report("--preset quiet-pair --clients 20 --warmup 0s --duration 500ms");
    let told = report["scenario"].as_str().expect("a text").to_owned();
    assert!(told.starts_with("--name flood --clients 20 --rooms 0 --senders 1 "), "{told}");
    assert_eq!(measured(&report), [("flood", 5 * 19), ("pair", 25)]);
}

#[test]
fn what_a_chatd_shows_of_the_past_to_those_who_return_is_no_delivery() {
    let words =
        "--clients 40 --rooms 2 --senders 4 --rate 100 --churn 36 --warmup 0s --duration 2s";
    let report = report_of(words);
    assert!(report["churn"]["returned"].as_u64() > Some(0), "{}", report["churn"]);
    assert_eq!(report["audit"]["delivered"], report["audit"]["expected"], "{}", report["audit"]);
}
