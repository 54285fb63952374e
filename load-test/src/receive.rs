//! A thread that connects its share of the clients and then reads: it moves bytes, asks `protocol`
//! and `wire` what they are, `audit` whether they are right, and records how long they took. One
//! buffer serves all connections, one look at the clock serves all lines of a read. It writes only
//! what brings a client to its room and out of it.
//!
//! Epoll reports edges (mio), so a socket is read until a read is short; one that the server has
//! closed is read to its end.

mod connect;
mod lag;
mod moves;
mod plain;

pub(crate) use connect::loopback_address;

use crate::audit::{Audit, Expected, Faults, Span, Totals, Where};
use crate::clock::{duration_ns, now_ns};
use crate::limits::{
    CLOSED_ROWS_MAX, EVENTS_MAX, LAST_WORDS_AGE_MAX, READ_LEN, REASON_LEN_MAX, REASONS_MAX,
};
use crate::middle::Kept;
use crate::protocol::{Decoder, Item};
use crate::report::{Churn, ClosedClient};
use crate::scenario::{Conduct, Line, Plan, Sender};
use crate::send::Outlet;
use crate::session::Shared;
use crate::stats::{Deliveries, Durations};
use crate::timeline::Arrivals;
use crate::wire::{Header, Parsed, parse};
use crate::{Failure, failed};
use lag::Pace;
use mio::event::Event;
use mio::{Events, Poll, Token};
use moves::Moves;
use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Why a connection ended of which the server said nothing.
const END: &str = "the server closed the connection";
/// The token of the waker; connections have their index.
pub(crate) const WAKER: Token = Token(usize::MAX);

/// What the thread leaves behind.
pub(crate) struct Received {
    /// One for each group, without those who lag.
    pub(crate) deliveries: Vec<Deliveries>,
    /// Of those who lag, by the group they are in.
    pub(crate) lagging: BTreeMap<usize, Deliveries>,
    pub(crate) totals: Totals,
    /// By the client's number in the plan.
    pub(crate) faults: HashMap<Where, Faults>,
    /// Clients that the server closed, by the reason it gave.
    pub(crate) closed: BTreeMap<String, u64>,
    /// Who they were, slow readers left out; the first so many.
    pub(crate) closed_clients: Vec<ClosedClient>,
    /// From a request for a room to its answer, of those who returned.
    pub(crate) join: Durations,
    /// What those did who leave and return.
    pub(crate) churn: Churn,
    pub(crate) kept: Kept,
    /// The connections, so that none ends before all threads are done.
    pub(crate) _outlets: Vec<Arc<Outlet>>,
}

/// What the thread tells when all its clients are welcome.
pub(crate) struct Ready {
    /// From connect to the welcome.
    pub(crate) connect: Durations,
    /// From the request for a room to its answer.
    pub(crate) join: Durations,
    /// How late connections began, where each had its instant.
    pub(crate) connect_lag: Durations,
    /// The sockets of those who send, with the sender's id.
    pub(crate) senders: Vec<(u32, Arc<Outlet>)>,
}

/// A thread's part of the clients: every `threads`th, from `thread` on.
pub(crate) struct Receiver {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    target: SocketAddr,
    thread: usize,
    poll: Poll,
    buffer: Vec<u8>,
    clients: Vec<Client>,
    /// How many clients this thread is to have.
    share: usize,
    ready_count: usize,
    begun_ns: u64,
    connect: Durations,
    connect_lag: Durations,
    /// Since when there is room for one more connection in flight; none while there is not.
    room_since_ns: Option<u64>,
    join: Durations,
    /// All clients have been where they should be.
    connected: bool,
    audit: Audit,
    /// Everything was sent.
    over: bool,
    /// Deliveries still to come after that.
    awaited: u64,
    deliveries: Vec<Deliveries>,
    lagging: BTreeMap<usize, Deliveries>,
    closed: BTreeMap<String, u64>,
    closed_clients: Vec<ClosedClient>,
    moves: Moves,
    churn: Churn,
    paces: Vec<Pace>,
    /// What a client says comes back to it: no delivery, and no fault.
    hears_itself: bool,
    arrivals: Arrivals,
    /// Where it takes several processes to find the middle receiver, and they can.
    kept: Option<Kept>,
}

