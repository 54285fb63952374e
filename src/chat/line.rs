//! What people who write lines ask for, and what they get.

use std::hash::BuildHasher;

use super::command::{self, Command, NO_TOPIC, ROOM_FORM, echo};
use super::event::{Action, PeerSet, RoomId, Sink};
use super::looks::Nicknames;
use super::message::{Message, What};
use super::nick::{Name, is_name};
use super::room::LOBBY;
use super::session::{Away, Seat, SessionId};
use super::{By, Chat};
use crate::limits::{LIST_LEN_MAX, NAME_LEN_MAX, NAME_TRIES_MAX, REMARK_LEN_MAX};
use crate::time::Time;

impl<S: BuildHasher> Chat<S> {
    pub(super) fn line(&mut self, now: Time, user: SessionId, line: &str, sink: &mut impl Sink) {
        match Command::parse(line) {
            Command::Nothing => {}
            Command::Say(text) => self.speak(user, (What::Said, text), sink),
            Command::Act(text) => self.speak(user, (What::Acted, text), sink),
            Command::Help => self.tell(user, Message::Help, sink),
            Command::HelpOn(word) => self.help_on(user, word, sink),
            Command::Motd => self.tell(user, Message::Motd, sink),
            Command::Nick(name) => {
                self.rename(now, user, name, sink);
            }
            Command::Login(name) => {
                if self.rename(now, user, name, sink) {
                    self.tell(user, Message::Help, sink);
                }
            }
            Command::Join(name) => self.join(now, user, name, sink),
            Command::Leave => self.go(now, user, LOBBY, sink),
            Command::Rooms => self.list_rooms(user, sink),
            Command::Who(name) => self.who(user, name, sink),
            Command::Whois(name) => self.whois(user, name, sink),
            Command::Ignored => self.list_ignored(user, sink),
            Command::Ignore { name, on } => self.ignore(user, name, on, sink),
            Command::Msg { to, text } => self.direct(user, to, text, sink),
            Command::Reply(text) => self.reply(user, text, sink),
            Command::Topic => self.show_topic(user, sink),
            Command::SetTopic(topic) => self.set_topic(user, topic, sink),
            Command::History => {
                if let Some(room) = self.room_of(user) {
                    self.tell_history(user, room, sink);
                }
            }
            Command::SetTime(on) => {
                let conn = self.sessions[user].conn;
                sink.push(PeerSet::one(conn.peer), Action::Stamp { conn, on });
                self.tell(user, Message::TimeIs { on }, sink);
            }
            Command::SetHistory(on) => self.set_history(user, on, sink),
            Command::Away(text) => self.go_away(user, text, sink),
            Command::Here => {
                if !self.come_back(user, sink) {
                    self.tell(user, Message::YouAreHere, sink);
                }
            }
            Command::Rich(on) => {
                let conn = self.sessions[user].conn;
                sink.push(PeerSet::one(conn.peer), Action::Rich { conn, on });
            }
            Command::Quit => {
                self.tell(user, Message::Goodbye, sink);
                self.close(now, user, sink);
            }
            Command::Unnamed => self.tell(user, Message::NoCommand, sink),
            Command::Other { word, arguments } => self.other(now, user, word, arguments, sink),
            Command::Usage(form) => self.tell(user, Message::Usage { form }, sink),
        }
    }

    /// Tells the others in the user's room something of the user's own.
    fn speak(&mut self, user: SessionId, (what, text): (What, &str), sink: &mut impl Sink) {
        let Some(room) = self.room_of(user) else { return };
        self.come_back(user, sink);
        let (conn, name) = (self.sessions[user].conn, self.sessions[user].name());
        let author = name.as_str();
        let message = match what {
            What::Said => Message::Said { author, text },
            What::Acted => Message::Acted { author, text },
        };
        self.tell_room(room, By { conn, hears: false }, message, sink);
        self.rooms.remember(self.minute, room, conn, name, (what, text));
    }

