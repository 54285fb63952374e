//! What the operator types, and how it becomes a scenario and a target.

use crate::children::{self, Barrier};
use crate::options::write_json;
use crate::outputs::Outputs;
use crate::scenario::{Group, Scenario, ScenarioArguments, list};
use crate::server::{Server, Watch, locate, pin, version};
use crate::{Failure, Report, Session, Slo, Verdict, bench, failed, outputs, slo};
use clap::{Args, Parser, Subcommand};
use rustix::process::setpriority_process;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

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
    /// Makes the files of a run from its JSON: HTML, .hgrm, .hlog
    Report(outputs::ReportArguments),
    /// Names the presets, what each is for and what it stands for
    List,
}

/// One run.
#[derive(Debug, Args)]
struct RunArguments {
    #[command(flatten)]
    scenario: ScenarioArguments,
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
    /// Write the report there too; -: only the report, on standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    outputs: Outputs,
    #[arg(long, value_name = "NAME=MOST,..", value_delimiter = ',', value_parser = Slo::parse)]
    #[arg(help = slo::HELP.lines().next(), long_help = slo::HELP)]
    slo: Vec<Slo>,
    /// Print nothing but errors
    #[arg(long)]
    quiet: bool,
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
            Some(Command::Report(arguments)) => outputs::execute(&arguments).map(success_if),
            Some(Command::List) => {
                println!("{}", list());
                Ok(ExitCode::SUCCESS)
            }
            None => self.run.execute().map(ExitCode::from),
        }
    }
}

fn success_if(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl RunArguments {
    fn execute(self) -> Result<Verdict, Failure> {
        let scenario = self.scenario.scenario()?;
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
            if self.scenario.is_named() {
                println!("load-test {}", scenario.options());
            }
            println!("{}", describe(&scenario, target));
        }
        let session = Session::connect(scenario, target)?;
        barrier.as_ref().map_or(Ok(()), Barrier::wait)?;
        let mut report = session.measure(watch.as_ref())?;
        report.hold(&self.slo);
        if speaks {
            println!("{report}");
        }
        self.write_json(&report)?;
        self.outputs.write(&report)?;
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

    fn write_json(&self, report: &Report) -> Result<(), Failure> {
        self.json.as_deref().map_or(Ok(()), |path| write_json(path, report))
    }
}

/// What is about to happen, and what its latencies are.
fn describe(scenario: &Scenario, target: SocketAddr) -> String {
    let mut out = String::new();
    for group in &scenario.groups {
        let Group { name, clients, senders, rate, size, .. } = group;
        let place = match group.rooms {
            0 => "the lobby".into(),
            1 => "one room".into(),
            rooms => format!("{rooms} rooms"),
        };
        let named = if scenario.groups.len() > 1 { format!("{name}: ") } else { String::new() };
        out += &format!("{named}{clients} clients in {place} of {target}; ");
        out += &match senders {
            0 => "nobody talks.\n".into(),
            _ => format!("{rate} lines/s of {size} bytes from {senders} of them.\n"),
        };
    }
    out += &format!(
        "For {:?}. Latency: from the instant a line was due to the read of each receiver; a line \
         sent late is not forgiven.",
        scenario.duration
    );
    out
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
        Arguments::try_parse_from(["load-test"]).expect("no arguments are enough");
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
