//! What the lines of the server tell: who one is, where one is, who else and which rooms there are.
//!
//! Nothing but what people write begins with `[` or `*`; everything else is the server's word.
//! A server that words things otherwise only leaves less to complete and to colour.

use crate::dialect::Dialect;

/// A line that arrived, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// The writer, if a person wrote the line.
    pub(crate) author: Option<&'a str>,
    /// What follows the name, or the whole line.
    pub(crate) text: &'a str,
    /// To one person only.
    pub(crate) direct: bool,
}

/// Takes a line apart: `[NAME] text`, `* NAME text`, `[NAME -> you] text`, `[you -> NAME] text`, or
/// the server's; each with the time before it, after `/time on`.
pub(crate) fn read(line: &str) -> Line<'_> {
    let line = untimed(line);
    let servers = read_act(line);
    // An IPv6 address has brackets of its own, but no blank behind them.
    let Some(end) = line.find("] ").filter(|_| line.starts_with('[')) else { return servers };
    let (name, text) = (&line[1..end], &line[end + 1..]);
    match name.split_once(" -> ") {
        Some((from, "you")) => Line { author: Some(from), text, direct: true },
        Some(_) => Line { author: Some("you"), text, direct: false },
        None => Line { author: Some(name), text, direct: false },
    }
}

/// The line without the time: `12:34 `.
fn untimed(line: &str) -> &str {
    let pair = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = |word: &str| word.split_once(':').is_some_and(|(h, m)| pair(h) && pair(m));
    line.split_once(' ').filter(|(word, _)| is_time(word)).map_or(line, |(_, rest)| rest)
}

/// `* NAME text`, or the server's.
fn read_act(line: &str) -> Line<'_> {
    match line.strip_prefix("* ").and_then(|act| act.split_once(' ')) {
        Some((name, _)) => {
            Line { author: Some(name), text: &line[2 + name.len()..], direct: false }
        }
        None => Line { author: None, text: line, direct: false },
    }
}

/// The same in the dialect `rid`: `<NAME>text`, `<NAME -> you>text`, `* NAME text`, or the
/// server's.
pub(crate) fn read_rid(line: &str) -> Line<'_> {
    let servers = read_act(line);
    let Some(rest) = line.strip_prefix('<') else { return servers };
    let is_name = |name: &str| !name.contains(['<', '>']);
    match (rest.split_once(" -> you>"), rest.split_once('>')) {
        (Some((name, text)), _) if is_name(name) => Line { author: Some(name), text, direct: true },
        (_, Some((name, text))) => Line { author: Some(name), text, direct: false },
        _ => servers,
    }
}

/// The same in the dialect `p2p`: `NAME said : text`, `* NAME text`, or the server's.
pub(crate) fn read_p2p(line: &str) -> Line<'_> {
    match line.split_once(" said : ") {
        Some((name, text)) if !name.contains(' ') => {
            Line { author: Some(name), text, direct: false }
        }
        _ => read_act(line),
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Seen {
    read: for<'a> fn(&'a str) -> Line<'a>,
    /// The own nickname, once the server has confirmed one.
    pub(crate) nick: Option<String>,
    /// The room one is in, once the server has named it.
    pub(crate) room: Option<String>,
    pub(crate) names: Latest,
    pub(crate) rooms: Latest,
    pub(crate) commands: Latest,
    list: List,
}

/// What the indented lines name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum List {
    #[default]
    None,
    Names,
    Rooms,
}

impl Seen {
    /// With the commands that every chatd knows, where there are commands.
    pub(crate) fn new(dialect: &Dialect) -> Self {
        let mut seen = Self {
            read: dialect.reader(),
            nick: None,
            room: None,
            names: Latest::default(),
            rooms: Latest::default(),
            commands: Latest::default(),
            list: List::None,
        };
        if *dialect != Dialect::Telnet {
            return seen;
        }
        let commands = "/away /help /here /history /ignore /join /leave /me /motd /msg /nick /quit /reply \
                        /rooms /time /topic /unignore /who /whois";
        for command in commands.split(' ') {
            seen.commands.add(command);
        }
        seen.rooms.add("lobby");
        seen
    }

    /// Learns from a line that arrived.
    pub(crate) fn learn(&mut self, line: &str) {
        let line = (self.read)(line);
        match line.author {
            Some("you") => {}
            Some(name) => self.add_name(name),
            None => self.learn_servers(line.text),
        }
    }

    /// Whether the line is meant for the person here.
    pub(crate) fn is_mention(&self, line: &str) -> bool {
        let line = (self.read)(line);
        let named = |nick: &String| names(line.text, nick);
        let is_own = |author| author == "you" || self.nick.as_deref() == Some(author);
        let others = line.author.is_some_and(|author| !is_own(author));
        others && (line.direct || self.nick.as_ref().is_some_and(named))
    }

