//! The start of operations: sends, cancels and closes are done at once, the rest waits.

use chatd::engine::token::Token;
use chatd::uring::Completion;

use super::*;
use crate::options::ALWAYS;

impl State {
    pub(super) fn start_all(&mut self, memory: &[u8], buffers: &mut [Vec<u8>], net: &mut Net) {
        while let Some(Pushed { token, operation }) = self.pushed.pop_front() {
            match operation {
                Operation::Accept(accept) => self.start_accept(accept),
                Operation::Recv { slot } => {
                    let armed = self.arm(token, net.now);
                    let slot = self.open_slot(slot);
                    assert!(slot.recv.replace(armed).is_none(), "one receive at a time");
                    slot.under_way += 1;
                    slot.tokens.insert(token, Op::Recv);
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
                    slot.tokens.insert(token, Op::Poll);
                }
                Operation::Cancel { target } => self.cancel(target, token, buffers, net),
                Operation::Abort { slot } => self.abort(slot, token, net.now),
                Operation::Close { slot } => self.close(slot, token, net),
                Operation::Hear => {
                    assert!(self.hearing.replace(token).is_none(), "one wait for the bell");
                }
            }
        }
    }

    pub(super) fn arm(&mut self, token: u64, now: u64) -> Armed {
        Armed { token, not_before: self.late(now) }
    }

    pub(super) fn late(&mut self, now: u64) -> u64 {
        let late = self.rng.chance(self.faults.late);
        now + if late { self.rng.between(1, self.faults.late_us) * 1_000 } else { 0 }
    }

    pub(super) fn open_slot(&mut self, index: u32) -> &mut Slot {
        let slot = &mut self.slots[index as usize];
        assert!(matches!(slot.occupant, Occupant::Open(_)), "slot {index} is {:?}", slot.occupant);
        slot
    }

    pub(super) fn socket(&mut self, slot: u32) -> SocketId {
        match self.open_slot(slot).occupant {
            Occupant::Open(socket) => socket,
            _ => unreachable!("just asserted"),
        }
    }

    pub(super) fn start_accept(&mut self, accept: Accept) {
        let slot = &mut self.slots[accept.slot as usize];
        assert_eq!(slot.occupant, Occupant::Empty, "accepts go to empty slots");
        assert!(self.accepts.iter().all(|other| other.lane != accept.lane), "one accept a lane");
        slot.occupant = Occupant::Reserved;
        self.accepts.push(accept);
    }

    pub(super) fn send(&mut self, slot: u32, bytes: &[u8], token: u64, net: &mut Net) {
        let mut id = self.socket(slot);
        if Token::decode(token) != Token::Ignored {
            self.open_slot(slot).tokens.insert(token, Op::Send);
        }
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
        self.note_failure(Op::Send, result);
        let whole = usize::try_from(result).is_ok_and(|len| len == bytes.len());
        if result > 0 && !whole && self.faults.send_short == ALWAYS {
            self.sights.insert(Sight::Partly);
        }
        if !whole && sabotage != Some(Sabotage::FailureUntold) {
            let completion = Completion { token, result, buffer: None, more: false };
            self.failed_sends.push(completion);
        }
    }

    pub(super) fn other_socket(&mut self, id: SocketId) -> SocketId {
        let open = self.slots.iter().filter_map(|slot| match slot.occupant {
            Occupant::Open(other) => Some(other),
            _ => None,
        });
        let open: Vec<_> = open.filter(|other| *other != id).collect();
        if open.is_empty() { id } else { *self.rng.pick(&open) }
    }

    /// How much of a send may leave, or why nothing does.
    pub(super) fn send_faults(
        &mut self,
        len: usize,
        id: SocketId,
        net: &mut Net,
    ) -> Result<usize, i32> {
        if self.rng.chance(self.faults.send_reset) {
            let errno = self.errno(self.faults.errnos.send_gone);
            net.sockets[id].break_off(errno);
        } else if self.rng.chance(self.faults.send_no_memory) {
            return Err(self.errno(self.faults.errnos.send_failed));
        } else if self.rng.chance(self.faults.send_again) {
            return Err(libc::EAGAIN);
        }
        let short = self.rng.chance(self.faults.send_short);
        Ok(if short { self.rng.below(len) + 1 } else { len })
    }

