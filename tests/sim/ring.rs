//! A ring without a kernel. It keeps `chatd::uring`'s contract to the letter, and inside it does
//! whatever the seed says: short sends, full sockets, ended receives, few buffers, errors, late and
//! reordered completions, a tiny queue, late bells.
//!
//! It also holds its caller to the contract: slots are empty when accepted into and idle when closed,
//! one send a slot, memory of sends unchanged until they are done, buffers given back once.
//!
//! `enter` never blocks. A worker that would wait is *parked*: the world gives it no turn until
//! something arrived for it or its time is over.

use std::cell::RefCell;
use std::collections::VecDeque;
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

/// What a buffer holds that is not the worker's.
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
}

/// What a ring is made of.
pub(crate) struct Parts {
    pub(crate) worker: usize,
    pub(crate) faults: Faults,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) rng: Rng,
    pub(crate) bells: Arc<FakeBells>,
    pub(crate) slot_count: u32,
    pub(crate) lane_count: u32,
    pub(crate) memory_len: usize,
}

impl FakeRing {
    pub(crate) fn new(parts: Parts, net: Rc<RefCell<Net>>) -> (Self, Rc<RefCell<State>>) {
        let Parts { worker, faults, sabotage, rng, bells, slot_count, lane_count, memory_len } =
            parts;
        let slot = Slot {
            occupant: Occupant::Empty,
            recv: None,
            poll: None,
            under_way: 0,
            sent: false,
            abort: false,
        };
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
            slots: vec![slot; slot_count as usize],
            hearing: None,
            pending: Vec::new(),
            failed_sends: Vec::new(),
            inbox: VecDeque::new(),
            stats: Stats::default(),
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
        state.hand_over(net.now);
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

    /// Connections in slots.
    pub(crate) fn open_count(&self) -> usize {
        let open = |slot: &&Slot| matches!(slot.occupant, Occupant::Open(_) | Occupant::Closing);
        self.slots.iter().filter(open).count()
    }

    pub(crate) fn worker_buffers(&self) -> usize {
        self.holders.iter().filter(|holder| **holder == Holder::Worker).count()
    }
}

// The start of operations.
impl State {
    fn start_all(&mut self, memory: &[u8], buffers: &mut [Vec<u8>], net: &mut Net) {
        while let Some(Pushed { token, operation }) = self.pushed.pop_front() {
            match operation {
                Operation::Accept(accept) => self.start_accept(accept),
                Operation::Recv { slot } => {
                    let armed = self.arm(token, net.now);
                    let slot = self.open_slot(slot);
                    assert!(slot.recv.replace(armed).is_none(), "one receive at a time");
                    slot.under_way += 1;
                }
                Operation::Send { slot, start, bytes } => {
                    let start = start as usize;
                    let now = &memory[start..start + bytes.len()];
                    assert!(bytes == now, "the memory of a send changed before the enter");
                    self.send(slot, &bytes, token, net);
                }
                Operation::PollOut { slot } => {
                    let armed = self.arm(token, net.now);
                    let slot = self.open_slot(slot);
                    assert!(slot.poll.replace(armed).is_none(), "one poll at a time");
                    slot.under_way += 1;
                }
                Operation::Cancel { target } => self.cancel(target, token, buffers, net),
                Operation::Abort { slot } => self.open_slot(slot).abort = true,
                Operation::Close { slot } => self.close(slot, token, net),
                Operation::Hear => {
                    assert!(self.hearing.replace(token).is_none(), "one wait for the bell");
                }
            }
        }
    }

    fn arm(&mut self, token: u64, now: u64) -> Armed {
        Armed { token, not_before: self.late(now) }
    }

    fn late(&mut self, now: u64) -> u64 {
        let late = self.rng.chance(self.faults.late);
        now + if late { self.rng.between(1, self.faults.late_us) * 1_000 } else { 0 }
    }

    fn open_slot(&mut self, index: u32) -> &mut Slot {
        let slot = &mut self.slots[index as usize];
        assert!(matches!(slot.occupant, Occupant::Open(_)), "slot {index} is {:?}", slot.occupant);
        slot
    }

    fn socket(&mut self, slot: u32) -> SocketId {
        match self.open_slot(slot).occupant {
            Occupant::Open(socket) => socket,
            _ => unreachable!("just asserted"),
        }
    }

