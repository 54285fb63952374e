//! The thread that sends: every line at its instant, on the sockets of the senders, which the
//! receiving threads own and only read. A send never waits: what the kernel does not take waits
//! here, while the schedule runs on. A line is stamped when it is written, so a server that does
//! not read shows in the latency from the instant the line was due, not in that from its write.

use crate::clock::{duration_ns, now_ns, sleep_until, timespec};
use crate::limits::SLEEP_MAX;
use crate::scenario::{Due, Plan};
use crate::session::Shared;
use crate::stats::Durations;
use crate::wire::{Header, write_text};
use rustix::event::{PollFd, PollFlags, poll};
use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

/// What the sending thread saw.
pub(crate) struct Sent {
    /// From the instant a measured line was due until it was dealt with: written, or left to wait
    /// for the socket. What it waits for then is not this program.
    pub(crate) lag: Durations,
    /// Lines the kernel did not take whole at once.
    pub(crate) deferred: u64,
    /// Lines not sent because the sender's connection was closed, or that waited to the end.
    pub(crate) unsent: u64,
}

struct Sending<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    start_ns: u64,
    senders: Vec<Sender>,
    text: Vec<u8>,
    line: Vec<u8>,
    sent: Sent,
}

/// The writing half of a connection, for the thread that sends and the one that reads, which has
/// answers to write: what the one began, the other must not cut in two.
pub(crate) struct Outlet {
    pub(crate) stream: TcpStream,
    /// The rest of what the kernel took a part of, and requests and answers after it.
    pending: Mutex<Vec<u8>>,
}

/// What became of bytes that were offered to the kernel.
enum Taken {
    Whole,
    /// The rest is kept.
    Partly,
    Not,
}

struct Sender {
    outlet: Arc<Outlet>,
    room: String,
    /// The outlet keeps the rest of a line.
    rest: bool,
    /// Lines after it; those of the scenario bound them.
    waiting: VecDeque<Due>,
    closed: bool,
}

/// Sends the lines of those senders who have an outlet, then tells the receivers until when to
/// wait; others may send theirs until then. Ends early when the server has closed all clients.
pub(crate) fn send_all(
    plan: &Plan,
    shared: &Shared,
    outlets: Vec<(u32, Arc<Outlet>)>,
    start_ns: u64,
) -> Sent {
    let mut places = vec![None; plan.senders().len()];
    for (place, (id, _)) in outlets.iter().enumerate() {
        places[*id as usize] = Some(place);
    }
    let sender = |(id, outlet)| Sender {
        outlet,
        room: plan.sender(id).and_then(|own| plan.room_name(own.client)).unwrap_or_default(),
        rest: false,
        waiting: VecDeque::new(),
        closed: false,
    };
    let mut sending = Sending {
        plan,
        shared,
        start_ns,
        senders: outlets.into_iter().map(sender).collect(),
        text: Vec::new(),
        line: Vec::new(),
        sent: Sent { lag: Durations::new(), deferred: 0, unsent: 0 },
    };
    for due in plan.schedule() {
        if let Some(sender) = places[due.sender as usize] {
            sending.wait_until(start_ns + due.after_ns);
            sending.send(sender, due);
        }
    }
    // Those who only listen are there for the whole time, too.
    sending.wait_until(start_ns + duration_ns(plan.scenario.warmup + plan.scenario.duration));
    let grace_ns = if shared.nobody_left() { 0 } else { duration_ns(plan.scenario.grace) };
    let deadline_ns = now_ns() + grace_ns;
    shared.sending_over(deadline_ns);
    sending.flush_until(deadline_ns);
    let unsent: usize = sending.senders.iter().map(|sender| sender.waiting.len()).sum();
    sending.sent.unsent += unsent as u64;
    sending.sent
}

