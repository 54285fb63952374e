//! One client, as the oracle sees it: what it wrote, what it was answered, where it stands in what
//! it gets of its rooms.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

use chatd::chat::{CloseReason, ConnId, Message, Nicknames, RoomId};
use chatd::dialect::Dialect;

use crate::net::MINUTES;
use crate::oracle::PersonId;
use crate::program::Program;

/// Lines of each room that are kept.
pub(crate) const HISTORY_LINES: usize = 3;
pub(crate) const LOBBY_NAME: &str = "lobby";

/// A whole line that a client wrote, by what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Line(String),
    Act(String),
    Topic(String),
    Nick(String),
    Join(String),
    Leave,
    Msg {
        to: String,
        text: String,
    },
    Reply(String),
    Whois(String),
    Ignore {
        name: String,
        on: bool,
    },
    Ignored,
    Away(String),
    Here,
    Time(bool),
    Who,
    Rooms,
    Help,
    HelpOn(&'static str),
    Unknown(String),
    TooLong,
    Empty,
    Quit,
    /// Of `rid`.
    Frame {
        room: String,
        text: String,
    },
    /// Of `p2p`: the first thing, and a line for everybody.
    Id(String),
    All(String),
    /// Nothing in the client's dialect.
    Invalid,
}

/// A line as it is sent, without its end; for programs, a message as it is sent.
pub(crate) type Bytes = Rc<[u8]>;

#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) dialect: Dialect,
    pub(crate) program: Program,
    pub(crate) script: Vec<Said>,
    /// How much of the script the observer has seen.
    pub(crate) executed: usize,
    /// How much of the script was answered.
    pub(crate) replied: usize,
    /// What was asked and not answered yet.
    pub(crate) asked_here: u32,
    pub(crate) refusals: Vec<[u8; 3]>,
    pub(crate) options: BTreeSet<[u8; 3]>,

    pub(crate) conn: Option<ConnId>,
    /// Whom it ignores, as the observer was told.
    pub(crate) ignored: BTreeSet<ConnId>,
    pub(crate) name: String,
    /// What the replies to moves, with what is told of the rooms, and to new names have to be.
    pub(crate) moves: VecDeque<(Vec<u8>, Vec<Rest>)>,
    pub(crate) renames: VecDeque<Vec<u8>>,
    pub(crate) visits: Vec<Visit>,

    /// Where its stream may stand: the visit, and the lines received of it.
    pub(crate) places: BTreeSet<(usize, usize)>,
    pub(crate) partial: Vec<u8>,
    pub(crate) welcomed: bool,
    pub(crate) moves_received: usize,
    /// Its room and its name, by the replies it got.
    pub(crate) reply_room: String,
    pub(crate) reply_name: String,
    /// By the replies it got, it is marked away.
    pub(crate) away: bool,
    /// Whom the last reply was about: the next line may say that they are away.
    pub(crate) spoken_of: Option<String>,
    /// The further lines of a reply.
    pub(crate) rest: VecDeque<Rest>,
    pub(crate) direct_from: HashMap<PersonId, u64>,
    pub(crate) closing: bool,
}

#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) room: RoomId,
    pub(crate) lines: Vec<Bytes>,
    /// Where in `lines` each message begins.
    begins: Vec<usize>,
    pub(crate) ended: bool,
}

/// A further line of a reply.
#[derive(Debug)]
pub(crate) enum Rest {
    Exactly(Vec<u8>),
    /// A line of a room's past: a time before this.
    Past(String),
    Indented,
}

impl Visit {
    pub(crate) fn new(room: RoomId) -> Self {
        Self { room, lines: Vec::new(), begins: Vec::new(), ended: false }
    }

    /// A message of these lines came.
    pub(crate) fn push(&mut self, lines: impl IntoIterator<Item = Bytes>) {
        self.begins.push(self.lines.len());
        self.lines.extend(lines);
    }

    /// Where one is who stood at that line and missed so many messages.
    fn skip(&self, line: usize, count: usize) -> Option<usize> {
        let begins = || self.begins.iter().copied().chain([self.lines.len()]);
        begins()
            .skip_while(|begin| *begin < line)
            .nth(count)
            .filter(|_| begins().any(|it| it == line))
    }

    /// The messages that begin there or later.
    fn count_from(&self, line: usize) -> usize {
        self.begins.iter().filter(|begin| **begin >= line).count()
    }
}

