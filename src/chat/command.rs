//! Lines to commands: the words, and how their arguments are written. What a command does is the
//! core's; whether a room or a user of some name exists, too.

use crate::limits::ECHO_LEN_MAX;

/// What a line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// Nothing: an empty line.
    Nothing,
    /// A line for the room.
    Say(&'a str),
    /// The list of commands.
    Help,
    /// What a command does.
    HelpOn(&'a str),
    /// The message of the day.
    Motd,
    /// A nickname.
    Nick(&'a str),
    /// A nickname, and the list of commands after it.
    Login(&'a str),
    /// To go to a room.
    Join(&'a str),
    /// To go to the lobby.
    Leave,
    /// The list of rooms.
    Rooms,
    /// Who is in a room, or else in the asker's.
    Who(Option<&'a str>),
    /// A direct message.
    Msg {
        /// The reader's name.
        to: &'a str,
        /// Not empty.
        text: &'a str,
    },
    /// A direct message to whoever wrote one last; not empty.
    Reply(&'a str),
    /// Where somebody is.
    Whois(&'a str),
    /// Who is ignored.
    Ignored,
    /// Not to be told what somebody does (`on`), or to be told again.
    Ignore {
        /// Their name.
        name: &'a str,
        /// Whether it begins.
        on: bool,
    },
    /// What the writer does; not empty.
    Act(&'a str),
    /// What the room is about.
    Topic,
    /// What it is about from now on, or `NO_TOPIC`.
    SetTopic(&'a str),
    /// The last lines of the room.
    History,
    /// Whether to be told them on joining a room.
    SetHistory(bool),
    /// Whether lines begin with the time.
    SetTime(bool),
    /// To be away; why may be empty.
    Away(&'a str),
    /// To be away no longer.
    Here,
    /// To edit the line being typed on the server, or not any more.
    Rich(bool),
    /// The end.
    Quit,
    /// A slash without a word.
    Unnamed,
    /// A room's name perhaps, with what follows it.
    Other {
        /// Without the slash, and not empty.
        word: &'a str,
        /// Trimmed.
        arguments: &'a str,
    },
    /// The right word with the wrong arguments: how it is written.
    Usage(&'static str),
}

/// A word that is a command.
struct Verb {
    /// How it is written: a slash, the word, the arguments.
    form: &'static str,
    /// Reads its trimmed arguments; `None` if they are wrong.
    read: for<'a> fn(&'a str) -> Option<Command<'a>>,
}

/// How a room that is always there is gone to: by its own name.
pub(super) const ROOM_FORM: &str = "/ROOM";

/// Takes a topic away, where one would be given.
pub(super) const NO_TOPIC: &str = "-";

const VERBS: [Verb; 24] = [
    Verb { form: "/help [COMMAND]", read: help },
    Verb { form: "/nick NAME", read: |arguments| one_word(arguments).map(Command::Nick) },
    Verb { form: "/login NAME", read: |arguments| one_word(arguments).map(Command::Login) },
    Verb { form: "/join ROOM", read: |arguments| one_word(arguments).map(Command::Join) },
    Verb { form: "/leave", read: |arguments| alone(arguments, Command::Leave) },
    Verb { form: "/back", read: |arguments| alone(arguments, Command::Leave) },
    Verb { form: "/rooms", read: |arguments| alone(arguments, Command::Rooms) },
    Verb { form: "/who [ROOM]", read: who },
    Verb { form: "/online [ROOM]", read: who },
    Verb { form: "/msg NAME TEXT", read: msg },
    Verb { form: "/reply TEXT", read: |arguments| some(arguments).map(Command::Reply) },
    Verb { form: "/whois NAME", read: |arguments| one_word(arguments).map(Command::Whois) },
    Verb { form: "/me TEXT", read: |arguments| some(arguments).map(Command::Act) },
    Verb { form: "/topic [TEXT]", read: topic },
    Verb { form: "/ignore [NAME]", read: ignore },
    Verb { form: "/unignore NAME", read: unignore },
    Verb { form: "/history [on|off]", read: history },
    Verb { form: "/time on|off", read: |word| on_or_off(word).map(Command::SetTime) },
    Verb { form: "/away [TEXT]", read: |arguments| Some(Command::Away(arguments)) },
    Verb { form: "/here", read: |arguments| alone(arguments, Command::Here) },
    Verb { form: "/motd", read: |arguments| alone(arguments, Command::Motd) },
    Verb { form: "/rich on|off", read: |word| on_or_off(word).map(Command::Rich) },
    Verb { form: "/quit", read: |arguments| alone(arguments, Command::Quit) },
    Verb { form: "/logout", read: |arguments| alone(arguments, Command::Quit) },
];

impl<'a> Command<'a> {
    /// What `line` asks for. Words are read without regard to case.
    pub(super) fn parse(line: &'a str) -> Self {
        if line.is_empty() {
            return Self::Nothing;
        }
        match line.strip_prefix('/') {
            None => Self::Say(line),
            Some(rest) if rest.starts_with('/') => Self::Say(rest),
            Some(rest) => Self::parse_words(rest),
        }
    }

    fn parse_words(words: &'a str) -> Self {
        let (word, arguments) = split_word(words);
        match verb(word) {
            None if word.is_empty() => Self::Unnamed,
            None => Self::Other { word, arguments },
            Some(verb) => (verb.read)(arguments).unwrap_or(Self::Usage(verb.form)),
        }
    }
}

/// How each command is written: a slash, its word, its arguments.
pub fn command_forms() -> impl Iterator<Item = &'static str> {
    const { &VERBS }.iter().map(|verb| verb.form).chain([ROOM_FORM])
}

/// How the command `word` is written.
pub(super) fn form(word: &str) -> Option<&'static str> {
    command_forms().find(|form| is_word_of(form, word))
}

/// Whether `/word` is a command, whatever the rooms.
pub(super) fn is_command(word: &str) -> bool {
    verb(word).is_some()
}

/// The part of a wrong word that the answer repeats.
pub(super) fn echo(word: &str) -> &str {
    &word[..word.floor_char_boundary(ECHO_LEN_MAX)]
}

fn verb(word: &str) -> Option<&'static Verb> {
    const { &VERBS }.iter().find(|verb| is_word_of(verb.form, word))
}

fn is_word_of(form: &str, word: &str) -> bool {
    split_word(&form[1..]).0.eq_ignore_ascii_case(word)
}

/// The first word, which is empty if `text` begins with a blank, and the rest, trimmed.
fn split_word(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim()),
        None => (text, ""),
    }
}

fn alone<'a>(arguments: &str, command: Command<'a>) -> Option<Command<'a>> {
    arguments.is_empty().then_some(command)
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn one_word(arguments: &str) -> Option<&str> {
    (!arguments.is_empty() && !arguments.contains(char::is_whitespace)).then_some(arguments)
}

fn help(arguments: &str) -> Option<Command<'_>> {
    match arguments {
        "" => Some(Command::Help),
        _ => one_word(arguments).map(Command::HelpOn),
    }
}

fn ignore(arguments: &str) -> Option<Command<'_>> {
    match arguments {
        "" => Some(Command::Ignored),
        _ => one_word(arguments).map(|name| Command::Ignore { name, on: true }),
    }
}

fn unignore(arguments: &str) -> Option<Command<'_>> {
    one_word(arguments).map(|name| Command::Ignore { name, on: false })
}

fn history(arguments: &str) -> Option<Command<'_>> {
    match arguments {
        "" => Some(Command::History),
        _ => on_or_off(arguments).map(Command::SetHistory),
    }
}

