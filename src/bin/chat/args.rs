//! What was typed on the command line.

use std::path::PathBuf;

use clap::Parser;

const PORT_DEFAULT: u16 = 2626;

/// Chat in the terminal: what arrives never touches the line you are typing.
#[derive(Debug, Parser)]
#[command(
    name = "chat",
    version,
    after_help = "Tab completes commands, nicknames and rooms; Up and Down call back lines, Ctrl-R finds\n\
    one that contains what is typed; Ctrl-D or /quit ends. /help lists the server's commands.\n\
    Without a terminal lines go through: printf 'hi\\n' | chat\n\
    Exit codes: 0 the end you asked for, 1 no connection or connection lost, 2 usage."
)]
pub(crate) struct Args {
    /// Where the server is; HOST:PORT in one word will do
    #[arg(default_value = "127.0.0.1")]
    host: String,
    /// Its port [default: 2626]
    port: Option<u16>,
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

impl Args {
    /// Where to connect.
    ///
    /// # Errors
    /// In words, if host and port contradict or are none.
    pub(crate) fn target(&self) -> Result<Target, String> {
        let (host, port) = split(&self.host)?;
        match (port, self.port) {
            (Some(_), Some(_)) => Err(format!("two ports: {} and then another", self.host)),
            (one, other) => {
                Ok(Target { host: host.to_owned(), port: one.or(other).unwrap_or(PORT_DEFAULT) })
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
        args.target().map(|target| target.to_string())
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
        ] {
            assert!(target(words).is_err(), "{words:?}");
        }
    }
}
