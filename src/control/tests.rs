//! The whole server in this process, with workers that fail in every way.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::args::Args;
use crate::engine::Adopted;
use clap::Parser;

fn config(options: &[&str]) -> Config {
    // The process of the tests has other threads, and work to do.
    let typed = ["chatd", "--listen=127.0.0.1:0", "--drain=0", "--unconfined=all"];
    Config::new(Args::parse_from(typed.iter().chain(options))).expect("well-formed options")
}

fn outcome(options: &[&str], run: Run) -> Failure {
    let config = config(options);
    let opened = Opened::new(&config, None).expect("a free port");
    run_workers(config, opened, None, DroppedLines::none(), run).expect_err("the worker fails")
}

/// Ends when the process is over: a worker that cannot be stopped.
fn hang(setup: Setup) -> io::Result<Vec<Adopted>> {
    let _ = setup.ready.send(Ok(()));
    loop {
        setup.bell.wait()?;
    }
}

#[test]
fn what_a_worker_dies_of_chooses_the_exit_code() {
    let cases: [(Run, Kind, &str); 6] = [
        (|_| panic!("oh no"), Kind::Broken, "worker 0 ended while it started"),
        (|_| Ok(Vec::new()), Kind::Broken, "worker 0 ended while it started"),
        (
            |setup| {
                let _ = setup.ready.send(Err(io::Error::from_raw_os_error(libc::ENOMEM)));
                Ok(Vec::new())
            },
            Kind::System,
            "worker 0 cannot start: Cannot allocate memory (os error 12); is the limit of locked \
             memory too low (ulimit -l)?",
        ),
        (
            |setup| {
                let _ = setup.ready.send(Err(io::Error::from_raw_os_error(libc::EPERM)));
                Ok(Vec::new())
            },
            Kind::Unavailable,
            "worker 0 cannot start: Operation not permitted (os error 1)",
        ),
        (
            |setup| {
                let _ = setup.ready.send(Ok(()));
                panic!("oh no");
            },
            Kind::Broken,
            "worker 0 failed: panicked: oh no",
        ),
        (
            |setup| {
                let _ = setup.ready.send(Ok(()));
                Ok(Vec::new())
            },
            Kind::Broken,
            "worker 0 failed: it ended unasked",
        ),
    ];
    for (run, kind, told) in cases {
        assert_eq!(outcome(&["--workers", "1"], run), Failure::new(kind, told));
    }
}

#[test]
fn leaving_does_not_wait_for_a_worker_that_hangs() {
    let run: Run = |setup| {
        if setup.parts.peer == PeerId(1) {
            return hang(setup);
        }
        let _ = setup.ready.send(Ok(()));
        Err(io::Error::other("lost"))
    };
    let failure = outcome(&["--workers", "2"], run);
    assert_eq!(failure.kind, Kind::Broken);
    assert!(failure.message.ends_with("failed: lost"), "{failure}");
}

/// A client, its name, and what the server tells it.
struct Client {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
    name: String,
}

impl Client {
    fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("an option");
        let lines = BufReader::new(stream.try_clone().expect("a descriptor"));
        let name = stream.local_addr().expect("connected").to_string();
        let mut client = Self { stream, lines, name };
        assert!(client.line().expect("a welcome").starts_with("You're connected"));
        client
    }

    /// The next line; `None` at the end.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(1..) => Some(line.trim_end().to_owned()),
            Ok(0) => None,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{}: {error}", self.name),
        }
    }

    /// Reads until that line; `None` if the end came first.
    fn reads(&mut self, expected: &str) -> Option<()> {
        while self.line()? != expected {}
        Some(())
    }
}

fn metric(admin: SocketAddr, name: &str) -> u64 {
    let mut stream = TcpStream::connect(admin).expect("it listens");
    let request = "GET /metrics HTTP/1.1\r\nHost: chatd\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    let values = text.lines().filter(|line| line.starts_with(name));
    values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[track_caller]
fn wait_until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "it does not come");
        thread::yield_now();
    }
}

#[test]
fn a_worker_that_panics_is_replaced_and_its_clients_are_counted_out() {
    /// Whether worker 0 is to panic the next time it has met the hub.
    static ARMED: AtomicBool = AtomicBool::new(false);
    struct Fuse(Arc<dyn Bells + Send + Sync>);
    impl Bells for Fuse {
        fn ring(&self, peer: PeerId) {
            self.0.ring(peer);
        }

        fn ring_all(&self, peers: PeerSet) {
            self.0.ring_all(peers);
            assert!(!ARMED.swap(false, Ordering::Relaxed), "this is a test");
        }
    }
    let run: Run = |mut setup| {
        if setup.parts.peer == PeerId(0) {
            setup.parts.bells = Arc::new(Fuse(setup.parts.bells));
        }
        engine::run(setup)
    };
    let config = config(&["--workers=2", "--admin=127.0.0.1:0"]);
    let opened = Opened::new(&config, None).expect("free ports");
    let addr = opened.by_worker[0][0].addr;
    let admin = opened.admin.as_ref().and_then(|(_, admin)| admin.local_addr().ok());
    let admin = admin.expect("it was asked for");
    // It ends with the process.
    thread::spawn(move || run_workers(config, opened, None, DroppedLines::none(), run));

    let mut clients: Vec<_> = (0..16).map(|_| Client::connect(addr)).collect();
    ARMED.store(true, Ordering::Relaxed);
    clients[0].stream.write_all(b"anybody there?\n").expect("it is connected");
    wait_until(|| metric(admin, "chatd_worker_failures_total") == 1);
    let mut witness = Client::connect(addr);
    witness.stream.write_all(b"still here\n").expect("it may be gone");
    let still_here = format!("[{}] still here", witness.name);
    clients.retain_mut(|client| client.reads(&still_here).is_some());
    assert!(clients.len() < 16, "some were on the worker");

    // The new one accepts too: with 32 newcomers the odds of the other getting all are 2^-32.
    let newcomers: Vec<_> = (0..32).map(|_| Client::connect(addr)).collect();
    let mut talker = Client::connect(addr);
    talker.stream.write_all(b"hello\n").expect("it is connected");
    let hello = format!("[{}] hello", talker.name);
    for mut client in newcomers.into_iter().chain(clients) {
        client.reads(&hello).expect("a worker that was replaced serves as before");
    }
    let internal = metric(admin, "chatd_closed_total{reason=\"internal\"}");
    assert!((1..=17).contains(&internal), "{internal}");
    // Nobody leaves but those who end just now; what was accepted is open or closed.
    let accepted = metric(admin, "chatd_accepted_total");
    let settled =
        || metric(admin, "chatd_connections ") + metric(admin, "chatd_closed_total") == accepted;
    wait_until(settled);
    assert_eq!(metric(admin, "chatd_worker_failures_total"), 1);
}
