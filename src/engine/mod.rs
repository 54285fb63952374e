//! The engine: a worker's turn, its connections and its feeds.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use slab::Slab;

use crate::chat::{CloseReason, PeerId};
use crate::dialect::Dialect;
use crate::hub::{Batch, Bells, Hub, Outbox};
use crate::limits::{
    ACCEPT_LANES, CHUNK_LEN, COMPLETIONS, FANOUT_QUANTUM, LARGE_CHUNK_LEN, LARGE_CHUNKS,
    PRIVATE_CHUNKS_MAX, REAP_FULL, REAPS_MAX, RECV_BUFFER_LEN, RECV_BUFFERS, REFUSAL_SLOTS,
    RENDERED_LEN_MAX, RESUME_INTERVAL, ROOM_CHUNKS, SHARED_TEXT_LEN, SUBMISSIONS, TURN_MAX,
};
use crate::time::{Clock, Monotonic, Time};
use crate::uring::{self, Completion, Doorbell, Ring, Uring, Wait};

mod accept;
mod apply;
mod bounds;
mod conn;
mod door;
mod fanout;
pub mod feed;
mod handover;
pub mod ignored;
mod input;
mod output;
pub mod pool;
mod rate;
mod rich;
mod shared_texts;
mod slow;
mod stamp;
pub mod stats;
mod timer;
pub mod token;

pub use bounds::Bounds;
pub use door::Door;
pub use handover::{Adopted, Carried, adopted_id};

use accept::Lane;
use conn::Conn;
use fanout::Sent;
use feed::Feed;
use handover::Handover;
use ignored::Ignored;
use output::{Private, Room, RoomFeed, Subscription};
use pool::Pool;
use shared_texts::SharedTexts;
use stats::WorkerStats;
use timer::{Timer, Timers};
use token::{Key, Token};

/// What becomes of a client that reads too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowPolicy {
    /// It is closed, and told why where that is possible.
    Close,
    /// It goes on at the live end, after one line that says how many lines it missed.
    Skip,
}

/// How the clients of a listener are treated.
#[derive(Clone, Copy, Debug)]
pub struct Listener {
    /// How they speak.
    pub dialect: Dialect,
    /// What becomes of slow ones.
    pub slow: SlowPolicy,
}

/// What may be chosen about a worker.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Connections it holds at most.
    pub clients_max: u32,
    /// Listeners it accepts from.
    pub listener_count: u32,
    /// The least time between two sweeps of a busy room; zero turns pacing off.
    pub pace: Duration,
    /// How long clients are given to read what they are owed when the server stops.
    pub drain: Duration,
    /// What one client may take.
    pub bounds: Bounds,
}

/// What a worker is made of, beside its ring and its clock.
pub struct Parts {
    /// Which peer of the hub it is.
    pub peer: PeerId,
    /// The hub.
    pub hub: Arc<Hub>,
    /// What wakes the other peers.
    pub bells: Arc<dyn Bells + Send + Sync>,
    /// Where it counts.
    pub stats: Arc<WorkerStats>,
    /// Who may come in.
    pub door: Arc<Door>,
    /// The message of the day; may be empty. It has been through the gate, line by line, and is at
    /// most `limits::MOTD_LEN_MAX` bytes.
    pub motd: Arc<str>,
    /// The rest.
    pub config: Config,
    /// How the clients of each listener are treated, in the order of the ring's listeners.
    pub listeners: Vec<Listener>,
    /// Connections that are there already, in the ring's first slots, in their order.
    pub carried: Vec<Carried>,
}

/// What a worker on its own thread is made of.
pub struct Setup {
    /// The worker's own.
    pub parts: Parts,
    /// Its listening sockets: bound, listening, blocking; one for each of `parts.listeners`.
    pub sockets: Vec<OwnedFd>,
    /// What wakes it.
    pub bell: Arc<Doorbell>,
    /// The clock all workers share.
    pub clock: Monotonic,
    /// Whether its ring may do only what a worker does.
    pub restricted: bool,
    /// The sockets of `parts.carried`.
    pub adopted: Vec<OwnedFd>,
    /// Where there is one, the worker waits for it once it is ready, and touches no socket before.
    /// When nobody can give the word any more, it ends.
    pub go: Option<Receiver<()>>,
    /// Told once: whether the worker is ready to accept.
    pub ready: Sender<io::Result<()>>,
}

