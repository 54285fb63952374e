//! More clients than one process has descriptors for: several generator processes, this program
//! again, each with a source address and a room of its own. All connect, then all send at once. A
//! process says `ready` on its standard output, waits for a line on its standard input, measures,
//! and prints its report as JSON.

use crate::args::run_id;
use crate::receive::loopback_address;
use crate::{Failure, Report, failed};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Clients of one process: within 20,000 descriptors.
const CLIENTS_PER_PROCESS: u32 = 19_000;
/// How long the processes send, one line a second each.
const DURATION: Duration = Duration::from_secs(3);

/// Generator processes whose clients are all welcome.
pub(super) struct Crowd(Vec<Generator>);

/// A process; it is ended when dropped.
struct Generator {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Crowd {
    pub(super) fn connect(
        target: SocketAddr,
        clients: u32,
        duration: Option<Duration>,
    ) -> Result<Self, Failure> {
        let processes = clients.div_ceil(CLIENTS_PER_PROCESS);
        let start = |index| {
            let share = clients / processes + u32::from(index < clients % processes);
            Generator::start(target, share, index, duration.unwrap_or(DURATION))
        };
        let mut crowd = Self((0..processes).map(start).collect::<Result<_, _>>()?);
        crowd.0.iter_mut().try_for_each(Generator::await_ready)?;
        Ok(crowd)
    }

    /// One report of each process.
    pub(super) fn measure(mut self) -> Result<Vec<Report>, Failure> {
        self.0.iter_mut().try_for_each(Generator::begin)?;
        self.0.iter_mut().map(Generator::report).collect()
    }
}

impl Generator {
    fn start(
        target: SocketAddr,
        clients: u32,
        index: u32,
        duration: Duration,
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| failed("our own path", &error))?;
        let source = loopback_address(run_id(u64::from(index)));
        let mut command = Command::new(program);
        command.args(["--rooms", "1", "--senders", "1", "--rate", "1", "--warmup", "0s"]);
        command.args(["--json", "-", "--barrier"]);
        command.arg("--duration").arg(format!("{}ms", duration.as_millis()));
        command.arg("--target").arg(target.to_string());
        command.arg("--clients").arg(clients.to_string());
        command.arg("--seed").arg(index.to_string());
        if target.ip().is_loopback() && target.is_ipv4() {
            command.arg("--source").arg(source.to_string());
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| failed("starting a generator", &error))?;
        let output = BufReader::new(child.stdout.take().expect("it was asked for"));
        Ok(Self { child, output })
    }

    /// The process bounds the time itself.
    fn await_ready(&mut self) -> Result<(), Failure> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line);
        read.map_err(|error| failed("waiting for a generator", &error))?;
        if line == "ready\n" {
            return Ok(());
        }
        Err(Failure::Run("a generator process did not connect all its clients".into()))
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let input = self.child.stdin.as_mut().expect("it was asked for");
        input.write_all(b"go\n").map_err(|error| failed("a generator has gone", &error))
    }

    fn report(&mut self) -> Result<Report, Failure> {
        let mut text = String::new();
        let read = self.output.read_to_string(&mut text);
        read.map_err(|error| failed("reading a generator's report", &error))?;
        serde_json::from_str(&text).map_err(|error| failed("a generator's report", &error))
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