struct Client {
    outlet: Arc<Outlet>,
    decoder: Decoder,
    conduct: Conduct,
    phase: Phase,
    /// The server has closed the connection; the phase is that of before.
    closed: bool,
    /// When it asked for what the phase waits for.
    asked_ns: u64,
    /// When it read that it is in its room; 0 for the first time, which is before the first line.
    joined_ns: u64,
    /// What the server said, if nothing has come since, and when.
    said: Vec<u8>,
    said_ns: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It is to speak first, and is not connected yet.
    Silent,
    /// It has not been let in.
    Connecting,
    /// It has asked for its room and has had no answer.
    Joining,
    Ready,
    /// It has asked to leave its room and has had no answer.
    Leaving,
    /// It has left, and is still connected.
    Away,
    /// It has left by closing its connection.
    Gone,
}

impl Receiver {
    pub(crate) fn new(
        plan: Arc<Plan>,
        shared: Arc<Shared>,
        target: SocketAddr,
        thread: usize,
        poll: Poll,
    ) -> Self {
        let threads = plan.scenario.threads;
        let clients = || (thread..plan.client_count as usize).step_by(threads).map(client_number);
        Self {
            audit: Audit::new(clients().map(|client| plan.senders_heard(client))),
            share: clients().count(),
            deliveries: vec![Deliveries::new(); plan.scenario.groups.len()],
            lagging: BTreeMap::new(),
            closed: BTreeMap::new(),
            closed_clients: Vec::new(),
            moves: Moves::new(&plan, thread),
            churn: Churn::default(),
            paces: Vec::new(),
            hears_itself: plan.scenario.protocol.hears_itself(),
            arrivals: Arrivals::new(Arc::clone(&shared.timeline)),
            kept: shared.keeps.then(Kept::default),
            target,
            thread,
            poll,
            buffer: vec![0; READ_LEN],
            clients: Vec::new(),
            ready_count: 0,
            begun_ns: now_ns(),
            connect: Durations::new(),
            connect_lag: Durations::new(),
            room_since_ns: None,
            join: Durations::new(),
            connected: false,
            over: false,
            awaited: 0,
            plan,
            shared,
        }
    }

