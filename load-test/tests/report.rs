//! The report as harnesses read it: every key is in REPORT.md, and every key there is in a report.

use load_test::report::{
    Churn, ClosedClient, ClosedReason, FaultRow, Report, SloRow, ThreadReport,
};
use load_test::server::{Server, Watch};
use load_test::{Group, Protocol, Scenario};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

const DOCUMENTATION: &str = include_str!("../REPORT.md");

/// Of a run against the floor, with a row in each list that is empty when all goes well.
fn report() -> Report {
    let floor = Path::new(env!("CARGO_BIN_EXE_floor"));
    let server = Server::start(floor, &["127.0.0.1:0"], &[]).expect("it starts");
    let watch = Watch::new(server.pid()).expect("it runs");
    let group = Group {
        clients: 10,
        rooms: 0,
        senders: 2,
        rate: "50".parse().expect("a rate"),
        ..Group::default()
    };
    let scenario = Scenario {
        groups: vec![group],
        warmup: Duration::from_millis(100),
        duration: Duration::from_millis(1200),
        protocol: Protocol::Floor,
        ..Scenario::default()
    };
    let mut report = load_test::run(scenario, server.addr(), Some(&watch)).expect("it runs");
    server.stop().expect("it leaves");
    report.void_reasons = vec!["late".into()];
    report.slo = vec![SloRow::default()];
    report.closed_reasons = vec![ClosedReason { reason: "quit".into(), count: 1 }];
    report.closed_clients = vec![ClosedClient::default()];
    report.generator.connecting = vec![ThreadReport::default()];
    report.churn = Some(Churn::default());
    report.faults = vec![FaultRow::default()];
    report
}

/// The paths of all values; percentiles, and pairs of numbers, are one.
fn paths(value: &Value, path: &str, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(keys) if keys.contains_key("p50") => {
            out.insert(format!("{path}.*"));
        }
        Value::Object(keys) => {
            let dot = if path.is_empty() { "" } else { "." };
            keys.iter().for_each(|(key, value)| paths(value, &format!("{path}{dot}{key}"), out));
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().for_each(|item| paths(item, &format!("{path}[]"), out));
        }
        Value::Array(_) => drop(out.insert(format!("{path}[]"))),
        _ => drop(out.insert(path.to_owned())),
    }
}

#[test]
fn every_key_is_documented_and_every_documented_key_is_there() {
    let report = serde_json::to_value(report()).expect("it is JSON");
    let mut found = BTreeSet::new();
    paths(&report, "", &mut found);
    // Said of the whole object.
    found.insert("server".into());
    let rows = DOCUMENTATION.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: BTreeSet<_> =
        rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned())).collect();
    let differing: Vec<_> = found.symmetric_difference(&documented).collect();
    assert!(differing.is_empty(), "in the report or in REPORT.md, but not in both: {differing:?}");
    for key in ["p50", "p90", "p99", "p999", "max", "count"] {
        assert!(DOCUMENTATION.contains(&format!("`{key}`")), "{key}");
        assert!(report["latency_us"][key].is_number(), "{key}");
    }
}

#[test]
fn the_keys_that_harnesses_rely_on_are_measured() {
    let report = serde_json::to_value(report()).expect("it is JSON");
    let at = |path: &str| path.split('.').fold(&report, |value, key| &value[key]);
    let numbers = "audit.expected audit.delivered audit.lost audit.duplicated audit.reordered \
        audit.corrupted audit.foreign audit.closed latency_us.p50 latency_us.p90 latency_us.p99 \
        latency_us.p999 latency_us.max latency_uncorrected_us.p50 latency_uncorrected_us.max \
        schedule_lag_us.p50 schedule_lag_us.max broadcast_us.first.p50 broadcast_us.first.p99 \
        broadcast_us.first.max broadcast_us.median.p50 broadcast_us.median.p99 \
        broadcast_us.median.max broadcast_us.last.p50 broadcast_us.last.p99 broadcast_us.last.max \
        server.cpu_user_s server.cpu_sys_s server.cpu_us_per_delivery server.rss_bytes \
        server.rss_bytes_per_connection generator.cpu_us_per_delivery generator.jitter_us.p99";
    for path in numbers.split_whitespace() {
        assert!(at(path).is_number(), "{path} is {}", at(path));
    }
    assert_eq!(at("schema"), "load-test/1");
    let verdicts = ["pass", "fail", "slo", "void"].map(Value::from);
    assert!(verdicts.contains(at("verdict")), "{}", at("verdict"));

    // 50 lines/s to 9 receivers each, for 1.2 s after a tenth of a second.
    assert_eq!(at("audit.delivered"), 65 * 9);
    assert_eq!(at("measured"), 60 * 9);
    for count in ["latency_us.count", "latency_uncorrected_us.count"] {
        assert_eq!(at(count), 60 * 9, "{count}");
    }
    assert_eq!(at("schedule_lag_us.count"), 60);
    assert_eq!(at("broadcast_us.last.count"), 60);
    let seconds = at("timeline").as_array().expect("a list");
    assert!(!seconds.is_empty());
    let deliveries = seconds.iter().map(|second| second["deliveries"].as_u64().expect("a number"));
    assert_eq!(deliveries.sum::<u64>(), 60 * 9, "each delivery is in one second");
    for second in seconds {
        let heat = second["heat"].as_array().expect("a list");
        let heat: u64 = heat.iter().map(|pair| pair[1].as_u64().expect("a count")).sum();
        assert_eq!(second["deliveries"], heat, "each delivery is in one bucket");
        assert_eq!(second["clients"], 10);
        assert!(second["server_rss_bytes"].as_u64() > Some(0), "{second}");
        assert!(second["generator_cpu_s"].as_f64() > Some(0.0), "{second}");
    }
    let threads = at("generator.threads").as_array().expect("a list");
    let names: BTreeSet<_> = threads.iter().filter_map(|thread| thread["name"].as_str()).collect();
    assert_eq!(names, BTreeSet::from(["jitter", "look", "receive-0", "send"]));
    assert!(at("command").as_str().expect("words").contains("report"));
}