    fn learn_servers(&mut self, line: &str) {
        if let Some(entry) = line.strip_prefix("  ") {
            self.learn_entry(entry);
            return;
        }
        self.list = match line.strip_suffix(':') {
            Some(head) if head.ends_with(" room") || head.ends_with(" rooms") => List::Rooms,
            Some(head) if head.contains(" in ") => List::Names,
            _ => List::None,
        };
        if let Some(rest) = line.strip_prefix("You are ") {
            self.learn_own(rest);
        } else if let Some(name) = line.strip_prefix("Client joined ") {
            self.add_name(name);
        } else if let Some(name) = line.strip_prefix("Client left ") {
            self.names.remove(name);
        } else if let Some((old, new)) = line.split_once(" is now ") {
            self.names.remove(old);
            self.add_name(new);
        } else if let Some(name) =
            between(line, "hello ", ",you login successed").filter(|name| is_nick(name))
        {
            self.nick = Some(name.to_owned());
        } else if let Some(name) = between(line, "[", "] entered room.") {
            self.add_name(name);
        } else if let Some(name) = between(line, "[", "] left room.") {
            self.names.remove(name);
        }
    }

    fn learn_entry(&mut self, entry: &str) {
        let word = entry.split_whitespace().next().unwrap_or_default();
        match self.list {
            _ if entry.starts_with('/') => {
                let words = entry.split(|c: char| c.is_whitespace() || "()[],".contains(c));
                words.filter(|word| is_command(word)).for_each(|word| self.commands.add(word));
            }
            List::Names if entry.trim_end_matches(" (away)") == word => self.add_name(word),
            List::Rooms if entry[word.len()..].starts_with(" (") => self.rooms.add(word),
            _ => {}
        }
    }

    /// `NAME`, `alone in ROOM`, `in ROOM with ...`.
    fn learn_own(&mut self, rest: &str) {
        let words: Vec<_> = rest.split(' ').collect();
        match words[..] {
            [name] => self.nick = is_nick(name).then(|| name.to_owned()),
            ["alone", "in", room] | ["in", room, "with" | "already", ..] => {
                self.room = Some(room.to_owned());
                self.rooms.add(room);
            }
            _ => {}
        }
    }

    fn add_name(&mut self, name: &str) {
        if is_nick(name) {
            self.names.add(name);
        }
    }
}

fn between<'a>(line: &'a str, start: &str, end: &str) -> Option<&'a str> {
    line.strip_prefix(start)?.strip_suffix(end)
}

/// Not an address, and one word.
fn is_nick(name: &str) -> bool {
    !name.is_empty() && !name.contains([':', ' '])
}

fn is_command(word: &str) -> bool {
    word.len() > 1
        && word.strip_prefix('/').is_some_and(|name| name.bytes().all(|b| b.is_ascii_lowercase()))
}

/// Whether `nick` stands in `text` as a word.
fn names(text: &str, nick: &str) -> bool {
    let is_of_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    text.split(|c| !is_of_word(c)).any(|word| word.eq_ignore_ascii_case(nick))
}

/// A bounded set of words, the latest last.
#[derive(Debug, Default)]
pub(crate) struct Latest(Vec<String>);

impl Latest {
    pub(crate) fn add(&mut self, word: &str) {
        self.remove(word);
        if self.0.len() >= crate::limits::SEEN_MAX {
            self.0.remove(0);
        }
        self.0.push(word.to_owned());
    }

    fn remove(&mut self, word: &str) {
        self.0.retain(|known| !known.eq_ignore_ascii_case(word));
    }

