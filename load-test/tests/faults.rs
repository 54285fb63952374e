//! The whole library against a server that does what a chat server must not: every fault it makes
//! is counted, exactly, and nothing else is.

mod faulty;

use faulty::{FAULTS, Fault, GOODBYE, start};
use load_test::report::{ClosedReason, Receivers};
use load_test::{Group, Protocol, Report, Scenario, Totals, Verdict};
use std::io::{Write, read_to_string};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
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
        assert_ne!(report.verdict, Verdict::Fail, "{report}");
        assert_eq!(report.audit.delivered, report.audit.expected, "{report}");
        assert!(report.audit.expected >= 220 * 12, "{report}");
        // 40 clients over the rooms, without the author.
        let (least, most) = if rooms == 3 { (12, 13) } else { (39, 39) };
        assert_eq!(report.receivers, Receivers { least, most });
        assert!(report.measured < report.audit.delivered, "the warm-up is not measured");
        assert!(report.latency_us.p50 >= report.latency_uncorrected_us.p50, "{report}");
        assert!(report.broadcast_us.first.p50 <= report.broadcast_us.last.p50, "{report}");
    }
}

/// No fault; but on a busy machine the run may be void.
fn assert_well(report: &Report) {
    assert!(!report.audit.any_fault() && report.verdict != Verdict::Fail, "{report}");
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
    assert_well(&report);
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

/// Far longer than anything here takes, on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_stall_shows_where_lines_are_due_and_hides_where_they_are_written() {
    let time = Duration::from_secs(2);
    let group = Group {
        clients: 2,
        senders: 1,
        rate: 10_000.into(),
        size: 1000.into(),
        ..Group::default()
    };
    let scenario = Scenario {
        groups: vec![group],
        warmup: Duration::ZERO,
        duration: Duration::from_secs(5),
        grace: PATIENCE,
        ..Scenario::default()
    };
    let report = load_test::run(scenario, start(Fault::Pause { at: 10_000, time }), None);
    let report = report.expect("it runs");
    assert_well(&report);
    // Two in five lines were due in the stall. Less than one in a thousand was on its way when it
    // began: what the buffers hold; all others were written after it.
    let stall_us = time.as_micros() as f64;
    let (corrected, uncorrected) = (report.latency_us, report.latency_uncorrected_us);
    assert!(report.generator.sends_deferred > 0, "{report}");
    assert!(corrected.p999 >= stall_us * 0.9, "{report}");
    assert!(uncorrected.max >= stall_us, "{report}");
    assert!(uncorrected.p999 < corrected.p999 / 2.0, "{report}");
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
    let reason = ClosedReason { reason: GOODBYE.into(), count: 1 };
    assert_eq!(report.closed_reasons, [reason], "{report}");
    assert_eq!(report.audit.lost_after_close, lost, "{report}");
    let [who] = &report.closed_clients[..] else { panic!("{:?}", report.closed_clients) };
    let of_it = report.faults.iter().all(|row| row.receiver == u64::from(who.client));
    assert!(of_it && who.reason == GOODBYE && who.group == "all" && who.room == 0, "{who:?}");
}

/// One sender of 200 lines/s; of the other 39, 19 leave and return, 38 in a second.
fn with_churn(fault: Fault) -> Report {
    let mut scenario = scenario(1, 2);
    scenario.groups[0].senders = 1;
    scenario.groups[0].churn = 38;
    load_test::run(scenario, start(fault), None).expect("it runs")
}

#[test]
fn members_that_leave_and_return_are_owed_what_was_said_in_between() {
    let report = with_churn(Fault::None);
    let churn = report.churn.expect("there was some");
    assert_well(&report);
    assert!(churn.left > 0 && churn.left + churn.missed <= 41, "{churn:?}");
    assert!(churn.returned > 0 && churn.returned <= churn.left, "{churn:?}");
    // What is said between a leave and the return nobody expects.
    let Totals { expected, delivered, .. } = report.audit;
    assert!(expected == delivered && expected < DELIVERIES, "{report}");
    // The first and the last are told among those who stay.
    assert_eq!(report.broadcast_us.last.count, 200, "{report}");
    assert_eq!(report.join_us.count, 40 + churn.returned, "{report}");
}

#[test]
fn what_comes_to_those_who_have_left_is_foreign() {
    let report = with_churn(Fault::Cling);
    let Totals { foreign, .. } = report.audit;
    assert!(foreign > 0, "{report}");
    let rest = Totals { foreign: 0, ..report.audit };
    assert!(!rest.any_fault(), "{report}");
}

