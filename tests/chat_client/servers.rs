//! The other side: chatd as a process, and a person in it with nothing but a socket.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing here takes as long on a machine that works.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// In the order in which a server is told to listen.
const DIALECTS: [&str; 3] = ["telnet", "rid", "p2p"];

/// A chatd of this test's own, killed at the end.
pub(crate) struct Server {
    child: Child,
    /// Of its telnet listener.
    pub(crate) port: u16,
    pub(crate) rid: u16,
    pub(crate) p2p: u16,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_at([0; 3])
    }

    /// Ends it at once, without a word to anybody, and starts another in its place.
    pub(crate) fn restart(self, meanwhile: impl FnOnce()) -> Self {
        let ports = [self.port, self.rid, self.p2p];
        self.kill();
        meanwhile();
        Self::start_at(ports)
    }

    /// At ports that were another's a moment ago, it may take a while.
    fn start_at(ports: [u16; 3]) -> Self {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(server) = Self::try_start_at(ports) {
                return server;
            }
            assert!(Instant::now() < deadline, "chatd does not start at {ports:?}");
            thread::yield_now();
        }
    }

    fn try_start_at(ports: [u16; 3]) -> Option<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chatd"));
        command.args(["--workers", "1", "--max-clients", "64"]).stderr(Stdio::piped());
        for (dialect, port) in DIALECTS.iter().zip(ports) {
            command.args(["--listen", &format!("{dialect}://127.0.0.1:{port}")]);
        }
        let mut child = command.spawn().expect("chatd is built");
        let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let bound = DIALECTS.map(|dialect| {
            log.by_ref().map_while(Result::ok).find_map(|line| {
                let start = format!("listening dialect={dialect} addr=127.0.0.1:");
                line.split_once(&start)?.1.parse().ok()
            })
        });
        // Reads on, or chatd would wait for it.
        thread::spawn(move || log.for_each(drop));
        if let [Some(port), Some(rid), Some(p2p)] = bound {
            return Some(Self { child, port, rid, p2p });
        }
        child.wait().expect("it ended");
        None
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
        self.wait_for_either(end, end)
    }

    /// The same with two ends to choose from.
    pub(crate) fn wait_for_either(&mut self, end: &str, other: &str) -> String {
        loop {
            let mut line = String::new();
            match self.stream.read_line(&mut line) {
                Ok(len) if len > 0 => {}
                other => panic!("{other:?} instead of {end:?}"),
            }
            let line = line.trim_end_matches("\r\n");
            if line.ends_with(end) || line.ends_with(other) {
                return line.to_owned();
            }
        }
    }
}