/// One pool of a worker's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSize {
    /// What it holds.
    pub name: &'static str,
    /// How many of them.
    pub count: u64,
    /// Bytes in all. Memory that is set aside and never used is not touched, and costs nothing.
    pub len: u64,
}

/// The memory that a worker sets aside.
#[must_use]
pub fn memory_budget(config: &Config) -> Vec<PoolSize> {
    let slots = u64::from(slot_count(config));
    let pool = |name, count: u64, len: usize| PoolSize { name, count, len: count * len as u64 };
    vec![
        pool("connections", slots, size_of::<Conn>()),
        pool("subscriptions", slots, size_of::<Subscription>()),
        pool("small chunks of feeds", u64::from(small_chunks(config)), CHUNK_LEN as usize),
        pool("large chunks of feeds", u64::from(LARGE_CHUNKS), LARGE_CHUNK_LEN as usize),
        pool("shared texts", 1, SHARED_TEXT_LEN as usize),
        pool("receive buffers", u64::from(RECV_BUFFERS), RECV_BUFFER_LEN),
        pool("submission entries", u64::from(SUBMISSIONS), 64),
        pool("completion entries", u64::from(COMPLETIONS), 16),
    ]
}

/// Slots of a worker's ring: its clients, those being refused, and those being accepted.
#[must_use]
pub fn slot_count(config: &Config) -> u32 {
    config.clients_max + REFUSAL_SLOTS + config.listener_count * ACCEPT_LANES
}

/// A chunk for each connection's replies, as far as memory is reachable, and some for rooms.
fn small_chunks(config: &Config) -> u32 {
    slot_count(config).min(PRIVATE_CHUNKS_MAX) + ROOM_CHUNKS
}

/// Bytes that the clients of a worker may be owed in all when they are handed over: each has a copy
/// then of what they shared, and half of the memory for that is enough for all of them.
#[must_use]
pub fn unsent_len_max(config: &Config) -> u64 {
    u64::from(small_chunks(config)) * u64::from(CHUNK_LEN) / 2
}

/// Runs a worker on this thread until the core says stop and its clients are drained, or until they
/// are to be handed over: then it returns them.
///
/// # Errors
/// When the ring breaks.
pub fn run(setup: Setup) -> io::Result<Vec<Adopted>> {
    let Setup { parts, sockets, bell, clock, restricted, adopted, go, ready } = setup;
    let ring = match make_ring(&parts.config, adopted, sockets, bell, restricted) {
        Ok(ring) => ring,
        Err(error) => {
            let _ = ready.send(Err(io::Error::new(error.kind(), error.to_string())));
            return Err(error);
        }
    };
    let _ = ready.send(Ok(()));
    if go.is_some_and(|go| go.recv().is_err()) {
        return Ok(Vec::new());
    }
    let mut worker = Worker::new(parts, ring, clock);
    while worker.turn()? {}
    let (slots, carried): (Vec<_>, Vec<_>) = worker.carry().into_iter().unzip();
    let sockets = worker.ring.take_out(&slots)?;
    let adopted = sockets.into_iter().zip(carried);
    Ok(adopted.map(|(socket, carried)| Adopted { socket, carried }).collect())
}

fn make_ring(
    config: &Config,
    adopted: Vec<OwnedFd>,
    sockets: Vec<OwnedFd>,
    bell: Arc<Doorbell>,
    restricted: bool,
) -> io::Result<Uring> {
    Uring::new(uring::Options {
        adopted,
        submissions: SUBMISSIONS,
        completions: COMPLETIONS,
        slots: slot_count(config),
        lanes: config.listener_count * ACCEPT_LANES,
        recv_buffers: RECV_BUFFERS,
        recv_buffer_len: RECV_BUFFER_LEN,
        memory_len: memory_len(config),
        listeners: sockets,
        bell,
        restricted,
    })
}

/// Bytes of the memory that sends are taken from.
#[must_use]
pub fn memory_len(config: &Config) -> usize {
    SHARED_TEXT_LEN as usize
        + small_chunks(config) as usize * CHUNK_LEN as usize
        + LARGE_CHUNKS as usize * LARGE_CHUNK_LEN as usize
}

/// A worker: it turns what arrives into events for the hub, and actions of the hub into sends. It
/// decides nothing about who may do what.
///
/// Generic over the ring and the clock, so that a simulation runs the very same code.
pub struct Worker<R, C> {
    ring: R,
    clock: C,
    peer: PeerId,
    hub: Arc<Hub>,
    bells: Arc<dyn Bells + Send + Sync>,
    stats: Arc<WorkerStats>,
    door: Arc<Door>,
    config: Config,
    listeners: Vec<Listener>,
    /// The instant of the present turn.
    now: Time,
    /// Counts the time in which the worker would have heard of a socket with room at once. It
    /// stands still while the worker is late, so that no reader is blamed for that.
    attention: Time,

