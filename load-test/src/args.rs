//! What the operator types, and how it becomes a scenario and a target.

use crate::children::{self, Orders};
use crate::options::{check_writable, say, write_json};
use crate::outputs::{self, Outputs};
use crate::scenario::{Group, Scenario, ScenarioArguments, list};
use crate::summary::count;
use crate::target::TargetArguments;
use crate::{
    Failure, Progress, Report, Session, Slo, Verdict, bench, compare, failed, find_max, peers,
    processes, run_showing, slo, soak,
};
use clap::{Args, Parser, Subcommand};
use rustix::process::setpriority_process;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  load-test                                   1,000 people in a room, on a chatd of its own
  load-test --preset town --html town.html    a load with a name, and a page to send on
  load-test --target 127.0.0.1:2626 --clients 2000 --rate 20 --json out.json
  load-test compare before.json after.json    two runs, side by side

More in load-test/README.md.";

/// Measures how long a line takes to everyone in its room, and checks that all get it.
///
/// Lines follow a fixed schedule; latency counts from the instant a line was due, so a late line is
/// not forgiven. Exit codes: 0 all well, 1 a fault, 2 usage, 98 void: the generator was the
/// bottleneck, 99 --slo did not hold.
#[derive(Debug, Parser)]
#[command(name = "load-test", version, args_conflicts_with_subcommands = true)]
#[command(max_term_width = 100, after_help = EXAMPLES)]
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
    /// Compares chatd with the floor and with IRC servers, NATS, Redis and Mosquitto, if installed
    Peers(peers::PeersArguments),
    /// Puts two runs side by side, and tells whether the second is worse than chance explains
    Compare(compare::CompareArguments),
    /// Finds the most clients, or the highest rate, with which a server holds what is asked of it
    FindMax(Box<find_max::FindMaxArguments>),
    /// Mixes loads for hours, and checks that the server comes back to rest after each cycle
    Soak(soak::SoakArguments),
    /// Names the presets, what each is for and what it stands for
    List,
    /// Has a part of the clients of another process, which tells it what to do
    #[command(hide = true)]
    Share,
    /// Makes the files of a run from its JSON: HTML, .hgrm, .hlog
    Report(outputs::ReportArguments),
}

/// One run.
#[derive(Debug, Args)]
struct RunArguments {
    #[command(flatten)]
    scenario: ScenarioArguments,
    #[command(flatten)]
    target: TargetArguments,
    #[command(flatten)]
    output: OutputArguments,
    /// Processes that share the clients; otherwise as few as their descriptors allow
    #[arg(long, value_name = "N", conflicts_with = "barrier", help_heading = "The run")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    processes: Option<u32>,
    /// Say `ready` on standard output when all are welcome, then wait for a line; leave when
    /// standard input ends
    #[arg(long, hide = true, requires = "target")]
    barrier: bool,
    /// How far to stand back behind other processes: 0 to 19
    #[arg(long, hide = true, default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(i32).range(0..=19))]
    nice: i32,
}

/// What is told of it.
#[derive(Debug, Args)]
#[command(next_help_heading = "The report")]
struct OutputArguments {
    /// Write the report there too; -: only the report, on standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    files: Outputs,
    #[arg(long, value_name = "NAME=MOST,..", value_delimiter = ',', value_parser = Slo::parse)]
    #[arg(help = slo::HELP.lines().next(), long_help = slo::HELP)]
    slo: Vec<Slo>,
    /// Print nothing but errors
    #[arg(long)]
    quiet: bool,
}

impl Arguments {
    /// Does what was asked. The exit code tells how it went.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        // A soak is asked first: it ends with a report.
        if !matches!(self.command, Some(Command::Soak(_))) {
            children::end_on_signals()?;
        }
        match self.command {
            Some(Command::Bench(arguments)) => bench::execute(&arguments).map(success_if),
            Some(Command::Peers(arguments)) => peers::execute(&arguments).map(ExitCode::from),
            Some(Command::Compare(arguments)) => compare::execute(&arguments).map(ExitCode::from),
            Some(Command::FindMax(arguments)) => find_max::execute(&arguments).map(ExitCode::from),
            Some(Command::Soak(arguments)) => soak::execute(&arguments).map(ExitCode::from),
            Some(Command::List) => say(&list()).map(|()| ExitCode::SUCCESS),
            Some(Command::Report(arguments)) => {
                outputs::execute(&arguments).map(|()| ExitCode::SUCCESS)
            }
            Some(Command::Share) => processes::work().map(|()| ExitCode::SUCCESS),
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
        self.target.check(scenario.client_count())?;
        self.output.check()?;
        // Threads take it over, so it comes before the first.
        lower_priority(self.nice)?;
        let orders = self.barrier.then(Orders::new);
        let target = self.target.open(scenario.protocol)?;
        if self.output.speaks() {
            if self.scenario.is_named() {
                say(&format_args!("load-test {}", scenario.options()))?;
            }
            say(&describe(&scenario, target.addr))?;
        }
        let silent = self.output.quiet || self.barrier;
        let progress = if silent { Progress::silent() } else { Progress::shown() };
        let watch = target.watch.as_ref();
        let mut report = if let Some(orders) = orders {
            let session = Session::connect_showing(scenario, target.addr, progress)?;
            orders.await_start()?;
            session.measure(watch)?
        } else {
            run_showing(scenario, target.addr, watch, self.processes, progress)?
        };
        report.hold(&self.output.slo);
        self.output.write(&report)?;
        target.close()?;
        Ok(report.verdict)
    }
}

impl OutputArguments {
    fn check(&self) -> Result<(), Failure> {
        let file = self.json.as_deref().filter(|path| *path != Path::new("-"));
        file.map_or(Ok(()), check_writable)?;
        self.files.check()
    }

    /// Whether anything but the JSON goes to the standard output.
    fn speaks(&self) -> bool {
        !self.quiet && self.json.as_deref() != Some(Path::new("-"))
    }

    fn write(&self, report: &Report) -> Result<(), Failure> {
        // Whether or not somebody still reads the standard output, the files are there.
        self.json.as_deref().map_or(Ok(()), |path| write_json(path, report))?;
        self.files.write(report)?;
        if self.speaks() { say(report) } else { Ok(()) }
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
        out += &format!("{named}{} clients in {place} of {target}; ", count(clients));
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
