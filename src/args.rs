//! What the operator typed, on the command line or in the configuration file; nothing derived.
//!
//! [`Options`] is read by clap from the one and by serde from the other, so that an option has one
//! name, one meaning and one check in both places.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand};
use ipnet::IpNet;
use serde::Deserialize;

use crate::chat::validate_room_name;
use crate::dialect::Dialect;
use crate::limits::{
    ADDRESS_MAX, BEHIND_LEN_LEAST, BEHIND_LEN_MAX, BEHIND_S_MAX, DRAIN_S_MAX, HISTORY_LINES_MAX,
    LINES_MAX, LISTENERS_MAX, PACE_MS_MAX, ROOMS_MAX, SLOTS_MAX, UNREAD_LEN_LEAST, UNREAD_LEN_MAX,
    WORKERS_MAX,
};

/// A chat server for Linux on io_uring.
#[derive(Clone, Debug, Default, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    subcommand_help_heading = "Instead of serving",
    after_help = "SIGINT and SIGTERM stop the server; a second one ends it at once.\n\
    Exit codes: 0 stopped, 1 broken, 2 usage, 69 io_uring unavailable, 71 address or limit\n\
    not to be had, 78 configuration, 128+N ended by a second signal N."
)]
pub struct Args {
    /// What is to be done instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,
    /// A file of options, in TOML, under the names they have here; options given here win
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Say whether the options and the file are right, and exit: 0 if they are
    #[arg(long)]
    pub check_config: bool,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub options: Options,
}

/// What is to be done instead of serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Put this program in the place of a server that runs; nobody loses the connection
    ///
    /// This program is started as that server was, with the same options in the same directory. It
    /// opens and checks everything, and only then takes over the listening sockets and all clients,
    /// with their nicknames, rooms and what they have not read. They stand still for a moment.
    /// Whatever fails before is told here and in the log, and the server that runs goes on.
    ///
    /// To be run by the user who started the server; it needs Linux 6.8. Where systemd is to know
    /// the new process: systemctl reload chatd.
    #[command(after_help = "Exit codes: 0 the new one serves, 71 the server that runs cannot be \
        reached, or refuses;\notherwise what the new one ended with.")]
    Upgrade {
        /// The process that runs
        #[arg(value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
        pid: u32,
    },
}

