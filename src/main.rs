//! The server's binary.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use chatd::args::{Args, Command};
use chatd::config::Config;
use chatd::control::{self, Opened, Taker};
use chatd::failure::Failure;
use chatd::log::Log;
use chatd::upgrade;

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.command {
        Some(Command::Upgrade { pid }) => upgrade::run(pid),
        None => start(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where nobody can be told, the exit code has to do.
            let _ = writeln!(io::stderr(), "{failure}");
            failure.exit_code()
        }
    }
}

/// Serves, from the start or from where another process stands.
fn start(args: Args) -> Result<(), Failure> {
    let taker = if args.check_config { None } else { Taker::from_environment()? };
    let report = taker.as_ref().map(Taker::report);
    serve(args, taker).inspect_err(|failure| {
        if let Some(report) = report {
            report.failed(failure);
        }
    })
}

fn serve(args: Args, mut taker: Option<Taker>) -> Result<(), Failure> {
    let check_config = args.check_config;
    let config = Config::new(args)?;
    if check_config {
        let _ = writeln!(io::stdout(), "ok");
        return Ok(());
    }
    // Before the log, which has a thread.
    let opened = Opened::new(&config, taker.as_mut())?;
    let log = Log::open(config.log_level);
    control::run(config, opened, taker, log.dropped())
}