impl Sending<'_> {
    /// Writes what waits, and sleeps; not when there is nobody to wait for.
    fn wait_until(&mut self, instant_ns: u64) {
        while !self.shared.nobody_left() {
            let now_ns = now_ns();
            let step_ns = instant_ns.min(now_ns + duration_ns(SLEEP_MAX));
            self.flush_until(step_ns);
            sleep_until(step_ns);
            if step_ns == instant_ns {
                return;
            }
        }
    }

    fn send(&mut self, place: usize, due: Due) {
        let sender = &mut self.senders[place];
        if sender.closed {
            self.sent.unsent += 1;
            return;
        }
        if due.measured {
            self.sent.lag.record(now_ns().saturating_sub(self.start_ns + due.after_ns));
        }
        let first = sender.is_idle();
        sender.waiting.push_back(due);
        if first {
            self.flush(place, u64::MAX);
        }
        let sender = &self.senders[place];
        self.sent.deferred += u64::from(!sender.is_idle());
    }

    /// Writes what waits, until nothing does or the instant comes; one round at least.
    fn flush_until(&mut self, instant_ns: u64) {
        loop {
            let mut ready: Vec<usize> = Vec::new();
            let left_ns = instant_ns.saturating_sub(now_ns());
            let waiting = (0..).zip(&self.senders).filter(|(_, sender)| !sender.is_idle());
            wait_writable(waiting, left_ns, &mut ready);
            if ready.is_empty() {
                return;
            }
            ready.into_iter().for_each(|sender| self.flush(sender, instant_ns));
            if left_ns == 0 {
                return;
            }
        }
    }

    /// Writes what a sender has until its socket is full, or one line past the instant.
    fn flush(&mut self, sender: usize, instant_ns: u64) {
        let Self { plan, shared, start_ns, senders, text, line, .. } = self;
        let sender = &mut senders[sender];
        sender.send_rest();
        while !sender.rest
            && !sender.closed
            && let Some(due) = sender.waiting.front()
        {
            let sent_ns = now_ns();
            let of_sender = plan.sender(due.sender).expect("it is in the schedule");
            let index = plan.line(of_sender, due.seq).expect("it is in the schedule").index;
            shared.written.set(index, sent_ns);
            let header = Header {
                run: plan.scenario.run,
                sender: due.sender,
                seq: due.seq,
                intended_ns: *start_ns + due.after_ns,
                sent_ns,
            };
            text.clear();
            write_text(text, header, due.size);
            line.clear();
            plan.scenario.protocol.say(line, &sender.room, text);
            if !sender.begin(line) || sent_ns >= instant_ns {
                return;
            }
        }
    }
}

impl Sender {
    fn is_idle(&self) -> bool {
        self.closed || (!self.rest && self.waiting.is_empty())
    }

    fn send_rest(&mut self) {
        if self.rest && !self.closed {
            let sent = self.outlet.send(b"");
            self.rest = matches!(sent, Ok(false));
            self.closed = sent.is_err();
        }
    }

    /// Writes the first line that waits. False if nothing of it went: it will have another stamp
    /// when it goes.
    fn begin(&mut self, line: &[u8]) -> bool {
        let taken = self.outlet.offer(line);
        self.closed = taken.is_err();
        self.rest = matches!(taken, Ok(Taken::Partly));
        let begun = matches!(taken, Ok(Taken::Whole | Taken::Partly));
        if begun {
            self.waiting.pop_front();
        }
        begun
    }
}

impl Outlet {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, pending: Mutex::default() }
    }

    /// Writes what was kept and then this; keeps what the kernel does not take. True if nothing is
    /// kept.
    pub(crate) fn send(&self, bytes: &[u8]) -> std::io::Result<bool> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = if self.write_pending(&mut pending)? { self.write(bytes)? } else { 0 };
        pending.extend_from_slice(&bytes[taken..]);
        Ok(pending.is_empty())
    }

    /// The same, but keeps nothing of what the kernel takes no part of.
    fn offer(&self, bytes: &[u8]) -> std::io::Result<Taken> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = if self.write_pending(&mut pending)? { self.write(bytes)? } else { 0 };
        if taken == 0 {
            return Ok(Taken::Not);
        }
        pending.extend_from_slice(&bytes[taken..]);
        Ok(if pending.is_empty() { Taken::Whole } else { Taken::Partly })
    }

    /// True if nothing is left of it.
    fn write_pending(&self, pending: &mut Vec<u8>) -> std::io::Result<bool> {
        let taken = self.write(pending)?;
        pending.drain(..taken);
        Ok(pending.is_empty())
    }

    /// How many bytes the kernel took.
    fn write(&self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            match (&self.stream).write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                result => return result,
            }
        }
    }
}

/// Waits until at least one of the sockets takes more, or the time is over; says which do.
fn wait_writable<'a>(
    senders: impl Iterator<Item = (usize, &'a Sender)>,
    timeout_ns: u64,
    ready: &mut Vec<usize>,
) {
    let (indexes, mut fds): (Vec<_>, Vec<_>) = senders
        .map(|(index, sender)| (index, PollFd::new(&sender.outlet.stream, PollFlags::OUT)))
        .unzip();
    if fds.is_empty() {
        return;
    }
    // An interrupted wait is only a shorter one.
    let _interrupted = poll(&mut fds, Some(&timespec(timeout_ns)));
    let writable = indexes.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
    ready.extend(writable.map(|(index, _)| *index));
}
