//! A ring without a kernel. It keeps `chatd::uring`'s contract to the letter, and inside it does
//! whatever the seed says: short sends, full sockets, ended receives, few buffers, errors, late and
//! reordered completions, a tiny queue, late bells.
//!
//! It also holds its caller to the contract: slots are empty when accepted into and idle when
//! closed, one send a slot, memory of sends unchanged until they are done, buffers given back once.
//!
//! `enter` never blocks. A worker that would wait is *parked*: the world gives it no turn until
//! something arrived for it or its time is over.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chatd::chat::PeerId;
use chatd::hub::Bells;
use chatd::limits::RECV_BUFFER_LEN;
use chatd::uring::{BufferId, Completion, Ring, Stats, Wait};

use crate::net::{Net, Readable, SocketId};
use crate::options::Faults;
use crate::rng::Rng;
use crate::sights::{MANY, Op, Sight, Sights};

pub(crate) mod errnos;
mod produce;
mod start;

/// What a buffer holds that is not the worker's, and memory that was given back.
const POISON: u8 = 0xdd;

/// A mistake made on purpose, to see that the oracle notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// A send leaves out its last byte.
    LastByteLost,
    /// A send goes out twice.
    SentTwice,
    /// A send that failed says nothing.
    FailureUntold,
    /// A send goes to another connection.
    WrongSocket,
    /// A receive gives the same bytes again.
    ReceivedTwice,
}

/// Who was rung.
#[derive(Debug, Default)]
pub(crate) struct FakeBells(AtomicU64);

impl Bells for FakeBells {
    fn ring(&self, peer: PeerId) {
        self.0.fetch_or(1 << peer.0, Ordering::Relaxed);
    }
}

impl FakeBells {
    fn is_rung(&self, worker: usize) -> bool {
        self.0.load(Ordering::Relaxed) & 1 << worker != 0
    }

    fn silence(&self, worker: usize) {
        self.0.fetch_and(!(1 << worker), Ordering::Relaxed);
    }
}

/// The worker's side.
pub(crate) struct FakeRing {
    memory: Vec<u8>,
    buffers: Vec<Vec<u8>>,
    state: Rc<RefCell<State>>,
    net: Rc<RefCell<Net>>,
}

/// Everything but the memory; the world looks at it too.
#[derive(Debug)]
pub(crate) struct State {
    worker: usize,
    faults: Faults,
    sabotage: Option<Sabotage>,
    rng: Rng,
    bells: Arc<FakeBells>,
    pushed: VecDeque<Pushed>,
    accepts: Vec<Accept>,
    addresses: Vec<SocketAddr>,
    slots: Vec<Slot>,
    hearing: Option<u64>,
    holders: Vec<Holder>,
    free: VecDeque<u16>,
    /// What was not handed out yet, the oldest first.
    pending: Vec<Pending>,
    failed_sends: Vec<Completion>,
    inbox: VecDeque<Completion>,
    stats: Stats,
    /// Operations of connections that are gone, and their slots.
    past: Vec<(u64, Op, u32)>,
    /// Completions under such tokens that were made up.
    stale_count: u64,
    /// Operations whose cancel came too late, before either completion was seen.
    races: Vec<(u64, Op)>,
    sights: Sights,
    /// Until when the worker has nothing to do, unless something arrives.
    parked_until: Option<u64>,
    idle_enters: u32,
}

#[derive(Debug)]
struct Pushed {
    token: u64,
    operation: Operation,
}

#[derive(Debug)]
enum Operation {
    Accept(Accept),
    Recv {
        slot: u32,
    },
    /// With the bytes as they were when it was pushed.
    Send {
        slot: u32,
        start: u32,
        bytes: Vec<u8>,
    },
    PollOut {
        slot: u32,
    },
    Cancel {
        target: u64,
    },
    Abort {
        slot: u32,
    },
    Close {
        slot: u32,
    },
    Hear,
}

#[derive(Clone, Copy, Debug)]
struct Accept {
    token: u64,
    lane: u32,
    listener: u32,
    slot: u32,
}

#[derive(Clone, Debug)]
struct Slot {
    occupant: Occupant,
    recv: Option<Armed>,
    poll: Option<Armed>,
    /// Operations whose last completion the worker has not seen.
    under_way: u32,
    /// A send was pushed since the last enter.
    sent: bool,
    abort: bool,
    /// Of its connection's operations so far.
    tokens: BTreeMap<u64, Op>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occupant {
    Empty,
    /// An accept may put a connection there.
    Reserved,
    Open(SocketId),
    Closing,
}

/// An operation that waits for its socket.
#[derive(Clone, Copy, Debug)]
struct Armed {
    token: u64,
    not_before: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Kernel,
    /// Named by a completion that was not handed out yet.
    Filled,
    Worker,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    ready_at: u64,
    completion: Completion,
    effect: Effect,
}

/// What changes for a slot when the worker sees a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Nothing,
    /// One of its operations is over.
    Ends(u32),
    /// It is empty.
    Empties(u32),
    /// It is of a connection before.
    Stale,
    /// A cancel of this token came too late.
    TooLate(u64),
}

