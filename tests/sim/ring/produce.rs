//! What comes of operations that wait, and when the worker is handed what came.

use chatd::limits::RECV_BUFFER_LEN;

use super::errnos::Errnos;
use super::*;

/// Tokens of the past that are kept, the newest.
const PAST_MAX: usize = 64;

impl State {
    /// Completions of one operation keep their order.
    pub(super) fn post(&mut self, completion: Completion, effect: Effect, now: u64) {
        let is_before = |pending: &&Pending| pending.completion.token == completion.token;
        let before = self.pending.iter().rev().find(is_before);
        let not_before = before.map_or(now, |before| before.ready_at);
        let ready_at = self.late(now).max(not_before);
        self.pending.push(Pending { ready_at, completion, effect });
    }

    pub(super) fn produce(&mut self, buffers: &mut [Vec<u8>], net: &mut Net) {
        self.produce_bell(net.now);
        while !self.accepts.is_empty() {
            let newest = self.rng.chance(self.faults.accept_newest);
            let any = self.rng.below(self.accepts.len());
            let backlogs = &net.backlogs[self.worker];
            let is_met = |accept: &Accept| !backlogs[accept.listener as usize].is_empty();
            let index = self.accepts.iter().rposition(is_met).filter(|_| newest).unwrap_or(any);
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

    pub(super) fn produce_bell(&mut self, now: u64) {
        let rung = self.bells.is_rung(self.worker) || self.rng.chance(self.faults.bell_spurious);
        if rung && let Some(token) = self.hearing.take() {
            if self.rng.chance(self.faults.bell_error) {
                let result = -self.errno(self.faults.errnos.bell);
                self.note_failure(Op::Bell, result);
                return self.post(last(token, result), Effect::Nothing, now);
            }
            self.bells.silence(self.worker);
            self.post(last(token, 8), Effect::Nothing, now);
        }
    }

    /// Completes the accept if somebody waits for one; says whether it did.
    pub(super) fn accept_next(&mut self, index: usize, net: &mut Net) -> bool {
        let Accept { token, lane, listener, slot } = self.accepts[index];
        let backlog = &mut net.backlogs[self.worker][listener as usize];
        let Some(id) = backlog.front().copied() else { return false };
        self.accepts.swap_remove(index);
        let result = if self.rng.chance(self.faults.no_descriptors) {
            -self.errno(self.faults.errnos.accept_failed)
        } else if self.rng.chance(self.faults.accept_error) {
            let Errnos { accept_gone, accept_failed, .. } = self.faults.errnos;
            -*self.rng.pick(&[*accept_gone, *accept_failed].concat())
        } else {
            0
        };
        self.note_failure(Op::Accept, result);
        let gone = self.faults.errnos.accept_gone.contains(&-result);
        if result == 0 || gone {
            backlog.pop_front();
        }
        let facts = [self.worker as i64, slot.into(), id as i64, result.into()];
        net.trace.note(net.now, "accept", &facts);
        if result == 0 {
            self.slots[slot as usize].occupant = Occupant::Open(id);
            self.addresses[lane as usize] = net.sockets[id].addr;
        } else if gone {
            net.sockets[id].break_off(libc::ECONNRESET);
        }
        let effect = if result == 0 { Effect::Nothing } else { Effect::Empties(slot) };
        self.post(last(token, result), effect, net.now);
        true
    }

    pub(super) fn produce_poll(&mut self, index: u32, net: &Net) {
        let slot = &self.slots[index as usize];
        let (Occupant::Open(id), Some(armed)) = (slot.occupant, slot.poll) else { return };
        let spurious = self.rng.chance(self.faults.poll_spurious);
        if armed.not_before <= net.now && (spurious || net.sockets[id].is_writable()) {
            self.slots[index as usize].poll = None;
            let failed = self.rng.chance(self.faults.poll_error);
            let result = if failed { -self.errno(self.faults.errnos.poll) } else { POLLOUT };
            self.note_failure(Op::Poll, result);
            self.post(last(armed.token, result), Effect::Ends(index), net.now);
        }
    }

    /// Completes a receive once, if there is something to receive; says whether it did. `ends`
    /// makes it the last completion.
    pub(super) fn receive(
        &mut self,
        index: u32,
        ends: bool,
        buffers: &mut [Vec<u8>],
        net: &mut Net,
    ) -> bool {
        let slot = &self.slots[index as usize];
        let (Occupant::Open(id), Some(armed)) = (slot.occupant, slot.recv) else { return false };
        if armed.not_before > net.now {
            return false;
        }
        if self.rng.chance(self.faults.recv_reset)
            && net.sockets[id].readable() != Readable::Nothing
        {
            net.sockets[id].break_off(self.errno(self.faults.errnos.recv_gone));
        }
        let readable = net.sockets[id].readable();
        let interrupted = self.rng.chance(self.faults.recv_interrupted);
        let (result, buffer) = match readable {
            Readable::Nothing => return false,
            _ if interrupted => (-self.errno(self.faults.errnos.recv_failed), None),
            Readable::End => (0, None),
            Readable::Error(errno) => {
                net.sockets[id].take_error();
                (-errno, None)
            }
            Readable::Bytes(len) => match self.free.pop_front() {
                None => {
                    self.note_no_buffer();
                    (-libc::ENOBUFS, None)
                }
                Some(buffer) => {
                    let len = self.piece_len(len).max(net.sockets[id].segment_len());
                    self.fill(buffer, len, id, buffers, net);
                    (i32::try_from(len).expect("a buffer is small"), Some(BufferId(buffer)))
                }
            },
        };
        self.note_failure(Op::Recv, result);
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

    fn note_no_buffer(&mut self) {
        if self.holders.len() == 16 && self.open_count() >= MANY {
            self.sights.insert(Sight::NoBuffer);
        }
    }

    pub(super) fn piece_len(&mut self, len: usize) -> usize {
        let small = self.rng.chance(self.faults.recv_small);
        let len_max = if small { self.rng.below(5) + 1 } else { RECV_BUFFER_LEN };
        len.min(len_max)
    }

    pub(super) fn fill(
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

    /// A completion for a connection that is gone, as if its token had lost its way.
    fn make_up(&mut self, net: &mut Net) {
        if self.past.is_empty() || !self.rng.chance(self.faults.stale) {
            return;
        }
        let (token, op, slot) = *self.rng.pick(&self.past);
        // What is still under way under that token would not be told from it.
        if self.pending.iter().any(|pending| pending.completion.token == token) {
            return;
        }
        let is_reused = matches!(self.slots[slot as usize].occupant, Occupant::Open(_));
        let mut completion =
            last(token, *self.rng.pick(&[0, POLLOUT, -libc::ECANCELED, -libc::ECONNRESET]));
        if op == Op::Recv && self.rng.chance(500) {
            completion.more = self.rng.chance(500);
            completion.buffer = self.free.pop_front().map(BufferId);
        }
        if let Some(BufferId(id)) = completion.buffer {
            self.holders[usize::from(id)] = Holder::Filled;
            completion.result = 5;
        }
        if is_reused {
            self.sights.insert(Sight::Stale(op));
            if completion.buffer.is_some() {
                self.sights.insert(Sight::StaleBytes);
            }
        }
        let facts = [self.worker as i64, slot.into(), token as i64, completion.result.into()];
        net.trace.note(net.now, "stale", &facts);
        self.post(completion, Effect::Stale, net.now);
    }

    /// Moves what is due to where the worker takes it: outcomes of sends all, the rest as far as an
    /// enter goes. Operations are in any order, the completions of one in theirs.
    pub(super) fn hand_over(&mut self, net: &mut Net) {
        self.make_up(net);
        let now = net.now;
        let salt = self.rng.next();
        let priority = |pending: &Pending| Rng::new(pending.completion.token ^ salt).next();
        let (mut due, mut rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|it| it.ready_at <= now);
        due.sort_by_key(priority);
        let room = self.faults.reap_max.min(self.faults.queue_len);
        if due.len() > room {
            self.stats.overflows += u64::from(due.len() > self.faults.queue_len);
            if self.faults.queue_len == 64 && due.len() > 64 {
                self.sights.insert(Sight::Overflow);
            }
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
    pub(super) fn see(&mut self, pending: &Pending) {
        if !pending.completion.more {
            self.see_race(pending.completion.token, false);
        }
        match pending.effect {
            Effect::Nothing => {}
            Effect::TooLate(target) => self.see_race(target, true),
            Effect::Ends(slot) => self.slots[slot as usize].under_way -= 1,
            Effect::Empties(index) => {
                let slot = &mut self.slots[index as usize];
                slot.occupant = Occupant::Empty;
                let tokens = std::mem::take(&mut slot.tokens);
                if self.faults.stale > 0 {
                    self.past.extend(tokens.into_iter().map(|(token, op)| (token, op, index)));
                }
                let surplus = self.past.len().saturating_sub(PAST_MAX);
                self.past.drain(..surplus);
            }
            Effect::Stale => self.stale_count += 1,
        }
    }

    /// The first of two completions decides.
    fn see_race(&mut self, target: u64, cancel_first: bool) {
        if let Some(place) = self.races.iter().position(|(token, _)| *token == target) {
            let (_, op) = self.races.swap_remove(place);
            self.sights.insert(Sight::CancelledTooLate { op, cancel_first });
        }
    }

    pub(super) fn park(&mut self, wait: Wait, now: u64) {
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
