//! A generator that is starved says so, rather than blame the server.

use load_test::server::{Server, pin};
use load_test::{Group, Protocol, Scenario, Verdict};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Threads that do nothing but take the generator's core. It gets one part of 17.
const SPINNING: usize = 16;
/// Cores to try: any that this process may use will do.
const CORES: usize = 1024;

#[test]
fn a_starved_generator_gives_void() {
    let floor = Path::new(env!("CARGO_BIN_EXE_floor"));
    let server = Server::start(floor, &["127.0.0.1:0"], &[]).expect("it starts");
    let group = Group {
        clients: 200,
        rooms: 0,
        senders: 1,
        rate: "300".parse().expect("a rate"),
        ..Group::default()
    };
    let scenario = Scenario {
        groups: vec![group],
        warmup: Duration::ZERO,
        duration: Duration::from_secs(1),
        grace: Duration::from_secs(120),
        protocol: Protocol::Floor,
        ..Scenario::default()
    };
    let over = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        // Whatever it starts takes the core over.
        assert!((0..CORES).any(|core| pin(&[core]).is_ok()), "there is a core");
        for _ in 0..SPINNING {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let report = load_test::run(scenario, server.addr(), None);
        over.store(true, Ordering::Relaxed);
        report.expect("it runs, if slowly")
    });
    server.stop().expect("it leaves");
    assert_eq!(report.verdict, Verdict::Void, "{report}");
    assert_eq!(report.audit.delivered, 300 * 199, "{report}");
    assert!(!report.void_reasons.is_empty(), "{report}");
}
