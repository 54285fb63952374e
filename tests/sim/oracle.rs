//! What each client must have received, worked out apart from the engine.
//!
//! The hub's observer is told everything said in any room, in the one order of all rooms; that a
//! client entered, left or was renamed is said there too. So the oracle knows of every visit of a
//! client to a room exactly which lines it has to get: those between its entering and its leaving,
//! but its own, and those of whom it ignores. The rules:
//! - What a client gets of a room is those lines, byte for byte, in order, from the first on,
//!   without a gap. What is missing at the end was not sent before the client left the room or was
//!   closed; of the room a healthy client is in, nothing is missing once the server rests.
//! - A gap only stands where a notice says `skipped`, and is exactly as long as it says.
//! - The lines of a room come after the reply to the command that led there.
//! - Replies come in the order of the client's lines, whole, once. What they say of rooms and names
//!   agrees with what the observer was told.
//! - What the observer is told of a client's lines is what that client wrote: in order, whole,
//!   once.
//! - Nothing that somebody does is told to those who ignore them, from the command on: the
//!   observer is told of it in its place.
//! - Direct messages arrive once, in the order of their author's.
//! - Every byte belongs to one of these.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;

use chatd::chat::{Action, ConnId, Message, PeerId, RoomId};
use chatd::dialect::Dialect;

use crate::net::MINUTES;
use crate::person::{
    Bytes, HISTORY_LINES, LOBBY_NAME, Person, Rest, Said, Visit, ignoring, render, skipped,
};
use crate::words;

/// A client, by its place in `Oracle::people`.
pub(crate) type PersonId = usize;

const LOBBY: RoomId = RoomId(0);
/// From this number on peers are those of connections that were gone at a handover.
const GONE: u8 = 64;

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    people: Vec<Person>,
    by_addr: HashMap<String, PersonId>,
    /// Who wants to go by an id: no two want the same.
    by_id: HashMap<String, PersonId>,
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
    /// Who ignored whom at some time.
    ever_ignored: BTreeSet<(PersonId, ConnId)>,
    /// Direct messages that were refused: whose, and by whom.
    refused: Vec<(PersonId, String)>,
    /// What stood before everything was handed over, until it was told anew: the rooms, and whom
    /// each ignored.
    past_rooms: Vec<Room>,
    past_ignored: Vec<BTreeSet<ConnId>>,
}

#[derive(Debug, Default)]
struct Room {
    /// Its number before everything was handed over.
    before: Option<RoomId>,
    name: String,
    topic: String,
    /// What was said, as a line of its past shows it.
    past: VecDeque<(ConnId, String)>,
    members: BTreeSet<PersonId>,
}

impl Oracle {
    pub(crate) fn add(&mut self, dialect: Dialect, addr: SocketAddr) -> PersonId {
        let id = self.people.len();
        let name = addr.to_string();
        self.by_addr.insert(name.clone(), id);
        self.ever_named.entry(name.clone()).or_default().insert(id);
        self.people.push(Person::new(dialect, name));
        id
    }

    // What clients write.

