//! What each client must have received, worked out apart from the engine.
//!
//! The hub's observer is told everything said in any room, in the one order of all rooms; that a
//! client entered, left or was renamed is said there too. So the oracle knows of every visit of a
//! client to a room exactly which lines it has to get: those between its entering and its leaving,
//! but its own. The rules:
//! - What a client gets of a room is those lines, byte for byte, in order, from the first on,
//!   without a gap. What is missing at the end was not sent before the client left the room or was
//!   closed; of the room a healthy client is in, nothing is missing once the server rests.
//! - A gap only stands where a notice says `skipped`, and is exactly as long as it says.
//! - The lines of a room come after the reply to the command that led there.
//! - Replies come in the order of the client's lines, whole, once. What they say of rooms and names
//!   agrees with what the observer was told.
//! - What the observer is told of a client's lines is what that client wrote: in order, whole,
//!   once.
//! - Direct messages arrive once, in the order of their author's.
//! - Every byte belongs to one of these.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use chatd::chat::{Action, CloseReason, ConnId, Message, RoomId};
use chatd::dialect::Dialect;

/// A client, by its place in `Oracle::people`.
pub(crate) type PersonId = usize;

const LOBBY: RoomId = RoomId(0);
const LOBBY_NAME: &str = "lobby";

/// A whole line that a client wrote, by what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Line(String),
    Nick(String),
    Join(String),
    Leave,
    Msg { to: String, text: String },
    Who,
    Rooms,
    Help,
    Unknown(String),
    TooLong,
    Empty,
    Quit,
}

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    people: Vec<Person>,
    by_addr: HashMap<String, PersonId>,
    by_conn: HashMap<ConnId, PersonId>,
    /// Who goes by a name, by the observer's order.
    by_name: HashMap<String, PersonId>,
    /// Whoever went by a name at some time.
    ever_named: HashMap<String, BTreeSet<PersonId>>,
    rooms: HashMap<RoomId, Room>,
    /// Direct messages received, by text: how often.
    directs: HashMap<String, u32>,
    /// Direct messages that were acknowledged: to whom, and the text.
    acknowledged: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct Room {
    name: String,
    members: BTreeSet<PersonId>,
}

/// A line as it is sent, without its end.
type Bytes = Rc<[u8]>;

#[derive(Debug)]
struct Person {
    script: Vec<Said>,
    /// How much of the script the observer has seen.
    executed: usize,
    /// How much of the script was answered.
    replied: usize,
    /// What was asked and not answered yet.
    asked_here: u32,
    refusals: Vec<[u8; 3]>,
    options: BTreeSet<[u8; 3]>,

    conn: Option<ConnId>,
    name: String,
    /// What the replies to moves and to new names have to be.
    moves: VecDeque<Vec<u8>>,
    renames: VecDeque<Vec<u8>>,
    visits: Vec<Visit>,

    /// Where its stream may stand: the visit, and the lines received of it.
    places: BTreeSet<(usize, usize)>,
    partial: Vec<u8>,
    welcomed: bool,
    moves_received: usize,
    /// Its room and its name, by the replies it got.
    reply_room: String,
    reply_name: String,
    /// The further lines of a reply.
    rest: VecDeque<Rest>,
    direct_from: HashMap<PersonId, u64>,
    closing: bool,
}

#[derive(Debug)]
struct Visit {
    room: RoomId,
    lines: Vec<Bytes>,
    ended: bool,
}

/// A further line of a reply.
#[derive(Debug)]
enum Rest {
    Exactly(Vec<u8>),
    Indented,
}

impl Oracle {
    pub(crate) fn add(&mut self, addr: SocketAddr) -> PersonId {
        let id = self.people.len();
        let name = addr.to_string();
        self.by_addr.insert(name.clone(), id);
        self.ever_named.entry(name.clone()).or_default().insert(id);
        self.people.push(Person::new(name));
        id
    }

    // What clients write.

    pub(crate) fn wrote(&mut self, person: PersonId, said: Said) {
        self.people[person].script.push(said);
    }

    pub(crate) fn asked_here(&mut self, person: PersonId) {
        self.people[person].asked_here += 1;
    }

    pub(crate) fn asked_option(&mut self, person: PersonId, refusal: [u8; 3]) {
        let person = &mut self.people[person];
        // Each request is refused once.
        if person.options.insert(refusal) {
            person.refusals.push(refusal);
        }
    }

    // What the observer is told.

    pub(crate) fn observe(&mut self, action: &Action<&str>) {
        match action {
            Action::Opened { room, name } => {
                let before = self.rooms.insert(*room, Room::named(name));
                assert!(before.is_none_or(|before| before.members.is_empty()), "opened in use");
            }
            Action::Say { room, author, message } => {
                if self.rooms.is_empty() {
                    self.rooms.insert(LOBBY, Room::named(LOBBY_NAME));
                }
                self.observe_say(*room, *author, message);
            }
            other => panic!("not for observers: {other:?}"),
        }
    }

