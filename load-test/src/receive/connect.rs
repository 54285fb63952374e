//! Connecting: as fast as the rate and the number in flight allow, from addresses that have ports.

use super::{Client, Phase, Ready, Receiver};
use crate::clock::{duration_ns, now_ns};
use crate::limits::{CLIENTS_PER_ADDRESS_MAX, EVENTS_MAX, LAG_BUFFER, SEND_BUFFER};
use crate::scenario::{Conduct, Scenario};
use crate::send::Outlet;
use crate::{Failure, failed};
use mio::unix::SourceFd;
use mio::{Events, Interest, Token};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{Error, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;

impl Receiver {
    /// Connects all clients; returns when each is where it should be.
    pub(crate) fn connect_all(&mut self) -> Result<Ready, Failure> {
        let deadline_ns = self.begun_ns + duration_ns(self.plan.scenario.connect.timeout);
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
        self.connected = true;
        let empty = crate::stats::Durations::new;
        Ok(Ready {
            connect: std::mem::replace(&mut self.connect, empty()),
            join: std::mem::replace(&mut self.join, empty()),
            connect_lag: std::mem::replace(&mut self.connect_lag, empty()),
            senders: self.senders(),
        })
    }

    /// Begins what the rate and the number in flight allow. Returns when to look again.
    fn begin_connections(&mut self) -> Result<u64, Failure> {
        let connect = &self.plan.scenario.connect;
        let threads = self.plan.scenario.threads;
        let (rate, in_flight_max) = (u64::from(connect.rate), connect.in_flight as usize);
        let in_flight_max = in_flight_max.div_ceil(threads);
        while self.clients.len() < self.share {
            if self.clients.len() - self.ready_count >= in_flight_max {
                self.room_since_ns = None;
                return Ok(u64::MAX);
            }
            let room_since_ns = *self.room_since_ns.get_or_insert_with(now_ns);
            let index = self.clients.len();
            let client = self.number(index);
            let after_ns = (u64::from(client) * 1_000_000_000).checked_div(rate).unwrap_or(0);
            let due_ns = self.begun_ns + after_ns;
            let now_ns = now_ns();
            if due_ns > now_ns {
                return Ok(due_ns);
            }
            if rate > 0 {
                // For what is in flight it waits for the server, which is no lateness of ours.
                self.connect_lag.record(now_ns - due_ns.max(room_since_ns).min(now_ns));
            }
            let begun = self.begin_connection(index);
            let begun = begun.map_err(|error| {
                failed(&format!("client {client} cannot connect"), &why(&error))
            })?;
            self.clients.push(begun);
        }
        Ok(u64::MAX)
    }

    /// The client of that index, which is connecting.
    pub(super) fn begin_connection(&self, index: usize) -> std::io::Result<Client> {
        let client = self.number(index);
        let conduct = self.plan.conduct(client);
        let socket =
            Socket::new(Domain::for_address(self.target), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match conduct {
            Conduct::Talks => socket.set_send_buffer_size(SEND_BUFFER)?,
            Conduct::Lags => socket.set_recv_buffer_size(LAG_BUFFER)?,
            Conduct::Listens | Conduct::Moves => {}
        }
        if let Some(source) = self.source(client) {
            socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into())?;
        }
        let asked_ns = now_ns();
        match socket.connect(&self.target.into()) {
            Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
        let speaks_first = self.plan.scenario.protocol.speaks_first();
        let writable = speaks_first.then_some(Interest::WRITABLE);
        let interest = writable.map_or(Interest::READABLE, |other| Interest::READABLE | other);
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&socket.as_raw_fd()), Token(index), interest)?;
        Ok(Client {
            outlet: Arc::new(Outlet::new(socket.into())),
            decoder: self.plan.scenario.protocol.decoder(),
            conduct,
            phase: if speaks_first { Phase::Silent } else { Phase::Connecting },
            closed: false,
            asked_ns,
            joined_ns: 0,
            said: Vec::new(),
            said_ns: 0,
        })
    }

    /// The connection is there.
    pub(super) fn say_hello(&mut self, index: usize) -> Result<(), Failure> {
        let mut words = Vec::new();
        let Scenario { protocol, run, .. } = self.plan.scenario;
        protocol.hello(&mut words, run, self.number(index));
        let client = &mut self.clients[index];
        client.phase = Phase::Connecting;
        let mut source = SourceFd(&client.outlet.stream.as_raw_fd());
        let registry = self.poll.registry();
        registry
            .reregister(&mut source, Token(index), Interest::READABLE)
            .map_err(|error| failed("epoll", &error))?;
        self.ask(index, &words)
    }

    /// A client was let in: it asks for its room, or is where it should be.
    pub(super) fn enter_room(&mut self, index: usize, now_ns: u64) -> Result<(), Failure> {
        let Some(room) = self.plan.room_name(self.number(index)) else {
            self.on_joined(index, now_ns);
            return Ok(());
        };
        let mut words = Vec::new();
        self.plan.scenario.protocol.enter(&mut words, &room);
        let client = &mut self.clients[index];
        client.phase = Phase::Joining;
        client.asked_ns = now_ns;
        self.ask(index, &words)
    }

    /// What cannot be sent need not be: the reading finds the connection's end.
    pub(super) fn ask(&mut self, index: usize, words: &[u8]) -> Result<(), Failure> {
        match self.clients[index].outlet.send(words) {
            Err(error) if !self.connected => Err(failed("the first words", &error)),
            _ => Ok(()),
        }
    }

    pub(super) fn on_joined(&mut self, index: usize, now_ns: u64) {
        let client = &mut self.clients[index];
        client.phase = Phase::Ready;
        if self.connected {
            client.joined_ns = now_ns;
            self.churn.returned += 1;
        } else {
            self.ready_count += 1;
        }
    }

    fn source(&self, client: u32) -> Option<Ipv4Addr> {
        let is_loopback = self.target.is_ipv4() && self.target.ip().is_loopback();
        let Scenario { connect, run, .. } = &self.plan.scenario;
        let local = is_loopback.then(|| loopback_address(*run));
        source(connect.source, local, client, self.plan.client_count)
    }

    fn senders(&self) -> Vec<(u32, Arc<Outlet>)> {
        let threads = self.plan.scenario.threads;
        let mine = |client: u32| client as usize % threads == self.thread;
        let outlet = |client: u32| Arc::clone(&self.clients[client as usize / threads].outlet);
        let senders = (0..).zip(self.plan.senders());
        let senders = senders.filter(|(_, sender)| mine(sender.client));
        senders.map(|(id, sender)| (id, outlet(sender.client))).collect()
    }
}