impl Person {
    pub(crate) fn new(dialect: Dialect, name: String) -> Self {
        Self {
            dialect,
            program: Program::default(),
            script: Vec::new(),
            executed: 0,
            replied: 0,
            asked_here: 0,
            refusals: Vec::new(),
            options: BTreeSet::new(),
            conn: None,
            ignored: BTreeSet::new(),
            reply_name: name.clone(),
            name,
            moves: VecDeque::new(),
            renames: VecDeque::new(),
            visits: Vec::new(),
            places: BTreeSet::from([(0, 0)]),
            partial: Vec::new(),
            welcomed: false,
            moves_received: 0,
            reply_room: LOBBY_NAME.to_owned(),
            away: false,
            spoken_of: None,
            rest: VecDeque::new(),
            direct_from: HashMap::new(),
            closing: false,
        }
    }

    // The script against what the observer sees.

    pub(crate) fn room(&self) -> usize {
        self.visits.len()
    }

    /// The next thing this client does that everybody sees is `said`.
    pub(crate) fn execute(&mut self, said: &Said) {
        loop {
            let Some(next) = self.script.get(self.executed) else {
                panic!("{said:?} was not written, or not twice");
            };
            self.executed += 1;
            if next == said {
                return;
            }
            assert!(!next.is_heard() && *next != Said::Quit, "{next:?} was passed over");
        }
    }

    pub(crate) fn execute_move(&mut self, room: &str) -> bool {
        let leave = room == LOBBY_NAME;
        let join = Said::Join(room.to_owned());
        let rest = &self.script[self.executed..];
        let first = rest.iter().find(|said| **said == join || (leave && **said == Said::Leave));
        let first = first.unwrap_or_else(|| panic!("a move to {room} that nobody asked for"));
        let first = first.clone();
        self.execute(&first);
        first == join
    }

    pub(crate) fn assert_script_done(&self, id: PersonId) {
        for said in &self.script[self.executed..] {
            assert!(!said.is_heard(), "client {id}: {said:?} was not carried out");
        }
        assert!(self.rest.is_empty() && self.moves.is_empty() && self.renames.is_empty());
        for said in &self.script[self.replied..] {
            let is_answered = said.is_answered() || self.away && said.brings_back();
            assert!(!is_answered, "client {id}: {said:?} was not answered");
        }
        assert_eq!(self.asked_here, 0, "client {id}: not told that the server is here");
        assert!(self.refusals.is_empty(), "client {id}: an option was not refused");
    }

    // What is received.

    pub(crate) fn judge_answer(&mut self, answer: &[u8]) {
        let place = self.refusals.iter().position(|refusal| refusal == answer);
        self.refusals.swap_remove(place.unwrap_or_else(|| panic!("not asked for: {answer:?}")));
    }

    pub(crate) fn judge_room_line(&mut self, id: PersonId, line: &[u8]) {
        assert!(self.welcomed, "a room before the welcome");
        let mut places = BTreeSet::new();
        for (visit, position) in &self.places {
            if self.is_line(*visit, *position, line) {
                places.insert((*visit, position + 1));
            }
            for later in visit + 1..self.room().min(self.moves_received + 1) {
                if self.is_line(later, 0, line) {
                    places.insert((later, 1));
                }
            }
        }
        assert!(
            !places.is_empty(),
            "client {id} was sent {:?}; it stands at {:?}, where there is {:?}",
            line.escape_ascii().to_string(),
            self.places,
            self.expected().map(|line| line.escape_ascii().to_string())
        );
        self.places = places;
    }

    fn is_line(&self, visit: usize, position: usize, line: &[u8]) -> bool {
        let visit = self.visits.get(visit);
        visit.and_then(|visit| visit.lines.get(position)).is_some_and(|it| **it == *line)
    }

    /// What may come next.
    fn expected(&self) -> Option<Bytes> {
        let (visit, position) = self.places.first()?;
        self.visits.get(*visit)?.lines.get(*position).cloned()
    }

    pub(crate) fn judge_skipped(&mut self, lines: usize) {
        assert!(!self.closing, "{lines} lines skipped after the last line");
        let mut places = BTreeSet::new();
        for &(visit, line) in &self.places {
            let Some(here) = self.visits.get(visit) else { continue };
            places.extend(here.skip(line, lines).map(|line| (visit, line)));
            // It may have moved on, having read nothing more: what it missed in all those rooms is
            // told at once, and of those it left it need not have been all that was said.
            let mut before = here.count_from(line);
            for later in visit + 1..self.room().min(self.moves_received + 1) {
                let there = &self.visits[later];
                let counts = lines.saturating_sub(before)..=lines;
                places.extend(counts.map_while(|count| Some((later, there.skip(0, count)?))));
                before += there.count_from(0);
            }
        }
        assert!(!places.is_empty(), "{lines} lines skipped from {:?}", self.places);
        self.places = places;
    }

