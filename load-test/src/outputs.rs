//! Files that a report can become, at the end of its run or later from its JSON.

use crate::options::{check_writable, say};
use crate::report::{Report, SCHEMA};
use crate::{Failure, failed, hdr, html, usage};
use clap::Args;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Where to write it besides.
#[derive(Debug, Default, Args)]
pub(crate) struct Outputs {
    /// Write it as one HTML file that needs nothing else
    #[arg(long, short = 'o', value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write each histogram into this folder, as a .hgrm table for HdrHistogram's plotters
    #[arg(long, value_name = "DIR")]
    hgrm: Option<PathBuf>,
    /// Write the latency of each second as an interval log of HdrHistogram
    #[arg(long, value_name = "FILE")]
    hlog: Option<PathBuf>,
}

/// `load-test report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// What `--json` has written
    #[arg(value_name = "FILE.json")]
    report: PathBuf,
    #[command(flatten)]
    outputs: Outputs,
}

impl Outputs {
    pub(crate) fn write(&self, report: &Report) -> Result<(), Failure> {
        if let Some(path) = &self.html {
            write_html(path, report)?;
        }
        if let Some(folder) = &self.hgrm {
            hdr::write_hgrm(folder, report)?;
        }
        self.hlog.as_deref().map_or(Ok(()), |path| hdr::write_hlog(path, report))
    }

    /// Refuses files that cannot be written, before there is something to write.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let files = [&self.html, &self.hlog].into_iter().flatten();
        files.map(PathBuf::as_path).try_for_each(check_writable)?;
        self.hgrm.as_deref().map_or(Ok(()), check_folder)
    }

    fn is_none(&self) -> bool {
        self.html.is_none() && self.hgrm.is_none() && self.hlog.is_none()
    }
}

/// Without an output it writes the HTML beside the JSON.
pub(crate) fn execute(arguments: &ReportArguments) -> Result<(), Failure> {
    let ReportArguments { report: path, outputs } = arguments;
    let report = read(path)?;
    if outputs.is_none() {
        let beside = path.with_extension("html");
        write_html(&beside, &report)?;
        say(&beside.display())?;
    }
    outputs.write(&report)
}

/// A report that was saved as JSON.
pub(crate) fn read(path: &Path) -> Result<Report, Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| usage(format!("{name}: {error}")))?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|error| usage(format!("{name} is no JSON: {error}")))?;
    match value.get("schema").and_then(Value::as_str) {
        Some(SCHEMA) => {}
        Some(other) => {
            return Err(usage(format!(
                "{name} has the schema {other:?}, this load-test reads {SCHEMA:?}: use the one \
                 that wrote it"
            )));
        }
        None => {
            return Err(usage(format!(
                "{name} is no report: it has no \"schema\". Reports are what --json writes"
            )));
        }
    }
    serde_json::from_value(value)
        .map_err(|error| usage(format!("{name} is no report of schema {SCHEMA:?}: {error}")))
}

/// Makes the folder if need be; refuses one in which no file can be written.
fn check_folder(folder: &Path) -> Result<(), Failure> {
    let made = std::fs::create_dir_all(folder);
    made.map_err(|error| usage(format!("{}: {error}", folder.display())))?;
    check_writable(&folder.join("latency.hgrm"))
}

fn write_html(path: &Path, report: &Report) -> Result<(), Failure> {
    std::fs::write(path, html::page(report))
        .map_err(|error| failed(&path.display().to_string(), &error))
}