fn on_or_off(word: &str) -> Option<bool> {
    let is = |wanted: &str| word.eq_ignore_ascii_case(wanted);
    if is("on") { Some(true) } else { is("off").then_some(false) }
}

fn topic(arguments: &str) -> Option<Command<'_>> {
    Some(some(arguments).map_or(Command::Topic, Command::SetTopic))
}

fn who(arguments: &str) -> Option<Command<'_>> {
    match arguments {
        "" => Some(Command::Who(None)),
        _ => one_word(arguments).map(|room| Command::Who(Some(room))),
    }
}

fn msg(arguments: &str) -> Option<Command<'_>> {
    let (to, text) = split_word(arguments);
    (!text.is_empty()).then_some(Command::Msg { to, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_what_they_ask_for() {
        use Command::*;
        for (line, command) in [
            ("", Nothing),
            ("hello", Say("hello")),
            (" /help", Say(" /help")),
            ("//x", Say("/x")),
            ("//", Say("/")),
            ("///", Say("//")),
            ("/help", Help),
            ("/HELP ", Help),
            ("/help me", HelpOn("me")),
            ("/help /me", HelpOn("/me")),
            ("/help me now", Usage("/help [COMMAND]")),
            ("/nick plato", Nick("plato")),
            ("/Nick  plato ", Nick("plato")),
            ("/nick", Usage("/nick NAME")),
            ("/nick ", Usage("/nick NAME")),
            ("/nick a b", Usage("/nick NAME")),
            ("/login plato", Login("plato")),
            ("/login", Usage("/login NAME")),
            ("/join python", Join("python")),
            ("/join a b", Usage("/join ROOM")),
            ("/leave", Leave),
            ("/back", Leave),
            ("/back x", Usage("/back")),
            ("/rooms", Rooms),
            ("/rooms x", Usage("/rooms")),
            ("/who", Who(None)),
            ("/who x", Who(Some("x"))),
            ("/who x y", Usage("/who [ROOM]")),
            ("/online", Who(None)),
            ("/online x y", Usage("/online [ROOM]")),
            ("/msg b  two  words ", Msg { to: "b", text: "two  words" }),
            ("/msg b", Usage("/msg NAME TEXT")),
            ("/msg", Usage("/msg NAME TEXT")),
            ("/reply  two  words ", Reply("two  words")),
            ("/reply", Usage("/reply TEXT")),
            ("/whois b", Whois("b")),
            ("/whois", Usage("/whois NAME")),
            ("/me waves at b", Act("waves at b")),
            ("/me ", Usage("/me TEXT")),
            ("/topic", Topic),
            ("/topic -", SetTopic("-")),
            ("/topic two words", SetTopic("two words")),
            ("/ignore", Ignored),
            ("/ignore b", Ignore { name: "b", on: true }),
            ("/IGNORE -b", Ignore { name: "-b", on: true }),
            ("/ignore b c", Usage("/ignore [NAME]")),
            ("/unignore b", Ignore { name: "b", on: false }),
            ("/unignore", Usage("/unignore NAME")),
            ("/time on", SetTime(true)),
            ("/time Off", SetTime(false)),
            ("/time", Usage("/time on|off")),
            ("/history", History),
            ("/history ON", SetHistory(true)),
            ("/history off", SetHistory(false)),
            ("/history 3", Usage("/history [on|off]")),
            ("/away", Away("")),
            ("/away for tea", Away("for tea")),
            ("/here", Here),
            ("/here now", Usage("/here")),
            ("/motd", Motd),
            ("/rich on", Rich(true)),
            ("/RICH  Off ", Rich(false)),
            ("/rich", Usage("/rich on|off")),
            ("/rich on off", Usage("/rich on|off")),
            ("/quit", Quit),
            ("/logout", Quit),
            ("/quit now", Usage("/quit")),
            ("/", Unnamed),
            ("/ help", Unnamed),
            ("/python", Other { word: "python", arguments: "" }),
            ("/python x ", Other { word: "python", arguments: "x" }),
        ] {
            assert_eq!(Command::parse(line), command, "{line:?}");
        }
    }

    #[test]
    fn an_echo_is_cut_between_characters() {
        assert_eq!(echo("short"), "short");
        assert_eq!(echo(&"a".repeat(1000)).len(), ECHO_LEN_MAX);
        let odd = format!("a{}", "é".repeat(500));
        assert!(odd.starts_with(echo(&odd)));
        assert!((ECHO_LEN_MAX - 1..=ECHO_LEN_MAX).contains(&echo(&odd).len()));
    }
}
