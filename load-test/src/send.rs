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
use std::sync::Arc;

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
    sent: Sent,
}

struct Sender {
    stream: Arc<TcpStream>,
    /// A line of which the kernel has taken a part, and how much of it.
    line: Vec<u8>,
    taken: usize,
    /// Lines after it; those of the scenario bound them.
    waiting: VecDeque<Due>,
    closed: bool,
}

/// Sends the whole schedule, then tells the receivers until when to wait. `streams` has one socket
/// per sender, in the order of their ids. Ends early when the server has closed all clients.
pub(crate) fn send_all(
    plan: &Plan,
    shared: &Shared,
    streams: Vec<Arc<TcpStream>>,
    start_ns: u64,
) -> Sent {
    let sender = |stream| Sender {
        stream,
        line: Vec::new(),
        taken: 0,
        waiting: VecDeque::new(),
        closed: false,
    };
    let mut sending = Sending {
        plan,
        shared,
        start_ns,
        senders: streams.into_iter().map(sender).collect(),
        text: Vec::new(),
        sent: Sent { lag: Durations::new(), deferred: 0, unsent: 0 },
    };
    for due in plan.schedule() {
        sending.wait_until(start_ns + due.after_ns);
        sending.send(due);
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

    fn send(&mut self, due: Due) {
        let sender = &mut self.senders[due.sender as usize];
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
            self.flush(due.sender as usize, u64::MAX);
        }
        let sender = &self.senders[due.sender as usize];
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
        let Self { plan, shared, start_ns, senders, text, .. } = self;
        let sender = &mut senders[sender];
        while sender.finish_line()
            && let Some(due) = sender.waiting.front()
        {
            let sent_ns = now_ns();
            let of_sender = plan.sender(due.sender).expect("it is in the schedule");
            let line = plan.line(of_sender, due.seq).expect("it is in the schedule");
            shared.written.set(line.index, sent_ns);
            let header = Header {
                run: plan.scenario.run,
                sender: due.sender,
                seq: due.seq,
                intended_ns: *start_ns + due.after_ns,
                sent_ns,
            };
            text.clear();
            write_text(text, header, due.size);
            sender.line.clear();
            plan.scenario.protocol.say(&mut sender.line, text);
            sender.taken = 0;
            if !sender.begin_line() || sent_ns >= instant_ns {
                return;
            }
        }
    }
}

impl Sender {
    fn is_idle(&self) -> bool {
        self.closed || (self.line.len() == self.taken && self.waiting.is_empty())
    }

    /// Writes the rest of a line that was begun. False if not all of it went.
    fn finish_line(&mut self) -> bool {
        if self.taken < self.line.len() {
            self.taken += self.write();
        }
        self.taken == self.line.len() && !self.closed
    }

    /// Writes a new line, the first that waits. False if nothing of it went: it will have another
    /// stamp when it goes.
    fn begin_line(&mut self) -> bool {
        self.taken = self.write();
        let begun = self.taken > 0;
        if begun {
            self.waiting.pop_front();
        } else {
            self.line.clear();
        }
        begun
    }

    /// How many bytes of the line the kernel took.
    fn write(&mut self) -> usize {
        loop {
            match (&*self.stream).write(&self.line[self.taken..]) {
                Ok(taken) => return taken,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return 0,
                Err(_) => {
                    self.closed = true;
                    return 0;
                }
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
        .map(|(index, sender)| (index, PollFd::new(&*sender.stream, PollFlags::OUT)))
        .unzip();
    if fds.is_empty() {
        return;
    }
    // An interrupted wait is only a shorter one.
    let _interrupted = poll(&mut fds, Some(&timespec(timeout_ns)));
    let writable = indexes.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
    ready.extend(writable.map(|(index, _)| *index));
}
