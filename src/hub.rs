//! The hub: the one [`Chat`] behind a mutex, and an outbox for each peer.
//!
//! A peer calls [`Hub::exchange`] at most once a turn: it hands in what happened on its side, takes
//! what it has to do, and learns whom to wake. Actions are put into the outboxes under the lock, so
//! every peer sees one and the same order: that is what gives a room one order for all its members.
//! The expensive part, sending, happens outside.

use std::collections::hash_map::RandomState;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use crate::chat::{self, Action, Chat, ConnId, Event, PeerId, PeerSet, Saved, Sink};
use crate::limits::{BATCH_EVENTS_MAX, BATCH_LEN_MAX, OUTBOX_LEN_MAX};
use crate::time::Time;

/// What wakes a peer that waits.
pub trait Bells {
    /// Wakes `peer`, now or when it next would wait.
    fn ring(&self, peer: PeerId);

    /// Wakes each of `peers`.
    fn ring_all(&self, peers: PeerSet) {
        for peer in peers.iter() {
            self.ring(peer);
        }
    }
}

/// Where a text stands in the arena of a batch or an outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: u32,
}

/// The core, shared by all peers.
#[derive(Debug)]
pub struct Hub {
    shared: Mutex<Shared>,
}

#[derive(Debug)]
struct Shared {
    chat: Chat,
    outboxes: Outboxes,
}

#[derive(Debug)]
struct Outboxes {
    by_peer: Vec<Outbox>,
    /// Those that have been woken since their last exchange; nobody is woken twice.
    rung: PeerSet,
    /// Those with something in their outbox.
    waiting: PeerSet,
    /// Those whose outbox is full. Workers among them make the others stop reading.
    full: PeerSet,
    /// Those that are short of memory for feeds; the others then stop reading.
    short: PeerSet,
    /// Those that only watch: what is over their bound is dropped and counted.
    observers: PeerSet,
    dropped: u64,
}

/// What an exchange brought, beside the outbox.
#[derive(Clone, Copy, Debug)]
pub struct Exchanged {
    /// Whom to wake.
    pub wake: PeerSet,
    /// When the core wants to be called again; `Time::NEVER` if it does not.
    pub deadline: Time,
    /// Another worker cannot keep up: stop reading clients until it has.
    pub hold: bool,
    /// How long the lock was waited for.
    pub waited: Duration,
}

/// Events on their way to the hub. The texts stand in one arena that is used again and again.
#[derive(Debug, Default)]
pub struct Batch {
    events: Vec<Event<Span>>,
    text: String,
    /// The peer is short of memory for what it is told.
    pub short: bool,
    /// What the wall clock says, in seconds since 1970. Each exchange needs it anew.
    pub wall: u64,
}

/// Actions on their way to a peer.
#[derive(Debug, Default)]
pub struct Outbox {
    actions: Vec<Action<Span>>,
    text: String,
}

impl Hub {
    /// A hub for the peers that `config` counts.
    #[must_use]
    pub fn new(config: chat::Config, hasher: RandomState) -> Self {
        let outboxes = Outboxes::new(&config);
        let mut shared = Shared { chat: Chat::new(config, hasher), outboxes };
        shared.chat.open(&mut shared.outboxes);
        Self { shared: Mutex::new(shared) }
    }

    /// Hands in `batch`, which comes back empty, and fills `outbox`, which must be empty.
    pub fn exchange(
        &self,
        peer: PeerId,
        now: Time,
        batch: &mut Batch,
        outbox: &mut Outbox,
    ) -> Exchanged {
        let (mut shared, waited) = self.lock();
        Exchanged { waited, ..shared.exchange(peer, now, batch, outbox) }
    }

