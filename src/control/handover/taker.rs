//! The new process: takes over sockets, opens and checks everything, and then takes the clients.
//!
//! It waits for the old one's answers, and does nothing else meanwhile. Until it has said that it
//! took the clients over it only holds their sockets; whatever fails before ends the process, and
//! they are served by the old one as if nothing had been.

use std::cell::RefCell;
use std::env;
use std::fmt;
use std::fs::File;
use std::hash::RandomState;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};
use tracing::info;

use super::super::Control;
use super::{Estate, names};
use crate::chat::PeerId;
use crate::config::Listen;
use crate::engine::{Adopted, Carried};
use crate::failure::{Failure, Kind};
use crate::handover::{self, Ask, Channel, DONE, Sockets};
use crate::hub::Bells;
use crate::limits::HANDOVER_ANSWER;
use crate::listener::{Bound, Inherited};
use crate::time::{Clock, Monotonic, Time};

/// A process that is to take over, from its start until it has.
#[derive(Debug)]
pub struct Taker {
    channel: Channel,
    report: Report,
    inherited: Inherited,
}

/// Where the one who started this process waits for what comes of it.
#[derive(Clone, Debug)]
pub struct Report(Rc<RefCell<Option<File>>>);

/// What was taken over, but for the word that it was.
#[derive(Debug)]
pub(in crate::control) struct Taken {
    taker: Taker,
    clients: usize,
    frozen: Time,
}

fn failure(what: impl fmt::Display) -> Failure {
    Failure::new(Kind::System, format_args!("taking over: {what}"))
}

impl Taker {
    /// What the environment says: `None` for a server that starts from nothing. Takes the sockets
    /// of the old process, and its standard streams in place of its own.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn from_environment() -> Result<Option<Self>, Failure> {
        if env::var_os(handover::ENVIRONMENT).is_none() {
            return Ok(None);
        }
        let own = |stream: &dyn AsFd| stream.as_fd().try_clone_to_owned().map_err(failure);
        let report = Report(Rc::new(RefCell::new(Some(own(&io::stdout())?.into()))));
        let channel = Channel::from(own(&io::stdin())?);
        let taken = Self::take_sockets(channel, report.clone());
        taken.map(Some).inspect_err(|failure| report.failed(failure))
    }

    fn take_sockets(channel: Channel, report: Report) -> Result<Self, Failure> {
        channel.set_patience(HANDOVER_ANSWER).map_err(|error| {
            failure(format_args!("{} is set, but: {error}", handover::ENVIRONMENT))
        })?;
        // Whoever ends the session of `chatd upgrade` does not mean the server.
        let _ = setsid();
        let (sockets, descriptors) = channel.ask(Ask::Sockets).map_err(failure)?;
        let mut descriptors = descriptors.into_iter();
        let mut next = || descriptors.next().ok_or_else(|| failure("a descriptor is missing"));
        dup2_stdin(next()?).map_err(failure)?;
        dup2_stdout(next()?).map_err(failure)?;
        dup2_stderr(next()?).map_err(failure)?;
        let Sockets { admin, places, clients } = sockets;
        handover::make_room(&channel, clients);
        let mut inherited = Inherited::default();
        if let Some(addr) = admin {
            let listener = TcpListener::from(next()?);
            inherited.admin = addr.parse().ok().map(|addr| (addr, listener));
        }
        for (place, count) in places {
            let sockets = (0..count).map(|_| next()).collect::<Result<Vec<OwnedFd>, _>>()?;
            // A dialect that this version does not know is none of its listeners.
            inherited.places.extend(place.parse().ok().map(|place: Listen| (place, sockets)));
        }
        Ok(Self { channel, report, inherited })
    }

    /// Where to report a failure to.
    #[must_use]
    pub fn report(&self) -> Report {
        self.report.clone()
    }

    /// What the old process listens with.
    pub(in crate::control) fn inherited(&mut self) -> &mut Inherited {
        &mut self.inherited
    }
}

impl Report {
    /// Tells what kept this process from taking over.
    pub fn failed(&self, failure: &Failure) {
        self.tell(failure);
    }

    /// What comes later is told in the log only.
    fn tell(&self, what: impl fmt::Display) {
        if let Some(mut pipe) = self.0.take() {
            // It may have gone.
            let _ = write!(pipe, "{what}");
        }
    }
}

impl Taken {
    /// Tells the old process that all is ready, and takes the clients over for good. `pid` is this
    /// process.
    pub(in crate::control) fn commit(self, pid: u32, clock: &Monotonic) -> Result<(), Failure> {
        let Self { taker: Taker { channel, report, .. }, clients, frozen } = self;
        channel.wait_for_go(pid).map_err(failure)?;
        channel.say(Ask::Taken).map_err(failure)?;
        let stall_ms = (clock.now() - frozen).as_millis();
        let done = char::from(DONE);
        report.tell(format_args!("{done}clients: {clients}, stood still for {stall_ms} ms"));
        info!(clients, stall_ms, "taken over");
        Ok(())
    }
}

