//! What was typed on the command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::dialect::Dialect;
use crate::limits::{ID_LEN_MAX, ROOM_LEN_MAX};

/// Chat in the terminal: what arrives never touches the line you are typing.
#[derive(Debug, Parser)]
#[command(
    name = "chat",
    version,
    after_help = "Tab completes commands, nicknames and rooms; Up and Down call back lines, Ctrl-R finds\n\
    one that contains what is typed; Ctrl-D or /quit ends. /help lists the server's commands.\n\
    Without a terminal lines go through: printf 'hi\\n' | chat\n\
    With --dialect rid or p2p there are no commands. For p2p each line's reader is asked for\n\
    (Ctrl-C goes back to the line); without a terminal a line is ID||TEXT.\n\
    Exit codes: 0 the end you asked for, 1 no connection or connection lost, 2 usage."
)]
pub(crate) struct Args {
    /// Where the server is; HOST:PORT in one word will do
    #[arg(default_value = "127.0.0.1")]
    host: String,
    /// Its port [default: 2626; for rid 9898, for p2p 5247]
    port: Option<u16>,
    /// How the server is spoken to
    #[arg(long, value_enum, default_value = "telnet")]
    dialect: DialectName,
    /// With --dialect rid: the number of the room
    #[arg(long, value_name = "NUMBER")]
    room: Option<String>,
    /// With --dialect p2p: your id
    #[arg(long)]
    id: Option<String>,
    /// Show the time before each line
    #[arg(long)]
    pub(crate) time: bool,
    /// Ring when your nickname is named or somebody writes to you only
    #[arg(long)]
    pub(crate) bell: bool,
    /// No colours; so does NO_COLOR in the environment
    #[arg(long)]
    pub(crate) no_color: bool,
    /// Lines in, lines out, nothing redrawn: for screen readers
    #[arg(long)]
    pub(crate) plain: bool,
    /// End when the connection is lost
    #[arg(long)]
    pub(crate) no_reconnect: bool,
    /// Keep what you send in FILE, to be called back next time [default: only in memory]
    #[arg(long, value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,
}

/// The value of `--dialect`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum DialectName {
    /// Lines and commands
    Telnet,
    /// Frames for the room with a number
    Rid,
    /// Lines for an id, or for all
    P2p,
}

impl Args {
    /// How to speak.
    ///
    /// # Errors
    /// In words, if what belongs to the dialect is missing or wrong, or belongs to another.
    pub(crate) fn dialect(&self) -> Result<Dialect, String> {
        match (self.dialect, &self.room, &self.id) {
            (DialectName::Telnet, None, None) => Ok(Dialect::Telnet),
            (DialectName::Rid, Some(room), None) => {
                let is_number = room.bytes().all(|byte| byte.is_ascii_digit());
                if is_number && (1..=ROOM_LEN_MAX).contains(&room.len()) {
                    Ok(Dialect::Rid { room: room.clone() })
                } else {
                    Err(format!("not a room's number: {room:?}; it has 1 to {ROOM_LEN_MAX} digits"))
                }
            }
            (DialectName::P2p, None, Some(id)) => {
                let is_word = !id.chars().any(|c| c.is_whitespace() || c.is_control());
                if is_word && (1..=ID_LEN_MAX).contains(&id.len()) {
                    Ok(Dialect::P2p { id: id.clone() })
                } else {
                    Err(format!("not an id: {id:?}; it is one word of up to {ID_LEN_MAX} bytes"))
                }
            }
            (DialectName::Rid, None, _) => Err("--dialect rid needs --room NUMBER".to_owned()),
            (DialectName::P2p, _, None) => Err("--dialect p2p needs --id ID".to_owned()),
            (_, Some(_), _) => Err("--room goes with --dialect rid only".to_owned()),
            (_, _, Some(_)) => Err("--id goes with --dialect p2p only".to_owned()),
        }
    }

    /// Where to connect.
    ///
    /// # Errors
    /// In words, if host and port contradict or are none.
    pub(crate) fn target(&self, dialect: &Dialect) -> Result<Target, String> {
        let (host, port) = split(&self.host)?;
        match (port, self.port) {
            (Some(_), Some(_)) => Err(format!("two ports: {} and then another", self.host)),
            (one, other) => {
                let port = one.or(other).unwrap_or(dialect.port_default());
                Ok(Target { host: host.to_owned(), port })
            }
        }
    }
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Host and port of `HOST`, `HOST:PORT`, `[IPv6]`, `[IPv6]:PORT` or a bare IPv6 address.
fn split(word: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = if let Some(rest) = word.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or_else(|| format!("no ] in {word}"))?;
        (host, if after.is_empty() { None } else { Some(after.strip_prefix(':').unwrap_or(after)) })
    } else if word.matches(':').count() == 1 {
        word.split_once(':').map_or((word, None), |(host, port)| (host, Some(port)))
    } else {
        (word, None)
    };
    if host.is_empty() {
        return Err(format!("no host in {word:?}"));
    }
    let port = port.map(|port| port.parse().map_err(|_| format!("not a port: {port:?}")));
    Ok((host, port.transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(words: &[&str]) -> Result<String, String> {
        let args = Args::try_parse_from([&["chat"], words].concat()).map_err(|e| e.to_string())?;
        let dialect = args.dialect()?;
        args.target(&dialect).map(|target| target.to_string())
    }

    #[test]
    fn targets() {
        for (words, expected) in [
            (&[][..], "127.0.0.1:2626"),
            (&["example.org"], "example.org:2626"),
            (&["example.org", "9"], "example.org:9"),
            (&["example.org:9"], "example.org:9"),
            (&["::1"], "[::1]:2626"),
            (&["::1", "9"], "[::1]:9"),
            (&["[::1]"], "[::1]:2626"),
            (&["[::1]:9"], "[::1]:9"),
            (&["--dialect", "rid", "--room", "111"], "127.0.0.1:9898"),
            (&["--dialect", "p2p", "--id", "1"], "127.0.0.1:5247"),
            (&["--dialect", "p2p", "--id", "1", "::1", "9"], "[::1]:9"),
        ] {
            assert_eq!(target(words).as_deref(), Ok(expected), "{words:?}");
        }
    }

    #[test]
    fn what_is_no_target() {
        for words in [
            &["a:9", "9"][..],
            &["a", "x"],
            &["a", "65536"],
            &["a:65536"],
            &["a:"],
            &[":9"],
            &[""],
            &["[::1"],
            &["[::1]9x"],
            &["--dialect", "irc"],
            &["--dialect", "rid"],
            &["--dialect", "rid", "--room", ""],
            &["--dialect", "rid", "--room", "x"],
            &["--dialect", "rid", "--room", "123456789012345678901"],
            &["--dialect", "rid", "--room", "1", "--id", "1"],
            &["--dialect", "p2p"],
            &["--dialect", "p2p", "--id", ""],
            &["--dialect", "p2p", "--id", "two words"],
            &["--dialect", "p2p", "--id", "1", "--room", "1"],
            &["--room", "1"],
            &["--id", "1"],
        ] {
            assert!(target(words).is_err(), "{words:?}");
        }
    }
}