    fn direct(&mut self, user: SessionId, to: &str, text: &str, sink: &mut impl Sink) {
        if let Some(reader) = self.named_or_told(user, to, sink) {
            self.write_to(user, reader, text, sink);
        }
    }

    fn reply(&mut self, user: SessionId, text: &str, sink: &mut impl Sink) {
        let writer = self.sessions.aside(user).and_then(|aside| aside.writer);
        match writer.and_then(|conn| self.sessions.of(conn)) {
            Some(reader) => self.write_to(user, reader, text, sink),
            None => self.tell(user, Message::NobodyToReplyTo, sink),
        }
    }

    fn write_to(&mut self, user: SessionId, reader: SessionId, text: &str, sink: &mut impl Sink) {
        if self.is_refused(user, reader, sink) {
            return;
        }
        self.come_back(user, sink);
        let to = self.sessions[reader].name();
        self.deliver(user, reader, text, sink);
        self.tell(user, Message::DirectSent { to: to.as_str(), text }, sink);
        self.tell_away_once(user, reader, sink);
    }

    /// Hands a direct message over.
    pub(super) fn deliver(
        &mut self,
        user: SessionId,
        reader: SessionId,
        text: &str,
        sink: &mut impl Sink,
    ) {
        let (author, conn) = (self.sessions[user].name(), self.sessions[user].conn);
        self.tell(reader, Message::Direct { author: author.as_str(), text }, sink);
        self.sessions.aside_mut(reader).writer = Some(conn);
    }

    /// Tells one who wrote to somebody who is away that they are, the first time.
    pub(super) fn tell_away_once(
        &mut self,
        user: SessionId,
        reader: SessionId,
        sink: &mut impl Sink,
    ) {
        let conn = self.sessions[user].conn;
        if self.sessions.away_mut(reader).is_some_and(|away| away.tells(conn)) {
            self.tell_away(user, reader, sink);
        }
    }

    /// Who goes by the name; if nobody does, the user is told.
    pub(super) fn named_or_told(
        &self,
        user: SessionId,
        name: &str,
        sink: &mut impl Sink,
    ) -> Option<SessionId> {
        let named = self.sessions.named(name);
        if named.is_none() {
            self.tell(user, Message::NoSuchUser { name: echo(name) }, sink);
        }
        named
    }

    fn go_away(&mut self, user: SessionId, text: &str, sink: &mut impl Sink) {
        if text.len() > REMARK_LEN_MAX {
            return self.tell(user, Message::RemarkTooLong, sink);
        }
        self.sessions.aside_mut(user).away = Some(Away::new(text));
        self.tell(user, Message::YouAreAway { text }, sink);
    }

    /// Whoever says something is not away. Says whether the user was.
    pub(super) fn come_back(&mut self, user: SessionId, sink: &mut impl Sink) -> bool {
        let was_away = self.sessions.comes_back(user);
        if was_away {
            self.tell(user, Message::YouAreBack, sink);
        }
        was_away
    }

    fn whois(&self, user: SessionId, name: &str, sink: &mut impl Sink) {
        let Some(other) = self.named_or_told(user, name, sink) else { return };
        let name = self.sessions[other].name();
        let name = name.as_str();
        if self.sessions.seat(other, 0).is_none() {
            self.tell(user, Message::IsNowhere { name }, sink);
        }
        for seat in self.sessions.seats(other) {
            let room = self.rooms[seat.room].name();
            self.tell(user, Message::IsIn { name, room }, sink);
        }
        self.tell_away(user, other, sink);
    }

    fn tell_away(&self, user: SessionId, other: SessionId, sink: &mut impl Sink) {
        if let Some(text) = self.sessions.away(other) {
            let name = self.sessions[other].name();
            self.tell(user, Message::IsAway { name: name.as_str(), text }, sink);
        }
    }

    fn show_topic(&self, user: SessionId, sink: &mut impl Sink) {
        let Some(room) = self.room_of(user) else { return };
        let room = &self.rooms[room];
        self.tell(user, Message::Topic { room: room.name(), topic: room.topic() }, sink);
    }