    fn start_accept(&mut self, accept: Accept) {
        let slot = &mut self.slots[accept.slot as usize];
        assert_eq!(slot.occupant, Occupant::Empty, "accepts go to empty slots");
        assert!(self.accepts.iter().all(|other| other.lane != accept.lane), "one accept a lane");
        slot.occupant = Occupant::Reserved;
        self.accepts.push(accept);
    }

    fn send(&mut self, slot: u32, bytes: &[u8], token: u64, net: &mut Net) {
        let mut id = self.socket(slot);
        let hit = self.sabotage.is_some() && self.rng.chance(30);
        let sabotage = self.sabotage.filter(|_| hit);
        if sabotage == Some(Sabotage::WrongSocket) {
            id = self.other_socket(id);
        }
        let bytes = if sabotage == Some(Sabotage::LastByteLost) {
            &bytes[..bytes.len() - 1]
        } else {
            bytes
        };
        let outcome = self.send_faults(bytes.len(), id, net).and_then(|len_max| {
            let now = net.now;
            net.sockets[id].send(bytes, len_max, now)
        });
        if sabotage == Some(Sabotage::SentTwice) {
            let now = net.now;
            let _ = net.sockets[id].send(bytes, bytes.len(), now);
        }
        let result = match outcome {
            Ok(len) => i32::try_from(len).expect("a small send"),
            Err(errno) => -errno,
        };
        let facts = [self.worker as i64, slot.into(), bytes.len() as i64, result.into()];
        net.trace.note(net.now, "send", &facts);
        let whole = usize::try_from(result).is_ok_and(|len| len == bytes.len());
        if !whole && sabotage != Some(Sabotage::FailureUntold) {
            let completion = Completion { token, result, buffer: None, more: false };
            self.failed_sends.push(completion);
        }
    }

    fn other_socket(&mut self, id: SocketId) -> SocketId {
        let open = self.slots.iter().filter_map(|slot| match slot.occupant {
            Occupant::Open(other) => Some(other),
            _ => None,
        });
        let open: Vec<_> = open.filter(|other| *other != id).collect();
        if open.is_empty() { id } else { *self.rng.pick(&open) }
    }

    /// How much of a send may leave, or why nothing does.
    fn send_faults(&mut self, len: usize, id: SocketId, net: &mut Net) -> Result<usize, i32> {
        if self.rng.chance(self.faults.send_reset) {
            let errno = *self.rng.pick(&[libc::ECONNRESET, libc::EPIPE, libc::ETIMEDOUT]);
            net.sockets[id].break_off(errno);
        } else if self.rng.chance(self.faults.send_no_memory) {
            return Err(*self.rng.pick(&[libc::ENOBUFS, libc::ENOMEM]));
        } else if self.rng.chance(self.faults.send_again) {
            return Err(libc::EAGAIN);
        }
        let short = self.rng.chance(self.faults.send_short);
        Ok(if short { self.rng.below(len) + 1 } else { len })
    }

    fn close(&mut self, index: u32, token: u64, net: &mut Net) {
        let id = self.socket(index);
        let slot = &mut self.slots[index as usize];
        assert_eq!(slot.under_way, 0, "closed with operations under way");
        net.sockets[id].close(slot.abort);
        net.trace.note(net.now, "close", &[self.worker as i64, index.into(), slot.abort.into()]);
        slot.occupant = Occupant::Closing;
        slot.abort = false;
        self.post(last(token, 0), Effect::Empties(index), net.now);
    }

