//! A whole session of four clients, from their bytes to what each reads, against a plain model: in
//! which rooms each is, whom it ignores, and who has to read what was said.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::RandomState;
use std::ops::ControlFlow;

use chatd::chat::{Action, Chat, Config, ConnId, Event, Message, PeerId, PeerSet, RoomId, Sink};
use chatd::dialect::{Dialect, Input};
use chatd::limits::ROOMS_PER_CLIENT_MAX;
use chatd::time::Time;

const DIALECTS: [Dialect; 4] = [Dialect::Telnet, Dialect::Telnet, Dialect::Rid, Dialect::P2p];
const PORTS: [u16; 4] = [1_000, 1_001, 1_002, 1_003];
const PEERS: [PeerId; 2] = [PeerId(0), PeerId(1)];

/// What the core says, carried out as a worker does.
#[derive(Default)]
struct Delivery {
    rooms: BTreeMap<RoomId, String>,
    members: BTreeMap<RoomId, BTreeSet<usize>>,
    /// Who ignores whom.
    ignored: BTreeSet<(usize, usize)>,
    /// What each client read of rooms since it was last looked at.
    read: [Vec<u8>; 4],
    names: [String; 4],
    gone: [bool; 4],
}

impl Sink for Delivery {
    fn push(&mut self, _: PeerSet, action: Action<&str>) {
        match action {
            Action::Opened { room, name } => {
                self.rooms.insert(room, name.to_ascii_lowercase());
                self.members.insert(room, BTreeSet::new());
            }
            Action::Enter { conn, room } => {
                let is_new = self.members.get_mut(&room).expect("opened").insert(place(conn));
                assert!(is_new, "entered twice");
            }
            Action::Leave { conn, room } => {
                let was_there = self.members.get_mut(&room).expect("opened").remove(&place(conn));
                assert!(was_there, "left twice");
            }
            Action::Say { room, author, hears, message } => {
                let author = author.map(place);
                for member in &self.members[&room] {
                    let is_own = author == Some(*member) && !hears;
                    let ignores =
                        author.is_some_and(|author| self.ignored.contains(&(*member, author)));
                    if !is_own && !ignores && is_said(&message) {
                        DIALECTS[*member].render(&message, &mut self.read[*member]);
                    }
                }
            }
            Action::Ignore { conn, other, on } => {
                let pair = (place(conn), place(other));
                let is_new =
                    if on { self.ignored.insert(pair) } else { self.ignored.remove(&pair) };
                assert!(is_new, "ignored twice, or never");
            }
            Action::Tell { conn, message: Message::YouAre { name } } => {
                name.clone_into(&mut self.names[place(conn)]);
            }
            Action::Close { conn } => self.gone[place(conn)] = true,
            _ => {}
        }
    }
}

impl Delivery {
    /// The rooms a client is in.
    fn rooms_of(&self, client: usize) -> BTreeSet<String> {
        let rooms = self.members.iter().filter(|(_, members)| members.contains(&client));
        rooms.map(|(room, _)| self.rooms[room].clone()).collect()
    }

    /// Who goes by that name.
    fn named(&self, name: &str) -> Option<usize> {
        let is_it =
            |client: &usize| !self.gone[*client] && fold(&self.names[*client]) == fold(name);
        (0..DIALECTS.len()).find(is_it)
    }
}

/// What has to be so.
#[derive(Default)]
struct Model {
    /// Where each client is.
    rooms: [BTreeSet<String>; 4],
    ignored: [BTreeSet<usize>; 4],
}

fn is_said(message: &Message<&str>) -> bool {
    matches!(message, Message::Said { .. } | Message::Acted { .. } | Message::Framed { .. })
}

fn place(conn: ConnId) -> usize {
    conn.index as usize
}

/// The bytes are cut at each 0x01; what follows it says who goes on.
pub(crate) fn run(data: &[u8]) {
    let config = Config {
        peer_count: PEERS.len(),
        observers: PeerSet::one(PEERS[1]),
        clients_max: DIALECTS.len(),
        ..Config::default()
    };
    let mut chat = Chat::new(config, RandomState::new());
    let mut delivery = Delivery::default();
    chat.open(&mut delivery);
    let conns = [0, 1, 2, 3].map(|index| ConnId { peer: PEERS[0], index, generation: 0 });
    let mut model = Model::default();
    for (client, (conn, dialect)) in conns.into_iter().zip(DIALECTS).enumerate() {
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], PORTS[client]));
        delivery.names[client] = addr.to_string();
        let event = Event::Connected { conn, addr, start: dialect.start() };
        chat.handle(Time::default(), event, &mut delivery);
        if dialect == Dialect::Telnet {
            model.rooms[client].insert("lobby".to_owned());
        }
    }
    let mut decoders = DIALECTS.map(Dialect::decoder);
    for piece in data.split(|byte| *byte == 1) {
        let Some((&who, bytes)) = piece.split_first() else { continue };
        let client = usize::from(who) % DIALECTS.len();
        let conn = conns[client];
        decoders[client].decode(bytes, &mut |input| {
            let event = match input {
                Input::Line(text) => Event::Line { conn, text },
                Input::Frame { room, text } => Event::Frame { conn, room, text },
                Input::Id(name) => Event::Id { conn, name },
                Input::To { name, text } => Event::To { conn, name, text },
                _ => return ControlFlow::Continue(()),
            };
            if delivery.gone[client] {
                return ControlFlow::Continue(());
            }
            let before = delivery.names[client].clone();
            model.ignore(client, &input, |name| delivery.named(name));
            chat.handle(Time::default(), event, &mut delivery);
            // Whose id was taken is closed; whose was not has it now.
            let has_id = matches!(input, Input::Id(_)) && !delivery.gone[client];
            let said = model.expect(client, &before, &input, has_id);
            if delivery.gone[client] {
                model.rooms[client].clear();
            }
            for (other, rooms) in model.rooms.iter().enumerate() {
                assert_eq!(delivery.rooms_of(other), *rooms, "{other} after {input:?}");
                let read = std::mem::take(&mut delivery.read[other]);
                let read = String::from_utf8(read).expect("messages are text");
                let expected = said.get(&other).map_or("", |text| text);
                assert_eq!(read, expected, "{other} after {input:?}");
            }
            ControlFlow::Continue(())
        });
    }
}

