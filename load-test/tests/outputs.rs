//! `load-test report`: a saved run becomes files that other tools read.

mod sample;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use load_test::Report;
use sample::Recipe;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An empty folder for a test.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("outputs-{name}"));
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("it is ours");
    }
    std::fs::create_dir_all(&folder).expect("created");
    folder
}

fn save(folder: &Path, report: &Report) -> PathBuf {
    let path = folder.join("run.json");
    std::fs::write(&path, serde_json::to_vec(report).expect("JSON")).expect("written");
    path
}

fn load_test(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load-test"));
    command.args(arguments).current_dir(folder).output().expect("it runs")
}

fn refusal(text: &str) -> String {
    let folder = folder("refusal");
    std::fs::write(folder.join("run.json"), text).expect("written");
    let output = load_test(&["report", "run.json"], &folder);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(!folder.join("run.html").exists());
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn the_page_stands_beside_the_report_or_where_it_is_told() {
    let folder = folder("page");
    let report = sample::report(&Recipe { seconds: 3, ..Recipe::default() });
    save(&folder, &report);
    for (arguments, file) in
        [(&["report", "run.json"][..], "run.html"), (&["report", "run.json", "-o", "a"], "a")]
    {
        let output = load_test(arguments, &folder);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let page = std::fs::read_to_string(folder.join(file)).expect("written");
        assert_eq!(page, load_test::html::page(&report), "JSON loses nothing the page shows");
    }
}

#[test]
fn tables_have_the_layout_of_the_plotters() {
    let folder = folder("hgrm");
    let report = sample::report(&Recipe { seconds: 5, ..Recipe::default() });
    save(&folder, &report);
    let output = load_test(&["report", "run.json", "--hgrm", "tables"], &folder);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!folder.join("run.html").exists(), "nobody asked for it");
    let files = std::fs::read_dir(folder.join("tables")).expect("made").count();
    assert_eq!(files, 8, "all but that of joins, of which there are none");
    let text = std::fs::read_to_string(folder.join("tables/latency.hgrm")).expect("there");
    let rows: Vec<Vec<f64>> = text
        .lines()
        .skip(2)
        .take_while(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().map(|cell| cell.parse().expect("a number")).collect())
        .collect();
    assert!(rows.len() > 20 && rows.is_sorted_by(|a, b| a[..3] <= b[..3]));
    assert!(rows[..rows.len() - 1].iter().all(|row| row.len() == 4));
    let last = &rows[rows.len() - 1];
    assert_eq!((last[1], last[2]), (1.0, report.measured as f64), "the last row has no inverse");
    let max_ms = report.latency_us.max / 1e3;
    assert!((last[0] - max_ms).abs() < 0.001, "{} for {max_ms}", last[0]);
    let median = rows.iter().find(|row| row[1] >= 0.5).expect("a row");
    assert!((median[0] * 1e3 / report.latency_us.p50 - 1.0).abs() < 0.002);
}

#[test]
fn the_interval_log_has_every_second_and_the_whole() {
    let folder = folder("hlog");
    let report = sample::report(&Recipe { seconds: 5, ..Recipe::default() });
    save(&folder, &report);
    let output = load_test(&["report", "run.json", "--hlog", "run.hlog"], &folder);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let log = std::fs::read(folder.join("run.hlog")).expect("written");
    let (mut starts, mut tags, mut total) = (Vec::new(), Vec::new(), 0);
    for entry in IntervalLogIterator::new(&log) {
        match entry.expect("a line of the format") {
            LogEntry::StartTime(since_epoch) | LogEntry::BaseTime(since_epoch) => {
                assert_eq!(since_epoch.as_secs(), 1_795_278_009);
            }
            LogEntry::Interval(interval) => {
                let bytes = BASE64_STANDARD.decode(interval.encoded_histogram()).expect("base64");
                let histogram: Histogram<u64> =
                    Deserializer::new().deserialize(&mut bytes.as_slice()).expect("a histogram");
                match interval.tag() {
                    Some(tag) => {
                        tags.push(tag.as_str().to_owned());
                        assert_eq!(interval.duration().as_secs(), 5);
                    }
                    None => {
                        starts.push(interval.start_timestamp().as_secs());
                        assert_eq!(interval.duration().as_secs(), 1);
                        total += histogram.len();
                    }
                }
            }
        }
    }
    assert_eq!(starts, [0, 1, 2, 3, 4]);
    assert_eq!(total, report.measured);
    assert!(tags.len() == 8 && tags.contains(&"latency_uncorrected".to_owned()));
}

#[test]
fn what_is_no_report_is_refused_with_the_way_out() {
    let rows = [
        ("", "no JSON"),
        ("{}", "--json"),
        (r#"{"schema": "load-test/7"}"#, "load-test/1"),
        (r#"{"schema": "load-test/1"}"#, "missing field"),
    ];
    for (text, expected) in rows {
        let message = refusal(text);
        assert!(message.contains(expected), "{message}");
    }
    let output = load_test(&["report", "nowhere.json"], &folder("nowhere"));
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere.json"));
}
