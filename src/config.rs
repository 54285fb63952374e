//! What the server uses: the options of the command line and the file, put together, checked, and
//! derived once. Opens nothing but the files that they name to be read.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZero;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ipnet::IpNet;

use crate::args::{Args, Letters, LogLevel, Number, Options, Slow, Trust, Unconfined};
use crate::chat::Nicknames;
use crate::engine::{Bounds, SlowPolicy};
use crate::failure::{Failure, Kind};
use crate::limits::{DRAIN_S, HISTORY_LINES, PACE_MS, WORKERS_MAX};
use crate::motd;

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
    /// The message of the day; may be empty.
    pub motd: Arc<str>,
    /// Lines of each room that are kept.
    pub history_lines: usize,
    /// Clients at a time; `None`: as many as the limit of open files allows.
    pub clients_max: Option<u64>,
    /// Networks whose clients are exempt from the limits for each address and from the rate of
    /// lines.
    pub trusted: Vec<IpNet>,
    /// What one client, and one address, may take.
    pub bounds: Bounds,
    /// What becomes of slow readers.
    pub slow: SlowPolicy,
    /// The least time between two sweeps of a busy room.
    pub pace: Duration,
    /// How long clients and transcript are given when the server stops.
    pub drain: Duration,
    /// Which nicknames there may be.
    pub nicknames: Nicknames,
    /// Whom to become.
    pub user: Option<String>,
    /// What to give up.
    pub confinement: Confinement,
    /// What is logged.
    pub log_level: tracing::Level,
}

/// What the process gives up after its start, part by part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// Operations of the workers' rings that serving does not need.
    pub ring: bool,
    /// The privileges of root.
    pub privileges: bool,
    /// Opening files, binding and connecting.
    pub files: bool,
    /// System calls that serving does not need.
    pub calls: bool,
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
        Self::derive(args.options.over(file))
    }

    fn derive(options: Options) -> Result<Self, Failure> {
        let bounds = bounds(&options);
        let listen = match options.listen {
            none if none.is_empty() => vec![LISTEN.parse().expect("a well-formed address")],
            some => some,
        };
        Ok(Self {
            listen,
            workers: options.workers.map_or_else(cores, |workers| count(workers.value())),
            admin: options.admin.map(|admin| admin.0),
            transcript: options.transcript.map(Transcript::from),
            rooms: options.room.into_iter().map(|room| room.0).collect(),
            motd: options.motd.as_deref().map_or_else(|| Ok("".into()), motd::read)?,
            history_lines: count(options.history_lines.map_or(HISTORY_LINES, Number::value)),
            clients_max: options.max_clients.map(|clients| clients.value()),
            trusted: trusted(&options.trust),
            bounds,
            slow: options.slow.map_or(SlowPolicy::Close, SlowPolicy::from),
            pace: Duration::from_millis(options.pace.map_or(PACE_MS, |pace| pace.value())),
            drain: Duration::from_secs(options.drain.map_or(DRAIN_S, |drain| drain.value())),
            nicknames: options.nicknames.map_or(Nicknames::Ascii, Nicknames::from),
            user: options.user,
            confinement: Confinement::without(&options.unconfined),
            log_level: options.log_level.map_or(tracing::Level::INFO, tracing::Level::from),
        })
    }
}

impl Confinement {
    fn without(left_out: &[Unconfined]) -> Self {
        let keeps = |part| !left_out.iter().any(|out| [part, Unconfined::All].contains(out));
        Self {
            ring: keeps(Unconfined::Ring),
            privileges: keeps(Unconfined::Privileges),
            files: keeps(Unconfined::Files),
            calls: keeps(Unconfined::Calls),
        }
    }
}

