//! The load generator: parse, do, choose the exit code.

use clap::Parser;
use load_test::Failure;
use load_test::args::Arguments;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Arguments::parse().execute() {
        Ok(code) => code,
        Err(failure) => {
            // Who closed standard error does not want to know.
            let _closed = writeln!(std::io::stderr(), "load-test: {failure}");
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 })
        }
    }
}