    /// Reads until every line has come or the time after the last one is over.
    pub(crate) fn receive_all(mut self) -> Result<Received, Failure> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        self.set_paces();
        loop {
            let deadline_ns = self.shared.deadline_ns();
            if deadline_ns != u64::MAX && !self.over {
                self.over = true;
                self.awaited = (0..self.clients.len()).map(|index| self.outstanding(index)).sum();
            }
            let done = self.over && (self.awaited == 0 || now_ns() >= deadline_ns);
            let until_ns = deadline_ns.min(self.next_turn_ns());
            self.wait(&mut events, if done { 0 } else { until_ns })?;
            // Done, but what has already arrived is still looked at: it may be a second copy.
            if done && events.is_empty() {
                return Ok(self.finish());
            }
            for event in &events {
                self.on_event(event)?;
            }
            self.take_turns()?;
            if self.shared.past(deadline_ns) {
                return Ok(self.finish());
            }
        }
    }

    /// When the next of those who move or lag has something to do.
    fn next_turn_ns(&self) -> u64 {
        let Some(start_ns) = self.shared.start_ns() else { return u64::MAX };
        let next_read_ns = self.paces.iter().map(Pace::next_ns).min().unwrap_or(u64::MAX);
        self.moves.next_ns(start_ns, self.over).min(next_read_ns)
    }

    fn take_turns(&mut self) -> Result<(), Failure> {
        if self.paces.is_empty() && self.moves.is_empty() {
            return Ok(());
        }
        let Some(start_ns) = self.shared.start_ns() else { return Ok(()) };
        self.move_members(start_ns)?;
        self.read_slowly()
    }

    fn wait(&mut self, events: &mut Events, until_ns: u64) -> Result<(), Failure> {
        let timeout = match until_ns {
            u64::MAX => None,
            until_ns => Some(Duration::from_nanos(until_ns.saturating_sub(now_ns()))),
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(failed("epoll", &error)),
            _ => Ok(()),
        }
    }

    fn on_event(&mut self, event: &Event) -> Result<(), Failure> {
        let index = match event.token() {
            WAKER => return Ok(()),
            Token(index) => index,
        };
        let speaks = self.clients[index].phase == Phase::Silent;
        if speaks && event.is_writable() && !event.is_error() {
            self.say_hello(index)?;
        }
        let to_the_end = event.is_read_closed() || event.is_error();
        let client = &self.clients[index];
        let lags = client.conduct == Conduct::Lags && client.phase == Phase::Ready;
        if client.phase == Phase::Gone || (lags && !to_the_end) {
            return Ok(());
        }
        // Taken out for the time of the call, so that lines can be handed to `self`.
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.read(index, &mut buffer, to_the_end);
        self.buffer = buffer;
        result
    }

    fn read(&mut self, index: usize, buffer: &mut [u8], to_the_end: bool) -> Result<(), Failure> {
        while !self.clients[index].closed {
            match (&self.clients[index].outlet.stream).read(buffer) {
                Ok(0) => return self.on_closed(index, END),
                Ok(len) => {
                    self.on_bytes(index, &buffer[..len])?;
                    if len < buffer.len() && !to_the_end {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.on_closed(index, &connect::why(&error)),
            }
        }
        Ok(())
    }

    /// Reads once, if there is something.
    fn read_once(&mut self, index: usize, buffer: &mut [u8]) -> Result<(), Failure> {
        if self.clients[index].closed {
            return Ok(());
        }
        match (&self.clients[index].outlet.stream).read(buffer) {
            Ok(0) => self.on_closed(index, END),
            Ok(len) => self.on_bytes(index, &buffer[..len]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(())
            }
            Err(error) => self.on_closed(index, &connect::why(&error)),
        }
    }

    fn on_bytes(&mut self, index: usize, bytes: &[u8]) -> Result<(), Failure> {
        let now_ns = now_ns();
        // Taken out for the time of the call, so that items can be handed to `self`.
        let vacant = self.plan.scenario.protocol.decoder();
        let mut decoder = std::mem::replace(&mut self.clients[index].decoder, vacant);
        let mut result = Ok(());
        decoder.feed(bytes, |item| {
            if result.is_ok() {
                result = self.on_item(index, item, now_ns);
            }
        });
        self.clients[index].decoder = decoder;
        result
    }

    fn on_item(&mut self, index: usize, item: Item<'_>, now_ns: u64) -> Result<(), Failure> {
        match item {
            Item::Text(text) => self.on_text(index, text, now_ns),
            Item::Corrupted => self.on_corrupted(index),
            Item::Done => return self.on_done(index, now_ns),
            Item::Refused(why) => {
                let why = format!("refused: {}", readable(why));
                return self.on_closed(index, &why);
            }
            Item::Answer(words) => return self.ask(index, words),
            Item::Notice(words) => {
                let client = &mut self.clients[index];
                client.said_ns = now_ns;
                client.said.clear();
                client.said.extend_from_slice(&words[..words.len().min(REASON_LEN_MAX)]);
            }
        }
        Ok(())
    }

    /// What the client asked for last has happened.
    fn on_done(&mut self, index: usize, now_ns: u64) -> Result<(), Failure> {
        match self.clients[index].phase {
            Phase::Connecting => {
                let waited_ns = now_ns.saturating_sub(self.clients[index].asked_ns);
                self.connect.record(waited_ns);
                self.shared.timeline.clients.fetch_add(1, Ordering::Relaxed);
                return self.enter_room(index, now_ns);
            }
            Phase::Joining => {
                let waited_ns = now_ns.saturating_sub(self.clients[index].asked_ns);
                self.join.record(waited_ns);
                self.on_joined(index, now_ns);
            }
            Phase::Leaving => self.on_left(index, now_ns, Phase::Away),
            Phase::Silent | Phase::Ready | Phase::Away | Phase::Gone => {}
        }
        Ok(())
    }

    fn on_text(&mut self, index: usize, text: &[u8], now_ns: u64) {
        let client = &mut self.clients[index];
        client.said.clear();
        let phase = client.phase;
        if self.is_early(index) {
            return;
        }
        let header = match parse(text) {
            Parsed::Line(header) => header,
            Parsed::Other => return,
            Parsed::Corrupted => return self.on_corrupted(index),
        };
        if self.hears_itself && self.is_own(index, &header) {
            return;
        }
        let line = self.line_of_room(index, &header);
        match (phase, line) {
            (Phase::Ready | Phase::Joining | Phase::Leaving, Some((sender, line))) => {
                self.on_line(index, sender, line, &header, now_ns);
            }
            // It is where everybody starts, who may say what they want.
            (Phase::Joining | Phase::Away, None) => {}
            _ => self.audit.on_foreign(index, header.sender),
        }
    }

    fn is_own(&self, index: usize, header: &Header) -> bool {
        let sender = self.plan.sender(header.sender);
        header.run == self.plan.scenario.run
            && sender.is_some_and(|sender| sender.client == self.number(index))
    }

    /// The line, if it is one that somebody else says in the client's room.
    fn line_of_room(&self, index: usize, header: &Header) -> Option<(Sender, Line)> {
        let client = self.number(index);
        let sender = *self.plan.sender(header.sender)?;
        let own = header.run == self.plan.scenario.run
            && sender.client != client
            && sender.room == self.plan.room(client);
        Some((sender, self.plan.line(&sender, header.seq).filter(|_| own)?))
    }

    fn on_line(&mut self, index: usize, sender: Sender, line: Line, header: &Header, now_ns: u64) {
        if !self.audit.on_line(index, sender.cell, header.sender, header.seq) {
            return;
        }
        let latency_ns = now_ns.saturating_sub(header.intended_ns);
        let conduct = self.clients[index].conduct;
        let deliveries = if conduct == Conduct::Lags {
            let group = self.plan.group(self.number(index));
            self.lagging.entry(group).or_insert_with(Deliveries::new)
        } else {
            self.awaited = self.awaited.saturating_sub(1);
            &mut self.deliveries[sender.group]
        };
        if line.measured {
            deliveries.count += 1;
            deliveries.latency.record(latency_ns);
            deliveries.uncorrected.record(now_ns.saturating_sub(header.sent_ns));
            if conduct != Conduct::Lags {
                self.arrivals.record(now_ns, latency_ns);
            }
        }
        if matches!(conduct, Conduct::Talks | Conduct::Listens) {
            let arrival = self.shared.reach.add(line.index, latency_ns);
            if line.measured {
                let receivers = self.plan.steady_receivers(&sender);
                deliveries.record_arrival(arrival, receivers, latency_ns);
                if let Some(kept) = &mut self.kept {
                    kept.push(line.index, latency_ns);
                }
            }
        }
    }

    fn on_corrupted(&mut self, index: usize) {
        if !self.is_early(index) {
            self.awaited = self.awaited.saturating_sub(1);
            self.audit.on_corrupted(index);
        }
    }

    /// Whether the client is not yet where it should be, and has not been: what it hears there is
    /// not of this run.
    fn is_early(&self, index: usize) -> bool {
        match self.clients[index].phase {
            Phase::Silent | Phase::Connecting => true,
            Phase::Joining => !self.connected,
            Phase::Ready | Phase::Leaving | Phase::Away | Phase::Gone => false,
        }
    }

    fn on_closed(&mut self, index: usize, why: &str) -> Result<(), Failure> {
        let client = &self.clients[index];
        let age_ns = now_ns().saturating_sub(client.said_ns);
        let said = !client.said.is_empty() && age_ns <= duration_ns(LAST_WORDS_AGE_MAX);
        let reason = if said { readable(&client.said) } else { why.to_owned() };
        if !self.connected && client.phase != Phase::Ready {
            let client = self.number(index);
            return Err(Failure::Run(format!("client {client} was not let in: {reason}")));
        }
        if self.over {
            self.awaited = self.awaited.saturating_sub(self.outstanding(index));
        }
        if !matches!(client.phase, Phase::Silent | Phase::Connecting | Phase::Gone) {
            self.shared.timeline.clients.fetch_sub(1, Ordering::Relaxed);
        }
        self.count_closed(index, reason);
        self.clients[index].closed = true;
        self.shared.closed();
        Ok(())
    }

    /// Slow readers are closed by many servers, and rightly: that is no fault.
    fn count_closed(&mut self, index: usize, mut reason: String) {
        if self.clients[index].conduct == Conduct::Lags {
            reason.push_str(" (slow reader)");
        } else {
            self.audit.on_closed(index);
            self.list_closed(index, &reason);
        }
        if self.closed.len() >= REASONS_MAX && !self.closed.contains_key(&reason) {
            reason = "other reasons".into();
        }
        *self.closed.entry(reason).or_default() += 1;
    }

    fn list_closed(&mut self, index: usize, reason: &str) {
        if self.closed_clients.len() < CLOSED_ROWS_MAX {
            let client = self.number(index);
            let group = &self.plan.scenario.groups[self.plan.group(client)];
            self.closed_clients.push(ClosedClient {
                client,
                room: self.plan.room(client),
                group: group.name.clone(),
                reason: reason.into(),
            });
        }
    }

    /// What a client should still get, now that everything is sent.
    fn outstanding(&self, index: usize) -> u64 {
        let client = &self.clients[index];
        let waits = client.phase == Phase::Ready && client.conduct != Conduct::Lags;
        if waits && !client.closed {
            self.audit.outstanding(index, self.spans_to_the_end(index))
        } else {
            0
        }
    }

    /// Of a client who stays to the end of the run.
    fn spans_to_the_end(&self, index: usize) -> impl Iterator<Item = Span> {
        let joined_ns = self.clients[index].joined_ns;
        self.heard(index).map(move |Expected { cell, sender, lines }| Span {
            cell,
            sender,
            first: self.written_until(sender, lines, joined_ns),
            end: lines,
            sent: lines,
        })
    }

    /// Of a client who had read at `joined_ns` that it was in its room, has asked at `asked_ns` to
    /// leave it, and was out of it at `left_ns`.
    fn spans_between(
        &self,
        index: usize,
        joined_ns: u64,
        asked_ns: u64,
        left_ns: u64,
    ) -> impl Iterator<Item = Span> {
        let old_ns = left_ns.saturating_sub(duration_ns(self.plan.scenario.grace));
        self.heard(index).map(move |Expected { cell, sender, lines }| Span {
            cell,
            sender,
            first: self.written_until(sender, lines, joined_ns),
            end: self.written_until(sender, lines, old_ns),
            sent: self.written_until(sender, lines, asked_ns),
        })
    }

    fn heard(&self, index: usize) -> impl Iterator<Item = Expected> {
        self.plan.expected(self.number(index))
    }

    fn written_until(&self, sender: u32, lines: u32, at_ns: u64) -> u32 {
        let sender = self.plan.sender(sender).expect("it is in the plan");
        self.shared.written.until(&self.plan, sender, lines, at_ns)
    }

    fn finish(mut self) -> Received {
        let now_ns = now_ns();
        self.arrivals.hand_over();
        let mut audit = std::mem::replace(&mut self.audit, Audit::new(std::iter::empty()));
        for (index, client) in self.clients.iter().enumerate() {
            match (client.conduct, client.phase) {
                (Conduct::Lags, _) => audit.settle_slow(index),
                (_, Phase::Ready) => audit.settle(index, self.spans_to_the_end(index)),
                (_, Phase::Leaving) => {
                    let Client { joined_ns, asked_ns, .. } = *client;
                    audit.settle(index, self.spans_between(index, joined_ns, asked_ns, now_ns));
                }
                // It may have got lines before it read that it was in the room; it need not.
                (_, Phase::Joining) => {
                    audit.settle(index, self.spans_between(index, u64::MAX, 0, 0));
                }
                (_, Phase::Silent | Phase::Connecting | Phase::Away | Phase::Gone) => {}
            }
        }
        let Self { plan, clients, thread, .. } = self;
        let threads = plan.scenario.threads;
        let number = |index: usize| client_number(thread + index * threads);
        let (totals, faults) = audit.finish();
        let global = |(at, faults): (Where, _)| {
            (Where { receiver: number(at.receiver) as usize, ..at }, faults)
        };
        Received {
            deliveries: self.deliveries,
            lagging: self.lagging,
            totals,
            faults: faults.into_iter().map(global).collect(),
            closed: self.closed,
            closed_clients: self.closed_clients,
            join: self.join,
            churn: self.churn,
            kept: self.kept.unwrap_or_default(),
            _outlets: clients.into_iter().map(|client| client.outlet).collect(),
        }
    }

    /// The client's number in the plan.
    fn number(&self, index: usize) -> u32 {
        client_number(self.thread + index * self.plan.scenario.threads)
    }
}

/// A server's words on one line of plain characters.
fn readable(words: &[u8]) -> String {
    String::from_utf8_lossy(words).escape_debug().to_string()
}

fn client_number(number: usize) -> u32 {
    u32::try_from(number).expect("bounded by CLIENTS_MAX")
}