    /// Those that begin like this, the latest first.
    pub(crate) fn beginning<'a>(&'a self, start: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().rev().map(String::as_str).filter(move |word| {
            word.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lines: &[&str]) -> Seen {
        seen_in(&Dialect::Telnet, lines)
    }

    fn seen_in(dialect: &Dialect, lines: &[&str]) -> Seen {
        let mut seen = Seen::new(dialect);
        lines.iter().for_each(|line| seen.learn(line));
        seen
    }

    fn all(latest: &Latest) -> Vec<&str> {
        latest.beginning("").collect()
    }

    #[test]
    fn lines_are_taken_apart() {
        for (line, author, text, direct) in [
            ("[plato] hi", Some("plato"), " hi", false),
            ("[[::1]:9] a] b", Some("[::1]:9"), " a] b", false),
            ("[plato -> you] hi", Some("plato"), " hi", true),
            ("[you -> plato] hi", Some("you"), " hi", false),
            ("* plato waves", Some("plato"), " waves", false),
            ("* [::1]:9 waves", Some("[::1]:9"), " waves", false),
            ("*", None, "*", false),
            ("[plato]hi", None, "[plato]hi", false),
            ("Client joined plato", None, "Client joined plato", false),
            ("", None, "", false),
            ("12:34 [plato] hi", Some("plato"), " hi", false),
            ("12:34 * plato waves", Some("plato"), " waves", false),
            ("12:34 Client joined plato", None, "Client joined plato", false),
            ("12:34   11:59 [plato] hi", None, "  11:59 [plato] hi", false),
            ("12:3x [plato] hi", None, "12:3x [plato] hi", false),
            ("[plato] 12:34 hi", Some("plato"), " 12:34 hi", false),
        ] {
            assert_eq!(read(line), Line { author, text, direct }, "{line:?}");
        }
    }

    #[test]
    fn lines_of_the_other_dialects_are_taken_apart() {
        for (line, author, text, direct) in [
            ("<plato>hi", Some("plato"), "hi", false),
            ("<('127.0.0.1', 9)>a>b", Some("('127.0.0.1', 9)"), "a>b", false),
            ("<plato -> you>hi", Some("plato"), "hi", true),
            ("<plato>a -> you>b", Some("plato"), "a -> you>b", false),
            ("[plato] entered room.", None, "[plato] entered room.", false),
            ("<hi", None, "<hi", false),
        ] {
            assert_eq!(read_rid(line), Line { author, text, direct }, "{line:?}");
        }
        for (line, author, text) in [
            ("plato said : hi", Some("plato"), "hi"),
            ("1 said : a said : b", Some("1"), "a said : b"),
            ("remote is offline", None, "remote is offline"),
            ("what he said : no", None, "what he said : no"),
        ] {
            assert_eq!(read_p2p(line), Line { author, text, direct: false }, "{line:?}");
        }
    }

    #[test]
    fn names_in_the_other_dialects() {
        let rid = Dialect::Rid { room: "111".into() };
        let lines =
            ["[zeno] entered room.", "<plato>hi", "[gone] entered room.", "[gone] left room."];
        assert_eq!(all(&seen_in(&rid, &lines).names), ["plato", "zeno"]);
        let p2p = Dialect::P2p { id: "solon".into() };
        let seen = seen_in(&p2p, &["hello solon,you login successed", "2 said : hi"]);
        assert_eq!((seen.nick.as_deref(), all(&seen.names)), (Some("solon"), vec!["2"]));
        assert!(seen.is_mention("2 said : hi solon"));
        assert!(!seen.is_mention("solon said : solon"));
    }

    #[test]
    fn own_name_and_room() {
        for (lines, nick, room) in [
            (&["You are plato"][..], Some("plato"), None),
            (&["You are plato", "You are 127.0.0.1:9"], None, None),
            (&["[x] You are plato"], None, None),
            (&["You are alone in cave"], None, Some("cave")),
            (&["You are in cave with 2 others"], None, Some("cave")),
            (&["You are in cave already"], None, Some("cave")),
            (&["12:34 You are plato", "12:34 You are alone in cave"], Some("plato"), Some("cave")),
            (&["You are plato", "hello set the topic: ,you login successed"], Some("plato"), None),
        ] {
            let seen = seen(lines);
            assert_eq!((seen.nick.as_deref(), seen.room.as_deref()), (nick, room), "{lines:?}");
        }
    }

    #[test]
    fn names_rooms_and_commands() {
        let lines = [
            "Client joined plato",
            "Client joined 127.0.0.1:9",
            "127.0.0.1:9 is now zeno",
            "Client joined gone",
            "Client left gone",
            "2 in cave:",
            "  thales",
            "  solon (away)",
            "  and 7 more",
            "2 rooms:",
            "  cave (2): shadows (on a wall)",
            "  agora (0)",
            "  and 7 more",
            "  /whois NAME      who that is (also /finger NAME)",
        ];
        let seen = seen(&lines);
        assert_eq!(all(&seen.names), ["solon", "thales", "zeno", "plato"]);
        assert_eq!(all(&seen.rooms), ["agora", "cave", "lobby"]);
        assert_eq!(all(&seen.commands)[..2], ["/finger", "/whois"]);
        assert_eq!(seen.names.beginning("ZE").collect::<Vec<_>>(), ["zeno"]);
    }

    #[test]
    fn mentions() {
        let seen = seen(&["You are plato"]);
        for (line, mention) in [
            ("[zeno] Plato, look", true),
            ("[zeno] platonic", false),
            ("[zeno] plato-x", false),
            ("[zeno -> you] hi", true),
            ("[you -> zeno] plato", false),
            ("Client joined plato", false),
        ] {
            assert_eq!(seen.is_mention(line), mention, "{line:?}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut latest = Latest::default();
        (0..crate::limits::SEEN_MAX + 1).for_each(|n| latest.add(&format!("n{n}")));
        assert_eq!(all(&latest).len(), crate::limits::SEEN_MAX);
        assert_eq!(latest.beginning("n0").count(), 0);
    }
}