    /// Judges a reply or a notice; returns a direct message that it acknowledges.
    pub(crate) fn judge_private(&mut self, id: PersonId, line: &str) -> Option<(String, String)> {
        assert!(!self.closing, "client {id}: {line:?} after the last line");
        if is_closing(self.dialect, line) {
            self.closing = true;
            return None;
        }
        if line == text(&Message::Here) {
            assert!(self.asked_here > 0, "nobody asked");
            self.asked_here -= 1;
            return None;
        }
        if !self.welcomed {
            assert_eq!(line, text(&Message::Welcome), "the welcome comes first");
            self.welcomed = true;
            return None;
        }
        match self.rest.pop_front() {
            Some(Rest::Exactly(rest)) => assert_eq!(line.as_bytes(), rest),
            Some(Rest::Past(past)) => {
                let said = line.strip_prefix("  ").and_then(|line| line.split_once(' '));
                let wall = format!(":{MINUTES}");
                let said = said.map(|(time, said)| (time.strip_suffix(&*wall).map(str::len), said));
                assert_eq!(said, Some((Some(2), &*past)));
            }
            Some(Rest::Indented) => assert!(line.starts_with("  "), "{line:?} in a list"),
            None => return self.judge_reply(id, line),
        }
        None
    }

    fn judge_reply(&mut self, id: PersonId, line: &str) -> Option<(String, String)> {
        if self.spoken_of.take().is_some_and(|name| line.starts_with(&format!("{name} is away"))) {
            return None;
        }
        let away = self.away;
        let silent = |said: &&Said| !(said.is_answered() || away && said.brings_back());
        self.replied += self.script[self.replied..].iter().take_while(silent).count();
        if away && self.script.get(self.replied).is_some_and(Said::brings_back) {
            let is_back = line == text(&Message::YouAreBack);
            let unheard = matches!(&self.script[self.replied], Said::Msg { .. } | Said::Reply(_));
            assert!(is_back || unheard, "client {id}: {line:?} where it was away");
            if is_back {
                self.away = false;
                self.replied += usize::from(!unheard);
                return None;
            }
        }
        let Some(said) = self.script.get(self.replied).cloned() else {
            panic!("client {id} is told {line:?} and had asked nothing");
        };
        self.replied += 1;
        match &said {
            Said::Nick(name) => self.judge_nick(name, line),
            Said::Join(room) => self.judge_move(room, line),
            Said::Leave => self.judge_move(LOBBY_NAME, line),
            Said::Msg { to, text } => return self.judge_msg(to, text, line),
            Said::Reply(said) => {
                if line != text(&Message::NobodyToReplyTo) && ignoring(line).is_none() {
                    let to = line.strip_prefix("[you -> ").and_then(|rest| rest.split_once(']'));
                    let to = to.unwrap_or_else(|| panic!("{line:?} for a reply")).0.to_owned();
                    return self.judge_msg(&to, said, line);
                }
            }
            Said::Whois(name) => {
                let is_in = line.starts_with(&format!("{name} is in "));
                assert!(is_in || line == text(&Message::NoSuchUser { name }), "{line:?}");
                self.spoken_of = is_in.then(|| name.clone());
            }
            Said::Ignore { name, on } => {
                let is = text(&Message::IgnoreIs { name, on: *on });
                let none = text(&Message::NoSuchUser { name });
                let own = self.reply_name == *name && line == text(&Message::CannotIgnore);
                assert!(line == is || line == none || own, "{line:?}");
            }
            Said::Ignored => {
                if line != text(&Message::Ignored { count: 0 }) {
                    let count = line.strip_prefix("You ignore ").and_then(|n| n.strip_suffix(':'));
                    let count = count.unwrap_or_else(|| panic!("{line:?} for a list"));
                    let count: usize = count.parse().expect("a number");
                    self.rest.extend((0..count).map(|_| Rest::Indented));
                }
            }
            Said::Away(why) => {
                assert_eq!(line, text(&Message::YouAreAway { text: why }));
                self.away = true;
            }
            Said::Here => {
                let was_away = std::mem::take(&mut self.away);
                let reply = if was_away { Message::YouAreBack } else { Message::YouAreHere };
                assert_eq!(line, text(&reply));
            }
            Said::Time(on) => assert_eq!(line, text(&Message::TimeIs { on: *on })),
            Said::HelpOn(form) => assert_eq!(line, text(&Message::HelpOn { form })),
            Said::Who => self.judge_list(line, &format!(" in {}:", self.reply_room)),
            Said::Rooms => {
                self.judge_list(line, if line == "1 room:" { " room:" } else { " rooms:" })
            }
            Said::Help => {
                let help = render(&Message::Help);
                let mut lines = help.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
                assert_eq!(lines.next(), Some(line.as_bytes()));
                self.rest = lines.map(|line| Rest::Exactly(line.to_vec())).collect();
            }
            Said::Unknown(name) => {
                assert_eq!(line, text(&Message::UnknownCommand { name: name.as_str() }));
            }
            Said::TooLong => assert_eq!(line, text(&Message::LineTooLong)),
            Said::Quit => assert_eq!(line, text(&Message::Goodbye)),
            Said::Line(_) | Said::Act(_) | Said::Topic(_) | Said::Empty => {
                unreachable!("not answered")
            }
            Said::Frame { .. } | Said::Id(_) | Said::All(_) | Said::Invalid => {
                unreachable!("not written in telnet")
            }
        }
        None
    }

