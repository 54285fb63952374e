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
use std::sync::{Arc, Mutex, PoisonError};

/// What the sending thread saw.
pub(crate) struct Sent {
    /// From the instant a measured line was due to its write.
    pub(crate) lag: Durations,
    /// Lines the kernel did not take whole at once.
    pub(crate) deferred: u64,
    /// Lines not sent because the sender's connection was closed.
    pub(crate) unsent: u64,
}

/// The writing half of a connection, for the thread that sends and the one that reads, which has
/// answers to write: what the one began, the other must not cut in two.
pub(crate) struct Outlet {
    pub(crate) stream: TcpStream,
    /// Bytes the kernel has not taken yet; the lines of the scenario bound it.
    pending: Mutex<Vec<u8>>,
}

struct Sender {
    outlet: Arc<Outlet>,
    room: String,
    /// Of the last line a part was kept.
    waits: bool,
    closed: bool,
}

/// Sends the whole schedule, then tells the receivers until when to wait. `outlets` has one for
/// each sender, in the order of their ids.
pub(crate) fn send_all(
    plan: &Plan,
    shared: &Shared,
    outlets: Vec<Arc<Outlet>>,
    start_ns: u64,
) -> Sent {
    let rooms = plan.senders().iter().map(|sender| plan.room_name(sender.client));
    let rooms = rooms.map(Option::unwrap_or_default);
    let sender = |(outlet, room)| Sender { outlet, room, waits: false, closed: false };
    let mut senders: Vec<_> = outlets.into_iter().zip(rooms).map(sender).collect();
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
        plan.scenario.protocol.say(&mut line, &sender.room, &text);
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

impl Outlet {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, pending: Mutex::default() }
    }

    /// Writes what was kept and then this; keeps what the kernel does not take. True if nothing is
    /// kept.
    pub(crate) fn send(&self, bytes: &[u8]) -> std::io::Result<bool> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if !pending.is_empty() {
            let taken = self.write(&pending)?;
            pending.drain(..taken);
        }
        let taken = if pending.is_empty() { self.write(bytes)? } else { 0 };
        pending.extend_from_slice(&bytes[taken..]);
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

impl Sender {
    fn send(&mut self, line: &[u8], deferred: &mut u64) {
        self.pass_on(line);
        *deferred += u64::from(self.waits);
    }

    fn flush(&mut self) {
        self.pass_on(b"");
    }

    fn pass_on(&mut self, bytes: &[u8]) {
        let sent = self.outlet.send(bytes);
        self.waits = matches!(sent, Ok(false));
        self.closed = sent.is_err();
    }
}

/// Writes what was kept, until nothing is or the instant comes.
fn flush_until(senders: &mut [Sender], instant_ns: u64) {
    loop {
        let mut waiting: Vec<_> = senders.iter_mut().filter(|sender| sender.waits).collect();
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
        waiting.iter().map(|sender| PollFd::new(&sender.outlet.stream, PollFlags::OUT)).collect();
    // An interrupted wait is only a shorter one.
    let _interrupted = poll(&mut fds, Some(&timespec(timeout_ns)));
}
