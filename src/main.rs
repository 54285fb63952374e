//! The server's binary.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use chatd::args::Args;
use chatd::config::Config;
use chatd::control::{self, Opened};
use chatd::failure::Failure;
use chatd::log::Log;

fn main() -> ExitCode {
    match start(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where nobody can be told, the exit code has to do.
            let _ = writeln!(io::stderr(), "{failure}");
            failure.exit_code()
        }
    }
}

fn start(args: Args) -> Result<(), Failure> {
    let check_config = args.check_config;
    let config = Config::new(args)?;
    if check_config {
        let _ = writeln!(io::stdout(), "ok");
        return Ok(());
    }
    // Before the log, which has a thread.
    let opened = Opened::new(&config)?;
    let log = Log::open(config.log_level);
    control::run(config, opened, log.dropped())
}