    /// As `exchange`, unless another peer is in it just now.
    pub fn try_exchange(
        &self,
        peer: PeerId,
        now: Time,
        batch: &mut Batch,
        outbox: &mut Outbox,
    ) -> Option<Exchanged> {
        match self.shared.try_lock() {
            Ok(mut shared) => Some(shared.exchange(peer, now, batch, outbox)),
            Err(TryLockError::Poisoned(poisoned)) => {
                Some(poisoned.into_inner().exchange(peer, now, batch, outbox))
            }
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// A worker is gone, with its connections and what waited for it; whoever takes its number
    /// starts anew. Returns whom to wake.
    pub fn lose(&self, peer: PeerId, now: Time) -> PeerSet {
        let (mut shared, _) = self.lock();
        let Shared { chat, outboxes } = &mut *shared;
        chat.handle(now, Event::Lost { peer }, outboxes);
        outboxes.forget(peer);
        outboxes.not_rung()
    }

    /// What of the core has to outlive the process.
    pub fn save(&self) -> Saved {
        self.inspect(Chat::save)
    }

    /// Goes on with a core that was saved, in place of the present one and of everything that
    /// waits in outboxes: for peers that start anew. See `Chat::restore`. Returns whom to wake.
    pub fn restore(
        &self,
        config: chat::Config,
        hasher: RandomState,
        saved: Saved,
        conn_of: impl Fn(ConnId) -> Option<ConnId>,
    ) -> PeerSet {
        let (mut shared, _) = self.lock();
        let dropped = shared.outboxes.dropped;
        let mut outboxes = Outboxes { dropped, ..Outboxes::new(&config) };
        let chat = Chat::restore(config, hasher, saved, conn_of, &mut outboxes);
        *shared = Shared { chat, outboxes };
        shared.outboxes.not_rung()
    }

    /// Looks at the core, for metrics and for tests.
    pub fn inspect<T>(&self, look: impl FnOnce(&Chat) -> T) -> T {
        look(&self.lock().0.chat)
    }

    /// How many actions for observers were dropped because their outbox was full.
    pub fn dropped(&self) -> u64 {
        self.lock().0.outboxes.dropped
    }

    /// A panic under the lock leaves the core as the event before left it or somewhat ahead of
    /// that; one odd room is better than no server, so the lock is taken all the same.
    fn lock(&self) -> (MutexGuard<'_, Shared>, Duration) {
        match self.shared.try_lock() {
            Ok(shared) => (shared, Duration::ZERO),
            Err(TryLockError::Poisoned(poisoned)) => (poisoned.into_inner(), Duration::ZERO),
            Err(TryLockError::WouldBlock) => {
                let start = Instant::now();
                let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
                (shared, start.elapsed())
            }
        }
    }
}

impl Shared {
    fn exchange(
        &mut self,
        peer: PeerId,
        now: Time,
        batch: &mut Batch,
        outbox: &mut Outbox,
    ) -> Exchanged {
        debug_assert!(outbox.is_empty(), "an outbox is applied before the next exchange");
        self.chat.set_wall(batch.wall);
        if self.chat.deadline() <= now {
            self.chat.handle(now, Event::Tick, &mut self.outboxes);
        }
        for event in &batch.events {
            let event = event.map(|span| &batch.text[span.range()]);
            self.chat.handle(now, event, &mut self.outboxes);
        }
        batch.clear();
        self.outboxes.swap(peer, outbox);
        self.outboxes.note_short(peer, batch.short);
        Exchanged {
            wake: self.outboxes.not_rung(),
            deadline: self.chat.deadline(),
            hold: self.outboxes.must_hold(),
            waited: Duration::ZERO,
        }
    }
}

impl Outboxes {
    /// Nothing for anybody.
    fn new(config: &chat::Config) -> Self {
        Self {
            by_peer: (0..config.peer_count).map(|_| Outbox::default()).collect(),
            rung: PeerSet::default(),
            waiting: PeerSet::default(),
            full: PeerSet::default(),
            short: PeerSet::default(),
            observers: config.observers,
            dropped: 0,
        }
    }

    fn swap(&mut self, peer: PeerId, outbox: &mut Outbox) {
        std::mem::swap(&mut self.by_peer[usize::from(peer.0)], outbox);
        self.waiting.remove(peer);
        self.rung.remove(peer);
        self.full.remove(peer);
    }

    /// As if nothing had ever been for that peer.
    fn forget(&mut self, peer: PeerId) {
        self.swap(peer, &mut Outbox::default());
        self.short.remove(peer);
    }

    fn note_short(&mut self, peer: PeerId, short: bool) {
        if short { self.short.insert(peer) } else { self.short.remove(peer) }
    }

    /// Whom to wake; they count as rung from here on.
    fn not_rung(&mut self) -> PeerSet {
        let wake = PeerSet(self.waiting.0 & !self.rung.0);
        self.rung = self.rung.union(wake);
        wake
    }

    fn must_hold(&self) -> bool {
        self.full.0 & !self.observers.0 != 0 || !self.short.is_empty()
    }
}

impl Sink for Outboxes {
    fn push(&mut self, peers: PeerSet, action: Action<&str>) {
        for peer in peers.iter() {
            // A line may be missing, but not the name of a room: numbers are used again.
            let may_drop = self.observers.contains(peer) && matches!(action, Action::Say { .. });
            if self.full.contains(peer) && may_drop {
                self.dropped += 1;
                continue;
            }
            let outbox = &mut self.by_peer[usize::from(peer.0)];
            outbox.push(action);
            self.waiting.insert(peer);
            if outbox.len() >= OUTBOX_LEN_MAX {
                self.full.insert(peer);
            }
        }
    }
}

impl Batch {
    /// Adds an event.
    pub fn push(&mut self, event: Event<&str>) {
        let Self { events, text, .. } = self;
        events.push(event.map(|part| append(text, part)));
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether it should be handed in before more is read.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.events.len() >= BATCH_EVENTS_MAX || self.text.len() >= BATCH_LEN_MAX
    }

    fn clear(&mut self) {
        self.events.clear();
        self.text.clear();
    }
}

impl Outbox {
    /// The actions, in order.
    pub fn iter(&self) -> impl Iterator<Item = Action<&str>> {
        self.actions.iter().map(|action| action.map(|span| &self.text[span.range()]))
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// Empties it; its memory stays.
    pub fn clear(&mut self) {
        self.actions.clear();
        self.text.clear();
    }

    fn push(&mut self, action: Action<&str>) {
        let Self { actions, text } = self;
        actions.push(action.map(|part| append(text, part)));
    }

    /// The bytes it holds.
    fn len(&self) -> usize {
        self.text.len() + self.actions.len() * size_of::<Action<Span>>()
    }
}

impl Span {
    fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// Appends `part` to the arena and says where it stands. Batches and outboxes are bounded far below
/// 4 GiB.
fn append(text: &mut String, part: &str) -> Span {
    let start = u32::try_from(text.len()).expect("a bounded arena");
    let len = u32::try_from(part.len()).expect("a bounded text");
    text.push_str(part);
    Span { start, len }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Start;

    #[test]
    fn a_restored_hub_tells_the_peers_what_they_need_and_nothing_else() {
        let config = || chat::Config {
            peer_count: 2,
            observers: PeerSet::one(PeerId(1)),
            history_lines: 1,
            ..chat::Config::default()
        };
        let hub = Hub::new(config(), RandomState::new());
        let (mut batch, mut outbox) =
            (Batch { short: true, ..Batch::default() }, Outbox::default());
        let conn = |index| ConnId { peer: PeerId(0), index, generation: 0 };
        for index in 0..2 {
            let addr = ([127, 0, 0, 1], 1).into();
            batch.push(Event::Connected { conn: conn(index), addr, start: Start::Lobby });
            batch.push(Event::Line { conn: conn(index), text: "hello" });
        }
        let exchanged = hub.exchange(PeerId(0), Time(0), &mut batch, &mut outbox);
        assert!(exchanged.hold && exchanged.wake == PeerSet::one(PeerId(1)));
        assert!(!outbox.is_empty());

        let saved = hub.save();
        let now_of = |old: ConnId| (old == conn(1)).then(|| conn(7));
        let wake = hub.restore(config(), RandomState::new(), saved, now_of);
        assert_eq!(wake, PeerSet::first(2));
        assert_eq!(hub.inspect(Chat::client_count), 1);
        let room = chat::RoomId(0);
        let expected =
            [Action::Enter { conn: conn(7), room }, Action::Opened { room, name: "lobby" }];
        for (peer, action) in [PeerId(0), PeerId(1)].into_iter().zip(expected) {
            outbox.clear();
            batch.short = false;
            let exchanged = hub.exchange(peer, Time(0), &mut batch, &mut outbox);
            assert!(!exchanged.hold && exchanged.wake.is_empty());
            assert_eq!(outbox.iter().collect::<Vec<_>>(), [action]);
        }
    }
}