    pub(crate) fn wrote(&mut self, person: PersonId, said: Said) {
        if let Said::Id(id) = &said {
            self.by_id.insert(id.clone(), person);
        }
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
                let past = self.past_rooms.iter().position(|past| past.name == *name);
                let opened = past
                    .map_or_else(|| Room::named(name), |place| self.past_rooms.swap_remove(place));
                let before = self.rooms.insert(*room, opened);
                assert!(before.is_none_or(|before| before.members.is_empty()), "opened in use");
            }
            // Somebody who had left when everything was handed over. All of them are let go of.
            Action::Ignore { conn, other, on } if other.peer.0 >= GONE => {
                let ignored = &mut self.people[self.by_conn[conn]].ignored;
                ignored.retain(|conn| *on || conn.peer.0 < GONE);
            }
            Action::Ignore { conn, other, on } => {
                let ignorer = self.by_conn[conn];
                let ignored = &mut self.people[ignorer].ignored;
                let changed = if *on { ignored.insert(*other) } else { ignored.remove(other) };
                assert!(changed, "ignored twice, or never");
                self.ever_ignored.insert((ignorer, *other));
            }
            Action::Say { room, author, hears: _, message } => {
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
                let is_p2p = self.people[self.by_name[*name]].dialect == Dialect::P2p;
                let said = if is_p2p { Said::All } else { Said::Line };
                let person = self.observe_own(room, author, name, &said((*text).to_owned()));
                // Who writes to all reads it too.
                (!is_p2p).then_some(person)
            }
            Message::Framed { author: name, text } => {
                let said =
                    Said::Frame { room: self.rooms[&room].name.clone(), text: (*text).to_owned() };
                Some(self.observe_own(room, author, name, &said))
            }
            Message::Acted { author: name, text } => {
                Some(self.observe_own(room, author, name, &Said::Act((*text).to_owned())))
            }
            Message::TopicSet { name, topic } => {
                self.observe_own(room, author, name, &Said::Topic((*topic).to_owned()));
                let room = self.rooms.get_mut(&room).expect("opened before");
                (*topic).clone_into(&mut room.topic);
                None
            }
            other => panic!("not said in rooms of this size: {other:?}"),
        };
        self.remember(room, author, message);
        self.write_down(room, except, author, message);
    }

    /// What those who join are told of the room's past.
    fn remember(&mut self, room: RoomId, author: Option<ConnId>, message: &Message<&str>) {
        let lines = match message {
            Message::Said { .. } | Message::Acted { .. } => lines_of(&render(message)),
            Message::Framed { .. } => {
                let lines = lines_of(&render(message)).into_iter();
                lines.filter(|line| !line.ends_with(b"] ")).collect()
            }
            _ => return,
        };
        let past = &mut self.rooms.get_mut(&room).expect("opened before").past;
        let author = author.expect("somebody said it");
        let line_of = |line: &Bytes| (author, String::from_utf8_lossy(line).into_owned());
        past.extend(lines.iter().map(line_of));
        past.drain(..past.len().saturating_sub(HISTORY_LINES));
    }

    /// The members of a room have to get the message, each in its dialect's words.
    fn write_down(
        &mut self,
        room: RoomId,
        except: Option<PersonId>,
        author: Option<ConnId>,
        message: &Message<&str>,
    ) {
        let lines = lines_of(&render(message));
        for member in &self.rooms[&room].members {
            let ignored = &self.people[*member].ignored;
            let ignores = author.is_some_and(|author| ignored.contains(&author));
            if Some(*member) == except || ignores {
                continue;
            }
            let person = &mut self.people[*member];
            let visit = person.visits.iter().rposition(|visit| visit.room == room && !visit.ended);
            let visit = visit.expect("a member visits");
            if person.dialect == Dialect::Telnet {
                assert_eq!(visit + 1, person.visits.len());
                person.visits[visit].push(lines.iter().cloned());
                continue;
            }
            let said = words::of_room(person.dialect, message);
            if !said.is_empty() {
                person.visits[visit].push([said.into_bytes().into()]);
                person.note_order(visit);
            }
        }
    }

    fn observe_own(
        &mut self,
        room: RoomId,
        author: Option<ConnId>,
        name: &str,
        said: &Said,
    ) -> PersonId {
        let person = self.by_name[name];
        assert_eq!(self.people[person].conn, author, "the author's name is the author's");
        assert!(self.rooms[&room].members.contains(&person), "an author is a member");
        self.people[person].execute(said);
        person
    }

    fn observe_joined(&mut self, room: RoomId, conn: Option<ConnId>, name: &str) -> PersonId {
        let conn = conn.expect("who joins is named as the author");
        let named = || self.by_addr.get(name).unwrap_or_else(|| &self.by_id[name]);
        let id = *self.by_conn.entry(conn).or_insert_with(|| *named());
        let members = self.rooms.get_mut(&room).expect("opened before");
        assert!(members.members.insert(id), "joined twice");
        let count = u32::try_from(members.members.len()).expect("a few");
        let (room_name, topic) = (members.name.clone(), members.topic_line());
        let person = &mut self.people[id];
        if person.dialect != Dialect::Telnet {
            person.conn = Some(conn);
            name.clone_into(&mut person.name);
            let topic =
                (!members.topic.is_empty()).then(|| words::topic(&room_name, &members.topic));
            person.enter(Visit::new(room), &room_name, topic);
            self.by_name.insert(name.to_owned(), id);
            self.ever_named.entry(name.to_owned()).or_default().insert(id);
            return id;
        }
        let past = members.past_lines(&person.ignored);
        if person.visits.is_empty() {
            person.conn = Some(conn);
            self.by_name.insert(name.to_owned(), id);
            assert_eq!(room, LOBBY, "everyone starts in the lobby");
            person.rest.extend(topic.map(Rest::Exactly));
        } else {
            assert_eq!(person.name, name);
            let joined = person.execute_move(&room_name);
            let reply = Message::YouAreIn { room: room_name.as_str(), members: count };
            let mut rest: Vec<_> = topic.map(Rest::Exactly).into_iter().collect();
            rest.extend(past.into_iter().filter(|_| joined));
            person.moves.push_back((render(&reply), rest));
        }
        assert!(person.visits.last().is_none_or(|visit| visit.ended), "in one room at a time");
        person.visits.push(Visit::new(room));
        id
    }

    fn observe_left(&mut self, room: RoomId, name: &str) {
        let id = self.by_name[name];
        assert!(self.rooms.get_mut(&room).expect("opened").members.remove(&id), "left twice");
        let visits = &mut self.people[id].visits;
        let visit = visits.iter_mut().rfind(|visit| visit.room == room && !visit.ended);
        visit.expect("a member visits").ended = true;
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

    // Everything is handed over.

    /// Connections go by other names from here on; who has none is gone. Rooms and whom people
    /// ignore will be told anew.
    pub(crate) fn handed_over(&mut self, names: &HashMap<ConnId, ConnId>, times: u32) {
        // Whoever is gone is called as nobody will be.
        let gone = |conn: &ConnId| match conn.peer.0 {
            GONE.. => *conn,
            peer => ConnId {
                peer: PeerId(GONE + peer),
                generation: conn.generation + times * 1_000_000,
                ..*conn
            },
        };
        let rename = |conn: &ConnId| names.get(conn).copied().unwrap_or_else(|| gone(conn));
        self.by_conn = self.by_conn.iter().map(|(conn, id)| (rename(conn), *id)).collect();
        self.ever_ignored =
            self.ever_ignored.iter().map(|(id, conn)| (*id, rename(conn))).collect();
        for person in &mut self.people {
            person.conn = person.conn.as_ref().map(rename);
            let ignored = std::mem::take(&mut person.ignored);
            self.past_ignored.push(ignored.iter().map(rename).collect());
        }
        for (id, mut room) in self.rooms.drain() {
            if room.members.is_empty() && id != LOBBY {
                continue;
            }
            room.past.iter_mut().for_each(|(author, _)| *author = rename(author));
            room.before = Some(id);
            self.past_rooms.push(room);
        }
    }

    /// What was told anew is what was there.
    pub(crate) fn check_handed_over(&mut self) {
        for room in self.past_rooms.drain(..) {
            assert!(room.members.is_empty(), "the room {} was not handed over", room.name);
        }
        let numbers: HashMap<RoomId, RoomId> =
            self.rooms.iter().filter_map(|(id, room)| Some((room.before?, *id))).collect();
        for (person, ignored) in self.people.iter_mut().zip(self.past_ignored.drain(..)) {
            let is_here = |conn: &ConnId| conn.peer.0 < GONE;
            if person.conn.as_ref().is_some_and(is_here) {
                let here: BTreeSet<_> =
                    ignored.iter().filter(|conn| is_here(conn)).copied().collect();
                assert_eq!(person.ignored, here, "whom {} ignores", person.name);
            }
            person.ignored = ignored;
            for visit in person.visits.iter_mut().filter(|visit| !visit.ended) {
                visit.room = numbers[&visit.room];
            }
        }
    }

    // What clients receive.

    /// Judges the next bytes that a client received.
    pub(crate) fn received(&mut self, id: PersonId, bytes: &[u8]) {
        self.people[id].partial.extend_from_slice(bytes);
        if self.people[id].dialect != Dialect::Telnet {
            while let Some(heard) = self.people[id].hear(id) {
                if let Some((author, text)) = heard {
                    self.judge_direct(id, &author, &text);
                }
            }
            return;
        }
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
        let text = without_time(text);
        let line = text.as_bytes();
        if is_room_line(text) {
            self.people[id].judge_room_line(id, line);
        } else if let Some((author, text)) = direct(text) {
            self.judge_direct(id, author, text);
        } else if let Some(lines) = skipped(text) {
            self.people[id].judge_skipped(lines);
        } else {
            if let Some(name) = ignoring(text) {
                self.refused.push((id, name.to_owned()));
            }
            if let Some(reply) = self.people[id].judge_private(id, text) {
                self.acknowledged.push(reply);
            }
        }
    }

    fn judge_direct(&mut self, id: PersonId, author: &str, text: &str) {
        let number = text.strip_prefix('d').and_then(|rest| rest.split_once('.'));
        let (author_id, sequence) = number.unwrap_or_else(|| panic!("not a message: {text:?}"));
        let author_id: PersonId = author_id.parse().expect("a number");
        let sequence: u64 = sequence.parse().expect("a number");
        assert!(self.ever_named[author].contains(&author_id), "{author} did not write {text}");
        let is_it = |said: &Said| match said {
            Said::Msg { text: said, .. } | Said::Reply(said) => said == text,
            _ => false,
        };
        assert!(self.people[author_id].script.iter().any(is_it), "{text} was not written");
        let last = self.people[id].direct_from.insert(author_id, sequence);
        assert!(last.is_none_or(|last| last < sequence), "{text} out of order or twice");
        *self.directs.entry(text.to_owned()).or_default() += 1;
    }

    // What must be so when the server rests.

    /// A client that read everything, whose connection is whole and still open.
    pub(crate) fn assert_complete(&self, id: PersonId) {
        let person = &self.people[id];
        self.assert_answered(id);
        if person.dialect != Dialect::Telnet {
            return person.assert_all_heard(id);
        }
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
        assert!(
            person.partial.is_empty(),
            "client {id}: a line without its end: {:?}",
            String::from_utf8_lossy(&person.partial)
        );
        match person.dialect {
            Dialect::Telnet => person.assert_script_done(id),
            Dialect::Rid | Dialect::P2p => person.assert_program_done(id),
        }
    }

    /// Acknowledged direct messages arrived, unless their reader may not have read them.
    pub(crate) fn assert_directs(&self, is_healthy: impl Fn(PersonId) -> bool) {
        for (to, text) in &self.acknowledged {
            let readers = &self.ever_named[to];
            let excused = readers.iter().any(|reader| !is_healthy(*reader));
            let count = self.directs.get(text).copied().unwrap_or(0);
            assert!(count == 1 || (excused && count == 0), "{text} to {to} arrived {count} times");
        }
        for (author, name) in &self.refused {
            let mut readers = self.ever_named[name].iter();
            let conn = self.people[*author].conn.expect("it was let in");
            let ignored = readers.any(|reader| self.ever_ignored.contains(&(*reader, conn)));
            assert!(ignored, "{name} refused what client {author} wrote, and ignored nobody");
        }
        self.assert_silent_directs(is_healthy);
    }

    /// A p2p client is told of the messages that did not arrive, and of no others.
    fn assert_silent_directs(&self, is_healthy: impl Fn(PersonId) -> bool) {
        let nobody = BTreeSet::new();
        for (id, person) in self.people.iter().enumerate().filter(|(id, _)| is_healthy(*id)) {
            let sent = person.script.iter().filter_map(|said| match said {
                Said::Msg { to, text } if !self.directs.contains_key(text) => Some(to),
                _ => None,
            });
            let lost: Vec<_> = sent.collect();
            let readers = lost.iter().flat_map(|to| self.ever_named.get(*to).unwrap_or(&nobody));
            if person.dialect == Dialect::P2p && readers.clone().all(|reader| is_healthy(*reader)) {
                let told = person.program.offline_count + person.program.refused_count;
                assert_eq!(told, lost.len(), "client {id}: messages to nobody: {lost:?}");
            }
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

    /// Its first line was a p2p id that was refused.
    pub(crate) fn was_turned_away(&self, id: PersonId) -> bool {
        self.people[id].program.turned_away
    }

    pub(crate) fn was_welcomed(&self, id: PersonId) -> bool {
        self.people[id].welcomed
    }

    pub(crate) fn visit_count(&self, id: PersonId) -> usize {
        self.people[id].visits.len()
    }
}

impl Room {
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// What somebody who joins is told of its past.
    fn past_lines(&self, ignored: &BTreeSet<ConnId>) -> Vec<Rest> {
        let past = self.past.iter().filter(|(author, _)| !ignored.contains(author));
        let past: Vec<_> = past.map(|(_, line)| Rest::Past(line.clone())).collect();
        let lines = u32::try_from(past.len()).expect("a few");
        let head = Message::PastHead { room: self.name.as_str(), lines };
        let head = (lines > 0).then(|| Rest::Exactly(render(&head)));
        head.into_iter().chain(past).collect()
    }

    /// What somebody who enters is told of the topic.
    fn topic_line(&self) -> Option<Vec<u8>> {
        let message = Message::Topic { room: self.name.as_str(), topic: self.topic.as_str() };
        (!self.topic.is_empty()).then(|| render(&message))
    }
}

/// The lines of what people read, without their ends.
fn lines_of(rendered: &[u8]) -> Vec<Bytes> {
    let text = std::str::from_utf8(rendered).expect("UTF-8");
    text.split("\r\n").map(|line| line.as_bytes().into()).collect()
}

/// The line without the time that it may begin with, which has to be the wall clock's: which lines
/// do is not judged.
fn without_time(line: &str) -> &str {
    let is_time = |time: &str| {
        time.bytes()
            .enumerate()
            .all(|(place, byte)| if place == 2 { byte == b':' } else { byte.is_ascii_digit() })
    };
    let (time, rest) = line.split_at_checked(6).unwrap_or(("", line));
    match time.strip_suffix(' ') {
        Some(time) if is_time(time) => {
            assert!(time.ends_with(&format!(":{MINUTES}")), "the wall clock never said {time}");
            rest
        }
        _ => line,
    }
}

fn is_room_line(line: &str) -> bool {
    let said = line.starts_with("* ")
        || line.starts_with('[') && !line.starts_with("[you -> ") && direct(line).is_none();
    let notice = ["Client joined ", "Client left "].iter().any(|start| line.starts_with(start));
    let named = [" is now ", " set the topic: ", " removed the topic"];
    said || notice || (!line.starts_with('[') && named.iter().any(|what| line.contains(what)))
}

/// The author and the text of a direct message.
fn direct(line: &str) -> Option<(&str, &str)> {
    let (author, text) = line.strip_prefix('[')?.split_once(" -> you] ")?;
    (!author.contains(' ')).then_some((author, text))
}