impl Control {
    /// Takes everything there is from the old process, and returns the clients of each worker.
    /// `posts` are their listeners; each takes `clients_max` at most.
    pub(in crate::control) fn take_over(
        &mut self,
        taker: Taker,
        posts: &[Vec<Bound>],
        clients_max: u32,
    ) -> Result<Vec<Vec<Adopted>>, Failure> {
        let (estate, sockets) = taker.channel.ask::<Estate>(Ask::HandOver).map_err(failure)?;
        let Estate { zero, frozen, listeners, chat, mut clients } = estate;
        if sockets.len() != clients.len() {
            return Err(failure("a client's socket is missing"));
        }
        let here: Vec<Listen> = posts.first().into_iter().flatten().map(Bound::at).collect();
        find_listeners(&listeners, &here, &mut clients).map_err(failure)?;
        let count = clients.len();
        let clients = clients.into_iter().zip(sockets);
        let clients = clients.map(|(carried, socket)| Adopted { socket, carried }).collect();
        let peer_of = |client: &Adopted| client.carried.conn.peer;
        let by_worker = divide(clients, peer_of, posts.len(), clients_max).map_err(failure)?;
        self.peer.clock = Monotonic::with_zero(zero).map_err(failure)?;
        let names = names(&by_worker);
        let hub = &self.peer.hub;
        let conn_of = |conn| names.get(&conn).copied();
        let wake = hub.restore(self.core.clone(), RandomState::new(), chat, conn_of);
        // Who does not run yet hears it later.
        self.peer.bells.ring_all(wake);
        self.taken = Some(Taken { taker, clients: count, frozen });
        Ok(by_worker)
    }
}

/// Gives each client the number that its listener has here.
fn find_listeners(
    before: &[String],
    here: &[Listen],
    clients: &mut [Carried],
) -> Result<(), String> {
    let found: Vec<Option<u32>> = before.iter().map(|place| find_listener(place, here)).collect();
    let mut lost = vec![0; before.len()];
    for client in clients {
        let index = usize::try_from(client.listener).unwrap_or(usize::MAX);
        match found.get(index) {
            Some(Some(listener)) => client.listener = *listener,
            Some(None) => lost[index] += 1,
            None => return Err("a client is on no listener".into()),
        }
    }
    let lost = lost.iter().zip(before).find(|(count, _)| **count > 0);
    lost.map_or(Ok(()), |(count, place)| {
        Err(format!("nothing like {place} is listened at now, where {count} clients are"))
    })
}

/// The listener at the same place, or else the first where the same is spoken.
fn find_listener(before: &str, here: &[Listen]) -> Option<u32> {
    let before: Listen = before.parse().ok()?;
    let same = here.iter().position(|place| *place == before);
    let speaks = |place: &Listen| place.dialect == before.dialect;
    let index = same.or_else(|| here.iter().position(speaks))?;
    u32::try_from(index).ok()
}

/// Divides the clients among the workers: each to the one with the number of its own before, as far
/// as there is room.
fn divide<T>(
    clients: Vec<T>,
    peer_of: impl Fn(&T) -> PeerId,
    workers: usize,
    clients_max: u32,
) -> Result<Vec<Vec<T>>, String> {
    let room = usize::try_from(clients_max).unwrap_or(usize::MAX);
    if clients.len() > room.saturating_mul(workers) {
        return Err(format!("{} clients, and there is room for fewer", clients.len()));
    }
    let mut by_worker: Vec<Vec<T>> = (0..workers).map(|_| Vec::new()).collect();
    let mut others = Vec::new();
    for client in clients {
        let own = &mut by_worker[usize::from(peer_of(&client).0) % workers];
        if own.len() < room {
            own.push(client);
        } else {
            others.push(client);
        }
    }
    for worker in &mut by_worker {
        let free = others.len().min(room - worker.len());
        worker.extend(others.drain(..free));
    }
    Ok(by_worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_stay_with_the_worker_of_their_number_where_there_is_room() {
        // The first was on worker 0, the others on worker 1.
        let divided = |count: u32, workers, max| {
            let peer_of = |client: &u32| PeerId(u8::from(*client > 0));
            divide((0..count).collect(), peer_of, workers, max)
        };
        assert_eq!(divided(5, 2, 10), Ok(vec![vec![0], vec![1, 2, 3, 4]]));
        assert_eq!(divided(5, 1, 10), Ok(vec![vec![0, 1, 2, 3, 4]]));
        assert_eq!(divided(5, 3, 10), Ok(vec![vec![0], vec![1, 2, 3, 4], vec![]]));
        assert_eq!(divided(5, 3, 2), Ok(vec![vec![0, 3], vec![1, 2], vec![4]]));
        assert_eq!(divided(0, 1, 0), Ok(vec![vec![]]));
        let told = Err("5 clients, and there is room for fewer".to_owned());
        assert_eq!(divided(5, 2, 2), told);
    }

    #[test]
    fn a_listener_is_the_same_or_one_where_the_same_is_spoken() {
        let here = ["telnet://127.0.0.1:1", "rid://127.0.0.1:2", "telnet://127.0.0.1:3"];
        let here = here.map(|place| place.parse().expect("a place"));
        for (before, found) in [
            ("telnet://127.0.0.1:3", Some(2)),
            ("telnet://127.0.0.1:1", Some(0)),
            ("telnet://127.0.0.1:2", Some(0)),
            ("rid://127.0.0.1:1", Some(1)),
            ("p2p://127.0.0.1:1", None),
            ("smoke://127.0.0.1:1", None),
        ] {
            assert_eq!(find_listener(before, &here), found, "{before}");
        }
    }
}
