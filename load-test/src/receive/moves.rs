//! Members that leave and return: when whose turn it is, and what they do. They leave the room, or
//! where the protocol knows no leaving, the server. `audit` has the rule of what they must get.

use super::{Client, Phase, Receiver};
use crate::Failure;
use crate::clock::{duration_ns, now_ns};
use crate::limits::AWAY;
use crate::scenario::{Movers, Plan};
use mio::unix::SourceFd;
use std::collections::VecDeque;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;

/// The turns of a thread's members.
pub(super) struct Moves {
    groups: Vec<Turns>,
    /// When a client that has left is to return, in this order.
    returns: VecDeque<(u64, usize)>,
}

/// Turn `i` is due at `(i + 1) / rate` after the start, whatever happened to those before it; the
/// members take them one after the other.
struct Turns {
    movers: Movers,
    /// No turn is due later than that after the start.
    end_ns: u64,
    thread: usize,
    threads: usize,
    next: u64,
}

impl Moves {
    pub(super) fn new(plan: &Plan, thread: usize) -> Self {
        let threads = plan.scenario.threads;
        let end = plan.scenario.warmup.saturating_add(plan.scenario.duration);
        let turns = |movers| {
            let mut turns = Turns { movers, end_ns: duration_ns(end), thread, threads, next: 0 };
            turns.skip_others();
            turns
        };
        Self { groups: plan.movers().map(turns).collect(), returns: VecDeque::new() }
    }

    /// Whether nobody moves.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// When something is next to be done. Nobody leaves once everything is sent.
    pub(super) fn next_ns(&self, start_ns: u64, over: bool) -> u64 {
        let turns = self.groups.iter().filter_map(Turns::after_ns);
        let leave_ns = turns.min().filter(|_| !over).map_or(u64::MAX, |after| start_ns + after);
        let return_ns = self.returns.front().map_or(u64::MAX, |(at_ns, _)| *at_ns);
        leave_ns.min(return_ns)
    }

    /// Who is to leave, if it is time.
    fn leaving(&mut self, past_ns: u64) -> Option<u32> {
        let due = |turns: &&mut Turns| turns.after_ns().is_some_and(|after| after <= past_ns);
        let turns = self.groups.iter_mut().find(due)?;
        let client = turns.client();
        turns.next += 1;
        turns.skip_others();
        Some(client)
    }

    fn returning(&mut self, now_ns: u64) -> Option<usize> {
        self.returns.pop_front_if(|(at_ns, _)| *at_ns <= now_ns).map(|(_, index)| index)
    }
}

impl Turns {
    /// When the next turn is due after the start; `None` if there is none.
    fn after_ns(&self) -> Option<u64> {
        let after_ns = u128::from(self.next + 1) * 1_000_000_000 / u128::from(self.movers.rate);
        u64::try_from(after_ns).ok().filter(|after_ns| *after_ns < self.end_ns)
    }

    fn client(&self) -> u32 {
        let count = u64::from(self.movers.clients.end - self.movers.clients.start);
        let place = u32::try_from(self.next % count).expect("below a count of clients");
        self.movers.clients.start + place
    }

    /// Goes on to a turn of this thread's members; to the end if it has none.
    fn skip_others(&mut self) {
        while self.after_ns().is_some() && self.client() as usize % self.threads != self.thread {
            self.next += 1;
        }
    }
}

impl Receiver {
    pub(super) fn move_members(&mut self, start_ns: u64) -> Result<(), Failure> {
        let now_ns = now_ns();
        while !self.over
            && let Some(client) = self.moves.leaving(now_ns.saturating_sub(start_ns))
        {
            self.leave_room(client as usize / self.plan.scenario.threads)?;
        }
        while let Some(index) = self.moves.returning(now_ns) {
            self.return_to_room(index)?;
        }
        Ok(())
    }

    fn leave_room(&mut self, index: usize) -> Result<(), Failure> {
        if self.clients[index].closed {
            return Ok(());
        }
        if self.clients[index].phase != Phase::Ready {
            self.churn.missed += 1;
            return Ok(());
        }
        let mut words = Vec::new();
        let room = self.plan.room_name(self.number(index));
        let leaves = room.is_some_and(|room| self.plan.scenario.protocol.leave(&mut words, &room));
        let now_ns = now_ns();
        self.clients[index].asked_ns = now_ns;
        if leaves {
            self.clients[index].phase = Phase::Leaving;
            return self.ask(index, &words);
        }
        let stream = &self.clients[index].outlet.stream;
        // Either fails only if the server has closed the connection just now.
        let _closed = self.poll.registry().deregister(&mut SourceFd(&stream.as_raw_fd()));
        let _closed = stream.shutdown(Shutdown::Both);
        self.shared.timeline.clients.fetch_sub(1, Ordering::Relaxed);
        self.on_left(index, now_ns, Phase::Gone);
        Ok(())
    }

    /// The member is out of its room.
    pub(super) fn on_left(&mut self, index: usize, now_ns: u64, to: Phase) {
        let Client { joined_ns, asked_ns, .. } = self.clients[index];
        let spans: Vec<_> = self.spans_between(index, joined_ns, asked_ns, now_ns).collect();
        self.audit.leave(index, &spans);
        self.clients[index].phase = to;
        self.churn.left += 1;
        self.moves.returns.push_back((now_ns + duration_ns(AWAY), index));
    }

    fn return_to_room(&mut self, index: usize) -> Result<(), Failure> {
        let client = &self.clients[index];
        if client.closed {
            return Ok(());
        }
        if client.phase == Phase::Away {
            return self.enter_room(index, now_ns());
        }
        match self.begin_connection(index) {
            Ok(client) => self.clients[index] = client,
            Err(error) => return self.on_closed(index, &format!("it cannot return: {error}")),
        }
        Ok(())
    }
}