    fn judge_nick(&mut self, name: &str, line: &str) {
        if line == text(&Message::YouAre { name }) {
            if self.reply_name != name {
                assert_eq!(self.renames.pop_front().as_deref(), Some(line.as_bytes()));
                name.clone_into(&mut self.reply_name);
            }
        } else if line != text(&Message::BadName { name, letters: Nicknames::Ascii })
            || name != "all"
        {
            let taken = text(&Message::NameTaken { name, free: None });
            let free = line.strip_prefix(&taken).unwrap_or_else(|| panic!("{line:?} for {name}"));
            assert!(free.starts_with(&format!("; {name}")) && free.ends_with(" is free"), "{line}");
            assert_ne!(self.reply_name, name, "its own name is taken");
        }
    }

    fn judge_move(&mut self, room: &str, line: &str) {
        if self.reply_room == room {
            assert_eq!(line, text(&Message::AlreadyIn { room }));
            return;
        }
        let (reply, rest) = self.moves.pop_front().expect("nobody asked for it");
        assert_eq!(reply.escape_ascii().to_string(), line);
        self.rest.extend(rest);
        self.moves_received += 1;
        room.clone_into(&mut self.reply_room);
    }

    fn judge_msg(&mut self, to: &str, said: &str, line: &str) -> Option<(String, String)> {
        let refused = text(&Message::IgnoresYou { name: to });
        if line == text(&Message::NoSuchUser { name: to }) || line == refused {
            return None;
        }
        assert_eq!(line, text(&Message::DirectSent { to, text: said }));
        assert!(!self.away, "it wrote, and is away still");
        self.spoken_of = Some(to.to_owned());
        Some((to.to_owned(), said.to_owned()))
    }

    fn judge_list(&mut self, line: &str, end: &str) {
        let count = line.strip_suffix(end).and_then(|count| count.parse::<usize>().ok());
        let count = count.unwrap_or_else(|| panic!("{line:?} is not the head of a list {end:?}"));
        self.rest.extend((0..count).map(|_| Rest::Indented));
    }
}

impl Said {
    /// Whether the client is told something for it.
    fn is_answered(&self) -> bool {
        !self.is_heard() && *self != Self::Empty
    }

    /// Whether its room is told of it.
    pub(crate) fn is_heard(&self) -> bool {
        let is_line = matches!(self, Self::Line(_) | Self::Act(_) | Self::Topic(_));
        is_line || matches!(self, Self::Frame { .. } | Self::All(_))
    }

    pub(crate) fn is_id(&self) -> bool {
        matches!(self, Self::Id(_))
    }

    /// Whether a client that is away is back with it, if there is somebody to hear it.
    fn brings_back(&self) -> bool {
        matches!(self, Self::Line(_) | Self::Act(_) | Self::Msg { .. } | Self::Reply(_))
    }
}

pub(crate) fn render(message: &Message<&str>) -> Vec<u8> {
    let mut line = Vec::new();
    Dialect::Telnet.render(message, &mut line);
    line.truncate(line.len() - 2);
    line
}

pub(crate) fn text(message: &Message<&str>) -> String {
    String::from_utf8(render(message)).expect("UTF-8")
}

/// Who refused a direct message, if the line says that.
pub(crate) fn ignoring(line: &str) -> Option<&str> {
    line.strip_suffix(" ignores you: that was not delivered")
}

pub(crate) fn is_closing(dialect: Dialect, line: &str) -> bool {
    // What `/quit` is answered is a reply.
    let quiet = text(&Message::Goodbye);
    let closing = |reason: CloseReason| {
        let mut line = Vec::new();
        dialect.render(&Message::Closing { reason }, &mut line);
        String::from_utf8_lossy(line.trim_ascii()).into_owned()
    };
    line != quiet && CloseReason::ALL.into_iter().any(|reason| closing(reason) == line)
}

pub(crate) fn skipped(line: &str) -> Option<usize> {
    let (count, _) = line.strip_prefix('(')?.split_once(" line")?;
    count.parse().ok()
}