#[test]
fn what_does_not_come_to_those_who_have_returned_is_lost() {
    let report = with_churn(Fault::Forget);
    let Totals { lost, under_way, .. } = report.audit;
    // Those who stayed to the end lack what was said since; the others, what was under way.
    assert!(lost > 0 && under_way > 0, "{report}");
    assert_eq!(report.verdict, Verdict::Fail, "{report}");
}

#[test]
fn one_line_dropped_after_each_return_is_lost() {
    let report = with_churn(Fault::Stumble);
    let churn = report.churn.expect("there was some");
    let Totals { lost, .. } = report.audit;
    // Not if the line was the last one of the stay, or of the run.
    assert!(lost > 0 && lost <= churn.returned, "{report}");
    let rest = Totals { lost: 0, expected: report.audit.expected - lost, ..report.audit };
    assert!(!rest.any_fault(), "{report}");
}

#[test]
fn slow_readers_are_reported_apart() {
    let mut scenario = scenario(1, 2);
    scenario.groups[0].slow = 10;
    scenario.groups[0].slow_rate = 2000;
    scenario.groups[0].size = 500.into();
    let report = load_test::run(scenario, start(Fault::None), None).expect("it runs");
    assert_well(&report);
    let names: Vec<_> = report.groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["all", "all, slow readers"]);
    let [all, slow] = &report.groups[..] else { unreachable!("two names") };
    assert_eq!(all.measured, 200 * 29, "{report}");
    assert_eq!(report.receivers, Receivers { least: 29, most: 29 });
    assert_eq!(report.measured, 200 * 29, "{report}");
    // A line takes a quarter of a second to read, so the slow ones have seen a few.
    assert!(slow.measured < 200 * 10 / 4, "{report}");
    assert!(report.audit.delivered >= 220 * 29, "{report}");
}

#[test]
fn slow_readers_that_are_closed_are_no_fault_and_have_their_reason() {
    let mut scenario = scenario(1, 1);
    scenario.groups[0].slow = 10;
    let report = load_test::run(scenario, start(Fault::CloseLast), None).expect("it runs");
    assert_well(&report);
    let [reason] = &report.closed_reasons[..] else { panic!("{:?}", report.closed_reasons) };
    assert_eq!(reason.reason, format!("{GOODBYE} (slow reader)"));
    assert_eq!(reason.count, 1);
}

#[test]
fn a_server_that_dies_ends_the_run_at_once() {
    let target = start(Fault::Die { at: 100 }).to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_load-test"));
    // An hour: only an early end lets this test end.
    let words = "--clients 40 --senders 4 --rate 200 --duration 3600s --json - --target";
    command.args(words.split(' ')).arg(target).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it is built");
    let stdout = child.stdout.take().expect("it was asked for");
    let (sender, ended) = channel();
    std::thread::spawn(move || sender.send(read_to_string(stdout)));
    let report = ended.recv_timeout(PATIENCE);
    if report.is_err() {
        child.kill().expect("it is ours");
    }
    let status = child.wait().expect("it is ours");
    let report = report.expect("it ends at once").expect("text");
    let report: Report = serde_json::from_str(&report).expect("a report");
    assert_eq!(status.code(), Some(1), "{report}");
    assert_eq!(report.verdict, Verdict::Fail, "{report}");
    assert_eq!(report.audit.closed, 40, "{report}");
    assert_eq!(report.closed_reasons.iter().map(|row| row.count).sum::<u64>(), 40, "{report}");
    assert!(report.audit.lost > 0 && report.generator.unsent > 0, "{report}");
}

#[test]
fn a_server_that_dies_in_the_warm_up_ends_the_run_at_once() {
    let mut scenario = scenario(1, 1);
    // Only an early end lets this test end.
    scenario.warmup = Duration::from_secs(600);
    let target = start(Fault::Die { at: 20 });
    let (sender, ended) = channel();
    std::thread::spawn(move || drop(sender.send(load_test::run(scenario, target, None))));
    let report = ended.recv_timeout(PATIENCE).expect("it ends at once").expect("it runs");
    assert_eq!(report.verdict, Verdict::Fail, "{report}");
    assert_eq!(report.audit.closed, 40, "{report}");
    assert!(report.generator.unsent > 0, "{report}");
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
    assert_ne!(report.verdict, Verdict::Fail, "{report}");
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