    fn observe_say(&mut self, room: RoomId, author: Option<ConnId>, message: &Message<&str>) {
        let except = match message {
            Message::Joined { name } => Some(self.observe_joined(room, author, name)),
            Message::Left { name } => {
                self.observe_left(room, name);
                None
            }
            Message::Renamed { old, new } => Some(self.observe_renamed(room, old, new)),
            Message::Said { author: name, text } => {
                let person = self.by_name[*name];
                assert_eq!(self.people[person].conn, author, "the author's name is the author's");
                assert!(self.rooms[&room].members.contains(&person), "an author is a member");
                self.people[person].execute(&Said::Line((*text).to_owned()));
                Some(person)
            }
            other => panic!("not said in rooms of this size: {other:?}"),
        };
        let line: Bytes = render(message).into();
        for member in &self.rooms[&room].members {
            if Some(*member) != except {
                let visit = self.people[*member].visits.last_mut().expect("a member visits");
                assert!(visit.room == room && !visit.ended);
                visit.lines.push(Rc::clone(&line));
            }
        }
    }

    fn observe_joined(&mut self, room: RoomId, conn: Option<ConnId>, name: &str) -> PersonId {
        let conn = conn.expect("who joins is named as the author");
        let id = *self.by_conn.entry(conn).or_insert_with(|| self.by_addr[name]);
        let members = self.rooms.get_mut(&room).expect("opened before");
        assert!(members.members.insert(id), "joined twice");
        let count = u32::try_from(members.members.len()).expect("a few");
        let room_name = members.name.clone();
        let person = &mut self.people[id];
        if person.visits.is_empty() {
            person.conn = Some(conn);
            self.by_name.insert(name.to_owned(), id);
            assert_eq!(room, LOBBY, "everyone starts in the lobby");
        } else {
            assert_eq!(person.name, name);
            person.execute_move(&room_name);
            let reply = Message::YouAreIn { room: room_name.as_str(), members: count };
            person.moves.push_back(render(&reply));
        }
        assert!(person.visits.last().is_none_or(|visit| visit.ended), "in one room at a time");
        person.visits.push(Visit { room, lines: Vec::new(), ended: false });
        id
    }

    fn observe_left(&mut self, room: RoomId, name: &str) {
        let id = self.by_name[name];
        assert!(self.rooms.get_mut(&room).expect("opened").members.remove(&id), "left twice");
        self.people[id].visits.last_mut().expect("a member visits").ended = true;
    }

    fn observe_renamed(&mut self, room: RoomId, old: &str, new: &str) -> PersonId {
        let id = self.by_name.remove(old).expect("somebody goes by the old name");
        assert!(self.rooms[&room].members.contains(&id), "renamed where it is");
        self.by_name.insert(new.to_owned(), id);
        self.ever_named.entry(new.to_owned()).or_default().insert(id);
        let person = &mut self.people[id];
        person.execute(&Said::Nick(new.to_owned()));
        new.clone_into(&mut person.name);
        person.renames.push_back(render(&Message::YouAre { name: new }));
        id
    }

    // What clients receive.

    /// Judges the next bytes that a client received.
    pub(crate) fn received(&mut self, id: PersonId, bytes: &[u8]) {
        self.people[id].partial.extend_from_slice(bytes);
        loop {
            let partial = &self.people[id].partial;
            if partial.first() == Some(&0xff) {
                if partial.len() < 3 {
                    return;
                }
                let answer: Vec<u8> = self.people[id].partial.drain(..3).collect();
                self.people[id].judge_answer(&answer);
                continue;
            }
            let Some(end) = partial.windows(2).position(|pair| pair == b"\r\n") else { return };
            let mut line: Vec<u8> = self.people[id].partial.drain(..end + 2).collect();
            line.truncate(end);
            self.judge(id, &line);
        }
    }

    fn judge(&mut self, id: PersonId, line: &[u8]) {
        let text = std::str::from_utf8(line).expect("lines are UTF-8");
        if is_room_line(text) {
            self.people[id].judge_room_line(id, line);
        } else if let Some((author, text)) = direct(text) {
            self.judge_direct(id, author, text);
        } else if let Some(lines) = skipped(text) {
            self.people[id].judge_skipped(lines);
        } else if let Some(reply) = self.people[id].judge_private(id, text) {
            self.acknowledged.push(reply);
        }
    }

