//! Whom people ignore: nothing that those do in rooms reaches them, and nothing written to them
//! alone is delivered.
//!
//! It is a connection that is ignored, so that it stays so under another name. Entries of those who
//! left mean nobody, since a connection's numbers are not used again while its worker lives; they
//! are let go of when the list is used next.

use std::hash::BuildHasher;

use super::Chat;
use super::event::{Action, ConnId, PeerId, PeerSet, Sink};
use super::message::Message;
use super::session::SessionId;
use crate::limits::IGNORED_MAX;

impl<S: BuildHasher> Chat<S> {
    /// The user is not told what somebody does (`on`), or is again.
    pub(super) fn ignore(&mut self, user: SessionId, name: &str, on: bool, sink: &mut impl Sink) {
        let Some(other) = self.named_or_told(user, name, sink) else { return };
        if other == user {
            return self.tell(user, Message::CannotIgnore, sink);
        }
        self.forget_who_left(user, sink);
        let (other, shown) = (self.sessions[other].conn, self.sessions[other].name());
        let is_on = self.sessions.ignored(user).contains(&other);
        if on && !is_on {
            if self.sessions.ignored(user).len() >= IGNORED_MAX {
                return self.tell(user, Message::TooManyIgnored, sink);
            }
            self.sessions.aside_mut(user).ignored.push(other);
        } else if is_on && !on {
            self.sessions.aside_mut(user).ignored.retain(|conn| *conn != other);
            self.sessions.tidy(user);
        }
        if on != is_on {
            self.push_ignore(user, other, on, sink);
        }
        self.tell(user, Message::IgnoreIs { name: shown.as_str(), on }, sink);
    }

    pub(super) fn list_ignored(&mut self, user: SessionId, sink: &mut impl Sink) {
        self.forget_who_left(user, sink);
        let ignored = self.sessions.ignored(user);
        let count = u32::try_from(ignored.len()).expect("at most IGNORED_MAX");
        self.tell(user, Message::Ignored { count }, sink);
        for other in ignored.iter().filter_map(|conn| self.sessions.of(*conn)) {
            let name = self.sessions[other].name();
            self.tell(user, Message::IgnoredEntry { name: name.as_str() }, sink);
        }
    }

    /// Whether the reader ignores the user, who is told so then.
    pub(super) fn is_refused(
        &self,
        user: SessionId,
        reader: SessionId,
        sink: &mut impl Sink,
    ) -> bool {
        let refused = self.sessions.ignored(reader).contains(&self.sessions[user].conn);
        if refused {
            let name = self.sessions[reader].name();
            self.tell(user, Message::IgnoresYou { name: name.as_str() }, sink);
        }
        refused
    }

    /// All connections of that peer are gone, and others will have their numbers.
    pub(super) fn forget_ignored_of(&mut self, peer: PeerId, sink: &mut impl Sink) {
        for (user, other) in self.sessions.forget_conns_of(peer) {
            self.push_ignore(user, other, false, sink);
            self.sessions.tidy(user);
        }
    }

    fn forget_who_left(&mut self, user: SessionId, sink: &mut impl Sink) {
        let is_gone = |conn: &&ConnId| self.sessions.of(**conn).is_none();
        let gone: Vec<_> = self.sessions.ignored(user).iter().filter(is_gone).copied().collect();
        if gone.is_empty() {
            return;
        }
        self.sessions.aside_mut(user).ignored.retain(|conn| !gone.contains(conn));
        self.sessions.tidy(user);
        for other in gone {
            self.push_ignore(user, other, false, sink);
        }
    }

    pub(super) fn push_ignore(
        &self,
        user: SessionId,
        other: ConnId,
        on: bool,
        sink: &mut impl Sink,
    ) {
        let conn = self.sessions[user].conn;
        let peers = PeerSet::one(conn.peer).union(self.observers);
        sink.push(peers, Action::Ignore { conn, other, on });
    }
}