/// The options.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Options {
    /// Where clients connect: telnet, rid or p2p; may be repeated
    /// [default: telnet://127.0.0.1:2626]
    #[arg(long, value_name = "[DIALECT://]ADDR:PORT")]
    #[serde(deserialize_with = "listeners")]
    pub listen: Vec<Listen>,
    /// Threads that serve clients [default: one for each core]
    #[arg(long, value_name = "N")]
    pub workers: Option<Number<1, { WORKERS_MAX as u64 }>>,
    /// Where /healthz, /readyz and /metrics are served over HTTP [default: nowhere]
    #[arg(long, value_name = "ADDR:PORT")]
    pub admin: Option<Addr>,
    /// Append what is said in the rooms to FILE, or write it to stdout (-) [default: neither]
    #[arg(long, value_name = "FILE|-")]
    pub transcript: Option<PathBuf>,
    /// A room that is always there, and a command that leads to it; may be repeated
    #[arg(long, value_name = "NAME")]
    #[serde(deserialize_with = "rooms")]
    pub room: Vec<RoomName>,
    /// The message of the day: a text that people are shown when they connect [default: none]
    #[arg(long, value_name = "FILE")]
    pub motd: Option<PathBuf>,
    /// Lines of each room that are kept, for /history and for who comes by /join; 0: none
    /// [default: 10]
    #[arg(long, value_name = "N")]
    pub history_lines: Option<Number<0, HISTORY_LINES_MAX>>,
    /// Clients at a time [default: as many as the limit of open files allows]
    #[arg(long, value_name = "N")]
    pub max_clients: Option<Number<1, { SLOTS_MAX as u64 * WORKERS_MAX as u64 }>>,
    /// A network whose clients are exempt from the limits for each address and from the rate of
    /// lines, or none; may be repeated [default: 127.0.0.0/8 and ::1]
    #[arg(long, value_name = "ADDR/BITS|none")]
    pub trust: Vec<Trust>,
    /// Connections at a time from one address, IPv4 or IPv6 /64 [default: 16]
    #[arg(long, value_name = "N")]
    pub address_clients: Option<Number<1, ADDRESS_MAX>>,
    /// New connections a minute from one address, as many at once after a pause [default: 32]
    #[arg(long, value_name = "N")]
    pub address_rate: Option<Number<1, ADDRESS_MAX>>,
    /// Lines a client may send at once after a pause [default: 10]
    #[arg(long, value_name = "N")]
    pub line_burst: Option<Number<1, LINES_MAX>>,
    /// Lines a second it may send after those; faster ones wait, unread [default: 5]
    #[arg(long, value_name = "N")]
    pub line_rate: Option<Number<1, LINES_MAX>>,
    /// Bytes that may come while a client's socket is full, before it is too slow [default: 65536]
    #[arg(long, value_name = "BYTES")]
    pub behind_bytes: Option<Number<BEHIND_LEN_LEAST, BEHIND_LEN_MAX>>,
    /// How late a byte may be to a client whose socket is full, in seconds [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub behind_age: Option<Number<1, BEHIND_S_MAX>>,
    /// Bytes of replies a client may leave unread before its own lines wait [default: 16384]
    #[arg(long, value_name = "BYTES")]
    pub unread_bytes: Option<Number<UNREAD_LEN_LEAST, UNREAD_LEN_MAX>>,
    /// What becomes of clients that read too slowly [default: close]
    #[arg(long, value_enum, value_name = "close|skip", hide_possible_values = true)]
    pub slow: Option<Slow>,
    /// The least time between two sends to a busy room, in milliseconds; 0: none [default: 10]
    #[arg(long, value_name = "MS")]
    pub pace: Option<Number<0, PACE_MS_MAX>>,
    /// How long clients may take to read the rest when the server stops [default: 3]
    #[arg(long, value_name = "SECONDS")]
    pub drain: Option<Number<0, DRAIN_S_MAX>>,
    /// Which nicknames there may be: ascii, or unicode, of which no two at a time look alike
    /// [default: ascii]
    #[arg(long, value_enum, value_name = "ascii|unicode", hide_possible_values = true)]
    pub nicknames: Option<Letters>,
    /// The user to become after the start, when that was made as root [default: none]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// A part of the confinement to leave out: ring, privileges, files, calls or all; may be
    /// repeated [default: none]
    #[arg(long, value_enum, value_name = "PART", hide_possible_values = true)]
    pub unconfined: Vec<Unconfined>,
    /// What is logged on stderr [default: info]
    #[arg(long, value_enum, value_name = "error|warn|info|debug", hide_possible_values = true)]
    pub log_level: Option<LogLevel>,
}

impl Options {
    /// These options, and those of `file` where nothing was said here.
    #[must_use]
    pub fn over(self, file: Self) -> Self {
        Self {
            listen: first_said(self.listen, file.listen),
            workers: self.workers.or(file.workers),
            admin: self.admin.or(file.admin),
            transcript: self.transcript.or(file.transcript),
            room: first_said(self.room, file.room),
            motd: self.motd.or(file.motd),
            history_lines: self.history_lines.or(file.history_lines),
            max_clients: self.max_clients.or(file.max_clients),
            trust: first_said(self.trust, file.trust),
            address_clients: self.address_clients.or(file.address_clients),
            address_rate: self.address_rate.or(file.address_rate),
            line_burst: self.line_burst.or(file.line_burst),
            line_rate: self.line_rate.or(file.line_rate),
            behind_bytes: self.behind_bytes.or(file.behind_bytes),
            behind_age: self.behind_age.or(file.behind_age),
            unread_bytes: self.unread_bytes.or(file.unread_bytes),
            slow: self.slow.or(file.slow),
            pace: self.pace.or(file.pace),
            drain: self.drain.or(file.drain),
            nicknames: self.nicknames.or(file.nicknames),
            user: self.user.or(file.user),
            unconfined: first_said(self.unconfined, file.unconfined),
            log_level: self.log_level.or(file.log_level),
        }
    }

    /// Checks what no single value shows.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn check(&self) -> Result<(), String> {
        check_listeners(&self.listen)?;
        check_rooms(&self.room)
    }
}

fn first_said<T>(said: Vec<T>, otherwise: Vec<T>) -> Vec<T> {
    if said.is_empty() { otherwise } else { said }
}

/// A place to listen, and how its clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Listen {
    /// How they speak.
    pub dialect: Dialect,
    /// Where they connect.
    pub addr: SocketAddr,
}

/// An address with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Addr(pub SocketAddr);

