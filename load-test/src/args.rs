//! What the operator types, and how it becomes a scenario and a target.

use crate::children::{self, Barrier};
use crate::limits::{CONNECT_TIMEOUT, GRACE};
use crate::options::{parse_duration, run_id, write_json};
use crate::protocol::Protocol;
use crate::scenario::{Connect, Group, Rate, Scenario, Sizes};
use crate::server::{Server, Watch, locate, pin, version};
use crate::{Failure, Report, Session, Slo, Verdict, bench, failed, slo};
use clap::{Args, Parser, Subcommand};
use rustix::process::setpriority_process;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Measures how long a line takes to everyone in its room, and checks that all get it.
///
/// Lines follow a fixed schedule; latency counts from the instant a line was due, so a late line is
/// not forgiven. Exit codes: 0 all well, 1 a fault, 2 usage, 98 void: the generator was the
/// bottleneck, 99 --slo did not hold.
#[derive(Debug, Parser)]
#[command(name = "load-test", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compares chatd with the floor: the least any server on io_uring has to do
    Bench(bench::BenchArguments),
}

/// One run.
#[derive(Debug, Args)]
struct RunArguments {
    /// How many connect
    #[arg(long, default_value_t = 1000, value_name = "N")]
    clients: u32,
    /// Rooms they are spread over; 0: they stay in the lobby
    #[arg(long, default_value_t = 1, value_name = "N")]
    rooms: u32,
    /// How many of them talk, in turns
    #[arg(long, default_value_t = 10, value_name = "N")]
    senders: u32,
    /// Lines a second, of all senders together; several: one after the other, in equal parts of
    /// the duration or for the times they have
    #[arg(long, default_value = "10", value_name = "N|N,..|N:TIME,..")]
    rate: Rate,
    /// Bytes of a line's text: one size, a range, or several by their shares
    #[arg(long, default_value = "100", value_name = "BYTES|FROM-TO|SIZE:SHARE%,..")]
    size: Sizes,
    /// How long to measure: 5s, 500ms, 2m
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    duration: Duration,
    /// How long to send before that: audited, not measured
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    warmup: Duration,
    /// Connects a second; 0: as fast as it can
    #[arg(long, default_value_t = 0, value_name = "N")]
    connect_rate: u32,
    /// Connections begun and not yet welcome
    #[arg(long, default_value_t = 128, value_name = "N")]
    connections_in_flight: u32,
    /// Threads that connect and receive; one more sends
    #[arg(long, default_value_t = 1, value_name = "N")]
    threads: usize,
    /// Workers of the server it starts
    #[arg(long, default_value_t = 1, value_name = "N")]
    workers: u32,
    /// The core of the server it starts
    #[arg(long, value_name = "CPU")]
    pin_server: Option<usize>,
    /// The cores of this process
    #[arg(long, value_name = "CPU,..", value_delimiter = ',')]
    pin: Vec<usize>,
    /// Use the server that listens there rather than starting one
    #[arg(long, value_name = "ADDR:PORT", conflicts_with_all = ["server", "workers", "pin_server"])]
    target: Option<SocketAddr>,
    /// The chatd to start; otherwise the one beside this program, built if need be
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// With --target: whose CPU time and memory to report
    #[arg(long, value_name = "PID", requires = "target")]
    server_pid: Option<u32>,
    /// Connect from this address; on loopback, 10,000 clients each from it and those after it
    #[arg(long, value_name = "IP")]
    source: Option<Ipv4Addr>,
    /// Write the report there too; -: only the report, on standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[arg(long, value_name = "NAME=MOST,..", value_delimiter = ',', value_parser = Slo::parse)]
    #[arg(help = slo::HELP.lines().next(), long_help = slo::HELP)]
    slo: Vec<Slo>,
    /// Print nothing but errors
    #[arg(long)]
    quiet: bool,
    /// The same seed gives the same schedule
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Say `ready` on standard output when all are welcome, then wait for a line; leave when
    /// standard input ends
    #[arg(long, hide = true, requires = "target")]
    barrier: bool,
    /// How far to stand back behind other processes: 0 to 19
    #[arg(long, hide = true, default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(i32).range(0..=19))]
    nice: i32,
}