    fn cancel(&mut self, target: u64, token: u64, buffers: &mut [Vec<u8>], net: &mut Net) {
        let race = self.rng.chance(self.faults.cancel_race);
        let (now, not_found) = (net.now, last(token, -libc::ENOENT));
        if let Some(index) = self.accepts.iter().position(|accept| accept.token == target) {
            if race && self.accept_next(index, net) {
                return self.post(not_found, Effect::Nothing, now);
            }
            let accept = self.accepts.swap_remove(index);
            let canceled = last(target, -libc::ECANCELED);
            return self.post(canceled, Effect::Empties(accept.slot), now);
        }
        let is_target = |armed: &Option<Armed>| armed.is_some_and(|armed| armed.token == target);
        let found =
            self.slots.iter().position(|slot| is_target(&slot.recv) || is_target(&slot.poll));
        let Some(index) = found else {
            return self.post(not_found, Effect::Nothing, now);
        };
        let index = u32::try_from(index).expect("a slot");
        let slot = &mut self.slots[index as usize];
        if is_target(&slot.poll) {
            slot.poll = None;
            let result = if race { POLLOUT } else { -libc::ECANCELED };
            self.post(last(target, result), Effect::Ends(index), now);
        } else if race && self.receive(index, true, buffers, net) {
            self.post(not_found, Effect::Nothing, now);
        } else {
            self.slots[index as usize].recv = None;
            self.post(last(target, -libc::ECANCELED), Effect::Ends(index), now);
        }
    }
}

const POLLOUT: i32 = libc::POLLOUT as i32;

/// The last completion of an operation that brings no buffer.
fn last(token: u64, result: i32) -> Completion {
    Completion { token, result, buffer: None, more: false }
}

// What comes of operations.
impl State {
    /// Completions of one operation keep their order.
    fn post(&mut self, completion: Completion, effect: Effect, now: u64) {
        let is_before = |pending: &&Pending| pending.completion.token == completion.token;
        let before = self.pending.iter().rev().find(is_before);
        let not_before = before.map_or(now, |before| before.ready_at);
        let ready_at = self.late(now).max(not_before);
        self.pending.push(Pending { ready_at, completion, effect });
    }

    fn produce(&mut self, buffers: &mut [Vec<u8>], net: &mut Net) {
        self.produce_bell(net.now);
        while !self.accepts.is_empty() {
            let index = self.rng.below(self.accepts.len());
            if !self.accept_next(index, net) || self.rng.chance(100) {
                break;
            }
        }
        let first = self.rng.below(self.slots.len());
        for offset in 0..self.slots.len() {
            let index = (first + offset) % self.slots.len();
            let index = u32::try_from(index).expect("a slot");
            self.produce_poll(index, net);
            let pieces = self.rng.between(1, 4);
            for _ in 0..pieces {
                let ends = self.rng.chance(self.faults.recv_ended);
                if !self.receive(index, ends, buffers, net) {
                    break;
                }
            }
        }
    }

    fn produce_bell(&mut self, now: u64) {
        let rung = self.bells.is_rung(self.worker) || self.rng.chance(self.faults.bell_spurious);
        if rung && let Some(token) = self.hearing.take() {
            self.bells.silence(self.worker);
            self.post(last(token, 8), Effect::Nothing, now);
        }
    }

    /// Completes the accept if somebody waits for one; says whether it did.
    fn accept_next(&mut self, index: usize, net: &mut Net) -> bool {
        let Accept { token, lane, listener, slot } = self.accepts[index];
        let backlog = &mut net.backlogs[self.worker][listener as usize];
        let Some(id) = backlog.front().copied() else { return false };
        self.accepts.swap_remove(index);
        let result = if self.rng.chance(self.faults.accept_error) {
            -*self.rng.pick(&[libc::ECONNABORTED, libc::EINTR, libc::EMFILE, libc::ENFILE])
        } else {
            0
        };
        if result == 0 || result == -libc::ECONNABORTED {
            backlog.pop_front();
        }
        let facts = [self.worker as i64, slot.into(), id as i64, result.into()];
        net.trace.note(net.now, "accept", &facts);
        if result == 0 {
            self.slots[slot as usize].occupant = Occupant::Open(id);
            self.addresses[lane as usize] = net.sockets[id].addr;
        } else if result == -libc::ECONNABORTED {
            net.sockets[id].break_off(libc::ECONNRESET);
        }
        let effect = if result == 0 { Effect::Nothing } else { Effect::Empties(slot) };
        self.post(last(token, result), effect, net.now);
        true
    }

    fn produce_poll(&mut self, index: u32, net: &Net) {
        let slot = &self.slots[index as usize];
        let (Occupant::Open(id), Some(armed)) = (slot.occupant, slot.poll) else { return };
        let spurious = self.rng.chance(self.faults.poll_spurious);
        if armed.not_before <= net.now && (spurious || net.sockets[id].is_writable()) {
            self.slots[index as usize].poll = None;
            self.post(last(armed.token, POLLOUT), Effect::Ends(index), net.now);
        }
    }