/// What a ring is made of.
pub(crate) struct Parts<'a> {
    pub(crate) worker: usize,
    pub(crate) faults: Faults,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) rng: Rng,
    pub(crate) bells: Arc<FakeBells>,
    pub(crate) slot_count: u32,
    pub(crate) lane_count: u32,
    pub(crate) memory_len: usize,
    /// What stands in the first slots.
    pub(crate) sockets: &'a [SocketId],
}

impl FakeRing {
    pub(crate) fn new(parts: Parts<'_>, net: Rc<RefCell<Net>>) -> (Self, Rc<RefCell<State>>) {
        let Parts { worker, faults, sabotage, rng, bells, .. } = parts;
        let Parts { slot_count, lane_count, memory_len, sockets, .. } = parts;
        let slot = Slot {
            occupant: Occupant::Empty,
            recv: None,
            poll: None,
            under_way: 0,
            sent: false,
            abort: false,
            tokens: BTreeMap::new(),
        };
        let mut slots = vec![slot; slot_count as usize];
        for (slot, socket) in slots.iter_mut().zip(sockets) {
            slot.occupant = Occupant::Open(*socket);
        }
        let buffers = vec![vec![POISON; RECV_BUFFER_LEN]; usize::from(faults.recv_buffers)];
        let state = Rc::new(RefCell::new(State {
            worker,
            holders: vec![Holder::Kernel; buffers.len()],
            free: (0..faults.recv_buffers).collect(),
            faults,
            sabotage,
            rng,
            bells,
            pushed: VecDeque::new(),
            accepts: Vec::new(),
            addresses: vec![SocketAddr::from(([0; 4], 0)); lane_count as usize],
            slots,
            hearing: None,
            pending: Vec::new(),
            failed_sends: Vec::new(),
            inbox: VecDeque::new(),
            stats: Stats::default(),
            past: Vec::new(),
            stale_count: 0,
            races: Vec::new(),
            sights: Sights::new(),
            parked_until: None,
            idle_enters: 0,
        }));
        (Self { memory: vec![0; memory_len], buffers, state: Rc::clone(&state), net }, state)
    }

    fn push(&mut self, token: u64, operation: Operation) {
        let mut state = self.state.borrow_mut();
        state.pushed.push_back(Pushed { token, operation });
        state.parked_until = None;
        state.idle_enters = 0;
        let early = state.faults.flush_early;
        if state.rng.chance(early) {
            state.stats.flushes += 1;
            state.start_all(&self.memory, &mut self.buffers, &mut self.net.borrow_mut());
        }
    }
}

impl Ring for FakeRing {
    fn memory(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    fn clear(&mut self, start: u32, len: u32) {
        self.memory[start as usize..(start + len) as usize].fill(POISON);
        self.state.borrow_mut().sights.insert(Sight::Cleared);
    }

    fn accept(&mut self, lane: u32, listener: u32, slot: u32, token: u64) {
        self.push(token, Operation::Accept(Accept { token, lane, listener, slot }));
    }

    fn accepted_from(&self, lane: u32) -> SocketAddr {
        self.state.borrow().addresses[lane as usize]
    }

    fn recv(&mut self, slot: u32, token: u64) {
        self.push(token, Operation::Recv { slot });
    }

    fn buffer(&self, id: BufferId, len: usize) -> &[u8] {
        let holder = self.state.borrow().holders[usize::from(id.0)];
        assert_eq!(holder, Holder::Worker, "a buffer is read by its holder");
        &self.buffers[usize::from(id.0)][..len]
    }

    fn recycle(&mut self, id: BufferId) {
        let mut state = self.state.borrow_mut();
        let holder = std::mem::replace(&mut state.holders[usize::from(id.0)], Holder::Kernel);
        assert_eq!(holder, Holder::Worker, "a buffer is given back by its holder, once");
        state.free.push_back(id.0);
        self.buffers[usize::from(id.0)].fill(POISON);
    }

    fn send(&mut self, slot: u32, start: u32, len: u32, token: u64) {
        let bytes = self.memory[start as usize..(start + len) as usize].to_vec();
        assert!(!bytes.is_empty(), "a send of nothing");
        let mut state = self.state.borrow_mut();
        let sent_before = std::mem::replace(&mut state.slots[slot as usize].sent, true);
        drop(state);
        assert!(!sent_before, "one send a slot between two enters");
        self.push(token, Operation::Send { slot, start, bytes });
    }

    fn poll_out(&mut self, slot: u32, token: u64) {
        self.push(token, Operation::PollOut { slot });
    }

    fn cancel(&mut self, target: u64, token: u64) {
        self.push(token, Operation::Cancel { target });
    }

    fn abort(&mut self, slot: u32, token: u64) {
        self.push(token, Operation::Abort { slot });
    }

    fn close(&mut self, slot: u32, token: u64) {
        self.push(token, Operation::Close { slot });
    }

    fn hear(&mut self, token: u64) {
        self.push(token, Operation::Hear);
    }

    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        let (mut state, mut net) = (self.state.borrow_mut(), self.net.borrow_mut());
        state.stats.enters += 1;
        state.start_all(&self.memory, &mut self.buffers, &mut net);
        state.slots.iter_mut().for_each(|slot| slot.sent = false);
        state.produce(&mut self.buffers, &mut net);
        state.hand_over(&mut net);
        state.park(wait, net.now);
        Ok(())
    }