impl Arguments {
    /// Does what was asked. The exit code tells how it went.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        children::end_on_signals()?;
        match self.command {
            Some(Command::Bench(arguments)) => bench::execute(&arguments).map(success_if),
            None => self.run.execute().map(ExitCode::from),
        }
    }
}

fn success_if(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl RunArguments {
    fn execute(self) -> Result<Verdict, Failure> {
        let scenario = self.scenario();
        scenario.check()?;
        // Threads take it over, so it comes before the first.
        lower_priority(self.nice)?;
        let barrier = self.barrier.then(Barrier::new);
        let server = if self.target.is_none() { Some(self.start_server()?) } else { None };
        pin(&self.pin)?;
        let pid = server.as_ref().map(Server::pid).or(self.server_pid);
        let watch = pid.map(Watch::new).transpose()?;
        let watch = watch.map(|watch| watch.with_version(self.server_version()));
        let target = server.as_ref().map(Server::addr).or(self.target);
        let target = target.expect("a server was started if there is no target");

        let json_only = self.json.as_deref() == Some(Path::new("-"));
        let speaks = !self.quiet && !json_only;
        if speaks {
            println!("{}", self.describe(target));
        }
        let session = Session::connect(scenario, target)?;
        barrier.as_ref().map_or(Ok(()), Barrier::wait)?;
        let mut report = session.measure(watch.as_ref())?;
        report.hold(&self.slo);
        if speaks {
            println!("{report}");
        }
        self.write_json(&report)?;
        server.map_or(Ok(()), Server::stop)?;
        Ok(report.verdict)
    }

    /// None where it was not started by us: it may be any program.
    fn server_version(&self) -> Option<String> {
        version(&self.chatd().ok().filter(|_| self.target.is_none())?)
    }

    fn chatd(&self) -> Result<PathBuf, Failure> {
        self.server.clone().map_or_else(|| locate("chatd"), Ok)
    }

    fn start_server(&self) -> Result<Server, Failure> {
        Server::start_chatd(&self.chatd()?, self.workers, &[], self.pin_server.as_slice())
    }

    fn scenario(&self) -> Scenario {
        let group = Group {
            name: "all".into(),
            clients: self.clients,
            rooms: self.rooms,
            senders: self.senders.min(self.clients),
            rate: self.rate.clone(),
            size: self.size.clone(),
            ..Group::default()
        };
        Scenario {
            groups: vec![group],
            warmup: self.warmup,
            duration: self.duration,
            grace: GRACE,
            connect: Connect {
                rate: self.connect_rate,
                in_flight: self.connections_in_flight,
                timeout: CONNECT_TIMEOUT,
                source: self.source,
            },
            threads: self.threads,
            protocol: Protocol::Telnet,
            seed: self.seed,
            run: run_id(self.seed),
        }
    }

    fn describe(&self, target: SocketAddr) -> String {
        let place = match self.rooms {
            0 => "the lobby".into(),
            1 => "one room".into(),
            rooms => format!("{rooms} rooms"),
        };
        let Self { clients, senders, rate, size, duration, .. } = self;
        format!(
            "{clients} clients in {place} of {target}; {rate} lines/s of {size} bytes from \
             {senders} of them, for {duration:?}.\nLatency: from the instant a line was due to \
             the read of each receiver; a line sent late is not forgiven."
        )
    }

    fn write_json(&self, report: &Report) -> Result<(), Failure> {
        self.json.as_deref().map_or(Ok(()), |path| write_json(path, report))
    }
}

fn lower_priority(nice: i32) -> Result<(), Failure> {
    if nice == 0 {
        return Ok(());
    }
    setpriority_process(None, nice).map_err(|error| failed("lowering the priority", &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_options_are_consistent() {
        Arguments::command().debug_assert();
        let plain = Arguments::try_parse_from(["load-test"]).expect("no arguments are enough");
        assert_eq!(plain.run.clients, 1000);
        let wrong = [
            "--clients x",
            "--server-pid 1",
            "--barrier",
            "--nice -1",
            "--nice 20",
            "--target 127.0.0.1:1 --workers 2",
            "bench nothing",
            "bench --pairs 0",
            "bench --alone --self-check",
            "bench --alone --floor x",
        ];
        for arguments in wrong {
            let words = ["load-test"].into_iter().chain(arguments.split(' '));
            assert!(Arguments::try_parse_from(words).is_err(), "{arguments}");
        }
    }
}
