//! A thread that connects its share of the clients and then reads: it moves bytes, asks `protocol`
//! and `wire` what they are, `audit` whether they are right, and records how long they took. One
//! buffer serves all connections, one look at the clock serves all lines of a read. It writes only
//! what brings a client to its room.
//!
//! Epoll reports edges (mio), so a socket is read until a read is short; one that the server has
//! closed is read to its end.

use crate::audit::{Audit, Faults, Totals, Where};
use crate::clock::now_ns;
use crate::limits::{CLIENTS_PER_ADDRESS_MAX, CLIENTS_PER_BOUND_ADDRESS_MAX, EVENTS_MAX, READ_LEN};
use crate::protocol::{Decoder, Item};
use crate::scenario::Plan;
use crate::session::Shared;
use crate::stats::{Deliveries, Durations};
use crate::timeline::Arrivals;
use crate::wire::{Parsed, parse};
use crate::{Failure, failed};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol as Transport, Socket, Type};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The token of the waker; connections have their index.
pub(crate) const WAKER: Token = Token(usize::MAX);

/// What the thread leaves behind.
pub(crate) struct Received {
    /// One for each group.
    pub(crate) deliveries: Vec<Deliveries>,
    pub(crate) totals: Totals,
    /// By the client's number in the plan.
    pub(crate) faults: HashMap<Where, Faults>,
    /// The connections, so that none ends before all threads are done.
    pub(crate) _streams: Vec<Arc<TcpStream>>,
}

/// What the thread tells when all its clients are welcome.
pub(crate) struct Ready {
    /// From connect to the welcome, or to the answer of those who ask for a room.
    pub(crate) connect: Durations,
    /// The sockets of those who send, with the sender's id.
    pub(crate) senders: Vec<(u32, Arc<TcpStream>)>,
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
    audit: Audit,
    /// Deliveries still to come.
    awaited: u64,
    deliveries: Vec<Deliveries>,
    arrivals: Arrivals,
}