    fn set_topic(&mut self, user: SessionId, topic: &str, sink: &mut impl Sink) {
        let Some(room) = self.room_of(user) else { return };
        if topic.len() > REMARK_LEN_MAX {
            return self.tell(user, Message::RemarkTooLong, sink);
        }
        let topic = if topic == NO_TOPIC { "" } else { topic };
        self.rooms[room].set_topic(topic);
        let (conn, name) = (self.sessions[user].conn, self.sessions[user].name());
        let by = By { conn, hears: true };
        self.tell_room(room, by, Message::TopicSet { name: name.as_str(), topic }, sink);
    }

    /// Says whether the user has the name now.
    pub(super) fn rename(
        &mut self,
        now: Time,
        user: SessionId,
        name: &str,
        sink: &mut impl Sink,
    ) -> bool {
        let Some(nick) = self.nicknames.read(name) else {
            let letters = self.nicknames;
            self.tell(user, Message::BadName { name: echo(name), letters }, sink);
            return false;
        };
        let name = nick.as_str();
        let is_taken = self.sessions.named(name).is_some_and(|holder| holder != user);
        if is_taken || self.sessions.looks_taken(user, nick) {
            let free = self.free_name(user, name);
            let free = free.as_ref().map(Name::as_str);
            self.tell(user, Message::NameTaken { name, free }, sink);
            return false;
        }
        let old = self.sessions[user].name();
        self.tell(user, Message::YouAre { name }, sink);
        if old.as_str() != name {
            self.sessions.rename(user, nick);
            let conn = self.sessions[user].conn;
            let notice = Message::Renamed { old: old.as_str(), new: name };
            let mut index = 0;
            while let Some(Seat { room, .. }) = self.sessions.seat(user, index) {
                self.announce(now, room, By { conn, hears: false }, notice, sink);
                index += 1;
            }
        }
        true
    }

    /// A nickname like that one which nobody has: with a number behind it.
    fn free_name(&self, user: SessionId, name: &str) -> Option<Name> {
        (2..NAME_TRIES_MAX + 2).find_map(|number| {
            let number = number.to_string();
            let start = name.floor_char_boundary(NAME_LEN_MAX - number.len());
            let free = format!("{}{number}", &name[..start]);
            let is_free = |nick: &Name| {
                self.sessions.named(&free).is_none() && !self.sessions.looks_taken(user, *nick)
            };
            self.nicknames.read(&free).filter(is_free)
        })
    }

    /// The room that the user's lines go to: for one who writes lines the only one.
    fn room_of(&self, user: SessionId) -> Option<RoomId> {
        self.sessions.seat(user, 0).map(|seat| seat.room)
    }

    fn join(&mut self, now: Time, user: SessionId, name: &str, sink: &mut impl Sink) {
        match self.find_or_open(name, sink) {
            Ok(room) if self.sessions.is_in(user, room) => self.go(now, user, room, sink),
            Ok(room) => {
                self.go(now, user, room, sink);
                let is_wanted = self.sessions.aside(user).is_none_or(|aside| !aside.no_history);
                if is_wanted && self.past_of(user, room).next().is_some() {
                    self.tell_history(user, room, sink);
                }
            }
            Err(refusal) => self.tell(user, refusal, sink),
        }
    }

    fn tell_history(&self, user: SessionId, room: RoomId, sink: &mut impl Sink) {
        let name = self.rooms[room].name();
        let lines = self.past_of(user, room).count();
        let lines = u32::try_from(lines).expect("at most HISTORY_LINES_MAX");
        self.tell(user, Message::PastHead { room: name, lines }, sink);
        for past in self.past_of(user, room) {
            self.tell(user, past, sink);
        }
    }

    /// The last lines of a room but those of people whom the user ignores.
    fn past_of(&self, user: SessionId, room: RoomId) -> impl Iterator<Item = Message<&str>> {
        let ignored = self.sessions.ignored(user);
        let past = self.rooms[room].history.messages();
        past.filter(|(author, _)| !ignored.contains(author)).map(|(_, past)| past)
    }

