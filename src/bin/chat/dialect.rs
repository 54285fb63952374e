//! How the server is spoken to: what is sent first, how a line is framed, and which prompt a person
//! sees.

use crate::seen::{self, Line};

/// What asks for a line, as the clients of `rid` and `p2p` always had it.
const YOU: &str = "<You> ";
/// What asks for the reader of a line, in `p2p`.
pub(crate) const REMOTE_ID: &str = "Please input remote id:";

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Lines, and commands among them.
    #[default]
    Telnet,
    /// Frames for a room with a number.
    Rid {
        /// Digits.
        room: String,
    },
    /// Lines for somebody.
    P2p {
        /// The own one.
        id: String,
    },
}

impl Dialect {
    /// Where a server of it is, unless somebody says otherwise.
    pub(crate) fn port_default(&self) -> u16 {
        match self {
            Self::Telnet => 2626,
            Self::Rid { .. } => 9898,
            Self::P2p { .. } => 5247,
        }
    }

    pub(crate) fn prompt(&self) -> &'static str {
        match self {
            Self::Telnet => "> ",
            Self::Rid { .. } | Self::P2p { .. } => YOU,
        }
    }

    /// What a connection begins with.
    pub(crate) fn opening(&self) -> String {
        match self {
            Self::Telnet => String::new(),
            // The first frame enters the room, and its text goes nowhere.
            Self::Rid { room } => format!("<RID:{room}></RID:{room}>"),
            // The line end keeps the id apart from what follows it at once.
            Self::P2p { id } => format!("{id}\n"),
        }
    }

    /// A line as it is sent. In `p2p` it begins with its reader's id.
    pub(crate) fn frame(&self, line: &str) -> String {
        match self {
            Self::Telnet => format!("{line}\r\n"),
            Self::Rid { room } => format!("<RID:{room}>{line}\n</RID:{room}>"),
            Self::P2p { .. } => format!("{line}\n"),
        }
    }

    /// Whether the server ends the connection in answer to the line.
    pub(crate) fn is_goodbye(&self, line: &str) -> bool {
        let word = line.split_whitespace().next().unwrap_or_default();
        let is_one = ["/quit", "/logout"].iter().any(|goodbye| word.eq_ignore_ascii_case(goodbye));
        *self == Self::Telnet && is_one
    }

    /// What takes a line that arrived apart.
    pub(crate) fn reader(&self) -> for<'a> fn(&'a str) -> Line<'a> {
        match self {
            Self::Telnet => seen::read,
            Self::Rid { .. } => seen::read_rid,
            Self::P2p { .. } => seen::read_p2p,
        }
    }

    /// Whether what arrives are lines, each with its end. In `rid` a message begins with one, and
    /// has one at its end only if its author wrote one.
    pub(crate) fn has_lines(&self) -> bool {
        !matches!(self, Self::Rid { .. })
    }

    /// Whether every line is for somebody, who has to be named.
    pub(crate) fn asks_for_reader(&self) -> bool {
        matches!(self, Self::P2p { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [Dialect; 3] {
        [Dialect::Telnet, Dialect::Rid { room: "111".into() }, Dialect::P2p { id: "1".into() }]
    }

    #[test]
    fn what_is_sent() {
        let [telnet, rid, p2p] = all();
        assert_eq!((telnet.opening(), telnet.frame("hi")), (String::new(), "hi\r\n".into()));
        assert_eq!(rid.opening(), "<RID:111></RID:111>");
        assert_eq!(rid.frame("hi"), "<RID:111>hi\n</RID:111>");
        assert_eq!((p2p.opening(), p2p.frame("2||hi")), ("1\n".into(), "2||hi\n".into()));
    }

    #[test]
    fn goodbyes() {
        let [telnet, rid, p2p] = all();
        for (line, goodbye) in [
            ("/quit", true),
            ("/QUIT now", true),
            ("/logout", true),
            ("//quit", false),
            ("quit", false),
            ("", false),
        ] {
            assert_eq!(telnet.is_goodbye(line), goodbye, "{line:?}");
            assert!(!rid.is_goodbye(line) && !p2p.is_goodbye(line), "{line:?}");
        }
    }
}
