//! The other side: chatd as a process, and a person in it with nothing but a socket.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing here takes as long on a machine that works.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A chatd of this test's own, killed at the end.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_at(0)
    }

    /// At a port that was another's a moment ago, it may take a while.
    pub(crate) fn start_at(port: u16) -> Self {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(server) = Self::try_start_at(port) {
                return server;
            }
            assert!(Instant::now() < deadline, "chatd does not start at port {port}");
            thread::yield_now();
        }
    }

    fn try_start_at(port: u16) -> Option<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_chatd"))
            .args(["--workers", "1", "--max-clients", "64"])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .stderr(Stdio::piped())
            .spawn()
            .expect("chatd is built");
        let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let port = log.by_ref().map_while(Result::ok).find_map(|line| {
            let address = line.split_once("listening dialect=telnet addr=127.0.0.1:")?.1;
            address.parse().ok()
        });
        // Reads on, or chatd would wait for it.
        thread::spawn(move || log.for_each(drop));
        match port {
            Some(port) => Some(Self { child, port }),
            None => {
                child.wait().expect("it ended");
                None
            }
        }
    }

    /// Ends it at once, without a word to anybody.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Somebody else in the room, under a nickname.
pub(crate) struct Peer {
    stream: BufReader<TcpStream>,
}

impl Peer {
    pub(crate) fn connect(port: u16, nick: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("chatd listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        let mut peer = Self { stream: BufReader::new(stream) };
        peer.say(&format!("/nick {nick}"));
        peer.wait_for(&format!("You are {nick}"));
        peer
    }

    pub(crate) fn say(&mut self, line: &str) {
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes()).expect("sent");
    }

    /// Reads until a line that ends like this, and returns it.
    pub(crate) fn wait_for(&mut self, end: &str) -> String {
        loop {
            let mut line = String::new();
            match self.stream.read_line(&mut line) {
                Ok(len) if len > 0 => {}
                other => panic!("{other:?} instead of {end:?}"),
            }
            let line = line.trim_end_matches("\r\n");
            if line.ends_with(end) {
                return line.to_owned();
            }
        }
    }
}