    /// Completes a receive once, if there is something to receive; says whether it did. `ends` makes
    /// it the last completion.
    fn receive(&mut self, index: u32, ends: bool, buffers: &mut [Vec<u8>], net: &mut Net) -> bool {
        let slot = &self.slots[index as usize];
        let (Occupant::Open(id), Some(armed)) = (slot.occupant, slot.recv) else { return false };
        if armed.not_before > net.now {
            return false;
        }
        if self.rng.chance(self.faults.recv_reset)
            && net.sockets[id].readable() != Readable::Nothing
        {
            net.sockets[id].break_off(*self.rng.pick(&[libc::ECONNRESET, libc::ETIMEDOUT]));
        }
        let readable = net.sockets[id].readable();
        let interrupted = self.rng.chance(self.faults.recv_interrupted);
        let (result, buffer) = match readable {
            Readable::Nothing => return false,
            _ if interrupted => (-libc::EINTR, None),
            Readable::End => (0, None),
            Readable::Error(errno) => {
                net.sockets[id].take_error();
                (-errno, None)
            }
            Readable::Bytes(len) => match self.free.pop_front() {
                None => (-libc::ENOBUFS, None),
                Some(buffer) => {
                    let len = self.piece_len(len);
                    self.fill(buffer, len, id, buffers, net);
                    (i32::try_from(len).expect("a buffer is small"), Some(BufferId(buffer)))
                }
            },
        };
        let crowded = self.pending.len() >= self.faults.queue_len;
        let more = buffer.is_some() && !ends && !crowded;
        if !more {
            self.slots[index as usize].recv = None;
        }
        let completion = Completion { token: armed.token, result, buffer, more };
        let effect = if more { Effect::Nothing } else { Effect::Ends(index) };
        self.post(completion, effect, net.now);
        true
    }

    fn piece_len(&mut self, len: usize) -> usize {
        let small = self.rng.chance(self.faults.recv_small);
        let len_max = if small { self.rng.below(5) + 1 } else { RECV_BUFFER_LEN };
        len.min(len_max)
    }

    fn fill(
        &mut self,
        buffer: u16,
        len: usize,
        id: SocketId,
        buffers: &mut [Vec<u8>],
        net: &mut Net,
    ) {
        self.holders[usize::from(buffer)] = Holder::Filled;
        let bytes: Vec<u8> = net.sockets[id].take_input(len).collect();
        if self.sabotage == Some(Sabotage::ReceivedTwice) && self.rng.chance(30) {
            net.sockets[id].write(bytes.iter().copied());
        }
        buffers[usize::from(buffer)][..len].copy_from_slice(&bytes);
    }

    /// Moves what is due to where the worker takes it: outcomes of sends all, the rest as far as an
    /// enter goes. Operations are in any order, the completions of one in theirs.
    fn hand_over(&mut self, now: u64) {
        let salt = self.rng.next();
        let priority = |pending: &Pending| Rng::new(pending.completion.token ^ salt).next();
        let (mut due, mut rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|it| it.ready_at <= now);
        due.sort_by_key(priority);
        let room = self.faults.reap_max.min(self.faults.queue_len);
        if due.len() > room {
            self.stats.overflows += u64::from(due.len() > self.faults.queue_len);
            let mut left = due.split_off(room);
            left.append(&mut rest);
            rest = left;
        }
        self.pending = rest;
        for pending in &due {
            self.see(pending);
        }
        self.inbox.extend(due.into_iter().map(|pending| pending.completion));
        for failed in std::mem::take(&mut self.failed_sends) {
            let place = self.rng.below(self.inbox.len() + 1);
            self.inbox.insert(place, failed);
        }
    }

    /// The worker is about to see a completion.
    fn see(&mut self, pending: &Pending) {
        match pending.effect {
            Effect::Nothing => {}
            Effect::Ends(slot) => self.slots[slot as usize].under_way -= 1,
            Effect::Empties(slot) => self.slots[slot as usize].occupant = Occupant::Empty,
        }
    }

    fn park(&mut self, wait: Wait, now: u64) {
        let until = match wait {
            Wait::No => None,
            Wait::AtMost(time) => Some(now + u64::try_from(time.as_nanos()).expect("a short wait")),
            Wait::Forever => Some(u64::MAX),
        };
        self.parked_until = until.filter(|until| self.inbox.is_empty() && *until > now);
        if self.parked_until.is_some() || !self.inbox.is_empty() {
            self.idle_enters = 0;
        } else {
            self.idle_enters += 1;
        }
    }
}