/// A number within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Number<const MIN: u64, const MAX: u64>(u64);

/// A name a room can have.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RoomName(pub String);

/// Clients that are exempt from the limits on connections and lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Trust {
    /// Those of a network.
    Network(IpNet),
    /// None at all.
    Nobody,
}

/// What becomes of clients that read too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Slow {
    /// They are closed.
    Close,
    /// They miss lines, and are told how many.
    Skip,
}

/// The letters of nicknames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Letters {
    Ascii,
    Unicode,
}

/// A part of the confinement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Unconfined {
    /// The operations of the workers' rings.
    Ring,
    /// The privileges of root.
    Privileges,
    /// Files and new connections.
    Files,
    /// System calls.
    Calls,
    /// All of them.
    All,
}

/// What is logged: this and what is graver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

impl<const MIN: u64, const MAX: u64> Number<MIN, MAX> {
    /// The number.
    #[must_use]
    pub fn value(self) -> u64 {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64> TryFrom<i64> for Number<MIN, MAX> {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        u64::try_from(number)
            .ok()
            .filter(|number| (MIN..=MAX).contains(number))
            .map(Self)
            .ok_or_else(|| format!("it is a number from {MIN} to {MAX}"))
    }
}

impl<const MIN: u64, const MAX: u64> FromStr for Number<MIN, MAX> {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        // What is no number at all fails as one that is out of bounds does.
        Self::try_from(word.parse().unwrap_or(-1))
    }
}

impl FromStr for Addr {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        if let Ok(addr) = word.parse() {
            return Ok(Self(addr));
        }
        let host = word.trim_start_matches('[').trim_end_matches(']');
        if host.parse::<Ipv6Addr>().is_ok() {
            return Err(format!("{word:?} has no port: write it as [ADDR]:PORT"));
        }
        if host.parse::<IpAddr>().is_ok() || !word.contains(':') {
            return Err(format!("{word:?} has no port: write it as ADDR:PORT"));
        }
        Err(format!("{word:?} is not an address: write it as ADDR:PORT, both in numbers"))
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let (dialect, addr) = match word.split_once("://") {
            Some((dialect, addr)) => (dialect.parse()?, addr),
            None => (Dialect::Telnet, word),
        };
        Ok(Self { dialect, addr: Addr::from_str(addr)?.0 })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.dialect, self.addr)
    }
}

impl FromStr for RoomName {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match validate_room_name(word) {
            Ok(()) => Ok(Self(word.to_owned())),
            Err(error) => Err(format!("{word:?} cannot name a room: {error}")),
        }
    }
}

impl FromStr for Trust {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        if word == "none" {
            return Ok(Self::Nobody);
        }
        let network = word.parse().or_else(|_| word.parse::<IpAddr>().map(IpNet::from));
        network.map(Self::Network).map_err(|_| {
            format!("{word:?} is no network: write it as ADDR/BITS, such as 10.0.0.0/8, or none")
        })
    }
}

/// What is read from a word is read from a TOML string in the same way.
macro_rules! try_from_string {
    ($($name:ty),*) => {$(
        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(word: String) -> Result<Self, String> {
                word.parse()
            }
        }
    )*};
}
try_from_string!(Addr, Listen, RoomName, Trust);

fn listeners<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Listen>, D::Error> {
    let listeners = Vec::deserialize(from)?;
    check_listeners(&listeners).map_err(serde::de::Error::custom)?;
    Ok(listeners)
}

fn rooms<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<RoomName>, D::Error> {
    let rooms = Vec::deserialize(from)?;
    check_rooms(&rooms).map_err(serde::de::Error::custom)?;
    Ok(rooms)
}

fn check_listeners(listeners: &[Listen]) -> Result<(), String> {
    if listeners.len() > LISTENERS_MAX {
        return Err(format!("{} listeners, {LISTENERS_MAX} are allowed", listeners.len()));
    }
    for (index, listener) in listeners.iter().enumerate() {
        // Port 0 is another port each time.
        let same = |before: &Listen| before.addr == listener.addr && before.addr.port() != 0;
        if listeners[..index].iter().any(same) {
            return Err(format!("two listeners on {}", listener.addr));
        }
    }
    Ok(())
}

fn check_rooms(rooms: &[RoomName]) -> Result<(), String> {
    if rooms.len() >= ROOMS_MAX {
        return Err(format!("{} rooms, fewer than {ROOMS_MAX} are allowed", rooms.len()));
    }
    Ok(())
}