struct Client {
    stream: Arc<TcpStream>,
    phase: Phase,
    decoder: Decoder,
    connect_ns: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It has not been let in.
    Connecting,
    /// It has asked for its room and has had no answer.
    Joining,
    Ready,
    Closed,
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
        let awaited_by = |client| expected_lines(&plan, client);
        let awaited = clients().map(awaited_by).sum();
        Self {
            audit: Audit::new(clients().map(|client| plan.senders_heard(client))),
            share: clients().count(),
            deliveries: vec![Deliveries::new(); plan.scenario.groups.len()],
            arrivals: Arrivals::new(Arc::clone(&shared.timeline)),
            target,
            thread,
            poll,
            buffer: vec![0; READ_LEN],
            clients: Vec::new(),
            ready_count: 0,
            begun_ns: now_ns(),
            connect: Durations::new(),
            awaited,
            plan,
            shared,
        }
    }

    /// Connects all clients; returns when each is where it should be.
    pub(crate) fn connect_all(&mut self) -> Result<Ready, Failure> {
        let timeout_ns = crate::clock::duration_ns(self.plan.scenario.connect.timeout);
        let deadline_ns = self.begun_ns + timeout_ns;
        let mut events = Events::with_capacity(EVENTS_MAX);
        while self.ready_count < self.share {
            let next_ns = self.begin_connections()?.min(deadline_ns);
            self.wait(&mut events, next_ns)?;
            for event in &events {
                self.on_event(event)?;
            }
            if now_ns() >= deadline_ns {
                let ready = format!("{} of {}", self.ready_count, self.share);
                return Err(Failure::Run(format!("only {ready} clients were welcomed in time")));
            }
        }
        Ok(Ready { connect: self.connect.clone(), senders: self.senders() })
    }

    /// Reads until every line has come or the time after the last one is over.
    pub(crate) fn receive_all(mut self) -> Result<Received, Failure> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let deadline_ns = self.shared.deadline_ns();
            let over = deadline_ns != u64::MAX;
            let done = over && (self.awaited == 0 || now_ns() >= deadline_ns);
            self.wait(&mut events, if done { 0 } else { deadline_ns })?;
            // Done, but what has already arrived is still looked at: it may be a second copy.
            if done && events.is_empty() {
                return Ok(self.finish());
            }
            for event in &events {
                self.on_event(event)?;
            }
            if self.shared.past(deadline_ns) {
                return Ok(self.finish());
            }
        }
    }

    /// Begins what the rate and the number in flight allow. Returns when to look again.
    fn begin_connections(&mut self) -> Result<u64, Failure> {
        let connect = &self.plan.scenario.connect;
        let threads = self.plan.scenario.threads;
        let (rate, in_flight_max) = (u64::from(connect.rate), connect.in_flight as usize);
        let in_flight_max = in_flight_max.div_ceil(threads);
        while self.clients.len() < self.share {
            if self.clients.len() - self.ready_count >= in_flight_max {
                return Ok(u64::MAX);
            }
            let client = self.number(self.clients.len());
            let after_ns = (u64::from(client) * 1_000_000_000).checked_div(rate).unwrap_or(0);
            let due_ns = self.begun_ns + after_ns;
            if due_ns > now_ns() {
                return Ok(due_ns);
            }
            let begun = self.begin_connection(client);
            begun.map_err(|error| failed(&format!("client {client} cannot connect"), &error))?;
        }
        Ok(u64::MAX)
    }

    fn begin_connection(&mut self, client: u32) -> std::io::Result<()> {
        let socket =
            Socket::new(Domain::for_address(self.target), Type::STREAM, Some(Transport::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(source) = self.source(client) {
            socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into())?;
        }
        let connect_ns = now_ns();
        match socket.connect(&self.target.into()) {
            Err(error)
                if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
            {
                return Err(error);
            }
            _ => {}
        }
        let token = Token(self.clients.len());
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)?;
        self.clients.push(Client {
            stream: Arc::new(socket.into()),
            phase: Phase::Connecting,
            decoder: self.plan.scenario.protocol.decoder(),
            connect_ns,
        });
        Ok(())
    }

    /// The address to connect from. All of 127.0.0.0/8 is local, so on loopback more clients than
    /// one address has ports for are spread over several, elsewhere in each run: the ports of an
    /// earlier one may still be in TIME_WAIT.
    fn source(&self, client: u32) -> Option<Ipv4Addr> {
        let loopback = self.target.is_ipv4() && self.target.ip().is_loopback();
        let many = loopback && self.plan.client_count > CLIENTS_PER_ADDRESS_MAX;
        let chosen = self.plan.scenario.connect.source;
        let first = chosen.or_else(|| many.then(|| loopback_address(self.plan.scenario.run)))?;
        let addresses = self.plan.client_count.div_ceil(CLIENTS_PER_BOUND_ADDRESS_MAX);
        let offset = if first.is_loopback() { client % addresses } else { 0 };
        Some(Ipv4Addr::from_bits(first.to_bits() + offset))
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
        let to_the_end = event.is_read_closed() || event.is_error();
        // Taken out for the time of the call, so that lines can be handed to `self`.
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.read(index, &mut buffer, to_the_end);
        self.buffer = buffer;
        result
    }

    fn read(&mut self, index: usize, buffer: &mut [u8], to_the_end: bool) -> Result<(), Failure> {
        while self.clients[index].phase != Phase::Closed {
            match (&*self.clients[index].stream).read(buffer) {
                Ok(0) => return self.on_closed(index, "the server closed the connection"),
                Ok(len) => {
                    self.on_bytes(index, &buffer[..len])?;
                    if len < buffer.len() && !to_the_end {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.on_closed(index, &error.to_string()),
            }
        }
        Ok(())
    }

    fn on_bytes(&mut self, index: usize, bytes: &[u8]) -> Result<(), Failure> {
        let now_ns = now_ns();
        // Taken out for the time of the call, so that items can be handed to `self`.
        let vacant = self.plan.scenario.protocol.decoder();
        let mut decoder = std::mem::replace(&mut self.clients[index].decoder, vacant);
        let mut result = Ok(());
        decoder.feed(bytes, |item| {
            if self.clients[index].phase == Phase::Ready {
                self.on_item(index, item, now_ns);
            } else if result.is_ok() && item == Item::Done {
                result = self.on_welcome(index, now_ns);
            }
        });
        self.clients[index].decoder = decoder;
        result
    }

    /// A client was let in, or is in the room it asked for.
    fn on_welcome(&mut self, index: usize, now_ns: u64) -> Result<(), Failure> {
        let room = self.plan.room_name(self.number(index));
        let client = &mut self.clients[index];
        match (client.phase, room) {
            (Phase::Connecting, Some(room)) => {
                client.phase = Phase::Joining;
                let mut words = Vec::new();
                self.plan.scenario.protocol.enter(&mut words, &room);
                let asked = (&*client.stream).write_all(&words);
                return asked.map_err(|error| failed("joining a room", &error));
            }
            _ => {
                client.phase = Phase::Ready;
                self.ready_count += 1;
                self.shared.timeline.clients.fetch_add(1, Ordering::Relaxed);
                self.connect.record(now_ns.saturating_sub(client.connect_ns));
            }
        }
        Ok(())
    }

    fn on_item(&mut self, index: usize, item: Item<'_>, now_ns: u64) {
        let parsed = match item {
            Item::Text(text) => parse(text),
            Item::Corrupted => Parsed::Corrupted,
            Item::Done | Item::Notice(_) => return,
        };
        let header = match parsed {
            Parsed::Line(header) => header,
            Parsed::Other => return,
            Parsed::Corrupted => {
                self.awaited = self.awaited.saturating_sub(1);
                return self.audit.on_corrupted(index);
            }
        };
        let client = self.number(index);
        let sender = self.plan.sender(header.sender).copied();
        let ours = sender.filter(|sender| {
            header.run == self.plan.scenario.run
                && sender.client != client
                && sender.room == self.plan.room(client)
        });
        let line = ours.and_then(|sender| Some((sender, self.plan.line(&sender, header.seq)?)));
        let Some((sender, line)) = line else {
            return self.audit.on_foreign(index, header.sender);
        };
        if !self.audit.on_line(index, sender.cell, header.sender, header.seq) {
            return;
        }
        self.awaited = self.awaited.saturating_sub(1);
        let place = self.shared.arrivals[line.index].fetch_add(1, Ordering::Relaxed);
        if line.measured {
            let latency_ns = now_ns.saturating_sub(header.intended_ns);
            let deliveries = &mut self.deliveries[sender.group];
            deliveries.count += 1;
            deliveries.latency.record(latency_ns);
            self.arrivals.record(now_ns, latency_ns);
            deliveries.uncorrected.record(now_ns.saturating_sub(header.sent_ns));
            let receivers = self.plan.receivers(&sender);
            for (at, durations) in [
                (0, &mut deliveries.first),
                ((receivers - 1) / 2, &mut deliveries.median),
                (receivers - 1, &mut deliveries.last),
            ] {
                if place == at {
                    durations.record(latency_ns);
                }
            }
        }
    }

    fn on_closed(&mut self, index: usize, why: &str) -> Result<(), Failure> {
        let client = self.number(index);
        let phase = std::mem::replace(&mut self.clients[index].phase, Phase::Closed);
        if self.ready_count < self.share && phase != Phase::Ready {
            return Err(Failure::Run(format!("client {client} was not let in: {why}")));
        }
        self.audit.on_closed();
        self.shared.timeline.clients.fetch_sub(1, Ordering::Relaxed);
        let expected = expected_lines(&self.plan, client);
        let outstanding = expected.saturating_sub(self.audit.arrived(index));
        self.awaited = self.awaited.saturating_sub(outstanding);
        Ok(())
    }

    fn finish(mut self) -> Received {
        self.arrivals.hand_over();
        let Self { plan, audit, clients, deliveries, thread, .. } = self;
        let threads = plan.scenario.threads;
        let number = |index: usize| client_number(thread + index * threads);
        let (totals, faults) = audit.finish(|index| plan.expected(number(index)));
        let global = |(at, faults): (Where, _)| {
            (Where { receiver: number(at.receiver) as usize, ..at }, faults)
        };
        Received {
            deliveries,
            totals,
            faults: faults.into_iter().map(global).collect(),
            _streams: clients.into_iter().map(|client| client.stream).collect(),
        }
    }

    fn senders(&self) -> Vec<(u32, Arc<TcpStream>)> {
        let threads = self.plan.scenario.threads;
        let mine = |client: u32| client as usize % threads == self.thread;
        let stream = |client: u32| Arc::clone(&self.clients[client as usize / threads].stream);
        let senders = (0..).zip(self.plan.senders());
        let senders = senders.filter(|(_, sender)| mine(sender.client));
        senders.map(|(id, sender)| (id, stream(sender.client))).collect()
    }

    /// The client's number in the plan.
    fn number(&self, index: usize) -> u32 {
        client_number(self.thread + index * self.plan.scenario.threads)
    }
}

/// The first of 256 addresses in 127.0.0.0/8, chosen by the bits of `run`.
pub(crate) fn loopback_address(run: u32) -> Ipv4Addr {
    let [_, _, high, low] = run.to_be_bytes();
    Ipv4Addr::new(127, high.clamp(1, 254), low, 1)
}

fn expected_lines(plan: &Plan, client: u32) -> u64 {
    plan.expected(client).map(|each| u64::from(each.lines)).sum()
}

fn client_number(number: usize) -> u32 {
    u32::try_from(number).expect("bounded by CLIENTS_MAX")
}