    conns: Slab<Conn>,
    slot_count: usize,
    /// Of the next occupant of any slot.
    next_generation: u32,
    lanes: Vec<Lane>,
    /// Lanes without an accept under way.
    resting: VecDeque<u32>,
    /// Accepting rests until a timer fires.
    accept_pause: bool,
    stopping: bool,
    /// Everything is to be handed over: see `handover`.
    handover: Handover,
    /// By when it stops sending for that.
    still_due: Time,
    /// Connections that ended since the last exchange.
    leaving: Vec<Key>,

    /// Completions of the present turn.
    arrived: Vec<Completion>,
    /// Scratch: what one receive brought, protocol answers, one rendered line.
    input: Vec<u8>,
    answers: Vec<u8>,
    line: Vec<u8>,
    /// Connections that are not read from.
    paused: VecDeque<Key>,

    batch: Batch,
    outbox: Outbox,
    /// The bell was heard and the hub not met since.
    rung: bool,
    /// When the core wants to be called.
    hub_deadline: Time,
    /// Another worker cannot keep up.
    hub_hold: bool,

    pool: Pool,
    shared_texts: SharedTexts,
    privates: Slab<Private>,
    spare_feeds: Vec<Feed>,
    rooms: Vec<Room>,
    feeds: Slab<RoomFeed>,
    subscriptions: Slab<Subscription>,
    ignored: Ignored,

    /// Connections with something of their own to get.
    ready: VecDeque<Key>,
    /// Feeds whose sweep is going, by the size of the room.
    small: VecDeque<u32>,
    large: VecDeque<u32>,
    /// Feeds whose sweep ended in the present batch.
    swept: Vec<u32>,
    /// The sends of the present batch.
    sent: Vec<Sent>,
    batch_number: u32,

    timers: Timers,
    /// Connections whose socket was full and who have not caught up since.
    stalled: Vec<Key>,
    /// Connections to be dealt with before the next batch, and why.
    slow: Vec<(Key, CloseReason)>,
}

impl<R: Ring, C: Clock> Worker<R, C> {
    /// A worker that accepts from its first turn on.
    pub fn new(parts: Parts, mut ring: R, clock: C) -> Self {
        let Parts { peer, hub, bells, stats, door, motd, config, listeners, carried } = parts;
        let slot_count = slot_count(&config) as usize;
        let shared_texts = SharedTexts::write(&motd, ring.memory());
        let lanes = accept::lanes(listeners.len());
        let resting = (0..u32::try_from(lanes.len()).expect("a handful")).collect();
        let mut worker = Self {
            now: clock.now(),
            attention: Time::default(),
            ring,
            clock,
            peer,
            hub,
            bells,
            stats,
            door,
            config,
            listeners,
            conns: Slab::with_capacity(slot_count),
            slot_count,
            next_generation: 0,
            lanes,
            resting,
            accept_pause: false,
            stopping: false,
            handover: Handover::default(),
            still_due: Time::NEVER,
            leaving: Vec::new(),
            arrived: Vec::new(),
            input: Vec::with_capacity(RECV_BUFFER_LEN),
            answers: Vec::new(),
            line: Vec::with_capacity(RENDERED_LEN_MAX),
            paused: VecDeque::new(),
            batch: Batch::default(),
            outbox: Outbox::default(),
            rung: false,
            hub_deadline: Time::NEVER,
            hub_hold: false,
            pool: Pool::new(SHARED_TEXT_LEN, small_chunks(&config), LARGE_CHUNKS),
            shared_texts,
            privates: Slab::new(),
            spare_feeds: Vec::new(),
            rooms: Vec::new(),
            feeds: Slab::new(),
            subscriptions: Slab::with_capacity(slot_count),
            ignored: Ignored::default(),
            ready: VecDeque::new(),
            small: VecDeque::new(),
            large: VecDeque::new(),
            swept: Vec::new(),
            sent: Vec::with_capacity(FANOUT_QUANTUM as usize),
            batch_number: 0,
            timers: Timers::default(),
            stalled: Vec::new(),
            slow: Vec::new(),
        };
        worker.ring.hear(Token::Bell.encode());
        worker.adopt(carried);
        worker.fill_lanes();
        worker.timers.set(worker.now, Timer::Slow);
        worker
    }