    fn set_history(&mut self, user: SessionId, on: bool, sink: &mut impl Sink) {
        self.sessions.aside_mut(user).no_history = !on;
        self.sessions.tidy(user);
        self.tell(user, Message::HistoryIs { on }, sink);
    }

    /// The room of that name, made if there is none.
    pub(super) fn find_or_open<'a>(
        &mut self,
        name: &'a str,
        sink: &mut impl Sink,
    ) -> Result<RoomId, Message<&'a str>> {
        if let Some(room) = self.rooms.named(name) {
            return Ok(room);
        }
        let new = Name::new(name).filter(|_| is_name(name));
        let new = new.ok_or(Message::BadName { name: echo(name), letters: Nicknames::Ascii })?;
        if self.rooms.is_full() {
            return Err(Message::TooManyRooms);
        }
        let room = self.rooms.insert(new);
        self.opened(room, sink);
        Ok(room)
    }

    fn go(&mut self, now: Time, user: SessionId, room: RoomId, sink: &mut impl Sink) {
        if self.sessions.is_in(user, room) {
            let room = self.rooms[room].name();
            return self.tell(user, Message::AlreadyIn { room }, sink);
        }
        if let Some(before) = self.room_of(user) {
            self.leave(now, user, before, sink);
        }
        self.enter(now, user, room, sink);
        let (name, members) = (self.rooms[room].name(), self.rooms[room].member_count());
        self.tell(user, Message::YouAreIn { room: name, members }, sink);
        self.tell_topic(user, room, sink);
    }

    fn other(
        &mut self,
        now: Time,
        user: SessionId,
        word: &str,
        arguments: &str,
        sink: &mut impl Sink,
    ) {
        match self.rooms.fixed(word) {
            None => self.tell(user, Message::UnknownCommand { name: echo(word) }, sink),
            Some(room) if arguments.is_empty() => self.go(now, user, room, sink),
            Some(_) => self.tell(user, Message::Usage { form: ROOM_FORM }, sink),
        }
    }

    fn help_on(&self, user: SessionId, word: &str, sink: &mut impl Sink) {
        let word = word.strip_prefix('/').unwrap_or(word);
        let room = || self.rooms.fixed(word).map(|_| ROOM_FORM);
        let message = match command::form(word).or_else(room) {
            Some(form) => Message::HelpOn { form },
            None => Message::UnknownCommand { name: echo(word) },
        };
        self.tell(user, message, sink);
    }

    fn who(&self, user: SessionId, name: Option<&str>, sink: &mut impl Sink) {
        let room = match name {
            None => self.room_of(user).unwrap_or(LOBBY),
            Some(name) => match self.rooms.named(name) {
                Some(room) => room,
                None => return self.tell(user, Message::NoSuchRoom { name: echo(name) }, sink),
            },
        };
        let room = &self.rooms[room];
        let members = room.member_count();
        self.tell(user, Message::Who { room: room.name(), members }, sink);
        for member in room.members().take(LIST_LEN_MAX) {
            let name = self.sessions[member].name();
            let away = self.sessions.away(member).is_some();
            self.tell(user, Message::WhoEntry { name: name.as_str(), away }, sink);
        }
        self.and_more(user, members, sink);
    }

    fn list_rooms(&self, user: SessionId, sink: &mut impl Sink) {
        let count = u32::try_from(self.rooms.len()).expect("rooms are at most ROOMS_MAX");
        self.tell(user, Message::Rooms { count }, sink);
        for (_, room) in self.rooms.iter().take(LIST_LEN_MAX) {
            let (name, members, topic) = (room.name(), room.member_count(), room.topic());
            self.tell(user, Message::RoomsEntry { room: name, members, topic }, sink);
        }
        self.and_more(user, count, sink);
    }

    fn and_more(&self, user: SessionId, count: u32, sink: &mut impl Sink) {
        let named = u32::try_from(LIST_LEN_MAX).expect("a list is short");
        if count > named {
            self.tell(user, Message::AndMore { count: count - named }, sink);
        }
    }
}
