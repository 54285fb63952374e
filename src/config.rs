//! What the server uses: the options of the command line and the file, put together, checked, and
//! derived once. Opens nothing but the file.

use std::fs;
use std::num::NonZero;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::args::{Args, LogLevel, Options, Slow};
use crate::engine::SlowPolicy;
use crate::failure::{Failure, Kind};
use crate::limits::{DRAIN_S, PACE_MS, WORKERS_MAX};

pub use crate::args::Listen;

/// Where clients connect when nothing is said.
const LISTEN: &str = "telnet://127.0.0.1:2626";

/// The server, as it was asked for.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect; at least one.
    pub listen: Vec<Listen>,
    /// Threads that serve them, up to `limits::WORKERS_MAX`.
    pub workers: usize,
    /// Where the admin endpoint is served.
    pub admin: Option<std::net::SocketAddr>,
    /// Where the transcript goes.
    pub transcript: Option<Transcript>,
    /// Rooms that are always there.
    pub rooms: Vec<String>,
    /// Clients at a time; `None`: as many as the limit of open files allows.
    pub clients_max: Option<u64>,
    /// What becomes of slow readers.
    pub slow: SlowPolicy,
    /// The least time between two sweeps of a busy room.
    pub pace: Duration,
    /// How long clients and transcript are given when the server stops.
    pub drain: Duration,
    /// What is logged.
    pub log_level: tracing::Level,
}

/// Where the transcript goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transcript {
    /// To the standard output.
    Stdout,
    /// To the end of that file.
    File(PathBuf),
}

impl Config {
    /// Reads the file, if one is named, and puts everything together.
    ///
    /// # Errors
    /// Usage errors, and errors of the file with the place where they are.
    pub fn new(args: Args) -> Result<Self, Failure> {
        args.options.check().map_err(|error| {
            Failure::new(Kind::Usage, format_args!("error: {error}\n\nSee 'chatd --help'."))
        })?;
        let file = args.config.as_deref().map_or_else(|| Ok(Options::default()), read)?;
        Ok(Self::derive(args.options.over(file)))
    }

    fn derive(options: Options) -> Self {
        let listen = match options.listen {
            none if none.is_empty() => vec![LISTEN.parse().expect("a well-formed address")],
            some => some,
        };
        Self {
            listen,
            workers: options.workers.map_or_else(cores, |workers| count(workers.value())),
            admin: options.admin.map(|admin| admin.0),
            transcript: options.transcript.map(Transcript::from),
            rooms: options.room.into_iter().map(|room| room.0).collect(),
            clients_max: options.max_clients.map(|clients| clients.value()),
            slow: options.slow.map_or(SlowPolicy::Close, SlowPolicy::from),
            pace: Duration::from_millis(options.pace.map_or(PACE_MS, |pace| pace.value())),
            drain: Duration::from_secs(options.drain.map_or(DRAIN_S, |drain| drain.value())),
            log_level: options.log_level.map_or(tracing::Level::INFO, tracing::Level::from),
        }
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(WORKERS_MAX)
}

fn count(number: u64) -> usize {
    usize::try_from(number).expect("a count below WORKERS_MAX")
}

/// Reads the options in the file.
fn read(path: &Path) -> Result<Options, Failure> {
    let failure = |message| Failure::new(Kind::Configuration, message);
    let text = fs::read_to_string(path)
        .map_err(|error| failure(format!("{}: {error}", path.display())))?;
    toml::from_str(&text).map_err(|error| {
        let (line, column) = place(&text, error.span());
        failure(format!("{}:{line}:{column}: {}", path.display(), error.message()))
    })
}

/// The line and the column where the span starts, counted from 1.
fn place(text: &str, span: Option<Range<usize>>) -> (usize, usize) {
    let start = span.map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

impl From<PathBuf> for Transcript {
    fn from(path: PathBuf) -> Self {
        if path == Path::new("-") { Self::Stdout } else { Self::File(path) }
    }
}

impl From<Slow> for SlowPolicy {
    fn from(slow: Slow) -> Self {
        match slow {
            Slow::Close => Self::Close,
            Slow::Skip => Self::Skip,
        }
    }
}

impl From<LogLevel> for tracing::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
        }
    }
}