/// The address to connect from; none if the kernel may choose. All of 127.0.0.0/8 is local, so on
/// loopback more clients than one address soon finds ports for are spread over several, elsewhere
/// in each run: the ports of an earlier one may still be in TIME_WAIT.
fn source(
    chosen: Option<Ipv4Addr>,
    local: Option<Ipv4Addr>,
    client: u32,
    clients: u32,
) -> Option<Ipv4Addr> {
    let first = chosen.or_else(|| local.filter(|_| clients > CLIENTS_PER_ADDRESS_MAX))?;
    let addresses = clients.div_ceil(CLIENTS_PER_ADDRESS_MAX);
    let offset = if first.is_loopback() { client % addresses } else { 0 };
    Some(Ipv4Addr::from_bits(first.to_bits() + offset))
}

/// What went wrong, and what can be done about it.
pub(super) fn why(error: &Error) -> String {
    let advice = match error.kind() {
        ErrorKind::ConnectionRefused => "; is the server started, and is this where it listens?",
        ErrorKind::AddrNotAvailable => {
            "; --source is no address of this machine, or has no port left"
        }
        ErrorKind::AddrInUse => {
            "; no port is left: --source with other addresses, or fewer --clients"
        }
        _ if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => {
            "; a higher limit of open files (ulimit -n), or fewer --clients"
        }
        _ => "",
    };
    format!("{error}{advice}")
}

/// The first of 256 addresses in 127.0.0.0/8, chosen by the bits of `run`.
pub(crate) fn loopback_address(run: u32) -> Ipv4Addr {
    let [_, _, high, low] = run.to_be_bytes();
    Ipv4Addr::new(127, high.clamp(1, 254), low, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_has_more_clients_than_it_should() {
        let local = |last| Some(Ipv4Addr::new(127, 9, 9, last));
        let elsewhere = Some(Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(source(None, local(1), 9_999, 10_000), None);
        assert_eq!(source(None, local(1), 0, 10_001), local(1));
        assert_eq!(source(None, local(1), 1, 10_001), local(2));
        assert_eq!(source(local(7), local(1), 5, 20_001), local(9));
        assert_eq!(source(local(7), None, 5, 1), local(7));
        assert_eq!(source(None, None, 5, 20_001), None, "elsewhere only what was chosen");
        assert_eq!(source(elsewhere, None, 5, 20_001), elsewhere);
    }

    #[test]
    fn what_can_be_changed_is_told() {
        let rows = [
            (Errno::CONNREFUSED, "is the server started"),
            (Errno::ADDRNOTAVAIL, "--source"),
            (Errno::ADDRINUSE, "no port is left"),
            (Errno::MFILE, "ulimit -n"),
            (Errno::NETUNREACH, "unreachable"),
        ];
        for (errno, told) in rows {
            let why = why(&errno.into());
            assert!(why.contains(told), "{why}");
        }
    }
}
