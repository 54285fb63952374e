//! The latency it reports is the one that a second, simple program measures: two blocking sockets
//! and the clock of the standard library, nothing of the crate. Every line of the server takes
//! 20 ms, so that the median is of something real and not of how busy the machine is.

mod faulty;

use faulty::{Fault, start};
use load_test::{Group, Scenario};
use std::io::{BufRead, BufReader, Write, copy, sink};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const DELAY: Duration = Duration::from_millis(20);
/// The room of the first run of a scenario.
const ROOM: &str = "load-1-0";

/// One who has come to the room.
fn join(target: SocketAddr) -> (TcpStream, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(target).expect("the server listens");
    stream.set_nodelay(true).expect("a socket");
    let mut reader = BufReader::new(stream.try_clone().expect("a descriptor is left"));
    write!(stream, "/join {ROOM}\r\n").expect("connected");
    let mut line = String::new();
    while !line.starts_with("You are in ") {
        line.clear();
        assert!(reader.read_line(&mut line).expect("connected") > 0, "it was closed");
    }
    (stream, reader)
}

/// Says a line every 10 ms and takes the time until another reads it. Returns the median.
fn measure(target: SocketAddr, end: &AtomicBool) -> Duration {
    let (mut author, mut unread) = join(target);
    std::thread::spawn(move || copy(&mut unread, &mut sink()));
    let (_silent, reader) = join(target);
    let (sender, said) = channel();
    let listening = std::thread::spawn(move || {
        let mut times: Vec<Duration> = Vec::new();
        for line in reader.split(b'\n').map_while(Result::ok) {
            let now = Instant::now();
            let text = String::from_utf8_lossy(&line);
            // Lines of others carry their own marks.
            let Some((_, number)) = text.trim_end().split_once("probe ") else { continue };
            let (expected, at): (usize, Instant) = said.recv().expect("it was said before");
            assert_eq!(number.parse(), Ok(expected), "in order");
            times.push(now - at);
            if expected == usize::MAX {
                break;
            }
        }
        times
    });
    for number in 0.. {
        let number = if end.load(Ordering::Relaxed) { usize::MAX } else { number };
        sender.send((number, Instant::now())).expect("it listens to the end");
        write!(author, "probe {number}\r\n").expect("connected");
        if number == usize::MAX {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut times = listening.join().expect("it listens to the end");
    times.sort_unstable();
    assert!(times.len() > 50, "too few to speak of a median");
    times[times.len() / 2]
}

#[test]
fn the_median_is_what_another_program_measures() {
    let target = start(Fault::Late(DELAY));
    let end = Arc::new(AtomicBool::new(false));
    let probe = {
        let end = Arc::clone(&end);
        std::thread::spawn(move || measure(target, &end))
    };
    let group = Group { clients: 20, senders: 4, rate: 100.into(), ..Group::default() };
    let scenario = Scenario {
        groups: vec![group],
        warmup: Duration::from_millis(500),
        duration: Duration::from_secs(3),
        ..Scenario::default()
    };
    let report = load_test::run(scenario, target, None).expect("it runs");
    end.store(true, Ordering::Relaxed);
    let probe_us = probe.join().expect("it measures").as_secs_f64() * 1e6;
    assert!(!report.audit.any_fault(), "{report}");
    let delay_us = DELAY.as_secs_f64() * 1e6;
    assert!(probe_us >= delay_us && report.latency_us.p50 >= delay_us, "{report}");
    let ratio = report.latency_us.p50 / probe_us;
    assert!((0.9..=1.1).contains(&ratio), "{ratio}: the other measured {probe_us:.0} us\n{report}");
}