/// The loopback, if nothing is said.
fn trusted(said: &[Trust]) -> Vec<IpNet> {
    if said.is_empty() {
        let loopback = [IpAddr::from([127, 0, 0, 0]), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let [v4, v6] =
            loopback.map(|addr| IpNet::new_assert(addr, if addr.is_ipv4() { 8 } else { 128 }));
        return vec![v4, v6];
    }
    said.iter()
        .filter_map(|trust| match trust {
            Trust::Network(network) => Some(*network),
            Trust::Nobody => None,
        })
        .collect()
}

fn bounds(options: &Options) -> Bounds {
    fn of<const MIN: u64, const MAX: u64>(said: Option<Number<MIN, MAX>>, default: u32) -> u32 {
        said.map_or(default, |said| u32::try_from(said.value()).expect("a bound below 2^32"))
    }
    let default = Bounds::default();
    Bounds {
        address_clients: of(options.address_clients, default.address_clients),
        address_rate: of(options.address_rate, default.address_rate),
        line_burst: of(options.line_burst, default.line_burst),
        line_rate: of(options.line_rate, default.line_rate),
        behind_len: options.behind_bytes.map_or(default.behind_len, Number::value),
        behind_age: options
            .behind_age
            .map_or(default.behind_age, |age| Duration::from_secs(age.value())),
        unread_len: options.unread_bytes.map_or(default.unread_len, Number::value),
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(WORKERS_MAX)
}

fn count(number: u64) -> usize {
    usize::try_from(number).expect("a count bounded by args")
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

impl From<Letters> for Nicknames {
    fn from(letters: Letters) -> Self {
        match letters {
            Letters::Ascii => Self::Ascii,
            Letters::Unicode => Self::Unicode,
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn typed(words: &[&str]) -> Result<Config, Failure> {
        let words = ["chatd"].iter().chain(words);
        let args = Args::try_parse_from(words).map_err(|error| {
            let code = u8::try_from(error.exit_code()).expect("a small number");
            assert_eq!(code, Kind::Usage.number());
            let told = error.to_string();
            Failure::new(Kind::Usage, told.lines().next().unwrap_or_default())
        })?;
        Config::new(args)
    }

    /// Reads `text` as a file named `chatd.toml`.
    fn file(text: &str) -> Result<Options, Failure> {
        let path = std::env::temp_dir().join(format!(
            "chatd-config-{}-{:?}.toml",
            std::process::id(),
            thread::current().id()
        ));
        fs::write(&path, text).expect("a writable directory");
        let options = read(&path);
        fs::remove_file(&path).expect("it was just written");
        options.map_err(|failure| {
            let message = failure.message.replace(&path.display().to_string(), "chatd.toml");
            Failure { message, ..failure }
        })
    }

    #[test]
    fn nothing_typed_is_a_server_for_this_machine() {
        let config = typed(&[]).expect("no option is needed");
        assert_eq!(config.listen[0].to_string(), LISTEN);
        assert_eq!(config.listen.len(), 1);
        assert_eq!(config.workers, cores());
        assert_eq!((config.admin, config.transcript, config.clients_max), (None, None, None));
        assert_eq!(config.drain, Duration::from_secs(3));
        assert_eq!(config.pace, Duration::from_millis(10));
        assert_eq!(config.log_level, tracing::Level::INFO);
    }

    #[test]
    fn every_option_has_one_name_in_both_places() {
        let words = "--listen 127.0.0.1:1 --listen telnet://[::1]:2 --workers 3 --admin 127.0.0.1:4 \
             --transcript - --room one --room two --motd /dev/null --history-lines 14 \
             --max-clients 5 --slow skip \
             --pace 6 --drain 7 --log-level debug --address-clients 8 --address-rate 9 \
             --line-burst 11 --line-rate 12 --behind-bytes 20000 --behind-age 13 \
             --unread-bytes 5000 --user nobody --nicknames unicode --unconfined ring";
        let words = ["chatd"].into_iter().chain(words.split_ascii_whitespace());
        let args = Args::try_parse_from(words).expect("well-formed options");
        let file = file(
            r#"listen = ["127.0.0.1:1", "telnet://[::1]:2"]
            workers = 3
            admin = "127.0.0.1:4"
            transcript = "-"
            room = ["one", "two"]
            motd = "/dev/null"
            history-lines = 14
            max-clients = 5
            slow = "skip"
            pace = 6
            drain = 7
            log-level = "debug"
            address-clients = 8
            address-rate = 9
            line-burst = 11
            line-rate = 12
            behind-bytes = 20000
            behind-age = 13
            unread-bytes = 5000
            user = "nobody"
            nicknames = "unicode"
            unconfined = ["ring"]"#,
        );
        assert_eq!(file.as_ref(), Ok(&args.options));
        let config = Config::new(args).expect("well-formed options");
        assert_eq!(config.transcript, Some(Transcript::Stdout));
        assert_eq!(config.slow, SlowPolicy::Skip);
        assert_eq!((config.workers, config.clients_max), (3, Some(5)));
        let bounds = Bounds {
            address_clients: 8,
            address_rate: 9,
            line_burst: 11,
            line_rate: 12,
            behind_len: 20_000,
            behind_age: Duration::from_secs(13),
            unread_len: 5_000,
        };
        assert_eq!(config.bounds, bounds);
    }

    #[test]
    fn what_is_typed_wins_over_the_file() {
        let file = file("workers = 2\ndrain = 1\nroom = [\"one\"]").expect("a good file");
        let args = Args::parse_from(["chatd", "--workers", "1", "--room", "two"]);
        let options = args.options.over(file);
        assert_eq!(options.workers.map(|workers| workers.value()), Some(1));
        assert_eq!(options.drain.map(|drain| drain.value()), Some(1));
        assert_eq!(options.room, [crate::args::RoomName("two".into())]);
    }

    #[test]
    fn usage_errors_say_what_to_write() {
        for (words, told) in [
            ("--port 5", "error: unexpected argument '--port' found"),
            ("--listen 127.0.0.1", r#"has no port: write it as ADDR:PORT"#),
            ("--listen telnet://127.0.0.1", r#""127.0.0.1" has no port: write it as ADDR:PORT"#),
            ("--listen 2626", r#""2626" has no port: write it as ADDR:PORT"#),
            ("--listen ::1", r#""::1" has no port: write it as [ADDR]:PORT"#),
            ("--listen [::1]", r#""[::1]" has no port: write it as [ADDR]:PORT"#),
            (
                "--listen localhost:1",
                r#""localhost:1" is not an address: write it as ADDR:PORT, both in numbers"#,
            ),
            (
                "--listen 127.0.0.1:65536",
                r#""127.0.0.1:65536" is not an address: write it as ADDR:PORT, both in numbers"#,
            ),
            ("--listen irq://127.0.0.1:1", r#"there is no dialect "irq"; "#),
            ("--listen [::1]:1 --listen [::1]:1", "error: two listeners on [::1]:1"),
            ("--admin 127.0.0.1", "has no port: write it as ADDR:PORT"),
            ("--workers 0", "it is a number from 1 to 62"),
            ("--workers 63", "it is a number from 1 to 62"),
            ("--workers two", "it is a number from 1 to 62"),
            ("--max-clients 0", "it is a number from 1 to "),
            ("--behind-bytes 1000", "it is a number from 16384 to 131072"),
            ("--behind-age 21", "it is a number from 1 to 20"),
            ("--line-rate 0", "it is a number from 1 to 10000"),
            ("--drain 61", "it is a number from 0 to 60"),
            ("--pace=-1", "it is a number from 0 to 250"),
            ("--slow wait", "error: invalid value 'wait' for '--slow <close|skip>'"),
            ("--log-level all", "error: invalid value 'all' for '--log-level"),
            (
                "--room a/b",
                r#""a/b" cannot name a room: the name of a room is 1 to 20 letters, digits, - or _"#,
            ),
            ("--room=", r#""" cannot name a room"#),
            ("--room aaaaaaaaaabbbbbbbbbbc", "cannot name a room"),
        ] {
            let words: Vec<_> = words.split_ascii_whitespace().collect();
            let failure = typed(&words).expect_err(told);
            assert_eq!(failure.kind, Kind::Usage);
            assert!(failure.message.contains(told), "{words:?}: {failure}");
        }
    }

    #[test]
    fn any_port_may_be_asked_for_twice() {
        let listen = ["--listen", "127.0.0.1:0"];
        assert_eq!(typed(&[listen, listen].concat()).expect("two ports").listen.len(), 2);
    }

    #[test]
    fn errors_of_the_file_say_where() {
        for (text, told) in [
            ("workers = 0", "chatd.toml:1:11: it is a number from 1 to 62"),
            ("drain = 1\n  workers = -4", "chatd.toml:2:13: it is a number from 1 to 62"),
            (
                "listen = [\n  \"127.0.0.1\",\n]",
                "chatd.toml:1:10: \"127.0.0.1\" has no port: write it as ADDR:PORT",
            ),
            ("listen = [\"[::]:1\", \"[::]:1\"]", "chatd.toml:1:10: two listeners on [::]:1"),
            ("# ä\nröom = 1", "chatd.toml:2:2: "),
            ("\nport = 5", "chatd.toml:2:1: unknown field `port`, expected one of `listen`, "),
            ("room = \"x\"", "chatd.toml:1:8: invalid type: string \"x\", expected a sequence"),
            (
                "slow = \"wait\"",
                "chatd.toml:1:8: unknown variant `wait`, expected `close` or `skip`",
            ),
            ("workers", "chatd.toml:1:8: "),
        ] {
            let failure = file(text).expect_err(told);
            assert_eq!(failure.kind, Kind::Configuration);
            assert!(failure.message.starts_with(told), "{text}: {failure}");
            assert!(!failure.message.contains('\n'), "{text}: {failure}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let failure = typed(&["--config", "/nowhere/chatd.toml"]).expect_err("there is no file");
        assert_eq!(failure.kind, Kind::Configuration);
        assert_eq!(failure.message, "/nowhere/chatd.toml: No such file or directory (os error 2)");
    }
}
