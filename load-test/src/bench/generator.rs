//! This program again, as a process of its own: for more clients than one process has descriptors,
//! and for load that must not slow down the clients that are measured. It says `ready` on its
//! standard output when its clients are welcome, waits for a line on its standard input, measures,
//! and prints its report as JSON; it leaves when its standard input ends.

use crate::children::Offspring;
use crate::{Failure, Rate, Report, failed};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// What the process is to do.
#[derive(Default)]
pub(super) struct Load {
    pub(super) clients: u32,
    /// 0: they stay in the lobby.
    pub(super) rooms: u32,
    pub(super) senders: u32,
    pub(super) rate: Rate,
    pub(super) warmup: Duration,
    pub(super) duration: Duration,
    pub(super) seed: u64,
    /// On loopback, the first of the addresses to connect from.
    pub(super) source: Option<Ipv4Addr>,
    pub(super) nice: i32,
}

/// The process; it is ended when dropped.
pub(super) struct Generator {
    /// Before the input, so that it is ended rather than left to itself.
    _child: Offspring,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Generator {
    pub(super) fn start(target: SocketAddr, load: &Load) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| failed("our own path", &error))?;
        let mut command = Command::new(program);
        command.args(arguments(target, load)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Offspring::start(&mut command)?;
        let input = child.child.stdin.take().expect("it was asked for");
        let output = BufReader::new(child.child.stdout.take().expect("it was asked for"));
        Ok(Self { _child: child, input, output })
    }

    /// The process bounds the time itself.
    pub(super) fn await_ready(&mut self) -> Result<(), Failure> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line);
        read.map_err(|error| failed("waiting for a generator", &error))?;
        if line == "ready\n" {
            return Ok(());
        }
        Err(Failure::Run("a generator process did not connect all its clients".into()))
    }

    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        self.input.write_all(b"go\n").map_err(|error| failed("a generator has gone", &error))
    }

    pub(super) fn report(&mut self) -> Result<Report, Failure> {
        let mut text = String::new();
        let read = self.output.read_to_string(&mut text);
        read.map_err(|error| failed("reading a generator's report", &error))?;
        serde_json::from_str(&text).map_err(|error| failed("a generator's report", &error))
    }
}

fn arguments(target: SocketAddr, load: &Load) -> Vec<String> {
    let Load { clients, rooms, senders, rate, seed, nice, .. } = load;
    let (warmup_ms, duration_ms) = (load.warmup.as_millis(), load.duration.as_millis());
    let mut words = format!(
        "--barrier --json - --target {target} --clients {clients} --rooms {rooms} \
         --senders {senders} --rate {rate} --seed {seed} --nice {nice} --warmup {warmup_ms}ms \
         --duration {duration_ms}ms"
    );
    if let Some(source) = load.source.filter(|_| target.is_ipv4() && target.ip().is_loopback()) {
        words += &format!(" --source {source}");
    }
    words.split(' ').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Arguments;
    use clap::Parser;

    #[test]
    fn the_process_understands_its_arguments() {
        let source = Some(Ipv4Addr::new(127, 1, 1, 1));
        for (target, sources) in [("127.0.0.1:7", 1), ("192.0.2.1:7", 0), ("[::1]:7", 0)] {
            let load = Load { clients: 3, nice: 19, source, ..Load::default() };
            let words = arguments(target.parse().expect("an address"), &load);
            assert_eq!(words.iter().filter(|word| *word == "--source").count(), sources);
            let words = ["load-test".to_owned()].into_iter().chain(words);
            assert!(Arguments::try_parse_from(words).is_ok(), "{target}");
        }
    }
}