    fn judge_direct(&mut self, id: PersonId, author: &str, text: &str) {
        let number = text.strip_prefix('d').and_then(|rest| rest.split_once('.'));
        let (author_id, sequence) = number.unwrap_or_else(|| panic!("not a message: {text:?}"));
        let author_id: PersonId = author_id.parse().expect("a number");
        let sequence: u64 = sequence.parse().expect("a number");
        assert!(self.ever_named[author].contains(&author_id), "{author} did not write {text}");
        let is_it = |said: &Said| matches!(said, Said::Msg { text: said, .. } if said == text);
        assert!(self.people[author_id].script.iter().any(is_it), "{text} was not written");
        let last = self.people[id].direct_from.insert(author_id, sequence);
        assert!(last.is_none_or(|last| last < sequence), "{text} out of order or twice");
        *self.directs.entry(text.to_owned()).or_default() += 1;
    }

    // What must be so when the server rests.

    /// A client that read everything, whose connection is whole and still open.
    pub(crate) fn assert_complete(&self, id: PersonId) {
        let person = &self.people[id];
        assert!(person.partial.is_empty(), "client {id}: a line without its end");
        person.assert_script_done(id);
        let Some(last) = person.visits.last() else {
            panic!("client {id} was never let in");
        };
        let end = (person.visits.len() - 1, last.lines.len());
        assert!(
            last.lines.is_empty() || person.places.contains(&end),
            "client {id} stands at {:?}, its room ends at {end:?}",
            person.places
        );
    }

    /// A client that sent everything, then the end of its input, and read on to the end.
    pub(crate) fn assert_answered(&self, id: PersonId) {
        let person = &self.people[id];
        assert!(person.partial.is_empty(), "client {id}: a line without its end");
        person.assert_script_done(id);
    }

    /// Acknowledged direct messages arrived, unless their reader may not have read them.
    pub(crate) fn assert_directs(&self, is_healthy: impl Fn(PersonId) -> bool) {
        for (to, text) in &self.acknowledged {
            let readers = &self.ever_named[to];
            let excused = readers.iter().any(|reader| !is_healthy(*reader));
            let count = self.directs.get(text).copied().unwrap_or(0);
            assert!(count == 1 || (excused && count == 0), "{text} to {to} arrived {count} times");
        }
    }

    /// Whether the client was told that the server ends the connection.
    pub(crate) fn was_told_closing(&self, id: PersonId) -> bool {
        self.people[id].closing
    }

    pub(crate) fn has_quit(&self, id: PersonId) -> bool {
        self.people[id].script.contains(&Said::Quit)
    }

    pub(crate) fn was_let_in(&self, id: PersonId) -> bool {
        self.people[id].conn.is_some()
    }

    pub(crate) fn visit_count(&self, id: PersonId) -> usize {
        self.people[id].visits.len()
    }
}

impl Room {
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), members: BTreeSet::new() }
    }
}

impl Person {
    fn new(name: String) -> Self {
        Self {
            script: Vec::new(),
            executed: 0,
            replied: 0,
            asked_here: 0,
            refusals: Vec::new(),
            options: BTreeSet::new(),
            conn: None,
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
            rest: VecDeque::new(),
            direct_from: HashMap::new(),
            closing: false,
        }
    }

    // The script against what the observer sees.

    fn room(&self) -> usize {
        self.visits.len()
    }

    /// The next thing this client does that everybody sees is `said`.
    fn execute(&mut self, said: &Said) {
        loop {
            let Some(next) = self.script.get(self.executed) else {
                panic!("{said:?} was not written, or not twice");
            };
            self.executed += 1;
            if next == said {
                return;
            }
            assert!(!matches!(next, Said::Line(_) | Said::Quit), "{next:?} was passed over");
        }
    }

    fn execute_move(&mut self, room: &str) {
        let leave = room == LOBBY_NAME;
        let join = Said::Join(room.to_owned());
        let rest = &self.script[self.executed..];
        let first = rest.iter().find(|said| **said == join || (leave && **said == Said::Leave));
        let first = first.unwrap_or_else(|| panic!("a move to {room} that nobody asked for"));
        let first = first.clone();
        self.execute(&first);
    }

    fn assert_script_done(&self, id: PersonId) {
        for said in &self.script[self.executed..] {
            assert!(!matches!(said, Said::Line(_)), "client {id}: {said:?} was not carried out");
        }
        assert!(self.rest.is_empty() && self.moves.is_empty() && self.renames.is_empty());
        for said in &self.script[self.replied..] {
            assert!(!said.is_answered(), "client {id}: {said:?} was not answered");
        }
        assert_eq!(self.asked_here, 0, "client {id}: not told that the server is here");
        assert!(self.refusals.is_empty(), "client {id}: an option was not refused");
    }

    // What is received.

    fn judge_answer(&mut self, answer: &[u8]) {
        let place = self.refusals.iter().position(|refusal| refusal == answer);
        self.refusals.swap_remove(place.unwrap_or_else(|| panic!("not asked for: {answer:?}")));
    }