    /// One turn: wait if there is nothing to do, look at what arrived, meet the hub, send. `false`
    /// once the server has stopped and nobody is left, or when everybody is to be handed over.
    ///
    /// Memory of sends is let go of between `reap` and `fan_out` only, when no send is under way.
    ///
    /// # Errors
    /// When the ring is broken.
    pub fn turn(&mut self) -> io::Result<bool> {
        let wait = self.patience();
        let asked = self.clock.now();
        self.ring.enter(wait)?;
        let now = self.clock.now();
        self.attention = self.attention
            + match wait {
                _ if self.is_freezing() => Duration::ZERO,
                Wait::No => (now - self.now).min(TURN_MAX),
                Wait::AtMost(time) => (now - self.now).min(time + TURN_MAX),
                Wait::Forever => now - self.now,
            };
        self.now = now;
        // The sends of the turn before are made inside an enter that does not wait.
        let start = if wait == Wait::No { asked } else { self.now };
        self.reap()?;
        self.exchange();
        if matches!(self.handover, Handover::No | Handover::Freezing) {
            self.fire_timers();
            self.resume();
            self.dismiss_slow();
            self.be_still_if_resting();
        }
        if matches!(self.handover, Handover::No | Handover::Freezing) {
            self.fan_out();
        }
        self.stats.turns.record(self.clock.now() - start);
        self.publish_ring_stats();
        Ok(!(self.stopping && self.conns.is_empty() || self.handover == Handover::Due))
    }

    /// How long the next enter may wait.
    fn patience(&self) -> Wait {
        if self.handover == Handover::Still && self.batch.is_empty() && !self.rung {
            return Wait::Forever;
        }
        if self.has_work() || !self.batch.is_empty() || self.rung || !self.slow.is_empty() {
            return Wait::No;
        }
        let mut until = self.timers.next().min(self.hub_deadline);
        if !self.paused.is_empty() || self.hub_hold {
            until = until.min(self.now + RESUME_INTERVAL);
        }
        match until {
            Time::NEVER => Wait::Forever,
            until => Wait::AtMost(until.since(self.clock.now())),
        }
    }

    /// Deals with everything that arrived, as far as a turn goes.
    fn reap(&mut self) -> io::Result<()> {
        for _ in 0..REAPS_MAX {
            if self.reap_once() < REAP_FULL {
                break;
            }
            self.ring.enter(Wait::No)?;
        }
        self.reap_once();
        Ok(())
    }

    /// Outcomes of sends come first: what they roll back must stand before anything else happens to
    /// the connection.
    fn reap_once(&mut self) -> u32 {
        let mut arrived = std::mem::take(&mut self.arrived);
        while let Some(completion) = self.ring.next() {
            match Token::decode(completion.token) {
                Token::Send(key) => self.on_send(key, completion.result),
                _ => arrived.push(completion),
            }
        }
        let count = u32::try_from(arrived.len()).expect("bounded by what is under way");
        for completion in arrived.drain(..) {
            self.dispatch(completion);
        }
        self.arrived = arrived;
        count
    }

    fn dispatch(&mut self, completion: Completion) {
        match Token::decode(completion.token) {
            Token::Accept { lane } => self.on_accept(lane, completion.result),
            Token::Recv(key) => self.on_recv(key, completion),
            Token::Send(key) => self.on_send(key, completion.result),
            Token::Poll(key) => self.on_poll(key),
            Token::Close(key) => self.on_close(key),
            Token::Bell => {
                self.rung = true;
                self.ring.hear(Token::Bell.encode());
            }
            Token::Ignored => {}
        }
    }

    fn fire_timers(&mut self) {
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Close(key) => self.on_close_timer(key),
                Timer::Retry(key) => self.unblock(key),
                Timer::Sweep(feed) => self.on_sweep_timer(feed),
                Timer::Slow => self.check_slow(),
                Timer::Accept => self.on_accept_timer(),
            }
        }
    }

    /// A completion for a former occupant of a slot: a slot is emptied only after all of its
    /// operations completed, so that this is a bug here or in the kernel. It harms nobody.
    fn stale(&mut self) {
        self.stats.stale_completions.add(1);
    }

    fn publish_ring_stats(&mut self) {
        let stats = self.ring.stats();
        self.stats.ring_enters.set(stats.enters);
        self.stats.ring_overflows.set(stats.overflows);
        self.stats.ring_flushes.set(stats.flushes);
    }
}