    pub(super) fn close(&mut self, index: u32, token: u64, net: &mut Net) {
        let id = self.socket(index);
        let slot = &mut self.slots[index as usize];
        assert_eq!(slot.under_way, 0, "closed with operations under way");
        net.sockets[id].close(slot.abort);
        net.trace.note(net.now, "close", &[self.worker as i64, index.into(), slot.abort.into()]);
        slot.occupant = Occupant::Closing;
        slot.abort = false;
        let failed = self.rng.chance(self.faults.close_error);
        let result = if failed { -self.errno(self.faults.errnos.close) } else { 0 };
        self.note_failure(Op::Close, result);
        self.slots[index as usize].tokens.insert(token, Op::Close);
        self.post(last(token, result), Effect::Empties(index), net.now);
    }

    /// One of these; where there is no choice, none is drawn.
    pub(super) fn errno(&mut self, errnos: &[i32]) -> i32 {
        if let [errno] = errnos { *errno } else { *self.rng.pick(errnos) }
    }

    fn abort(&mut self, slot: u32, token: u64, now: u64) {
        let fails = self.rng.chance(self.faults.abort_error);
        self.open_slot(slot).abort = !fails;
        if fails {
            let result = -self.errno(self.faults.errnos.abort);
            self.note_failure(Op::Abort, result);
            self.post(last(token, result), Effect::Nothing, now);
        }
    }

    pub(super) fn cancel(
        &mut self,
        target: u64,
        token: u64,
        buffers: &mut [Vec<u8>],
        net: &mut Net,
    ) {
        let race = self.rng.chance(self.faults.cancel_race);
        let not_found = -self.errno(self.faults.errnos.cancel);
        let (now, not_found) = (net.now, last(token, not_found));
        if let Some(index) = self.accepts.iter().position(|accept| accept.token == target) {
            if self.rng.chance(self.faults.cancel_missed) {
                // It came between the waking of the accept and its next try.
                self.sights.insert(Sight::CancelMissed);
                return self.post(not_found, Effect::Nothing, now);
            }
            if race && self.accept_next(index, net) {
                return self.too_late(Op::Accept, target, not_found, now);
            }
            let accept = self.accepts.swap_remove(index);
            self.sights.insert(Sight::Cancelled(Op::Accept));
            let canceled = last(target, -libc::ECANCELED);
            return self.post(canceled, Effect::Empties(accept.slot), now);
        }
        let is_target = |armed: &Option<Armed>| armed.is_some_and(|armed| armed.token == target);
        let found =
            self.slots.iter().position(|slot| is_target(&slot.recv) || is_target(&slot.poll));
        let Some(index) = found else {
            return self.too_late_for(target, not_found, now);
        };
        let index = u32::try_from(index).expect("a slot");
        let slot = &mut self.slots[index as usize];
        if is_target(&slot.poll) {
            slot.poll = None;
            if !race {
                self.sights.insert(Sight::Cancelled(Op::Poll));
            }
            let result = if race { POLLOUT } else { -libc::ECANCELED };
            self.post(last(target, result), Effect::Ends(index), now);
            if race && self.faults.wide {
                self.too_late(Op::Poll, target, not_found, now);
            }
        } else if race && self.receive(index, true, buffers, net) {
            self.too_late(Op::Recv, target, not_found, now);
        } else {
            self.slots[index as usize].recv = None;
            self.sights.insert(Sight::Cancelled(Op::Recv));
            self.post(last(target, -libc::ECANCELED), Effect::Ends(index), now);
        }
    }

    /// What is cancelled has ended, perhaps only just.
    fn too_late_for(&mut self, target: u64, completion: Completion, now: u64) {
        let is_it = |pending: &Pending| pending.completion.token == target;
        if !self.pending.iter().any(is_it) {
            return self.post(completion, Effect::Nothing, now);
        }
        // An accept's is no connection's.
        let op = self.slots.iter().find_map(|slot| slot.tokens.get(&target)).copied();
        self.too_late(op.unwrap_or(Op::Accept), target, completion, now);
    }

    fn too_late(&mut self, op: Op, target: u64, completion: Completion, now: u64) {
        self.note_failure(Op::Cancel, completion.result);
        self.races.push((target, op));
        self.post(completion, Effect::TooLate(target), now);
    }

    pub(super) fn note_failure(&mut self, op: Op, result: i32) {
        if result < 0 {
            self.sights.insert(Sight::Failed(op, -result));
        }
    }
}
