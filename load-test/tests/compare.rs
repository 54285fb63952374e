//! `load-test compare` on runs of which it is known how they differ.

mod sample;

use load_test::Report;
use load_test::Verdict;
use sample::Recipe;
use std::path::PathBuf;
use std::process::Command;

/// The exit code and what was printed.
fn compare(name: &str, first: &Report, second: &Report, options: &[&str]) -> (i32, String) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("compare-{name}"));
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    for (file, report) in [("a.json", first), ("b.json", second)] {
        let json = serde_json::to_vec(report).expect("JSON");
        std::fs::write(folder.join(file), json).expect("written");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_load-test"));
    command.args(["compare", "a.json", "b.json"]).args(options).current_dir(&folder);
    let output = command.output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    (output.status.code().expect("no signal"), text + &String::from_utf8_lossy(&output.stderr))
}

fn usual(seed: u64) -> Report {
    sample::report(&Recipe { seed, ..Recipe::default() })
}

const GATE: [&str; 2] = ["--fail-if-worse", "5%"];

#[test]
fn equals_are_not_worse_and_are_shown_side_by_side() {
    let (code, text) = compare("equal", &usual(1), &usual(2), &GATE);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("B is not worse by more than +5.0 %") && !text.contains("warning"));
    for row in ["latency p50", "latency p99.9", "last receiver p99", "server CPU a delivery"] {
        assert!(text.contains(row), "{text}");
    }
}

#[test]
fn what_is_slower_or_dearer_fails_the_gate_and_is_named() {
    let rows = [
        ("latency", Recipe { seed: 2, latency_us: 3900.0, ..Recipe::default() }, "latency p50"),
        ("cpu", Recipe { seed: 2, cpu_us_per_delivery: 6.0, ..Recipe::default() }, "server CPU"),
    ];
    for (name, recipe, named) in rows {
        let worse = sample::report(&recipe);
        let (code, text) = compare(name, &usual(1), &worse, &GATE);
        assert_eq!(code, 1, "{text}");
        let last = text.lines().last().expect("a conclusion");
        assert!(last.contains("WORSE") && last.contains(named), "{text}");
        assert_eq!(compare(name, &worse, &usual(1), &GATE).0, 0, "better is not worse");
        let wide = ["--fail-if-worse", "40%"];
        assert_eq!(compare(name, &usual(1), &worse, &wide).0, 0, "not by that much");
        assert_eq!(compare(name, &usual(1), &worse, &[]).0, 0, "nothing was asked to be judged");
    }
}

#[test]
fn memory_is_compared_as_it_is() {
    let mut larger = usual(2);
    larger.server.as_mut().expect("it has one").rss_bytes = 14_000_000;
    let (code, text) = compare("memory", &usual(1), &larger, &GATE);
    assert_eq!(code, 1, "{text}");
    assert!(text.lines().last().is_some_and(|last| last.contains("resident")), "{text}");
}

#[test]
fn one_slow_second_is_chance() {
    let stalled = sample::report(&Recipe { seed: 2, stall_at: Some(9), ..Recipe::default() });
    let (code, text) = compare("stall", &usual(1), &stalled, &GATE);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("latency p99.9"), "it is shown: {text}");
}

#[test]
fn what_cannot_be_told_is_said() {
    let short = |seed| sample::report(&Recipe { seed, seconds: 5, ..Recipe::default() });
    let (code, text) = compare("short", &short(1), &short(2), &GATE);
    assert_eq!(code, 98, "{text}");
    assert!(text.contains("too few seconds") && text.contains("CANNOT BE TOLD"), "{text}");

    let mut void = usual(2);
    void.verdict = Verdict::Void;
    let (code, text) = compare("void", &usual(1), &void, &GATE);
    assert_eq!(code, 98, "{text}");
    assert!(text.contains("warning: B is void"), "{text}");
}

#[test]
fn new_faults_are_worse_whatever_the_latency() {
    let mut faulty = usual(2);
    (faulty.verdict, faulty.audit.lost) = (Verdict::Fail, 3);
    let (code, text) = compare("faulty", &usual(1), &faulty, &GATE);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("B has faults: 3 lost") && text.contains("WORSE"), "{text}");
}

#[test]
fn other_scenarios_are_a_warning_and_other_schemas_are_refused() {
    let mut other = usual(2);
    other.scenario = "--clients 9".into();
    let (code, text) = compare("other", &usual(1), &other, &GATE);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("warning: the scenarios differ") && text.contains("--clients 9"));

    other.schema = "load-test/9".into();
    let (code, text) = compare("schema", &usual(1), &other, &GATE);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("b.json has the schema \"load-test/9\""), "{text}");

    let empty = sample::report(&Recipe { seconds: 0, ..Recipe::default() });
    let (code, text) = compare("empty", &usual(1), &empty, &GATE);
    assert!(code == 2 && text.contains("b.json has no deliveries"), "{text}");
    let (code, text) = compare("percent", &usual(1), &usual(2), &["--fail-if-worse", "much"]);
    assert!(code == 2 && text.contains("as in 5%"), "{text}");
}