    fn next(&mut self) -> Option<Completion> {
        let mut state = self.state.borrow_mut();
        let completion = state.inbox.pop_front()?;
        state.idle_enters = 0;
        if let Some(BufferId(id)) = completion.buffer {
            state.holders[usize::from(id)] = Holder::Worker;
        }
        let net = &mut self.net.borrow_mut();
        let facts = [state.worker as i64, completion.token as i64, completion.result.into()];
        let now = net.now;
        net.trace.note(now, "completion", &facts);
        Some(completion)
    }

    fn stats(&self) -> Stats {
        self.state.borrow().stats
    }
}

// What the world looks at.
impl State {
    /// When the worker has something to do next; `None` if it waits for ever.
    pub(crate) fn wakes_at(&self, net: &Net) -> Option<u64> {
        let until = self.parked_until.unwrap_or(0);
        let pending = self.pending.iter().map(|pending| pending.ready_at).min();
        let at = until.min(pending.unwrap_or(u64::MAX)).min(self.armed_at(net));
        (at != u64::MAX).then_some(at.max(net.now))
    }

    /// How many enters in a row neither waited nor brought nor started anything.
    pub(crate) fn idle_enters(&self) -> u32 {
        self.idle_enters
    }

    fn armed_at(&self, net: &Net) -> u64 {
        let mut at = u64::MAX;
        let someone_waits =
            |accept: &Accept| !net.backlogs[self.worker][accept.listener as usize].is_empty();
        if (self.hearing.is_some() && self.bells.is_rung(self.worker))
            || self.accepts.iter().any(someone_waits)
        {
            at = 0;
        }
        for slot in &self.slots {
            let Occupant::Open(id) = slot.occupant else { continue };
            let socket = &net.sockets[id];
            let recv = slot.recv.filter(|_| socket.readable() != Readable::Nothing);
            let poll = slot.poll.filter(|_| socket.is_writable());
            for armed in recv.into_iter().chain(poll) {
                at = at.min(armed.not_before);
            }
        }
        at
    }

    /// Asserts that the worker left nothing behind: no connection, no buffer, no operation but the
    /// wait for the bell.
    pub(crate) fn assert_empty(&self) {
        for (index, slot) in self.slots.iter().enumerate() {
            assert_eq!(slot.occupant, Occupant::Empty, "slot {index} of worker {}", self.worker);
            assert_eq!(slot.under_way, 0, "operations on slot {index}");
        }
        assert!(self.accepts.is_empty(), "an accept is left");
        assert_eq!(self.worker_buffers(), 0, "buffers the worker keeps");
    }

    /// What stands in which slot, of a worker that has nothing under way.
    pub(crate) fn take_out(&self) -> HashMap<u32, SocketId> {
        assert!(self.accepts.is_empty(), "an accept is left");
        assert_eq!(self.worker_buffers(), 0, "buffers the worker keeps");
        let mut taken = HashMap::new();
        for (index, slot) in (0..).zip(&self.slots) {
            assert_eq!(slot.under_way, 0, "operations on slot {index}");
            match slot.occupant {
                Occupant::Empty => {}
                Occupant::Open(socket) => {
                    taken.insert(index, socket);
                }
                other => panic!("slot {index} is {other:?}"),
            }
        }
        taken
    }

    /// Completions that were made up for operations of connections that are gone.
    pub(crate) fn stale_count(&self) -> u64 {
        self.stale_count
    }

    /// Connections in slots.
    pub(crate) fn open_count(&self) -> usize {
        let open = |slot: &&Slot| matches!(slot.occupant, Occupant::Open(_) | Occupant::Closing);
        self.slots.iter().filter(open).count()
    }

    /// What the ring did to its worker.
    pub(crate) fn sights(&self) -> &Sights {
        &self.sights
    }

    pub(crate) fn worker_buffers(&self) -> usize {
        self.holders.iter().filter(|holder| **holder == Holder::Worker).count()
    }
}

const POLLOUT: i32 = libc::POLLOUT as i32;

/// The last completion of an operation that brings no buffer.
fn last(token: u64, result: i32) -> Completion {
    Completion { token, result, buffer: None, more: false }
}
