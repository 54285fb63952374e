//! The whole library against a server that does what a chat server must not: every fault it makes
//! is counted, exactly, and nothing else is.

mod faulty;

use faulty::{FAULTS, Fault, start};
use load_test::{Group, Protocol, Report, Scenario, Totals, Verdict};
use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

/// 40 clients, 4 of them senders, 200 lines/s for 1 s after a warm-up of a tenth of that.
fn scenario(rooms: u32, threads: usize) -> Scenario {
    let group = Group { clients: 40, rooms, senders: 4, rate: 200.into(), ..Group::default() };
    Scenario {
        groups: vec![group],
        warmup: Duration::from_millis(100),
        duration: Duration::from_secs(1),
        grace: Duration::from_secs(1),
        threads,
        ..Scenario::default()
    }
}

/// What that makes: 220 lines to 39 receivers each.
const DELIVERIES: u64 = 220 * 39;

fn run(fault: Fault, threads: usize) -> Report {
    load_test::run(scenario(1, threads), start(fault), None).expect("it runs")
}

#[test]
fn an_honest_server_passes() {
    for (rooms, threads) in [(0, 1), (1, 1), (3, 2)] {
        let report = load_test::run(scenario(rooms, threads), start(Fault::None), None);
        let report = report.expect("it runs");
        assert_eq!(report.verdict, Verdict::Pass, "{report}");
        assert_eq!(report.audit.delivered, report.audit.expected, "{report}");
        assert!(report.audit.expected >= 220 * 12, "{report}");
        assert!(report.measured < report.audit.delivered, "the warm-up is not measured");
        assert!(report.latency_us.p50 >= report.latency_uncorrected_us.p50, "{report}");
        assert!(report.broadcast_us.first.p50 <= report.broadcast_us.last.p50, "{report}");
    }
}

/// The server makes the fault `FAULTS` times, and the audit must say just that.
fn counts(fault: Fault, found: Totals) {
    for threads in [1, 2] {
        let report = run(fault, threads);
        assert_eq!(report.audit, Totals { expected: DELIVERIES, ..found }, "{report}");
        assert_eq!(report.verdict, Verdict::Fail, "{report}");
        let listed = report
            .faults
            .iter()
            .map(|row| row.lost + row.duplicated + row.reordered + row.corrupted + row.foreign);
        assert_eq!(listed.sum::<u64>(), FAULTS as u64, "{report}");
    }
}

const MADE: u64 = FAULTS as u64;

#[test]
fn dropped_lines_are_lost() {
    let delivered = DELIVERIES - MADE;
    counts(Fault::Drop, Totals { delivered, lost: MADE, ..Totals::default() });
}

#[test]
fn doubled_lines_are_duplicated() {
    let delivered = DELIVERIES;
    counts(Fault::Double, Totals { delivered, duplicated: MADE, ..Totals::default() });
}

#[test]
fn two_lines_swapped_are_one_reordered() {
    let delivered = DELIVERIES;
    counts(Fault::Swap, Totals { delivered, reordered: MADE, ..Totals::default() });
}

#[test]
fn a_flipped_bit_is_a_corrupted_line_and_not_a_lost_one() {
    let delivered = DELIVERIES - MADE;
    counts(Fault::Flip, Totals { delivered, corrupted: MADE, ..Totals::default() });
}

#[test]
fn lines_of_another_run_are_foreign() {
    let delivered = DELIVERIES;
    counts(Fault::Foreign, Totals { delivered, foreign: MADE, ..Totals::default() });
}

#[test]
fn a_delay_is_no_fault_and_all_of_it_shows() {
    let time = Duration::from_millis(50);
    let report = run(Fault::Pause { at: 110, time }, 1);
    assert_eq!(report.verdict, Verdict::Pass, "{report}");
    // The line that met it was late for everyone, the first receiver too.
    let time_us = time.as_micros() as f64;
    for max in [
        report.latency_us.max,
        report.latency_uncorrected_us.max,
        report.broadcast_us.first.max,
        report.broadcast_us.median.max,
        report.broadcast_us.last.max,
    ] {
        assert!(max >= time_us, "{report}");
    }
}

#[test]
fn a_client_that_the_server_closes_is_counted_and_not_waited_for() {
    let mut scenario = scenario(1, 1);
    scenario.grace = Duration::from_secs(3600);
    let report = load_test::run(scenario, start(Fault::Close), None).expect("it runs");
    let Totals { expected, delivered, lost, closed, .. } = report.audit;
    assert_eq!(closed, 1, "{report}");
    assert_eq!(delivered + lost, expected, "{report}");
    assert!(lost > 0, "{report}");
}

#[test]
fn one_who_is_not_let_in_ends_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || drop(listener.accept()));
    let failure = load_test::run(scenario(1, 1), addr, None).expect_err("nobody is let in");
    assert!(failure.to_string().contains("client"), "{failure}");
}

#[test]
fn the_floor_has_neither_prefix_nor_rooms() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || relay_two(&listener));
    let group = Group { clients: 2, rooms: 0, senders: 1, rate: 50.into(), ..Group::default() };
    let scenario = Scenario {
        groups: vec![group],
        warmup: Duration::ZERO,
        duration: Duration::from_secs(1),
        protocol: Protocol::Floor,
        ..Scenario::default()
    };
    let report = load_test::run(scenario, addr, None).expect("it runs");
    assert_eq!(report.verdict, Verdict::Pass, "{report}");
    assert_eq!(report.audit.delivered, 50);
}

/// Copies what the first client sends to the second.
fn relay_two(listener: &TcpListener) {
    let mut clients: Vec<_> = listener.incoming().take(2).map_while(Result::ok).collect();
    for client in &mut clients {
        let _gone = client.write_all(b"hi\r\n");
    }
    let [first, second] = &mut clients[..] else { return };
    let _gone = std::io::copy(first, second);
}
