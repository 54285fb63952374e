//! The thread that sends: every line at its instant, on the sockets of the senders, which the
//! receiving threads own and only read. A send never waits; what the kernel did not take is kept
//! and goes out first when the socket takes more, while the schedule runs on.

use crate::clock::{duration_ns, now_ns, sleep_until, timespec};
use crate::scenario::{Due, Plan};
use crate::session::Shared;
use crate::stats::Durations;
use crate::wire::{Header, write_text};
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// What the sending thread saw.
pub(crate) struct Sent {
    /// From the instant a measured line was due to its write.
    pub(crate) lag: Durations,
    /// Lines the kernel did not take whole at once.
    pub(crate) deferred: u64,
    /// Lines not sent because the sender's connection was closed.
    pub(crate) unsent: u64,
}

struct Sender {
    stream: Arc<TcpStream>,
    /// Bytes the kernel has not taken yet; the lines of the scenario bound it.
    pending: Vec<u8>,
    closed: bool,
}

/// Sends the whole schedule, then tells the receivers until when to wait. `streams` has one socket
/// per sender, in the order of their ids.
pub(crate) fn send_all(
    plan: &Plan,
    shared: &Shared,
    streams: Vec<Arc<TcpStream>>,
    start_ns: u64,
) -> Sent {
    let sender = |stream| Sender { stream, pending: Vec::new(), closed: false };
    let mut senders: Vec<_> = streams.into_iter().map(sender).collect();
    let mut sent = Sent { lag: Durations::new(), deferred: 0, unsent: 0 };
    let (mut text, mut line) = (Vec::new(), Vec::new());
    for due in plan.schedule() {
        let intended_ns = start_ns + due.after_ns;
        flush_until(&mut senders, intended_ns);
        sleep_until(intended_ns);
        let sender = &mut senders[due.sender as usize];
        if sender.closed {
            sent.unsent += 1;
            continue;
        }
        let sent_ns = now_ns();
        text.clear();
        write_text(&mut text, header(plan, due, intended_ns, sent_ns), due.size);
        line.clear();
        plan.scenario.protocol.say(&mut line, &text);
        sender.send(&line, &mut sent.deferred);
        if due.measured {
            sent.lag.record(sent_ns.saturating_sub(intended_ns));
        }
    }
    // Those who only listen are there for the whole time, too.
    let end_ns = start_ns + duration_ns(plan.scenario.warmup + plan.scenario.duration);
    flush_until(&mut senders, end_ns);
    sleep_until(end_ns);
    let deadline_ns = now_ns() + duration_ns(plan.scenario.grace);
    shared.sending_over(deadline_ns);
    flush_until(&mut senders, deadline_ns);
    sent
}

fn header(plan: &Plan, due: Due, intended_ns: u64, sent_ns: u64) -> Header {
    Header { run: plan.scenario.run, sender: due.sender, seq: due.seq, intended_ns, sent_ns }
}

impl Sender {
    fn send(&mut self, line: &[u8], deferred: &mut u64) {
        let taken = if self.pending.is_empty() { self.write(line) } else { 0 };
        if taken < line.len() && !self.closed {
            *deferred += 1;
            self.pending.extend_from_slice(&line[taken..]);
        }
    }

    fn waits(&self) -> bool {
        !self.pending.is_empty() && !self.closed
    }

    fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let taken = self.write(&pending);
        self.pending = pending;
        self.pending.drain(..taken);
    }

    /// How many bytes the kernel took.
    fn write(&mut self, bytes: &[u8]) -> usize {
        loop {
            match (&*self.stream).write(bytes) {
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

/// Writes what was kept, until nothing is or the instant comes.
fn flush_until(senders: &mut [Sender], instant_ns: u64) {
    loop {
        let mut waiting: Vec<_> = senders.iter_mut().filter(|sender| sender.waits()).collect();
        let left_ns = instant_ns.saturating_sub(now_ns());
        if waiting.is_empty() || left_ns == 0 {
            return;
        }
        wait_writable(&waiting, left_ns);
        waiting.iter_mut().for_each(|sender| sender.flush());
    }
}

fn wait_writable(waiting: &[&mut Sender], timeout_ns: u64) {
    let mut fds: Vec<_> =
        waiting.iter().map(|sender| PollFd::new(&*sender.stream, PollFlags::OUT)).collect();
    // An interrupted wait is only a shorter one.
    let _interrupted = poll(&mut fds, Some(&timespec(timeout_ns)));
}