    fn judge_room_line(&mut self, id: PersonId, line: &[u8]) {
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

    fn judge_skipped(&mut self, lines: usize) {
        let places = self.places.iter().map(|(visit, position)| (*visit, position + lines));
        let is_there = |(visit, position): &(usize, usize)| {
            self.visits.get(*visit).is_some_and(|visit| *position <= visit.lines.len())
        };
        // A visit of which nothing was read may be the one that lines were skipped of.
        let fresh = self.places.iter().flat_map(|(visit, _)| {
            (visit + 1..self.room().min(self.moves_received + 1)).map(|later| (later, lines))
        });
        let places: BTreeSet<_> = places.chain(fresh).filter(is_there).collect();
        assert!(!places.is_empty(), "{lines} lines skipped from {:?}", self.places);
        self.places = places;
    }

    /// Judges a reply or a notice; returns a direct message that it acknowledges.
    fn judge_private(&mut self, id: PersonId, line: &str) -> Option<(String, String)> {
        assert!(!self.closing, "client {id}: {line:?} after the last line");
        if is_closing(line) {
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
            Some(Rest::Indented) => assert!(line.starts_with("  "), "{line:?} in a list"),
            None => return self.judge_reply(id, line),
        }
        None
    }

    fn judge_reply(&mut self, id: PersonId, line: &str) -> Option<(String, String)> {
        let silent = |said: &&Said| !said.is_answered();
        self.replied += self.script[self.replied..].iter().take_while(silent).count();
        let Some(said) = self.script.get(self.replied).cloned() else {
            panic!("client {id} is told {line:?} and had asked nothing");
        };
        self.replied += 1;
        match &said {
            Said::Nick(name) => self.judge_nick(name, line),
            Said::Join(room) => self.judge_move(room, line),
            Said::Leave => self.judge_move(LOBBY_NAME, line),
            Said::Msg { to, text } => return judge_msg(to, text, line),
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
            Said::Line(_) | Said::Empty => unreachable!("not answered"),
        }
        None
    }

    fn judge_nick(&mut self, name: &str, line: &str) {
        if line == text(&Message::YouAre { name }) {
            if self.reply_name != name {
                assert_eq!(self.renames.pop_front().as_deref(), Some(line.as_bytes()));
                name.clone_into(&mut self.reply_name);
            }
        } else if line != text(&Message::BadName { name }) || name != "all" {
            assert_eq!(line, text(&Message::NameTaken { name }));
            assert_ne!(self.reply_name, name, "its own name is taken");
        }
    }

    fn judge_move(&mut self, room: &str, line: &str) {
        if self.reply_room == room {
            assert_eq!(line, text(&Message::AlreadyIn { room }));
            return;
        }
        let reply = self.moves.pop_front();
        assert_eq!(
            reply.as_deref().map(<[u8]>::escape_ascii).map(|it| it.to_string()).as_deref(),
            Some(line)
        );
        self.moves_received += 1;
        room.clone_into(&mut self.reply_room);
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
        !matches!(self, Self::Line(_) | Self::Empty)
    }
}

fn judge_msg(to: &str, said: &str, line: &str) -> Option<(String, String)> {
    if line == text(&Message::NoSuchUser { name: to }) {
        return None;
    }
    assert_eq!(line, text(&Message::DirectSent { to, text: said }));
    Some((to.to_owned(), said.to_owned()))
}

fn render(message: &Message<&str>) -> Vec<u8> {
    let mut line = Vec::new();
    Dialect::Telnet.render(message, &mut line);
    line.truncate(line.len() - 2);
    line
}

fn text(message: &Message<&str>) -> String {
    String::from_utf8(render(message)).expect("UTF-8")
}

fn is_room_line(line: &str) -> bool {
    let said = line.starts_with('[') && !line.starts_with("[you -> ") && direct(line).is_none();
    let notice = ["Client joined ", "Client left "].iter().any(|start| line.starts_with(start));
    said || notice || (!line.starts_with('[') && line.contains(" is now "))
}

/// The author and the text of a direct message.
fn direct(line: &str) -> Option<(&str, &str)> {
    let (author, text) = line.strip_prefix('[')?.split_once(" -> you] ")?;
    (!author.contains(' ')).then_some((author, text))
}

fn skipped(line: &str) -> Option<usize> {
    let (count, _) = line.strip_prefix('(')?.split_once(" line")?;
    count.parse().ok()
}

fn is_closing(line: &str) -> bool {
    // What `/quit` is answered is a reply.
    let quiet = text(&Message::Goodbye);
    let closing = |reason: CloseReason| text(&Message::Closing { reason });
    line != quiet && CloseReason::ALL.into_iter().any(|reason| closing(reason) == line)
}