impl Model {
    /// Whom the client ignores after the input.
    fn ignore(&mut self, client: usize, input: &Input<'_>, named: impl Fn(&str) -> Option<usize>) {
        let Some((word, rest)) = command(input) else { return };
        match (&*word, named(rest).filter(|other| *other != client)) {
            ("ignore", Some(other)) => {
                self.ignored[client].insert(other);
            }
            ("unignore", Some(other)) => {
                self.ignored[client].remove(&other);
            }
            _ => {}
        }
    }

    /// What the input does to the model; who reads what for it.
    fn expect(
        &mut self,
        client: usize,
        name: &str,
        input: &Input<'_>,
        has_id: bool,
    ) -> BTreeMap<usize, String> {
        let here = self.rooms[client].first().cloned();
        let nothing = BTreeMap::new();
        if let Some((word, rest)) = command(input) {
            let to = match &*word {
                "leave" | "back" | "lobby" if rest.is_empty() => "lobby".to_owned(),
                "join" if is_name(rest) || self.is_room(&fold(rest)) => fold(rest),
                "me" if !rest.is_empty() => {
                    return self.readers(client, true, here, |dialect| acted(dialect, name, rest));
                }
                _ => return nothing,
            };
            self.rooms[client] = BTreeSet::from([to]);
            return nothing;
        }
        match *input {
            Input::Line("") => nothing,
            Input::Line(line) => {
                let text = line.strip_prefix('/').unwrap_or(line);
                self.readers(client, true, here, |dialect| one_line(dialect, name, text))
            }
            Input::Frame { room, text } if self.rooms[client].contains(room) => {
                let room = Some(room.to_owned());
                self.readers(client, true, room, |dialect| framed(dialect, name, text))
            }
            Input::Frame { room, .. } => {
                if self.rooms[client].len() < ROOMS_PER_CLIENT_MAX {
                    self.rooms[client].insert(room.to_owned());
                }
                nothing
            }
            Input::Id(_) => {
                if has_id {
                    self.rooms[client].insert("lobby".to_owned());
                }
                nothing
            }
            // Who writes to all reads it too.
            Input::To { name: to, text } if to.eq_ignore_ascii_case("all") => {
                let room = Some("lobby".to_owned());
                self.readers(client, false, room, |dialect| one_line(dialect, name, text))
            }
            _ => nothing,
        }
    }

    fn is_room(&self, room: &str) -> bool {
        self.rooms.iter().any(|rooms| rooms.contains(room))
    }

    /// Who reads what the author says in the room: all who are there and do not ignore them.
    fn readers(
        &self,
        author: usize,
        but_author: bool,
        room: Option<String>,
        words: impl Fn(Dialect) -> String,
    ) -> BTreeMap<usize, String> {
        let is_there = |client: &usize| {
            room.as_ref().is_some_and(|room| self.rooms[*client].contains(room))
                && !self.ignored[*client].contains(&author)
                && !(but_author && *client == author)
        };
        let readers = (0..DIALECTS.len()).filter(is_there);
        readers.map(|client| (client, words(DIALECTS[client]))).collect()
    }
}

/// The word of a command, and its arguments.
fn command<'a>(input: &Input<'a>) -> Option<(String, &'a str)> {
    let Input::Line(line) = *input else { return None };
    let words = line.strip_prefix('/').filter(|rest| !rest.starts_with('/'))?;
    let (word, rest) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
    Some((word.to_ascii_lowercase(), rest.trim()))
}

/// As names are compared.
fn fold(name: &str) -> String {
    name.chars().flat_map(char::to_lowercase).collect()
}

fn one_line(dialect: Dialect, author: &str, text: &str) -> String {
    match dialect {
        Dialect::Telnet => format!("[{author}] {text}\r\n"),
        Dialect::Rid => format!("\n<{}>{text}\n", pair(author)),
        Dialect::P2p => format!("{author} said : {text}\n"),
    }
}

fn acted(dialect: Dialect, author: &str, text: &str) -> String {
    match dialect {
        Dialect::Telnet => format!("* {author} {text}\r\n"),
        Dialect::Rid => format!("\n* {} {text}\n", pair(author)),
        Dialect::P2p => format!("* {author} {text}\n"),
    }
}

fn framed(dialect: Dialect, author: &str, text: &str) -> String {
    if dialect == Dialect::Rid {
        return format!("\n<{}>{text}", pair(author));
    }
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.split('\n').map(|line| one_line(dialect, author, line)).collect()
}

fn pair(author: &str) -> String {
    match author.split_once(':') {
        Some((host, port)) => format!("('{host}', {port})"),
        None => author.to_owned(),
    }
}

fn is_name(word: &str) -> bool {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=20).contains(&word.len()) && word.bytes().all(is_name_byte)
}
